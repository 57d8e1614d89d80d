//! The elementary functions and the emulated fma against something more exact, and every backend against `reference`:
//! a stride of all inputs in `cargo test`, every one of them with
//!
//! ```text
//! cargo test --release --test exhaustive -- --ignored --nocapture
//! ```
#![allow(clippy::disallowed_methods)] // the oracles are the standard library's

mod backends;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use duel::Isa;
use duel::kernels::math::{Apply, Function};
use duel::kernels::reference;
use duel::kernels::vector::{Kernel, Vector};

/// Inputs that a thread takes at a time.
const BLOCK: u64 = 1 << 14;

/// Every vector backend of this CPU.
fn backends() -> Vec<Isa> {
    Isa::NAMES[1..].iter().filter_map(|name| backends::backend(name)).collect()
}

/// Calls `work(first..end)` for blocks of 0..count, on all cores.
fn in_blocks(count: u64, work: impl Fn(std::ops::Range<u64>) + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(BLOCK, Ordering::Relaxed);
                    if first >= count {
                        break;
                    }
                    work(first..count.min(first + BLOCK));
                }
            });
        }
    });
}

/// The largest error seen, and the bits of its input.
struct Worst(Mutex<(f64, u64)>);

impl Worst {
    fn new() -> Worst {
        Worst(Mutex::new((0.0, 0)))
    }
    fn take(&self, error: f64, input: u64) {
        let mut worst = self.0.lock().unwrap();
        if error.is_nan() || error > worst.0 {
            *worst = (error, input);
        }
    }
}

/// 2^n for an n of −1074..=1023.
fn power_of_two(n: i32) -> f64 {
    if n < -1022 { f64::from_bits(1 << (n + 1074)) } else { f64::from_bits(((n + 1023) as u64) << 52) }
}

/// |got − exact| in units of the last place of `exact` in f32; 2⁻¹⁴⁹ where that is subnormal.
fn ulps(got: f32, exact: f64) -> f64 {
    if exact.abs() > f32::MAX as f64 {
        // Beyond the largest f32 the correctly rounded result is infinite, or that largest one close above it.
        return if got == exact as f32 { 0.0 } else { f64::INFINITY };
    }
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    (got as f64 - exact).abs() / power_of_two((exponent - 23).max(-149))
}

fn exact(function: Function, x: f64) -> f64 {
    match function {
        Function::Exp => x.exp(),
        // One formula would cancel or overflow on one side.
        Function::Sigmoid | Function::OutputSigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
        Function::Sigmoid | Function::OutputSigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
    }
}

/// Every `stride`-th f32 but the NaNs: `reference` within 1 ulp, every backend equal to it.
fn functions(stride: u64) {
    let backends = backends();
    for function in Function::ALL {
        let worst = Worst::new();
        in_blocks((1u64 << 32).div_ceil(stride), |range| {
            let x: Vec<f32> =
                range.map(|n| f32::from_bits((n * stride) as u32)).filter(|x| !x.is_nan()).collect();
            let mut y = vec![0.0; x.len()];
            Isa::Reference.run(Apply { function, x: &x, y: &mut y });
            let mut other = vec![0.0; x.len()];
            for &isa in &backends {
                other.fill(f32::NAN);
                isa.run(Apply { function, x: &x, y: &mut other });
                for ((x, y), other) in x.iter().zip(&y).zip(&other) {
                    let same = y.to_bits() == other.to_bits();
                    assert!(same, "{} {function:?}({x:e}): {other:e}, not {y:e}", isa.name());
                }
            }
            let mut largest = (0.0, 0);
            for (&x, &y) in x.iter().zip(&y) {
                let cut = function == Function::OutputSigmoid && x <= reference::OUTPUT_CUT;
                if cut {
                    assert_eq!(y.to_bits(), 0, "output sigmoid of {x:e}");
                    continue;
                }
                let error = ulps(y, exact(function, x as f64));
                if error.is_nan() || error > largest.0 {
                    largest = (error, x.to_bits() as u64);
                }
            }
            worst.take(largest.0, largest.1);
        });
        let (error, at) = *worst.0.lock().unwrap();
        let names: Vec<&str> = backends.iter().map(|isa| isa.name()).collect();
        println!(
            "{function:?}: largest error {error:.4} ulp at {:e} ({at:#010x}); {} = reference",
            f32::from_bits(at as u32),
            names.join(", ")
        );
        assert!(error < 1.0, "{function:?}: {error} ulp at {at:#010x}");
    }
}

#[test]
fn functions_on_a_stride_of_all_inputs() {
    functions(4_093);
}

#[test]
#[ignore = "all 2^32 inputs of four functions: about 40 minutes on two cores"]
fn functions_on_every_input() {
    functions(1);
}

