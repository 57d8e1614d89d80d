//! The two losses and their derivatives by the logits. Uses `kernels::dense`.
//!
//! G: mean softplus(−l) over generated rows. D: (Σ softplus(−l) over real rows + Σ softplus(l) over generated rows)/b.

use crate::kernels::Isa;
use crate::kernels::dense::CrossEntropy;

/// Loss terms of the rows and ∂(mean loss)/∂logit, for one kind of target.
pub fn backward(isa: Isa, logits: &[f32], real: bool, loss: &mut [f32], d_logits: &mut [f32]) {
    let count = logits.len() as f32;
    isa.run(CrossEntropy { logits, real, count, loss, d_logits });
}

/// The mean of the terms of `parts`, one part after the other: ascending adds in f64, rounded once.
pub fn mean(parts: &[&[f32]], batch: usize) -> f32 {
    let sum = parts.iter().flat_map(|part| part.iter()).fold(0.0, |sum: f64, &x| sum + x as f64);
    (sum / batch as f64) as f32
}
