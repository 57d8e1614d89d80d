//! A canvas as PNG, 8-bit greyscale, by the `png` crate.

use super::grid::Canvas;

/// The bytes of a PNG file.
pub fn encode(canvas: &Canvas) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, canvas.width as u32, canvas.height as u32);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&canvas.pixels))
        .expect("writing to memory a canvas of its own size");
    bytes
}
