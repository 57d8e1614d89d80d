//! The terms of a product's left operand that are not zero: what is left of its chains when zeros are left out (rule 3 of
//! [`reference`](mod@super::reference)). Uses `vector`, `tiles` and `transpose`.
//!
//! Rows come in pairs, and a pair shares one list, of the terms that are not zero in at least one of its rows: each value
//! of the other operand is then loaded once for two multiply-adds. With lists of single rows the loads are the limit (0.6
//! of the peak), with lists of three rows or more too few terms are left out.
//!
//! Pair g owns `capacity` places from g·capacity on; the first `len[g]` hold (index, two values) in ascending index.

use super::tiles::{Line, Mat, MatMut};
use super::transpose::Transpose;
use super::vector::{Kernel, Vector};

/// Rows that share a list.
pub const PAIR: usize = 2;

/// Terms of a row that can be listed: as many as a u16 can count.
pub const MOST_TERMS: usize = 1 << 16;

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
        assert!(first.is_multiple_of(PAIR) && first <= self.rows && rows <= self.rows - first);
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
        let places = pairs.checked_mul(capacity).expect("there are no slices as long as that");
        assert!(len.len() == pairs && index.len() == places && value.len() == places);
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
    /// Lists of the first `rows` rows, and of the rest; `rows` must be even unless it is all of them.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows && (at.is_multiple_of(PAIR) || at == self.rows));
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
    /// The empty list of rows 2g and 2g + 1.
    fn pair(&mut self, g: usize) -> PairList<'_> {
        let places = g * self.capacity..(g + 1) * self.capacity;
        let (index, value) = (&mut self.index[places.clone()], &mut self.value[places]);
        PairList { index, value, len: &mut self.len[g], n: 0 }
    }
}

/// Lists the rows of `x`, or its columns: the terms of row i are `x[i][k]`, or `x[k][i]`, [`MOST_TERMS`] at most.
#[derive(Debug)]
pub struct List<'a> {
    /// The matrix.
    pub x: Mat<'a>,
    /// Whether its columns are listed.
    pub columns: bool,
    /// The lists: a row for each that is listed.
    pub lists: ListsMut<'a>,
}

impl List<'_> {
    fn check(&self) {
        let (rows, terms) = (self.x.rows(), self.x.cols());
        let (rows, terms) = if self.columns { (terms, rows) } else { (rows, terms) };
        assert!(rows == self.lists.rows && terms <= self.lists.capacity && terms <= MOST_TERMS);
    }
}

impl Kernel for List<'_> {
    type Output = ();

    fn reference(mut self) {
        self.check();
        let (x, last) = (self.x, self.lists.rows.saturating_sub(1));
        for g in 0..self.lists.len.len() {
            // An odd last row is listed as its own second one, and the second result is not stored.
            let (a, b) = (PAIR * g, (PAIR * g + 1).min(last));
            let mut list = self.lists.pair(g);
            if self.columns {
                (0..x.rows()).for_each(|k| list.push(k, [x.row(k)[a], x.row(k)[b]]));
            } else {
                (0..x.cols()).for_each(|k| list.push(k, [x.row(a)[k], x.row(b)[k]]));
            }
            list.end();
        }
    }

    /// Lanes are terms: those that are not zero are moved together. The step is 1.03 times as fast for it early in a run,
    /// and 1.08 times from step 60,000 on (Zen 3, AVX2, one thread, 150 alternated pairs).
    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        /// Columns at a time, transposed into scratch memory: a cache line of each row.
        const COLUMNS: usize = 16;
        /// Terms of them at a time.
        const TERMS: usize = 128;
        /// From one column's terms to the next one's: an odd number of cache lines.
        const STRIDE: usize = TERMS + 16;
        self.check();
        let (x, n) = (self.x, self.lists.rows);
        if !self.columns {
            for g in 0..self.lists.len.len() {
                let (a, b) = (x.row(PAIR * g), x.row((PAIR * g + 1).min(n - 1)));
                let mut list = self.lists.pair(g);
                list.extend(v, 0, a, b);
                list.end();
            }
            return;
        }
        let mut scratch = [Line::filled(0.0); COLUMNS * STRIDE / 16];
        let scratch: &mut [f32] = bytemuck::cast_slice_mut(&mut scratch);
        for first in (0..n).step_by(COLUMNS) {
            let cols = COLUMNS.min(n - first);
            let pairs = first / PAIR..(first + cols).div_ceil(PAIR);
            self.lists.len[pairs.clone()].fill(0);
            for from in (0..x.rows()).step_by(TERMS) {
                let terms = TERMS.min(x.rows() - from);
                let block = x.sub_rows(from, terms).sub_cols(first, cols);
                let to = MatMut::new(scratch, cols, terms, STRIDE);
                Transpose { from: block, to }.vector(v);
                let column = |j: usize| &scratch[j * STRIDE..][..terms];
                for g in pairs.clone() {
                    let (a, b) = (PAIR * g - first, (PAIR * g + 1).min(n - 1) - first);
                    let mut list = self.lists.pair(g);
                    list.n = *list.len as usize;
                    list.extend(v, from, column(a), column(b));
                    list.end();
                }
            }
        }
    }
}

