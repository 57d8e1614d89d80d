//! Training in a folder: a new run, or an old one from where it stands. What lasts is written after each step that leaves
//! something behind; the steps between are one run of the trainer. Uses everything above it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Observer;
use super::folder::{Folder, Writer, read_checkpoint};
use super::log::{self, Entry, Timing};
use super::manifest::{Manifest, Outcome, Session, Status, cpu, now};
use super::plan::{Plan, Settings};
use super::record::{Owned, record};
use crate::digest::Digest;
use crate::error::Error;
use crate::export::grid::Canvas;
use crate::export::png;
use crate::export::safetensors::{self, Checkpoint};
use crate::kernels::Isa;
use crate::parallel::Team;
use crate::trainer::StepStats;
use crate::{BITS_VERSION, Dataset, Trainer};

/// Listens to training. `()` does not.
pub trait Host: Send {
    /// The losses of each step, as soon as they are known, on a thread of the team: it must not wait for the team. A break
    /// stops the run after that step, and saves it.
    fn step(&mut self, stats: &StepStats) -> ControlFlow<()> {
        let _ = stats;
        ControlFlow::Continue(())
    }
    /// What a step leaves behind is written, and on the disk up to the last checkpoint; `report` says whether its losses should be reported.
    ///
    /// # Errors
    /// Ends the run.
    fn written(&mut self, stats: &StepStats, report: bool) -> Result<(), Error> {
        let _ = (stats, report);
        Ok(())
    }
}

impl Host for () {}

/// How a session ended.
#[derive(Clone, Debug)]
pub struct End {
    /// Done, or stopped by the host.
    pub status: Status,
    /// The digest of the state.
    pub digest: Digest,
    /// The canvas of the last step, if it is done.
    pub canvas: Option<Canvas>,
}

/// An old run, held by this process, and the checkpoint that it goes on from.
#[derive(Debug)]
pub struct Unfinished {
    writer: Writer,
    /// None: from the start.
    checkpoint: Option<Checkpoint>,
    settings: Settings,
}

impl Unfinished {
    /// The run in the folder `path`, to go on from its newest good checkpoint, or the run that the checkpoint `path` belongs
    /// to, to go on from there.
    ///
    /// # Errors
    /// [`Error::Input`] if it has checkpoints, but not a good one; as [`Writer::open`].
    pub fn open(path: &Path, observer: &dyn Observer) -> Result<Unfinished, Error> {
        if path.is_file() || path.extension().is_some_and(|extension| extension == "safetensors") {
            let checkpoint = read_checkpoint(path)?;
            let whole = path.canonicalize().map_err(|error| Error::io(path, error))?;
            let writer = Writer::open(whole.parent().and_then(Path::parent).unwrap_or(&whole))?;
            let settings = writer.folder.read_settings()?;
            return Ok(Unfinished { writer, checkpoint: Some(checkpoint), settings });
        }
        let writer = Writer::open(path)?;
        let newest = writer.folder.newest_checkpoint(u64::MAX, observer)?;
        if newest.is_none() {
            // Damaged ones may still be worth something to somebody: they are not overwritten.
            if !writer.folder.checkpoints()?.is_empty() {
                return Err(Error::input(path.display().to_string(), "none of its checkpoints is good"));
            }
            observer.note(&format!("{} has no checkpoint yet: from the start", path.display()));
        }
        let settings = writer.folder.read_settings()?;
        Ok(Unfinished { writer, checkpoint: newest.map(|(_, checkpoint)| checkpoint), settings })
    }
}

impl Unfinished {
    /// Its settings as they are written.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// The step that it goes on from.
    pub fn step(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step)
    }
}

/// A run that is being trained.
#[derive(Debug)]
pub struct Training<'a> {
    plan: Plan,
    writer: Writer,
    manifest: Manifest,
    trainer: Owned<'a>,
    data: &'a Dataset,
    /// Whether an error has ended it: what the folder then lacks, only a resume can make again.
    failed: bool,
}

