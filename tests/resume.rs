//! A state goes out as bytes and comes back: to the same digest, and only if a step could have left it behind.

use duel::{Config, Error, Images, Line, Part, Serial, Tensor, Trainer};

type Owned<'a> = Trainer<Images<'a>, Box<[Line]>>;

const PIXELS: usize = 35;

fn pixels() -> Vec<u8> {
    (0..50 * PIXELS).map(|i| if i % 3 == 0 { (i * 31 % 256) as u8 } else { 0 }).collect()
}

fn config() -> Config {
    Config {
        latent_size: 3,
        generator_hidden: 5,
        discriminator_hidden: 6,
        batch_size: 9,
        validation: 2,
        ..Config::default()
    }
}

/// Of labelled images, judged in pairs, with an average.
fn averaged() -> Config {
    Config { batch_size: 8, labels: true, pack: 2, average: 0.9, ..config() }
}

const LABELS: [u8; 50] = {
    let (mut labels, mut i) = ([0; 50], 0);
    while i < 50 {
        labels[i] = (i % 7 % 4) as u8;
        i += 1;
    }
    labels
};

fn trained(pixels: &[u8], steps: u64) -> Owned<'_> {
    trained_with(config(), pixels, steps)
}

fn trained_with(config: Config, pixels: &[u8], steps: u64) -> Owned<'_> {
    let images = Images::new(pixels, 5, 7).unwrap().labelled(&LABELS).unwrap();
    let mut trainer = Trainer::new(config, images).unwrap();
    (0..steps).for_each(|_| assert!(trainer.step(&Serial).is_ok()));
    trainer
}

fn saved(trainer: &mut Owned<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    trainer.save(|piece| bytes.extend_from_slice(piece)).unwrap();
    assert_eq!(bytes.len(), trainer.state_bytes());
    bytes
}

#[test]
fn resume_at_any_step_gives_the_same_digest() {
    let pixels = pixels();
    let straight = trained(&pixels, 40).digest().unwrap();
    for stop in 0..=40 {
        let state = saved(&mut trained(&pixels, stop));
        // Into a fresh trainer, and into one that has been elsewhere.
        for been in [0, 17] {
            let mut resumed = trained(&pixels, been);
            resumed.load(&state).unwrap();
            assert_eq!(resumed.steps_done(), stop);
            (stop..40).for_each(|_| assert!(resumed.step(&Serial).is_ok()));
            assert_eq!(resumed.digest().unwrap(), straight, "stopped at {stop}");
        }
    }
}

#[test]
fn resume_at_any_of_300_steps_gives_the_same_average() {
    let (pixels, config) = (pixels(), averaged());
    let steps = 300;
    let mut trainer = trained_with(config.clone(), &pixels, 0);
    let mut states = vec![saved(&mut trainer)];
    for _ in 0..steps {
        trainer.step(&Serial).unwrap();
        states.push(saved(&mut trainer));
    }
    let straight = trainer.digests().unwrap();
    assert!(straight.average.is_some());
    // The average is that of the whole run, not of what came after the resume.
    let mut resumed = trained_with(config, &pixels, 5);
    for (stop, state) in states.iter().enumerate() {
        resumed.load(state).unwrap();
        (stop..steps).for_each(|_| assert!(resumed.step(&Serial).is_ok()));
        assert_eq!(resumed.digests().unwrap(), straight, "stopped at {stop}");
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // a fused multiply-add that is not the engine's own
fn an_average_begins_as_the_parameters_and_follows_them_by_its_formula() {
    let (pixels, config) = (pixels(), averaged());
    let mut trainer = trained_with(config.clone(), &pixels, 0);
    let read = |trainer: &Owned<'_>, part| -> Vec<Vec<f32>> {
        Tensor::GENERATOR.map(|tensor| trainer.tensor(tensor, part).unwrap().values().collect()).into()
    };
    let mut averages = read(&trainer, Part::Parameter);
    assert_eq!(read(&trainer, Part::Average), averages);
    for _ in 0..20 {
        trainer.step(&Serial).unwrap();
        for (averages, parameters) in averages.iter_mut().zip(read(&trainer, Part::Parameter)) {
            for (average, p) in averages.iter_mut().zip(parameters) {
                *average = (1.0 - config.average).mul_add(p - *average, *average);
            }
        }
        assert_eq!(read(&trainer, Part::Average), averages);
    }
    assert!(matches!(
        trainer.tensor(Tensor::DiscriminatorHiddenWeight, Part::Average),
        Err(Error::Usage { .. })
    ));
    // Nothing of the state depends on it.
    let without = trained_with(Config { average: 0.0, ..config }, &pixels, 20);
    assert_eq!(without.digest().unwrap(), trainer.digest().unwrap());
    assert_eq!(without.average_digest().unwrap(), None);
}

#[test]
fn a_state_is_its_digest_s_preimage() {
    use sha2::Digest as _;
    let pixels = pixels();
    let mut trainer = trained(&pixels, 5);
    let bytes = saved(&mut trainer);
    assert_eq!(trainer.digest().unwrap().0[..], sha2::Sha256::digest(&bytes)[..]);
    assert_eq!(bytes[..8], 5u64.to_le_bytes());
    // And the average after it is that of its own.
    let mut trainer = trained_with(averaged(), &pixels, 5);
    let bytes = saved(&mut trainer);
    let generator: usize =
        Tensor::GENERATOR.map(|tensor| trainer.tensor(tensor, Part::Average).unwrap().count()).iter().sum();
    let (state, average) = bytes.split_at(bytes.len() - 4 * generator);
    let digests = trainer.digests().unwrap();
    assert_eq!(digests.state.0[..], sha2::Sha256::digest(state)[..]);
    assert_eq!(digests.average.unwrap().0[..], sha2::Sha256::digest(average)[..]);
}

#[test]
fn a_state_that_no_step_leaves_behind_is_refused_and_changes_nothing() {
    let pixels = pixels();
    let state = saved(&mut trained(&pixels, 3));
    let parameters = (state.len() - 8) / 12;
    let mut trainer = trained(&pixels, 7);
    let before = trainer.digest().unwrap();
    let mut refused = |state: &[u8]| {
        assert!(matches!(trainer.load(state), Err(Error::Input { .. })));
        assert_eq!(trainer.digest().unwrap(), before);
        assert_eq!(trainer.steps_done(), 7);
    };
    refused(&[]);
    refused(&state[..state.len() - 1]);
    refused(&[&state[..], &[0]].concat());
    let with = |place: usize, x: f32| {
        let mut state = state.clone();
        state[8 + 4 * place..][..4].copy_from_slice(&x.to_le_bytes());
        state
    };
    let last = parameters - 1;
    for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1_048_576.1, -1_048_577.0] {
        refused(&with(0, bad));
        refused(&with(last, bad));
    }
    for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY] {
        refused(&with(parameters, bad));
        refused(&with(parameters + last, bad));
        refused(&with(2 * parameters, bad));
        refused(&with(2 * parameters + last, bad));
    }
    refused(&with(2 * parameters, -1e-10));
    refused(&[&u64::MAX.to_le_bytes(), &state[8..]].concat());
    // At the bounds it is taken.
    trainer.load(&with(0, 1_048_576.0)).unwrap();
    trainer.load(&with(parameters, f32::MAX)).unwrap();
}
