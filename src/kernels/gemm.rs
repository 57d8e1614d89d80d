//! Products: `C[m, n] = chain over k of A[m, k]·B[k, n]`, and what is done with each finished chain.
//! Uses `isa`, `reference`, `vector`, `tiles` and `lists`.
//!
//! ```text
//! for each panel of columns:                 (TILE_VECTORS vectors wide)
//!     for each block of terms:               (BLOCK_TERMS rows of B: they stay in the L1 cache)
//!         for each 6 rows:                   (accumulators in registers, a lane is an output)
//!             acc = +0, or C where the chain goes on
//!             for k ascending: acc[i][j] = fma(A[i, k], B[k, j], acc[i][j])
//!             C = acc, or after the last block: epilogue(acc + 0.0)
//! ```
//!
//! Where A is given as lists of non-zero terms, the tile is one row by LIST_VECTORS, and k runs over the list.
//! With MNIST's pixels (19% not zero) the two products with real images take 0.28 of the dense ones' time and the whole
//! step 0.80 (AVX-512, one thread); `cargo bench -- step` repeats it.

use super::isa::Isa;
use super::lists::Lists;
use super::reference;
use super::tiles::{Mat, MatMut};
use super::vector::{Kernel, Vector};

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

/// Where the chains start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From +0.
    Zero,
    /// From what C holds: the chain goes on.
    Partial,
}

/// What happens to a finished chain.
pub trait Epilogue: Sized {
    /// Whether the result goes into C.
    const STORES: bool;
    /// Runs a product that ends so: `isa.dispatch(product)`, for the reason that [`Kernel::run_on`] gives.
    fn run(isa: Isa, product: Product<'_, Self>);
    /// One element by the scalar definition: `acc` is the chain.
    fn scalar(&mut self, i: usize, j: usize, acc: f32) -> f32;
    /// Elements (i, j..j + LANES), or up to the last column: `acc` holds the chains.
    fn vector<V: Vector>(&mut self, v: V, i: usize, j: usize, acc: V::F32) -> V::F32;
}

/// Keeps the accumulators as they are: the chain will go on.
#[derive(Debug)]
pub struct Unfinished;

impl Epilogue for Unfinished {
    const STORES: bool = true;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }
    fn scalar(&mut self, _: usize, _: usize, acc: f32) -> f32 {
        acc
    }
    #[inline(always)]
    fn vector<V: Vector>(&mut self, _: V, _: usize, _: usize, acc: V::F32) -> V::F32 {
        acc
    }
}

/// Stores the sums.
#[derive(Debug)]
pub struct Sum;

impl Epilogue for Sum {
    const STORES: bool = true;
    fn run(isa: Isa, product: Product<'_, Self>) {
        isa.dispatch(product)
    }
    fn scalar(&mut self, _: usize, _: usize, acc: f32) -> f32 {
        acc + 0.0
    }
    #[inline(always)]
    fn vector<V: Vector>(&mut self, v: V, _: usize, _: usize, acc: V::F32) -> V::F32 {
        v.add(acc, v.splat(0.0))
    }
}

/// A product: `C = epilogue(A·B)`, or `epilogue(C + A·B)` as one chain.
#[derive(Debug)]
pub struct Product<'a, E> {
    /// A, m × k.
    pub left: Left<'a>,
    /// B, k × n.
    pub right: Mat<'a>,
    /// C, m × n: the result, and the accumulators between blocks of terms.
    pub out: MatMut<'a>,
    /// Where the chains start.
    pub start: Start,
    /// What happens to the finished chains.
    pub epilogue: &'a mut E,
}

impl<E: Epilogue> Product<'_, E> {
    /// Panics unless the shapes fit; every access of the kernels follows from this.
    fn check(&self) {
        let (m, k, n) = (self.out.rows(), self.right.rows(), self.out.cols());
        assert_eq!(self.right.cols(), n);
        match self.left {
            Left::Rows(x) => assert!(x.rows() == m && x.cols() == k),
            Left::Columns(x) => assert!(x.cols() == m && x.rows() == k),
            Left::Lists(lists) => assert_eq!(lists.len.len(), m),
        }
    }
}

