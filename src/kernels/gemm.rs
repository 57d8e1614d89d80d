//! Products: `C[m, n] = chain over k of A[m, k]·B[k, n]`. Uses `reference`, `vector`, `tiles` and `lists`.
//!
//! ```text
//! for each panel of columns:                 (TILE_VECTORS vectors wide)
//!     for each block of terms:               (BLOCK_TERMS rows of B: they stay in the L1 cache)
//!         for each 6 rows:                   (accumulators in registers, a lane is an output)
//!             acc = +0, or C where the chain goes on
//!             for k ascending: acc[i][j] = fma(A[i, k], B[k, j], acc[i][j])
//!             C = acc, or after the last block acc + 0.0
//! ```
//!
//! Where A is given as lists of non-zero terms, the tile is a pair of rows by up to LIST_VECTORS vectors, and k runs over
//! the pair's list. A block of B is small enough for all rows to find it in the L1 cache.

use super::lists::{Lists, PAIR};
use super::reference;
use super::tiles::{Mat, MatMut};
use super::vector::{Kernel, MOST_LANES, Vector};

/// Vectors side by side in the tile of a product over lists: twelve accumulators, enough to hide the latency of the fma.
const LIST_VECTORS: usize = 6;
/// f32s per cache line.
const LINE: usize = 16;

/// The left operand A of a product.
#[derive(Clone, Copy, Debug)]
pub enum Left<'a> {
    /// `A[i, k] = x[i][k]`.
    Rows(Mat<'a>),
    /// `A[i, k] = x[k][i]`: the transpose of a matrix.
    Columns(Mat<'a>),
    /// The non-zero terms of each row of A.
    Lists(Lists<'a>),
}

impl<'a> Left<'a> {
    /// Number of rows.
    pub fn rows(self) -> usize {
        match self {
            Left::Rows(x) => x.rows(),
            Left::Columns(x) => x.cols(),
            Left::Lists(lists) => lists.rows(),
        }
    }
    /// Number of (row, term) places that a product computes.
    pub fn terms(self) -> usize {
        match self {
            Left::Rows(x) | Left::Columns(x) => x.rows() * x.cols(),
            Left::Lists(lists) => lists.terms(),
        }
    }
    /// Rows `first..first + rows` of A.
    pub fn sub_rows(self, first: usize, rows: usize) -> Left<'a> {
        match self {
            Left::Rows(x) => Left::Rows(x.sub_rows(first, rows)),
            Left::Columns(x) => Left::Columns(x.sub_cols(first, rows)),
            Left::Lists(lists) => Left::Lists(lists.sub_rows(first, rows)),
        }
    }
}

/// Where the chains start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From +0.
    Zero,
    /// From what C holds: the chain goes on.
    Partial,
}

/// A product: `C = A·B + 0`, or `C + A·B + 0` as one chain. (The +0 turns a sum of −0 into +0. Where a chain goes on
/// later, that changes nothing but the sign of a zero, and the last +0 turns it again.)
///
/// What a layer does with its sums is the work of other kernels, on each finished piece while the L1 or L2 cache holds it:
/// done here, among the accumulators, it took a seventh of the product's time.
#[derive(Debug)]
pub struct Product<'a> {
    /// A, m × k.
    pub left: Left<'a>,
    /// B, k × n.
    pub right: Mat<'a>,
    /// C, m × n: the result, and the accumulators between blocks of terms.
    pub out: MatMut<'a>,
    /// Where the chains start.
    pub start: Start,
}

impl Product<'_> {
    /// Panics unless the shapes fit; every access of the kernels follows from this.
    fn check(&self) {
        let (m, k, n) = (self.out.rows(), self.right.rows(), self.out.cols());
        assert_eq!(self.right.cols(), n);
        match self.left {
            Left::Rows(x) => assert!(x.rows() == m && x.cols() == k),
            Left::Columns(x) => assert!(x.cols() == m && x.rows() == k),
            Left::Lists(lists) => assert_eq!(lists.rows(), m),
        }
    }
}

