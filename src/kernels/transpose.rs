//! Transposed copies of matrices. Uses `vector` and `tiles`.

use super::tiles::{Mat, MatMut};
use super::vector::{Kernel, Vector};

/// `to[j][i] = from[i][j]`. Moves bits, computes nothing.
#[derive(Debug)]
pub struct Transpose<'a> {
    /// rows × columns.
    pub from: Mat<'a>,
    /// columns × rows.
    pub to: MatMut<'a>,
}

impl Transpose<'_> {
    fn check(&self) {
        assert!(self.from.rows() == self.to.cols() && self.from.cols() == self.to.rows());
    }
    /// One by one, rows `first_row..` of the columns `first_col..first_col + cols`.
    fn rest(&mut self, first_row: usize, first_col: usize, cols: usize) {
        for i in first_row..self.from.rows() {
            for j in first_col..first_col + cols {
                self.to.row_mut(j)[i] = self.from.row(i)[j];
            }
        }
    }
}

impl Kernel for Transpose<'_> {
    type Output = ();

    fn reference(mut self) {
        self.check();
        self.rest(0, 0, self.from.cols());
    }

    /// In squares of 16 × 16, so that whole cache lines are read and written.
    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        const SQUARE: usize = 16;
        self.check();
        let (rows, cols) = (self.from.rows() / SQUARE * SQUARE, self.from.cols() / SQUARE * SQUARE);
        for j in (0..cols).step_by(SQUARE) {
            for i in (0..rows).step_by(SQUARE) {
                for (di, dj) in [(0, 0), (8, 0), (0, 8), (8, 8)] {
                    let (i, j) = (i + di, j + dj);
                    // SAFETY: rows i..i + 8 and columns j..j + 8 of `from` exist, and those of `to` in turn.
                    unsafe {
                        let from = self.from.as_ptr().add(i * self.from.stride() + j);
                        let to = self.to.as_mut_ptr().add(j * self.to.stride() + i);
                        v.transpose_8x8(from, self.from.stride(), to, self.to.stride());
                    }
                }
            }
            self.rest(rows, j, SQUARE);
        }
        self.rest(0, cols, self.from.cols() - cols);
    }
}
