//! exp, sigmoid and softplus on vectors: the same operations in the same order as in `reference`, lane by lane.
//! Uses `vector` and `reference`.
//!
//! Largest error against f64 over all 2³² inputs (NaN left out, subnormal results in units of 2⁻¹⁴⁹), and where; every
//! backend gives the bits of `reference` on all of them. `tests/exhaustive.rs` repeats it. AVX-512 is still to be
//! compared on all inputs, by a machine that has it.
//!
//! | function | error | at | compared on all inputs |
//! |---|---|---|---|
//! | [`exp`] | 0.7644 ulp | −87.71553 | wide (fused), avx2 |
//! | [`sigmoid`] | 0.7644 ulp | −87.71553 | wide (fused), avx2 |
//! | [`output_sigmoid`], above its cut | 0.6494 ulp | −5.8822265 | wide (fused), avx2 |
//! | [`softplus`] | 0.7644 ulp | −87.71553 | wide (fused), avx2 |
//! | [`ln`](reference::ln), f64, all positive f32 | 0.7414 ulp | 0.3879 | one scalar function for all |
//! | [`ln`](reference::ln), f64, 10⁹ random f64 in (0, 1) | 0.8745 ulp | 0.7040 | one scalar function for all |

use super::reference::{
    self, ATANH_TAYLOR, EXP_LIMIT, EXP_TAYLOR, LN2_HIGH, LN2_LOW, LOG2_E, OUTPUT_CUT, ROUND,
};
use super::vector::{Kernel, Vector};

/// a where a < b is false, b otherwise: clamps to at least b.
#[inline(always)]
fn at_least<V: Vector>(v: V, a: V::F32, b: f32) -> V::F32 {
    let b = v.splat(b);
    v.select(v.lt(a, b), b, a)
}

/// The nearest integer, ties to even, of x·factor.
#[inline(always)]
fn round_product<V: Vector>(v: V, x: V::F32, factor: f32) -> V::F32 {
    let round = v.splat(ROUND);
    v.sub(v.fma(x, v.splat(factor), round), round)
}

#[inline(always)]
fn exp_parts<V: Vector>(v: V, x: V::F32) -> (V::F32, V::F32, V::F32) {
    let n = round_product(v, x, LOG2_E);
    let exact = v.fma(n, v.splat(-LN2_HIGH), x);
    let r = v.fma(n, v.splat(-LN2_LOW), exact);
    let r_low = v.fma(n, v.splat(-LN2_LOW), v.sub(exact, r));
    let mut series = v.splat(EXP_TAYLOR[0]);
    for &coefficient in &EXP_TAYLOR[1..] {
        series = v.fma(series, r, v.splat(coefficient));
    }
    let tail = v.fma(v.mul(r, r), series, r_low);
    let one = v.splat(1.0);
    let first = v.add(one, r);
    let rest = v.add(v.add(v.sub(one, first), r), tail);
    let high = v.add(first, rest);
    (n, high, v.add(v.sub(first, high), rest))
}

#[inline(always)]
fn scale<V: Vector>(v: V, x: V::F32, n: V::F32) -> V::F32 {
    let half = round_product(v, n, 0.5);
    v.mul(v.mul(x, v.exp2i(half)), v.exp2i(v.sub(n, half)))
}

/// −|x|, not below −[`EXP_LIMIT`].
#[inline(always)]
fn negative_magnitude<V: Vector>(v: V, x: V::F32) -> V::F32 {
    let zero = v.splat(0.0);
    at_least(v, v.select(v.lt(zero, x), v.neg(x), x), -EXP_LIMIT)
}

/// eˣ; +∞ where it overflows.
#[inline(always)]
pub fn exp<V: Vector>(v: V, x: V::F32) -> V::F32 {
    let x = at_least(v, x, -EXP_LIMIT);
    let limit = v.splat(EXP_LIMIT);
    let x = v.select(v.lt(limit, x), limit, x);
    let (n, high, _) = exp_parts(v, x);
    scale(v, high, n)
}

