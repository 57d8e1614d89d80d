//! The fma of the portable backend: the compile target's instruction, or what [`reference`](mod@super::reference) does
//! without one, on eight lanes at once. Uses `isa` and `reference`.

use super::isa::FUSED_SCALARS;
use super::reference;

/// x·y + z with one rounding.
#[inline(always)]
pub fn scalar(x: f32, y: f32, z: f32) -> f32 {
    if FUSED_SCALARS { instruction(x, y, z) } else { reference::fma(x, y, z) }
}

/// The standard library's is the instruction where the target has one: nobody calls this elsewhere.
#[cfg(feature = "std")]
#[inline(always)]
#[allow(clippy::disallowed_methods)]
fn instruction(x: f32, y: f32, z: f32) -> f32 {
    x.mul_add(y, z)
}

/// `core` has no stable fused multiply-add. An instruction is named where FUSED_SCALARS says that there is one: others do not
/// compile.
#[cfg(not(feature = "std"))]
#[inline(always)]
#[allow(unused_mut, unused_macros, unused_variables)]
fn instruction(x: f32, y: f32, mut z: f32) -> f32 {
    macro_rules! assembly {
        ($class:ident, $template:literal) => {
            // SAFETY: it reads three registers and writes one, and may raise a floating-point flag, as any instruction that
            // computes (so no `preserves_flags`); that the target has it is FUSED_SCALARS' condition.
            unsafe {
                core::arch::asm!($template, x = in($class) x, y = in($class) y, z = inout($class) z,
                    options(pure, nomem, nostack))
            }
        };
    }
    #[cfg(target_arch = "s390x")]
    assembly!(freg, "maebr {z}, {x}, {y}");
    #[cfg(target_arch = "powerpc64")]
    assembly!(freg, "fmadds {z}, {x}, {y}, {z}");
    #[cfg(any(
        all(target_arch = "riscv64", target_os = "linux"),
        all(any(target_arch = "riscv32", target_arch = "riscv64"), any(target_feature = "f", duel_fma))
    ))]
    assembly!(freg, "fmadd.s {z}, {x}, {y}, {z}");
    #[cfg(all(target_arch = "arm", target_feature = "vfp4", not(duel_fma)))]
    assembly!(sreg, "vfma.f32 {z}, {x}, {y}");
    #[cfg(all(target_arch = "arm", duel_fma))]
    // SAFETY: a function of three numbers.
    return unsafe { duel_fma(x, y, z) };
    #[allow(unreachable_code)]
    z
}

#[cfg(all(target_arch = "arm", duel_fma, not(feature = "std"), not(target_abi = "eabihf")))]
compile_error!(
    "duel_fma is for ARM targets that pass f32s in registers of the floating-point unit: those that end in eabihf"
);
// For a microcontroller the compiler knows no class of registers to put an f32 into; but it passes them in such.
#[cfg(all(target_arch = "arm", duel_fma, not(feature = "std")))]
core::arch::global_asm!(
    ".fpu fpv4-sp-d16",
    ".global duel_fma",
    ".type duel_fma, %function",
    ".thumb_func",
    "duel_fma:",
    "vfma.f32 s2, s0, s1",
    "vmov.f32 s0, s2",
    "bx lr",
);
#[cfg(all(target_arch = "arm", duel_fma, not(feature = "std")))]
unsafe extern "C" {
    fn duel_fma(x: f32, y: f32, z: f32) -> f32;
}

/// The same by eight lanes.
#[inline(always)]
pub fn lanes(x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
    if FUSED_SCALARS {
        return core::array::from_fn(|i| instruction(x[i], y[i], z[i]));
    }
    let sums: [f64; 8] = core::array::from_fn(|i| x[i] as f64 * y[i] as f64 + z[i] as f64);
    if sums.iter().fold(false, |any, &sum| any | may_round_twice(sum)) {
        return emulated(x, y, z);
    }
    sums.map(|sum| sum as f32)
}

/// The scalar definition, lane by lane.
#[cold]
#[inline(never)]
pub fn emulated(x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
    core::array::from_fn(|i| reference::fma(x[i], y[i], z[i]))
}

/// The high half of the smallest normal f32 as an f64.
pub const BELOW_NORMAL: i32 = ((f32::MIN_POSITIVE as f64).to_bits() >> 32) as i32;

/// Whether rounding a sum, which is rounded to f64, to f32 may differ from rounding it once: if it lies in the middle
/// between two normal f32, where the first rounding may have put it, or below them, where the middles are more.
#[inline(always)]
fn may_round_twice(sum: f64) -> bool {
    let (high, low) = ((sum.to_bits() >> 32) as i32 & i32::MAX, sum.to_bits() as u32);
    // The low half of a sum that is not 0, of products of f32, can be 0, but not the high one.
    (low & 0x1FFF_FFFF == 0x1000_0000) | ((high > 0) & (high < BELOW_NORMAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};

    /// Products of about half a place of z, so that the sum lies in the middle of two f32 or a hair beside it: of normal and
    /// of subnormal z.
    fn near_a_middle(stream: &mut Stream) -> [f32; 3] {
        let mut below = |n| stream.below(n) as u32;
        let (exponent, significand) = (below(2) * below(200), below(1 << 23));
        let z = f32::from_bits(exponent << 23 | significand);
        let power_of_two = |n: i32| f64::from_bits(((1023 + n) as u64) << 52);
        let half_a_place = power_of_two(exponent.max(1) as i32 - 151);
        // Half a place is split in two factors near powers of two.
        let power = power_of_two((exponent as i32 - 151) / 2);
        let (up, down) = (below(16), below(16));
        let x = (half_a_place / power) as f32;
        let [x, y] = [(x, up), (power as f32, down)].map(|(x, n)| f32::from_bits(x.to_bits() + n));
        let y = if below(2) == 0 { y } else { f32::from_bits(y.to_bits().wrapping_sub(2 * down)) };
        [x, if below(2) == 0 { y } else { -y }, z]
    }

    #[test]
    fn lanes_are_rounded_once() {
        let mut stream = Stream::new(3, Purpose::Sample(0));
        let mut twice = 0;
        for _ in 0..200_000 {
            let triples = [(); 8].map(|()| near_a_middle(&mut stream));
            let [x, y, z] = [0, 1, 2].map(|k| triples.map(|triple| triple[k]));
            let once: [f32; 8] = core::array::from_fn(|i| reference::fma(x[i], y[i], z[i]));
            assert_eq!(lanes(x, y, z).map(f32::to_bits), once.map(f32::to_bits), "{triples:?}");
            let again: [f32; 8] = core::array::from_fn(|i| (x[i] as f64 * y[i] as f64 + z[i] as f64) as f32);
            twice += (again != once) as u32;
        }
        // Otherwise these triples would show nothing.
        assert!(twice > 1_000, "{twice}");
    }

    #[test]
    fn lanes_of_any_bits_are_those_of_the_definition() {
        let mut stream = Stream::new(4, Purpose::Sample(0));
        let mut any = || f32::from_bits((stream.below(1 << 16) << 16 | stream.below(1 << 16)) as u32);
        for _ in 0..500_000 {
            let [x, y, mut z] = [(); 3].map(|()| [(); 8].map(|()| any()));
            (z[0], z[1]) = (-(x[0] * y[0]), x[1] * y[1]);
            for (i, sum) in lanes(x, y, z).into_iter().enumerate() {
                let once = reference::fma(x[i], y[i], z[i]);
                assert!(
                    sum.to_bits() == once.to_bits() || sum.is_nan() && once.is_nan(),
                    "{i}: {x:?} {y:?} {z:?}"
                );
            }
        }
    }
}
