//! The emulated fma of the portable backend in WebAssembly's vector instructions: the compiler makes scalars of it. Uses `fma`.

use core::arch::wasm32::*;

use super::fma::{self, BELOW_NORMAL};

/// Eight f32 as two vectors of four.
pub type Eight = [v128; 2];

#[inline(always)]
pub fn lanes(x: Eight, y: Eight, z: Eight) -> Eight {
    let [(low, low_differs), (high, high_differs)] = [0, 1].map(|i| four(x[i], y[i], z[i]));
    if v128_any_true(v128_or(low_differs, high_differs)) {
        // By value, taken apart where it is called: whose address is passed on is kept in memory on the fast path, too.
        let apart = |eight: Eight| eight.map(|v| [u64x2_extract_lane::<0>(v), u64x2_extract_lane::<1>(v)]);
        return emulated(apart(x), apart(y), apart(z)).map(|[low, high]| u64x2(low, high));
    }
    [low, high]
}

#[cold]
#[inline(never)]
fn emulated(x: [[u64; 2]; 2], y: [[u64; 2]; 2], z: [[u64; 2]; 2]) -> [[u64; 2]; 2] {
    bytemuck::cast(fma::emulated(bytemuck::cast(x), bytemuck::cast(y), bytemuck::cast(z)))
}

/// Four sums; and bits that are all 0 unless one of them may be rounded twice, as `may_round_twice` says.
#[inline(always)]
fn four(x: v128, y: v128, z: v128) -> (v128, v128) {
    let upper = |v| i64x2_shuffle::<1, 1>(v, v);
    let two = |x, y, z| {
        let [x, y, z] = [x, y, z].map(|v| f64x2_promote_low_f32x4(v));
        f64x2_add(f64x2_mul(x, y), z)
    };
    let (low, high) = (two(x, y, z), two(upper(x), upper(y), upper(z)));
    let low_halves = i32x4_shuffle::<0, 2, 4, 6>(low, high);
    let middle = i32x4_eq(v128_and(low_halves, i32x4_splat(0x1FFF_FFFF)), i32x4_splat(0x1000_0000));
    // 0 < half < BELOW_NORMAL, where the shift loses the sign, and the addition makes the largest number of 0 and orders
    // numbers without signs as those with signs are compared.
    let order = |twice: i32| twice.wrapping_add(i32::MAX - 1);
    let high_halves = i32x4_shl(i32x4_shuffle::<1, 3, 5, 7>(low, high), 1);
    let tiny = i32x4_lt(i32x4_add(high_halves, i32x4_splat(order(0))), i32x4_splat(order(BELOW_NORMAL << 1)));
    // SAFETY: it is a static.
    let behind = unsafe { core::ptr::read_volatile(&BEHIND) };
    let high = i8x16_swizzle(f32x4_demote_f64x2_zero(high), behind);
    (v128_or(f32x4_demote_f64x2_zero(low), high), v128_or(middle, tiny))
}

/// Puts the first two numbers of four behind two zeros. A shuffle that the compiler saw through would make it convert one
/// number after the other, which takes a fifth longer.
static BEHIND: v128 = i8x16(-1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7);
