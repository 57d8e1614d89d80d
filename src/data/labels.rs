//! Labels in the format of MNIST, a byte per image. Uses `idx` and `gzip`.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::gzip;
use super::idx::{TELLING_BYTES, no_labels};
use crate::digest::Digest;
use crate::error::Error;
use crate::memory;

/// Magic number of a file of labels: unsigned bytes (0x08) in one dimension.
const MAGIC: [u8; 4] = [0, 0, 8, 1];

/// The labels of a data set, and the digest of their file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    bytes: Vec<u8>,
    classes: usize,
    digest: Digest,
}

impl Labels {
    /// Reads the labels that lie beside the file `images` of `count` images, under one of the names of [`label_files`]. None if there
    /// is no such file.
    ///
    /// # Errors
    /// [`Error::Input`] if it is malformed, or has another number of labels than there are images; [`Error::Io`];
    /// [`Error::Environment`] if there is no memory for it.
    pub fn beside(images: &Path, count: usize) -> Result<Option<Labels>, Error> {
        let file = label_files(images).into_iter().find(|path| path.is_file());
        file.map(|path| Labels::read(&path, count)).transpose()
    }

    /// Reads a file of `count` labels, plain or gzip.
    ///
    /// # Errors
    /// As [`Labels::beside`].
    pub fn read(path: &Path, count: usize) -> Result<Labels, Error> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                Error::input(path.display().to_string(), format!("damaged or truncated: {error}"))
            }
            _ => Error::io(path, error),
        };
        let bad = |problem: String| Err(Error::input(path.display().to_string(), problem));
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let length = if about.is_file() { about.len() } else { u64::MAX };
        let (mut reader, _) = gzip::reader(BufReader::new(file.take(length))).map_err(failed)?;
        let mut head = Vec::with_capacity(TELLING_BYTES);
        reader.by_ref().take(8).read_to_end(&mut head).map_err(failed)?;
        let Some(labels) = head.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk()) else {
            let _ = reader.take((TELLING_BYTES - 8) as u64).read_to_end(&mut head);
            return bad(no_labels(&head));
        };
        let labels = u32::from_be_bytes(*labels);
        if labels as usize != count {
            return bad(format!("has {labels} labels, expected one for each of the {count} images"));
        }
        let mut bytes = memory::room(count, "labels")?;
        reader.by_ref().take(count as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() != count {
            return bad(format!("has not as many labels as its header says, {count}"));
        }
        Labels::from_bytes(bytes, count)
    }

    /// `bytes` as the labels of `count` images, below 2³². The digest is that of the IDX file which would hold them.
    ///
    /// # Errors
    /// [`Error::Input`] unless there is one for each image.
    pub fn from_bytes(bytes: Vec<u8>, count: usize) -> Result<Labels, Error> {
        if bytes.len() != count {
            return Err(Error::input(
                "labels",
                format!("{}, expected one for each of the {count} images", bytes.len()),
            ));
        }
        let head = [MAGIC, (count as u32).to_be_bytes()];
        let digest = Sha256::new().chain_update(head.as_flattened()).chain_update(&bytes).finalize();
        let classes = bytes.iter().max().map_or(0, |&label| label as usize + 1);
        Ok(Labels { bytes, classes, digest: Digest(digest.into()) })
    }

    /// One more than the largest label.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The label of each image.
    pub fn all(&self) -> &[u8] {
        &self.bytes
    }
    /// The digest of the decompressed IDX file.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The names that the labels of the file `images` may have, the likeliest first: `labels` for `images` and `idx1` for `idx3`, or, where
/// there is no such word, `-labels-ubyte` for `-ubyte`.
pub fn label_files(images: &Path) -> Vec<PathBuf> {
    let named = siblings(images, &[("images", "labels"), ("idx3", "idx1")]);
    if named.is_empty() { siblings(images, &[("-ubyte", "-labels-ubyte")]) } else { named }
}

/// The names beside `path` in which the first of some words stands for another, and so do the others where they are there, with and
/// without `.gz`, as `path` is first; none if the first word is not there.
pub(super) fn siblings(path: &Path, words: &[(&str, &str)]) -> Vec<PathBuf> {
    let Some(mut name) = path.file_name().and_then(|name| name.to_str()).map(str::to_string) else {
        return Vec::new();
    };
    if !words.first().is_some_and(|(word, _)| name.contains(word)) {
        return Vec::new();
    }
    for (word, other) in words {
        name = name.replacen(word, other, 1);
    }
    let other = match name.strip_suffix(".gz") {
        Some(plain) => plain.to_string(),
        None => name.clone() + ".gz",
    };
    [name, other].map(|name| path.with_file_name(name)).into()
}