/// ln x as an unevaluated sum (high, low), wrong by less than 2⁻⁶² of it: the series of atanh in double-double.
fn exact_ln(x: f64) -> (f64, f64) {
    /// ln 2 = HIGH + MIDDLE + LOW; k·HIGH is exact for |k| ≤ 2¹¹.
    const HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEFA_3800);
    const MIDDLE: f64 = f64::from_bits(0x3D2E_F357_93C7_6730);
    let bits = x.to_bits();
    let mut k = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    // s = (m−1)/(m+1): m−1 is exact, m+1 a sum of two.
    let (f, d) = (m - 1.0, m + 1.0);
    let d_low = if m < 1.0 { m - (d - 1.0) } else { 1.0 - (d - m) };
    let s = f / d;
    let s_low = (s.mul_add(-d, f) - s * d_low) / d;
    // z = s².
    let z = s * s;
    let z_low = s.mul_add(s, -z) + 2.0 * s * s_low;
    // t = z/3 + z²/5 + z³/7 + …: the first term in double-double, the rest is below 2⁻¹² of s.
    let third = z / 3.0;
    let third_low = (third.mul_add(-3.0, z) + z_low) / 3.0;
    let tail = (2..24).rev().fold(0.0, |sum, n| sum * z + 1.0 / (2 * n + 1) as f64) * z * z;
    let (t, t_low) = (third, third_low + tail);
    // ln m = 2·(s + s_low)·(1 + t).
    let product = s * t;
    let product_low = s.mul_add(t, -product) + s * t_low + s_low * t;
    let (k, mut low) = (k as f64, 2.0 * (s_low + product_low));
    low += k * MIDDLE;
    // k·HIGH + 2s + 2·product, largest first, each rounding error kept.
    let mut high = k * HIGH;
    for term in [2.0 * s, 2.0 * product] {
        let sum = high + term;
        let part = sum - high;
        low += (high - (sum - part)) + (term - part);
        high = sum;
    }
    let sum = high + low;
    (sum, (high - sum) + low)
}

/// Error of `reference::ln` in ulp of the result.
fn ln_error(x: f64) -> f64 {
    let (high, low) = exact_ln(x);
    if high == 0.0 {
        return if reference::ln(x) == 0.0 { 0.0 } else { f64::INFINITY };
    }
    let exponent = (high.abs().to_bits() >> 52) as i32 - 1023;
    ((reference::ln(x) - high) - low).abs() / power_of_two((exponent - 52).max(-1074))
}

/// Every `stride`-th positive f32, and `random` f64 of (0, 1): half of them uniform, half with a uniform exponent.
fn logarithms(stride: u64, random: u64) {
    for (name, count) in [("every positive f32", 0x7F80_0000u64.div_ceil(stride)), ("f64 in (0, 1)", random)]
    {
        let worst = Worst::new();
        in_blocks(count, |range| {
            let mut state = range.start.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF1;
            let mut largest = (0.0, 0);
            for n in range {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let x = if count == random {
                    let uniform = ((state >> 11).max(1)) as f64 * power_of_two(-53);
                    let exponent = (state >> 52) % 1_022 + 1;
                    if n % 2 == 0 {
                        uniform
                    } else {
                        f64::from_bits(exponent << 52 | state & ((1 << 52) - 1))
                    }
                } else {
                    f32::from_bits((n * stride) as u32) as f64
                };
                if x > 0.0 {
                    let error = ln_error(x);
                    if error.is_nan() || error > largest.0 {
                        largest = (error, x.to_bits());
                    }
                }
            }
            worst.take(largest.0, largest.1);
        });
        let (error, at) = *worst.0.lock().unwrap();
        println!("ln, {name}: largest error {error:.4} ulp at {:e}", f64::from_bits(at));
        assert!(error < 1.0, "ln, {name}: {error} ulp at {at:#018x}");
    }
    assert_eq!(reference::ln(1.0).to_bits(), 0);
}

#[test]
fn ln_on_a_stride_of_all_inputs() {
    logarithms(1_021, 1_000_000);
}

#[test]
#[ignore = "all positive f32 and 10^9 random f64: about 5 minutes on two cores"]
fn ln_on_every_input() {
    logarithms(1, 1_000_000_000);
}

/// x·y + z by a backend, for each triple.
struct Fma<'a> {
    triples: &'a [[f32; 3]],
    out: &'a mut [f32],
}

impl Kernel for Fma<'_> {
    type Output = ();
    fn reference(self) {
        for (out, &[x, y, z]) in self.out.iter_mut().zip(self.triples) {
            *out = reference::fma(x, y, z);
        }
    }
    #[inline(always)]
    fn vector<V: Vector>(self, v: V) {
        for (out, triples) in self.out.chunks_mut(V::LANES).zip(self.triples.chunks(V::LANES)) {
            let lane = |part: usize| {
                let mut lanes = [0.0f32; 16];
                lanes.iter_mut().zip(triples).for_each(|(lane, triple)| *lane = triple[part]);
                v.load(&lanes)
            };
            v.store(out, v.fma(lane(0), lane(1), lane(2)));
        }
    }
}

