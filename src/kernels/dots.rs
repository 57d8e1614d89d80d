//! Dot products of bytes by the `matrixmultiply` crate, exact: every sum is a whole number below 2²⁴, so an f32 holds it whatever
//! the order, the vector width or the fusing of its terms. Uses nothing of the crate.

/// Terms of a sum of products of two bytes that an f32 holds exactly: 256·255² < 2²⁴.
pub const MOST_TERMS: usize = 256;

/// `out[i, j] = Σ_k a[i, k]·b[j, k]` over `terms`, for rows of `size` values that are whole numbers from 0 to 255; `out` is
/// [rows of a, rows of b].
///
/// # Panics
/// If a slice is no whole number of rows, `out` has another length, or there are more than [`MOST_TERMS`].
pub fn dots(a: &[f32], b: &[f32], size: usize, terms: core::ops::Range<usize>, out: &mut [f32]) {
    assert!(terms.start <= terms.end && terms.end <= size && terms.len() <= MOST_TERMS);
    assert!(size > 0 && a.len().is_multiple_of(size) && b.len().is_multiple_of(size));
    let (m, n) = (a.len() / size, b.len() / size);
    assert_eq!(Some(out.len()), m.checked_mul(n));
    if out.is_empty() {
        return;
    }
    // SAFETY: row i of a and row j of b have `size` values from i·size and j·size on, of which `terms` are read, as asserted;
    // out has m·n values, row i from i·n on. matrixmultiply writes nothing but out, which nobody else holds.
    unsafe {
        matrixmultiply::sgemm(
            m,
            terms.len(),
            n,
            1.0,
            a.as_ptr().add(terms.start),
            size as isize,
            1,
            b.as_ptr().add(terms.start),
            1,
            size as isize,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}
