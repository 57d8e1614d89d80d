//! What a step consists of, for those who measure it. Uses `kernels`.

use core::ops::Add;

use crate::kernels::gemm::Left;
use crate::kernels::tiles::Mat;

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The batch is drawn, and its images become f32.
    Images,
    /// Non-zero terms are listed.
    Lists,
    /// Real images → the discriminator's hidden layer.
    RealForward,
    /// Hidden values → logits, losses, and their gradients back at the hidden layer.
    Losses,
    /// Both large weights are copied, transposed.
    Transpose,
    /// The generator's noise.
    Noise,
    /// Noise → the generator's hidden layer.
    HiddenForward,
    /// The generator's hidden layer → pixels.
    PixelsForward,
    /// Generated images → the discriminator's hidden layer.
    FakeForward,
    /// The gradient of the discriminator's hidden weight, and its update.
    DiscriminatorUpdate,
    /// The discriminator's hidden layer → the gradient of the generated pixels.
    PixelsBackward,
    /// Pixels → the gradient of the generator's hidden layer.
    HiddenBackward,
    /// The gradient of the generator's output weight, and its update.
    OutputUpdate,
    /// The gradient of the generator's hidden weight, and its update.
    HiddenUpdate,
    /// The biases and the discriminator's output weight.
    Biases,
}

impl Phase {
    /// All of them, in the order of a step.
    pub const ALL: [Phase; 15] = [
        Phase::Images,
        Phase::RealForward,
        Phase::Transpose,
        Phase::Noise,
        Phase::HiddenForward,
        Phase::PixelsForward,
        Phase::FakeForward,
        Phase::Losses,
        Phase::Lists,
        Phase::DiscriminatorUpdate,
        Phase::PixelsBackward,
        Phase::HiddenBackward,
        Phase::OutputUpdate,
        Phase::HiddenUpdate,
        Phase::Biases,
    ];

    /// Words for a table.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Images => "images",
            Phase::Lists => "lists of non-zero terms",
            Phase::RealForward => "real images forward",
            Phase::Losses => "logits and losses",
            Phase::Transpose => "weights transposed",
            Phase::Noise => "noise",
            Phase::HiddenForward => "noise forward",
            Phase::PixelsForward => "pixels forward, sigmoid",
            Phase::FakeForward => "generated images forward",
            Phase::DiscriminatorUpdate => "discriminator weight, Adam",
            Phase::PixelsBackward => "pixels backward",
            Phase::HiddenBackward => "generator hidden backward",
            Phase::OutputUpdate => "output weight, Adam",
            Phase::HiddenUpdate => "noise weight, Adam",
            Phase::Biases => "biases, output layer",
        }
    }
}

/// What a phase did, at least: every value is counted as moved once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations of products, two per term that was not left out.
    pub flop: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Work {
    /// A product, A and B read, C written.
    pub(crate) fn product(left: Left<'_>, right: Mat<'_>) -> Work {
        let (m, k, n) = (left.rows(), right.rows(), right.cols());
        let terms = left.terms();
        Work { flop: (2 * terms * n) as u64, bytes: 4 * (terms + k * n + m * n) as u64 }
    }
    /// A weight's update with the gradient of these products: p, m and v are read and written, the gradient is not.
    pub(crate) fn update(rows: &[(Left<'_>, Mat<'_>)]) -> Work {
        let parameters = |&(left, right): &(Left<'_>, Mat<'_>)| left.rows() * right.cols();
        let adam = Work::values(6 * rows.first().map_or(0, parameters));
        rows.iter().fold(adam, |sum, part| {
            let product = Work::product(part.0, part.1);
            sum + Work { bytes: product.bytes - 4 * parameters(part) as u64, ..product }
        })
    }
    /// So many f32s read or written.
    pub(crate) fn values(count: usize) -> Work {
        Work { flop: 0, bytes: 4 * count as u64 }
    }
}

impl Add for Work {
    type Output = Work;
    fn add(self, other: Work) -> Work {
        Work { flop: self.flop + other.flop, bytes: self.bytes + other.bytes }
    }
}

/// Is told of every phase of a step that has ended, by the worker who has ended it.
pub trait Watch: Sync {
    /// `phase`, or a part of it, has ended; `work` says what it did.
    fn done(&self, phase: Phase, work: Work);
}
