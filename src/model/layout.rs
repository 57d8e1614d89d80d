//! The places of everything in the arena. Uses [`error`](crate::error), [`parallel`](crate::parallel), `kernels`, `rng`,
//! `sizes`, `tensor` and `places`.
//!
//! All memory of a run is one slice of [`Line`]s: first the state (every tensor, with its moments), then what goes from
//! owner to owner, then the owners' own memory, cut up among as many as there are in a run. Where everything lies is a
//! function of the sizes, but for that last part.
//!
//! Both large weights are stored by pixel, `[pixels, hidden]`: an owner's pixels are rows, memory of its own.

use super::places::{LINE, ListPlace, Place, Planner};
use super::sizes::{BLOCKS, Sizes, max};
use super::tensor::{Part, Tensor, TensorView};
use crate::error::Error;
use crate::kernels::reference::sqrt;
use crate::kernels::relay::flag_lines;
use crate::kernels::tiles::Line;
use crate::parallel::MOST_WORKERS;
use crate::rng::{Purpose, Stream};

/// Where everything of a run lies that does not belong to one owner. Names are those of [`trainer`](crate::trainer).
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Every tensor as it is stored: parameters, first moments, second moments, average. That is empty where there is none.
    pub tensors: [[Place; 4]; 8],
    /// The current epoch's permutation, one row of u32s.
    pub order: Place,
    /// How many images the next step has (0: there is none), and which; one row of u32s.
    pub batch: Place,
    /// Noise and classes, [batch, latent + classes].
    pub z: Place,
    /// The generator's hidden values, [batch, hidden].
    pub h: Place,
    /// The discriminator's hidden values of real images, [rows, hidden].
    pub r: Place,
    /// The same of generated images.
    pub f: Place,
    /// ∂(G loss)/∂(h before its ReLU), [batch, hidden].
    pub dh: Place,
    /// discriminator.out.weight as it was before the step, one row.
    pub v2: Place,
    /// dl_r, one value per row of the discriminator.
    pub dl_r: Place,
    /// dl_f, and dl_g, one value each per row.
    pub dl_f: Place,
    /// l_r, and l_f.
    pub logits: Place,
    /// D's loss terms of real images, of generated ones, and G's.
    pub losses: Place,
    /// dl_r, dl_f and dl_g, while they are made.
    pub dlogits: Place,
    /// Gradient of generator.hidden.bias.
    pub db1: Place,
    /// Gradient of discriminator.hidden.bias.
    pub dc1: Place,
    /// Lines of the flags of the relays, after all of that.
    pub flags: usize,
    /// The first line of the owners' memory.
    pub own: usize,
}

impl Layout {
    /// The layout of `sizes`.
    pub const fn new(sizes: &Sizes) -> Layout {
        let mut plan = Planner(0);
        let nowhere = Place { first: 0, rows: 0, cols: 0 };
        let mut tensors = [[nowhere; 4]; 8];
        let mut i = 0;
        while i < 8 {
            let [rows, cols] = Tensor::ALL[i].stored_dims(sizes);
            let averaged = if sizes.averaged && Tensor::ALL[i].is_generators() { rows } else { 0 };
            tensors[i] =
                [plan.mat(rows, cols), plan.mat(rows, cols), plan.mat(rows, cols), plan.mat(averaged, cols)];
            i += 1;
        }
        let (batch, rows) = (sizes.batch, sizes.rows());
        let (g_hidden, d_hidden) = (sizes.generator_hidden, sizes.discriminator_hidden);
        let flags = Self::flags(sizes.most_owners(), BLOCKS);
        Layout {
            tensors,
            order: plan.mat(1, sizes.images),
            batch: plan.mat(1, 1 + batch),
            z: plan.mat(batch, sizes.generator_inputs()),
            h: plan.mat(batch, g_hidden),
            r: plan.mat(rows, d_hidden),
            f: plan.mat(rows, d_hidden),
            dh: plan.mat(batch, g_hidden),
            v2: plan.mat(1, d_hidden),
            dl_r: plan.mat(1, rows),
            dl_f: plan.mat(2, rows),
            logits: plan.mat(2, rows),
            losses: plan.mat(3, rows),
            dlogits: plan.mat(3, rows),
            db1: plan.mat(1, g_hidden),
            dc1: plan.mat(1, d_hidden),
            flags,
            own: plan.0 + flags,
        }
    }

