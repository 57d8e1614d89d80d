//! Adam's update, and averages of what it updates. Uses `reference`, `vector`, `tiles` and `math`.

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
    // A moment m that is not finite makes p so, and comparisons with a NaN are false: two checks are enough, in one.
    let p_fine = v.le(v.abs(p_new), v.splat(LARGEST_PARAMETER));
    v.all(v.le(v.select(p_fine, s_new, v.splat(f32::INFINITY)), v.splat(f32::MAX)))
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
            let mut p = self.p.row_mut(i).chunks_exact_mut(V::LANES);
            let mut m = self.m.row_mut(i).chunks_exact_mut(V::LANES);
            let mut s = self.v.row_mut(i).chunks_exact_mut(V::LANES);
            let mut g = self.g.row(i).chunks_exact(V::LANES);
            for (((p, m), s), g) in (&mut p).zip(&mut m).zip(&mut s).zip(&mut g) {
                // A row of a piece is too short for the hardware to notice the stream: ask for the row after the next.
                for (at, stride) in [&*p, &*m, &*s].into_iter().zip(strides) {
                    v.prefetch(at.as_ptr().wrapping_add(2 * stride));
                }
                fine &= update(v, p, m, s, v.load(g), &self.rates);
            }
            let (p, m, s) = (p.into_remainder(), m.into_remainder(), s.into_remainder());
            if !p.is_empty() {
                fine &= update(v, p, m, s, v.load(g.remainder()), &self.rates);
            }
        }
        fine
    }
}

/// `average[i][j] = fma(share, p[i][j] − average[i][j], average[i][j])`: a step of an exponential moving average.
#[derive(Debug)]
pub struct AverageStep<'a> {
    /// The averages.
    pub average: MatMut<'a>,
    /// The parameters, of the same shape.
    pub p: Mat<'a>,
    /// How much of a parameter goes into its average.
    pub share: f32,
}

impl Kernel for AverageStep<'_> {
    type Output = ();

    fn reference(mut self) {
        for i in 0..self.p.rows() {
            for (average, &p) in self.average.row_mut(i).iter_mut().zip(self.p.row(i)) {
                *average = reference::average(*average, p, self.share);
            }
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        let (share, stride) = (v.splat(self.share), self.average.stride());
        for i in 0..self.p.rows() {
            for (average, p) in
                self.average.row_mut(i).chunks_mut(V::LANES).zip(self.p.row(i).chunks(V::LANES))
            {
                v.prefetch(average.as_ptr().wrapping_add(2 * stride).cast());
                let old = v.load(average);
                v.store(average, v.fma(share, v.sub(v.load(p), old), old));
            }
        }
    }
}
