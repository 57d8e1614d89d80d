//! The generator: z → hidden, ReLU → pixels, sigmoid; forward and backward. Uses `kernels` and
//! [`parallel`](crate::parallel).

use super::PIXEL_BLOCK;
use super::ROW_BLOCK;
use crate::kernels::Isa;
use crate::kernels::dense::{HiddenBackward, HiddenForward, PixelForward};
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::tiles::{Mat, MatMut, transpose};
use crate::parallel::{Join, for_each_block};

/// `hidden[b, h] = relu(z[b, l]·weight[l, h] + bias[h])`.
pub fn hidden_forward<J: Join>(
    join: &J,
    isa: Isa,
    z: Mat<'_>,
    weight: Mat<'_>,
    bias: &[f32],
    hidden: MatMut<'_>,
) {
    for_each_block(join, hidden, ROW_BLOCK, &|first, out: MatMut<'_>| {
        let left = Left::Rows(z.sub_rows(first, out.rows()));
        isa.run(Product {
            left,
            right: weight,
            out,
            start: Start::Zero,
            epilogue: &mut HiddenForward { bias },
        });
    });
}

/// `fake_t[p, b] = output_sigmoid(weight_t[p, h]·hidden_t[h, b] + bias[p])`, with `hidden_t` made of `hidden[b, h]`.
pub fn out_forward<J: Join>(
    join: &J,
    isa: Isa,
    hidden: Mat<'_>,
    mut hidden_t: MatMut<'_>,
    weight_t: Mat<'_>,
    bias: &[f32],
    fake_t: MatMut<'_>,
) {
    transpose(hidden, hidden_t.reborrow());
    let right = hidden_t.view();
    for_each_block(join, fake_t, PIXEL_BLOCK, &|first, out: MatMut<'_>| {
        let rows = out.rows();
        let left = Left::Rows(weight_t.sub_rows(first, rows));
        let bias = &bias[first..first + rows];
        isa.run(Product { left, right, out, start: Start::Zero, epilogue: &mut PixelForward { bias } });
    });
}

/// `d_hidden[b, h] = d_fake[b, p]·weight[p, h]` where hidden > 0, with `d_fake` given as `d_fake_t[p, b]`.
pub fn hidden_backward<J: Join>(
    join: &J,
    isa: Isa,
    d_fake_t: Mat<'_>,
    weight_t: Mat<'_>,
    hidden: Mat<'_>,
    d_hidden: MatMut<'_>,
) {
    super::for_each_tile(join, d_hidden, &|row, col, out: MatMut<'_>| {
        let (rows, cols) = (out.rows(), out.cols());
        isa.run(Product {
            left: Left::Columns(d_fake_t.sub_cols(row, rows)),
            right: weight_t.sub_cols(col, cols),
            out,
            start: Start::Zero,
            epilogue: &mut HiddenBackward { h: hidden.sub_rows(row, rows).sub_cols(col, cols) },
        });
    });
}
