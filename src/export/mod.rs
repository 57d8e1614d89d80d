//! What leaves a run: canvases, states and sets of images. Uses [`error`](crate::error) and the public face of `trainer`.
//! The files in reading order; each uses only those before it:
//!
//! - [`grid`]: samples side by side
//! - [`png`](mod@png): a canvas as PNG
//! - [`idx`]: images as a data set
//! - [`safetensors`](mod@safetensors): a state as a checkpoint

pub mod grid;
pub mod idx;
pub mod png;
pub mod safetensors;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::Error;

/// What the names of unfinished files end in.
pub const UNFINISHED: &str = "part";

/// Writes a whole file or none: `fill` writes to a temporary name in the same folder, which is then renamed; the bytes
/// and the name are on the disk when this returns.
///
/// # Errors
/// [`Error::Io`] naming `path`; whatever `fill` returns.
pub fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // Two processes that write the same name do not write into each other's file.
    name.push(format!(".{}.{UNFINISHED}", std::process::id()));
    let part = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(fs::File::create(&part)?);
        fill(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&part, path)?;
        sync_folder(parent(path))
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&part);
        Error::io(path, error)
    })
}

/// The folder that `path` is in.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes sure that the names in a folder are on the disk. Only Unix can open a folder for that.
///
/// # Errors
/// The operating system's.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { fs::File::open(path)?.sync_all() } else { Ok(()) }
}
