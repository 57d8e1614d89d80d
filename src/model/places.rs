//! Places in the arena: matrices, lists and tensors in memory that is cut up once. Uses `kernels`.
//!
//! Rows of matrices start on a cache line, and their stride is an odd number of lines, so that a column of tiles does not fall
//! into one set of the cache.

use crate::kernels::lists::{ListsMut, PAIR};
use crate::kernels::tiles::{Line, Mat, MatMut};

/// f32s per line.
pub(super) const LINE: usize = 16;
/// f32s from one row to the next: `cols` rounded up to an odd number of lines.
const fn stride(cols: usize) -> usize {
    (cols.div_ceil(LINE) | 1) * LINE
}

/// The place of a matrix of f32s (or u32s).
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl Place {
    const fn lines(self) -> usize {
        self.rows * stride(self.cols) / LINE
    }
    /// What lies there.
    pub fn of<T: bytemuck::Pod>(self, memory: &[Line]) -> Mat<'_, T> {
        let lines = &memory[self.first..self.first + self.lines()];
        Mat::new(bytemuck::cast_slice(lines), self.rows, self.cols, stride(self.cols))
    }
    pub(super) fn of_mut<T: bytemuck::Pod>(self, memory: &mut [Line]) -> MatMut<'_, T> {
        let lines = &mut memory[self.first..self.first + self.lines()];
        MatMut::new(bytemuck::cast_slice_mut(lines), self.rows, self.cols, stride(self.cols))
    }
}

/// The place of lists of terms.
#[derive(Clone, Copy, Debug)]
pub struct ListPlace {
    first: usize,
    rows: usize,
    capacity: usize,
}

/// Counts out places, one after the other.
pub(super) struct Planner(pub(super) usize);

impl Planner {
    pub(super) const fn mat(&mut self, rows: usize, cols: usize) -> Place {
        let place = Place { first: self.0, rows, cols };
        self.0 += place.lines();
        place
    }
    pub(super) const fn lists(&mut self, rows: usize, capacity: usize) -> ListPlace {
        let (first, pairs) = (self.0, rows.div_ceil(PAIR));
        let places = pairs * capacity;
        self.0 += places.div_ceil(2 * LINE) + (PAIR * places).div_ceil(LINE) + pairs.div_ceil(LINE);
        ListPlace { first, rows, capacity }
    }
}

/// Cuts memory into pieces, in the order of their places; what lies between those that are asked for is left out.
#[derive(Debug)]
pub struct Carver<'a> {
    rest: &'a mut [Line],
    at: usize,
}

impl<'a> Carver<'a> {
    /// Cuts `memory`.
    pub fn new(memory: &'a mut [Line]) -> Self {
        Carver { rest: memory, at: 0 }
    }
    /// The next so many lines.
    pub fn lines(&mut self, lines: usize) -> &'a mut [Line] {
        let (piece, rest) = core::mem::take(&mut self.rest).split_at_mut(lines);
        (self.rest, self.at) = (rest, self.at + lines);
        piece
    }
    /// So many lines at a place.
    fn lines_at(&mut self, first: usize, lines: usize) -> &'a mut [Line] {
        self.lines(first - self.at);
        self.lines(lines)
    }
    /// The matrix of a place.
    pub fn mat<T: bytemuck::Pod>(&mut self, place: Place) -> MatMut<'a, T> {
        let lines = self.lines_at(place.first, place.lines());
        MatMut::new(bytemuck::cast_slice_mut(lines), place.rows, place.cols, stride(place.cols))
    }
    /// The lists of a place.
    pub fn lists(&mut self, place: ListPlace) -> ListsMut<'a> {
        let pairs = place.rows.div_ceil(PAIR);
        let places = pairs * place.capacity;
        let index = self.lines_at(place.first, places.div_ceil(2 * LINE));
        let (value, len) = (self.lines((PAIR * places).div_ceil(LINE)), self.lines(pairs.div_ceil(LINE)));
        ListsMut::new(
            &mut bytemuck::cast_slice_mut(index)[..places],
            &mut bytemuck::cast_slice_mut(value)[..places],
            &mut bytemuck::cast_slice_mut(len)[..pairs],
            place.rows,
            place.capacity,
        )
    }
    /// A tensor with its moments and its average.
    pub fn tensor(&mut self, [p, m, v, average]: [Place; 4]) -> TensorMut<'a> {
        TensorMut { p: self.mat(p), m: self.mat(m), v: self.mat(v), average: self.mat(average) }
    }
}

/// A stored tensor with its moments and its average.
#[derive(Debug)]
pub struct TensorMut<'a> {
    /// Parameters.
    pub p: MatMut<'a>,
    /// First moments.
    pub m: MatMut<'a>,
    /// Second moments.
    pub v: MatMut<'a>,
    /// The average of the parameters; empty where there is none.
    pub average: MatMut<'a>,
}

impl<'a> TensorMut<'a> {
    fn map(self, mut f: impl FnMut(MatMut<'a>) -> (MatMut<'a>, MatMut<'a>)) -> (Self, Self) {
        let TensorMut { p, m, v, average } = self;
        let [(p, p_rest), (m, m_rest), (v, v_rest), (average, average_rest)] = [p, m, v, average].map(&mut f);
        (TensorMut { p, m, v, average }, TensorMut { p: p_rest, m: m_rest, v: v_rest, average: average_rest })
    }
    /// The same tensor for a shorter time.
    pub fn reborrow(&mut self) -> TensorMut<'_> {
        let [p, m, v, average] =
            [&mut self.p, &mut self.m, &mut self.v, &mut self.average].map(MatMut::reborrow);
        TensorMut { p, m, v, average }
    }
    /// The first `at` rows, and the rest.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        self.map(|x| {
            let at = at.min(x.rows());
            x.split_rows(at)
        })
    }
    /// The first `at` columns, and the rest.
    pub fn split_cols(self, at: usize) -> (Self, Self) {
        self.map(|x| x.split_cols(at))
    }
}