impl<'a> Training<'a> {
    /// A new run on `data` in the folder `path`, or in the first free of `runs/seed-<S>`, `runs/seed-<S>-2`, …
    ///
    /// # Errors
    /// [`Error::Usage`] if a run is there, or a setting is out of range; [`Error::Input`] if there are too few images;
    /// [`Error::Io`].
    pub fn create(path: Option<&Path>, plan: Plan, data: &'a Dataset) -> Result<Training<'a>, Error> {
        let trainer = trainer(&plan, data)?;
        let writer = Writer::create(path, &plan)?;
        Training::new(plan, writer, trainer, data)
    }

    /// Goes on with an old run, whose settings are now those of `plan`.
    ///
    /// # Errors
    /// [`Error::Input`] if that would be another run, [`Error::Usage`] if its log would lack lines.
    pub fn resume(old: Unfinished, plan: Plan, data: &'a Dataset) -> Result<Training<'a>, Error> {
        let Unfinished { writer, checkpoint, settings } = old;
        let mut trainer = trainer(&plan, data)?;
        let folder = &writer.folder;
        let differs = |field: &str, is: &dyn ToString, wanted: &dyn ToString| {
            let (is, wanted) = (is.to_string(), wanted.to_string());
            if is == wanted {
                return Ok(());
            }
            let problem = format!("{field} is {is} in this run, not {wanted}: it cannot go on");
            Err(Error::input(folder.path().display().to_string(), problem))
        };
        if let Some(Manifest { run, .. }) = folder.read_manifest()? {
            differs("bits_version", &run.bits_version, &BITS_VERSION)?;
            differs("data_digest", &run.data_digest, &data.digest())?;
        }
        let before = Plan::new(&settings)?;
        let config = checkpoint.as_ref().map_or(&before.config, |checkpoint| &checkpoint.config);
        for ((name, is), (_, wanted)) in config.pairs().zip(plan.config.pairs()) {
            differs(name, &is, &wanted)?;
        }
        if let Some(checkpoint) = checkpoint {
            differs("data_digest", &checkpoint.data_digest, &data.digest())?;
            if checkpoint.step > plan.schedule.steps {
                let problem = format!("this run is at step {} already, expected no less", checkpoint.step);
                return Err(Error::usage("steps", problem));
            }
            trainer.load(&checkpoint.state)?;
            log_suffices(&before, &plan, checkpoint.step)?;
        }
        writer.write_config(&plan.text()?)?;
        Training::new(plan, writer, trainer, data)
    }

    fn new(plan: Plan, writer: Writer, trainer: Owned<'a>, data: &'a Dataset) -> Result<Training<'a>, Error> {
        let sessions = writer.folder.read_manifest()?.map_or(Vec::new(), |manifest| manifest.sessions);
        let run = Outcome {
            duel: env!("CARGO_PKG_VERSION").to_string(),
            bits_version: BITS_VERSION,
            data_digest: data.digest(),
            images: trainer.images().count(),
            status: Status::Running,
            steps_done: trainer.steps_done(),
            state_digest: None,
        };
        Ok(Training { plan, writer, manifest: Manifest { run, sessions }, trainer, data, failed: false })
    }

    /// Chooses the backend. The bits are the same.
    pub fn set_isa(&mut self, isa: Isa) {
        self.trainer.set_isa(isa);
    }
    /// What it is to do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
    /// Where it is.
    pub fn trainer(&self) -> &Owned<'a> {
        &self.trainer
    }
    /// Where it writes.
    pub fn folder(&self) -> &Folder {
        &self.writer.folder
    }
    /// The picture of the last step.
    pub fn last_canvas(&self) -> PathBuf {
        self.folder().canvas(self.trainer.steps_done())
    }

