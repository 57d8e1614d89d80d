//! A set of images read from a folder, a file or memory. Uses `idx` and `gzip`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::gzip;
use super::idx::{HEADER_BYTES, Header, Images};
use crate::digest::Digest;
use crate::error::Error;

/// Images in memory, one byte per pixel, and the digest of their file.
#[derive(Debug)]
pub struct Dataset {
    header: Header,
    pixels: Vec<u8>,
    digest: Digest,
}

impl Dataset {
    /// Reads `train-images-idx3-ubyte` of folder `dir`, or the same with `.gz`; the plain file first.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file or it cannot be read, [`Error::Input`] if it is malformed.
    pub fn open(dir: &Path) -> Result<Dataset, Error> {
        let plain = dir.join("train-images-idx3-ubyte");
        let zipped = dir.join("train-images-idx3-ubyte.gz");
        Self::read(if plain.exists() || !zipped.exists() { plain } else { zipped })
    }

    /// Reads one file of images, plain or gzip.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn read(path: PathBuf) -> Result<Dataset, Error> {
        let file = File::open(&path).map_err(|error| Error::io(&path, error))?;
        let length = file.metadata().map_err(|error| Error::io(&path, error))?.len();
        Self::from_reader(BufReader::with_capacity(1 << 16, file), length, &path)
    }

    /// Reads the `length` bytes of an image file, plain or gzip; `name` names them in errors. Takes no more memory than
    /// such a file can hold: gzip shrinks to no less than a 1,032nd.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn from_reader(mut bytes: impl BufRead, length: u64, name: &Path) -> Result<Dataset, Error> {
        let source = name.display().to_string();
        // A damaged gzip stream is bad data, not a failing disk.
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidInput
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::UnexpectedEof => {
                Error::input(source.clone(), format!("damaged or truncated: {error}"))
            }
            _ => Error::io(name, error),
        };
        let bad = |problem: String| Err(Error::input(source.clone(), problem));
        let start = bytes.fill_buf().map_err(failed)?;
        let most =
            if start.starts_with(&gzip::MAGIC) { length.saturating_mul(gzip::LARGEST_RATIO) } else { length };
        let mut reader = gzip::reader(bytes).map_err(failed)?;
        let mut head = Vec::with_capacity(HEADER_BYTES);
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        let header = Header::parse(&head, source.clone())?;
        let bytes = header.pixel_bytes();
        if bytes as u64 > most {
            return bad(format!("claims {bytes} bytes of pixels, more than its {length} bytes can hold"));
        }
        let mut pixels = Vec::new();
        if pixels.try_reserve_exact(bytes).is_err() {
            return bad(format!("claims {bytes} bytes of pixels: no memory"));
        }
        reader.by_ref().take(bytes as u64).read_to_end(&mut pixels).map_err(failed)?;
        if pixels.len() < bytes {
            return bad(format!("ends after {} of {bytes} bytes of pixels", pixels.len()));
        }
        // Reading on to the end also lets gzip compare its checksum.
        if reader.read(&mut [0]).map_err(failed)? > 0 {
            return bad(format!("has more than the {bytes} bytes of pixels of its header"));
        }
        let digest = Digest(Sha256::new().chain_update(&head).chain_update(&pixels).finalize().into());
        Ok(Dataset { header, pixels, digest })
    }

    /// All images.
    pub fn images(&self) -> Images<'_> {
        Images::new(&self.pixels, self.header.height, self.header.width).expect("read checked the sizes")
    }

    /// The digest of the decompressed IDX file.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
