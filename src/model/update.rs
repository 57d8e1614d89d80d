//! Weight and bias gradients, each followed at once by Adam's update. Uses `kernels`, [`parallel`](crate::parallel) and
//! `layout`.
//!
//! A piece of work owns a block of a weight, with its moments: the gradient's chains end in scratch memory on the stack,
//! and Adam runs along its rows. Ended in Adam's update instead, tile by tile, these products took 7.3 ms of a step, and
//! take 4 so (Zen 1, one thread): a tile touches six rows of three matrices at once, too many streams for the
//! prefetchers.

use core::sync::atomic::{AtomicBool, Ordering};

use super::layers::piece_columns;
use super::layout::TensorMut;
use crate::kernels::Isa;
use crate::kernels::adam::AdamStep;
use crate::kernels::dense::ColumnSums;
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::reference::AdamRates;
use crate::kernels::tiles::{Columns, Line, Mat, MatMut};
use crate::parallel::{Join, for_each_block};

/// Rows of a weight that one piece of work takes.
const ROWS: usize = 66;
/// Its columns at most.
const COLUMNS: usize = 128;
/// From row to row of its gradient: an odd number of cache lines.
const STRIDE: usize = COLUMNS + LINE;
/// f32s per cache line.
const LINE: usize = 16;

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
    /// x is given as the left operand `A[i, b]`.
    pub fn weight<J: Join>(&self, join: &J, weight: TensorMut<'_>, rows: &[(Left<'_>, Mat<'_>)]) {
        let cols = piece_columns(weight.p.cols(), COLUMNS);
        let whole = (Columns(weight.p), Columns(weight.m), Columns(weight.v));
        for_each_block(join, whole, cols, &|col, panel: (Columns<'_>, Columns<'_>, Columns<'_>)| {
            let whole = (panel.0.0, panel.1.0, panel.2.0);
            for_each_block(join, whole, ROWS, &|row, (p, m, v): (MatMut<'_>, MatMut<'_>, MatMut<'_>)| {
                let mut gradient = [Line::filled(0.0); ROWS * STRIDE / LINE];
                let values = bytemuck::cast_slice_mut(&mut gradient);
                let mut g = MatMut::new(values, p.rows(), p.cols(), STRIDE);
                for (part, &(left, right)) in rows.iter().enumerate() {
                    let (left, right) = (left.sub_rows(row, g.rows()), right.sub_cols(col, g.cols()));
                    let start = if part == 0 { Start::Zero } else { Start::Partial };
                    self.isa.run(Product { left, right, out: g.reborrow(), start });
                }
                self.adam(p, m, v, g.view());
            });
        });
    }

    /// A bias with gradient `sums[j] = Σ of d[b, j]`, ascending over the rows b of each d in turn; `sums` is left as it is
    /// where there is none.
    pub fn bias(&self, bias: TensorMut<'_>, sums: &mut [f32], rows: &[Mat<'_>]) {
        if !rows.is_empty() {
            sums.fill(0.0);
        }
        for &x in rows {
            self.isa.run(ColumnSums { x, sums });
        }
        self.adam(bias.p, bias.m, bias.v, Mat::new(sums, 1, sums.len(), sums.len()));
    }

    fn adam(&self, p: MatMut<'_>, m: MatMut<'_>, v: MatMut<'_>, g: Mat<'_>) {
        if !self.isa.run(AdamStep { p, m, v, g, rates: self.rates }) {
            self.diverged.store(true, Ordering::Relaxed);
        }
    }
}
