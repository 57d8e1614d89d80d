//! The two losses and their derivatives by the logits. Uses `kernels`.
//!
//! G: mean softplus(−l) over generated rows. D: (Σ softplus(−l) over real rows + Σ softplus(l) over generated rows)/b.

use crate::kernels::Isa;
use crate::kernels::dense::CrossEntropy;
use crate::kernels::reference::sigmoid;

/// Loss terms of some rows of a batch and ∂(mean loss)/∂logit, for one kind of target.
pub fn backward(isa: Isa, logits: &[f32], real: bool, batch: usize, loss: &mut [f32], dlogits: &mut [f32]) {
    isa.run(CrossEntropy { logits, real, count: batch as f32, loss, dlogits });
}

/// The mean of σ(logit): ascending adds in f64, rounded once.
pub fn mean_probability(logits: &[f32]) -> f32 {
    let sum = logits.iter().fold(0.0, |sum: f64, &logit| sum + sigmoid(logit) as f64);
    (sum / logits.len() as f64) as f32
}

/// The mean of the terms of `parts`, one part after the other: ascending adds in f64, rounded once.
pub fn mean(parts: &[&[f32]], batch: usize) -> f32 {
    let sum = parts.iter().flat_map(|part| part.iter()).fold(0.0, |sum: f64, &x| sum + x as f64);
    (sum / batch as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_ascends_in_f64_and_is_rounded_once() {
        // In f32 the ones would vanish beside 2²⁷, and in another order of f64 adds beside 2⁵⁴.
        assert_eq!(mean(&[&[134_217_728.0], &[1.0; 16]], 1), 134_217_744.0);
        let large = f32::from_bits((127 + 54) << 23);
        assert_eq!(mean(&[&[1.0, large], &[-large]], 1), 0.0);
        assert_eq!(mean(&[&[large, -large], &[1.0]], 1), 1.0);
    }
    #[test]
    fn a_mean_probability_is_of_all_logits() {
        assert_eq!(mean_probability(&[0.0]), 0.5);
        assert_eq!(mean_probability(&[0.0, 40.0]), 0.75);
        assert_eq!(mean_probability(&[40.0, 40.0, 0.0, -200.0]), 0.625);
    }
}
