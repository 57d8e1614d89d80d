//! The arithmetic contract as a plain scalar program: the definition of every bit. Never optimised; uses nothing else
//! of the crate. Every other backend equals it bit for bit.
//!
//! # Rules
//!
//! 1. The operations are `+ − × ÷ √` on f32 and f64, fused multiply-add on f32, comparisons, selects, integer and bit
//!    operations, and exact or correctly rounded conversions. Nothing from a mathematics library.
//! 2. A sum of products is one chain of [`fma`] in ascending k, from +0, stored as `acc + 0.0` ([`chain`]). A bias is
//!    added after that. Bias gradients are plain adds over ascending rows, from +0. The discriminator's weight and bias
//!    gradients are one chain over the real rows, then the generated rows. Loss means ascend in f64 and are rounded
//!    once. An elementwise product is stored as `x·y + 0.0`.
//! 3. A term with an exactly-zero factor may be left out: all values are finite, so only a zero's sign could change,
//!    and the `+ 0.0` of rule 2 erases it.
//! 4. Without the hardware instruction fma is emulated exactly ([`fma`]).
//! 5. [`exp`], [`ln`], [`sigmoid`] and [`softplus`] are written here from rule 1, with coefficients that are rounded
//!    rationals. The generator's output uses [`output_sigmoid`], which is exactly 0 below a cut.
//! 6. After Adam, |p| ≤ 2²⁰ and m, v finite, or the run has diverged ([`adam`]).
//! 7. No subnormals: |∂loss/∂logit| < 2⁻⁵⁶ is +0; in Adam |g| < 2⁻⁵⁶ reads as +0, |m| < 2⁻⁸⁰ and v < 2⁻¹²⁰ are +0.
//!
//! # Nothing but Adam can overflow
//!
//! Sizes are at most 2¹⁶ and |p| ≤ 2²⁰; noise and pixels are at most 1. So a hidden value is at most
//! 2¹⁶·2²⁰ + 2²⁰ < 2³⁷, a logit at most 2¹⁶·2³⁷·2²⁰ + 2²⁰ < 2⁷⁴. |∂loss/∂logit| ≤ 1, so a hidden gradient of the
//! discriminator is at most 2²⁰, a pixel's at most 2¹⁶·2²⁰·2²⁰ = 2⁵⁶ (times s(1−s) ≤ ¼), a hidden gradient of the
//! generator at most 2¹⁶·2⁵⁴·2²⁰ = 2⁹⁰. A weight gradient sums at most 2¹⁷ rows: of the output layers below
//! 2¹⁷·2³⁷ and 2¹⁶·2⁵⁴·2³⁷ = 2¹⁰⁷, of the hidden layers below 2¹⁷·2²⁰ and 2¹⁶·2⁹⁰ = 2¹⁰⁶. All are below 2¹²⁷.
//! Inside Adam g² may be ∞; then v is, and the run has diverged. An average lies between parameters, up to rounding.

/// x·y + z with one rounding: the f64 product is exact, the f64 sum is rounded to odd, so rounding it to f32 once more
/// gives what a single rounding gives (f64 has more than 2·24 + 2 bits). Rounded to odd: where the sum is inexact (Knuth's
/// two-sum says its error) and its last bit is 0, it moves one place towards the error.
///
/// ```
/// let [x, y, z] = [0x3380_0008, 0x3F7F_FFF0, 0x3F80_0001].map(f32::from_bits); // x·y is just below half an ulp of z
/// assert_eq!(duel::kernels::reference::fma(x, y, z), z); // a sum rounded to f64 first is a tie, and z + 1 ulp
/// ```
#[inline]
pub fn fma(x: f32, y: f32, z: f32) -> f32 {
    let product = x as f64 * y as f64;
    let z = z as f64;
    let sum = product + z;
    // Knuth's two-sum: the rounding error of the sum, exactly.
    let part = sum - product;
    let error = (product - (sum - part)) + (z - part);
    let bits = sum.to_bits();
    if error == 0.0 || !sum.is_finite() || bits & 1 == 1 {
        return sum as f32;
    }
    // Inexact and even: step to the odd neighbour on the side of the exact sum.
    let odd = if (error > 0.0) == (sum > 0.0) { bits + 1 } else { bits - 1 };
    f64::from_bits(odd) as f32
}

