//! One digest per case, on every backend and with every number of threads; with and without zero terms.

mod backends;

use backends::backend;
use std::ops::ControlFlow;

use duel::digest::Digests;
use duel::{Config, Dataset, Images, Isa, Rayon, Serial, StepStats, Trainer, Zeros, golden};

/// Images of `size` pixels.
fn images(count: usize, size: usize) -> Vec<u8> {
    (0..count * size).map(golden::pixel).collect()
}

fn mnist() -> Dataset {
    Dataset::open(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data")).unwrap()
}

/// The digest after `steps` in a pool of `threads`, all of which work if there are pixels enough; 0 threads is `Serial`,
/// step by step.
fn digest(config: &Config, images: Images<'_>, isa: Isa, threads: usize, steps: u64) -> String {
    let mut trainer = Trainer::new(config.clone(), images).unwrap();
    trainer.set_isa(isa);
    if threads == 0 {
        (0..steps).for_each(|_| assert!(trainer.step(&Serial).is_ok()));
    } else {
        trainer.set_owners(usize::MAX);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trainer.run(&Rayon, steps, go_on)).unwrap();
    }
    trainer.digests().unwrap().to_string()
}

fn go_on(_: StepStats) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn any_number_of_owners_gives_the_same_bits_on_odd_sizes() {
    // A batch that is no whole number of blocks, pixels that are no whole number of lines, one row, one unit.
    let small = Config {
        latent_size: 7,
        generator_hidden: 37,
        discriminator_hidden: 51,
        batch_size: 33,
        validation: 2,
        ..Config::default()
    };
    let one = Config { batch_size: 1, generator_hidden: 1, discriminator_hidden: 1, ..small.clone() };
    let labelled = Config { labels: true, average: 0.9, ..small.clone() };
    let packed = Config { batch_size: 34, pack: 2, average: 0.5, ..small.clone() };
    let both = Config { batch_size: 36, labels: true, pack: 4, ..small.clone() };
    let cases = [
        (&small, 27, 29),
        (&one, 31, 30),
        (&small, 7, 14),
        (&labelled, 27, 29),
        (&packed, 27, 29),
        (&both, 27, 29),
        (&both, 5, 10),
    ];
    for (config, height, width) in cases {
        let pixels = images(40, height * width);
        let labels: Vec<u8> = (0..40).map(|i| golden::label(i, 11)).collect();
        let images = Images::new(&pixels, height, width).unwrap().labelled(&labels).unwrap();
        let isa = Isa::best();
        let alone = digest(config, images, isa, 0, 23);
        for threads in [1, 2, 3, 4, 5, 7, 8, 16, 64] {
            assert_eq!(
                digest(config, images, isa, threads, 23),
                alone,
                "{threads} threads, {height}×{width}"
            );
        }
    }
}

#[test]
fn classes_are_drawn_for_each_row_and_samples_are_of_the_class_asked_for() {
    let config = Config { batch_size: 24, validation: 0, labels: true, ..Config::default() };
    let pixels = images(40, 30);
    let labels: Vec<u8> = (0..40).map(|i| i % 7).collect();
    let images = Images::new(&pixels, 5, 6).unwrap().labelled(&labels).unwrap();
    let mut trainer = Trainer::new(config, images).unwrap();
    let mut drawn = [0; 7];
    for _ in 0..200 {
        trainer.step(&Serial).unwrap();
        let z = trainer.last_step().unwrap().z;
        for row in 0..z.rows() {
            let (noise, classes) = z.row(row).split_at(100);
            assert!(noise.iter().all(|x| (-1.0..1.0).contains(x)));
            assert_eq!(classes.iter().filter(|x| **x == 1.0).count(), 1);
            assert_eq!(classes.iter().filter(|x| **x == 0.0).count(), 6);
            drawn[classes.iter().position(|x| *x == 1.0).unwrap()] += 1;
        }
    }
    // 24 · 200 / 7 of each, give or take five deviations.
    assert!(drawn.iter().all(|count| (686 - 125..686 + 125).contains(count)), "{drawn:?}");
    let mut all = vec![0; 14 * 30];
    trainer.sample(&Serial, 3, 0, &mut all).unwrap();
    for class in 0..7 {
        let mut of_class = vec![0; 14 * 30];
        trainer.sample_class(&Serial, 3, 0, Some(class), &mut of_class).unwrap();
        for i in 0..14 {
            let image = i * 30..(i + 1) * 30;
            assert_eq!(all[image.clone()] == of_class[image], i % 7 == class, "image {i} of class {class}");
        }
    }
    let mut image = [0; 30];
    assert!(trainer.sample_class(&Serial, 3, 0, Some(7), &mut image).is_err());
    // The same from the noise itself.
    let z = noise(3, 14);
    let mut given = vec![0; 14 * 30];
    trainer.generate(&Serial, &z, None, &mut given).unwrap();
    assert_eq!(given, all);
    assert!(trainer.generate(&Serial, &z, Some(7), &mut given).is_err());
}

