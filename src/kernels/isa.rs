//! Which instruction set the kernels run on: detection, forced choice, and proof tokens. Uses [`error`](crate::error).
//!
//! An [`Avx2`] or [`Avx512`] value can only be made of [`Features`], for which the CPU was asked, so
//! holding one proves that its instructions are there. Every `unsafe` call of such an instruction leans on that.

use crate::error::Error;

/// Proof that this CPU, and its operating system, support AVX2, FMA and POPCNT.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that this CPU, and its operating system, support AVX-512F (and AVX2, FMA, F16C and POPCNT).
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

/// The backend of the kernels. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The plain scalar definition with emulated fma. Very slow; needs nothing.
    Reference,
    /// Portable vectors of the `wide` crate.
    Wide,
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 512-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// Whether the `wide` crate's vectors take an instruction of this compile target.
pub(super) const FUSED_VECTORS: bool = cfg!(any(
    all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "avx", target_feature = "fma"),
    all(target_arch = "aarch64", target_feature = "neon")
));

/// Whether scalars do: where every CPU of the target has the instruction. A stable compiler does not tell a crate whether
/// an ARM or a bare RISC-V has a floating-point unit: without `std` `--cfg duel_fma` says that it has one of VFPv4 or F, and
/// where that is not so, the instruction is an illegal one.
pub(super) const FUSED_SCALARS: bool = cfg!(any(
    target_arch = "s390x",
    target_arch = "powerpc64",
    all(target_arch = "riscv64", target_os = "linux"),
    all(
        any(target_arch = "riscv32", target_arch = "riscv64"),
        any(target_feature = "f", all(duel_fma, not(feature = "std")))
    ),
    all(target_arch = "arm", any(target_feature = "vfp4", all(duel_fma, not(feature = "std")))),
));

/// Whether the portable backend has the instruction. Where it does, the test suite of the kernels and `duel verify` compare
/// it with the emulation.
pub const FUSED: bool = FUSED_VECTORS || FUSED_SCALARS;

/// What the CPU and the operating system support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    avx2: bool,
    avx512: bool,
}

impl Features {
    /// No feature at all: only the portable backends are left. For tests of what a lesser CPU is told.
    pub const NONE: Features = Features { avx2: false, avx512: false };

    /// Asks the CPU.
    pub fn detect() -> Features {
        #[cfg(target_arch = "x86_64")]
        return detect_x86();
        #[cfg(not(target_arch = "x86_64"))]
        Features::NONE
    }
}

/// CPUID and XGETBV, by hand because the standard library's macro needs the standard library.
#[cfg(target_arch = "x86_64")]
fn detect_x86() -> Features {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    #[target_feature(enable = "xsave")]
    fn state_components() -> u64 {
        // SAFETY: register 0 exists wherever XGETBV does.
        unsafe { _xgetbv(0) }
    }
    let bit = |word: u32, index: u32| word >> index & 1 == 1;
    if __cpuid(0).eax < 7 {
        return Features::NONE;
    }
    let (basic, extended) = (__cpuid(1), __cpuid_count(7, 0));
    let (fma, popcnt, f16c) = (bit(basic.ecx, 12), bit(basic.ecx, 23), bit(basic.ecx, 29));
    let (osxsave, avx) = (bit(basic.ecx, 27), bit(basic.ecx, 28));
    if !(fma && popcnt && osxsave && avx) {
        return Features::NONE;
    }
    // SAFETY: OSXSAVE says that XGETBV is enabled.
    let saved = unsafe { state_components() };
    // Bits 1 and 2: the system saves XMM and YMM. Bits 5 to 7: it saves the mask registers and ZMM.
    let avx2 = saved & 0b110 == 0b110 && bit(extended.ebx, 5);
    // To the compiler AVX-512F has F16C in it.
    let avx512 = avx2 && f16c && saved & 0b1110_0000 == 0b1110_0000 && bit(extended.ebx, 16);
    Features { avx2, avx512 }
}

/// What the processor calls itself, padded with zeros or spaces.
pub fn cpu_name() -> Option<[u8; 48]> {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::__cpuid;
        if __cpuid(0x8000_0000).eax < 0x8000_0004 {
            return None;
        }
        let mut name = [0; 48];
        for (leaf, part) in (0x8000_0002..).zip(name.chunks_exact_mut(16)) {
            let words = __cpuid(leaf);
            for (word, bytes) in
                [words.eax, words.ebx, words.ecx, words.edx].iter().zip(part.chunks_exact_mut(4))
            {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
        Some(name)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

impl Isa {
    /// Every name that [`Isa::named`] knows, slowest first.
    pub const NAMES: [&'static str; 4] = ["reference", "wide", "avx2", "avx512"];

    /// The backends that this CPU has, slowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Isa> {
        let features = Features::detect();
        Self::NAMES.into_iter().filter_map(move |name| Isa::with_features(name, features).ok())
    }

    /// The fastest backend of this CPU.
    pub fn best() -> Isa {
        Isa::available().next_back().unwrap_or(Isa::Wide)
    }

    /// The backend called `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name, [`Error::Environment`] for an instruction set that this CPU lacks.
    pub fn named(name: &str) -> Result<Isa, Error> {
        Self::with_features(name, Features::detect())
    }

    /// [`Isa::named`] on a CPU that has no more than `features`.
    ///
    /// # Errors
    /// As [`Isa::named`].
    pub fn with_features(name: &str, features: Features) -> Result<Isa, Error> {
        match name {
            "reference" => Ok(Isa::Reference),
            "wide" => Ok(Isa::Wide),
            #[cfg(target_arch = "x86_64")]
            "avx2" if features.avx2 => Ok(Isa::Avx2(Avx2(()))),
            #[cfg(target_arch = "x86_64")]
            "avx512" if features.avx512 => Ok(Isa::Avx512(Avx512(()))),
            "avx2" => Err(Error::environment("isa avx2: this CPU has no AVX2 with FMA")),
            "avx512" => Err(Error::environment("isa avx512: this CPU has no AVX-512F")),
            _ => {
                let _ = features;
                Err(Error::usage("isa", "expected reference, wide, avx2 or avx512"))
            }
        }
    }

    /// Whether its fused multiply-add is one instruction; else it is emulated, and slow.
    pub fn fma_in_hardware(self) -> bool {
        match self {
            Isa::Reference => false,
            Isa::Wide => FUSED,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) | Isa::Avx512(_) => true,
        }
    }

    /// The name of this backend.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Reference => "reference",
            Isa::Wide => "wide",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_without_a_feature_is_told_so() {
        for name in ["avx2", "avx512"] {
            let error = Isa::with_features(name, Features::NONE).unwrap_err();
            assert_eq!(error.exit_code(), 6);
        }
        assert_eq!(Isa::with_features("wide", Features::NONE).unwrap(), Isa::Wide);
        assert_eq!(Isa::named("mmx").unwrap_err().exit_code(), 2);
    }

    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    #[test]
    fn detection_agrees_with_the_standard_library() {
        let features = Features::detect();
        let scalar = is_x86_feature_detected!("fma") && is_x86_feature_detected!("popcnt");
        assert_eq!(features.avx2, is_x86_feature_detected!("avx2") && scalar);
        let wider = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("f16c");
        assert_eq!(features.avx512, features.avx2 && wider);
    }
}
