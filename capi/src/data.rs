//! Images.

use std::ffi::c_char;
use std::sync::Arc;

use duel::{Dataset, Images};

use crate::arguments::{path, text_out, values};
use crate::code::{duel_code, guard};
use crate::handle::{Handle, Opaque, opaque};

/// Images to train on. Several trainers may use the same, and each keeps it alive: it can be freed when the trainers are made.
pub struct duel_data(Handle<Arc<Dataset>>);
opaque!(duel_data, "data", Arc<Dataset>);

/// # Safety
/// `to` is null or good for a pointer.
unsafe fn hand_over(data: Dataset, to: *mut *mut duel_data) -> Result<(), duel::Error> {
    // SAFETY: the caller's promise.
    unsafe { duel_data(Handle::new(Arc::new(data))).hand_over(to) }
}

/// The images themselves.
///
/// # Safety
/// `data` is null or a handle.
pub(crate) unsafe fn shared(data: *const duel_data) -> Result<Arc<Dataset>, duel::Error> {
    // SAFETY: the caller's promise.
    unsafe { duel_data::with(data, |data| Ok(Arc::clone(data))) }
}

/// Reads a file of images, IDX as MNIST's, plain or gzip, or the folder that has one; with `labels` (not 0) the labels beside them,
/// too. Writes the handle to *data.
///
/// # Safety
/// `file` is null or a text; `data` is null or good for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_data_open(
    file: *const c_char,
    labels: i32,
    data: *mut *mut duel_data,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let images = Dataset::open(&unsafe { path(file, "file") }?)?;
        // SAFETY: the caller's promise.
        unsafe { hand_over(if labels != 0 { images.labelled()? } else { images }, data) }
    })
}

/// Copies `count` images of height × width from `pixels`, a byte per pixel, row by row, and the `count` labels at `labels`, which may
/// be null. Writes the handle to *data.
///
/// # Safety
/// `pixels` is null or good for count · height · width bytes, `labels` is null or good for `count`; `data` is null or good for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_data_copy(
    pixels: *const u8,
    count: usize,
    height: usize,
    width: usize,
    labels: *const u8,
    data: *mut *mut duel_data,
) -> duel_code {
    guard(|| {
        let bytes = count.checked_mul(height).and_then(|rows| rows.checked_mul(width));
        // SAFETY: the caller's promise.
        let pixels = unsafe { values(pixels, bytes.unwrap_or(usize::MAX), "pixels") }?;
        // Sizes before anything is read.
        Images::new(pixels, height, width)?;
        let labels = match labels.is_null() {
            true => None,
            // SAFETY: the caller's promise.
            false => Some(unsafe { values(labels, count, "labels") }?),
        };
        let room = |bytes: &[u8], name: &str| {
            let mut copy = duel::memory::room(bytes.len(), name)?;
            copy.extend_from_slice(bytes);
            Ok::<_, duel::Error>(copy)
        };
        let labels = labels.map(|labels| room(labels, "labels")).transpose()?;
        let data_set = Dataset::from_pixels(room(pixels, "images")?, (height, width), labels)?;
        // SAFETY: the caller's promise.
        unsafe { hand_over(data_set, data) }
    })
}

/// The digest of the images: SHA-256 of their IDX file, decompressed; with labels that of both files' digests.
///
/// # Safety
/// `data` is null or a handle; `text` is null or good for `bytes` bytes, which must be DUEL_DIGEST_BYTES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_data_digest(
    data: *const duel_data,
    text: *mut c_char,
    bytes: usize,
) -> duel_code {
    guard(|| {
        // SAFETY: the caller's promise.
        let digest = unsafe { shared(data) }?.digest();
        // SAFETY: the caller's promise.
        unsafe { text_out(digest, text, bytes) }
    })
}

/// Frees the images; null is nothing to free.
///
/// # Safety
/// `data` is null or a handle, which nobody uses after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duel_data_free(data: *mut duel_data) -> duel_code {
    // SAFETY: the caller's promise.
    guard(|| unsafe { duel_data::free(data) })
}
