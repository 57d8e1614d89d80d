//! A set of images read from a folder, a file or memory, and what lies beside them. Uses `idx`, `gzip` and `labels`.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::gzip;
use super::idx::{AsImages, HEADER_BYTES, Header, Images, TELLING_BYTES, no_images};
use super::labels::{Labels, label_files, siblings};
use crate::digest::Digest;
use crate::error::Error;
use crate::{files, memory};

/// The names of MNIST's images, as they are distributed and as archivers unpack them.
const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-images-idx3-ubyte.gz",
    "train-images.idx3-ubyte",
    "train-images.idx3-ubyte.gz",
];

/// Images in memory, one byte per pixel, with or without labels, and the digest of what was read.
#[derive(Debug)]
pub struct Dataset {
    header: Header,
    pixels: Vec<u8>,
    labels: Option<Labels>,
    digest: Digest,
    path: PathBuf,
}

impl Dataset {
    /// Reads the images in `path`: a file of them, plain or gzip, or a folder that has one of the names `train-images-idx3-ubyte`
    /// and `train-images.idx3-ubyte`, with or without `.gz`. What cannot be read does not hide the next name.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file or it cannot be read, [`Error::Input`] if it is malformed,
    /// [`Error::Environment`] if there is no memory for it.
    pub fn open(path: &Path) -> Result<Dataset, Error> {
        if !path.is_dir() {
            return Self::read(path);
        }
        let mut unreadable = String::new();
        for name in NAMES {
            let file = path.join(name);
            // A pipe would be waited for.
            let is_file = files::regular(&file).map_err(|error| Error::io(&file, error));
            match is_file.and_then(|()| Self::read(&file)) {
                Err(Error::Io { path, error })
                    if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {}
                Err(Error::Io { error, .. }) => unreadable += &format!("; {name}: {error}"),
                result => return result,
            }
        }
        let problem =
            format!("no images there, of the names {}{unreadable}{}", NAMES.join(", "), similar(path));
        Err(Error::io(path, std::io::Error::new(ErrorKind::NotFound, problem)))
    }

