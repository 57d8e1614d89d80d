//! The IDX format of MNIST: a big-endian magic number, the dimensions, then one byte per pixel. Uses
//! [`error`](crate::error).

use crate::config::MAX_SIZE;
use crate::error::{Error, Text};

/// Magic number of a file of images: unsigned bytes (0x08) in three dimensions.
#[cfg(feature = "std")]
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Bytes before the first pixel.
pub const HEADER_BYTES: usize = 16;
/// As many bytes as it takes to tell what a file is that is none of images.
pub const TELLING_BYTES: usize = 512;

/// How files begin that people take for files of images, and what they are.
const OTHERS: &[(&[u8], &str)] = &[
    (b"\x1F\x8B", "gzip within gzip, or handed over compressed: decompress it once with gzip -d"),
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1F\x9D", "compress (.Z): decompress it with gzip -d"),
    (b"BZh", "bzip2: decompress it with bzip2 -d"),
    (b"\xFD7zXZ\0", "xz: decompress it with xz -d"),
    (b"\x28\xB5\x2F\xFD", "Zstandard: decompress it with zstd -d"),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xFF\xD8\xFF", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x93NUMPY", "a NumPy array: write its uint8 values after an IDX header"),
    (b"PAR1", "a Parquet table"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF document"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x7FELF", "a program"),
    (b"version https://git-lfs", "a pointer of Git LFS: fetch the file itself with git lfs pull"),
    (b"\xFF\xFE", "UTF-16 text"),
    (b"\xFE\xFF", "UTF-16 text"),
    (b"\xEF\xBB\xBF\0\0", "IDX after a byte order mark of UTF-8, which some program has put there"),
    (b"BM", "a BMP picture"),
];

/// What the first bytes of a file look like, if it is none of images.
fn looks(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    if let Some((_, what)) = OTHERS.iter().find(|(begin, _)| bytes.starts_with(begin)) {
        return Some(what);
    }
    Some(match bytes {
        [0, 0, 8, 3, ..] if bytes.len() >= HEADER_BYTES => return None,
        [] => "empty",
        [0, 0, 8, 1, ..] => "IDX labels: the images are in another file",
        [0, 0, 8, 2, ..] => "IDX bytes in 2 dimensions: the header must give images, rows and columns",
        [0, 0, 8, 3, ..] => "IDX images, cut off within the 16 bytes of their header",
        [0, 0, 8, _, ..] => "IDX bytes in another number of dimensions than 3 (images, rows, columns)",
        [0, 0, 9, ..] => "IDX of signed bytes",
        [0, 0, 0xB, ..] => "IDX of 16-bit integers",
        [0, 0, 0xC, ..] => "IDX of 32-bit integers",
        [0, 0, 0xD, ..] => "IDX of 32-bit floats",
        [0, 0, 0xE, ..] => "IDX of 64-bit floats",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive: unpack it",
        _ if text.starts_with(b"<") => "HTML or XML, such as the error page of a server: download it again",
        _ if bytes.iter().take(64).all(printable) => "text",
        _ if bytes.iter().all(|&byte| byte == 0) => match bytes.len() {
            TELLING_BYTES.. => "nothing but zeros in its first 512 bytes",
            _ => "nothing but zeros",
        },
        [1..=4, 8 | 9 | 0xB..=0xE, 0, 0, ..] => "IDX with a little-endian header: IDX is big-endian",
        _ => "something unknown",
    })
}

/// What is wrong with data that begin like this, and were `zipped`, if they are none of images.
#[cfg(feature = "std")]
pub(super) fn no_images(bytes: &[u8], zipped: bool) -> Option<Text> {
    let looks = looks(bytes)?;
    let not = match (zipped, looks.starts_with("IDX")) {
        (true, _) => "gzip, but not of images: within it is",
        (false, true) => "not images, but",
        (false, false) => "neither gzip nor IDX, but",
    };
    let text = match bytes.first_chunk() {
        None if bytes.is_empty() && !zipped => "empty, expected IDX images".to_string(),
        None if bytes.is_empty() => format!("{not} nothing"),
        _ if bytes.starts_with(b"\x1F\x8B") || bytes.starts_with(&[0, 0, 8, 3]) => looks.to_string(),
        Some(magic) if looks.starts_with("IDX") || bytes.starts_with(&[0; 2]) => {
            let magic = u32::from_be_bytes(*magic);
            format!("{not} {looks} (magic 0x{magic:08X}, expected 0x{IMAGES_MAGIC:08X})")
        }
        _ => {
            let begin = bytes[..bytes.len().min(24)].escape_ascii();
            format!("{not} {looks} (it begins with \"{begin}\")")
        }
    };
    Some(text.into())
}
#[cfg(not(feature = "std"))]
fn no_images(bytes: &[u8], _: bool) -> Option<Text> {
    looks(bytes)
}

