//! What the generator has of its own: noise and samples. Uses `kernels`, `rng`, [`parallel`](crate::parallel) and
//! `layers`.

use super::layers::{Zeros, hidden_forward, pixels_forward, rows};
use crate::kernels::Isa;
use crate::kernels::gemm::Left;
use crate::kernels::lists::ListsMut;
use crate::kernels::reference::pixel_byte;
use crate::kernels::tiles::{Mat, MatMut};
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

/// A generator's parameters, and room for a batch of its values: all that sampling takes.
#[derive(Debug)]
pub struct Sampling<'a> {
    /// [latent, hidden].
    pub hidden_weight: Mat<'a>,
    /// One per hidden unit.
    pub hidden_bias: &'a [f32],
    /// [hidden, pixels].
    pub out_weight: Mat<'a>,
    /// One per pixel.
    pub out_bias: &'a [f32],
    /// [batch, latent].
    pub z: MatMut<'a>,
    /// [batch, hidden].
    pub hidden: MatMut<'a>,
    /// Non-zero hidden values by image.
    pub hidden_lists: ListsMut<'a>,
    /// [batch, pixels].
    pub fake: MatMut<'a>,
}

impl Sampling<'_> {
    /// Writes the samples `first..` of `seed` into `out`, a whole number of images, a byte per pixel.
    pub fn run<J: Join>(&mut self, join: &J, isa: Isa, seed: u64, first: u64, out: &mut [u8]) {
        let (batch, pixels) = (self.z.rows(), self.fake.cols());
        let mut index = first;
        for images in out.chunks_mut(batch * pixels) {
            let count = images.len() / pixels;
            let mut z = self.z.reborrow().divide(count).0;
            let mut hidden = self.hidden.reborrow().divide(count).0;
            let lists = self.hidden_lists.first_rows(count);
            let mut fake = self.fake.reborrow().divide(count).0;
            noise(join, seed, |row| Purpose::Sample(index.wrapping_add(row)), z.reborrow());
            let (weight, bias) = (self.hidden_weight, self.hidden_bias);
            hidden_forward(join, isa, Left::Rows(z.view()), weight, bias, hidden.reborrow());
            let hidden = rows(join, Zeros::LeftOut, hidden.view(), lists);
            pixels_forward(join, isa, hidden, self.out_weight, self.out_bias, fake.reborrow());
            let fake = fake.view();
            for_each_block(join, Bytes { bytes: images, pixels }, IMAGE_BLOCK, &|first, out: Bytes<'_>| {
                for (row, image) in out.bytes.chunks_exact_mut(pixels).enumerate() {
                    image.iter_mut().zip(fake.row(first + row)).for_each(|(byte, &y)| *byte = pixel_byte(y));
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
