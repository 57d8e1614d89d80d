//! A canvas as PNG, 8-bit greyscale, by the `png` crate.

use super::grid::Canvas;
use crate::error::Error;
use crate::memory;

/// The bytes of a PNG file.
///
/// # Errors
/// [`Error::Environment`] if there is no memory for them.
pub fn encode(canvas: &Canvas) -> Result<Vec<u8>, Error> {
    // The encoder has all of its output twice.
    drop(memory::room(canvas.pixels.len(), "PNG")?);
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, canvas.width as u32, canvas.height as u32);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&canvas.pixels))
        .expect("writing to memory a canvas of its own size");
    Ok(bytes)
}

/// The canvas of a PNG file; nothing if it is not a whole 8-bit greyscale one of so many pixels.
pub fn decode(bytes: &[u8], pixels: usize) -> Option<Canvas> {
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes)).read_info().ok()?;
    let size = reader.output_buffer_size().filter(|&size| size == pixels)?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).ok()?;
    let grey = (info.color_type, info.bit_depth) == (::png::ColorType::Grayscale, ::png::BitDepth::Eight);
    reader.finish().ok().filter(|()| grey)?;
    Some(Canvas { width: info.width as usize, height: info.height as usize, pixels })
}