/// Every backend against `reference`. NaN results may differ in their payload: no state holds one.
fn compare_fma(backends: &[Isa], triples: &[[f32; 3]]) {
    let mut expected = vec![0.0; triples.len()];
    Isa::Reference.run_any(Fma { triples, out: &mut expected });
    for &isa in backends {
        let mut out = vec![0.0; triples.len()];
        isa.run_any(Fma { triples, out: &mut out });
        for ((triple, a), b) in triples.iter().zip(&expected).zip(&out) {
            let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(same, "{}: fma{triple:?} = {b:e}, emulated {a:e}", isa.name());
        }
    }
}

/// `count` triples of random bit patterns; every second one with exponents close enough to meet.
fn random_fma(count: u64) {
    let backends = backends();
    in_blocks(count, |range| {
        let mut state = range.start.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x0F1E_2D3C_4B5A_6978;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u32
        };
        let triples: Vec<[f32; 3]> = range
            .map(|n| {
                let [x, y, z] = [next(), next(), next()];
                if n % 2 == 0 {
                    return [x, y, z].map(f32::from_bits);
                }
                // z's exponent within ±32 of the product's: they overlap, cancel, or are a rounding bit apart.
                let product = (x >> 23 & 255) as i32 + (y >> 23 & 255) as i32 - 127;
                let exponent = (product + (next() % 65) as i32 - 32).clamp(0, 254) as u32;
                [x, y, z & 0x807F_FFFF | exponent << 23].map(f32::from_bits)
            })
            .collect();
        compare_fma(&backends, &triples);
    });
    println!("fma: {count} random triples, no difference");
}

#[test]
fn emulated_fma_equals_the_hardware_on_random_triples() {
    random_fma(1_000_000);
}

#[test]
#[ignore = "10^9 random triples: about a minute on two cores"]
fn emulated_fma_equals_the_hardware_on_very_many_triples() {
    random_fma(1_000_000_000);
}

#[test]
fn emulated_fma_equals_the_hardware_on_difficult_triples() {
    // Boundaries of the format and their neighbours: signed zeros, subnormals, overflow, one and its halves and ulps.
    let mut values = Vec::new();
    for bits in [
        0x0000_0000u32, // 0
        0x0000_0001,    // the smallest subnormal
        0x0000_0003,
        0x0040_0000,
        0x007F_FFFF, // the largest subnormal
        0x0080_0000, // the smallest normal
        0x0080_0001,
        0x0C80_0000, // 2^-102
        0x1A00_0000, // 2^-75: its square is half the smallest subnormal
        0x1F80_0000, // 2^-64
        0x3380_0000, // 2^-24: half an ulp of 1
        0x3400_0000, // 2^-23: an ulp of 1
        0x3F00_0000, // 1/2
        0x3F7F_FFFF, // 1 - 2^-24
        0x3F80_0000, // 1
        0x3F80_0001, // 1 + 2^-23
        0x3FFF_FFFF, // 2 - 2^-23
        0x4B80_0001, // 2^24 + 2
        0x5F80_0000, // 2^64
        0x7F00_0000, // 2^127
        0x7F7F_FFFF, // the largest finite
        0x7F80_0000, // infinity
        0x7FC0_0000, // NaN
    ] {
        values.extend([f32::from_bits(bits), -f32::from_bits(bits)]);
    }
    let mut triples = Vec::new();
    for &x in &values {
        for &y in &values {
            triples.extend(values.iter().map(|&z| [x, y, z]));
        }
    }
    // Double rounding: (1 + 2^-12)² = 1 + 2^-11 + 2^-24 is a tie in f32, and a tiny z on either side must break it,
    // far below what an f64 sum that is rounded to nearest still sees.
    let tie = 1.0 + f32::from_bits(0x3980_0000);
    for z in &values {
        for scale in [0x3F80_0000u32, 0x2000_0000, 0x5F00_0000] {
            triples.push([tie * f32::from_bits(scale), tie, *z]);
            triples.push([-tie * f32::from_bits(scale), tie, *z]);
        }
    }
    // Cancellation: z is the rounded product, so the sum is the product's rounding error.
    for i in 0..4_096u32 {
        let (x, y) = (f32::from_bits(0x3F80_0000 + i * 2_047), f32::from_bits(0x3F80_0000 + i * 1_021));
        triples.push([x, y, -(x * y)]);
        triples.push([x, -y, f32::from_bits((x * y).to_bits() ^ 1)]);
    }
    compare_fma(&backends(), &triples);
    println!("fma: {} directed triples, no difference", triples.len());
}
