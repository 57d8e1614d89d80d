//! A set of images read from a folder. Uses `idx` and `gzip`.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::idx::{HEADER_BYTES, Header, Images};
use crate::error::Error;

/// Images in memory, one byte per pixel.
#[derive(Debug)]
pub struct Dataset {
    header: Header,
    header_bytes: [u8; HEADER_BYTES],
    pixels: Vec<u8>,
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
        let name = path.display().to_string();
        let mut reader = super::gzip::open(&path)?;
        // A damaged gzip stream is bad data, not a failing disk.
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidInput
            | std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::UnexpectedEof => {
                Error::input(name.clone(), format!("damaged or truncated: {error}"))
            }
            _ => Error::io(&path, error),
        };
        let mut head = Vec::with_capacity(HEADER_BYTES);
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        let header = Header::parse(&head, name.clone())?;
        let bytes = header.pixel_bytes();
        let mut pixels = Vec::new();
        pixels
            .try_reserve_exact(bytes)
            .map_err(|_| Error::input(name.clone(), format!("claims {bytes} bytes of pixels: no memory")))?;
        reader.by_ref().take(bytes as u64).read_to_end(&mut pixels).map_err(failed)?;
        if pixels.len() < bytes {
            let problem = format!("ends after {} of {bytes} bytes of pixels", pixels.len());
            return Err(Error::input(name, problem));
        }
        // Reading on to the end also lets gzip compare its checksum.
        if reader.read(&mut [0]).map_err(failed)? > 0 {
            return Err(Error::input(
                name,
                format!("has more than the {bytes} bytes of pixels of its header"),
            ));
        }
        let mut header_bytes = [0; HEADER_BYTES];
        header_bytes.copy_from_slice(&head);
        Ok(Dataset { header, header_bytes, pixels })
    }

    /// All images.
    pub fn images(&self) -> Images<'_> {
        Images::new(&self.pixels, self.header.height, self.header.width).expect("read checked the sizes")
    }

    /// SHA-256 of the decompressed IDX file.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new().chain_update(self.header_bytes).chain_update(&self.pixels).finalize().into()
    }
}
