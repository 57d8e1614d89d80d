//! Adam's update. Uses `isa`, `reference`, `vector`, `tiles` and `math`.

use super::isa::Isa;
use super::math::flush;
use super::reference::{self, AdamRates, LARGEST_PARAMETER, SMALLEST_GRADIENT, SMALLEST_M, SMALLEST_V};
use super::tiles::{Mat, MatMut};
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

/// Updates a matrix of parameters with their gradient; returns whether all stayed within bounds.
#[derive(Debug)]
pub struct AdamStep<'a> {
    /// Parameters.
    pub p: MatMut<'a>,
    /// First moments.
    pub m: MatMut<'a>,
    /// Second moments.
    pub v: MatMut<'a>,
    /// Gradient.
    pub g: Mat<'a>,
    /// The step's constants.
    pub rates: AdamRates,
}

impl Kernel for AdamStep<'_> {
    type Output = bool;

    fn run_on(self, isa: Isa) -> bool {
        isa.dispatch(self)
    }

    fn reference(mut self) -> bool {
        let mut fine = true;
        for i in 0..self.g.rows() {
            let (p, m, v) = (self.p.row_mut(i), self.m.row_mut(i), self.v.row_mut(i));
            for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(self.g.row(i)) {
                (*p, *m, *v) = reference::adam(*p, *m, *v, g, &self.rates);
                fine &= reference::in_bounds(*p, *m, *v);
            }
        }
        fine
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) -> bool {
        let mut fine = true;
        let strides = [self.p.stride(), self.m.stride(), self.v.stride()];
        for i in 0..self.g.rows() {
            let (p, m, s) = (self.p.row_mut(i), self.m.row_mut(i), self.v.row_mut(i));
            let g = self.g.row(i);
            let next_rows = [(p.as_ptr(), strides[0]), (m.as_ptr(), strides[1]), (s.as_ptr(), strides[2])];
            for j in (0..g.len()).step_by(V::LANES) {
                let g = v.load(&g[j..]);
                // A row of a piece is too short for the hardware to notice the stream: ask for the row after the next.
                for (next, stride) in next_rows {
                    v.prefetch(next.wrapping_add(2 * stride + j));
                }
                fine &= update(v, &mut p[j..], &mut m[j..], &mut s[j..], g, &self.rates);
            }
        }
        fine
    }
}
