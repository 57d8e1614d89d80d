//! The eight tensors of both networks: their names, order and shapes. Uses `kernels` and `sizes`.

use super::sizes::Sizes;
use crate::kernels::reference::in_bounds;
use crate::kernels::tiles::Mat;

named! {
    /// One of the eight tensors, in canonical order: G before D, layer by layer, weight before bias.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs)]
    pub enum Tensor {
        GeneratorHiddenWeight = "generator.hidden.weight",
        GeneratorHiddenBias = "generator.hidden.bias",
        GeneratorOutWeight = "generator.out.weight",
        GeneratorOutBias = "generator.out.bias",
        DiscriminatorHiddenWeight = "discriminator.hidden.weight",
        DiscriminatorHiddenBias = "discriminator.hidden.bias",
        DiscriminatorOutWeight = "discriminator.out.weight",
        DiscriminatorOutBias = "discriminator.out.bias",
    }
}

impl Tensor {
    /// Those of the generator.
    pub const GENERATOR: [Tensor; 4] = [
        Tensor::GeneratorHiddenWeight,
        Tensor::GeneratorHiddenBias,
        Tensor::GeneratorOutWeight,
        Tensor::GeneratorOutBias,
    ];

    /// Whether it is the generator's.
    pub const fn is_generators(self) -> bool {
        (self as usize) < Self::GENERATOR.len()
    }

    /// Whether it is a bias: one dimension.
    pub const fn is_bias(self) -> bool {
        self as usize % 2 == 1
    }

    /// Rows and columns in canonical order; a bias is one row.
    pub const fn dims(self, sizes: &Sizes) -> [usize; 2] {
        match self {
            Tensor::GeneratorHiddenWeight => [sizes.generator_inputs(), sizes.generator_hidden],
            Tensor::GeneratorHiddenBias => [1, sizes.generator_hidden],
            Tensor::GeneratorOutWeight => [sizes.generator_hidden, sizes.pixels],
            Tensor::GeneratorOutBias => [1, sizes.pixels],
            Tensor::DiscriminatorHiddenWeight => [sizes.discriminator_inputs(), sizes.discriminator_hidden],
            Tensor::DiscriminatorHiddenBias => [1, sizes.discriminator_hidden],
            Tensor::DiscriminatorOutWeight => [sizes.discriminator_hidden, 1],
            Tensor::DiscriminatorOutBias => [1, 1],
        }
    }

    /// Whether it is stored transposed: the generator's output weight by pixel, the discriminator's as one row.
    pub(super) const fn is_transposed(self) -> bool {
        matches!(self, Tensor::GeneratorOutWeight | Tensor::DiscriminatorOutWeight)
    }

    pub(super) const fn stored_dims(self, sizes: &Sizes) -> [usize; 2] {
        let [rows, cols] = self.dims(sizes);
        if self.is_transposed() { [cols, rows] } else { [rows, cols] }
    }
}

/// A tensor's parameters, or one of its moments, in canonical order whatever the storage.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    stored: Mat<'a>,
    transposed: bool,
    bias: bool,
}

impl<'a> TensorView<'a> {
    /// A tensor as it is stored.
    pub(super) fn new(tensor: Tensor, stored: Mat<'a>) -> TensorView<'a> {
        TensorView { stored, transposed: tensor.is_transposed(), bias: tensor.is_bias() }
    }
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
    /// Hands all values to `take`, row-major: faster than [`TensorView::values`].
    #[inline]
    pub fn each(&self, mut take: impl FnMut(f32)) {
        let [rows, cols] = self.dims();
        if self.transposed {
            (0..rows).for_each(|i| (0..cols).for_each(|j| take(self.stored.row(j)[i])));
        } else {
            (0..rows).for_each(|i| self.stored.row(i).iter().for_each(|&x| take(x)));
        }
    }
    /// All values, row-major.
    pub fn values(&self) -> impl Iterator<Item = f32> + use<'_> {
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
    /// The average of the parameters of a generator's tensor, which is no part of the state.
    Average,
}

impl Part {
    /// The parts of a state in canonical order.
    pub const ALL: [Part; 3] = [Part::Parameter, Part::AdamM, Part::AdamV];

    /// Whether a step can leave the value `x` behind in this part of a tensor.
    pub fn admits(self, x: f32) -> bool {
        match self {
            Part::Parameter | Part::Average => in_bounds(x, 0.0, 0.0),
            Part::AdamM => in_bounds(0.0, x, 0.0),
            Part::AdamV => in_bounds(0.0, 0.0, x) && x.is_sign_positive(),
        }
    }
}
