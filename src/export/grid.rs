//! Samples side by side on one canvas. Uses [`error`](crate::error) and `memory`.

use crate::error::Error;
use crate::memory;

/// A greyscale picture, a byte per pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width × height` bytes; 0 is black.
    pub pixels: Vec<u8>,
}

/// Images of `width` × `height` in a grid of `columns` × `rows`, no gaps; `inverted` means black ink on white. Empty
/// places have the colour of the paper.
///
/// # Errors
/// [`Error::Environment`] if there is no memory for it.
///
/// # Panics
/// If there are more images than places.
pub fn canvas(
    images: &[u8],
    (width, height): (usize, usize),
    (columns, rows): (usize, usize),
    inverted: bool,
) -> Result<Canvas, Error> {
    let flip = if inverted { 255 } else { 0 };
    let (canvas_width, canvas_height) = (columns * width, rows * height);
    let area = canvas_width.saturating_mul(canvas_height);
    let mut pixels = memory::filled(area, flip, "canvas")?;
    for (i, image) in images.chunks(width * height).enumerate() {
        let (left, top) = (i % columns * width, i / columns * height);
        for (y, line) in image.chunks(width).enumerate() {
            let start = (top + y) * canvas_width + left;
            for (to, &from) in pixels[start..start + width].iter_mut().zip(line) {
                *to = from ^ flip;
            }
        }
    }
    Ok(Canvas { width: canvas_width, height: canvas_height, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_side_by_side() {
        let images = [0, 1, 2, 3, 4, 5];
        let inverted = canvas(&images, (2, 1), (2, 2), true).unwrap();
        assert_eq!((inverted.width, inverted.height), (4, 2));
        assert_eq!(inverted.pixels, [255, 254, 253, 252, 251, 250, 255, 255]);
        assert_eq!(canvas(&images, (2, 1), (2, 2), false).unwrap().pixels, [0, 1, 2, 3, 4, 5, 0, 0]);
    }
}
