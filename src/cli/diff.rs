//! `duel diff`: whether two runs or states are the same, and if not, from which step and tensor on, and how far apart.

use std::path::PathBuf;

use clap::Args;
use duel::run::diff::{Finding, runs, states};
use duel::run::recorded::{Named, Recorded};
use duel::{Error, Rayon};

use super::replay::Replay;
use super::terminal::{Progress, plain, print};

/// The flags of `duel diff`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Diff {
    /// A run's folder, RUN@STEP for its state after any step, or a checkpoint (.safetensors)
    #[arg(value_name = "A")]
    a: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    replay: Replay,
}

impl Diff {
    /// Prints what differs; the exit code: 0 if nothing does, else 1.
    pub fn run(self) -> Result<u8, Error> {
        let progress = Progress::of("steps recomputed");
        let mut tell = |finding: Finding| {
            progress.suspend(|| print(&(plain(&finding.to_string()) + "\n"))).unwrap_or(Ok(()))
        };
        let same = match (Named::parse(&self.a), Named::parse(&self.b)) {
            (Named::Run(a), Named::Run(b)) => {
                let (a, b) = (Recorded::open(&a)?, Recorded::open(&b)?);
                let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
                let data = self.replay.data.as_deref();
                pool.install(|| runs([&a, &b], data, isa, &Rayon, &progress, &mut |finding| tell(finding)))?
            }
            _ => states(&self.replay.state(&self.a)?.1, &self.replay.state(&self.b)?.1, &mut tell)?,
        };
        Ok(if same { 0 } else { 1 })
    }
}