impl Kernel for Product<'_> {
    type Output = ();

    fn reference(mut self) {
        self.check();
        let (k, b) = (self.right.rows(), self.right);
        for i in 0..self.out.rows() {
            for j in 0..self.out.cols() {
                let start = if self.start == Start::Zero { 0.0 } else { self.out.row(i)[j] };
                let acc = match self.left {
                    Left::Rows(x) => reference::chain(k, start, |k| x.row(i)[k], |k| b.row(k)[j]),
                    Left::Columns(x) => reference::chain(k, start, |k| x.row(k)[i], |k| b.row(k)[j]),
                    Left::Lists(lists) => {
                        let (index, value) = lists.pair(i / PAIR);
                        let (a, b) = (|t: usize| value[t][i % PAIR], |t: usize| b.row(index[t] as usize)[j]);
                        reference::chain(index.len(), start, a, b)
                    }
                };
                self.out.row_mut(i)[j] = acc + 0.0;
            }
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        self.check();
        if let Left::Lists(lists) = self.left {
            return self.over_lists(v, lists);
        }
        match V::TILE_VECTORS {
            4 => self.dense::<V, 4>(v),
            2 => self.dense::<V, 2>(v),
            _ => self.dense::<V, 1>(v),
        }
    }
}

/// A block of B that will be needed next: its rows are prefetched a few at a time, while the block before is in use.
/// The hardware does not foresee rows that are this far apart.
#[derive(Clone, Copy)]
struct Ahead {
    at: *const f32,
    stride: usize,
    rows: usize,
    cols: usize,
}

impl Ahead {
    /// Prefetches the `part`th of `parts` shares.
    #[inline(always)]
    fn prefetch<V: Vector>(self, v: V, part: usize, parts: usize) {
        for row in self.rows * part / parts..self.rows * (part + 1) / parts {
            let row = self.at.wrapping_add(row * self.stride);
            for col in (0..self.cols).step_by(LINE) {
                v.prefetch(row.wrapping_add(col));
            }
        }
    }
}

/// Reads a vector; PART: only its first `part` values.
///
/// # Safety
/// `at` must be valid for reading them.
#[inline(always)]
unsafe fn load<V: Vector, const PART: bool>(v: V, at: *const f32, part: usize) -> V::F32 {
    // SAFETY: the caller vouches for the values.
    unsafe { if PART { v.load_part(at, part) } else { v.load_ptr(at) } }
}

/// Reads the accumulators of MR rows by NV vectors of C, whose rows are `stride` apart.
///
/// # Safety
/// `c` must be valid for reading them; as in [`load`].
#[inline(always)]
unsafe fn load_tile<V: Vector, const MR: usize, const NV: usize, const PART: bool>(
    v: V,
    c: *const f32,
    stride: usize,
    part: usize,
) -> [[V::F32; NV]; MR] {
    let mut acc = [[v.splat(0.0); NV]; MR];
    for (r, row) in acc.iter_mut().enumerate() {
        for (q, x) in row.iter_mut().enumerate() {
            // SAFETY: the caller vouches for the rows and their vectors.
            *x = unsafe { load::<V, PART>(v, c.add(r * stride + q * V::LANES), part) };
        }
    }
    acc
}

/// Writes the accumulators where [`load_tile`] reads them; after the last block of terms plus 0.
///
/// # Safety
/// `c` must be valid for writing them; as in [`load`].
#[inline(always)]
unsafe fn store_tile<V: Vector, const MR: usize, const NV: usize, const PART: bool>(
    v: V,
    acc: &[[V::F32; NV]; MR],
    last: bool,
    c: *mut f32,
    stride: usize,
    part: usize,
) {
    for (r, row) in acc.iter().enumerate() {
        for (q, &x) in row.iter().enumerate() {
            let x = if last { v.add(x, v.splat(0.0)) } else { x };
            // SAFETY: the caller vouches for the rows and their vectors.
            unsafe {
                let at = c.add(r * stride + q * V::LANES);
                if PART { v.store_part(at, part, x) } else { v.store_ptr(at, x) }
            }
        }
    }
}

/// The terms of one block of a dense chain, for a tile.
struct Terms {
    count: usize,
    a: *const f32,
    a_row: usize,
    a_term: usize,
    b: *const f32,
    b_term: usize,
}

