//! A canvas as PNG, 8-bit greyscale, by the `png` crate.

use std::io::{Result, Write};

use super::grid::Canvas;
use crate::memory;

/// Writes a PNG file, piece by piece.
///
/// # Errors
/// Those of `to`.
pub fn write(canvas: &Canvas, to: impl Write) -> Result<()> {
    let mut encoder = ::png::Encoder::new(to, canvas.width as u32, canvas.height as u32);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Eight);
    let mut header = encoder.write_header()?;
    let mut pixels = header.stream_writer()?;
    pixels.write_all(&canvas.pixels)?;
    pixels.finish()?;
    Ok(header.finish()?)
}

/// The canvas of a PNG file; nothing if it is not a whole 8-bit greyscale one of so many pixels.
pub fn decode(bytes: &[u8], pixels: usize) -> Option<Canvas> {
    decode_within(bytes, pixels).filter(|canvas| canvas.pixels.len() == pixels)
}

/// The canvas of a PNG file; nothing if it is not a whole 8-bit greyscale one of at most so many pixels.
pub fn decode_within(bytes: &[u8], most: usize) -> Option<Canvas> {
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes)).read_info().ok()?;
    let size = reader.output_buffer_size().filter(|&size| size <= most)?;
    let mut pixels = memory::filled(size, 0, "canvas").ok()?;
    let info = reader.next_frame(&mut pixels).ok()?;
    let grey = (info.color_type, info.bit_depth) == (::png::ColorType::Grayscale, ::png::BitDepth::Eight);
    reader.finish().ok().filter(|()| grey)?;
    Some(Canvas { width: info.width as usize, height: info.height as usize, pixels })
}
