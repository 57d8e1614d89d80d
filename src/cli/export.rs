//! `duel export`: the state after any step as a checkpoint file, or its generator as a file of C.

use std::path::PathBuf;

use clap::Args;
use duel::Error;
use duel::export::c;
use duel::files::write_whole;

use super::replay::Replay;
use super::terminal::{grouped, new_file, print};

/// The flags of `duel export`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Export {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    from: PathBuf,
    /// A new file: NAME.safetensors is a checkpoint, NAME.c the generator as C99 that needs nothing else
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What to write, if the name of the file is to say it: that is checked
    #[arg(long, value_name = "FORMAT", value_parser = ["safetensors", "c"])]
    format: Option<String>,
    /// In C: take the parameters themselves where there is an average of them
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    replay: Replay,
}

impl Export {
    /// Writes the file, byte for byte the checkpoint that the run would have written after that step.
    pub fn run(self) -> Result<(), Error> {
        let formats: &[&str] = match &self.format {
            Some(format) => &[format],
            None => &["safetensors", "c"],
        };
        new_file("--out", &self.out, formats)?;
        let (name, checkpoint) = self.replay.state(&self.from)?;
        if self.out.extension().is_some_and(|extension| extension == "c") {
            write_whole(&self.out, |file| c::write(&checkpoint, self.raw, file))?;
        } else {
            let bytes = checkpoint.encode()?;
            write_whole(&self.out, |file| file.write_all(&bytes))?;
        }
        note!("{name}, step {} → {}", grouped(checkpoint.step), self.out.display());
        print(&format!("State digest: {}\n", checkpoint.digests.state))
    }
}
