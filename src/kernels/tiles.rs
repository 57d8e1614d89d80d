//! Matrices over borrowed memory, and disjoint pieces of them. Uses nothing else of the crate.
//!
//! A matrix is row-major with a stride of at least its columns; what lies between is never read or written. Its values are
//! f32s, unless another type is named.

use core::marker::PhantomData;

/// A cache line of the arena: sixteen f32s.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line([f32; 16]);

impl Line {
    /// A line with `x` in every place.
    pub const fn filled(x: f32) -> Line {
        Line([x; 16])
    }
}

// SAFETY: all bits zero are sixteen zeros.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: 64 bytes of f32s at an alignment of 64: no padding, every bit pattern is a value.
unsafe impl bytemuck::Pod for Line {}

/// A shared view of `rows` × `cols` values; row i starts at i·stride.
#[derive(Debug)]
pub struct Mat<'a, T = f32> {
    data: *const T,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a [T]>,
}

/// An exclusive view of `rows` × `cols` values; row i starts at i·stride.
#[derive(Debug)]
pub struct MatMut<'a, T = f32> {
    data: *mut T,
    rows: usize,
    cols: usize,
    stride: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a Mat is a shared borrow.
unsafe impl<T: Sync> Send for Mat<'_, T> {}
// SAFETY: a Mat is a shared borrow.
unsafe impl<T: Sync> Sync for Mat<'_, T> {}
// SAFETY: a MatMut is an exclusive borrow of the values in its rows and columns.
unsafe impl<T: Send> Send for MatMut<'_, T> {}
// SAFETY: a shared MatMut only gives shared access.
unsafe impl<T: Sync> Sync for MatMut<'_, T> {}

/// Panics unless the matrix lies inside `len` values.
fn check(len: usize, rows: usize, cols: usize, stride: usize) {
    let needed =
        if rows == 0 { Some(0) } else { (rows - 1).checked_mul(stride).and_then(|n| n.checked_add(cols)) };
    assert!(stride >= cols && needed.is_some_and(|n| n <= len), "{rows}×{cols} by {stride} in {len} values");
}

impl<T> Clone for Mat<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Mat<'_, T> {}

impl<'a, T> Mat<'a, T> {
    /// Views `data` as `rows` × `cols`.
    ///
    /// # Panics
    /// If `data` is too short or `stride` < `cols`.
    pub fn new(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        Mat { data: data.as_ptr(), rows, cols, stride, life: PhantomData }
    }
    /// Number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(self) -> usize {
        self.cols
    }
    /// Distance between the starts of two rows.
    pub fn stride(self) -> usize {
        self.stride
    }
    /// Row `i`.
    #[inline(always)]
    pub fn row(self, i: usize) -> &'a [T] {
        assert!(i < self.rows);
        // SAFETY: row i < rows lies inside the borrow that `new` checked.
        unsafe { core::slice::from_raw_parts(self.data.add(i * self.stride), self.cols) }
    }
    /// Rows `first..first + rows`.
    pub fn sub_rows(self, first: usize, rows: usize) -> Mat<'a, T> {
        assert!(first <= self.rows && rows <= self.rows - first);
        // An empty part may begin behind the last value: it is never read.
        Mat { data: self.data.wrapping_add(first * self.stride), rows, ..self }
    }
    /// Columns `first..first + cols`.
    pub fn sub_cols(self, first: usize, cols: usize) -> Mat<'a, T> {
        assert!(first <= self.cols && cols <= self.cols - first);
        Mat { data: self.data.wrapping_add(first), cols, ..self }
    }
    /// The address of the first value, for kernels.
    pub(super) fn as_ptr(self) -> *const T {
        self.data
    }
}

impl<'a, T> MatMut<'a, T> {
    /// Views `data` as `rows` × `cols`.
    ///
    /// # Panics
    /// If `data` is too short or `stride` < `cols`.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, stride: usize) -> Self {
        check(data.len(), rows, cols, stride);
        MatMut { data: data.as_mut_ptr(), rows, cols, stride, life: PhantomData }
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
    /// Distance between the starts of two rows.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }
    /// The same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatMut<'_, T> {
        MatMut { life: PhantomData, ..*self }
    }
    /// A shared view.
    pub fn view(&self) -> Mat<'_, T> {
        Mat { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride, life: PhantomData }
    }
    /// A shared view for the rest of the borrow.
    pub fn into_view(self) -> Mat<'a, T> {
        Mat { data: self.data, rows: self.rows, cols: self.cols, stride: self.stride, life: PhantomData }
    }
    /// Row `i`.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &[T] {
        self.view().row(i)
    }
    /// Row `i`.
    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows);
        // SAFETY: row i < rows lies inside the exclusive borrow that `new` checked.
        unsafe { core::slice::from_raw_parts_mut(self.data.add(i * self.stride), self.cols) }
    }
    /// The first `at` rows, and the rest.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows);
        // The two parts share no row; an empty second part is never read.
        let below = self.data.wrapping_add(at * self.stride);
        (MatMut { rows: at, ..self }, MatMut { data: below, rows: self.rows - at, ..self })
    }
    /// The first `at` columns, and the rest.
    pub fn split_cols(self, at: usize) -> (Self, Self) {
        assert!(at <= self.cols);
        // The two parts share no column, and no row slice reaches beyond its columns.
        let right = self.data.wrapping_add(at);
        (MatMut { cols: at, ..self }, MatMut { data: right, cols: self.cols - at, ..self })
    }
    /// Rows `first..first + rows`, for a shorter time.
    pub fn sub_rows_mut(&mut self, first: usize, rows: usize) -> MatMut<'_, T> {
        self.reborrow().split_rows(first).1.split_rows(rows).0
    }
    /// The same matrix once more.
    ///
    /// # Safety
    /// While one of the two writes a row, the other one must not touch it.
    pub(super) unsafe fn alias(&self) -> MatMut<'_, T> {
        MatMut { life: PhantomData, ..*self }
    }
    /// The address of the first value, for kernels.
    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.data
    }
}