/// √x for a finite x ≥ 0, correctly rounded.
pub fn sqrt(x: f64) -> f64 {
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(not(feature = "std"))]
    software_sqrt(x)
}

/// √x digit by digit, for a finite x ≥ 0: the integer square root of a 108-bit significand, rounded to nearest.
#[cfg(any(test, not(feature = "std")))]
fn software_sqrt(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    // Scale a subnormal into the normals by 2^108, its root by 2^-54.
    let (x, scale) =
        if x < f64::MIN_POSITIVE { (x * f64::from_bits((1023 + 108) << 52), 54) } else { (x, 0) };
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1075;
    let mut significand = (bits & ((1 << 52) - 1) | 1 << 52) as u128;
    if exponent & 1 != 0 {
        significand <<= 1;
        exponent -= 1;
    }
    // root = ⌊√(significand·2^54)⌋ has 54 bits: 53 and one to round by; a remainder makes that inexact.
    let mut remainder = significand << 54;
    let (mut root, mut bit) = (0u128, 1u128 << 106);
    while bit != 0 {
        if remainder >= root + bit {
            remainder -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    // A tie cannot happen: the square of a 54-bit odd number needs 107 bits that significand·2^54 does not have.
    let rounded = (root >> 1) + (root & 1);
    let power = exponent / 2 - 27 + 1 - scale;
    rounded as f64 * f64::from_bits(((1023 + power) as u64) << 52)
}

/// √x in f32: rounding the f64 root once more is correct, since f64 has more than 2·24 + 2 bits.
#[inline]
pub fn sqrt32(x: f32) -> f32 {
    sqrt(x as f64) as f32
}

/// The sum of `a(k)·b(k)` over k in 0..n as one chain of fma in ascending k on top of `start`.
#[inline]
pub fn chain(n: usize, start: f32, a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> f32 {
    let mut acc = start;
    for k in 0..n {
        acc = fma(a(k), b(k), acc);
    }
    acc
}

/// max(x, 0) by compare and select; +0 for −0.
#[inline]
pub fn relu(x: f32) -> f32 {
    if x > 0.0 { x } else { 0.0 }
}

/// Adding and subtracting 1.5·2²³ rounds |x| < 2²² to the nearest integer, ties to even.
pub const ROUND: f32 = 12_582_912.0;
/// 1.5·2²³ + 127: adding it to an integer n puts the exponent field of 2ⁿ into the low bits of the sum.
pub const EXPONENT: f32 = 12_583_039.0;
/// 1/ln 2, rounded to f32.
pub const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// ln 2 in two parts: 355/512 has 9 bits, so n times it is exact for |n| < 2¹⁵.
pub const LN2_HIGH: f32 = 355.0 / 512.0;
/// ln 2 (as f64) − 355/512, rounded to f32.
pub const LN2_LOW: f32 = (core::f64::consts::LN_2 - 355.0 / 512.0) as f32;
/// 1/n! for n = 8, 7, …, 2, each rounded to f32. With |r| ≤ ln 2 / 2 the terms left out are below 2⁻³².
pub const EXP_TAYLOR: [f32; 7] =
    [1.0 / 40_320.0, 1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
/// 1/(2n+1) for n = 9, 8, …, 1, each rounded to f32, of the series of atanh. With z ≤ 1/9 the terms left out are below
/// 2⁻³³.
pub const ATANH_TAYLOR: [f32; 9] =
    [1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0];
/// e⁻¹⁰⁵ < 2⁻¹⁵¹ rounds to 0: beyond ±105 nothing changes, and the powers of two stay representable.
pub const EXP_LIMIT: f32 = 105.0;
/// The f32 of bits 0xC18AA123, about −17.32868. At and below this input 1 − σ(x) rounds to 1 in f32 (σ(x) < 2⁻²⁵): the
/// generator's output is exactly 0 there.
pub const OUTPUT_CUT: f32 = f32::from_bits(0xC18A_A123);

/// 2ⁿ for an integral n in −126..=127.
#[inline]
pub fn exp2i(n: f32) -> f32 {
    f32::from_bits((n + EXPONENT).to_bits() << 23)
}

/// (n, high, low) with eˣ = 2ⁿ·(high + low), |low| ≤ ulp(high)/2, for |x| ≤ 105:
///
/// ```text
/// n     = fma(x, LOG2_E, ROUND) − ROUND
/// exact = fma(n, −LN2_HIGH, x)
/// r     = fma(n, −LN2_LOW, exact)
/// r_low = fma(n, −LN2_LOW, exact − r)
/// s     = fma(…fma(fma(EXP_TAYLOR[0], r, EXP_TAYLOR[1]), r, EXP_TAYLOR[2])…, r, EXP_TAYLOR[6])
/// tail  = fma(r·r, s, r_low)
/// first = 1 + r
/// rest  = ((1 − first) + r) + tail
/// high  = first + rest
/// low   = (first − high) + rest
/// ```
#[inline]
pub fn exp_parts(x: f32) -> (f32, f32, f32) {
    let n = fma(x, LOG2_E, ROUND) - ROUND;
    let exact = fma(n, -LN2_HIGH, x);
    let r = fma(n, -LN2_LOW, exact);
    let r_low = fma(n, -LN2_LOW, exact - r);
    let mut series = EXP_TAYLOR[0];
    for &coefficient in &EXP_TAYLOR[1..] {
        series = fma(series, r, coefficient);
    }
    let tail = fma(r * r, series, r_low);
    let first = 1.0 + r;
    let rest = ((1.0 - first) + r) + tail;
    let high = first + rest;
    (n, high, (first - high) + rest)
}

/// x·2ⁿ for an integral |n| ≤ 252, in two steps, of which only the second one can round: (x·2ʰ)·2ⁿ⁻ʰ with
/// h = fma(n, ½, ROUND) − ROUND.
#[inline]
pub fn scale(x: f32, n: f32) -> f32 {
    let half = fma(n, 0.5, ROUND) - ROUND;
    (x * exp2i(half)) * exp2i(n - half)
}

/// eˣ; +∞ where it overflows: x is clamped to ±EXP_LIMIT, and then it is scale(high, n) of [`exp_parts`].
pub fn exp(x: f32) -> f32 {
    let x = if x < -EXP_LIMIT { -EXP_LIMIT } else { x };
    let x = if x > EXP_LIMIT { EXP_LIMIT } else { x };
    let (n, high, _) = exp_parts(x);
    scale(high, n)
}

/// 1/(1 + e⁻ˣ), from e^−|x|: 1/(1+e) for x ≥ 0, e/(1+e) below, the quotient corrected to nearly twice the precision:
///
/// ```text
/// (n, high, low) = exp_parts(max(−|x|, −EXP_LIMIT))
/// power      = 2^max(n, −64)             in 1 + e a smaller power is invisible, and so kept from underflow
/// e, e_low   = high·power, low·power
/// d          = 1 + e
/// d_low      = ((1 − d) + e) + e_low
/// inverse    = 1 / d
/// correction = fma(−inverse, d_low, fma(−inverse, d, 1))
/// (top, top_low, n) = (high, low, n) if x < 0, else (1, 0, 0)
/// quotient   = top·inverse
/// rest       = fma(quotient, correction, fma(top_low, inverse, fma(top, inverse, −quotient)))
/// result     = scale(quotient + rest, n)
/// ```
pub fn sigmoid(x: f32) -> f32 {
    let a = if x > 0.0 { -x } else { x };
    let a = if a < -EXP_LIMIT { -EXP_LIMIT } else { a };
    let (n, high, low) = exp_parts(a);
    // In 1 + e a power below 2⁻⁶⁴ is invisible, and kept from underflow.
    let power = exp2i(if n < -64.0 { -64.0 } else { n });
    let (e, e_low) = (high * power, low * power);
    let d = 1.0 + e;
    let d_low = ((1.0 - d) + e) + e_low;
    let inverse = 1.0 / d;
    let correction = fma(-inverse, d_low, fma(-inverse, d, 1.0));
    let (top, top_low, n) = if x < 0.0 { (high, low, n) } else { (1.0, 0.0, 0.0) };
    let quotient = top * inverse;
    let rest = fma(quotient, correction, fma(top_low, inverse, fma(top, inverse, -quotient)));
    scale(quotient + rest, n)
}

/// [`sigmoid`], and exactly 0 for x ≤ [`OUTPUT_CUT`]: the activation of the generated pixels.
pub fn output_sigmoid(x: f32) -> f32 {
    if x <= OUTPUT_CUT { 0.0 } else { sigmoid(x) }
}

/// ln(1 + eˣ) = max(x, 0) + 2·atanh(s) with s = e/(2+e), e = e^−|x|:
///
/// ```text
/// (n, high, low) = exp_parts(max(−|x|, −EXP_LIMIT))
/// e, e_low = scale(high, n), scale(low, n)
/// d        = fma(e, ½, 1)
/// d_low    = fma(e_low, ½, fma(e, ½, 1 − d))
/// q        = e / d                                             2s
/// q_low    = fma(−q, d_low, fma(−q, d, e) + e_low) / d
/// z        = (q·q)·¼
/// s        = fma(…fma(ATANH_TAYLOR[0], z, ATANH_TAYLOR[1])…, z, ATANH_TAYLOR[8])
/// rest     = fma(q·z, s, q_low)
/// base     = max(x, 0)
/// sum      = base + q
/// part     = sum − base
/// error    = (base − (sum − part)) + (q − part)
/// result   = x if x > EXP_LIMIT, else sum + (error + rest)
/// ```
pub fn softplus(x: f32) -> f32 {
    let a = if x > 0.0 { -x } else { x };
    let a = if a < -EXP_LIMIT { -EXP_LIMIT } else { a };
    let (n, high, low) = exp_parts(a);
    let (e, e_low) = (scale(high, n), scale(low, n));
    // q = 2s = e/(1 + e/2), and what its rounding left out.
    let d = fma(e, 0.5, 1.0);
    let d_low = fma(e_low, 0.5, fma(e, 0.5, 1.0 - d));
    let q = e / d;
    let q_low = fma(-q, d_low, fma(-q, d, e) + e_low) / d;
    let z = (q * q) * 0.25;
    let mut series = ATANH_TAYLOR[0];
    for &coefficient in &ATANH_TAYLOR[1..] {
        series = fma(series, z, coefficient);
    }
    let rest = fma(q * z, series, q_low);
    // base + q with its rounding error (two-sum), then everything small.
    let base = relu(x);
    let sum = base + q;
    let part = sum - base;
    let error = (base - (sum - part)) + (q - part);
    let result = sum + (error + rest);
    if x > EXP_LIMIT { x } else { result }
}

/// ln x in f64 for a positive normal x: x = 2ᵏ·m with m in [√½, √2), √½ rounded to f64, ln m = 2·atanh(f/(2+f)),
/// f = m − 1. All in f64, each operation rounded, none fused:
///
/// ```text
/// s = f / (2 + f)
/// z = s·s
/// t = 2/21; for n = 19, 17, …, 3: t = t·z + 2/n; t = t·z
/// h = (½·f)·f
/// ln x = k·L − ((h − (s·(h + t) + k·M)) − f)
/// ```
///
/// L is the f64 of bits 0x3FE62E42FEE00000, ln 2 with the low 21 bits of its significand cleared (k·L is exact), and
/// M = 1.9082149292705877e-10 is the rest.
pub fn ln(x: f64) -> f64 {
    /// ln 2 with the low 21 bits of its significand cleared: k times it is exact.
    const LN2_TOP: f64 = f64::from_bits(core::f64::consts::LN_2.to_bits() >> 21 << 21);
    /// ln 2 − LN2_TOP, as a number: 1.9082149292705877e-10.
    const LN2_REST: f64 = 1.908_214_929_270_587_7e-10;
    /// The bits of √½.
    const SQRT_HALF: u64 = core::f64::consts::FRAC_1_SQRT_2.to_bits();
    // Counting exponents from √½ puts the significand into [√½, √2).
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let k = (shifted as i64 >> 52) as f64;
    let m = f64::from_bits((shifted & ((1 << 52) - 1)) + SQRT_HALF);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    // z·(2/3 + z·(2/5 + … + z·2/21)): |z| ≤ 0.0295, the terms left out are below 2⁻⁵⁸.
    let mut series = 2.0 / 21.0;
    let mut n = 19.0;
    while n >= 3.0 {
        series = series * z + 2.0 / n;
        n -= 2.0;
    }
    let series = series * z;
    let half_square = 0.5 * f * f;
    k * LN2_TOP - ((half_square - (s * (half_square + series) + k * LN2_REST)) - f)
}

/// Adam's constants for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamRates {
    /// lr·√(1−β2ᵗ) / (1−β1ᵗ), in f64, rounded once.
    pub rate: f32,
    /// 1 − β1, rounded.
    pub one_minus_beta1: f32,
    /// 1 − β2, rounded.
    pub one_minus_beta2: f32,
    /// ε, outside the square root.
    pub epsilon: f32,
}

impl AdamRates {
    /// The constants of step `t`, counted from 1; 1 − β is one f32 subtraction. Powers by square-and-multiply from the
    /// least significant bit, all in f64, to which the settings are widened:
    ///
    /// ```text
    /// power(β, t): r = 1, s = β; while t > 0: if t is odd, r = r·s; s = s·s; t = ⌊t/2⌋
    /// rate = (lr·√(1 − power(β2, t))) / (1 − power(β1, t))
    /// ```
    pub fn new(learning_rate: f32, beta1: f32, beta2: f32, epsilon: f32, t: u64) -> AdamRates {
        fn power(base: f32, mut t: u64) -> f64 {
            let (mut square, mut result) = (base as f64, 1.0);
            while t > 0 {
                if t & 1 == 1 {
                    result *= square;
                }
                square *= square;
                t >>= 1;
            }
            result
        }
        let rate = (learning_rate as f64 * sqrt(1.0 - power(beta2, t))) / (1.0 - power(beta1, t));
        AdamRates { rate: rate as f32, one_minus_beta1: 1.0 - beta1, one_minus_beta2: 1.0 - beta2, epsilon }
    }
}

/// 2⁻⁵⁶: a smaller |∂loss/∂logit|, or |g| in Adam, is +0.
pub const SMALLEST_GRADIENT: f32 = f32::from_bits((127 - 56) << 23);
/// 2⁻⁸⁰: a smaller |m| is +0.
pub const SMALLEST_M: f32 = f32::from_bits((127 - 80) << 23);
/// 2⁻¹²⁰: a smaller v is +0.
pub const SMALLEST_V: f32 = f32::from_bits((127 - 120) << 23);
/// 2²⁰: a parameter beyond it is divergence.
pub const LARGEST_PARAMETER: f32 = 1_048_576.0;

/// x, or +0 where |x| < `smallest`.
#[inline]
pub fn flush(x: f32, smallest: f32) -> f32 {
    if x.abs() < smallest { 0.0 } else { x }
}

/// One parameter's Adam update, the new (p, m, v); each line uses the values of the lines before it:
///
/// ```text
/// g = 0 where |g| < 2⁻⁵⁶
/// m = fma(1−β1, g − m, m),           0 where |m| < 2⁻⁸⁰
/// v = fma(1−β2, fma(g, g, −v), v),   0 where v < 2⁻¹²⁰
/// p = p − (rate·m) / (√v + ε)
/// ```
#[inline]
pub fn adam(p: f32, m: f32, v: f32, g: f32, rates: &AdamRates) -> (f32, f32, f32) {
    let g = flush(g, SMALLEST_GRADIENT);
    let m = flush(fma(rates.one_minus_beta1, g - m, m), SMALLEST_M);
    let v = flush(fma(rates.one_minus_beta2, fma(g, g, -v), v), SMALLEST_V);
    (p - (rates.rate * m) / (sqrt32(v) + rates.epsilon), m, v)
}

/// The average of a parameter after a step that made it `p`: fma(1 − A, p − average, average). `share` is 1 − A, rounded.
#[inline]
pub fn average(average: f32, p: f32, share: f32) -> f32 {
    fma(share, p - average, average)
}

/// Whether a parameter and its moments are within the bounds that keep everything finite.
#[inline]
pub fn in_bounds(p: f32, m: f32, v: f32) -> bool {
    p.abs() <= LARGEST_PARAMETER && m.abs() <= f32::MAX && v <= f32::MAX
}

/// −log of the probability that a logit gives to its target, and n times its derivative by the logit.
///
/// Real: softplus(−l) and −σ(−l). Generated: softplus(l) and σ(l).
#[inline]
pub fn cross_entropy(logit: f32, real: bool) -> (f32, f32) {
    if real { (softplus(-logit), -sigmoid(-logit)) } else { (softplus(logit), sigmoid(logit)) }
}

/// A probability as a byte: 255p + 0.5, each operation rounded, truncated.
#[inline]
pub fn pixel_byte(p: f32) -> u8 {
    (255.0 * p + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_root_equals_the_hardware() {
        let mut state = 7u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let x = f64::from_bits(state >> 1);
            if x.is_finite() {
                assert_eq!(software_sqrt(x).to_bits(), x.sqrt().to_bits(), "{x:e}");
            }
        }
    }

    #[test]
    fn the_output_cut_is_where_one_minus_sigmoid_rounds_to_one() {
        let half_an_ulp = f32::from_bits((127 - 25) << 23);
        let above = f32::from_bits(OUTPUT_CUT.to_bits() - 1);
        assert!(sigmoid(OUTPUT_CUT) < half_an_ulp && 1.0 - sigmoid(OUTPUT_CUT) == 1.0);
        assert!(sigmoid(above) >= half_an_ulp && output_sigmoid(above) == sigmoid(above));
        assert_eq!(output_sigmoid(OUTPUT_CUT).to_bits(), 0);
    }

    #[test]
    fn what_is_below_a_threshold_is_zero_and_nothing_else() {
        let below = |x: f32| f32::from_bits(x.to_bits() - 1);
        let power = |n: i32| f32::from_bits(((127 + n) as u32) << 23);
        let rates = AdamRates::new(2e-4, 0.0, 0.0, 1e-8, 1);
        // With β = 0 the moments are the gradient and its square.
        let moments = |g: f32| (adam(0.0, 0.0, 0.0, g, &rates).1, adam(0.0, 0.0, 0.0, g, &rates).2);
        assert_eq!(moments(power(-56)), (power(-56), power(-112)));
        assert_eq!(moments(-power(-56)), (-power(-56), power(-112)));
        assert_eq!(moments(below(power(-56))), (0.0, 0.0));
        // With g = 0 and β = ½ they are halved.
        let rates = AdamRates::new(2e-4, 0.5, 0.5, 1e-8, 1);
        let halved = |m: f32, v: f32| (adam(0.0, m, v, 0.0, &rates).1, adam(0.0, m, v, 0.0, &rates).2);
        assert_eq!(halved(power(-79), power(-119)), (power(-80), power(-120)));
        assert_eq!(halved(below(power(-79)), below(power(-119))), (0.0, 0.0));
        assert!(in_bounds(power(20), 0.0, 0.0) && !in_bounds(power(20) + 0.125, 0.0, 0.0));
        assert!(
            !in_bounds(f32::NAN, 0.0, 0.0)
                && !in_bounds(0.0, f32::NAN, 0.0)
                && !in_bounds(0.0, 0.0, f32::INFINITY)
        );
    }

    #[test]
    fn first_three_adam_updates_are_those_computed_by_hand() {
        // lr = 1/4, β1 = 1/2, β2 = 3/4, ε = 1/2, gradients 1, −2, 1/2. In exact arithmetic:
        // t = 1: m = 1/2, v = 1/4, lr_t = ¼·½/½ = 0.25, p = ½ − 0.25·½/(½ + ½) = 0.375
        // t = 2: m = −3/4, v = 19/16, lr_t = ¼·√(7/16)/¾ = 0.22047928, p = 0.375 + 0.16535946/(1.08972474 + ½)
        // t = 3: m = −1/8, v = 61/64, lr_t = ¼·√(37/64)/⅞ = 0.21724150, p = … + 0.02715519/(0.97628121 + ½)
        let expected = [(0.375, 0.5, 0.25), (0.479_017_67, -0.75, 1.1875), (0.497_411_97, -0.125, 0.953_125)];
        let (mut p, mut m, mut v) = (0.5f32, 0.0, 0.0);
        for ((t, g), (p_expected, m_expected, v_expected)) in (1..).zip([1.0, -2.0, 0.5]).zip(expected) {
            (p, m, v) = adam(p, m, v, g, &AdamRates::new(0.25, 0.5, 0.75, 0.5, t));
            assert_eq!((m, v), (m_expected, v_expected), "step {t}");
            assert!((p - p_expected).abs() < 1e-7, "step {t}: {p}");
        }
    }
}
