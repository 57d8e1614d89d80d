//! Any kernel, any shape and alignment, any values: each backend equals `reference` bit for bit and touches nothing
//! beside its output.

#![no_main]

use duel::Isa;
use duel::kernels::cases::{ENTRIES, Operand, Role, Shape, Values};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    entry: u8,
    variant: u8,
    rows: u8,
    cols: u8,
    terms: u16,
    offset: u8,
    gap: u8,
    /// Bit patterns; those that are not finite lose their top exponent bit.
    values: Vec<u32>,
    /// What follows them: a generator of values of a common size.
    seed: u64,
}

/// The values of the input, then pseudo-random ones with zeros, −0, subnormals and values that underflow, in matrices
/// somewhere in memory, with NaN around and between their rows.
struct Source<'a> {
    given: std::slice::Iter<'a, u32>,
    state: u64,
    offset: usize,
    gap: usize,
}

impl Source<'_> {
    fn next(&mut self) -> f32 {
        if let Some(&bits) = self.given.next() {
            let x = f32::from_bits(bits);
            return if x.is_finite() { x } else { f32::from_bits(bits & !(1 << 30)) };
        }
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.state >> 33) as u32;
        let x = (bits >> 7) as f32 * (1.0 / 8_388_608.0) - 1.0;
        match bits % 32 {
            0..4 => 0.0,
            4 => -0.0,
            5 => f32::from_bits(bits >> 10),
            6 => x * 1e-25,
            _ => x,
        }
    }
}

impl Values for Source<'_> {
    fn matrix(&mut self, _: Role, rows: usize, cols: usize) -> Operand {
        let (offset, stride) = (self.offset, cols + self.gap);
        let mut data = vec![f32::NAN; offset + rows * stride + 16];
        for i in 0..rows {
            data[offset + i * stride..][..cols].fill_with(|| self.next());
        }
        Operand { data, offset, rows, cols, stride }
    }
}

fuzz_target!(|input: Input| {
    let shape = Shape {
        rows: input.rows as usize % 20 + 1,
        cols: input.cols as usize % 150 + 1,
        terms: input.terms as usize % 530 + 1,
    };
    let mut source = Source {
        given: input.values.iter(),
        state: input.seed,
        offset: input.offset as usize % 16,
        gap: input.gap as usize % 5,
    };
    let entry = &ENTRIES[input.entry as usize % ENTRIES.len()];
    let mut case = (entry.make)(shape, input.variant as usize % entry.variants, &mut source);
    // Every NaN alike: values beyond the engine's bounds may make some, whose payload no backend promises.
    let mut run = |isa: Isa| -> Vec<u32> {
        case.reset();
        case.run(isa);
        let alike = |bits| if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits };
        case.bits().into_iter().map(alike).collect()
    };
    let expected = run(Isa::Reference);
    for isa in Isa::available().skip(1) {
        assert_eq!(run(isa), expected, "{} on {}", entry.name, isa.name());
    }
});