    /// Removes the checkpoints after the step that it goes on from, and says how many there were.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_later_checkpoints(&self) -> Result<usize, Error> {
        self.writer.remove_checkpoints_after(self.trainer.steps_done())
    }

    /// The trained networks, when all is over.
    pub fn into_trainer(self) -> Owned<'a> {
        self.trainer
    }

    /// Trains to the last step, or to where `host` breaks off; called again, it goes on.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Io`], those of the host, and those of [`Trainer::run`]. The manifest says how it ended.
    /// After an error the run can only be resumed from its folder.
    pub fn run(&mut self, team: &impl Team, host: &mut (impl Host + ?Sized)) -> Result<End, Error> {
        if self.failed {
            return Err(Error::environment(
                "this run ended in an error: expected it to be resumed from its folder",
            ));
        }
        self.failed = true;
        let end = self.session(team, host)?;
        self.failed = false;
        Ok(end)
    }

    fn session(&mut self, team: &impl Team, host: &mut (impl Host + ?Sized)) -> Result<End, Error> {
        let run = &mut self.manifest.run;
        (run.status, run.steps_done, run.state_digest) = (Status::Running, self.trainer.steps_done(), None);
        self.manifest.sessions.push(Session {
            started: now(),
            ended: None,
            cpu: cpu(),
            isa: self.trainer.isa().name().to_string(),
            threads: team.workers(),
            from_step: self.trainer.steps_done(),
        });
        self.remove_later_checkpoints()?;
        let log = log::Writer::open(self.folder().log(), &self.plan, self.trainer.steps_done())?;
        self.writer.write_manifest(&self.manifest)?;
        match self.train(log, team, host) {
            Ok((status, canvas)) => Ok(End { status, digest: self.end(status)?, canvas }),
            Err(error) => {
                let diverged = matches!(error, Error::Diverged { .. });
                // What went wrong is the error's to say; the manifest follows if it can.
                let _ = self.end(if diverged { Status::Diverged } else { Status::Failed });
                Err(error)
            }
        }
    }

    fn train(
        &mut self,
        mut log: log::Writer,
        team: &impl Team,
        host: &mut (impl Host + ?Sized),
    ) -> Result<(Status, Option<Canvas>), Error> {
        let (started, from, steps) = (Instant::now(), self.trainer.steps_done(), self.plan.schedule.steps);
        if from == steps {
            // The log has that step already, if anything was logged.
            return Ok((Status::Done, self.leave(&mut log, team, None, false, 0.0)?));
        }
        loop {
            let (done, mut last, mut stop) = (self.trainer.steps_done(), None, false);
            let until = (done + 1..steps).find(|&step| self.plan.leaves(step, false).any()).unwrap_or(steps);
            self.trainer.run(team, until - done, |stats| {
                last = Some(stats);
                // A stop at the last step is the end of the run.
                stop = host.step(&stats).is_break() && stats.step != steps;
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let stats = last.expect("a run of one step or more reports it");
            let rate = (stats.step - from) as f64 / started.elapsed().as_secs_f64();
            let canvas = self.leave(&mut log, team, Some(&stats), stop, rate)?;
            host.written(&stats, self.plan.reports(stats.step))?;
            if stop {
                return Ok((Status::Stopped, None));
            }
            if stats.step == steps {
                return Ok((Status::Done, canvas));
            }
        }
    }

    /// Writes what the step leaves behind, and returns the canvas. A run goes on from a checkpoint and makes nothing before it
    /// again, so the checkpoint comes last; but at the last step, whose canvas every resume makes, nothing is to stop it.
    fn leave(
        &mut self,
        log: &mut log::Writer,
        team: &impl Team,
        stats: Option<&StepStats>,
        stopped: bool,
        steps_per_s: f64,
    ) -> Result<Option<Canvas>, Error> {
        let step = self.trainer.steps_done();
        let leaves = self.plan.leaves(step, stopped);
        let made = record(&mut self.trainer, team, stats, leaves)?;
        if let Some(entry) = made.entry {
            let timing = Timing { steps_per_s: (steps_per_s * 10.0).round() / 10.0 };
            log.write(&Entry { timing, ..entry })?;
        }
        let at_end = step == self.plan.schedule.steps;
        let write_canvas = |when| match &made.canvas {
            Some(canvas) if when => self.writer.write_canvas(step, &png::encode(canvas)),
            _ => Ok(()),
        };
        write_canvas(!at_end)?;
        if leaves.checkpoint {
            log.sync()?;
            let bytes = safetensors::encode(&self.trainer, self.data.digest())?;
            self.writer.write_checkpoint(step, &bytes, self.plan.schedule.keep_last)?;
        }
        write_canvas(at_end)?;
        Ok(made.canvas)
    }

    /// Notes in the manifest how the session ended; returns the digest.
    fn end(&mut self, status: Status) -> Result<Digest, Error> {
        let digest = self.trainer.digest();
        let run = &mut self.manifest.run;
        (run.status, run.steps_done) = (status, self.trainer.steps_done());
        run.state_digest = digest.as_ref().ok().copied();
        if let Some(session) = self.manifest.sessions.last_mut() {
            session.ended = Some(now());
        }
        self.writer.write_manifest(&self.manifest)?;
        digest
    }
}

/// A trainer at step 0; what is wrong with the data names their folder.
fn trainer<'a>(plan: &Plan, data: &'a Dataset) -> Result<Owned<'a>, Error> {
    Trainer::new(plan.config.clone(), data.images()).map_err(|error| match error {
        Error::Input { problem, .. } => Error::input(plan.schedule.data.display().to_string(), problem),
        other => other,
    })
}

/// The log before `step` is written: `plan` cannot ask for more there than the settings before it did. A step that has a
/// checkpoint has its line.
fn log_suffices(before: &Plan, plan: &Plan, step: u64) -> Result<(), Error> {
    let more = |step: u64| {
        let (before, now) = (before.leaves(step, false), plan.leaves(step, false));
        now.entry && !before.entry || now.digest && !before.digest
    };
    let Some(step) = (1..step).find(|&step| more(step)) else { return Ok(()) };
    let flag = match () {
        _ if plan.schedule.report_every != before.schedule.report_every => "report-every",
        _ if plan.schedule.checkpoint_every != before.schedule.checkpoint_every => "checkpoint-every",
        _ => "digest-at",
    };
    let problem =
        format!("the log has no such line of step {step}, which is done: expected no more than before");
    Err(Error::usage(flag, problem))
}