/// The noise of the first samples of a seed.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut z = vec![0.0; count * 100];
    z.chunks_mut(100).zip(0..).for_each(|(z, i)| duel::rng::sample_noise(seed, i, z));
    z
}

#[test]
fn images_of_given_noise_are_those_of_the_seed_that_it_is_of() {
    let pixels = images(40, 30);
    let config = Config { batch_size: 12, validation: 0, ..Config::default() };
    let mut trainer = Trainer::new(config, Images::new(&pixels, 5, 6).unwrap()).unwrap();
    trainer.run(&Serial, 20, |_| std::ops::ControlFlow::Continue(())).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    // More than there is room for at a time, and not.
    for count in [0, 1, 2, 13, 300] {
        let (z, mut of_seed, mut given) = (noise(5, count), vec![0; count * 30], vec![1; count * 30]);
        trainer.sample(&Serial, 5, 0, &mut of_seed).unwrap();
        trainer.generate(&Serial, &z, None, &mut given).unwrap();
        assert_eq!(given, of_seed, "{count} images");
        given.fill(1);
        pool.install(|| trainer.generate(&duel::Rayon, &z, None, &mut given)).unwrap();
        assert_eq!(given, of_seed, "{count} images, on three threads");
    }
    let mut z = noise(5, 2);
    let mut refused = |z: &[f32], count: usize| {
        let error = trainer.generate(&Serial, z, None, &mut vec![0; count * 30]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    };
    refused(&z, 1);
    refused(&z, 3);
    refused(&z[1..], 2);
    for bad in [f32::NAN, f32::INFINITY, -1e30, 1_048_577.0] {
        z[137] = bad;
        refused(&z, 2);
    }
    // The largest that is taken overflows nothing: every pixel is one of a picture.
    z.fill(1_048_576.0);
    trainer.generate(&Serial, &z, None, &mut [0; 60]).unwrap();
}

#[test]
fn a_trainer_may_own_its_images_or_share_them() {
    let pixels = images(40, 30);
    let labels: Vec<u8> = (0..40).map(|i| i % 3).collect();
    let config = Config { batch_size: 12, validation: 4, labels: true, ..Config::default() };
    let data = duel::Dataset::from_pixels(pixels.clone(), (5, 6), Some(labels.clone())).unwrap();
    let data = std::sync::Arc::new(data);
    let mut owning = Trainer::new(config.clone(), std::sync::Arc::clone(&data)).unwrap();
    let borrowed = Images::new(&pixels, 5, 6).unwrap().labelled(&labels).unwrap();
    let mut borrowing = Trainer::new(config, borrowed).unwrap();
    for _ in 0..5 {
        owning.step(&Serial).unwrap();
        borrowing.step(&Serial).unwrap();
    }
    assert_eq!(owning.digest().unwrap(), borrowing.digest().unwrap());
    assert_eq!((owning.images().count(), owning.classes(), data.images().classes()), (36, 3, 3));
    drop(data);
    owning.step(&Serial).unwrap();
    let refused = |pixels: Vec<u8>, labels| {
        duel::Dataset::from_pixels(pixels, (5, 6), labels).map(drop).unwrap_err().exit_code()
    };
    assert_eq!(refused(vec![], None), 3);
    assert_eq!(refused(vec![0; 31], None), 3);
    assert_eq!(refused(vec![0; 60], Some(vec![0; 3])), 3);
}

#[test]
fn images_from_memory_have_the_digest_of_their_file() {
    let read = duel::Dataset::open("data".as_ref()).unwrap().labelled().unwrap();
    let (images, labels) = (read.images(), read.images().labels().unwrap());
    let pixels = (0..images.count()).flat_map(|i| images.image(i)).copied().collect();
    let made = duel::Dataset::from_pixels(pixels, (28, 28), Some(labels.to_vec())).unwrap();
    assert_eq!((made.digest(), made.digest()), (read.digest(), duel::golden::MNIST_LABELLED));
}

#[test]
fn settings_that_do_not_fit_the_images_are_refused() {
    let pixels = images(40, 64);
    let images = Images::new(&pixels, 8, 8).unwrap();
    let refused =
        |config: Config, images: Images<'_>| Trainer::new(config, images).map(drop).unwrap_err().exit_code();
    let config = Config { batch_size: 6, validation: 0, ..Config::default() };
    assert_eq!(refused(Config { pack: 4, ..config.clone() }, images), 2);
    assert_eq!(refused(Config { pack: 3, ..config.clone() }, images), 2);
    assert_eq!(refused(Config { labels: true, ..config.clone() }, images), 3);
    assert!(images.labelled(&[0; 39]).is_err());
    // 2¹⁶ inputs are the most there are.
    let pixels = vec![0; 8 * 65_536];
    let large = Images::new(&pixels, 256, 256).unwrap();
    assert_eq!(refused(Config { pack: 2, ..config.clone() }, large), 3);
    assert_eq!(refused(Config { labels: true, ..config.clone() }, large.labelled(&[0; 8]).unwrap()), 3);
    let latent_size = 65_536;
    assert_eq!(
        refused(Config { labels: true, latent_size, ..config }, images.labelled(&[0; 40]).unwrap()),
        3
    );
}

#[test]
fn any_batch_size_can_be_cut_into_blocks() {
    for (batch_size, pack) in (1..=40).flat_map(|n| [(n, 1), (4 * n, 4)]).filter(|(n, _)| *n <= 40) {
        let config = Config {
            latent_size: 3,
            generator_hidden: 18,
            discriminator_hidden: 17,
            batch_size,
            pack,
            validation: 0,
            ..Config::default()
        };
        let pixels = images(41, 150);
        let images = Images::new(&pixels, 10, 15).unwrap();
        let alone = digest(&config, images, Isa::best(), 0, 5);
        assert_eq!(digest(&config, images, Isa::best(), 3, 5), alone, "batch {batch_size}");
    }
}

#[test]
fn a_run_in_parts_with_other_teams_is_the_same_run() {
    let pixels = images(60, 400);
    let images = Images::new(&pixels, 20, 20).unwrap();
    let config = Config { batch_size: 16, validation: 0, generator_hidden: 40, ..Config::default() };
    let alone = digest(&config, images, Isa::best(), 1, 30);
    let mut trainer = Trainer::new(config, images).unwrap();
    trainer.set_owners(usize::MAX);
    let mut told = Vec::new();
    for (threads, steps) in [(3, 4), (1, 1), (8, 13), (2, 0), (2, 12)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // The host breaks off twice.
        let each = |stats: StepStats| {
            told.push(stats.step);
            if [7, 11].contains(&stats.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        pool.install(|| trainer.run(&Rayon, steps, each)).unwrap();
        assert_eq!(trainer.steps_done(), told.last().copied().unwrap_or(0));
        // A sample in between is nobody's business.
        trainer.sample(&Serial, 1, 0, &mut vec![0; 3 * 400]).unwrap();
    }
    while trainer.steps_done() < 30 {
        told.push(trainer.step(&Serial).unwrap().step);
    }
    assert_eq!(told, (1..=30).collect::<Vec<u64>>());
    assert_eq!(trainer.digest().unwrap().to_string(), alone);
}

#[test]
fn real_shape_300_steps_on_every_fast_backend_and_number_of_threads() {
    let data = mnist();
    let config = Config::default();
    for isa in ["avx2", "avx512"].into_iter().filter_map(backend) {
        for threads in [1, 2, 3, 4, 5, 7, 8, 16, 64] {
            let got = digest(&config, data.images(), isa, threads, 300);
            assert_eq!(got, REAL_SHAPE_300, "{} {threads} threads", isa.name());
        }
    }
}

#[test]
fn real_shape_3_steps_on_every_backend() {
    let data = mnist();
    for isa in Isa::NAMES.into_iter().filter_map(backend) {
        assert_eq!(digest(&Config::default(), data.images(), isa, 2, 3), REAL_SHAPE_3, "{}", isa.name());
    }
}

#[test]
fn small_nets_on_every_backend() {
    for case in &golden::SMALL_NETS {
        let [mut pixels, mut labels] = case.bytes().map(|bytes| vec![0; bytes]);
        let images = case.images(&mut pixels, &mut labels).unwrap();
        let (steps, state) = case.digests[case.digests.len() - 1];
        let expected = Digests { state, average: case.average };
        for isa in Isa::NAMES.into_iter().filter_map(backend) {
            for threads in [0, 1, 3] {
                let got = digest(&case.config, images, isa, threads, steps);
                assert_eq!(got, expected.to_string(), "{}: {} {threads} threads", case.name, isa.name());
            }
        }
    }
}

#[test]
fn leaving_out_zeros_changes_no_bit_on_black_white_and_mixed_images() {
    let config = Config {
        batch_size: 16,
        latent_size: 5,
        generator_hidden: 20,
        discriminator_hidden: 70,
        validation: 0,
        ..Config::default()
    };
    for pixels in [vec![0; 40 * 63], vec![255; 40 * 63], images(40, 63)] {
        let images = Images::new(&pixels, 9, 7).unwrap();
        for isa in ["wide", "avx2", "avx512"].into_iter().filter_map(backend) {
            let run = |zeros| {
                let mut trainer = Trainer::new(config.clone(), images).unwrap();
                trainer.set_isa(isa);
                trainer.set_zeros(zeros);
                (0..40).for_each(|_| assert!(trainer.step(&Serial).is_ok()));
                trainer.digest().unwrap()
            };
            assert_eq!(run(Zeros::LeftOut), run(Zeros::Kept), "{}", isa.name());
        }
    }
}

#[test]
fn the_first_golden_digests_of_the_default_run() {
    let data = mnist();
    let mut trainer = Trainer::new(Config::default(), data.images()).unwrap();
    for (step, digest) in golden::DEFAULT_RUN.into_iter().filter(|(step, _)| *step <= 1_000) {
        while trainer.steps_done() < step {
            trainer.step(&Serial).unwrap();
        }
        assert_eq!(trainer.digest().unwrap(), digest, "step {step}");
    }
    assert_eq!(data.digest(), golden::MNIST);
}

#[test]
fn memory_of_the_caller_gives_the_same_bits_whatever_was_in_it() {
    let pixels = images(30, 63);
    let images = Images::new(&pixels, 7, 9).unwrap();
    let config = Config { batch_size: 5, validation: 3, ..Config::default() };
    let mut own = Trainer::new(config.clone(), images).unwrap();
    let lines = Trainer::<_, &mut [duel::Line]>::memory_lines(&config, &images).unwrap();
    // Every bit set is a NaN in every place.
    let mut memory: Vec<duel::Line> = vec![duel::Line::filled(f32::from_bits(u32::MAX)); lines + 1];
    let mut borrowed = Trainer::in_memory(config, images, &mut memory[1..]).unwrap();
    assert_eq!(own.mean_probabilities().unwrap(), (0.5, 0.5));
    assert_eq!(borrowed.mean_probabilities().unwrap(), (0.5, 0.5));
    for _ in 0..20 {
        assert_eq!(own.step(&Serial).unwrap(), borrowed.step(&Serial).unwrap());
    }
    assert_eq!(own.digest().unwrap(), borrowed.digest().unwrap());
}

const REAL_SHAPE_300: &str = "sha256:919177eec0b76eb84cb888a682827db2f6991fab9a2bf61b1b081aea9280f07d";
const REAL_SHAPE_3: &str = "sha256:12d4da142b8bc9fa77874aadc298c2b52892025ae23af35a75a041609c499dbd";
