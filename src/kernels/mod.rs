//! Numerical kernels: slices in, slices out. The only place of the crate with `unsafe` code. Uses
//! [`error`](crate::error) and [`parallel`](crate::parallel).
//!
//! [`reference`](mod@reference) defines every bit. The other files are written once, generic over
//! [`Vector`](vector::Vector); [`Isa::run`] picks the backend.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub mod adam;
pub mod dense;
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
    /// Runs a kernel on this backend.
    #[inline]
    pub fn run<K: vector::Kernel>(self, kernel: K) -> K::Output {
        kernel.run_on(self)
    }

    /// Picks the backend of a kernel's body. Only [`Kernel::run_on`](vector::Kernel::run_on) calls it.
    #[inline]
    pub fn dispatch<K: vector::Kernel>(self, kernel: K) -> K::Output {
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
