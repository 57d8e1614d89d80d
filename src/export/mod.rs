//! What leaves a run: canvases, states and sets of images. Uses [`error`](crate::error) and the public face of `trainer`.

pub mod grid;
pub mod idx;
pub mod png;
pub mod safetensors;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::Error;

/// What the names of unfinished files end in.
pub const PART: &str = "part";

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
    name.push(".");
    name.push(PART);
    let part = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(fs::File::create(&part)?);
        fill(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&part, path)?;
        // The folder's entry, too. Only Unix can open a folder for that.
        #[cfg(unix)]
        fs::File::open(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            .sync_all()?;
        Ok(())
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&part);
        Error::io(path, error)
    })
}