    /// Lines of the flags: of three relays in blocks, and of five in one.
    const fn flags(owners: usize, blocks: usize) -> usize {
        3 * flag_lines(owners, blocks) + 5 * flag_lines(owners, 1)
    }

    /// Lines of the arena of `sizes`: a constant function, so that an arena can be a static array. They suffice for any
    /// number of owners.
    pub const fn arena_lines(sizes: &Sizes) -> usize {
        let (mut most, mut owners) = (0, 1);
        while owners <= sizes.most_owners() {
            let (mut sum, mut owner) = (0, 0);
            while owner < owners {
                let (pixels, inputs) = (sizes.pixels_of(owner, owners), sizes.inputs_of(owner, owners));
                sum += OwnLayout::new(sizes, pixels.end - pixels.start, inputs.end - inputs.start).lines;
                owner += 1;
            }
            most = max(most, sum);
            owners += 1;
        }
        Layout::new(sizes).own + most
    }
}

/// Rows of a weight whose gradient is made at a time.
pub const GRADIENT_ROWS: usize = 66;
/// Its columns at most.
pub const GRADIENT_COLUMNS: usize = 128;

/// Where everything lies in the memory of one owner.
#[derive(Clone, Copy, Debug)]
pub struct OwnLayout {
    /// generator.out.weight, transposed back to [hidden, pixels].
    pub w2: Place,
    /// The rows of discriminator.hidden.weight that belong to pixels, transposed, [hidden, pack · pixels].
    pub v1_t: Place,
    /// Bytes of real images that are judged together; empty where each is judged alone.
    pub bytes: Place,
    /// Real images, with their classes, [rows, inputs].
    pub x: Place,
    /// Generated images, with their classes, [rows, inputs].
    pub y: Place,
    /// ∂(G loss)/∂(y before its sigmoid), [rows, pack · pixels]; empty where each image is judged alone.
    pub dy_packed: Place,
    /// The same image by image, [batch, pixels].
    pub dy: Place,
    /// ∂(D loss)/∂(r before its ReLU), [rows, hidden].
    pub dr: Place,
    /// ∂(D loss)/∂(f before its ReLU), [rows, hidden].
    pub df: Place,
    /// ∂(G loss)/∂(f before its ReLU), [rows, hidden].
    pub dg: Place,
    /// Gradient of generator.out.bias, one row.
    pub db2: Place,
    /// A piece of a weight's gradient.
    pub gradient: Place,
    /// Terms of x by row.
    pub x_by_image: ListPlace,
    /// Terms of x by input.
    pub x_by_pixel: ListPlace,
    /// Terms of y, then of dy, by row.
    pub by_image: ListPlace,
    /// Terms of y, then of dy, by column.
    pub by_pixel: ListPlace,
    /// Terms of h, then of dg, by row.
    pub by_unit: ListPlace,
    /// Lines of all of it.
    pub lines: usize,
}

impl OwnLayout {
    /// The layout for the owner of so many pixels, and of so many inputs of the discriminator.
    pub const fn new(sizes: &Sizes, pixels: usize, inputs: usize) -> OwnLayout {
        let mut plan = Planner(0);
        let (batch, rows) = (sizes.batch, sizes.rows());
        let (g_hidden, d_hidden) = (sizes.generator_hidden, sizes.discriminator_hidden);
        let packed = sizes.pack * pixels;
        OwnLayout {
            w2: plan.mat(g_hidden, pixels),
            v1_t: plan.mat(d_hidden, packed),
            bytes: plan.mat(if sizes.pack > 1 { 1 } else { 0 }, packed.div_ceil(4)),
            x: plan.mat(rows, inputs),
            y: plan.mat(rows, inputs),
            dy_packed: plan.mat(if sizes.pack > 1 { rows } else { 0 }, packed),
            dy: plan.mat(batch, pixels),
            dr: plan.mat(rows, d_hidden),
            df: plan.mat(rows, d_hidden),
            dg: plan.mat(rows, d_hidden),
            db2: plan.mat(1, pixels),
            gradient: plan.mat(GRADIENT_ROWS, GRADIENT_COLUMNS),
            x_by_image: plan.lists(rows, inputs),
            x_by_pixel: plan.lists(inputs, rows),
            by_image: plan.lists(batch, inputs),
            by_pixel: plan.lists(inputs, batch),
            by_unit: plan.lists(batch, max(g_hidden, d_hidden)),
            lines: plan.0,
        }
    }
}

