//! Weight and bias gradients, each fused with Adam's update. Uses `kernels`, [`parallel`](crate::parallel), `layout`
//! and `discriminator`.
//!
//! The updates come last in a step: every gradient is made from the parameters before it.

use core::sync::atomic::{AtomicBool, Ordering};

use super::PIXEL_BLOCK;
use super::discriminator::Real;
use super::layout::TensorMut;
use crate::kernels::Isa;
use crate::kernels::adam::{AdamStep, AdamUpdate};
use crate::kernels::gemm::{Epilogue, Left, Product, Start, Unfinished};
use crate::kernels::reference::AdamRates;
use crate::kernels::tiles::{Mat, MatMut};
use crate::parallel::{Join, for_each_block};

/// How to update: the backend, Adam's constants, and where to report a parameter that left its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The backend.
    pub isa: Isa,
    /// Adam's constants of this step.
    pub rates: AdamRates,
    /// Set to true on divergence.
    pub diverged: &'a AtomicBool,
}

impl Update<'_> {
    fn report(&self, fine: bool) {
        if !fine {
            self.diverged.store(true, Ordering::Relaxed);
        }
    }

    fn product<E: Epilogue>(
        &self,
        left: Left<'_>,
        right: Mat<'_>,
        out: MatMut<'_>,
        start: Start,
        epilogue: &mut E,
    ) {
        self.isa.run(Product { left, right, out, start, epilogue });
    }

    /// A block of weight[i, j] with gradient Σ over rows b of x[b, i]·d[b, j], x given as `left`; the chain goes on
    /// from `partial` where `start` says so.
    fn weight_block(
        &self,
        left: Left<'_>,
        d: Mat<'_>,
        partial: MatMut<'_>,
        start: Start,
        [p, m, v]: [MatMut<'_>; 3],
    ) {
        let mut adam = AdamUpdate { p, m, v, rates: self.rates, fine: true };
        self.product(left, d, partial, start, &mut adam);
        self.report(adam.fine);
    }

    /// weight[i, j] with gradient Σ over rows b of x[b, i]·d[b, j]; x_t is [i, b].
    pub fn weight<J: Join>(
        &self,
        join: &J,
        weight: TensorMut<'_>,
        partial: MatMut<'_>,
        x_t: Mat<'_>,
        d: Mat<'_>,
    ) {
        let whole = (weight.p, weight.m, weight.v, columns(partial, d.cols()));
        for_each_block(join, whole, PIXEL_BLOCK, &|first, (p, m, v, partial): (_, _, _, MatMut<'_>)| {
            let left = Left::Rows(x_t.sub_rows(first, partial.rows()));
            self.weight_block(left, d, partial, Start::Zero, [p, m, v]);
        });
    }

    /// As [`Update::weight`] with x as [b, i].
    pub fn weight_by_rows<J: Join>(
        &self,
        join: &J,
        weight: TensorMut<'_>,
        partial: MatMut<'_>,
        x: Mat<'_>,
        d: Mat<'_>,
    ) {
        let whole = (weight.p, weight.m, weight.v, columns(partial, d.cols()));
        for_each_block(join, whole, PIXEL_BLOCK, &|first, (p, m, v, partial): (_, _, _, MatMut<'_>)| {
            let left = Left::Columns(x.sub_cols(first, partial.rows()));
            self.weight_block(left, d, partial, Start::Zero, [p, m, v]);
        });
    }

    /// The discriminator's hidden weight[p, h]: one chain over the real rows, then the generated ones.
    pub fn weight_of_both<J: Join>(
        &self,
        join: &J,
        weight: TensorMut<'_>,
        partial: MatMut<'_>,
        (real, d_real): (Real<'_>, Mat<'_>),
        (fake_t, d_fake): (Mat<'_>, Mat<'_>),
    ) {
        let whole = (weight.p, weight.m, weight.v, columns(partial, d_fake.cols()));
        for_each_block(join, whole, PIXEL_BLOCK, &|first, (p, m, v, mut partial): (_, _, _, MatMut<'_>)| {
            let rows = partial.rows();
            let left = match real {
                Real::Dense(x) => Left::Columns(x.sub_cols(first, rows)),
                Real::Lists { by_pixel, .. } => Left::Lists(by_pixel.sub_rows(first, rows)),
            };
            self.product(left, d_real, partial.reborrow(), Start::Zero, &mut Unfinished);
            let left = Left::Rows(fake_t.sub_rows(first, rows));
            self.weight_block(left, d_fake, partial, Start::Partial, [p, m, v]);
        });
    }

    /// The discriminator's output weight[h]: one chain of d_logit·hidden over the real rows, then the generated ones.
    pub fn logit_weight(
        &self,
        weight: TensorMut<'_>,
        mut partial: MatMut<'_>,
        (d_real, hidden_real): (Mat<'_>, Mat<'_>),
        (d_fake, hidden_fake): (Mat<'_>, Mat<'_>),
    ) {
        self.product(Left::Rows(d_real), hidden_real, partial.reborrow(), Start::Zero, &mut Unfinished);
        let blocks = [weight.p, weight.m, weight.v];
        self.weight_block(Left::Rows(d_fake), hidden_fake, partial, Start::Partial, blocks);
    }

    /// A bias with its gradient.
    pub fn bias(&self, bias: TensorMut<'_>, g: &[f32]) {
        let TensorMut { mut p, mut m, mut v } = bias;
        let (p, m, v) = (p.row_mut(0), m.row_mut(0), v.row_mut(0));
        self.report(self.isa.run(AdamStep { p, m, v, g, rates: self.rates }));
    }
}

/// The first `cols` columns.
fn columns(mat: MatMut<'_>, cols: usize) -> MatMut<'_> {
    mat.divide_cols(cols).0
}
