//! [`Vector`] over the `wide` crate: the portable backend. Uses `isa`, `reference`, `fma`, `webassembly` and `vector`.
//!
//! Its fma is the hardware's where the compile target has one; elsewhere `wide` would round twice.

use wide::f32x8;

use super::fma;
use super::isa::FUSED_VECTORS;
use super::reference::EXPONENT;
use super::vector::{Vector, lanewise};

/// The portable vectors; they need no proof.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Vector for Portable {
    const LANES: usize = 8;
    const TILE_VECTORS: usize = 2;
    const BLOCK_TERMS: usize = 256;
    const LIST_BLOCK_VALUES: usize = 3_072;
    type F32 = f32x8;
    type Mask = f32x8;

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for eight values.
        f32x8::new(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, x: f32x8) {
        // SAFETY: the caller vouches for eight values.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(x.to_array()) }
    }
    #[inline(always)]
    unsafe fn load_part(self, p: *const f32, n: usize) -> f32x8 {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller vouches for n values.
        lanes[..n].copy_from_slice(unsafe { core::slice::from_raw_parts(p, n) });
        f32x8::new(lanes)
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize, x: f32x8) {
        // SAFETY: the caller vouches for n values.
        unsafe { core::slice::from_raw_parts_mut(p, n) }.copy_from_slice(&x.to_array()[..n]);
    }
    #[inline(always)]
    fn fma(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        if FUSED_VECTORS {
            return a.mul_add(b, c);
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        // SAFETY: eight numbers are two vectors of four.
        return unsafe {
            let [a, b, c] = [a, b, c].map(|v| core::mem::transmute::<f32x8, super::webassembly::Eight>(v));
            core::mem::transmute(super::webassembly::lanes(a, b, c))
        };
        #[allow(unreachable_code)]
        f32x8::new(fma::lanes(a.to_array(), b.to_array(), c.to_array()))
    }

    lanewise! {
        fn splat(x: f32) -> f32x8 = bytemuck::cast([wide::f32x4::splat(x); 2]);
        fn add(a: f32x8, b: f32x8) -> f32x8 = a + b;
        fn sub(a: f32x8, b: f32x8) -> f32x8 = a - b;
        fn mul(a: f32x8, b: f32x8) -> f32x8 = a * b;
        fn div(a: f32x8, b: f32x8) -> f32x8 = a / b;
        fn sqrt(a: f32x8) -> f32x8 = a.sqrt();
        fn fma_scalar(a: f32, b: f32, c: f32) -> f32 = fma::scalar(a, b, c);
        fn neg(a: f32x8) -> f32x8 = a ^ f32x8::splat(-0.0);
        fn abs(a: f32x8) -> f32x8 = a & f32x8::splat(f32::from_bits(0x7FFF_FFFF));
        fn lt(a: f32x8, b: f32x8) -> f32x8 = a.simd_lt(b);
        fn le(a: f32x8, b: f32x8) -> f32x8 = a.simd_le(b);
        fn select(mask: f32x8, a: f32x8, b: f32x8) -> f32x8 = mask.bitselect(a, b);
        fn all(mask: f32x8) -> bool = mask.all();
        fn exp2i(n: f32x8) -> f32x8 = {
            let shifted = (n + f32x8::splat(EXPONENT)).to_array();
            f32x8::new(shifted.map(|x| f32::from_bits(x.to_bits() << 23)))
        };
    }
}
