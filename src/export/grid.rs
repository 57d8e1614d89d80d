//! Samples side by side on one canvas. Uses nothing of the crate.

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

/// Images of `height` × `width` in rows of `columns`, no gaps, inverted: black ink on white. Empty places are white.
pub fn canvas(images: &[u8], width: usize, height: usize, columns: usize) -> Canvas {
    let count = images.len() / (width * height);
    let rows = count.div_ceil(columns);
    let mut out = Canvas {
        width: columns * width,
        height: rows * height,
        pixels: vec![255; columns * width * rows * height],
    };
    for (i, image) in images.chunks(width * height).enumerate() {
        let (left, top) = (i % columns * width, i / columns * height);
        for (y, line) in image.chunks(width).enumerate() {
            let start = (top + y) * out.width + left;
            for (to, &from) in out.pixels[start..start + width].iter_mut().zip(line) {
                *to = 255 - from;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_side_by_side_inverted() {
        let canvas = canvas(&[0, 1, 2, 3, 4, 5], 2, 1, 2);
        assert_eq!((canvas.width, canvas.height), (4, 2));
        assert_eq!(canvas.pixels, [255, 254, 253, 252, 251, 250, 255, 255]);
    }
}
