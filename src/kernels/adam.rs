//! Adam's update, on whole slices and at the end of a weight gradient's chain. Uses `isa`, `reference`, `vector`,
//! `tiles`, `math` and `gemm`.
//!
//! Fused with the weight gradient, the gradient of a large layer never goes to memory.

use super::gemm::{Epilogue, Product};
use super::isa::Isa;
use super::math::flush;
use super::reference::{self, AdamRates, LARGEST_PARAMETER, SMALLEST_GRADIENT, SMALLEST_M, SMALLEST_V};
use super::tiles::MatMut;
use super::vector::{Kernel, Vector};

/// The update of up to LANES parameters; false where one left its bounds.
#[inline(always)]
fn update<V: Vector>(
    v: V,
    p: &mut [f32],
    m: &mut [f32],
    s: &mut [f32],
    g: V::F32,
    rates: &AdamRates,
) -> bool {
    let g = flush(v, g, SMALLEST_GRADIENT);
    let m_old = v.load(m);
    let m_new = v.fma(v.splat(rates.one_minus_beta1), v.sub(g, m_old), m_old);
    let m_new = flush(v, m_new, SMALLEST_M);
    let s_old = v.load(s);
    let s_new = v.fma(v.splat(rates.one_minus_beta2), v.fma(g, g, v.neg(s_old)), s_old);
    let s_new = flush(v, s_new, SMALLEST_V);
    let quotient = v.div(v.mul(v.splat(rates.rate), m_new), v.add(v.sqrt(s_new), v.splat(rates.epsilon)));
    let p_new = v.sub(v.load(p), quotient);
    v.store(p, p_new);
    v.store(m, m_new);
    v.store(s, s_new);
    // Comparisons with a NaN are false, so it fails them.
    let finite = v.splat(f32::MAX);
    v.all(v.le(v.abs(p_new), v.splat(LARGEST_PARAMETER)))
        & v.all(v.le(v.abs(m_new), finite))
        & v.all(v.le(v.abs(s_new), finite))
}

/// Updates a slice of parameters with their gradient; returns whether all stayed within bounds.
#[derive(Debug)]
pub struct AdamStep<'a> {
    /// Parameters.
    pub p: &'a mut [f32],
    /// First moments.
    pub m: &'a mut [f32],
    /// Second moments.
    pub v: &'a mut [f32],
    /// Gradient.
    pub g: &'a [f32],
    /// The step's constants.
    pub rates: AdamRates,
}

impl Kernel for AdamStep<'_> {
    type Output = bool;

    fn run_on(self, isa: Isa) -> bool {
        isa.dispatch(self)
    }

    fn reference(self) -> bool {
        let mut fine = true;
        for (((p, m), v), &g) in self.p.iter_mut().zip(self.m).zip(self.v).zip(self.g) {
            (*p, *m, *v) = reference::adam(*p, *m, *v, g, &self.rates);
            fine &= reference::in_bounds(*p, *m, *v);
        }
        fine
    }

    #[inline(always)]
    fn vector<V: Vector>(self, v: V) -> bool {
        let mut fine = true;
        for j in (0..self.g.len()).step_by(V::LANES) {
            let g = v.load(&self.g[j..]);
            fine &= update(v, &mut self.p[j..], &mut self.m[j..], &mut self.v[j..], g, &self.rates);
        }
        fine
    }
}

/// The end of a weight gradient's chain: the gradient updates its parameter.
#[derive(Debug)]
pub struct AdamUpdate<'a> {
    /// Parameters, of the gradient's shape.
    pub p: MatMut<'a>,
    /// First moments.
    pub m: MatMut<'a>,
    /// Second moments.
    pub v: MatMut<'a>,
    /// The step's constants.
    pub rates: AdamRates,
    /// Set to false where a parameter or moment left its bounds.
    pub fine: bool,
}

impl Epilogue for AdamUpdate<'_> {
    const STORES: bool = false;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }

    fn scalar(&mut self, i: usize, j: usize, acc: f32) -> f32 {
        let g = acc + 0.0;
        let (p, m, v) = reference::adam(self.p.row(i)[j], self.m.row(i)[j], self.v.row(i)[j], g, &self.rates);
        (self.p.row_mut(i)[j], self.m.row_mut(i)[j], self.v.row_mut(i)[j]) = (p, m, v);
        self.fine &= reference::in_bounds(p, m, v);
        g
    }

    #[inline(always)]
    fn vector<V: Vector>(&mut self, v: V, i: usize, j: usize, acc: V::F32) -> V::F32 {
        let g = v.add(acc, v.splat(0.0));
        let (p, m, s) = (self.p.row_mut(i), self.m.row_mut(i), self.v.row_mut(i));
        self.fine &= update(v, &mut p[j..], &mut m[j..], &mut s[j..], g, &self.rates);
        g
    }
}
