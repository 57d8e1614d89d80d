//! Bytes that may be gzip. Uses the `flate2` crate.

use std::io::{BufRead, Read, Result};

use flate2::bufread::MultiGzDecoder;

/// How gzip begins.
pub const MAGIC: [u8; 2] = [0x1F, 0x8B];
/// Bytes that a byte of gzip can become at most: deflate's longest copy is 258 bytes, its shortest code 2 bits.
pub const LARGEST_RATIO: u64 = 1_032;

/// `bytes`, decompressed on the way where they begin with gzip's magic number.
///
/// # Errors
/// Those of `bytes`.
pub fn reader<'a>(mut bytes: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    if bytes.fill_buf()?.starts_with(&MAGIC) {
        Ok(Box::new(MultiGzDecoder::new(bytes)))
    } else {
        Ok(Box::new(bytes))
    }
}
