//! The tensors and their place in the arena. Uses [`config`](crate::config), `kernels::tiles` and `kernels::lists`.
//!
//! All memory of a run is one slice of [`Line`]s. Rows of matrices start on a cache line, and their stride is an odd
//! number of lines, so that a column of tiles does not fall into one set of the cache.

use crate::config::{Config, MAX_SIZE};
use crate::error::Error;
use crate::kernels::lists::{ListsMut, PAIR};
use crate::kernels::reference::{in_bounds, sqrt};
use crate::kernels::tiles::{Line, Mat, MatMut};
use crate::rng::{Purpose, Stream};

/// f32s per line.
const LINE: usize = 16;

/// The sizes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Noise per image.
    pub latent: usize,
    /// Hidden units of the generator.
    pub generator_hidden: usize,
    /// Hidden units of the discriminator.
    pub discriminator_hidden: usize,
    /// Images per batch.
    pub batch: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Training images.
    pub images: usize,
}

impl Sizes {
    /// The sizes of `config` with `images` training images of `pixels`.
    pub const fn new(config: &Config, pixels: usize, images: usize) -> Sizes {
        Sizes {
            latent: config.latent_size,
            generator_hidden: config.generator_hidden,
            discriminator_hidden: config.discriminator_hidden,
            batch: config.batch_size,
            pixels,
            images,
        }
    }
    const fn hidden_max(&self) -> usize {
        if self.generator_hidden > self.discriminator_hidden {
            self.generator_hidden
        } else {
            self.discriminator_hidden
        }
    }
}

/// f32s from one row to the next: `cols` rounded up to an odd number of lines.
const fn stride(cols: usize) -> usize {
    (cols.div_ceil(LINE) | 1) * LINE
}

/// Hands out the arena piece by piece, or only counts (`lines`), in the same order.
struct Carver<'a> {
    rest: &'a mut [Line],
}

impl<'a> Carver<'a> {
    fn lines(&mut self, n: usize) -> &'a mut [Line] {
        let (piece, rest) = core::mem::take(&mut self.rest).split_at_mut(n);
        self.rest = rest;
        piece
    }
    fn mat(&mut self, rows: usize, cols: usize) -> MatMut<'a> {
        let lines = self.lines(mat_lines(rows, cols));
        MatMut::new(bytemuck::cast_slice_mut(lines), rows, cols, stride(cols))
    }
    fn floats(&mut self, n: usize) -> &'a mut [f32] {
        &mut bytemuck::cast_slice_mut(self.lines(floats_lines(n)))[..n]
    }
    fn words(&mut self, n: usize) -> &'a mut [u32] {
        &mut bytemuck::cast_slice_mut(self.lines(words_lines(n)))[..n]
    }
    fn lists(&mut self, rows: usize, capacity: usize) -> ListsMut<'a> {
        let pairs = rows.div_ceil(PAIR);
        let places = pairs * capacity;
        let index = &mut bytemuck::cast_slice_mut(self.lines(places.div_ceil(2 * LINE)))[..places];
        let value = bytemuck::cast_slice_mut(self.floats(PAIR * places));
        ListsMut::new(index, value, self.words(pairs), rows, capacity)
    }
    fn tensor(&mut self, rows: usize, cols: usize) -> TensorMut<'a> {
        TensorMut { p: self.mat(rows, cols), m: self.mat(rows, cols), v: self.mat(rows, cols) }
    }
}

const fn mat_lines(rows: usize, cols: usize) -> usize {
    rows * stride(cols) / LINE
}
const fn floats_lines(n: usize) -> usize {
    n.div_ceil(LINE)
}
const fn words_lines(n: usize) -> usize {
    n.div_ceil(LINE)
}
const fn lists_lines(rows: usize, capacity: usize) -> usize {
    let pairs = rows.div_ceil(PAIR);
    (pairs * capacity).div_ceil(2 * LINE) + floats_lines(PAIR * pairs * capacity) + words_lines(pairs)
}
const fn tensor_lines(rows: usize, cols: usize) -> usize {
    3 * mat_lines(rows, cols)
}

/// A stored tensor with its moments.
#[derive(Debug)]
pub struct TensorMut<'a> {
    /// Parameters.
    pub p: MatMut<'a>,
    /// Adam's first moments.
    pub m: MatMut<'a>,
    /// Adam's second moments.
    pub v: MatMut<'a>,
}

