//! The dense layers of both networks, forward and backward: products cut into pieces for threads. Uses `kernels` and
//! [`parallel`](crate::parallel).

use crate::kernels::Isa;
use crate::kernels::dense::{HiddenActivation, HiddenBackward, PixelActivation, PixelBackward, Transpose};
use crate::kernels::gemm::{Left, Product, Start};
use crate::kernels::lists::{ListsMut, PAIR, any};
use crate::kernels::tiles::{Columns, Mat, MatMut};
use crate::parallel::{Divide, Join, for_each_block};

/// Rows of a dense product that one piece of work takes: eleven tiles of six.
const DENSE_ROWS: usize = 66;
/// Rows of a product over lists that one piece takes: as many as share a block of weights in the L1 cache.
const LIST_ROWS: usize = 64;
/// Columns that one piece takes at most.
const COLUMNS: usize = 128;
/// f32s per cache line: pieces start on one.
const LINE: usize = 16;
/// Rows that one piece of a transposition takes, or of the making of lists.
const COPY_ROWS: usize = 64;

/// At most so many sixteenths of the terms of pairs must be left for lists to be the faster way.
const WORTH_SIXTEENTHS: usize = 13;
/// Of so many rows or pairs one is looked at, to know that.
const SAMPLE: usize = 8;

/// `hidden[b, h] = relu(x[b, i]·weight[i, h] + bias[h])`.
pub fn hidden_forward<J: Join>(
    join: &J,
    isa: Isa,
    x: Left<'_>,
    weight: Mat<'_>,
    bias: &[f32],
    hidden: MatMut<'_>,
) {
    multiply(join, isa, x, weight, hidden, &|piece, x| {
        isa.run(HiddenActivation { x, bias: &bias[piece.columns()] });
    });
}

/// `pixels[b, p] = output_sigmoid(hidden[b, h]·weight[h, p] + bias[p])`.
pub fn pixels_forward<J: Join>(
    join: &J,
    isa: Isa,
    hidden: Left<'_>,
    weight: Mat<'_>,
    bias: &[f32],
    pixels: MatMut<'_>,
) {
    multiply(join, isa, hidden, weight, pixels, &|piece, x| {
        isa.run(PixelActivation { x, bias: &bias[piece.columns()] });
    });
}

/// `d_pixels[b, p] = (d_hidden[b, h]·weight_t[h, p])·y(1 − y)`, y = `pixels[b, p]`: through the discriminator's hidden
/// layer and the sigmoid of the generator's output.
pub fn pixels_backward<J: Join>(
    join: &J,
    isa: Isa,
    d_hidden: Left<'_>,
    weight_t: Mat<'_>,
    pixels: Mat<'_>,
    d_pixels: MatMut<'_>,
) {
    multiply(join, isa, d_hidden, weight_t, d_pixels, &|piece, d| {
        isa.run(PixelBackward { d, y: piece.of(pixels) });
    });
}

/// `d_hidden[b, h] = d_pixels[b, p]·weight_t[p, h]` where hidden > 0: through the generator's output layer.
pub fn hidden_backward<J: Join>(
    join: &J,
    isa: Isa,
    d_pixels: Left<'_>,
    weight_t: Mat<'_>,
    hidden: Mat<'_>,
    d_hidden: MatMut<'_>,
) {
    multiply(join, isa, d_pixels, weight_t, d_hidden, &|piece, d| {
        isa.run(HiddenBackward { d, h: piece.of(hidden) });
    });
}

/// Where a piece of a product lies.
#[derive(Clone, Copy)]
struct Piece {
    row: usize,
    col: usize,
    rows: usize,
    cols: usize,
}

