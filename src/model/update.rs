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
use crate::kernels::dense::{PixelBackward, row_sums};
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

    /// A block of `weight[i, j]` with gradient `Σ over rows b of x[b, i]·d[b, j]`, x given as `left`; the chain goes
    /// on from `partial` where `start` says so.
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

    /// `weight[i, j]` with gradient `Σ over rows b of x[b, i]·d[b, j]`; `x_t` is `[i, b]`.
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

    /// The discriminator's output `weight[h]` with gradient `Σ over rows b of d_logits[b]·hidden[b, h]`, whose chain
    /// goes on from `partial`.
    pub fn logit_weight(
        &self,
        weight: TensorMut<'_>,
        partial: MatMut<'_>,
        d_logits: Mat<'_>,
        hidden: Mat<'_>,
    ) {
        let blocks = [weight.p, weight.m, weight.v];
        self.weight_block(Left::Rows(d_logits), hidden, partial, Start::Partial, blocks);
    }

    /// As [`Update::weight`] with x as `[b, i]`.
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

    /// For every pixel p: its gradient `d_fake_t[p, b] = (weight[p, h]·d_hidden_t[h, b])·y(1 − y)`, y = `fake_t[p, b]`,
    /// the sum of that over b, and then the update of `weight[p, h]`, whose gradient's chain goes on from `partial` over
    /// the generated rows. In one pass, because only pixel p's gradient needs the old `weight[p, h]`.
    pub fn pixels_backward_then_weight<J: Join>(
        &self,
        join: &J,
        weight: TensorMut<'_>,
        partial: MatMut<'_>,
        (fake_t, d_hidden): (Mat<'_>, Mat<'_>),
        d_hidden_t: Mat<'_>,
        (d_fake_t, d_bias): (MatMut<'_>, &mut [f32]),
    ) {
        let partial = columns(partial, d_hidden.cols());
        let whole = (weight.p, weight.m, weight.v, partial, d_fake_t, d_bias);
        let work = |first: usize, block: PixelBlock<'_>| {
            let (p, m, v, partial, mut d_fake_t, d_bias) = block;
            let fake_t = fake_t.sub_rows(first, partial.rows());
            let mut through_sigmoid = PixelBackward { y: fake_t };
            let out = d_fake_t.reborrow();
            self.product(Left::Rows(p.view()), d_hidden_t, out, Start::Zero, &mut through_sigmoid);
            row_sums(d_fake_t.view(), d_bias);
            self.weight_block(Left::Rows(fake_t), d_hidden, partial, Start::Partial, [p, m, v]);
        };
        for_each_block(join, whole, PIXEL_BLOCK, &work);
    }

    /// A bias with its gradient.
    pub fn bias(&self, bias: TensorMut<'_>, g: &[f32]) {
        let TensorMut { mut p, mut m, mut v } = bias;
        let (p, m, v) = (p.row_mut(0), m.row_mut(0), v.row_mut(0));
        self.report(self.isa.run(AdamStep { p, m, v, g, rates: self.rates }));
    }
}

/// A block of pixels: p, m, v, the unfinished gradient, the pixels' gradient and its sum.
type PixelBlock<'a> = (MatMut<'a>, MatMut<'a>, MatMut<'a>, MatMut<'a>, MatMut<'a>, &'a mut [f32]);

/// The chains of the discriminator's output weight gradient over the real rows, into `partial`, one row.
pub fn real_logit_gradient(isa: Isa, d_logits: Mat<'_>, hidden: Mat<'_>, partial: MatMut<'_>) {
    let left = Left::Rows(d_logits);
    isa.run(Product { left, right: hidden, out: partial, start: Start::Zero, epilogue: &mut Unfinished });
}

/// The chains of the discriminator's hidden weight gradient over the real rows, into `partial`, `[p, h]`.
pub fn real_weight_gradient<J: Join>(
    join: &J,
    isa: Isa,
    real: Real<'_>,
    d_hidden: Mat<'_>,
    partial: MatMut<'_>,
) {
    for_each_block(join, columns(partial, d_hidden.cols()), PIXEL_BLOCK, &|first, out: MatMut<'_>| {
        let left = match real {
            Real::Dense(x) => Left::Columns(x.sub_cols(first, out.rows())),
            Real::Lists { by_pixel, .. } => Left::Lists(by_pixel.sub_rows(first, out.rows())),
        };
        isa.run(Product { left, right: d_hidden, out, start: Start::Zero, epilogue: &mut Unfinished });
    });
}

/// The first `cols` columns.
fn columns(mat: MatMut<'_>, cols: usize) -> MatMut<'_> {
    mat.divide_cols(cols).0
}
