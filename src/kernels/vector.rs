//! The few lane operations that kernels may use, and what a kernel is. Uses nothing else of the crate.
//!
//! Algorithms are written once, generic over [`Vector`]. A lane is always a different output, never a part of a sum.

/// A kernel: its arguments, and the two ways to run it. Both write the same bits.
pub trait Kernel: Sized {
    /// What the kernel returns.
    type Output;
    /// Runs by the scalar definition.
    fn reference(self) -> Self::Output;
    /// Runs on vectors. Implementations are `#[inline(always)]`, so that they compile with the features of `v`.
    fn vector<V: Vector>(self, v: V) -> Self::Output;
}

/// Lane operations that are one expression: a function for each. The value that they are called on proves the instructions;
/// those of the `wide` crate need no proof.
macro_rules! lanewise {
    ($(fn $name:ident($($argument:ident: $type:ty),+) -> $out:ty = $body:expr;)+) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)]
        fn $name(self, $($argument: $type),+) -> $out {
            // SAFETY: the value proves the instructions.
            unsafe { $body }
        }
    )+};
}
pub(super) use lanewise;

/// Lanes that a vector has at most.
pub(super) const MOST_LANES: usize = 16;

/// A backend's vectors of f32. The value itself is the proof that the CPU has the instructions.
pub trait Vector: Copy + Send + Sync {
    /// Lanes of one vector, 1 to 16.
    const LANES: usize;
    /// Vectors side by side in the register tile of a dense product (6 rows high): 1, 2 or 4.
    const TILE_VECTORS: usize;
    /// Terms of a chain that are added before the next columns: a block of the right operand stays in the L1 cache.
    const BLOCK_TERMS: usize;
    /// Values of a block of the right operand that rows with lists of terms find in the L1 cache: 12 KiB for vectors of 8,
    /// 24 KiB for those of 16.
    const LIST_BLOCK_VALUES: usize;
    /// A vector.
    type F32: Copy;
    /// A truth value per lane.
    type Mask: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` values.
    unsafe fn load_ptr(self, p: *const f32) -> Self::F32;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` values.
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F32);
    /// Reads `n` ≤ `LANES` values; the lanes beyond are 0.
    ///
    /// # Safety
    /// `p` must be valid for reading `n` values.
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::F32;
    /// Writes the first `n` ≤ `LANES` lanes.
    ///
    /// # Safety
    /// `p` must be valid for writing `n` values.
    unsafe fn store_part(self, p: *mut f32, n: usize, x: Self::F32);
    /// Writes eight rows of eight values as columns: `to[j·to_stride + i] = from[i·from_stride + j]`.
    ///
    /// # Safety
    /// All those places must be valid, for reading and for writing.
    #[inline(always)]
    unsafe fn transpose_8x8(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for i in 0..8 {
            for j in 0..8 {
                // SAFETY: the caller vouches for these places.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) };
            }
        }
    }
    /// `LANES` bytes, each as an f32.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` bytes.
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> Self::F32 {
        let mut lanes = [0.0f32; MOST_LANES];
        for (q, lane) in lanes[..Self::LANES].iter_mut().enumerate() {
            // SAFETY: the caller vouches for the bytes.
            *lane = unsafe { *p.add(q) as f32 };
        }
        self.load(&lanes)
    }
    /// A bit for each lane that is not ±0.
    #[inline(always)]
    fn not_zero(self, x: Self::F32) -> u32 {
        let mut lanes = [0.0f32; MOST_LANES];
        self.store(&mut lanes, x);
        (0..Self::LANES).fold(0, |bits, q| bits | ((lanes[q] != 0.0) as u32) << q)
    }
    /// Writes the lanes of a and b whose bit is set in `keep` as pairs, one after the other, and their numbers, counted
    /// from `first`. What is written beyond those means nothing.
    ///
    /// # Safety
    /// `LANES` places of `value` and of `index` must be valid for writing.
    #[inline(always)]
    unsafe fn compress_pair(
        self,
        keep: u32,
        a: Self::F32,
        b: Self::F32,
        first: usize,
        value: *mut [f32; 2],
        index: *mut u16,
    ) {
        let (mut x, mut y, mut n) = ([0.0f32; MOST_LANES], [0.0f32; MOST_LANES], 0);
        self.store(&mut x, a);
        self.store(&mut y, b);
        for q in 0..Self::LANES {
            // SAFETY: n ≤ q < LANES places are valid.
            unsafe { (*value.add(n), *index.add(n)) = ([x[q], y[q]], (first + q) as u16) };
            n += (keep >> q & 1) as usize;
        }
    }
    /// Asks for the cache line at `p`, which need not be a valid address.
    fn prefetch(self, p: *const f32) {
        let _ = p;
    }
    /// a + b.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a·b.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// √a.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// a·b + c with one rounding.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// a·b + c with one rounding, on scalars.
    fn fma_scalar(self, a: f32, b: f32, c: f32) -> f32;
    /// −a.
    fn neg(self, a: Self::F32) -> Self::F32;
    /// |a|.
    fn abs(self, a: Self::F32) -> Self::F32;
    /// 2ⁿ for an integral n in −126..=127.
    fn exp2i(self, n: Self::F32) -> Self::F32;
    /// a < b.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a ≤ b.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a where the mask is true, b elsewhere.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Whether the mask is true in every lane.
    fn all(self, mask: Self::Mask) -> bool;

    /// The first `LANES` values of `s`; where it is shorter, the lanes beyond are 0.
    #[inline(always)]
    fn load(self, s: &[f32]) -> Self::F32 {
        if s.len() >= Self::LANES {
            // SAFETY: the slice has LANES values.
            unsafe { self.load_ptr(s.as_ptr()) }
        } else {
            // SAFETY: the slice has exactly that many values.
            unsafe { self.load_part(s.as_ptr(), s.len()) }
        }
    }

    /// Writes the first `LANES` values of `s`, or all of them where it is shorter.
    #[inline(always)]
    fn store(self, s: &mut [f32], x: Self::F32) {
        if s.len() >= Self::LANES {
            // SAFETY: the slice has LANES values.
            unsafe { self.store_ptr(s.as_mut_ptr(), x) }
        } else {
            // SAFETY: the slice has exactly that many values.
            unsafe { self.store_part(s.as_mut_ptr(), s.len(), x) }
        }
    }
}
