//! The IDX format of MNIST: a big-endian magic number, the dimensions, then one byte per pixel. Uses
//! [`error`](crate::error).

use crate::config::MAX_SIZE;
use crate::error::Error;

/// Magic number of a file of images: unsigned bytes (0x08) in three dimensions.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Magic number of a file of labels.
const LABELS_MAGIC: u32 = 0x0000_0801;
/// Bytes before the first pixel.
pub const HEADER_BYTES: usize = 16;

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of images.
    pub count: usize,
    /// Pixels per column.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
}

impl Header {
    /// Reads a header; `source` names the data in errors.
    ///
    /// # Errors
    /// [`Error::Input`] if it is not that of an image file, or the sizes are beyond the limits.
    pub fn parse(bytes: &[u8], source: impl Into<crate::error::Text>) -> Result<Header, Error> {
        let bad = |problem| Err(Error::input(source, problem));
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return bad("shorter than the 16 bytes of an IDX image header");
        };
        let word = |i: usize| u32::from_be_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        match word(0) {
            IMAGES_MAGIC => {}
            LABELS_MAGIC => return bad("holds labels (magic 0x00000801), expected images (0x00000803)"),
            _ => return bad("not an IDX image file: expected magic 0x00000803"),
        }
        let header = Header { count: word(4) as usize, height: word(8) as usize, width: word(12) as usize };
        match header.height.checked_mul(header.width) {
            Some(1..=MAX_SIZE) => {}
            _ => return bad("expected images of 1 to 65536 pixels"),
        }
        if header.count == 0 || header.count.checked_mul(header.height * header.width).is_none() {
            return bad("the header's number of images is 0 or beyond this machine's memory");
        }
        Ok(header)
    }

    /// Bytes of all pixels.
    pub fn pixel_bytes(self) -> usize {
        self.count * self.height * self.width
    }
}

/// Images of one size, one byte per pixel, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pixels: &'a [u8],
    height: usize,
    width: usize,
}

impl<'a> Images<'a> {
    /// `pixels` as images of `height` × `width`, row by row.
    ///
    /// # Errors
    /// [`Error::Input`] unless an image has 1 to 2¹⁶ pixels and `pixels` is a whole number of images, below 2³².
    pub fn new(pixels: &'a [u8], height: usize, width: usize) -> Result<Self, Error> {
        let size = height.checked_mul(width).filter(|size| (1..=MAX_SIZE).contains(size));
        match size {
            Some(size) if pixels.len().is_multiple_of(size) && pixels.len() / size <= u32::MAX as usize => {
                Ok(Images { pixels, height, width })
            }
            _ => Err(Error::input("images", "expected a whole number of images of 1 to 65536 pixels")),
        }
    }

    /// Reads the bytes of an IDX image file.
    ///
    /// # Errors
    /// [`Error::Input`] if it is malformed.
    pub fn from_idx(bytes: &'a [u8]) -> Result<Self, Error> {
        let header = Header::parse(bytes, "IDX images")?;
        let pixels = &bytes[HEADER_BYTES..];
        if pixels.len() != header.pixel_bytes() {
            return Err(Error::input("IDX images", "the number of bytes is not what the header says"));
        }
        Images::new(pixels, header.height, header.width)
    }

    /// Number of images.
    pub fn count(self) -> usize {
        self.pixels.len() / self.size()
    }
    /// Pixels per image.
    pub fn size(self) -> usize {
        self.height * self.width
    }
    /// Pixels per column.
    pub fn height(self) -> usize {
        self.height
    }
    /// Pixels per row.
    pub fn width(self) -> usize {
        self.width
    }
    /// The pixels of image `i`.
    pub fn image(self, i: usize) -> &'a [u8] {
        &self.pixels[i * self.size()..(i + 1) * self.size()]
    }
    /// The images from `first` on.
    pub fn skip(self, first: usize) -> Images<'a> {
        Images { pixels: &self.pixels[first.min(self.count()) * self.size()..], ..self }
    }
}
