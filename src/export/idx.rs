//! Images or labels as an IDX file, the format of MNIST, that `--data` and every MNIST loader read. Uses the `flate2` crate.

use std::io::{Result, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Writes a file of these dimensions (count, height and width of images; the count of labels) whose bytes `fill` writes; compressed
/// if `gzip`.
///
/// # Errors
/// Those of `out` and `fill`.
pub fn write(
    out: &mut dyn Write,
    gzip: bool,
    dimensions: &[u32],
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let magic = 0x0000_0800 + dimensions.len() as u32;
    let header: Vec<u8> = [&[magic], dimensions].concat().into_iter().flat_map(u32::to_be_bytes).collect();
    if gzip {
        let mut encoder = GzEncoder::new(out, Compression::default());
        encoder.write_all(&header)?;
        fill(&mut encoder)?;
        encoder.finish()?;
        Ok(())
    } else {
        out.write_all(&header)?;
        fill(out)
    }
}
