//! Weight and bias gradients, each followed at once by Adam's update. Uses `kernels`, [`parallel`](crate::parallel) and
//! `layout`.
//!
//! A piece of work owns a block of rows of a weight, with its moments: the gradient's chains end in the cache, and Adam
//! runs along the rows. Ending the chains in Adam's update instead, tile by tile, made the step 1.25 times slower: the
//! tiles touch six rows of three matrices at once, too many streams for the prefetchers.

use core::sync::atomic::{AtomicBool, Ordering};

use super::layers::piece_columns;
use super::layout::TensorMut;
use crate::kernels::Isa;
use crate::kernels::adam::AdamStep;
use crate::kernels::gemm::{Left, Product, Start, Sum, Unfinished};
use crate::kernels::reference::AdamRates;
use crate::kernels::tiles::{Columns, Mat, MatMut};
use crate::parallel::{Join, for_each_block};

/// Rows of a weight that one piece of work takes.
const ROWS: usize = 66;
/// Its columns at most.
const COLUMNS: usize = 128;

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
    /// `weight[i, j]` with gradient `Σ over rows b of x[b, i]·d[b, j]`: one chain over the rows of each (x, d) in turn.
    /// x is given as the left operand `A[i, b]`; the gradient is left in `d_weight`.
    pub fn weight<J: Join>(
        &self,
        join: &J,
        weight: TensorMut<'_>,
        d_weight: MatMut<'_>,
        rows: &[(Left<'_>, Mat<'_>)],
    ) {
        let cols = piece_columns(d_weight.cols(), COLUMNS);
        let whole = (Columns(weight.p), Columns(weight.m), Columns(weight.v), Columns(d_weight));
        for_each_block(join, whole, cols, &|col, panel: ColumnsBlock<'_>| {
            let whole = (panel.0.0, panel.1.0, panel.2.0, panel.3.0);
            for_each_block(join, whole, ROWS, &|row, (p, m, v, mut g): Block<'_>| {
                for (part, &(left, right)) in rows.iter().enumerate() {
                    let (left, right) = (left.sub_rows(row, g.rows()), right.sub_cols(col, g.cols()));
                    let start = if part == 0 { Start::Zero } else { Start::Partial };
                    let out = g.reborrow();
                    if part + 1 < rows.len() {
                        self.isa.run(Product { left, right, out, start, epilogue: &mut Unfinished });
                    } else {
                        self.isa.run(Product { left, right, out, start, epilogue: &mut Sum });
                    }
                }
                self.adam(p, m, v, g.view());
            });
        });
    }

    /// A bias with its gradient.
    pub fn bias(&self, bias: TensorMut<'_>, g: &[f32]) {
        self.adam(bias.p, bias.m, bias.v, Mat::new(g, 1, g.len(), g.len()));
    }

    fn adam(&self, p: MatMut<'_>, m: MatMut<'_>, v: MatMut<'_>, g: Mat<'_>) {
        if !self.isa.run(AdamStep { p, m, v, g, rates: self.rates }) {
            self.diverged.store(true, Ordering::Relaxed);
        }
    }
}

/// A piece of a weight: p, m, v and the gradient.
type Block<'a> = (MatMut<'a>, MatMut<'a>, MatMut<'a>, MatMut<'a>);
/// Some of its columns.
type ColumnsBlock<'a> = (Columns<'a>, Columns<'a>, Columns<'a>, Columns<'a>);
