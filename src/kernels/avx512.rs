//! [`Vector`] over 512-bit registers (AVX-512F, with AVX2, FMA and POPCNT). Uses the proof token of `isa` and the constants of `reference`.

use core::arch::x86_64::*;

use super::isa::Avx512;
use super::reference::EXPONENT;
use super::vector::{Kernel, Vector, lanewise};

/// Runs a kernel with these instructions enabled, so that everything inlined into it uses them.
#[inline]
pub fn run<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
    #[target_feature(enable = "avx512f,avx2,fma,popcnt")]
    fn enabled<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
        kernel.vector(token)
    }
    // SAFETY: the token proves the features.
    unsafe { enabled(token, kernel) }
}

/// The mask of the first `n` lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

impl Vector for Avx512 {
    const LANES: usize = 16;
    const TILE_VECTORS: usize = 4;
    const BLOCK_TERMS: usize = 128;
    const LIST_BLOCK_VALUES: usize = 6_144;
    type F32 = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::F32 {
        // SAFETY: the caller vouches for the pointer, the token for the instructions.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F32) {
        // SAFETY: the caller vouches for the pointer, the token for the instructions.
        unsafe { _mm512_storeu_ps(p, x) }
    }

    #[inline(always)]
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::F32 {
        // SAFETY: a masked lane is not read; the caller vouches for the others.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }

    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize, x: Self::F32) {
        // SAFETY: a masked lane is not written; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(p, first(n), x) }
    }

    #[inline(always)]
    unsafe fn transpose_8x8(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for the pointers, the token for AVX.
        unsafe { super::avx2::transpose_8x8(from, from_stride, to, to_stride) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::F32 {
        // SAFETY: the caller vouches for sixteen bytes, the token for the instructions.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn compress_pair(
        self,
        keep: u32,
        a: Self::F32,
        b: Self::F32,
        first: usize,
        value: *mut [f32; 2],
        index: *mut u16,
    ) {
        const LANES: [i32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        // Lanes 0 to 7 and 8 to 15 of a and b by turns; b's lanes are numbered from 16 on.
        const LOW: [i32; 16] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
        const HIGH: [i32; 16] = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
        // SAFETY: the caller vouches for sixteen places, the token for the instructions.
        unsafe {
            let keep = keep as __mmask16;
            let (a, b) = (_mm512_maskz_compress_ps(keep, a), _mm512_maskz_compress_ps(keep, b));
            let (low, high) =
                (_mm512_loadu_si512(LOW.as_ptr().cast()), _mm512_loadu_si512(HIGH.as_ptr().cast()));
            _mm512_storeu_ps(value.cast(), _mm512_permutex2var_ps(a, low, b));
            _mm512_storeu_ps(value.add(8).cast(), _mm512_permutex2var_ps(a, high, b));
            let lanes = _mm512_loadu_si512(LANES.as_ptr().cast());
            let numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32(first as i32));
            let numbers = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(keep, numbers));
            _mm256_storeu_si256(index.cast(), numbers);
        }
    }

    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        // SAFETY: a prefetch reads nothing that the program sees; the token proves the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    fn all(self, mask: Self::Mask) -> bool {
        mask == 0xFFFF
    }

    lanewise! {
        fn splat(x: f32) -> Self::F32 = _mm512_set1_ps(x);
        fn not_zero(x: Self::F32) -> u32 = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, _mm512_setzero_ps()) as u32;
        fn add(a: Self::F32, b: Self::F32) -> Self::F32 = _mm512_add_ps(a, b);
        fn sub(a: Self::F32, b: Self::F32) -> Self::F32 = _mm512_sub_ps(a, b);
        fn mul(a: Self::F32, b: Self::F32) -> Self::F32 = _mm512_mul_ps(a, b);
        fn div(a: Self::F32, b: Self::F32) -> Self::F32 = _mm512_div_ps(a, b);
        fn sqrt(a: Self::F32) -> Self::F32 = _mm512_sqrt_ps(a);
        fn fma(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 = _mm512_fmadd_ps(a, b, c);
        fn fma_scalar(a: f32, b: f32, c: f32) -> f32 = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
        fn abs(a: Self::F32) -> Self::F32 = _mm512_abs_ps(a);
        fn lt(a: Self::F32, b: Self::F32) -> Self::Mask = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn le(a: Self::F32, b: Self::F32) -> Self::Mask = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        fn select(mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 = _mm512_mask_blend_ps(mask, b, a);
        fn neg(a: Self::F32) -> Self::F32 = {
            let sign = _mm512_set1_epi32(i32::MIN);
            _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), sign))
        };
        fn exp2i(n: Self::F32) -> Self::F32 = {
            let shifted = _mm512_add_ps(n, _mm512_set1_ps(EXPONENT));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(shifted)))
        };
    }
}
