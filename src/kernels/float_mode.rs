//! The mode of a thread's floating-point unit: a host, or a library that it loads, may have set it to flush subnormal numbers
//! to zero or to round otherwise (`-ffast-math` does the first at start-up), and then every bit would be another one; or to trap,
//! and then the first sum that is not exact would end the program. Uses [`error`](crate::error).

use crate::error::Error;

/// Whether the calling thread rounds to nearest, keeps subnormal numbers and traps nothing, as every thread does that nobody has
/// changed.
#[inline]
pub fn is_default() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return {
        // Flush to zero (bit 15), rounding (14, 13), what does not trap (12 to 7), denormals are zeros (6).
        const MODE: u32 = 1 << 15 | 0b11 << 13 | UNTRAPPED | 1 << 6;
        const UNTRAPPED: u32 = 0b11_1111 << 7;
        let mut mxcsr = 0u32;
        // SAFETY: every x86-64 has this register; the instruction stores its 4 bytes to where the pointer leads, and that is
        // a u32 of this function.
        unsafe {
            core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags));
        }
        mxcsr & MODE == UNTRAPPED
    };
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    return {
        // Flush to zero (bit 24), rounding (23, 22), traps (15, 12 to 8), alternate handling (1), flush inputs to zero (0).
        const MODE: u64 = 1 << 24 | 0b11 << 22 | 1 << 15 | 0b1_1111 << 8 | 0b11;
        let fpcr: u64;
        // SAFETY: every aarch64 lets every program read this register, and nothing else is touched.
        unsafe {
            core::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags));
        }
        fpcr & MODE == 0
    };
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    computes_by_default()
}

/// Whether sums and products come out as they do in the default mode.
#[cfg(any(test, miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn computes_by_default() -> bool {
    use core::hint::black_box;
    let [one, half, least, above, below] = [1.0, 0.5, f32::MIN_POSITIVE, 0.75, 0.25].map(black_box);
    let (ulp, subnormal) = (black_box(f32::EPSILON), black_box(f32::from_bits(1)));
    // What is above the half rounds up and what is below it down, in the negative too; a subnormal result and a subnormal
    // operand are no zeros.
    let rounds = one + above * ulp == one + ulp && one + below * ulp == one;
    let negative = -one - above * ulp == -one - ulp && -one - below * ulp == -one;
    rounds && negative && black_box(least * half) > 0.0 && black_box(subnormal * (one / ulp)) > 0.0
}

/// Refuses a thread whose mode is not the default.
///
/// # Errors
/// [`Error::Environment`].
pub fn check() -> Result<(), Error> {
    if is_default() { Ok(()) } else { Err(error()) }
}

/// The error of a thread whose mode is not the default.
pub fn error() -> Error {
    Error::environment(
        "a thread's floating-point unit flushes subnormal numbers to zero, does not round to nearest, or traps, so the bits would be \
         others, or the program would end: expected the default mode, which the host or a library loaded into it has changed",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_a_fresh_thread_is_the_default() {
        assert!(is_default() && computes_by_default() && check().is_ok());
    }

    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[test]
    fn every_other_mode_is_seen() {
        use core::arch::asm;
        // Flush to zero, denormals are zeros, down, up, toward zero; at last exceptions that have been flagged.
        for (bits, default) in [
            (1 << 15, false),
            (1 << 6, false),
            (1 << 13, false),
            (1 << 14, false),
            (3 << 13, false),
            (0x3F, true),
        ] {
            let (mut before, mut found, mut computed) = (0u32, true, true);
            // SAFETY: the registers hold pointers to locals; the mode is put back before anything else computes.
            unsafe {
                asm!("stmxcsr [{}]", in(reg) &raw mut before);
                let mode = before | bits;
                asm!("ldmxcsr [{}]", in(reg) &raw const mode);
                found &= is_default();
                computed &= computes_by_default();
                asm!("ldmxcsr [{}]", in(reg) &raw const before);
            }
            assert_eq!((found, computed), (default, default), "{bits:#x}");
        }
        for trap in 7..13 {
            let (mut before, mut found) = (0u32, true);
            // SAFETY: as above, and nothing computes meanwhile.
            unsafe {
                asm!("stmxcsr [{}]", in(reg) &raw mut before);
                let mode = before & !(1 << trap);
                asm!("ldmxcsr [{}]", in(reg) &raw const mode);
                found &= is_default();
                asm!("ldmxcsr [{}]", in(reg) &raw const before);
            }
            assert!(!found, "bit {trap}");
        }
    }
}
