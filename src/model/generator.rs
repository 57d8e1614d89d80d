//! The generator: z → hidden, ReLU → pixels, sigmoid; forward and backward, noise and samples. Uses `kernels`, `rng` and
//! [`parallel`](crate::parallel).

use super::PIXEL_BLOCK;
use super::ROW_BLOCK;
use crate::kernels::Isa;
use crate::kernels::dense::{HiddenBackward, HiddenForward, PixelForward};
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::reference::pixel_byte;
use crate::kernels::tiles::{Mat, MatMut, transpose};
use crate::parallel::{Divide, Join, for_each_block};
use crate::rng::{Purpose, Stream};

/// Rows of noise, or finished images, that one piece of work takes.
const IMAGE_BLOCK: usize = 16;

/// `z[row]` = uniforms of the stream `purpose(row)`.
pub fn noise<J: Join>(join: &J, seed: u64, purpose: impl Fn(u64) -> Purpose + Sync, z: MatMut<'_>) {
    for_each_block(join, z, IMAGE_BLOCK, &|first, mut z: MatMut<'_>| {
        for row in 0..z.rows() {
            Stream::new(seed, purpose((first + row) as u64)).fill_uniform(z.row_mut(row));
        }
    });
}

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

/// A generator's parameters, and room for a batch of its values: all that sampling takes.
#[derive(Debug)]
pub struct Sampling<'a> {
    /// [latent, hidden].
    pub hidden_weight: Mat<'a>,
    /// One per hidden unit.
    pub hidden_bias: &'a [f32],
    /// [pixels, hidden].
    pub out_weight_t: Mat<'a>,
    /// One per pixel.
    pub out_bias: &'a [f32],
    /// [batch, latent].
    pub z: MatMut<'a>,
    /// [batch, hidden].
    pub hidden: MatMut<'a>,
    /// [hidden, batch].
    pub hidden_t: MatMut<'a>,
    /// [pixels, batch].
    pub fake_t: MatMut<'a>,
}

impl Sampling<'_> {
    /// Writes the samples `first..` of `seed` into `out`, a whole number of images, a byte per pixel.
    pub fn run<J: Join>(&mut self, join: &J, isa: Isa, seed: u64, first: u64, out: &mut [u8]) {
        let (batch, pixels) = (self.z.rows(), self.fake_t.rows());
        let mut index = first;
        for images in out.chunks_mut(batch * pixels) {
            let count = images.len() / pixels;
            let mut z = self.z.reborrow().divide(count).0;
            let mut hidden = self.hidden.reborrow().divide(count).0;
            let hidden_t = self.hidden_t.reborrow().divide_cols(count).0;
            let mut fake_t = self.fake_t.reborrow().divide_cols(count).0;
            noise(join, seed, |row| Purpose::Sample(index.wrapping_add(row)), z.reborrow());
            hidden_forward(join, isa, z.view(), self.hidden_weight, self.hidden_bias, hidden.reborrow());
            let (weight_t, bias) = (self.out_weight_t, self.out_bias);
            out_forward(join, isa, hidden.view(), hidden_t, weight_t, bias, fake_t.reborrow());
            let fake_t = fake_t.view();
            for_each_block(join, Bytes { bytes: images, pixels }, IMAGE_BLOCK, &|first, out: Bytes<'_>| {
                let rows = out.rows();
                for p in 0..pixels {
                    for (row, &y) in fake_t.row(p)[first..first + rows].iter().enumerate() {
                        out.bytes[row * pixels + p] = pixel_byte(y);
                    }
                }
            });
            index = index.wrapping_add(count as u64);
        }
    }
}

/// Images one after the other, a byte per pixel.
struct Bytes<'a> {
    bytes: &'a mut [u8],
    pixels: usize,
}

impl Divide for Bytes<'_> {
    fn rows(&self) -> usize {
        self.bytes.len() / self.pixels
    }
    fn divide(self, at: usize) -> (Self, Self) {
        let pixels = self.pixels;
        let (bytes, rest) = self.bytes.split_at_mut(at * pixels);
        (Bytes { bytes, pixels }, Bytes { bytes: rest, pixels })
    }
}
