//! What a step consists of, for those who measure it.

/// What a phase did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations of the products, zero terms left out where they were.
    pub flop: u64,
    /// x
    pub dense_flop: u64,
}

/// x
pub trait Watch: Sync {
    /// A phase has ended.
    fn done(&self, phase: Phase, work: impl FnOnce() -> Work);
}

impl Watch for () {
    #[inline(always)]
    fn done(&self, _: Phase, _: impl FnOnce() -> Work) {}
}

/// x
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase { Batch, RealLists, RealForward, RealLoss, Transpose, Noise, GHidden, HiddenLists, PixelsForward, FakeLists, FakeForward, FakeLoss, DUpdate, DRest, DHiddenLists, PixelsBackward, GOutUpdate, GRest, DFakeLists, GHiddenBackward, GHiddenUpdate }

impl crate::kernels::gemm::Left<'_> {
    /// x
    pub fn work(&self, n: usize) -> Work {
        use crate::kernels::gemm::Left;
        let terms = match self { Left::Rows(x) | Left::Columns(x) => x.rows()*x.cols(), Left::Lists(l) => l.terms() };
        Work { flop: 2 * (terms * n) as u64, dense_flop: 0 }
    }
}
