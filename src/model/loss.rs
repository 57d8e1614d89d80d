//! The two losses and their derivatives by the logits. Uses `kernels::dense` and `layout`.

use super::layout::LossRows;
use crate::kernels::Isa;
use crate::kernels::dense::CrossEntropy;

/// Mean losses of a step: generator, discriminator.
///
/// G: mean softplus(−l) over generated rows. D: (Σ softplus(−l) over real rows + Σ softplus(l) over generated rows)/b.
/// Sums ascend in f64, real rows first; each mean is rounded once. Fills the ∂loss/∂logit of `rows`.
pub fn forward_backward(isa: Isa, rows: &mut LossRows<'_>) -> (f32, f32) {
    let batch = rows.logits_real.len();
    let count = batch as f32;
    isa.run(CrossEntropy {
        logits: rows.logits_real,
        real: true,
        count,
        loss: rows.loss_real,
        d_logits: rows.d_real.row_mut(0),
    });
    isa.run(CrossEntropy {
        logits: rows.logits_fake,
        real: false,
        count,
        loss: rows.loss_fake,
        d_logits: rows.d_fake.row_mut(0),
    });
    isa.run(CrossEntropy {
        logits: rows.logits_fake,
        real: true,
        count,
        loss: rows.loss_generator,
        d_logits: rows.d_generator.row_mut(0),
    });
    let sum = |start: f64, terms: &[f32]| terms.iter().fold(start, |sum, &x| sum + x as f64);
    let generator = sum(0.0, rows.loss_generator) / batch as f64;
    let discriminator = sum(sum(0.0, rows.loss_real), rows.loss_fake) / batch as f64;
    (generator as f32, discriminator as f32)
}