/// Where everything lies that a generator alone needs to sample, its weights row-major.
#[derive(Clone, Copy, Debug)]
pub struct SamplerLayout {
    /// generator.hidden.weight, [latent + classes, hidden].
    pub w1: Place,
    /// generator.hidden.bias, one row.
    pub b1: Place,
    /// generator.out.weight, [hidden, pixels].
    pub w2: Place,
    /// generator.out.bias, one row.
    pub b2: Place,
    /// Noise and classes, [batch, latent + classes].
    pub z: Place,
    /// Hidden values, [batch, hidden].
    pub h: Place,
    /// Generated images, [batch, pixels].
    pub y: Place,
    /// Terms of h by image.
    pub by_unit: ListPlace,
    /// Lines of all of it.
    pub lines: usize,
}

impl SamplerLayout {
    /// The layout of `sizes`.
    pub const fn new(sizes: &Sizes) -> SamplerLayout {
        let mut plan = Planner(0);
        SamplerLayout {
            w1: plan.mat(sizes.generator_inputs(), sizes.generator_hidden),
            b1: plan.mat(1, sizes.generator_hidden),
            w2: plan.mat(sizes.generator_hidden, sizes.pixels),
            b2: plan.mat(1, sizes.pixels),
            z: plan.mat(sizes.batch, sizes.generator_inputs()),
            h: plan.mat(sizes.batch, sizes.generator_hidden),
            y: plan.mat(sizes.batch, sizes.pixels),
            by_unit: plan.lists(sizes.batch, sizes.generator_hidden),
            lines: plan.0,
        }
    }
}

/// No fewer bytes than an arena of `sizes` has, counted without overflow on any machine.
fn most_bytes(sizes: &Sizes) -> u64 {
    /// More than a row's last line and its odd one.
    const BESIDE: usize = 3 * LINE;
    let mat = |rows: usize, cols: usize| (rows as u64 + 1) * (cols + BESIDE) as u64;
    let Sizes { generator_hidden, discriminator_hidden, batch, images, .. } = *sizes;
    let (latent, pixels) = (sizes.generator_inputs(), sizes.discriminator_inputs());
    let hidden = max(generator_hidden, discriminator_hidden);
    // Every owner's rows end with a line that is not full.
    let own_pixels = pixels + MOST_WORKERS * BESIDE;
    let tensors = mat(latent, hidden) + 2 * mat(pixels, hidden) + 5 * mat(1, max(hidden, pixels));
    let averages = if sizes.averaged { tensors } else { 0 };
    let shared = averages
        + mat(1, images)
        + mat(batch, latent)
        + 4 * mat(batch, hidden)
        + 12 * mat(1, max(batch, hidden));
    // Lists take two and a half times as much as what they are made of.
    let by_pixel = 2 * mat(hidden, own_pixels) + (4 + 4 * 3) * mat(max(batch, LINE), own_pixels);
    let by_owner =
        (3 + 3) * mat(batch, hidden) + mat(GRADIENT_ROWS, GRADIENT_COLUMNS) + mat(8, BLOCKS * LINE);
    4 * (3 * tensors + shared + by_pixel + MOST_WORKERS as u64 * by_owner)
}

/// Checks that the arena of `sizes` can be addressed, and returns its lines.
///
/// # Errors
/// [`Error::Environment`] if it cannot.
pub fn arena_lines(sizes: &Sizes) -> Result<usize, Error> {
    if most_bytes(sizes) <= isize::MAX as u64 {
        Ok(Layout::arena_lines(sizes))
    } else {
        Err(Error::environment("the run's memory is beyond this machine's address space"))
    }
}

