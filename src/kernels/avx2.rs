//! [`Vector`] over 256-bit registers (AVX2 with FMA and POPCNT). Uses the proof token of `isa` and the constants of `reference`.

use core::arch::x86_64::*;

use super::isa::Avx2;
use super::reference::EXPONENT;
use super::vector::{Kernel, Vector, lanewise};

/// Runs a kernel with these instructions enabled, so that everything inlined into it uses them.
#[inline]
pub fn run<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
    #[target_feature(enable = "avx2,fma,popcnt")]
    fn enabled<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
        kernel.vector(token)
    }
    // SAFETY: the token proves the features.
    unsafe { enabled(token, kernel) }
}

/// The mask of the first `n` lanes.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    const WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(n <= 8);
    // SAFETY: n ≤ 8, so eight values from 8 − n on lie inside the window; the caller vouches for AVX.
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(8 - n).cast()) }
}

/// [`Vector::transpose_8x8`], for both backends of x86.
///
/// # Safety
/// As there; the CPU must have AVX.
#[inline(always)]
pub unsafe fn transpose_8x8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for the pointers and for AVX.
    unsafe {
        // Half rows i and i + 4 side by side: what is left are 4 × 4 blocks within each half of the registers.
        let half = |i: usize, j: usize| {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from.add(i * from_stride + j)));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add((i + 4) * from_stride + j)))
        };
        for j in [0, 4] {
            let (a, b, c, d) = (half(0, j), half(1, j), half(2, j), half(3, j));
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let columns = [
                _mm256_shuffle_ps::<0b01_00_01_00>(ab_low, cd_low),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab_low, cd_low),
                _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
            ];
            for (n, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.add((j + n) * to_stride), column);
            }
        }
    }
}

/// For every mask of eight lanes the numbers of its set bits in order, a byte each.
static SET_BITS: [u64; 256] = {
    let mut table = [0u64; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask] |= lane << (8 * n);
                n += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
};

impl Vector for Avx2 {
    const LANES: usize = 8;
    const TILE_VECTORS: usize = 2;
    const BLOCK_TERMS: usize = 256;
    const LIST_BLOCK_VALUES: usize = 3_072;
    type F32 = __m256;
    type Mask = __m256;

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::F32 {
        // SAFETY: the caller vouches for the pointer, the token for the instructions.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F32) {
        // SAFETY: the caller vouches for the pointer, the token for the instructions.
        unsafe { _mm256_storeu_ps(p, x) }
    }

    #[inline(always)]
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::F32 {
        // SAFETY: a masked lane is not read; the caller vouches for the others.
        unsafe { _mm256_maskload_ps(p, first(n)) }
    }

    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize, x: Self::F32) {
        // SAFETY: a masked lane is not written; the caller vouches for the others.
        unsafe { _mm256_maskstore_ps(p, first(n), x) }
    }

    #[inline(always)]
    unsafe fn transpose_8x8(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for the pointers, the token for the instructions.
        unsafe { transpose_8x8(from, from_stride, to, to_stride) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::F32 {
        // SAFETY: the caller vouches for eight bytes, the token for the instructions.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))) }
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
        // SAFETY: the caller vouches for eight places, the token for the instructions.
        unsafe {
            let lanes = _mm_cvtsi64_si128(SET_BITS[keep as usize & 255] as i64);
            let order = _mm256_cvtepu8_epi32(lanes);
            let (a, b) = (_mm256_permutevar8x32_ps(a, order), _mm256_permutevar8x32_ps(b, order));
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            _mm256_storeu_ps(value.cast(), _mm256_permute2f128_ps::<0x20>(low, high));
            _mm256_storeu_ps(value.add(4).cast(), _mm256_permute2f128_ps::<0x31>(low, high));
            let numbers = _mm_add_epi16(_mm_cvtepu8_epi16(lanes), _mm_set1_epi16(first as i16));
            _mm_storeu_si128(index.cast(), numbers);
        }
    }

    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        // SAFETY: a prefetch reads nothing that the program sees; the token proves the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    lanewise! {
        fn splat(x: f32) -> Self::F32 = _mm256_set1_ps(x);
        fn not_zero(x: Self::F32) -> u32 = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps())) as u32;
        fn add(a: Self::F32, b: Self::F32) -> Self::F32 = _mm256_add_ps(a, b);
        fn sub(a: Self::F32, b: Self::F32) -> Self::F32 = _mm256_sub_ps(a, b);
        fn mul(a: Self::F32, b: Self::F32) -> Self::F32 = _mm256_mul_ps(a, b);
        fn div(a: Self::F32, b: Self::F32) -> Self::F32 = _mm256_div_ps(a, b);
        fn sqrt(a: Self::F32) -> Self::F32 = _mm256_sqrt_ps(a);
        fn fma(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 = _mm256_fmadd_ps(a, b, c);
        fn fma_scalar(a: f32, b: f32, c: f32) -> f32 = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
        fn neg(a: Self::F32) -> Self::F32 = _mm256_xor_ps(a, _mm256_set1_ps(-0.0));
        fn abs(a: Self::F32) -> Self::F32 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        fn lt(a: Self::F32, b: Self::F32) -> Self::Mask = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        fn le(a: Self::F32, b: Self::F32) -> Self::Mask = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        fn select(mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 = _mm256_blendv_ps(b, a, mask);
        fn all(mask: Self::Mask) -> bool = _mm256_movemask_ps(mask) == 0xFF;
        fn exp2i(n: Self::F32) -> Self::F32 = {
            let shifted = _mm256_add_ps(n, _mm256_set1_ps(EXPONENT));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(shifted)))
        };
    }
}