    /// Reads one file of images, plain or gzip; it may as well be a pipe.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn read(path: &Path) -> Result<Dataset, Error> {
        let failed = |error| Error::io(path, error);
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        let length = about.is_file().then_some(about.len());
        // As many bytes as it says that it has: a file of the system's that says nothing of its length may be waited for.
        let bytes = BufReader::with_capacity(1 << 16, file.take(length.unwrap_or(u64::MAX)));
        let data = Self::from_reader(bytes, length, path)?;
        // Of the folder, because a link to a file may have its labels beside it.
        let folder = files::parent(path).canonicalize().ok();
        let path = folder.and_then(|folder| Some(folder.join(path.file_name()?)));
        Ok(Dataset { path: path.unwrap_or(data.path), ..data })
    }

    /// Reads an image file, plain or gzip, of `length` bytes, if that is known; `name` names it in errors. Takes no more memory
    /// than such a file can hold: gzip shrinks to no less than a 1,032nd.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn from_reader(bytes: impl BufRead, length: Option<u64>, name: &Path) -> Result<Dataset, Error> {
        let source = name.display().to_string();
        // A damaged gzip stream is bad data, not a failing disk.
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                Error::input(source.clone(), format!("damaged or truncated: {error}"))
            }
            _ => Error::io(name, error),
        };
        let bad = |problem: String| Err(Error::input(source.clone(), problem));
        let (mut reader, zipped) = gzip::reader(bytes).map_err(failed)?;
        let ratio = if zipped { gzip::LARGEST_RATIO } else { 1 };
        let most = length.unwrap_or(u64::MAX).saturating_mul(ratio);
        let mut head = Vec::with_capacity(TELLING_BYTES);
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        let header = match Header::parse(&head, source.clone()) {
            Ok(header) => header,
            Err(Error::Input { problem, .. }) => {
                let more = (TELLING_BYTES - HEADER_BYTES) as u64;
                // What can be read of it tells enough.
                let _ = reader.by_ref().take(more).read_to_end(&mut head);
                return Err(Error::input(source, no_images(&head, zipped).unwrap_or(problem)));
            }
            Err(error) => return Err(error),
        };
        let bytes = header.pixel_bytes();
        if bytes as u64 > most {
            let length = length.unwrap_or_default();
            return bad(format!(
                "claims {bytes} bytes of pixels, more than its {length} bytes can hold: cut off?"
            ));
        }
        let mut pixels = memory::room(bytes, &source)?;
        reader.by_ref().take(bytes as u64).read_to_end(&mut pixels).map_err(failed)?;
        if pixels.len() < bytes {
            return bad(format!("ends after {} of {bytes} bytes of pixels", pixels.len()));
        }
        // Reading on to the end also lets gzip compare its checksum.
        if reader.read(&mut [0]).map_err(failed)? > 0 {
            return bad(format!("has more than the {bytes} bytes of pixels of its header"));
        }
        let digest = Digest(Sha256::new().chain_update(&head).chain_update(&pixels).finalize().into());
        Ok(Dataset { header, pixels, labels: None, digest, path: name.to_path_buf() })
    }

    /// Images of `height` × `width` from memory, row by row, and a label for each or none. The digest is that of the IDX files which
    /// would hold them.
    ///
    /// # Errors
    /// As [`Images::new`] and [`Images::labelled`]; [`Error::Input`] if there is no image.
    pub fn from_pixels(
        pixels: Vec<u8>,
        (height, width): (usize, usize),
        labels: Option<Vec<u8>>,
    ) -> Result<Dataset, Error> {
        let count = Images::new(&pixels, height, width)?.count();
        let header = Header { count, height, width };
        if count == 0 {
            return Err(Error::input("images", "there are none"));
        }
        let digest =
            Digest(Sha256::new().chain_update(header.bytes()).chain_update(&pixels).finalize().into());
        let path = PathBuf::from("images");
        let data = Dataset { header, pixels, labels: None, digest, path };
        match labels {
            Some(labels) => Ok(data.with(Labels::from_bytes(labels, count)?)),
            None => Ok(data),
        }
    }

    /// The same images with the labels that lie beside their file, as [`Labels::beside`] finds them; the digest is then that of both
    /// files' digests, the images' and the labels', 32 bytes each.
    ///
    /// # Errors
    /// [`Error::Input`] if there are none; as [`Labels::beside`].
    pub fn labelled(self) -> Result<Dataset, Error> {
        if self.labels.is_some() {
            return Ok(self);
        }
        let labels = Labels::beside(&self.path, self.images().count())?.ok_or_else(|| {
            let names: Vec<String> = label_files(&self.path)
                .iter()
                .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
                .collect();
            let expected = match &names[..] {
                [] => "expected images and labels in files of MNIST's names".to_string(),
                names => format!("expected {} beside it", names.join(" or ")),
            };
            Error::input(self.path.display().to_string(), format!("has no labels: {expected}"))
        })?;
        Ok(self.with(labels))
    }

    /// The same images with these labels, as many as there are images.
    fn with(mut self, labels: Labels) -> Dataset {
        self.digest = Digest::of([self.digest.0, labels.digest().0].as_flattened());
        self.labels = Some(labels);
        self
    }

    /// Reads the images for tests that lie beside these: in the file of the same name but `t10k` or `test` for `train`, with or
    /// without `.gz`. None if there is no such file.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn test_images(&self) -> Result<Option<Dataset>, Error> {
        let names = ["t10k", "test"].iter().flat_map(|test| siblings(self.path(), &[("train", test)]));
        names.into_iter().find(|path| path.is_file()).map(|path| Dataset::read(&path)).transpose()
    }

    /// All images, with their labels if those were read.
    pub fn images(&self) -> Images<'_> {
        let images = Images::new(&self.pixels, self.header.height, self.header.width);
        let images = images.expect("who made it checked the sizes");
        let classes = self.labels.as_ref().map_or(0, Labels::classes);
        images.of_classes(self.labels.as_ref().map(Labels::all), classes)
    }

    /// The digest of the decompressed IDX file; of labelled images see [`Dataset::labelled`].
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The file, by an absolute path; what was read from elsewhere has the name that it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsImages for Dataset {
    fn as_images(&self) -> Images<'_> {
        self.images()
    }
}

/// Words about files in `folder` that may be the ones that are meant.
fn similar(folder: &Path) -> String {
    let paths = files::list(folder).unwrap_or_default();
    let names = paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let mut names: Vec<String> = names
        .filter(|name| !NAMES.contains(&&name[..]) && name.contains("images") && name.contains("ubyte"))
        // What macOS keeps beside a file is none.
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    names.truncate(3);
    if names.is_empty() {
        return String::new();
    }
    format!("; there is {}: name the file itself to take it", names.join(", "))
}