impl Piece {
    fn columns(self) -> core::ops::Range<usize> {
        self.col..self.col + self.cols
    }
    fn of(self, x: Mat<'_>) -> Mat<'_> {
        x.sub_rows(self.row, self.rows).sub_cols(self.col, self.cols)
    }
}

/// The width of pieces of nearly the same width, at most `most` of `cols` columns.
pub fn piece_columns(cols: usize, most: usize) -> usize {
    cols.div_ceil(cols.div_ceil(most).max(1)).next_multiple_of(LINE)
}

/// `out = left·right`, cut between columns and between rows; `then` gets each piece when it is finished.
fn multiply<J: Join>(
    join: &J,
    isa: Isa,
    left: Left<'_>,
    right: Mat<'_>,
    out: MatMut<'_>,
    then: &(impl Fn(Piece, MatMut<'_>) + Sync),
) {
    let rows = if let Left::Lists(_) = left { LIST_ROWS } else { DENSE_ROWS };
    let cols = piece_columns(out.cols(), COLUMNS);
    for_each_block(join, Columns(out), cols, &|col, panel: Columns<'_>| {
        for_each_block(join, panel.0, rows, &|row, mut out: MatMut<'_>| {
            let piece = Piece { row, col, rows: out.rows(), cols: out.cols() };
            isa.run(Product {
                left: left.sub_rows(row, piece.rows),
                right: right.sub_cols(col, piece.cols),
                out: out.reborrow(),
                start: Start::Zero,
            });
            then(piece, out);
        });
    });
}

/// What to do with terms of a sum that are exactly zero. The bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Leave them out where that is the faster way.
    LeftOut,
    /// Add them.
    Kept,
}

/// The left operand `x[i, k]`, listed into `lists` where that is worth it.
pub fn rows<'a, J: Join>(join: &J, zeros: Zeros, x: Mat<'a>, mut lists: ListsMut<'a>) -> Left<'a> {
    let sample = (0..x.rows() / PAIR).step_by(SAMPLE);
    let terms = |g| x.row(PAIR * g).iter().zip(x.row(PAIR * g + 1)).filter(|&(&a, &b)| any([a, b])).count();
    if zeros == Zeros::Kept || !worth_listing(sample.map(|g| (terms(g), x.cols()))) {
        return Left::Rows(x);
    }
    for_each_block(join, lists.reborrow(), COPY_ROWS, &|first, mut lists: ListsMut<'_>| {
        lists.set_rows(x.sub_rows(first, lists.rows()));
    });
    Left::Lists(lists.into_view())
}

/// The left operand `x[k, i]`, listed into `lists` where that is worth it.
pub fn columns<'a, J: Join>(join: &J, zeros: Zeros, x: Mat<'a>, mut lists: ListsMut<'a>) -> Left<'a> {
    let sample = (0..x.rows()).step_by(SAMPLE).map(|k| x.row(k).as_chunks().0);
    let terms = |row: &[[f32; PAIR]]| row.iter().filter(|&&pair| any(pair)).count();
    if zeros == Zeros::Kept || !worth_listing(sample.map(|row| (terms(row), row.len()))) {
        return Left::Columns(x);
    }
    for_each_block(join, lists.reborrow(), COPY_ROWS, &|first, mut lists: ListsMut<'_>| {
        lists.set_columns(x.sub_cols(first, lists.rows()));
    });
    Left::Lists(lists.into_view())
}

/// Whether so many terms are zero in both rows of a pair that lists of the others are the faster way; from (others, all)
/// of a sample.
fn worth_listing(sample: impl Iterator<Item = (usize, usize)>) -> bool {
    let (terms, all) = sample.fold((0, 0), |(terms, all), (t, a)| (terms + t, all + a));
    terms * 16 <= all * WORTH_SIXTEENTHS
}

/// `x_t[j, i] = x[i, j]`.
pub fn transposed<J: Join>(join: &J, isa: Isa, x: Mat<'_>, x_t: MatMut<'_>) {
    for_each_block(join, x_t, COPY_ROWS, &|first, to: MatMut<'_>| {
        isa.run(Transpose { from: x.sub_cols(first, to.rows()), to });
    });
}
