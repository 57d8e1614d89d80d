//! Every tensor's gradient of both losses against central differences of an independent f64 forward pass.

mod backends;

use duel::{Config, Images, Isa, Part, Serial, Tensor, Trainer};

const LATENT: usize = 4;
const G_HIDDEN: usize = 6;
const D_HIDDEN: usize = 5;
const PIXELS: usize = 9;
const BATCH: usize = 7;

/// Parameters by tensor, row-major, in f64.
type Parameters = [Vec<f64>; 8];

/// y[j] = Σ x[i]·w[i][j] + b[j].
fn affine(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    (0..n).map(|j| x.iter().enumerate().map(|(i, x)| x * w[i * n + j]).sum::<f64>() + b[j]).collect()
}

#[allow(clippy::disallowed_methods)]
fn losses(p: &Parameters, z: &[Vec<f64>], real: &[Vec<f64>], preactivations: &mut Vec<f64>) -> (f64, f64) {
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
        fakes.push(
            affine(&hidden, &p[2], &p[3]).iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect::<Vec<f64>>(),
        );
    }
    for (fake, real) in fakes.iter().zip(real) {
        let (fake, real) = (logit(fake), logit(real));
        g -= log_sigmoid(fake);
        d -= log_sigmoid(real) + log_sigmoid(-fake);
    }
    for z in z {
        preactivations.extend(affine(z, &p[0], &p[1]));
    }
    (g / z.len() as f64, d / z.len() as f64)
}

#[test]
fn gradients_equal_central_differences() {
    let pixels: Vec<u8> =
        (0..20 * PIXELS).map(|i| if i % 3 == 0 { 0 } else { (i * 37 % 256) as u8 }).collect();
    let images = Images::new(&pixels, 3, 3).unwrap();
    // With β1 = 0 the first moment after a step is the gradient itself: m' = fma(1, g − 0, 0).
    let config = Config {
        latent_size: LATENT,
        generator_hidden: G_HIDDEN,
        discriminator_hidden: D_HIDDEN,
        batch_size: BATCH,
        validation: 0,
        beta1: 0.0,
        seed: 5,
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
        let read = |trainer: &mut Trainer<'_, _>, part| -> Parameters {
            Tensor::ALL.map(|tensor| trainer.tensor(tensor, part).unwrap().values().map(f64::from).collect())
        };
        let before = read(&mut trainer, Part::Parameter);
        let stats = trainer.step(&Serial).unwrap();
        let gradients = read(&mut trainer, Part::AdamM);
        let last = trainer.last_step().unwrap();
        let z: Vec<Vec<f64>> =
            (0..BATCH).map(|i| last.z.row(i).iter().map(|&x| x as f64).collect()).collect();
        let batch = last.batch.to_vec();
        let real: Vec<Vec<f64>> = batch
            .iter()
            .map(|&i| images.image(i as usize).iter().map(|&b| (b as f32 * (1.0 / 255.0)) as f64).collect())
            .collect();
        let (g, d) = losses(&before, &z, &real, &mut Vec::new());
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
                    let (g, d) = losses(&p, &z, &real, &mut preactivations);
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
