//! Every tensor's gradient of both losses against central differences of an independent f64 forward pass.

mod backends;

use duel::{Config, Images, Isa, Part, Serial, Tensor, Trainer};

const LATENT: usize = 4;
const G_HIDDEN: usize = 6;
const D_HIDDEN: usize = 5;
const PIXELS: usize = 9;
const CLASSES: usize = 3;

/// Parameters by tensor, row-major, in f64.
type Parameters = [Vec<f64>; 8];

/// y[j] = Σ x[i]·w[i][j] + b[j].
fn affine(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    (0..n).map(|j| x.iter().enumerate().map(|(i, x)| x * w[i * n + j]).sum::<f64>() + b[j]).collect()
}

/// Rows of so many images side by side: column c of image k is column c·pack + k.
fn side_by_side(images: &[Vec<f64>], pack: usize) -> Vec<Vec<f64>> {
    let row =
        |row: &[Vec<f64>]| (0..row[0].len()).flat_map(|c| row.iter().map(move |image| image[c])).collect();
    images.chunks(pack).map(row).collect()
}

/// What both networks see: noise with the columns of classes, real images with theirs, and how many are judged at once.
struct Seen {
    z: Vec<Vec<f64>>,
    real: Vec<Vec<f64>>,
    pack: usize,
}

#[allow(clippy::disallowed_methods)]
fn losses(p: &Parameters, Seen { z, real, pack }: &Seen, preactivations: &mut Vec<f64>) -> (f64, f64) {
    let mut relu = |x: Vec<f64>| -> Vec<f64> {
        preactivations.extend(&x);
        x.iter().map(|x| x.max(0.0)).collect()
    };
    let mut logit = |x: &[f64]| affine(&relu(affine(x, &p[4], &p[5])), &p[6], &p[7])[0];
    let log_sigmoid = |x: f64| -((-x).exp().ln_1p());
    let (mut g, mut d) = (0.0, 0.0);
    let mut fakes = Vec::new();
    for z in z {
        let hidden: Vec<f64> = affine(z, &p[0], &p[1]).iter().map(|x| x.max(0.0)).collect();
        let pixels = affine(&hidden, &p[2], &p[3]).into_iter().map(|x| 1.0 / (1.0 + (-x).exp()));
        fakes.push(pixels.chain(z[LATENT..].iter().copied()).collect::<Vec<f64>>());
    }
    let (fakes, real) = (side_by_side(&fakes, *pack), side_by_side(real, *pack));
    for (fake, real) in fakes.iter().zip(&real) {
        let (fake, real) = (logit(fake), logit(real));
        g -= log_sigmoid(fake);
        d -= log_sigmoid(real) + log_sigmoid(-fake);
    }
    for z in z {
        preactivations.extend(affine(z, &p[0], &p[1]));
    }
    (g / fakes.len() as f64, d / fakes.len() as f64)
}

#[test]
fn gradients_equal_central_differences() {
    check(5, 7, false, 1);
}

#[test]
fn gradients_of_labelled_and_packed_nets_equal_central_differences() {
    // Seeds with which the gradients of real and of generated rows do not cancel.
    check(5, 7, true, 1);
    check(5, 8, false, 2);
    check(5, 8, true, 2);
    check(8, 12, true, 4);
}

/// Compares a net of this seed and batch size, labelled or not, that judges `pack` images at once.
fn check(seed: u64, batch_size: usize, labels: bool, pack: usize) {
    let pixels: Vec<u8> =
        (0..20 * PIXELS).map(|i| if i % 3 == 0 { 0 } else { (i * 37 % 256) as u8 }).collect();
    let classes: Vec<u8> = (0..20).map(|i| (i * i % CLASSES) as u8 + (i % 5 == 0) as u8).collect();
    let images = Images::new(&pixels, 3, 3).unwrap().labelled(&classes).unwrap();
    assert_eq!(images.classes(), CLASSES);
    // With β1 = 0 the first moment after a step is the gradient itself: m' = fma(1, g − 0, 0).
    let config = Config {
        latent_size: LATENT,
        generator_hidden: G_HIDDEN,
        discriminator_hidden: D_HIDDEN,
        batch_size,
        labels,
        pack,
        validation: 0,
        beta1: 0.0,
        seed,
        ..Config::default()
    };
    for name in Isa::NAMES {
        let Some(isa) = backends::backend(name) else { continue };
        let mut trainer = Trainer::new(config.clone(), images).unwrap();
        trainer.set_isa(isa);
        // A few steps first: biases are 0 only at the start.
        for _ in 0..3 {
            trainer.step(&Serial).unwrap();
        }
        let read = |trainer: &mut Trainer<Images<'_>, _>, part| -> Parameters {
            Tensor::ALL.map(|tensor| trainer.tensor(tensor, part).unwrap().values().map(f64::from).collect())
        };
        let before = read(&mut trainer, Part::Parameter);
        let stats = trainer.step(&Serial).unwrap();
        let gradients = read(&mut trainer, Part::AdamM);
        let last = trainer.last_step().unwrap();
        let z: Vec<Vec<f64>> =
            (0..batch_size).map(|i| last.z.row(i).iter().map(|&x| x as f64).collect()).collect();
        let batch = last.batch.to_vec();
        let real = batch.iter().map(|&i| {
            let pixels = images.image(i as usize).iter().map(|&b| (b as f32 * (1.0 / 255.0)) as f64);
            let one_hot = (0..CLASSES).map(|class| (class == classes[i as usize] as usize) as u8 as f64);
            pixels.chain(one_hot.filter(|_| labels)).collect()
        });
        let seen = Seen { z, real: real.collect(), pack };
        let (g, d) = losses(&before, &seen, &mut Vec::new());
        assert!((g - stats.generator_loss as f64).abs() < 1e-6, "{g}: {stats:?}");
        assert!((d - stats.discriminator_loss as f64).abs() < 1e-6, "{d}: {stats:?}");
        let h = 1e-6;
        for tensor in 0..8 {
            let (mut difference, mut norm) = (0.0, 0.0);
            for i in 0..before[tensor].len() {
                let shifted = |delta: f64| {
                    let mut p = before.clone();
                    p[tensor][i] += delta;
                    let mut preactivations = Vec::new();
                    let (g, d) = losses(&p, &seen, &mut preactivations);
                    (if tensor < 4 { g } else { d }, preactivations)
                };
                let ((low, low_signs), (high, high_signs)) = (shifted(-h), shifted(h));
                let kink = low_signs.iter().zip(&high_signs).any(|(a, b)| (*a > 0.0) != (*b > 0.0));
                assert!(!kink, "a perturbation crosses a kink: choose another seed");
                let numeric = (high - low) / (2.0 * h);
                difference += (numeric - gradients[tensor][i]).powf(2.0);
                norm += numeric * numeric;
            }
            let error = (difference / norm).sqrt();
            println!("{name} {}: {error:.1e}", Tensor::ALL[tensor].name());
            assert!(error < 1e-5, "{name} {}: {error:e}", Tensor::ALL[tensor].name());
        }
    }
}
