//! What the layers of both networks have in common: products in pieces that fit the caches, and operands without their
//! zeros. Uses `kernels` and `phase`.

use super::phase::{Phase, Watch, Work};
use crate::kernels::Isa;
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::lists::{Count, List, ListsMut};
use crate::kernels::relay::Turn;
use crate::kernels::tiles::{Mat, MatMut};

/// Rows of a dense product in one piece: eleven tiles of six.
const DENSE_ROWS: usize = 66;
/// Rows of a product over lists in one piece: as many as share a block of weights in the L1 cache.
const LIST_ROWS: usize = 64;
/// Columns in one piece at most.
const COLUMNS: usize = 128;
/// f32s per cache line: pieces start on one.
const LINE: usize = 16;

/// At most so many sixteenths of the terms of pairs must be left for lists to be the faster way.
const WORTH_SIXTEENTHS: usize = 13;

/// What to do with terms of a sum that are exactly zero. The bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Leave them out where that is the faster way.
    LeftOut,
    /// Add them.
    Kept,
}

/// How operations run: on which backend, with or without zeros, and who is told.
#[derive(Clone, Copy)]
pub struct Ops<'a> {
    /// The backend.
    pub isa: Isa,
    /// What becomes of zeros.
    pub zeros: Zeros,
    /// Who is told of every phase that has ended.
    pub watch: Option<&'a dyn Watch>,
}

impl core::fmt::Debug for Ops<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ops {{ isa: {:?}, zeros: {:?} }}", self.isa, self.zeros)
    }
}

impl Ops<'_> {
    /// Reports that a phase, or a part of it, has ended.
    pub fn done(&self, phase: Phase, work: impl FnOnce() -> Work) {
        if let Some(watch) = self.watch {
            watch.done(phase, work());
        }
    }
}

/// Where a piece of a product lies.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    row: usize,
    col: usize,
    rows: usize,
    cols: usize,
}

impl Piece {
    /// Cuts a product of rows × cols: pieces of nearly the same width, at most `most_cols` rounded up to a cache line, and
    /// of `most_rows` rows but for the last; down each strip of columns, so that its part of the right operand is used
    /// again at once.
    pub fn cut(rows: usize, cols: usize, most_rows: usize, most_cols: usize) -> impl Iterator<Item = Piece> {
        let width = cols.div_ceil(cols.div_ceil(most_cols).max(1)).next_multiple_of(LINE).max(LINE);
        (0..cols).step_by(width).flat_map(move |col| {
            (0..rows).step_by(most_rows).map(move |row| Piece {
                row,
                col,
                rows: most_rows.min(rows - row),
                cols: width.min(cols - col),
            })
        })
    }
    /// A piece of this size at the first row and column.
    pub fn at_origin(self) -> Piece {
        Piece { row: 0, col: 0, ..self }
    }
    /// Its part of left·right, into `out`, which has its size.
    pub fn multiply(self, ops: &Ops<'_>, left: Left<'_>, right: Mat<'_>, out: MatMut<'_>, start: Start) {
        let (left, right) = (left.sub_rows(self.row, self.rows), right.sub_cols(self.col, self.cols));
        ops.isa.run(Product { left, right, out, start });
    }
    /// Its part of a value for each column.
    pub fn columns(self, values: &[f32]) -> &[f32] {
        &values[self.col..self.col + self.cols]
    }
    /// Its part of a matrix of the product's shape.
    pub fn of(self, x: Mat<'_>) -> Mat<'_> {
        x.sub_rows(self.row, self.rows).sub_cols(self.col, self.cols)
    }
    /// The same, to be written.
    pub fn of_mut<'a>(self, x: &'a mut MatMut<'_>) -> MatMut<'a> {
        let rows = x.sub_rows_mut(self.row, self.rows);
        rows.split_cols(self.col).1.split_cols(self.cols).0
    }
}

/// `out = left·right`, on top of what `out` holds unless `start` is zero; `then` gets each piece while the caches hold it.
pub fn multiply(
    ops: &Ops<'_>,
    left: Left<'_>,
    right: Mat<'_>,
    mut out: MatMut<'_>,
    start: Start,
    then: impl Fn(Piece, MatMut<'_>),
) {
    let most_rows = if let Left::Lists(_) = left { LIST_ROWS } else { DENSE_ROWS };
    for piece in Piece::cut(out.rows(), out.cols(), most_rows, COLUMNS) {
        let mut out = piece.of_mut(&mut out);
        piece.multiply(ops, left, right, out.reborrow(), start);
        then(piece, out);
    }
}

/// Where the chains of a block start that goes from owner to owner.
pub fn start(turn: Turn) -> Start {
    if turn.first { Start::Zero } else { Start::Partial }
}

/// The terms of a matrix that are not zero, by its rows or by its columns; or the whole of it, where lists of them are not
/// worth while.
#[derive(Debug)]
pub struct Terms<'a> {
    lists: ListsMut<'a>,
    rows: usize,
    listed: bool,
}

impl<'a> Terms<'a> {
    /// Terms in this memory.
    pub fn new(lists: ListsMut<'a>) -> Terms<'a> {
        Terms { lists, rows: 0, listed: false }
    }
    /// Looks at the rows of `x`.
    pub fn list_rows(&mut self, ops: &Ops<'_>, x: Mat<'_>) {
        self.list(ops, x, false);
    }
    /// Looks at the columns of `x`.
    pub fn list_columns(&mut self, ops: &Ops<'_>, x: Mat<'_>) {
        self.list(ops, x, true);
    }
    fn list(&mut self, ops: &Ops<'_>, x: Mat<'_>, columns: bool) {
        self.rows = if columns { x.cols() } else { x.rows() };
        let worth = |(found, all): (usize, usize)| found * 16 <= all * WORTH_SIXTEENTHS;
        self.listed = ops.zeros == Zeros::LeftOut && worth(ops.isa.run(Count { x, columns }));
        if self.listed {
            ops.isa.run(List { x, columns, lists: self.lists.first_rows(self.rows) });
        }
        let terms = if self.listed { self.rows() } else { None };
        ops.done(Phase::Lists, || Work::values(terms.map_or(0, Left::terms)));
    }
    fn rows(&self) -> Option<Left<'_>> {
        self.listed.then(|| Left::Lists(self.lists.view().sub_rows(0, self.rows)))
    }
    /// The left operand `x[i, k]`; `x` is what [`Terms::list_rows`] saw last.
    pub fn of_rows<'s>(&'s self, x: Mat<'s>) -> Left<'s> {
        self.rows().unwrap_or(Left::Rows(x))
    }
    /// The left operand `x[k, i]`; `x` is what [`Terms::list_columns`] saw last.
    pub fn of_columns<'s>(&'s self, x: Mat<'s>) -> Left<'s> {
        self.rows().unwrap_or(Left::Columns(x))
    }
}
