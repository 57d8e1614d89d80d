//! Weight and bias gradients, each followed at once by Adam's update, and that by the average's. Uses `kernels`, `layers`,
//! `layout` and `places`.
//!
//! A piece of a weight is updated with its moments: the gradient's chains end in scratch memory, and Adam runs along its
//! rows. Ended in Adam's update instead, tile by tile, these products took 7.3 ms of a step, and take 4 so (Zen 1, one
//! thread): a tile touches six rows of three matrices at once, too many streams for the prefetchers.

use super::layers::{Ops, Piece};
use super::layout::{GRADIENT_COLUMNS, GRADIENT_ROWS};
use super::places::TensorMut;
use crate::kernels::adam::{AdamStep, AverageStep};
use crate::kernels::dense::ColumnSums;
use crate::kernels::gemm::{Left, Start};
use crate::kernels::reference::AdamRates;
use crate::kernels::tiles::{Mat, MatMut};

/// Adam, and the memory that it works in.
#[derive(Debug)]
pub struct Adam<'a> {
    /// The constants of the step.
    pub rates: AdamRates,
    /// How much of a parameter goes into its average.
    pub share: f32,
    /// A piece of a weight's gradient.
    pub gradient: MatMut<'a>,
    /// Whether a parameter, or a moment, has left its bounds.
    pub diverged: bool,
}

impl<'a> Adam<'a> {
    /// For averages of which `average` stays in each step, with memory for a piece of a gradient; the constants are for a step to set.
    pub fn new(average: f32, gradient: MatMut<'a>) -> Adam<'a> {
        let rates = AdamRates::new(0.0, 0.0, 0.0, 1.0, 1);
        Adam { rates, share: 1.0 - average, gradient, diverged: false }
    }

    /// `weight[i, j]` with gradient `Σ over rows b of x[b, i]·d[b, j]`: one chain over the rows of each (x, d) in turn.
    /// x is given as the left operand `A[i, b]`.
    pub fn weight(&mut self, ops: &Ops<'_>, mut weight: TensorMut<'_>, rows: &[(Left<'_>, Mat<'_>)]) {
        for piece in Piece::cut(weight.p.rows(), weight.p.cols(), GRADIENT_ROWS, GRADIENT_COLUMNS) {
            let mut g = piece.at_origin().of_mut(&mut self.gradient);
            for (part, &(left, right)) in rows.iter().enumerate() {
                let start = if part == 0 { Start::Zero } else { Start::Partial };
                piece.multiply(ops, left, right, g.reborrow(), start);
            }
            let [p, m, v] = [&mut weight.p, &mut weight.m, &mut weight.v].map(|x| piece.of_mut(x));
            self.diverged |= !ops.isa.run(AdamStep { p, m, v, g: g.view(), rates: self.rates });
            if weight.average.rows() > 0 {
                let (average, p) = (piece.of_mut(&mut weight.average), piece.of(weight.p.view()));
                ops.isa.run(AverageStep { average, p, share: self.share });
            }
        }
    }

    /// A bias with gradient `sums[j] = Σ of d[b, j]`, ascending over the rows b of each d in turn.
    pub fn bias(&mut self, ops: &Ops<'_>, bias: TensorMut<'_>, sums: &mut [f32], rows: &[Mat<'_>]) {
        sums.fill(0.0);
        for &x in rows {
            ops.isa.run(ColumnSums { x, sums });
        }
        self.row(ops, bias, sums);
    }

    /// One row of parameters with this gradient.
    pub fn row(&mut self, ops: &Ops<'_>, row: TensorMut<'_>, gradient: &[f32]) {
        let TensorMut { mut p, m, v, average } = row;
        let g = Mat::new(gradient, 1, gradient.len(), gradient.len());
        self.diverged |= !ops.isa.run(AdamStep { p: p.reborrow(), m, v, g, rates: self.rates });
        if average.rows() > 0 {
            ops.isa.run(AverageStep { average, p: p.view(), share: self.share });
        }
    }
}
