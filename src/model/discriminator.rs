//! The end of the discriminator, hidden → one logit, forward and backward. Uses `kernels` and
//! [`parallel`](crate::parallel).

use crate::kernels::Isa;
use crate::kernels::dense::{LogitBackward, Logits};
use crate::kernels::tiles::{Mat, MatMut};
use crate::parallel::{Join, for_each_block};

/// Rows of a batch that one piece of work takes.
const ROWS: usize = 32;

/// `logits[b] = hidden[b, h]·weight[h] + bias`.
pub fn logits<J: Join>(join: &J, isa: Isa, hidden: Mat<'_>, weight: &[f32], bias: f32, logits: &mut [f32]) {
    for_each_block(join, logits, ROWS, &|first, logits: &mut [f32]| {
        isa.run(Logits { h: hidden.sub_rows(first, logits.len()), weight, bias, logits });
    });
}

/// `d_hidden[b, h] = d_logits[b]·weight[h]` where hidden > 0.
pub fn hidden_backward<J: Join>(
    join: &J,
    isa: Isa,
    d_logits: &[f32],
    weight: &[f32],
    hidden: Mat<'_>,
    d_hidden: MatMut<'_>,
) {
    for_each_block(join, d_hidden, ROWS, &|first, d_hidden: MatMut<'_>| {
        let rows = d_hidden.rows();
        let d_logits = &d_logits[first..first + rows];
        isa.run(LogitBackward { d_logits, weight, h: hidden.sub_rows(first, rows), d_hidden });
    });
}
