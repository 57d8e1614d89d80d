//! The folder of a run: chosen before training, written during it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::export::write_whole;

/// The file that says a folder holds a run.
pub const STATE: &str = "state.safetensors";
/// The folder of canvases.
const SAMPLES: &str = "samples";

/// A run's folder.
#[derive(Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Chooses and makes the folder: `out`, or the first free of `runs/seed-<S>`, `runs/seed-<S>-2`, …
    pub fn create(out: Option<PathBuf>, seed: u64) -> Result<RunFolder, Error> {
        let path = match out {
            Some(path) if holds_run(&path) => {
                let problem = format!("{} already holds a run, expected a new folder", path.display());
                return Err(Error::usage("--out", problem));
            }
            Some(path) => path,
            None => (1..)
                .map(|n| match n {
                    1 => PathBuf::from(format!("runs/seed-{seed}")),
                    _ => PathBuf::from(format!("runs/seed-{seed}-{n}")),
                })
                .find(|path| !path.exists())
                .expect("there are more names than folders"),
        };
        let samples = path.join(SAMPLES);
        fs::create_dir_all(&samples).map_err(|error| Error::io(&path, error))?;
        Ok(RunFolder(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes the canvas of `step` and returns its path.
    pub fn write_canvas(&self, step: u64, png: &[u8]) -> Result<PathBuf, Error> {
        let path = self.0.join(SAMPLES).join(format!("step_{step:08}.png"));
        write_whole(&path, |file| file.write_all(png))?;
        Ok(path)
    }

    /// Writes the state.
    pub fn write_state(&self, bytes: &[u8]) -> Result<(), Error> {
        write_whole(&self.0.join(STATE), |file| file.write_all(bytes))
    }
}

fn holds_run(path: &Path) -> bool {
    path.join(STATE).exists() || path.join(SAMPLES).exists()
}
