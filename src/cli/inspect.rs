//! `duel inspect`: a run or a checkpoint on one screen.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use duel::evaluate::Evaluation;
use duel::export::safetensors::Checkpoint;
use duel::run::manifest::Session;
use duel::run::{Folder, Recorded, Status, log};
use duel::{Error, Tensor};

use super::replay::Replay;
use super::terminal::{Progress, counted, grouped, plain, print};

/// Sessions that are shown, the newest.
const MOST_SESSIONS: usize = 50;

/// The flags of `duel inspect`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Inspect {
    /// A run's folder, RUN@STEP for the state after any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    what: PathBuf,
    #[command(flatten)]
    replay: Replay,
}

impl Inspect {
    /// Prints what it is.
    pub fn run(self) -> Result<(), Error> {
        self.replay.machine.isa()?;
        self.replay.machine.threads()?;
        let text = if self.what.is_dir() {
            describe_run(&Folder::new(&self.what))?
        } else {
            describe(&self.replay.state(&self.what)?.1)
        };
        print(&text)
    }
}

fn describe_run(folder: &Folder) -> Result<String, Error> {
    let mut text = String::new();
    let found = folder.checkpoints()?;
    if let Some(manifest) = passed_over(folder.read_manifest()) {
        let run = &manifest.run;
        let status = match (run.status, folder.is_held()) {
            (Status::Running, Some(false)) => "not ended, its process is gone",
            (Status::Running, None) => "not ended, and whether its process is gone cannot be told here",
            (status, _) => status.name(),
        };
        line(&mut text, "run", &format!("{status}, {}", counted(run.steps_done, "step")));
        line(&mut text, "written by", &format!("duel {}, bits version {}", run.duel, run.bits_version));
        line(&mut text, "images", &grouped(run.images as u64));
        if let Some(init) = run.init {
            line(&mut text, "given at step 0", &init.to_string());
        }
        sessions(&mut text, &manifest.sessions);
    }
    let steps: Vec<String> = found.iter().map(|(step, _)| grouped(*step)).collect();
    let steps = match &steps[..] {
        [] => "none".to_string(),
        [one] => one.clone(),
        [newest, .., oldest] => format!("{}, after steps {oldest} to {newest}", steps.len()),
    };
    line(&mut text, "checkpoints", &steps);
    let mut last = None;
    if folder.log().exists() {
        let most = Recorded::open(folder.path()).map_or(u64::MAX, |run| run.last_line());
        log::read(&folder.log(), |_, row| {
            if let log::Row::Entry(entry) = row
                && entry.step <= most
            {
                last = Some(entry);
            }
            Ok(())
        })?;
    }
    if let Some(last) = last {
        line(&mut text, "last logged", &last.text());
    }
    if let Some(Evaluation { step, report, .. }) = passed_over(Evaluation::read(&folder.evaluation())) {
        let parzen = report.parzen;
        let figures = format!(
            "step {}: Parzen {:.1} ± {:.1} nats, precision {:.3}, recall {:.3}, coverage {:.3}",
            grouped(step),
            parzen.nats,
            parzen.standard_error,
            report.precision,
            report.recall,
            report.coverage
        );
        line(&mut text, "evaluated", &figures);
    }
    if let Some((path, checkpoint)) = folder.newest_checkpoint(u64::MAX, &Progress::of("steps recomputed"))? {
        match Recorded::open(folder.path()) {
            Err(error) if folder.config().exists() => note!("passed over: {error}"),
            Err(_) => {}
            Ok(run) => {
                if let Err(error) = run.is_of(&checkpoint) {
                    note!("The newest checkpoint is not this run's: {error}");
                }
            }
        }
        line(&mut text, "newest good", &path.display().to_string());
        text += &describe(&checkpoint);
    }
    Ok(text)
}

/// The newest sessions.
fn sessions(text: &mut String, sessions: &[Session]) {
    let before = sessions.len().saturating_sub(MOST_SESSIONS);
    if before > 0 {
        line(text, "sessions before", &grouped(before as u64));
    }
    for session in &sessions[before..] {
        let ended = session.ended.as_deref().unwrap_or("not ended");
        let threads = counted(session.threads as u64, "thread");
        let machine = format!("{} · {} · {threads}", session.cpu, session.isa);
        let span = format!("{} to {ended}, from step {}", session.started, grouped(session.from_step));
        line(text, "session", &format!("{span}, {machine}"));
    }
}

/// What was read; nothing, and a note, if it is not good.
fn passed_over<T>(read: Result<Option<T>, Error>) -> Option<T> {
    read.unwrap_or_else(|error| {
        note!("passed over: {error}");
        None
    })
}

fn describe(checkpoint: &Checkpoint) -> String {
    let mut text = String::new();
    line(&mut text, "step", &grouped(checkpoint.step));
    line(&mut text, "state", &checkpoint.digests.state.to_string());
    if let Some(average) = checkpoint.digests.average {
        line(&mut text, "average", &average.to_string());
    }
    line(&mut text, "data", &checkpoint.data_digest.to_string());
    line(&mut text, "image", &format!("{} × {}", checkpoint.height, checkpoint.width));
    if checkpoint.classes > 0 {
        line(&mut text, "classes", &checkpoint.classes.to_string());
    }
    for (name, value) in checkpoint.config.pairs() {
        line(&mut text, name, &value);
    }
    for ((name, shape, _), tensor) in checkpoint.tensors().zip(Tensor::ALL) {
        let averaged = checkpoint.digests.average.is_some() && tensor.is_generators();
        let average = if averaged { " and .average" } else { "" };
        line(&mut text, &name, &format!("{shape:?}, with .adam_m and .adam_v{average}"));
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:29} {}", plain(value));
}
