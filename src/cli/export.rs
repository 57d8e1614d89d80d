//! `duel export`: the state after any step as a checkpoint file, or its networks as a file of C or ONNX.

use std::path::PathBuf;

use clap::Args;
use duel::Error;
use duel::export::c;
use duel::export::onnx::{self, Network};

use super::replay::Replay;
use super::terminal::{grouped, new_file, print, write_new};

/// The flags of `duel export`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Export {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    from: PathBuf,
    /// A new file: NAME.safetensors is a checkpoint, NAME.c the generator as C99 that needs nothing else, NAME.onnx the generator for other programs
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What to write, if the name of the file is to say it: that is checked
    #[arg(long, value_name = "FORMAT", value_parser = ["safetensors", "c", "onnx"])]
    format: Option<String>,
    /// As ONNX: the discriminator instead
    #[arg(long, conflicts_with = "raw")]
    discriminator: bool,
    /// In C, and as ONNX: take the parameters themselves where there is an average of them
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
            None => &["safetensors", "c", "onnx"],
        };
        new_file("--out", &self.out, formats)?;
        let (name, checkpoint) = self.replay.state(&self.from)?;
        let is = |format: &str| self.out.extension().is_some_and(|extension| extension == format);
        if self.discriminator && !is("onnx") {
            return Err(Error::usage("--discriminator", "expected --out NAME.onnx beside it"));
        }
        if is("c") {
            write_new(&self.out, |file| c::write(&checkpoint, self.raw, file))?;
        } else if is("onnx") {
            let network = match self.discriminator {
                true => Network::Discriminator,
                false => Network::Generator { raw: self.raw },
            };
            write_new(&self.out, |file| onnx::write(&checkpoint, network, file))?;
        } else {
            let bytes = checkpoint.encode()?;
            write_new(&self.out, |file| file.write_all(&bytes))?;
        }
        note!("{name}, step {} → {}", grouped(checkpoint.step), self.out.display());
        print(&format!("State digest: {}\n", checkpoint.digests.state))
    }
}
