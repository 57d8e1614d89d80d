//! The figures of an evaluation against their definitions, image by image, on sets that are small; and the same digest on any
//! number of threads.
#![cfg(feature = "run")]
#![allow(clippy::disallowed_methods)] // another exponential and logarithm than the program's

use duel::evaluate::distances::by_image;
use duel::evaluate::{Report, Sets, evaluate};
use duel::{Error, Images};

/// Made-up images: dark, with strokes that depend on the class, so that sets overlap but are not the same.
fn images(count: usize, size: usize, seed: usize) -> Vec<u8> {
    (0..count * size)
        .map(|i| {
            let (image, pixel) = (i / size, i % size);
            let noise = (i + 7 * seed).wrapping_mul(2_654_435_761) >> 13;
            if pixel % 5 == (image + seed) % 5 { 100 + (noise % 156) as u8 } else { (noise % 3) as u8 }
        })
        .collect()
}

fn squared(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).map(|(&a, &b)| (a as i64 - b as i64).pow(2) as u64).sum()
}

#[test]
fn distances_are_exact_for_every_size_of_image_and_set() {
    // Around the blocks of rows (128), columns (256) and terms (256).
    for (m, n, size) in
        [(1, 1, 1), (3, 257, 255), (129, 5, 256), (130, 300, 257), (7, 256, 784), (2, 3, 65_536)]
    {
        let (a, b) = (images(m, size, 1), images(n, size, 2));
        let rows =
            by_image(Images::new(&a, 1, size).unwrap(), Images::new(&b, 1, size).unwrap(), &(), |i, row| {
                (i, row.to_vec())
            });
        for (expected, (i, row)) in rows.unwrap().into_iter().enumerate() {
            assert_eq!(i, expected);
            let naive: Vec<u64> = b.chunks(size).map(|b| squared(&a[i * size..(i + 1) * size], b)).collect();
            assert!(row.iter().map(|&d| d as u64).eq(naive), "{m} × {n} of {size}, row {i}");
        }
    }
    // The largest there are: black against white.
    let (black, white) = (vec![0; 65_536], vec![255; 65_536]);
    let rows = by_image(
        Images::new(&black, 256, 256).unwrap(),
        Images::new(&white, 256, 256).unwrap(),
        &(),
        |_, row| row[0],
    );
    assert_eq!(rows.unwrap(), [65_536 * 255 * 255]);
    // None at all, on either side.
    let (none, one) = (Images::new(&[], 1, 1).unwrap(), Images::new(&[7], 1, 1).unwrap());
    assert!(matches!(by_image(one, none, &(), |_, _| ()), Err(Error::Input { .. })));
    assert_eq!(by_image(none, one, &(), |_, _| ()).unwrap(), []);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn another_floating_point_mode_is_an_error() {
    // Rounding up.
    let mode: u32 = 0x1F80 | 0x4000;
    let in_it = std::thread::spawn(move || {
        // SAFETY: the thread ends after this, and its mode with it.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode) };
        let one = Images::new(&[7], 1, 1).unwrap();
        let of_all = by_image(one, one, &(), |_, _| ());
        let sets = Sets { samples: one, real: one, held_out: one, train: one };
        [of_all.map(drop), evaluate(&sets, &()).map(drop)]
    });
    for refused in in_it.join().unwrap() {
        assert!(matches!(refused, Err(Error::Environment { .. })), "{refused:?}");
    }
}

/// Both sets and what they are compared with: samples, real, held out, training images, labels.
struct Made([Vec<u8>; 4], Vec<u8>);

const SIZE: usize = 49;
const N: usize = 90;

fn made() -> Made {
    let sets = [(N, 1), (140, 2), (30, 3), (200, 4)].map(|(count, seed)| images(count, SIZE, seed));
    Made(sets, (0..200).map(|i| (i % 3) as u8).collect())
}

fn report(made: &Made) -> Report {
    let [samples, real, held_out, train] = [0, 1, 2, 3].map(|i| Images::new(&made.0[i], 7, 7).unwrap());
    let [samples, real, train] =
        [samples, real, train].map(|images| images.labelled(&made.1[..images.count()]).unwrap());
    evaluate(&Sets { samples, real, held_out, train }, &()).unwrap()
}

#[test]
fn every_figure_is_what_its_definition_says() {
    let made = made();
    let report = report(&made);
    let [samples, real, held_out, train] =
        [0, 1, 2, 3].map(|i| made.0[i].chunks(SIZE).collect::<Vec<&[u8]>>());
    let radius = |set: &[&[u8]]| -> Vec<u64> {
        let radius = |(i, a): (usize, &&[u8])| {
            let others = set.iter().enumerate().filter(|(j, _)| *j != i);
            let mut all: Vec<u64> = others.map(|(_, b)| squared(a, b)).collect();
            all.sort_unstable();
            all[4]
        };
        set.iter().enumerate().map(radius).collect()
    };
    let (of_real, of_samples) = (radius(&real), radius(&samples));
    let near = |s: &[u8]| real.iter().zip(&of_real).filter(|(r, radius)| squared(r, s) < **radius).count();
    let part = |count: usize, of: usize| count as f64 / of as f64;
    assert_eq!(report.precision, part(samples.iter().filter(|s| near(s) > 0).count(), N));
    assert_eq!(report.density, part(samples.iter().map(|s| near(s)).sum(), 5 * N));
    let covered = |(r, radius): (&&[u8], &u64)| samples.iter().any(|s| squared(r, s) < *radius);
    assert_eq!(report.coverage, part(real.iter().zip(&of_real).filter(|pair| covered(*pair)).count(), 140));
    let recalled = |r: &&&[u8]| samples.iter().zip(&of_samples).any(|(s, radius)| squared(r, s) < *radius);
    assert_eq!(report.recall, part(real.iter().filter(recalled).count(), 140));
    let figures = [report.precision, report.recall, report.coverage];
    assert!(figures.iter().filter(|x| (0.01..0.999).contains(*x)).count() >= 2, "{report:?}");

    let nats = |set: &[&[u8]], width: f64| -> f64 {
        let one = |image: &&[u8]| {
            let density: f64 = samples
                .iter()
                .map(|s| (-(squared(image, s) as f64) / (255.0 * 255.0 * 2.0 * width * width)).exp())
                .sum();
            (density / N as f64).ln() - SIZE as f64 * (width * (2.0 * std::f64::consts::PI).sqrt()).ln()
        };
        set.iter().map(one).sum::<f64>() / set.len() as f64
    };
    let widths: Vec<f64> = (0..10).map(|i| 10f64.powf(i as f64 / 9.0 - 1.0)).collect();
    let best = widths.iter().max_by(|a, b| nats(&held_out, **a).total_cmp(&nats(&held_out, **b))).unwrap();
    assert!((report.parzen.width - best).abs() < 1e-12);
    assert!((report.parzen.nats - nats(&real, *best)).abs() < 1e-9 * report.parzen.nats.abs());

    let nearest = |a: &[u8]| (0..train.len()).min_by_key(|&j| (squared(a, train[j]), j)).unwrap();
    for (class, shares) in report.classes.as_ref().unwrap().iter().enumerate() {
        let of_class = samples.iter().filter(|s| made.1[nearest(s)] as usize == class).count();
        assert_eq!(shares.share, part(of_class, N));
    }
    // Image i of each set is of class i mod 3, or was asked for as that.
    let agree = (0..N).filter(|i| made.1[*i] == made.1[nearest(samples[*i])]).count();
    assert_eq!(report.agreement, Some(part(agree, N)));
    let classifier = report.classifier.unwrap();
    for (accuracy, by) in [(classifier.samples, &samples[..]), (classifier.real, &train[..N])] {
        let told = |image: &[u8]| (0..by.len()).min_by_key(|&j| (squared(image, by[j]), j)).unwrap();
        let right = (0..140).filter(|&i| made.1[told(real[i])] == made.1[i]).count();
        assert_eq!(accuracy, part(right, 140));
    }
    assert!(classifier.samples != classifier.real && agree > 0 && agree < N, "{report:?}");
    let mut distances: Vec<(u64, usize)> =
        (0..N).map(|i| (squared(samples[i], train[nearest(samples[i])]), i)).collect();
    distances.sort_unstable();
    assert_eq!(report.copies.closest[0], (distances[0].1, nearest(samples[distances[0].1])));
    let median = ((N - 1) * 50 + 50) / 100;
    assert_eq!(report.copies.samples[3], (distances[median].0 as f64).sqrt() / 255.0);
}

#[test]
fn the_digest_does_not_depend_on_threads_and_the_figures_know_the_best_and_the_worst() {
    let mut made = made();
    let digests = [1, 2, 3, 8].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| report(&made)).digest.unwrap()
    });
    assert!(digests.iter().all(|digest| *digest == report(&made).digest.unwrap()));
    // The real images themselves in the samples' place.
    made.0[0] = made.0[1].clone();
    let best = report(&made);
    assert_eq!([best.precision, best.recall, best.coverage], [1.0; 3]);
    // One training image again and again: a copy, and two modes are missing.
    made.0[0] = made.0[3][..SIZE].repeat(N);
    let worst = report(&made);
    assert_eq!((worst.recall, worst.copies.samples[5]), (0.0, 0.0));
    let missing: Vec<bool> = worst.classes.unwrap().iter().map(|class| class.is_missing()).collect();
    assert_eq!(missing, [false, true, true]);
}
