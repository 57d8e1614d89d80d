//! Training in a folder: a new run, or an old one from where it stands. What lasts is written after each step that leaves
//! something behind; the steps between are one run of the trainer. Uses everything above it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::folder::{Folder, read_checkpoint};
use super::log::{self, Entry, Timing};
use super::manifest::{Manifest, Outcome, Session, Status, cpu, now};
use super::plan::{Leaves, Plan, Schedule};
use super::record::{Owned, canvas_of, new_trainer, record};
use super::unfinished::{Unfinished, log_suffices, way_is_free};
use super::writer::Writer;
use crate::digest::Digest;
use crate::error::Error;
use crate::export::grid::Canvas;
use crate::export::safetensors;
use crate::files;
use crate::kernels::Isa;
use crate::parallel::Team;
use crate::trainer::StepStats;
use crate::{BITS_VERSION, Dataset};

/// Listens to training. `()` does not.
pub trait Host: Send {
    /// The losses of each step, as soon as they are known, on a thread of the team: it must not wait for the team. A break
    /// stops the run after that step, and saves it.
    fn step(&mut self, stats: &StepStats) -> ControlFlow<()> {
        let _ = stats;
        ControlFlow::Continue(())
    }
    /// The canvas of a step, which is written.
    fn canvas(&mut self, step: u64, canvas: &Canvas) {
        let _ = (step, canvas);
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

/// What a manifest says of a run that is not being trained yet.
fn outcome(trainer: &Owned<'_>, data: &Dataset, init: Option<Digest>) -> Outcome {
    Outcome {
        duel: env!("CARGO_PKG_VERSION").to_string(),
        bits_version: BITS_VERSION,
        data_digest: data.digest(),
        data: data.path().to_str().map(str::to_string),
        init,
        images: trainer.images().count(),
        status: Status::Running,
        steps_done: trainer.steps_done(),
        state_digest: None,
    }
}

/// How a session ended.
#[derive(Clone, Debug)]
pub struct End {
    /// Done; or stopped by the host, or at [`Training::until`] before the run's last step.
    pub status: Status,
    /// The digest of the state.
    pub digest: Digest,
    /// The canvas of the last step, if it is done.
    pub canvas: Option<Canvas>,
}

/// A run that is being trained.
#[derive(Debug)]
pub struct Training<'a> {
    /// What it leaves behind. While steps are done again that is what it left before.
    plan: Plan,
    /// What it leaves from where it was on, if this session comes so far.
    then: Option<Plan>,
    /// Whether config.toml is to be written.
    unwritten: bool,
    writer: Writer,
    manifest: Manifest,
    trainer: Owned<'a>,
    data: &'a Dataset,
    /// The step that it ends at: before the run's last one where an older session has been further than that.
    until: u64,
    /// The step of the run's newest checkpoint when it was opened, good or not to be read; or 0.
    was_at: u64,
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
        let trainer = new_trainer(&plan, data)?;
        let writer = Writer::create(path, &plan)?;
        Training::new(plan, writer, trainer, data, None)
    }

