//! What leaves a run: canvases and states. Uses [`error`](crate::error) and the public face of `trainer`.

pub mod grid;
pub mod png;
pub mod safetensors;

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::error::Error;

/// Writes a whole file or none: to a temporary name in the same folder, then renamed.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&part);
        Error::io(path, error)
    })
}
