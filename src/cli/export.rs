//! `duel export`: the state after any step as a checkpoint file.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use duel::Error;
use duel::files::{parent, write_whole};

use super::replay::Replay;
use super::terminal::{grouped, print};

/// The flags of `duel export`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Export {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    from: PathBuf,
    /// A new file, NAME.safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    replay: Replay,
}

impl Export {
    /// Writes the file, byte for byte the checkpoint that the run would have written after that step.
    pub fn run(self) -> Result<(), Error> {
        if self.out.extension().is_none_or(|extension| extension != "safetensors") {
            return Err(Error::usage("--out", "expected NAME.safetensors"));
        }
        if self.out.exists() {
            return Err(Error::usage("--out", format!("{} exists, expected a new file", self.out.display())));
        }
        let folder = parent(&self.out);
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let (name, checkpoint) = self.replay.state(&self.from)?;
        let bytes = checkpoint.encode()?;
        write_whole(&self.out, |file| file.write_all(&bytes))?;
        note!("{name}, step {} → {}", grouped(checkpoint.step), self.out.display());
        print(&format!("State digest: {}\n", checkpoint.digests.state))
    }
}
