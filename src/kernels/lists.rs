//! The terms of a product's left operand that are not zero: what is left of its chains when zeros are left out (rule 3 of
//! [`reference`](super::reference)). Uses `tiles` and [`parallel`](crate::parallel).
//!
//! Rows come in pairs, and a pair shares one list, of the terms that are not zero in at least one of its rows: each value
//! of the other operand is then loaded once for two multiply-adds. With lists of single rows the loads are the limit (0.6
//! of the peak), with lists of three rows or more too few terms are left out.
//!
//! Pair g owns `capacity` places from g·capacity on; the first `len[g]` hold (index, two values) in ascending index.

use super::tiles::Mat;
use crate::parallel::Divide;

/// Rows that share a list.
pub const PAIR: usize = 2;

/// Whether one of the values is not ±0.
#[inline(always)]
pub fn any([a, b]: [f32; PAIR]) -> bool {
    (a.to_bits() | b.to_bits()) << 1 != 0
}

/// Shared lists.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    index: &'a [u16],
    value: &'a [[f32; PAIR]],
    len: &'a [u32],
    capacity: usize,
    rows: usize,
}

impl<'a> Lists<'a> {
    /// Number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }
    /// Number of (row, term) places that a product over these lists computes.
    pub fn terms(self) -> usize {
        PAIR * self.len.iter().map(|&len| len as usize).sum::<usize>()
    }
    /// The terms of rows 2g and 2g + 1: their indices and their values. A row beyond the last has the last's.
    #[inline(always)]
    pub fn pair(self, g: usize) -> (&'a [u16], &'a [[f32; PAIR]]) {
        let (first, len) = (g * self.capacity, self.len[g] as usize);
        (&self.index[first..first + len], &self.value[first..first + len])
    }
    /// Rows `first..first + rows`; `first` must be even.
    pub fn sub_rows(self, first: usize, rows: usize) -> Lists<'a> {
        assert!(first.is_multiple_of(PAIR) && first + rows <= self.rows);
        let (from, to) = (first / PAIR, (first + rows).div_ceil(PAIR));
        let places = from * self.capacity..to * self.capacity;
        let (index, value) = (&self.index[places.clone()], &self.value[places]);
        Lists { index, value, len: &self.len[from..to], rows, ..self }
    }
}

/// Lists to be written.
#[derive(Debug)]
pub struct ListsMut<'a> {
    index: &'a mut [u16],
    value: &'a mut [[f32; PAIR]],
    len: &'a mut [u32],
    capacity: usize,
    rows: usize,
}

impl<'a> ListsMut<'a> {
    /// Lists for `rows` rows of at most `capacity` terms, in memory for ⌈rows/2⌉ × `capacity` places and ⌈rows/2⌉
    /// lengths.
    ///
    /// # Panics
    /// If a slice has another length.
    pub fn new(
        index: &'a mut [u16],
        value: &'a mut [[f32; PAIR]],
        len: &'a mut [u32],
        rows: usize,
        capacity: usize,
    ) -> Self {
        let pairs = rows.div_ceil(PAIR);
        assert!(len.len() == pairs && index.len() == pairs * capacity && value.len() == pairs * capacity);
        ListsMut { index, value, len, capacity, rows }
    }
    /// A shared view.
    pub fn view(&self) -> Lists<'_> {
        let ListsMut { index, value, len, capacity, rows } = self;
        Lists { index, value, len, capacity: *capacity, rows: *rows }
    }
    /// The same lists for a shorter time.
    pub fn reborrow(&mut self) -> ListsMut<'_> {
        self.first_rows(self.rows)
    }
    /// A shared view for the rest of the borrow.
    pub fn into_view(self) -> Lists<'a> {
        let ListsMut { index, value, len, capacity, rows } = self;
        Lists { index, value, len, capacity, rows }
    }
    /// Lists of the first `rows` rows, for a shorter time.
    pub fn first_rows(&mut self, rows: usize) -> ListsMut<'_> {
        assert!(rows <= self.rows);
        let pairs = rows.div_ceil(PAIR);
        let places = pairs * self.capacity;
        let (index, value) = (&mut self.index[..places], &mut self.value[..places]);
        ListsMut { index, value, len: &mut self.len[..pairs], capacity: self.capacity, rows }
    }
    /// Lists the rows of `x`: the terms of row i are `x[i][k]`.
    pub fn set_rows(&mut self, x: Mat<'_>) {
        assert!(x.rows() == self.rows && x.cols() <= self.capacity);
        for g in 0..self.len.len() {
            let first = x.row(PAIR * g);
            // An odd last row is listed as its own second one, and the second result is not stored.
            let second = x.row((PAIR * g + 1).min(self.rows - 1));
            self.set(g, first.iter().zip(second).map(|(&a, &b)| [a, b]));
        }
    }
    /// Lists the columns of `x`: the terms of row i are `x[k][i]`.
    pub fn set_columns(&mut self, x: Mat<'_>) {
        assert!(x.cols() == self.rows && x.rows() <= self.capacity);
        for g in 0..self.len.len() {
            let (a, b) = (PAIR * g, (PAIR * g + 1).min(self.rows - 1));
            self.set(g, (0..x.rows()).map(|k| [x.row(k)[a], x.row(k)[b]]));
        }
    }
    #[inline(always)]
    fn set(&mut self, g: usize, terms: impl Iterator<Item = [f32; PAIR]>) {
        let places = g * self.capacity..(g + 1) * self.capacity;
        let (index, value) = (&mut self.index[places.clone()], &mut self.value[places]);
        let mut n = 0;
        for (k, pair) in terms.enumerate() {
            // Written always, kept only where one is not 0: no branch to mispredict.
            index[n] = k as u16;
            value[n] = pair;
            n += any(pair) as usize;
        }
        self.len[g] = n as u32;
    }
}

/// Cut between pairs.
impl Divide for ListsMut<'_> {
    fn rows(&self) -> usize {
        self.rows
    }
    fn divide(self, at: usize) -> (Self, Self) {
        assert!(at.is_multiple_of(PAIR) || at == self.rows);
        let (capacity, pairs) = (self.capacity, at.div_ceil(PAIR));
        let (index, index_rest) = self.index.split_at_mut(pairs * capacity);
        let (value, value_rest) = self.value.split_at_mut(pairs * capacity);
        let (len, len_rest) = self.len.split_at_mut(pairs);
        let rest = self.rows - at;
        (
            ListsMut { index, value, len, capacity, rows: at },
            ListsMut { index: index_rest, value: value_rest, len: len_rest, capacity, rows: rest },
        )
    }
}