impl TensorMut<'_> {
    /// The same tensor for a shorter time.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        TensorMut { p: self.p.reborrow(), m: self.m.reborrow(), v: self.v.reborrow() }
    }
}

/// Declares an arena once: its struct, its size, and the carving.
macro_rules! arena {
    (
        $(#[$doc:meta])* $name:ident
        $($(#[$field_doc:meta])* $field:ident: $kind:ident($type:ty, $lines:ident, |$s:ident| $($size:expr),+);)+
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a> { $($(#[$field_doc])* pub $field: $type,)+ }

        impl<'a> $name<'a> {
            /// Lines of the arena of `sizes`: a constant function, so that an arena can be a static array.
            pub const fn lines(sizes: &Sizes) -> usize {
                let mut sum = 0;
                $(let $s = sizes; let _ = $s; sum += $lines($($size),+);)+
                sum
            }
            /// Cuts `memory` into the pieces of `sizes`.
            pub fn carve(memory: &'a mut [Line], sizes: &Sizes) -> $name<'a> {
                let mut carver = Carver { rest: memory };
                $name { $($field: { let $s = sizes; let _ = $s; carver.$kind($($size),+) },)+ }
            }
        }
    };
}

arena! {
    /// What a generator needs to sample: its parameters, and room for one batch.
    SamplerArena
    /// generator.hidden.weight, [latent, hidden].
    hidden_weight: mat(MatMut<'a>, mat_lines, |s| s.latent, s.generator_hidden);
    /// generator.hidden.bias, one row.
    hidden_bias: mat(MatMut<'a>, mat_lines, |s| 1, s.generator_hidden);
    /// generator.out.weight, [hidden, pixels].
    out_weight: mat(MatMut<'a>, mat_lines, |s| s.generator_hidden, s.pixels);
    /// generator.out.bias, one row.
    out_bias: mat(MatMut<'a>, mat_lines, |s| 1, s.pixels);
    /// Noise, [batch, latent].
    z: mat(MatMut<'a>, mat_lines, |s| s.batch, s.latent);
    /// Hidden values, [batch, hidden].
    hidden: mat(MatMut<'a>, mat_lines, |s| s.batch, s.generator_hidden);
    /// The non-zero ones by image.
    hidden_lists: lists(ListsMut<'a>, lists_lines, |s| s.batch, s.generator_hidden);
    /// Generated images, [batch, pixels].
    fake: mat(MatMut<'a>, mat_lines, |s| s.batch, s.pixels);
}

arena! {
    /// Everything that a run reads and writes, but the data set.
    Arena
    /// generator.hidden.weight, [latent, hidden].
    g_hidden_weight: tensor(TensorMut<'a>, tensor_lines, |s| s.latent, s.generator_hidden);
    /// generator.hidden.bias, one row.
    g_hidden_bias: tensor(TensorMut<'a>, tensor_lines, |s| 1, s.generator_hidden);
    /// generator.out.weight, [hidden, pixels].
    g_out_weight: tensor(TensorMut<'a>, tensor_lines, |s| s.generator_hidden, s.pixels);
    /// generator.out.bias, one row.
    g_out_bias: tensor(TensorMut<'a>, tensor_lines, |s| 1, s.pixels);
    /// discriminator.hidden.weight, [pixels, hidden].
    d_hidden_weight: tensor(TensorMut<'a>, tensor_lines, |s| s.pixels, s.discriminator_hidden);
    /// discriminator.hidden.bias, one row.
    d_hidden_bias: tensor(TensorMut<'a>, tensor_lines, |s| 1, s.discriminator_hidden);
    /// discriminator.out.weight transposed, one row.
    d_out_weight_t: tensor(TensorMut<'a>, tensor_lines, |s| 1, s.discriminator_hidden);
    /// discriminator.out.bias, one value.
    d_out_bias: tensor(TensorMut<'a>, tensor_lines, |s| 1, 1);
    /// The current epoch's permutation.
    order: words(&'a mut [u32], words_lines, |s| s.images);
    /// The images of the step.
    batch: words(&'a mut [u32], words_lines, |s| s.batch);
    /// The generator's output weight transposed, [pixels, hidden]: a copy of what it is before the step's update.
    g_out_weight_t: mat(MatMut<'a>, mat_lines, |s| s.pixels, s.generator_hidden);
    /// The discriminator's hidden weight transposed, [hidden, pixels]: such a copy.
    d_hidden_weight_t: mat(MatMut<'a>, mat_lines, |s| s.discriminator_hidden, s.pixels);
    /// Real images, [batch, pixels].
    real: mat(MatMut<'a>, mat_lines, |s| s.batch, s.pixels);
    /// Noise, [batch, latent].
    z: mat(MatMut<'a>, mat_lines, |s| s.batch, s.latent);
    /// The generator's hidden values, [batch, hidden].
    g_hidden: mat(MatMut<'a>, mat_lines, |s| s.batch, s.generator_hidden);
    /// Generated images, [batch, pixels].
    fake: mat(MatMut<'a>, mat_lines, |s| s.batch, s.pixels);
    /// The discriminator's hidden values of real images, [batch, hidden].
    d_hidden_real: mat(MatMut<'a>, mat_lines, |s| s.batch, s.discriminator_hidden);
    /// The same of generated images.
    d_hidden_fake: mat(MatMut<'a>, mat_lines, |s| s.batch, s.discriminator_hidden);
    /// Per-row values of the loss.
    rows: loss_rows(LossRows<'a>, loss_rows_lines, |s| s.batch);
    /// ∂(D loss)/∂(hidden of real images before its ReLU), [batch, hidden].
    dd_hidden_real: mat(MatMut<'a>, mat_lines, |s| s.batch, s.discriminator_hidden);
    /// The same of generated images.
    dd_hidden_fake: mat(MatMut<'a>, mat_lines, |s| s.batch, s.discriminator_hidden);
    /// ∂(G loss)/∂(D's hidden of generated images before its ReLU), [batch, hidden].
    dg_d_hidden: mat(MatMut<'a>, mat_lines, |s| s.batch, s.discriminator_hidden);
    /// ∂(G loss)/∂(generated pixels before their sigmoid), [batch, pixels].
    d_fake: mat(MatMut<'a>, mat_lines, |s| s.batch, s.pixels);
    /// ∂(G loss)/∂(G's hidden before its ReLU), [batch, hidden].
    dg_hidden: mat(MatMut<'a>, mat_lines, |s| s.batch, s.generator_hidden);
    /// Non-zero pixels by image: of the real images, then of the generated ones, then of `d_fake`.
    by_image: lists(ListsMut<'a>, lists_lines, |s| s.batch, s.pixels);
    /// Non-zero pixels of the real images by pixel.
    real_by_pixel: lists(ListsMut<'a>, lists_lines, |s| s.pixels, s.batch);
    /// Those of the generated images.
    fake_by_pixel: lists(ListsMut<'a>, lists_lines, |s| s.pixels, s.batch);
    /// Non-zero values of `g_hidden` by image.
    g_hidden_by_image: lists(ListsMut<'a>, lists_lines, |s| s.batch, s.generator_hidden);
    /// The same by unit.
    g_hidden_by_unit: lists(ListsMut<'a>, lists_lines, |s| s.generator_hidden, s.batch);
    /// Non-zero values of `dg_d_hidden` by image.
    dg_d_hidden_by_image: lists(ListsMut<'a>, lists_lines, |s| s.batch, s.discriminator_hidden);
    /// Gradient of generator.out.bias.
    d_g_out_bias: floats(&'a mut [f32], floats_lines, |s| s.pixels);
    /// Gradient of generator.hidden.bias.
    d_g_hidden_bias: floats(&'a mut [f32], floats_lines, |s| s.generator_hidden);
    /// Gradient of discriminator.hidden.bias.
    d_d_hidden_bias: floats(&'a mut [f32], floats_lines, |s| s.discriminator_hidden);
}

/// Values per row of a batch: logits, losses, ∂loss/∂logit.
#[derive(Debug)]
pub struct LossRows<'a> {
    /// Logits of real images.
    pub logits_real: &'a mut [f32],
    /// Logits of generated images.
    pub logits_fake: &'a mut [f32],
    /// D's loss terms of real images.
    pub loss_real: &'a mut [f32],
    /// D's loss terms of generated images.
    pub loss_fake: &'a mut [f32],
    /// G's loss terms.
    pub loss_generator: &'a mut [f32],
    /// ∂(D loss)/∂(logits of real images), a row.
    pub d_real: MatMut<'a>,
    /// ∂(D loss)/∂(logits of generated images), a row.
    pub d_fake: MatMut<'a>,
    /// ∂(G loss)/∂(logits of generated images), a row.
    pub d_generator: MatMut<'a>,
}

const fn loss_rows_lines(batch: usize) -> usize {
    5 * floats_lines(batch) + 3 * mat_lines(1, batch)
}

impl<'a> Carver<'a> {
    fn loss_rows(&mut self, batch: usize) -> LossRows<'a> {
        LossRows {
            logits_real: self.floats(batch),
            logits_fake: self.floats(batch),
            loss_real: self.floats(batch),
            loss_fake: self.floats(batch),
            loss_generator: self.floats(batch),
            d_real: self.mat(1, batch),
            d_fake: self.mat(1, batch),
            d_generator: self.mat(1, batch),
        }
    }
}

/// Checks that the arena of `sizes` can be addressed, and returns its lines.
///
/// # Errors
/// [`Error::Environment`] if it cannot.
pub fn arena_lines(sizes: &Sizes) -> Result<usize, Error> {
    // No piece has more than four times the largest product of two sizes, there are fewer than 2⁷ pieces.
    let largest = sizes.pixels.max(sizes.hidden_max()).max(sizes.batch).max(sizes.latent).max(LINE * 3);
    debug_assert!(largest <= MAX_SIZE);
    let bound = (2 * largest).checked_mul(2 * largest).and_then(|n| n.checked_add(sizes.images));
    match bound.and_then(|n| n.checked_mul(4 << 7)) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(Arena::lines(sizes)),
        _ => Err(Error::environment("the run's memory is beyond this machine's address space")),
    }
}

/// One of the eight tensors, in canonical order: G before D, layer by layer, weight before bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Tensor {
    GeneratorHiddenWeight,
    GeneratorHiddenBias,
    GeneratorOutWeight,
    GeneratorOutBias,
    DiscriminatorHiddenWeight,
    DiscriminatorHiddenBias,
    DiscriminatorOutWeight,
    DiscriminatorOutBias,
}

impl Tensor {
    /// All tensors in canonical order.
    pub const ALL: [Tensor; 8] = [
        Tensor::GeneratorHiddenWeight,
        Tensor::GeneratorHiddenBias,
        Tensor::GeneratorOutWeight,
        Tensor::GeneratorOutBias,
        Tensor::DiscriminatorHiddenWeight,
        Tensor::DiscriminatorHiddenBias,
        Tensor::DiscriminatorOutWeight,
        Tensor::DiscriminatorOutBias,
    ];

    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Tensor::GeneratorHiddenWeight => "generator.hidden.weight",
            Tensor::GeneratorHiddenBias => "generator.hidden.bias",
            Tensor::GeneratorOutWeight => "generator.out.weight",
            Tensor::GeneratorOutBias => "generator.out.bias",
            Tensor::DiscriminatorHiddenWeight => "discriminator.hidden.weight",
            Tensor::DiscriminatorHiddenBias => "discriminator.hidden.bias",
            Tensor::DiscriminatorOutWeight => "discriminator.out.weight",
            Tensor::DiscriminatorOutBias => "discriminator.out.bias",
        }
    }

    /// Whether it is a bias: one dimension.
    pub const fn is_bias(self) -> bool {
        self as usize % 2 == 1
    }

    /// Rows and columns in canonical order; a bias is one row.
    pub const fn dims(self, sizes: &Sizes) -> [usize; 2] {
        match self {
            Tensor::GeneratorHiddenWeight => [sizes.latent, sizes.generator_hidden],
            Tensor::GeneratorHiddenBias => [1, sizes.generator_hidden],
            Tensor::GeneratorOutWeight => [sizes.generator_hidden, sizes.pixels],
            Tensor::GeneratorOutBias => [1, sizes.pixels],
            Tensor::DiscriminatorHiddenWeight => [sizes.pixels, sizes.discriminator_hidden],
            Tensor::DiscriminatorHiddenBias => [1, sizes.discriminator_hidden],
            Tensor::DiscriminatorOutWeight => [sizes.discriminator_hidden, 1],
            Tensor::DiscriminatorOutBias => [1, 1],
        }
    }

    /// Whether it is stored transposed.
    const fn is_transposed(self) -> bool {
        matches!(self, Tensor::DiscriminatorOutWeight)
    }
}

/// A tensor's parameters, or one of its moments, in canonical order whatever the storage.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    stored: Mat<'a>,
    transposed: bool,
    bias: bool,
}

impl TensorView<'_> {
    /// Rows and columns; a bias is one row.
    pub fn dims(&self) -> [usize; 2] {
        let (rows, cols) = (self.stored.rows(), self.stored.cols());
        if self.transposed { [cols, rows] } else { [rows, cols] }
    }
    /// Whether it has one dimension.
    pub fn is_bias(&self) -> bool {
        self.bias
    }
    /// Number of values.
    pub fn count(&self) -> usize {
        self.stored.rows() * self.stored.cols()
    }
    /// The value in row `i`, column `j`.
    pub fn at(&self, i: usize, j: usize) -> f32 {
        if self.transposed { self.stored.row(j)[i] } else { self.stored.row(i)[j] }
    }
    /// All values, row-major.
    pub fn values(&self) -> impl Iterator<Item = f32> + '_ {
        let [rows, cols] = self.dims();
        (0..rows).flat_map(move |i| (0..cols).map(move |j| self.at(i, j)))
    }
}

/// Which part of a tensor's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The parameters.
    Parameter,
    /// Adam's first moments.
    AdamM,
    /// Adam's second moments.
    AdamV,
}

impl Part {
    /// Whether a step can leave the value `x` behind in this part of a tensor.
    pub fn admits(self, x: f32) -> bool {
        match self {
            Part::Parameter => in_bounds(x, 0.0, 0.0),
            Part::AdamM => in_bounds(0.0, x, 0.0),
            Part::AdamV => in_bounds(0.0, 0.0, x) && x.is_sign_positive(),
        }
    }
}

impl<'a> Arena<'a> {
    /// The storage of a tensor.
    pub fn tensor_mut(&mut self, tensor: Tensor) -> &mut TensorMut<'a> {
        match tensor {
            Tensor::GeneratorHiddenWeight => &mut self.g_hidden_weight,
            Tensor::GeneratorHiddenBias => &mut self.g_hidden_bias,
            Tensor::GeneratorOutWeight => &mut self.g_out_weight,
            Tensor::GeneratorOutBias => &mut self.g_out_bias,
            Tensor::DiscriminatorHiddenWeight => &mut self.d_hidden_weight,
            Tensor::DiscriminatorHiddenBias => &mut self.d_hidden_bias,
            Tensor::DiscriminatorOutWeight => &mut self.d_out_weight_t,
            Tensor::DiscriminatorOutBias => &mut self.d_out_bias,
        }
    }

    /// Sets every value of part of a tensor, in canonical order.
    pub fn fill(&mut self, tensor: Tensor, part: Part, mut next: impl FnMut() -> f32) {
        let [rows, cols] = self.view(tensor, part).dims();
        let stored = self.tensor_mut(tensor);
        let stored = match part {
            Part::Parameter => &mut stored.p,
            Part::AdamM => &mut stored.m,
            Part::AdamV => &mut stored.v,
        };
        for i in 0..rows {
            for j in 0..cols {
                let (row, col) = if tensor.is_transposed() { (j, i) } else { (i, j) };
                stored.row_mut(row)[col] = next();
            }
        }
    }

    /// A view of part of a tensor.
    pub fn view(&mut self, tensor: Tensor, part: Part) -> TensorView<'_> {
        let stored = self.tensor_mut(tensor);
        let stored = match part {
            Part::Parameter => stored.p.view(),
            Part::AdamM => stored.m.view(),
            Part::AdamV => stored.v.view(),
        };
        TensorView { stored, transposed: tensor.is_transposed(), bias: tensor.is_bias() }
    }

    /// The state before the first step: weights N(0, σ) with σ = 1/√(fan_in/2) in row-major order, both normals of a
    /// pair in turn; biases and moments 0.
    pub fn initialise(&mut self, seed: u64) {
        for tensor in Tensor::ALL {
            for part in [Part::Parameter, Part::AdamM, Part::AdamV] {
                self.fill(tensor, part, || 0.0);
            }
            if tensor.is_bias() {
                continue;
            }
            let [fan_in, _] = self.view(tensor, Part::Parameter).dims();
            let sigma = 1.0 / sqrt(fan_in as f64 / 2.0);
            let mut stream = Stream::new(seed, Purpose::Init(tensor as u64));
            let (mut n, mut pair) = (0, [0.0; 2]);
            self.fill(tensor, Part::Parameter, || {
                if n % 2 == 0 {
                    pair = stream.normal_pair(sigma);
                }
                n += 1;
                pair[(n - 1) % 2]
            });
        }
    }
}
