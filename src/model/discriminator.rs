//! The discriminator: pixels → hidden, ReLU → one logit; forward and backward. Uses `kernels` and
//! [`parallel`](crate::parallel).

use super::{ROW_BLOCK, for_each_tile};
use crate::kernels::Isa;
use crate::kernels::dense::{HiddenForward, LogitBackward, Logits};
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::lists::Lists;
use crate::kernels::tiles::{Mat, MatMut};
use crate::parallel::{Join, for_each_block};

/// The real images of a batch, with their zeros or without.
#[derive(Clone, Copy, Debug)]
pub enum Real<'a> {
    /// [batch, pixels].
    Dense(Mat<'a>),
    /// Non-zero pixels by image, and non-zero images by pixel.
    Lists {
        /// A row per image.
        by_image: Lists<'a>,
        /// A row per pixel.
        by_pixel: Lists<'a>,
    },
}

/// `hidden[b, h] = relu(x[b, p]·weight[p, h] + bias[h])` of real images.
pub fn hidden_forward_real<J: Join>(
    join: &J,
    isa: Isa,
    real: Real<'_>,
    weight: Mat<'_>,
    bias: &[f32],
    hidden: MatMut<'_>,
) {
    for_each_block(join, hidden, ROW_BLOCK, &|first, out: MatMut<'_>| {
        let left = match real {
            Real::Dense(x) => Left::Rows(x.sub_rows(first, out.rows())),
            Real::Lists { by_image, .. } => Left::Lists(by_image.sub_rows(first, out.rows())),
        };
        isa.run(Product {
            left,
            right: weight,
            out,
            start: Start::Zero,
            epilogue: &mut HiddenForward { bias },
        });
    });
}

/// `hidden[b, h] = relu(x[b, p]·weight[p, h] + bias[h])` of generated images x, given as `fake_t[p, b]`.
pub fn hidden_forward_fake<J: Join>(
    join: &J,
    isa: Isa,
    fake_t: Mat<'_>,
    weight: Mat<'_>,
    bias: &[f32],
    hidden: MatMut<'_>,
) {
    for_each_tile(join, hidden, &|row, col, out: MatMut<'_>| {
        let (rows, cols) = (out.rows(), out.cols());
        isa.run(Product {
            left: Left::Columns(fake_t.sub_cols(row, rows)),
            right: weight.sub_cols(col, cols),
            out,
            start: Start::Zero,
            epilogue: &mut HiddenForward { bias: &bias[col..col + cols] },
        });
    });
}

/// `logits[b] = hidden[b, h]·weight[h] + bias`.
pub fn logits<J: Join>(join: &J, isa: Isa, hidden: Mat<'_>, weight: &[f32], bias: f32, logits: &mut [f32]) {
    for_each_block(join, logits, ROW_BLOCK, &|first, logits: &mut [f32]| {
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
    for_each_block(join, d_hidden, ROW_BLOCK, &|first, d_hidden: MatMut<'_>| {
        let rows = d_hidden.rows();
        let d_logits = &d_logits[first..first + rows];
        isa.run(LogitBackward { d_logits, weight, h: hidden.sub_rows(first, rows), d_hidden });
    });
}