impl Product<'_> {
    #[inline(always)]
    fn dense<V: Vector, const NV: usize>(&mut self, v: V) {
        const { assert!(1 <= V::LANES && V::LANES <= MOST_LANES) }
        let n = self.out.cols();
        let panels = n / (NV * V::LANES) * (NV * V::LANES);
        for j in (0..panels).step_by(NV * V::LANES) {
            self.panel::<V, NV, false>(v, j);
        }
        for j in (panels..n).step_by(V::LANES) {
            if n - j < V::LANES {
                self.panel::<V, 1, true>(v, j);
            } else {
                self.panel::<V, 1, false>(v, j);
            }
        }
    }

    /// The block of B from (row, column) on, as far as there is one.
    fn ahead(&self, (row, col): (usize, usize), rows: usize, cols: usize) -> Ahead {
        let (b, left) = (self.right, self.right.cols().saturating_sub(col));
        let at = b.as_ptr().wrapping_add(row * b.stride() + col);
        let rows = if left == 0 { 0 } else { rows.min(b.rows().saturating_sub(row)) };
        Ahead { at, stride: b.stride(), rows, cols: cols.min(left) }
    }

    #[inline(always)]
    fn panel<V: Vector, const NV: usize, const PART: bool>(&mut self, v: V, j: usize) {
        let (a, a_row, a_term) = match self.left {
            Left::Rows(x) => (x.as_ptr(), x.stride(), 1),
            Left::Columns(x) => (x.as_ptr(), 1, x.stride()),
            Left::Lists(_) => unreachable!(),
        };
        let (m, k) = (self.out.rows(), self.right.rows());
        let mut done = 0;
        loop {
            let count = V::BLOCK_TERMS.min(k - done);
            let (first, last) = (done == 0, done + count == k);
            let next = if last { (0, j + NV * V::LANES) } else { (done + count, j) };
            let ahead = self.ahead(next, V::BLOCK_TERMS, NV * V::LANES);
            let mut i = 0;
            while i < m {
                ahead.prefetch(v, i / 6, m.div_ceil(6));
                // `check` found A to be m × k and B to be k × n; i < m, j < n and done + count ≤ k. Without terms, where k is 0,
                // these may lie beyond what there is, and nothing is read.
                let terms = Terms {
                    count,
                    a: a.wrapping_add(i * a_row + done * a_term),
                    a_row,
                    a_term,
                    b: self.right.as_ptr().wrapping_add(done * self.right.stride() + j),
                    b_term: self.right.stride(),
                };
                // SAFETY: the terms are valid, and each arm takes as many rows as are left at least.
                i += unsafe {
                    match m - i {
                        1 => self.tile::<V, 1, NV, PART>(v, i, j, terms, first, last),
                        2 | 3 => self.tile::<V, 2, NV, PART>(v, i, j, terms, first, last),
                        4 | 5 => self.tile::<V, 4, NV, PART>(v, i, j, terms, first, last),
                        _ => self.tile::<V, 6, NV, PART>(v, i, j, terms, first, last),
                    }
                };
            }
            done += count;
            if done >= k {
                break;
            }
        }
    }

    /// MR rows by NV vectors from (i, j) on; PART: the one vector has fewer columns than lanes. Returns MR.
    ///
    /// # Safety
    /// `terms` must be valid for MR rows of A and for the columns of B, `i + MR` ≤ m.
    #[inline(always)]
    unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const PART: bool>(
        &mut self,
        v: V,
        i: usize,
        j: usize,
        terms: Terms,
        first: bool,
        last: bool,
    ) -> usize {
        let part = self.out.cols() - j;
        let stride = self.out.stride();
        let mut acc = [[v.splat(0.0); NV]; MR];
        // SAFETY: rows i..i + MR and the panel's columns lie inside C; a partial vector only touches `part` columns.
        unsafe {
            let c = self.out.as_mut_ptr().add(i * stride + j);
            if !(first && self.start == Start::Zero) {
                acc = load_tile::<V, MR, NV, PART>(v, c, stride, part);
            }
            let (mut a, mut b) = (terms.a, terms.b);
            for _ in 0..terms.count {
                let mut right = [v.splat(0.0); NV];
                for (q, x) in right.iter_mut().enumerate() {
                    *x = load::<V, PART>(v, b.add(q * V::LANES), part);
                }
                for (r, row) in acc.iter_mut().enumerate() {
                    let left = v.splat(*a.add(r * terms.a_row));
                    for (x, &y) in row.iter_mut().zip(&right) {
                        *x = v.fma(left, y, *x);
                    }
                }
                a = a.wrapping_add(terms.a_term);
                b = b.wrapping_add(terms.b_term);
            }
            store_tile::<V, MR, NV, PART>(v, &acc, last, c, stride, part);
        }
        MR
    }

    #[inline(always)]
    fn over_lists<V: Vector>(&mut self, v: V, lists: Lists<'_>) {
        const { assert!(1 <= V::LANES && V::LANES <= MOST_LANES) }
        let (m, k, n) = (self.out.rows(), self.right.rows(), self.out.cols());
        for g in 0..m.div_ceil(PAIR) {
            let largest = lists.pair(g).0.iter().fold(0, |largest, &t| largest.max(t as usize + 1));
            assert!(largest <= k);
        }
        // Panels of nearly the same width: one of a single vector would wait for its two accumulators.
        let vectors = n / V::LANES;
        let panels = vectors.div_ceil(LIST_VECTORS);
        for panel in 0..panels {
            // No product overflows that a 32-bit machine cannot hold.
            let part = |of: usize| (vectors as u64 * of as u64 / panels as u64) as usize;
            let (from, to) = (part(panel), part(panel + 1));
            let j = from * V::LANES;
            match to - from {
                6 => self.list_panel::<V, 6, false>(v, lists, j),
                5 => self.list_panel::<V, 5, false>(v, lists, j),
                4 => self.list_panel::<V, 4, false>(v, lists, j),
                3 => self.list_panel::<V, 3, false>(v, lists, j),
                2 => self.list_panel::<V, 2, false>(v, lists, j),
                _ => self.list_panel::<V, 1, false>(v, lists, j),
            }
        }
        if vectors * V::LANES < n {
            self.list_panel::<V, 1, true>(v, lists, vectors * V::LANES);
        }
    }

    #[inline(always)]
    fn list_panel<V: Vector, const NV: usize, const PART: bool>(&mut self, v: V, lists: Lists<'_>, j: usize) {
        /// Rows that take turns on a block of B.
        const ROWS: usize = 64;
        let (m, k) = (self.out.rows(), self.right.rows());
        // Where few terms are left, a tile would have too little work in a block of that size.
        let sparse = if 2 * (lists.terms() as u64) < m as u64 * k as u64 { 2 } else { 1 };
        let blocks = k.div_ceil(sparse * V::LIST_BLOCK_VALUES / (LIST_VECTORS * V::LANES)).max(1);
        for first_row in (0..m).step_by(ROWS) {
            // Where each pair's list goes on.
            let mut next = [0; ROWS / PAIR];
            for block in 0..blocks {
                let end = (k as u64 * (block as u64 + 1) / blocks as u64) as usize;
                let span = Span { first: block == 0, last: block + 1 == blocks, end };
                let after = if span.last { (0, j + NV * V::LANES) } else { (span.end, j) };
                let ahead = self.ahead(after, k.div_ceil(blocks), NV * V::LANES);
                for (n, (i, next)) in (first_row..m).step_by(PAIR).zip(&mut next).enumerate() {
                    ahead.prefetch(v, n, ROWS / PAIR);
                    let list = lists.pair(i / PAIR);
                    // SAFETY: i < m, the panel's columns lie inside C, and `over_lists` found every index below k.
                    *next = unsafe {
                        if i + 1 < m {
                            self.list_tile::<V, 2, NV, PART>(v, i, j, list, *next, span)
                        } else {
                            self.list_tile::<V, 1, NV, PART>(v, i, j, list, *next, span)
                        }
                    };
                }
            }
        }
    }

    /// MR rows, the pair or its first, by NV vectors from (i, j) on, over the pair's terms from the `t`th on that lie in
    /// this span; PART: the one vector has fewer columns than lanes. Returns how many terms of the list are done.
    ///
    /// # Safety
    /// `i + MR` ≤ m, the columns must lie inside C, every index must be below k.
    #[inline(always)]
    unsafe fn list_tile<V: Vector, const MR: usize, const NV: usize, const PART: bool>(
        &mut self,
        v: V,
        i: usize,
        j: usize,
        (index, value): (&[u16], &[[f32; PAIR]]),
        mut t: usize,
        span: Span,
    ) -> usize {
        let part = self.out.cols() - j;
        let stride = self.out.stride();
        let mut acc = [[v.splat(0.0); NV]; MR];
        // SAFETY: the caller vouches for i, j and the indices; a partial vector only touches `part` columns.
        unsafe {
            let c = self.out.as_mut_ptr().add(i * stride + j);
            if !(span.first && self.start == Start::Zero) {
                acc = load_tile::<V, MR, NV, PART>(v, c, stride, part);
            }
            // Where k is 0, beyond what there is.
            let b = self.right.as_ptr().wrapping_add(j);
            while t < index.len().min(value.len()) && (index[t] as usize) < span.end {
                let b = b.add(index[t] as usize * self.right.stride());
                for q in 0..NV {
                    let right = load::<V, PART>(v, b.add(q * V::LANES), part);
                    for (row, &x) in acc.iter_mut().zip(&value[t]) {
                        row[q] = v.fma(v.splat(x), right, row[q]);
                    }
                }
                t += 1;
            }
            store_tile::<V, MR, NV, PART>(v, &acc, span.last, c, stride, part);
        }
        t
    }
}

/// A span of the chains over lists: the terms below `end` that are left.
#[derive(Clone, Copy)]
struct Span {
    first: bool,
    last: bool,
    end: usize,
}
