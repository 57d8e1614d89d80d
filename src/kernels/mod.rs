//! Numerical kernels: slices in, slices out. The only place of the crate with `unsafe` code. Uses
//! [`error`](crate::error) and [`parallel`](crate::parallel).
//!
//! [`reference`](mod@reference) defines every bit. Kernels are written once, generic over [`Vector`](vector::Vector);
//! [`Isa::run`] picks the backend. The files in reading order; each uses only those before it:
//!
//! - [`isa`]: which backends this CPU has
//! - [`float_mode`]: the mode of a thread's floating-point unit
//! - [`tiles`]: matrices in borrowed memory
//! - [`relay`]: matrices that go from worker to worker
//! - [`reference`](mod@reference): the definition of every bit
//! - `fma`: the portable backend's multiply-add
//! - `webassembly`: the same in WebAssembly's instructions
//! - [`vector`]: what a kernel is, and what a backend's vectors can do
//! - [`wide`]: vectors of the `wide` crate
//! - `avx2`: vectors of x86 with AVX2
//! - `avx512`: and with AVX-512
//! - [`math`]: exp, sigmoid, softplus
//! - [`transpose`]: transposed copies
//! - [`lists`]: the terms of a row that are not zero
//! - [`gemm`]: products of matrices
//! - [`dense`]: what a dense layer is beside its products
//! - [`adam`]: Adam's update, and averages
//! - `dots`: exact dot products of bytes
//! - [`peak`]: the roof of a CPU
//! - `cases`: every kernel with operands, for tests

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod fma;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod webassembly;

pub mod adam;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod cases;
pub mod dense;
#[cfg(feature = "run")]
pub mod dots;
pub mod float_mode;
pub mod gemm;
pub mod isa;
pub mod lists;
pub mod math;
pub mod peak;
pub mod reference;
pub mod relay;
pub mod tiles;
pub mod transpose;
pub mod vector;
pub mod wide;

pub use isa::Isa;

impl Isa {
    /// Runs a kernel of this crate on this backend.
    #[inline]
    pub fn run<K: Dispatch>(self, kernel: K) -> K::Output {
        kernel.dispatch(self)
    }

    /// Runs any kernel on this backend. It is compiled for every backend wherever this is called.
    #[inline]
    pub fn run_any<K: vector::Kernel>(self, kernel: K) -> K::Output {
        match self {
            Isa::Reference => kernel.reference(),
            Isa::Wide => kernel.vector(wide::Portable),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(token) => avx2::run(token, kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(token) => avx512::run(token, kernel),
        }
    }
}

/// A kernel that is compiled once, in this crate. A function without type parameters is not compiled again in each crate
/// that calls it: a generic one would cost an embedder the compilation of all backends.
pub trait Dispatch: vector::Kernel {
    /// Runs on this backend.
    fn dispatch(self, isa: Isa) -> Self::Output;
}

macro_rules! kernels {
    ($($kernel:ty),+ $(,)?) => {$(
        impl Dispatch for $kernel {
            fn dispatch(self, isa: Isa) -> Self::Output {
                isa.run_any(self)
            }
        }
    )+};
}

kernels! {
    adam::AdamStep<'_>,
    adam::AverageStep<'_>,
    dense::ColumnSums<'_>,
    dense::CrossEntropy<'_>,
    dense::Expand<'_>,
    dense::HiddenActivation<'_>,
    dense::HiddenBackward<'_>,
    dense::LogitBackward<'_>,
    dense::Logits<'_>,
    dense::PixelActivation<'_>,
    dense::PixelBackward<'_>,
    dense::Quantize<'_>,
    gemm::Product<'_>,
    lists::Count<'_>,
    lists::List<'_>,
    math::Apply<'_>,
    peak::Peak,
    transpose::Transpose<'_>,
}
