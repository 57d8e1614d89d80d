//! What a step consists of, for those who measure it. Uses `kernels`.

use core::ops::Add;

use crate::kernels::gemm::Left;
use crate::kernels::tiles::Mat;

named! {
    /// A part of a step, in the order of a step.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Phase {
        /// The batch is drawn, and its images become f32.
        Images = "images",
        /// Real images → the discriminator's hidden layer.
        RealForward = "real images forward",
        /// Both large weights are copied, transposed.
        Transpose = "weights transposed",
        /// The generator's noise.
        Noise = "noise",
        /// Noise → the generator's hidden layer.
        HiddenForward = "noise forward",
        /// The generator's hidden layer → pixels.
        PixelsForward = "pixels forward, sigmoid",
        /// Generated images → the discriminator's hidden layer.
        FakeForward = "generated images forward",
        /// Hidden values → logits, losses, and their gradients back at the hidden layer.
        Losses = "logits and losses",
        /// Non-zero terms are listed.
        Lists = "lists of non-zero terms",
        /// The gradient of the discriminator's hidden weight, and its update.
        DiscriminatorUpdate = "discriminator weight, Adam",
        /// The discriminator's hidden layer → the gradient of the generated pixels.
        PixelsBackward = "pixels backward",
        /// Pixels → the gradient of the generator's hidden layer.
        HiddenBackward = "generator hidden backward",
        /// The gradient of the generator's output weight, and its update.
        OutputUpdate = "output weight, Adam",
        /// The gradient of the generator's hidden weight, and its update.
        HiddenUpdate = "noise weight, Adam",
        /// The biases and the discriminator's output weight.
        Biases = "biases, output layer",
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
        let [m, k, n, terms] =
            [left.rows(), right.rows(), right.cols(), left.terms()].map(|count| count as u64);
        Work { flop: 2 * terms * n, bytes: 4 * (terms + k * n + m * n) }
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