/// What is wrong with a file that begins like this, which is none of labels.
#[cfg(feature = "std")]
pub(super) fn no_labels(bytes: &[u8]) -> String {
    let looks = match bytes {
        [] => return "empty, expected IDX labels".to_string(),
        [0, 0, 8, 1, ..] => return "IDX labels, cut off within the 8 bytes of their header".to_string(),
        _ => looks(bytes).unwrap_or("IDX images: the labels are in another file"),
    };
    let begin = bytes[..bytes.len().min(24)].escape_ascii();
    format!("not IDX labels (magic 0x00000801), but {looks} (it begins with \"{begin}\")")
}

/// What is wrong with the sizes of these images.
#[cfg(feature = "std")]
fn bad_sizes([count, height, width]: [u32; 3]) -> Text {
    let swapped = height.swap_bytes() as u64 * width.swap_bytes() as u64;
    let little = (1..=MAX_SIZE as u64).contains(&swapped);
    let images = if count == 1 { "image" } else { "images" };
    let hint = if little { "; are its sizes little-endian? IDX is big-endian" } else { "" };
    format!(
        "its header says {count} {images} of {height} × {width}: expected images of 1 to 65536 pixels{hint}"
    )
    .into()
}
#[cfg(not(feature = "std"))]
fn bad_sizes(_: [u32; 3]) -> Text {
    "its header says images that are not of 1 to 65536 pixels"
}

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
    /// [`Error::Input`] if it is not that of an image file, or the sizes are beyond the limits; what it looks like is said, from
    /// up to [`TELLING_BYTES`] of the file. [`Error::Environment`] if this machine cannot address so many images.
    pub fn parse(bytes: &[u8], source: impl Into<Text>) -> Result<Header, Error> {
        let header = bytes.first_chunk::<HEADER_BYTES>().map(|bytes| bytes.as_chunks::<4>().0);
        let Some(&[_, count, height, width]) = header.filter(|_| looks(bytes).is_none()) else {
            return Err(Error::input(source, no_images(bytes, false).unwrap_or_default()));
        };
        let [count, height, width] = [count, height, width].map(u32::from_be_bytes);
        let header = Header { count: count as usize, height: height as usize, width: width as usize };
        let size = header.height.checked_mul(header.width).filter(|size| (1..=MAX_SIZE).contains(size));
        let Some(size) = size else {
            return Err(Error::input(source, bad_sizes([count, height, width])));
        };
        if header.count == 0 {
            return Err(Error::input(source, "its header says that it has no images"));
        }
        if header.count.checked_mul(size).is_none() {
            return Err(Error::environment("the images are beyond this machine's address space"));
        }
        Ok(header)
    }

    /// The header of a file of such images, as [`Header::parse`] reads it.
    #[cfg(feature = "std")]
    pub(super) fn bytes(self) -> [u8; HEADER_BYTES] {
        let sizes = [self.count, self.height, self.width].map(|size| (size as u32).to_be_bytes());
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&IMAGES_MAGIC.to_be_bytes());
        bytes[4..].copy_from_slice(sizes.as_flattened());
        bytes
    }

    /// Bytes of all pixels.
    pub fn pixel_bytes(self) -> usize {
        self.count * self.height * self.width
    }
}

/// Images of one size, one byte per pixel, borrowed; with a label each, or without.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pixels: &'a [u8],
    height: usize,
    width: usize,
    labels: Option<&'a [u8]>,
    classes: usize,
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
                Ok(Images { pixels, height, width, labels: None, classes: 0 })
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
            return Err(Error::input("IDX images", "another number of bytes of pixels than the header says"));
        }
        Images::new(pixels, header.height, header.width)
    }

    /// The same images with the class of each, counted from 0; there are one more classes than the largest label.
    ///
    /// # Errors
    /// [`Error::Input`] unless there is one label per image.
    pub fn labelled(self, labels: &'a [u8]) -> Result<Self, Error> {
        if labels.len() != self.count() {
            return Err(Error::input("labels", "expected one for each image"));
        }
        let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Ok(Images { labels: Some(labels), classes, ..self })
    }

    /// The same images with labels of so many classes, which were counted before.
    #[cfg(feature = "std")]
    pub(super) fn of_classes(self, labels: Option<&'a [u8]>, classes: usize) -> Images<'a> {
        Images { labels, classes, ..self }
    }

    /// Number of images.
    pub fn count(self) -> usize {
        self.pixels.len() / self.size()
    }
    /// The class of each image, if they are labelled.
    pub fn labels(self) -> Option<&'a [u8]> {
        self.labels
    }
    /// Number of classes of the set that these images are from, 1 to 256; 0 without labels.
    pub fn classes(self) -> usize {
        self.classes
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
    /// The first `count` images, or all.
    pub fn take(self, count: usize) -> Images<'a> {
        let count = count.min(self.count());
        let labels = self.labels.map(|labels| &labels[..count]);
        Images { pixels: &self.pixels[..count * self.size()], labels, ..self }
    }
    /// The images from `first` on.
    pub fn skip(self, first: usize) -> Images<'a> {
        let first = first.min(self.count());
        let labels = self.labels.map(|labels| &labels[first..]);
        Images { pixels: &self.pixels[first * self.size()..], labels, ..self }
    }
}

