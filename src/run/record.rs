//! What a step leaves behind: one function, whose results training writes and an audit compares. Uses `plan`, `log`, and
//! [`export`](crate::export).

use super::log::{Entry, Timing};
use super::plan::{Leaves, Plan};
use crate::digest::Digest;
use crate::error::Error;
use crate::export::grid::{Canvas, canvas};
use crate::memory;
use crate::parallel::Team;
use crate::trainer::StepStats;
use crate::{Dataset, Line, Trainer};

/// Samples per row and column of a canvas.
const GRID: usize = 6;

/// A trainer with memory of its own.
pub type Owned<'a> = Trainer<'a, Box<[Line]>>;

/// A trainer at step 0; what is wrong with the data names their file.
///
/// # Errors
/// As [`Trainer::new`].
pub fn new_trainer<'a>(plan: &Plan, data: &'a Dataset) -> Result<Owned<'a>, Error> {
    Trainer::new(plan.config.clone(), data.images()).map_err(|error| match error {
        Error::Input { problem, .. } => Error::input(data.path().display().to_string(), problem),
        other => other,
    })
}

/// What a step leaves behind, but for the checkpoint: that is the trainer's own state.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The entry of the log, without its timing.
    pub entry: Option<Entry>,
    /// The canvas of the seed's first 36 samples: the same z at every step.
    pub canvas: Option<Canvas>,
    /// The digest of the state, where an entry or a checkpoint has it.
    pub digest: Option<Digest>,
}

/// What the step that `trainer` has just taken leaves behind, as far as `leaves` asks for it. `stats` is what it reported; none
/// for the state that a session begins with, which is in the log already.
///
/// # Errors
/// [`Error::Diverged`] after divergence.
pub fn record(
    trainer: &mut Owned<'_>,
    team: &impl Team,
    stats: Option<&StepStats>,
    leaves: Leaves,
) -> Result<Record, Error> {
    let digest = if leaves.digest || leaves.checkpoint { Some(trainer.digest()?) } else { None };
    let entry = match stats {
        Some(stats) if leaves.entry => {
            let (mean_d_real, mean_d_fake) = trainer.mean_probabilities()?;
            Some(Entry {
                step: stats.step,
                g_loss: stats.generator_loss,
                d_loss: stats.discriminator_loss,
                mean_d_real,
                mean_d_fake,
                digest: digest.filter(|_| leaves.digest),
                timing: Timing::default(),
            })
        }
        _ => None,
    };
    let canvas = if leaves.canvas { Some(canvas_of(trainer, team)?) } else { None };
    Ok(Record { entry, canvas, digest })
}

fn canvas_of(trainer: &mut Owned<'_>, team: &impl Team) -> Result<Canvas, Error> {
    let (images, seed) = (trainer.images(), trainer.config().seed);
    let mut bytes = memory::filled(GRID * GRID * images.size(), 0, "canvas")?;
    trainer.sample(team, seed, 0, &mut bytes)?;
    canvas(&bytes, (images.width(), images.height()), (GRID, GRID), true)
}