    /// As [`Training::create`], but with the parameters that the safetensors file `init` has: moments are 0, and the step is, too.
    /// That state is the run's checkpoint of step 0.
    ///
    /// # Errors
    /// As [`Training::create`] and [`initial_state`](safetensors::Checkpoint::initial_state); [`Error::Io`] if `init` cannot be read.
    pub fn create_from(
        init: &Path,
        path: Option<&Path>,
        plan: Plan,
        data: &'a Dataset,
    ) -> Result<Training<'a>, Error> {
        let bytes = files::read(init).map_err(|error| Error::io(init, error))?;
        let mut trainer = new_trainer(&plan, data)?;
        let state = safetensors::Checkpoint::initial_state(&trainer, &bytes, &init.display().to_string())?;
        trainer.load(&state)?;
        let bytes = safetensors::encode(&trainer, data.digest())?;
        let run = outcome(&trainer, data, Some(trainer.digest()?));
        let manifest = Manifest { run, sessions: Vec::new() };
        let writer = Writer::create_from(path, &plan, Some((&manifest, &bytes)))?;
        Training::new(plan, writer, trainer, data, None)
    }

    /// Goes on with an old run, whose settings are now those of `plan`; nothing is written yet. If it has been further than the
    /// plan's steps, it stays as long as it was, and this session stops there. Where steps are done again, it stays what it was, with
    /// its settings and its log, until they are done.
    ///
    /// # Errors
    /// [`Error::Input`] if that would be another run, or its log is not what a run leaves; [`Error::Usage`] if its log would
    /// lack lines.
    pub fn resume(old: Unfinished, plan: Plan, data: &'a Dataset) -> Result<Training<'a>, Error> {
        let Unfinished { writer, run, checkpoint, newest, data_digest } = old;
        let folder = &writer.folder;
        let differs = |field: &str, is: &dyn ToString, wanted: &dyn ToString| {
            let (is, wanted) = (is.to_string(), wanted.to_string());
            if is == wanted {
                return Ok(());
            }
            let problem = format!("{field} is {is} in this run, not {wanted}: it cannot go on");
            Err(Error::input(folder.path().display().to_string(), problem))
        };
        let outcome = folder.read_manifest()?.map(|manifest| manifest.run);
        if let Some(Outcome { bits_version, init, .. }) = outcome {
            differs("bits_version", &bits_version, &BITS_VERSION)?;
            run.begins_as(init)?;
        }
        run.trained_on(data)?;
        data_digest.map_or(Ok(()), |digest| differs("data_digest", &digest, &data.digest()))?;
        let before = &run.plan;
        let config = checkpoint.as_ref().map_or(&before.config, |checkpoint| &checkpoint.config);
        for ((name, is), (_, wanted)) in config.pairs().zip(plan.config.pairs()) {
            differs(name, &is, &wanted)?;
        }
        let mut trainer = new_trainer(&plan, data)?;
        let given = match outcome {
            Some(_) => None,
            None => run.given(trainer.digest()?, data.digest()),
        };
        let until = plan.schedule.steps;
        if let Some(checkpoint) = checkpoint {
            if checkpoint.step > until {
                let problem = format!("this run is at step {} already, expected no less", checkpoint.step);
                return Err(Error::usage("steps", problem));
            }
            trainer.load(&checkpoint.state)?;
        }
        let (at, was_at) = (trainer.steps_done(), newest.unwrap_or(0));
        let log = folder.log();
        let entries = log::entries(&log)?;
        plan.text()?;
        let (plan, then) = if at < was_at {
            let now = again(&plan, before, was_at);
            let mut wanted = plan.clone();
            wanted.schedule.steps = until.max(now.schedule.steps);
            log_suffices((before, &entries), &wanted, was_at - 1)?;
            (now, Some(plan).filter(|_| until >= was_at))
        } else {
            log_suffices((before, &entries), &plan, at)?;
            (plan, None)
        };
        let of = |step: u64| then.as_ref().filter(|_| step >= was_at).unwrap_or(&plan);
        let writes = |step: u64| of(step).leaves(step, step == until).checkpoint;
        way_is_free(&run, data.digest(), at + 1..=until, writes)?;
        log::reaches(log::lacking(&entries, &plan, at), &log, at)?;
        let mut new = Training::new(plan, writer, trainer, data, given)?;
        if at < was_at {
            let run = Outcome { steps_done: was_at, ..new.manifest.run };
            new.manifest.run = outcome.unwrap_or(run);
        }
        Ok(Training { then, unwritten: at >= was_at, until, was_at, ..new })
    }

    fn new(
        plan: Plan,
        writer: Writer,
        trainer: Owned<'a>,
        data: &'a Dataset,
        given: Option<Digest>,
    ) -> Result<Training<'a>, Error> {
        let (init, sessions) =
            writer.folder.read_manifest()?.map_or((given, Vec::new()), |old| (old.run.init, old.sessions));
        let run = outcome(&trainer, data, init);
        let (manifest, until) = (Manifest { run, sessions }, plan.schedule.steps);
        Ok(Training {
            plan,
            then: None,
            unwritten: false,
            writer,
            manifest,
            trainer,
            data,
            until,
            was_at: 0,
            failed: false,
        })
    }

    /// Chooses the backend. The bits are the same.
    pub fn set_isa(&mut self, isa: Isa) {
        self.trainer.set_isa(isa);
    }
    /// Whether its parameters were given.
    pub fn began_with_given(&self) -> bool {
        self.manifest.run.init.is_some()
    }
    /// What it is to do.
    pub fn plan(&self) -> &Plan {
        self.then.as_ref().unwrap_or(&self.plan)
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

    /// The step that this session ends at. The run's last one is later where an older session has been further: that stays.
    pub fn until(&self) -> u64 {
        self.until
    }
    /// The step of the run's newest checkpoint when it was opened, good or not to be read; or 0.
    pub fn was_at(&self) -> u64 {
        self.was_at
    }
    /// Whether steps are done again.
    fn is_back(&self) -> bool {
        self.trainer.steps_done() < self.was_at
    }
    /// Whether no other process can write into its folder: not every file system has locks.
    pub fn is_guarded(&self) -> bool {
        self.writer.is_guarded()
    }

    /// The trained networks, when all is over.
    pub fn into_trainer(self) -> Owned<'a> {
        self.trainer
    }

    /// Trains to [`Training::until`], or to where `host` breaks off; called again, it goes on.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Io`], those of the host, and those of [`Trainer::run`](crate::Trainer::run). The manifest says how it ended.
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
        if !self.is_back() {
            self.manifest.run = outcome(&self.trainer, self.data, self.manifest.run.init);
        }
        self.manifest.sessions.push(Session {
            started: now(),
            ended: None,
            cpu: cpu(),
            isa: self.trainer.isa().name().to_string(),
            threads: team.workers(),
            from_step: self.trainer.steps_done(),
        });
        // In this order whoever is killed in between leaves a run that can go on.
        self.writer.write_manifest(&self.manifest)?;
        if std::mem::take(&mut self.unwritten) {
            self.writer.write_config(&self.plan.text()?)?;
        }
        let log = log::Writer::open(self.folder().log(), &self.plan, self.trainer.steps_done(), self.was_at);
        match log.and_then(|log| self.train(log, team, host)) {
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
        let (started, from, steps) = (Instant::now(), self.trainer.steps_done(), self.plan().schedule.steps);
        if from >= self.until {
            // The log has that step already, if anything was logged.
            let (status, stopped) =
                if from < steps { (Status::Stopped, true) } else { (Status::Done, false) };
            return Ok((status, self.leave(&mut log, team, None, stopped, 0.0)?));
        }
        if self.plan.leaves(from, false).canvas && !self.folder().canvas(from).exists() {
            // That step was the last one then, and its session ended before the canvas.
            let canvas = canvas_of(&mut self.trainer, team)?;
            self.writer.write_canvas(from, &canvas)?;
        }
        loop {
            let (done, mut last, mut stop) = (self.trainer.steps_done(), None, false);
            let halts = |step: &u64| {
                self.plan.leaves(*step, false).any() || log.entry(*step).is_some() || *step == self.was_at
            };
            let until = (done + 1..self.until).find(halts).unwrap_or(self.until);
            self.trainer.run(team, until - done, |stats| {
                last = Some(stats);
                // A stop at the last step is the end of the run.
                stop = host.step(&stats).is_break() && stats.step != steps;
                if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let stats = last.expect("a run of one step or more reports it");
            stop |= stats.step == self.until && self.until < steps;
            let rate = per_second(stats.step - from, started.elapsed());
            if stats.step == self.was_at
                && let Some(plan) = self.then.take()
            {
                self.follow(plan, &mut log, team, &stats, rate)?;
            }
            let canvas = self.leave(&mut log, team, Some(&stats), stop, rate)?;
            if let Some(canvas) = &canvas {
                host.canvas(stats.step, canvas);
            }
            host.written(&stats, self.plan().reports(stats.step))?;
            if stop {
                return Ok((Status::Stopped, None));
            }
            if stats.step == steps {
                return Ok((Status::Done, canvas));
            }
        }
    }

    /// From here on, where the run has been, it is the one of `plan`. Its log has what either settings ask for before config.toml
    /// says which of them hold: whoever is killed in between leaves a run that can go on.
    fn follow(
        &mut self,
        plan: Plan,
        log: &mut log::Writer,
        team: &impl Team,
        stats: &StepStats,
        steps_per_s: f64,
    ) -> Result<(), Error> {
        self.manifest.run = outcome(&self.trainer, self.data, self.manifest.run.init);
        self.writer.write_manifest(&self.manifest)?;
        let line = Leaves { entry: true, digest: true, canvas: false, checkpoint: false };
        if let Some(entry) = record(&mut self.trainer, team, Some(stats), line)?.entry {
            log.add(&Entry { timing: timing(steps_per_s), ..entry })?;
        }
        self.writer.write_config(&plan.text()?)?;
        log.follow(&plan, self.was_at);
        log.sync()?;
        self.plan = plan;
        Ok(())
    }

    /// Writes what the step leaves behind, and returns the canvas. A run goes on from a checkpoint and makes nothing before it
    /// again but its canvas, so the checkpoint comes last; but at the last step nothing is to stop it.
    fn leave(
        &mut self,
        log: &mut log::Writer,
        team: &impl Team,
        stats: Option<&StepStats>,
        stopped: bool,
        steps_per_s: f64,
    ) -> Result<Option<Canvas>, Error> {
        let step = self.trainer.steps_done();
        let mut leaves = self.plan.leaves(step, stopped);
        if self.is_back() {
            // On the way to where the run has been a stop is no end: it leaves a checkpoint to go on from, and no line.
            let (now, left) = (self.plan.leaves(step, false), log.entry(step));
            leaves.entry = now.entry || left.is_some();
            leaves.digest = now.digest || left.is_some_and(|entry| entry.digest.is_some());
            leaves.canvas = now.canvas;
        }
        let made = record(&mut self.trainer, team, stats, leaves)?;
        let checkpoint = self.folder().checkpoint(step);
        if leaves.checkpoint
            && read_checkpoint(&checkpoint).is_ok_and(|kept| made.digests != Some(kept.digests))
        {
            let problem = "is another state than this run has after that step: expected one of the two to be moved elsewhere";
            return Err(Error::input(checkpoint.display().to_string(), problem));
        }
        if let Some(entry) = made.entry {
            log.write(&Entry { timing: timing(steps_per_s), ..entry })?;
        }
        let at_end = step == self.plan.schedule.steps;
        let write_canvas = |when| match &made.canvas {
            Some(canvas) if when => self.writer.write_canvas(step, canvas),
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

    /// Notes in the manifest how the session ended, unless the run is what it was; returns the digest.
    fn end(&mut self, status: Status) -> Result<Digest, Error> {
        let digest = self.trainer.digest();
        if !self.is_back() {
            let run = &mut self.manifest.run;
            (run.status, run.steps_done) = (status, self.trainer.steps_done());
            run.state_digest = digest.as_ref().ok().copied();
        }
        if let Some(session) = self.manifest.sessions.last_mut() {
            session.ended = Some(now());
        }
        self.writer.write_manifest(&self.manifest)?;
        digest
    }
}

/// What a run leaves behind while steps are done again, up to `was_at`, that were done under the plan `before`.
fn again(plan: &Plan, before: &Plan, was_at: u64) -> Plan {
    let Schedule { data, keep_last, .. } = plan.schedule.clone();
    let steps = before.schedule.steps.max(was_at);
    Plan { schedule: Schedule { data, keep_last, steps, ..before.schedule.clone() }, ..plan.clone() }
}

/// Steps per second; 0 of a clock that stands still.
fn per_second(steps: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { steps as f64 / elapsed.as_secs_f64() }
}

/// The timing of an entry.
fn timing(steps_per_s: f64) -> Timing {
    Timing { steps_per_s: (steps_per_s * 10.0).round() / 10.0 }
}