impl<E: Epilogue> Kernel for Product<'_, E> {
    type Output = ();

    #[inline]
    fn run_on(self, isa: Isa) {
        E::run(isa, self)
    }

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
                        let (index, value) = lists.row(i);
                        reference::chain(index.len(), start, |t| value[t], |t| b.row(index[t] as usize)[j])
                    }
                };
                let x = self.epilogue.scalar(i, j, acc);
                if E::STORES {
                    self.out.row_mut(i)[j] = x;
                }
            }
        }
    }

    #[inline(always)]
    fn vector<V: Vector>(mut self, v: V) {
        self.check();
        if let Left::Lists(lists) = self.left {
            return match V::LIST_VECTORS {
                16 => self.over_lists::<V, 16>(v, lists),
                _ => self.over_lists::<V, 8>(v, lists),
            };
        }
        match V::TILE_VECTORS {
            4 => self.dense::<V, 4>(v),
            2 => self.dense::<V, 2>(v),
            _ => self.dense::<V, 1>(v),
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

impl<E: Epilogue> Product<'_, E> {
    #[inline(always)]
    fn dense<V: Vector, const NV: usize>(&mut self, v: V) {
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
            let mut i = 0;
            while i < m {
                // SAFETY: `check` found A to be m × k and B to be k × n; i < m, j < n and done + count ≤ k.
                let terms = unsafe {
                    Terms {
                        count,
                        a: a.add(i * a_row + done * a_term),
                        a_row,
                        a_term,
                        b: self.right.as_ptr().add(done * self.right.stride() + j),
                        b_term: self.right.stride(),
                    }
                };
                // SAFETY: each arm takes as many rows as are left at least.
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
        let lanes = V::LANES;
        let part = self.out.cols() - j;
        let stride = self.out.stride();
        let mut acc = [[v.splat(0.0); NV]; MR];
        // SAFETY: rows i..i + MR and the panel's columns lie inside C; a partial vector only touches `part` columns.
        unsafe {
            let c = self.out.as_mut_ptr().add(i * stride + j);
            if !(first && self.start == Start::Zero) {
                for (r, row) in acc.iter_mut().enumerate() {
                    for (q, x) in row.iter_mut().enumerate() {
                        let at = c.add(r * stride + q * lanes);
                        *x = if PART { v.load_part(at, part) } else { v.load_ptr(at) };
                    }
                }
            }
            let (mut a, mut b) = (terms.a, terms.b);
            for _ in 0..terms.count {
                let mut right = [v.splat(0.0); NV];
                for (q, x) in right.iter_mut().enumerate() {
                    *x = if PART { v.load_part(b, part) } else { v.load_ptr(b.add(q * lanes)) };
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
            for (r, row) in acc.iter().enumerate() {
                for (q, &x) in row.iter().enumerate() {
                    let x = if last { self.epilogue.vector(v, i + r, j + q * lanes, x) } else { x };
                    if !last || E::STORES {
                        let at = c.add(r * stride + q * lanes);
                        if PART { v.store_part(at, part, x) } else { v.store_ptr(at, x) }
                    }
                }
            }
        }
        MR
    }

    #[inline(always)]
    fn over_lists<V: Vector, const NV: usize>(&mut self, v: V, lists: Lists<'_>) {
        let n = self.out.cols();
        let k = self.right.rows();
        for i in 0..self.out.rows() {
            let (index, value) = lists.row(i);
            assert!(index.iter().all(|&t| (t as usize) < k));
            let mut j = 0;
            while j < n {
                // SAFETY: i < m, every index is below k, and each arm takes as many columns as are left at least.
                j += unsafe {
                    match n - j {
                        left if left >= NV * V::LANES => {
                            self.list_tile::<V, NV, false>(v, i, j, index, value)
                        }
                        left if left >= 4 * V::LANES => self.list_tile::<V, 4, false>(v, i, j, index, value),
                        left if left >= V::LANES => self.list_tile::<V, 1, false>(v, i, j, index, value),
                        _ => self.list_tile::<V, 1, true>(v, i, j, index, value),
                    }
                };
            }
        }
    }

    /// One row by NV vectors from (i, j) on; PART: the one vector has fewer columns than lanes. Returns NV·LANES.
    ///
    /// # Safety
    /// `i` < m, the columns must lie inside C, every index must be below k.
    #[inline(always)]
    unsafe fn list_tile<V: Vector, const NV: usize, const PART: bool>(
        &mut self,
        v: V,
        i: usize,
        j: usize,
        index: &[u16],
        value: &[f32],
    ) -> usize {
        let lanes = V::LANES;
        let part = self.out.cols() - j;
        let mut acc = [v.splat(0.0); NV];
        // SAFETY: the caller vouches for i, j and the indices; a partial vector only touches `part` columns.
        unsafe {
            let c = self.out.as_mut_ptr().add(i * self.out.stride() + j);
            if self.start == Start::Partial {
                for (q, x) in acc.iter_mut().enumerate() {
                    *x = if PART { v.load_part(c, part) } else { v.load_ptr(c.add(q * lanes)) };
                }
            }
            let b = self.right.as_ptr().add(j);
            for (&t, &x) in index.iter().zip(value) {
                let b = b.add(t as usize * self.right.stride());
                let left = v.splat(x);
                for (q, acc) in acc.iter_mut().enumerate() {
                    let right = if PART { v.load_part(b, part) } else { v.load_ptr(b.add(q * lanes)) };
                    *acc = v.fma(left, right, *acc);
                }
            }
            for (q, &x) in acc.iter().enumerate() {
                let x = self.epilogue.vector(v, i, j + q * lanes, x);
                if E::STORES {
                    if PART { v.store_part(c, part, x) } else { v.store_ptr(c.add(q * lanes), x) }
                }
            }
        }
        NV * lanes
    }
}