/// A pair's list while it is written.
struct PairList<'a> {
    index: &'a mut [u16],
    value: &'a mut [[f32; PAIR]],
    len: &'a mut u32,
    n: usize,
}

impl PairList<'_> {
    /// Term k, unless both values are ±0. Written always, kept only where one is not 0: no branch to mispredict.
    #[inline(always)]
    fn push(&mut self, k: usize, pair: [f32; PAIR]) {
        self.index[self.n] = k as u16;
        self.value[self.n] = pair;
        self.n += any(pair) as usize;
    }

    /// The terms from `first` on, with the values a and b.
    #[inline(always)]
    fn extend<V: Vector>(&mut self, v: V, first: usize, a: &[f32], b: &[f32]) {
        let whole = a.len().min(b.len()) / V::LANES * V::LANES;
        assert!(self.index.len() == self.value.len() && self.n + whole <= self.index.len());
        for k in (0..whole).step_by(V::LANES) {
            // SAFETY: k + LANES ≤ whole, and n + LANES ≤ the list's places, because at most k terms were added.
            unsafe {
                let (x, y) = (v.load_ptr(a.as_ptr().add(k)), v.load_ptr(b.as_ptr().add(k)));
                // No more bits than lanes, whatever the backend says.
                let keep = (v.not_zero(x) | v.not_zero(y)) & ((1 << V::LANES) - 1);
                let (value, index) =
                    (self.value.as_mut_ptr().add(self.n), self.index.as_mut_ptr().add(self.n));
                v.compress_pair(keep, x, y, first + k, value, index);
                self.n += keep.count_ones() as usize;
            }
        }
        for k in whole..a.len() {
            self.push(first + k, [a[k], b[k]]);
        }
    }

    fn end(self) {
        *self.len = self.n as u32;
    }
}

/// How many pairs of a sample of `x` are not zero in both rows (or columns), and how many were looked at.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// The matrix.
    pub x: Mat<'a>,
    /// Whether its columns are paired.
    pub columns: bool,
}

/// Of so many rows or pairs of rows one is looked at.
const SAMPLE: usize = 8;

impl Kernel for Count<'_> {
    type Output = (usize, usize);

    fn reference(self) -> (usize, usize) {
        let (x, mut found, mut all) = (self.x, 0, 0);
        if self.columns {
            for row in (0..x.rows()).step_by(SAMPLE).map(|k| x.row(k).as_chunks().0) {
                found += row.iter().filter(|&&pair| any(pair)).count();
                all += row.len();
            }
        } else {
            for g in (0..x.rows() / PAIR).step_by(SAMPLE) {
                let pairs = x.row(PAIR * g).iter().zip(x.row(PAIR * g + 1));
                found += pairs.filter(|&(&a, &b)| any([a, b])).count();
                all += x.cols();
            }
        }
        (found, all)
    }

    #[inline(always)]
    fn vector<V: Vector>(self, v: V) -> (usize, usize) {
        let (x, mut found, mut all) = (self.x, 0, 0);
        if self.columns {
            for k in (0..x.rows()).step_by(SAMPLE) {
                for chunk in x.row(k).chunks(V::LANES) {
                    let some = v.not_zero(v.load(chunk));
                    // The bits of even lanes stand for the pairs; a last column alone is none.
                    let pairs = 0x5555 & ((1 << (chunk.len() / PAIR * PAIR)) - 1);
                    found += ((some | some >> 1) & pairs).count_ones() as usize;
                    all += chunk.len() / PAIR;
                }
            }
        } else {
            for g in (0..x.rows() / PAIR).step_by(SAMPLE) {
                let (a, b) = (x.row(PAIR * g), x.row(PAIR * g + 1));
                for (a, b) in a.chunks(V::LANES).zip(b.chunks(V::LANES)) {
                    found += (v.not_zero(v.load(a)) | v.not_zero(v.load(b))).count_ones() as usize;
                    all += a.len();
                }
            }
        }
        (found, all)
    }
}
