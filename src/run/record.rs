//! What a step leaves behind: one function, whose results training writes and an audit compares. Uses `plan`, `log`, and
//! [`export`](crate::export).

use std::path::Path;

use super::log::{Entry, Timing};
use super::plan::{Leaves, Plan};
use crate::config::Config;
use crate::digest::Digests;
use crate::error::Error;
use crate::export::grid::{Canvas, canvas};
use crate::memory;
use crate::parallel::Team;
use crate::trainer::StepStats;
use crate::{Dataset, Line, Trainer, files};

/// Samples per row and column of a canvas.
const GRID: usize = 6;

/// Columns and rows of a canvas: a conditional generator has a column for each class.
pub fn grid(classes: usize) -> (usize, usize) {
    (if classes > 0 { classes } else { GRID }, GRID)
}

/// The data set in `path`, with the labels that are there if the settings want them.
///
/// # Errors
/// As [`Dataset::open`] and [`Dataset::labelled`].
pub fn open_data(path: &Path, config: &Config) -> Result<Dataset, Error> {
    let data = Dataset::open(path)?;
    if config.labels { data.labelled() } else { Ok(data) }
}

/// The same of a path that a file gives, and no person: nothing is waited for, and no other machine is asked.
///
/// # Errors
/// As [`open_data`]; [`Error::Io`] if it is neither a file nor a folder of this machine.
pub fn open_told(path: &Path, config: &Config) -> Result<Dataset, Error> {
    files::local(path).map_err(|error| Error::io(path, error))?;
    open_data(path, config)
}

/// A trainer with memory of its own.
pub type Owned<'a> = Trainer<&'a Dataset, Box<[Line]>>;

/// A trainer at step 0; what is wrong with the data names their file.
///
/// # Errors
/// As [`Trainer::new`].
pub fn new_trainer<'a>(plan: &Plan, data: &'a Dataset) -> Result<Owned<'a>, Error> {
    Trainer::new(plan.config.clone(), data).map_err(|error| of_data(error, data))
}

/// What is wrong with images, as what is wrong with their file.
pub fn of_data(error: Error, data: &Dataset) -> Error {
    match error {
        Error::Input { problem, .. } => Error::input(data.path().display().to_string(), problem),
        other => other,
    }
}

/// What a step leaves behind, but for the checkpoint: that is the trainer's own state.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The entry of the log, without its timing.
    pub entry: Option<Entry>,
    /// The canvas of the seed's first samples, as many as [`grid`] says: the same z at every step.
    pub canvas: Option<Canvas>,
    /// The digests of the state, where an entry or a checkpoint has them.
    pub digests: Option<Digests>,
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
    let digests = if leaves.digest || leaves.checkpoint { Some(trainer.digests()?) } else { None };
    let logged = digests.filter(|_| leaves.digest);
    let entry = match stats {
        Some(stats) if leaves.entry => {
            let (mean_d_real, mean_d_fake) = trainer.mean_probabilities()?;
            Some(Entry {
                step: stats.step,
                g_loss: stats.generator_loss,
                d_loss: stats.discriminator_loss,
                mean_d_real,
                mean_d_fake,
                digest: logged.map(|digests| digests.state),
                average_digest: logged.and_then(|digests| digests.average),
                timing: Timing::default(),
            })
        }
        _ => None,
    };
    let canvas = if leaves.canvas { Some(canvas_of(trainer, team)?) } else { None };
    Ok(Record { entry, canvas, digests })
}

/// The canvas of the seed's first samples, as a run writes it.
///
/// # Errors
/// [`Error::Diverged`] after divergence, [`Error::Environment`] if there is no memory for it.
pub fn canvas_of(trainer: &mut Owned<'_>, team: &impl Team) -> Result<Canvas, Error> {
    let (size, seed) = ((trainer.images().width(), trainer.images().height()), trainer.config().seed);
    let (columns, rows) = grid(trainer.classes());
    let mut bytes = memory::filled(columns * rows * trainer.image_size(), 0, "canvas")?;
    trainer.sample(team, seed, 0, &mut bytes)?;
    canvas(&bytes, size, (columns, rows), true)
}