/// What has images: [`Images`] themselves, which are borrowed, or what owns them, such as a
/// [`Dataset`](crate::Dataset) or an `Arc` of one. They stay the same as long as it lives.
pub trait AsImages {
    /// The images; it takes no time.
    fn as_images(&self) -> Images<'_>;
}

impl AsImages for Images<'_> {
    fn as_images(&self) -> Images<'_> {
        *self
    }
}

impl<T: AsImages + ?Sized> AsImages for &T {
    fn as_images(&self) -> Images<'_> {
        (**self).as_images()
    }
}

#[cfg(feature = "std")]
impl<T: AsImages + ?Sized> AsImages for std::sync::Arc<T> {
    fn as_images(&self) -> Images<'_> {
        (**self).as_images()
    }
}

#[cfg(feature = "std")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn idx(words: [u32; 4]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// Asserts that it is refused as bad input, for that reason.
    fn refused(got: Result<impl core::fmt::Debug, Error>, reason: &str) {
        let error = got.unwrap_err();
        assert!(error.exit_code() == 3 && error.to_string().contains(reason), "{error}");
    }

    #[test]
    fn a_file_is_what_it_begins_with() {
        assert_eq!(looks(&idx([IMAGES_MAGIC, 1, 2, 3])), None);
        let mut tar = vec![b'a'; 262];
        assert_eq!(looks(&tar), Some("text"));
        tar[257..].copy_from_slice(b"ustar");
        let late = [&[b' '; 64][..], b"\x01"].concat();
        let early = [&[b' '; 63][..], b"\x01"].concat();
        for (bytes, what) in [
            (&b""[..], "empty"),
            (&idx([IMAGES_MAGIC, 1, 2, 3])[..15], "IDX images, cut off"),
            (&[0, 0, 8, 1], "IDX labels"),
            (&[0, 0, 8, 2], "IDX bytes in 2 dimensions"),
            (&[0, 0, 8, 4], "IDX bytes in another number"),
            (&[0, 0, 9, 3], "IDX of signed bytes"),
            (&[0, 0, 0xB, 3], "IDX of 16-bit integers"),
            (&[0, 0, 0xC, 3], "IDX of 32-bit integers"),
            (&[0, 0, 0xD, 3], "IDX of 32-bit floats"),
            (&[0, 0, 0xE, 3], "IDX of 64-bit floats"),
            (&[3, 8, 0, 0], "IDX with a little-endian header"),
            (&tar, "a tar archive"),
            (b"\xEF\xBB\xBF\n <html>", "HTML or XML"),
            (&late, "text"),
            (&early, "something unknown"),
            (&[0; 20], "nothing but zeros"),
            (&[0, 0, 1], "something unknown"),
            (b"PK\x03\x04", "a ZIP archive"),
        ] {
            assert!(looks(bytes).unwrap().starts_with(what), "{what}: {:?}", looks(bytes));
        }
    }

    #[test]
    fn what_holds_no_images_is_named() {
        let said = |bytes: &[u8], zipped| no_images(bytes, zipped).map(|text| text.to_string());
        assert_eq!(said(&idx([IMAGES_MAGIC, 1, 2, 3]), false), None);
        for (bytes, zipped, text) in [
            (&b""[..], false, "empty, expected IDX images"),
            (b"", true, "gzip, but not of images: within it is nothing"),
            (
                b"<html>",
                false,
                "neither gzip nor IDX, but HTML or XML, such as the error page of a server: download it again (it begins with \"<html>\")",
            ),
            (b"ab", true, "gzip, but not of images: within it is text (it begins with \"ab\")"),
            (
                b"\x1F\x8B\x08",
                true,
                "gzip within gzip, or handed over compressed: decompress it once with gzip -d",
            ),
            (&[0, 0, 8, 3], false, "IDX images, cut off within the 16 bytes of their header"),
            (
                &[0, 0, 0xD, 3],
                false,
                "not images, but IDX of 32-bit floats (magic 0x00000D03, expected 0x00000803)",
            ),
            (
                &[3, 8, 0, 0],
                true,
                "gzip, but not of images: within it is IDX with a little-endian header: IDX is big-endian (magic 0x03080000, expected 0x00000803)",
            ),
            (
                &[0; 4],
                false,
                "neither gzip nor IDX, but nothing but zeros (magic 0x00000000, expected 0x00000803)",
            ),
            (
                &[0, 1, 1, 1],
                false,
                "neither gzip nor IDX, but something unknown (it begins with \"\\x00\\x01\\x01\\x01\")",
            ),
        ] {
            assert_eq!(said(bytes, zipped).unwrap(), text);
        }
        assert!(
            said(&[0; TELLING_BYTES], false).unwrap().contains("nothing but zeros in its first 512 bytes")
        );
        assert_eq!(no_labels(&[]), "empty, expected IDX labels");
        assert_eq!(no_labels(&[0, 0, 8, 1, 0]), "IDX labels, cut off within the 8 bytes of their header");
        assert_eq!(
            no_labels(&idx([IMAGES_MAGIC, 1, 2, 3])[..16]),
            "not IDX labels (magic 0x00000801), but IDX images: the labels are in another file (it begins with \
             \"\\x00\\x00\\x08\\x03\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x03\")"
        );
    }

    #[test]
    fn a_header_is_read_as_it_is_written_within_its_limits() {
        let parse =
            |sizes: [u32; 3]| Header::parse(&idx([IMAGES_MAGIC, sizes[0], sizes[1], sizes[2]]), "images");
        let header = Header { count: 5, height: 256, width: 256 };
        assert_eq!(parse([5, 256, 256]).unwrap(), header);
        assert_eq!(header.bytes()[..], idx([IMAGES_MAGIC, 5, 256, 256]));
        assert_eq!(header.pixel_bytes(), 5 * 65_536);
        refused(parse([0, 2, 3]), "has no images");
        refused(parse([1, 65_537, 1]), "1 image of 65537 × 1: expected images of 1 to 65536 pixels");
        refused(parse([2, 0, 3]), "2 images of 0 × 3: expected images of 1 to 65536 pixels");
        let little = |height: u32, width: u32| {
            parse([1, height.swap_bytes(), width.swap_bytes()]).unwrap_err().to_string()
        };
        assert!(little(28, 28).ends_with("; are its sizes little-endian? IDX is big-endian"));
        assert!(little(300, 300).ends_with("pixels"));
        refused(Header::parse(b"", "images"), "empty");
    }

    #[test]
    fn images_have_their_pixels_and_labels() {
        let bytes =
            [&idx([IMAGES_MAGIC, 3, 2, 4])[..], &std::array::from_fn::<u8, 24, _>(|i| i as u8)].concat();
        let images = Images::from_idx(&bytes).unwrap();
        assert_eq!((images.count(), images.height(), images.width(), images.size()), (3, 2, 4, 8));
        assert_eq!((images.labels(), images.classes()), (None, 0));
        let begins = |images: Images<'_>, i: usize| (images.image(i)[0], images.image(i).len());
        assert_eq!([0, 1, 2].map(|i| begins(images, i)), [(0, 8), (8, 8), (16, 8)]);
        refused(Images::from_idx(&bytes[..39]), "another number of bytes");
        refused(Images::new(&bytes, 2, 7), "a whole number of images");
        refused(images.labelled(&[0; 2]), "one for each image");
        let images = images.labelled(&[4, 0, 1]).unwrap();
        assert_eq!((images.labels(), images.classes()), (Some(&[4, 0, 1][..]), 5));
        let counted = images.of_classes(Some(&[2, 2, 2]), 9);
        assert_eq!((counted.labels(), counted.classes(), counted.count()), (Some(&[2, 2, 2][..]), 9, 3));
        let (taken, left) = (images.take(1), images.skip(1));
        assert_eq!((taken.count(), begins(taken, 0), taken.labels()), (1, (0, 8), Some(&[4][..])));
        assert_eq!((left.count(), begins(left, 1), left.labels()), (2, (16, 8), Some(&[0, 1][..])));
        assert_eq!((images.take(7).count(), images.skip(7).count()), (3, 0));
        let has_the_same = |images: &dyn AsImages| {
            let images = images.as_images();
            assert_eq!((begins(images, 0), images.labels()), ((8, 8), Some(&[0, 1][..])));
        };
        has_the_same(&left);
        has_the_same(&&left);
        has_the_same(&Arc::new(left));
    }
}