/// 1/(1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid<V: Vector>(v: V, x: V::F32) -> V::F32 {
    let (zero, one) = (v.splat(0.0), v.splat(1.0));
    let (n, high, low) = exp_parts(v, negative_magnitude(v, x));
    let power = v.exp2i(at_least(v, n, -64.0));
    let (e, e_low) = (v.mul(high, power), v.mul(low, power));
    let d = v.add(one, e);
    let d_low = v.add(v.add(v.sub(one, d), e), e_low);
    let inverse = v.div(one, d);
    let minus = v.neg(inverse);
    let correction = v.fma(minus, d_low, v.fma(minus, d, one));
    let negative = v.lt(x, zero);
    let top = v.select(negative, high, one);
    let top_low = v.select(negative, low, zero);
    let quotient = v.mul(top, inverse);
    let rest = v.fma(top_low, inverse, v.fma(top, inverse, v.neg(quotient)));
    let rest = v.fma(quotient, correction, rest);
    scale(v, v.add(quotient, rest), v.select(negative, n, zero))
}

/// [`sigmoid`], and exactly 0 for x ≤ [`OUTPUT_CUT`].
#[inline(always)]
pub fn output_sigmoid<V: Vector>(v: V, x: V::F32) -> V::F32 {
    v.select(v.le(x, v.splat(OUTPUT_CUT)), v.splat(0.0), sigmoid(v, x))
}

/// max(x, 0) by compare and select.
#[inline(always)]
pub fn relu<V: Vector>(v: V, x: V::F32) -> V::F32 {
    let zero = v.splat(0.0);
    v.select(v.lt(zero, x), x, zero)
}

/// ln(1 + eˣ).
#[inline(always)]
pub fn softplus<V: Vector>(v: V, x: V::F32) -> V::F32 {
    let (half, one) = (v.splat(0.5), v.splat(1.0));
    let (n, high, low) = exp_parts(v, negative_magnitude(v, x));
    let (e, e_low) = (scale(v, high, n), scale(v, low, n));
    let d = v.fma(e, half, one);
    let d_low = v.fma(e_low, half, v.fma(e, half, v.sub(one, d)));
    let q = v.div(e, d);
    let minus = v.neg(q);
    let q_low = v.div(v.fma(minus, d_low, v.add(v.fma(minus, d, e), e_low)), d);
    let z = v.mul(v.mul(q, q), v.splat(0.25));
    let mut series = v.splat(ATANH_TAYLOR[0]);
    for &coefficient in &ATANH_TAYLOR[1..] {
        series = v.fma(series, z, v.splat(coefficient));
    }
    let rest = v.fma(v.mul(q, z), series, q_low);
    let base = relu(v, x);
    let sum = v.add(base, q);
    let part = v.sub(sum, base);
    let error = v.add(v.sub(base, v.sub(sum, part)), v.sub(q, part));
    let result = v.add(sum, v.add(error, rest));
    v.select(v.lt(v.splat(EXP_LIMIT), x), x, result)
}

/// x, or +0 where |x| < `smallest`.
#[inline(always)]
pub fn flush<V: Vector>(v: V, x: V::F32, smallest: f32) -> V::F32 {
    v.select(v.lt(v.abs(x), v.splat(smallest)), v.splat(0.0), x)
}

/// A function of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// [`exp`].
    Exp,
    /// [`sigmoid`].
    Sigmoid,
    /// [`output_sigmoid`].
    OutputSigmoid,
    /// [`softplus`].
    Softplus,
}

impl Function {
    /// All of them.
    pub const ALL: [Function; 4] =
        [Function::Exp, Function::Sigmoid, Function::OutputSigmoid, Function::Softplus];
}

/// `y[i] = function(x[i])`. The step calls the functions where their arguments are made; this is for whoever wants to
/// prove or time them.
#[derive(Debug)]
pub struct Apply<'a> {
    /// Which function.
    pub function: Function,
    /// Arguments.
    pub x: &'a [f32],
    /// Results, as many.
    pub y: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    fn reference(self) {
        let function = match self.function {
            Function::Exp => reference::exp,
            Function::Sigmoid => reference::sigmoid,
            Function::OutputSigmoid => reference::output_sigmoid,
            Function::Softplus => reference::softplus,
        };
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = function(x);
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(self, v: V) {
        match self.function {
            Function::Exp => map(v, self.x, self.y, exp),
            Function::Sigmoid => map(v, self.x, self.y, sigmoid),
            Function::OutputSigmoid => map(v, self.x, self.y, output_sigmoid),
            Function::Softplus => map(v, self.x, self.y, softplus),
        }
    }
}

#[inline(always)]
fn map<V: Vector>(v: V, x: &[f32], y: &mut [f32], f: impl Fn(V, V::F32) -> V::F32) {
    for (x, y) in x.chunks(V::LANES).zip(y.chunks_mut(V::LANES)) {
        v.store(y, f(v, v.load(x)));
    }
}