impl Layout {
    /// Part of a tensor in `memory`.
    pub fn view<'a>(&self, memory: &'a [Line], tensor: Tensor, part: Part) -> TensorView<'a> {
        let stored = self.tensors[tensor as usize][part as usize].of(memory);
        TensorView::new(tensor, stored)
    }

    /// Sets every value of part of a tensor, in canonical order.
    pub(crate) fn fill(
        &self,
        memory: &mut [Line],
        tensor: Tensor,
        part: Part,
        mut next: impl FnMut() -> f32,
    ) {
        let [rows, cols] = self.view(memory, tensor, part).dims();
        let mut stored = self.tensors[tensor as usize][part as usize].of_mut::<f32>(memory);
        for i in 0..rows {
            for j in 0..cols {
                let (row, col) = if tensor.is_transposed() { (j, i) } else { (i, j) };
                stored.row_mut(row)[col] = next();
            }
        }
    }

    /// The state before the first step: weights N(0, σ) with σ = 1/√(fan_in/2) in row-major order, both normals of a
    /// pair in turn; biases, moments and logits 0. An average begins as the parameters are.
    pub(crate) fn initialise(&self, memory: &mut [Line], seed: u64) {
        for tensor in Tensor::ALL {
            for part in Part::ALL {
                self.fill(memory, tensor, part, || 0.0);
            }
            if tensor.is_bias() {
                continue;
            }
            let [fan_in, _] = self.view(memory, tensor, Part::Parameter).dims();
            let sigma = 1.0 / sqrt(fan_in as f64 / 2.0);
            let mut stream = Stream::new(seed, Purpose::Init(tensor as u64));
            let (mut n, mut pair) = (0, [0.0; 2]);
            self.fill(memory, tensor, Part::Parameter, || {
                if n % 2 == 0 {
                    pair = stream.normal_pair(sigma);
                }
                n += 1;
                pair[(n - 1) % 2]
            });
        }
        let mut logits = self.logits.of_mut::<f32>(memory);
        (0..logits.rows()).for_each(|row| logits.row_mut(row).fill(0.0));
        self.begin_averages(memory);
    }

    /// Whether there is an average.
    pub fn is_averaged(&self) -> bool {
        self.tensors[0][Part::Average as usize].rows > 0
    }

    /// The average begins as the parameters are.
    fn begin_averages(&self, memory: &mut [Line]) {
        for [p, _, _, average] in self.tensors {
            // They lie one after the other, or there is none.
            let (before, from) = memory.split_at_mut(average.first);
            let (mut average, p) = (Place { first: 0, ..average }.of_mut::<f32>(from), p.of::<f32>(before));
            (0..average.rows()).for_each(|i| average.row_mut(i).copy_from_slice(p.row(i)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_arena_is_none_too_small_and_lets_the_default_run_onto_32_bits() {
        for size in [1, 2, 15, 16, 17, 100, 257, 784, 5_000, 65_536] {
            for other in [1, 33, 784, 65_536] {
                for sizes in [
                    [size, other, other, size, other, 1],
                    [other, size, size, other, other, 60_000],
                    [size, size, other, other, size, 1_000_000],
                ] {
                    let [latent, generator_hidden, discriminator_hidden, batch, pixels, images] = sizes;
                    for (pack, classes) in [(1, 0), (1, 256), (2, 3), (4, 10)] {
                        let sizes = Sizes {
                            latent,
                            classes,
                            generator_hidden,
                            discriminator_hidden,
                            batch: pack * batch,
                            pack,
                            averaged: classes != 3,
                            pixels: pixels.div_ceil(pack),
                            images,
                        };
                        let bytes = size_of::<Line>() as u64 * Layout::arena_lines(&sizes) as u64;
                        assert!(bytes <= most_bytes(&sizes), "{sizes:?}");
                    }
                }
            }
        }
        let sizes = Sizes::new(&crate::Config::default(), 784, 0, 55_000);
        assert!(most_bytes(&sizes) < 100_000_000);
    }
}
