//! Labels in the format of MNIST, a byte per image. Uses `idx`, `gzip` and `dataset`.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::Dataset;
use super::gzip;
use super::idx::{TELLING_BYTES, no_labels};
use crate::error::Error;
use crate::memory;

/// Magic number of a file of labels: unsigned bytes (0x08) in one dimension.
const MAGIC: [u8; 4] = [0, 0, 8, 1];

/// The labels of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<u8>);

impl Labels {
    /// Reads the labels that lie beside the images of `data`: in the file of the same name but `labels` for `images` and `idx1`
    /// for `idx3`, with or without `.gz`. None if there is no such file.
    ///
    /// # Errors
    /// [`Error::Input`] if it is malformed, or has another number of labels than there are images; [`Error::Io`].
    pub fn beside(data: &Dataset) -> Result<Option<Labels>, Error> {
        let path = data.path();
        match siblings(path, &[("images", "labels"), ("idx3", "idx1")])
            .into_iter()
            .find(|path| path.is_file())
        {
            Some(path) => Labels::read(&path, data.images().count()).map(Some),
            None => Ok(None),
        }
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
        let mut reader = gzip::reader(BufReader::new(file)).map_err(failed)?;
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
        Ok(Labels(bytes))
    }

    /// The label of each image.
    pub fn all(&self) -> &[u8] {
        &self.0
    }
    /// The number of classes: 1 more than the largest label.
    pub fn classes(&self) -> usize {
        self.0.iter().max().map_or(0, |&label| label as usize + 1)
    }
}

impl Dataset {
    /// Reads the images for tests that lie beside these: in the file of the same name but `t10k` or `test` for `train`, with or
    /// without `.gz`. None if there is no such file.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn test_images(&self) -> Result<Option<Dataset>, Error> {
        let names = ["t10k", "test"].iter().flat_map(|test| siblings(self.path(), &[("train", test)]));
        names.into_iter().find(|path| path.is_file()).map(|path| Dataset::read(&path)).transpose()
    }
}

/// The names beside `path` in which each of some words stands for another, with and without `.gz`; none if a word is not there.
fn siblings(path: &Path, words: &[(&str, &str)]) -> Vec<PathBuf> {
    let Some(mut name) = path.file_name().and_then(|name| name.to_str()).map(str::to_string) else {
        return Vec::new();
    };
    for (word, other) in words {
        if !name.contains(word) {
            return Vec::new();
        }
        name = name.replacen(word, other, 1);
    }
    let plain = name.strip_suffix(".gz").unwrap_or(&name).to_string();
    vec![path.with_file_name(&plain), path.with_file_name(plain + ".gz")]
}
