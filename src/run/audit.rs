//! A run's folder against its own settings: its files are compared with each other, and parts of it are trained again.
//!
//! Cut at its checkpoints, a run is a row of intervals. Each one is trained again from the checkpoint before it, several at
//! once on a thread each, and on the way what each step leaves behind is compared: every entry of the log, every canvas and
//! the checkpoint at its end. Timing, the manifest's sessions and the version of the program are not reproducible, and not
//! compared. Uses `plan`, `log`, `manifest`, `folder`, `record`, `recorded`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::Observer;
use super::folder::read_checkpoint;
use super::log::{self, Entry, Row};
use super::manifest::{Outcome, Status};
use super::plan::{CANVAS_EVERY, Leaves};
use super::record::{Owned, of_data, record};
use super::recorded::Recorded;
use crate::digest::Digests;
use crate::error::Error;
use crate::export::png;
use crate::files;
use crate::kernels::Isa;
use crate::parallel::{Rayon, Serial, Team};
use crate::rng::{Purpose, Stream};
use crate::trainer::StepStats;
use crate::{BITS_VERSION, Dataset};

/// Missing lines of a log that are named.
const MOST_MISSING: usize = 100;
/// Problems that are told, at most.
const MOST_PROBLEMS: usize = 1_000;

/// A run under examination.
pub struct Audit<'a> {
    run: &'a Recorded,
    outcome: Outcome,
    data: Dataset,
    /// The log by step.
    log: BTreeMap<u64, Entry>,
    /// The digests of good checkpoints by step.
    checkpoints: BTreeMap<u64, Digests>,
    problems: Mutex<Vec<String>>,
    observer: &'a dyn Observer,
}

/// What was trained again.
#[derive(Clone, Debug)]
pub struct Checked {
    /// From which step to which.
    pub intervals: Vec<(u64, u64)>,
    /// Of how many intervals.
    pub of: usize,
}

impl Checked {
    /// Steps of all of them.
    pub fn steps(&self) -> u64 {
        self.intervals.iter().map(|(from, to)| to - from).sum()
    }
}

impl<'a> Audit<'a> {
    /// Reads the folder and compares its files with each other and with `data`, those of [`Recorded::find_data`]. Each problem
    /// is a note to `observer` at once, and all of them are an error in the end.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is being trained, [`Error::Mismatch`] without a manifest, [`Error::Input`] if the data are
    /// others, [`Error::Io`].
    pub fn new(run: &'a Recorded, data: Dataset, observer: &'a dyn Observer) -> Result<Audit<'a>, Error> {
        if run.folder.is_held() == Some(true) {
            return Err(Error::usage(
                run.name(),
                "is being trained, expected a run that has ended or was stopped",
            ));
        }
        let Some(manifest) = &run.manifest else {
            return Err(Error::mismatch(format!("{}: manifest.json: missing or malformed", run.name())));
        };
        let mut audit = Audit {
            run,
            outcome: manifest.run.clone(),
            data,
            log: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            problems: Mutex::default(),
            observer,
        };
        audit.read_log()?;
        let others_data = audit.read_checkpoints()?;
        if audit.outcome.data_digest != audit.data.digest() && audit.checkpoints.is_empty() {
            // Not one file speaks for these data: they are others, not an altered manifest.
            run.trained_on(&audit.data)?;
        }
        others_data.into_iter().for_each(|problem| audit.problem(problem));
        audit.compare_manifest();
        audit.compare_log();
        Ok(audit)
    }

    /// Good checkpoints, entries of the log, and the last step that the folder tells of.
    pub fn counts(&self) -> (usize, usize, u64) {
        (self.checkpoints.len(), self.log.len(), self.last())
    }

    fn problem(&self, what: String) {
        let mut problems = self.problems.lock().expect("nothing panics while it is held");
        // The same file may be found wrong in more ways than one.
        if problems.len() < MOST_PROBLEMS && !problems.contains(&what) {
            problems.push(what.clone());
            drop(problems);
            self.observer.note(&format!("MISMATCH {what}"));
        }
    }

    /// Whether the run was stopped after `step`: its last line is one that the settings alone would not make. A stop
    /// writes that line first, and the manifest last.
    fn is_stop(&self, step: u64) -> bool {
        let last = self.log.last_key_value().is_some_and(|(at, line)| *at == step && line.digest.is_some());
        match self.outcome.status {
            Status::Done => false,
            Status::Stopped => step > 0 && step == self.outcome.steps_done || last,
            _ => last,
        }
    }

    /// What `step` should have left behind.
    fn leaves(&self, step: u64) -> Leaves {
        self.run.plan.leaves(step, self.is_stop(step))
    }

    /// The step of the last checkpoint.
    fn saved(&self) -> u64 {
        self.checkpoints.last_key_value().map_or(0, |(step, _)| *step)
    }

    /// The last step that the folder tells of.
    fn last(&self) -> u64 {
        let logged = self.log.last_key_value().map_or(0, |(step, _)| *step);
        self.outcome.steps_done.min(self.run.plan.schedule.steps).max(logged).max(self.saved())
    }

    fn read_log(&mut self) -> Result<(), Error> {
        let steps = self.run.plan.schedule.steps;
        let ended = matches!(self.outcome.status, Status::Done | Status::Stopped);
        let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
        let (mut before, mut beyond) = (None, Vec::new());
        log::read(&self.run.folder.log(), |line, row| {
            let wrong = |what: &str| self.problem(format!("metrics.jsonl: line {line}: {what}"));
            match row {
                Row::CutOff if ended => wrong("cut off"),
                Row::CutOff => {
                    self.observer.note("the log's last line is cut off, as a kill or a full disk leaves it");
                }
                Row::Malformed => wrong("not a line of a log"),
                Row::Entry(entry) if before.is_some_and(|before| before >= entry.step) => {
                    wrong(&format!("step {} is not after the one before", entry.step));
                }
                Row::Entry(entry) => {
                    before = Some(entry.step);
                    if entry.step > steps {
                        beyond.push(entry.step);
                    } else {
                        entries.insert(entry.step, entry);
                    }
                }
            }
            Ok(())
        })?;
        self.too_many(&beyond, "beyond the run's steps");
        self.log = entries;
        Ok(())
    }

    /// Takes the good checkpoints; returns what is wrong with those that trained on other data.
    fn read_checkpoints(&mut self) -> Result<Vec<String>, Error> {
        let (plan, images) = (&self.run.plan, self.data.images());
        let mut others_data = Vec::new();
        for (step, path) in self.run.folder.checkpoints()? {
            let name = path.display();
            match read_checkpoint(&path) {
                Err(error @ (Error::Input { .. } | Error::Io { .. })) => self.problem(error.to_string()),
                Err(error) => return Err(error),
                Ok(found) if found.config != plan.config => {
                    self.problem(format!("config.toml: its settings are not those of {name}"));
                }
                Ok(_) if step > plan.schedule.steps => {
                    self.problem(format!("{name}: is beyond the run's steps"))
                }
                Ok(found) if found.data_digest != self.data.digest() => {
                    others_data.push(format!("{name}: data_digest is not that of the data"));
                }
                Ok(found) if (found.height, found.width) != (images.height(), images.width()) => {
                    self.problem(format!("{name}: height and width are not those of the data"));
                }
                Ok(found) if found.classes != if plan.config.labels { images.classes() } else { 0 } => {
                    self.problem(format!("{name}: classes are not those of the data"));
                }
                Ok(found) => {
                    self.checkpoints.insert(step, found.digests);
                }
            }
        }
        Ok(others_data)
    }

    fn compare_manifest(&self) {
        let differs = |field: &str, is: &str, expected: &str| {
            if is != expected {
                self.problem(format!("manifest.json: {field} is {is}, expected {expected}"));
            }
        };
        let (run, plan) = (&self.outcome, &self.run.plan);
        differs("bits_version", &run.bits_version.to_string(), &BITS_VERSION.to_string());
        differs("data_digest", &run.data_digest.to_string(), &self.data.digest().to_string());
        let images = self.data.images().count().saturating_sub(plan.config.validation);
        differs("images", &run.images.to_string(), &images.to_string());
        if let Some(init) = run.init {
            match self.checkpoints.get(&0) {
                Some(first) => differs("init", &init.to_string(), &first.state.to_string()),
                None => self.problem(
                    "its checkpoint of step 0, which it began with, is not there or not good".to_string(),
                ),
            }
        }
        let (done, steps) = (run.steps_done, plan.schedule.steps);
        let logged = self.log.last_key_value().map_or(0, |(step, _)| *step);
        let possible = match run.status {
            Status::Done => done == steps,
            Status::Stopped => (logged..steps).contains(&done),
            // That step leaves nothing.
            Status::Diverged => done > logged.max(self.saved()) && done <= steps,
            Status::Running | Status::Failed => done <= steps,
        };
        if !possible {
            let status = run.status.name();
            self.problem(format!(
                "manifest.json: status is {status} with steps_done {done} of {steps}, the log's last step {logged}"
            ));
        }
        // A run that was killed, or has diverged, has no digest of its end; one that failed within a step has none, either.
        let said = run.state_digest.is_some();
        let says = match run.status {
            Status::Done | Status::Stopped => said,
            Status::Running | Status::Diverged => !said,
            Status::Failed => true,
        };
        if !says {
            let what = if said { "with" } else { "without" };
            self.problem(format!("manifest.json: status is {} {what} a state_digest", run.status.name()));
        }
        if let (Some(digest), Some(kept)) = (&run.state_digest, self.checkpoints.get(&run.steps_done)) {
            differs("state_digest", &digest.to_string(), &kept.state.to_string());
        }
        let planned = match plan.schedule.checkpoint_every {
            0 => run.steps_done.min(1),
            every => run.steps_done.div_ceil(every),
        };
        let kept = |step: &&u64| **step > 0 && plan.leaves(**step, false).checkpoint;
        let there = self.checkpoints.keys().filter(kept).count() as u64;
        if run.status == Status::Done && plan.schedule.keep_last == 0 && there < planned {
            let missing = planned - there;
            self.observer
                .note(&format!("{missing} of the run's checkpoints are not there: the intervals are longer"));
        }
    }

    /// Lines that the run does not write: settings that leave fewer are there before the log without them.
    fn too_many(&self, steps: &[u64], what: &str) {
        let line = |step: &u64| format!("metrics.jsonl: step {step} is {what}");
        match (self.outcome.status, steps) {
            (_, []) => {}
            (Status::Running | Status::Failed, [one]) => self.observer.note(&line(one)),
            (Status::Running | Status::Failed, [first, more @ ..]) => {
                self.observer.note(&format!("{}, and {} more", line(first), more.len()));
            }
            _ => steps.iter().for_each(|step| self.problem(line(step))),
        }
    }

    /// Which lines the log has, and the digests that it shares with checkpoints.
    fn compare_log(&self) {
        // Of a run that was killed, lines after the last checkpoint may not have reached the disk.
        let sure = match self.outcome.status {
            Status::Done | Status::Stopped => self.last(),
            Status::Diverged => self.last().saturating_sub(1),
            _ => self.saved(),
        };
        let stop = Some(self.outcome.steps_done).filter(|step| *step <= sure && self.leaves(*step).entry);
        let planned = self.run.plan.entries().take_while(|step| *step <= sure);
        let missing = planned.chain(stop).filter(|step| !self.log.contains_key(step));
        // Settings and manifest, both altered, may tell of any number of steps.
        for step in missing.take(MOST_MISSING) {
            self.problem(format!("metrics.jsonl: step {step} is missing"));
        }
        let more: Vec<u64> = self.log.keys().copied().filter(|step| !self.leaves(*step).entry).collect();
        self.too_many(&more, "too much");
        for (&step, line) in &self.log {
            if let (Some(digests), Some(kept)) = (line.digests(), self.checkpoints.get(&step))
                && digests != *kept
            {
                self.problem(format!("metrics.jsonl: step {step}: its digest is not its checkpoint's"));
            }
        }
    }

    /// Trains so many intervals again, taken at random, or all: at most `at_once` of them at the same time, on the threads of
    /// the rayon pool that this is called in; outside a pool one after the other.
    ///
    /// # Errors
    /// [`Error::Mismatch`] that names the first problem found, here or by [`Audit::new`]; [`Error::Io`].
    pub fn check(&self, count: Option<usize>, isa: Isa, at_once: usize) -> Result<Checked, Error> {
        // Where the files contradict each other, training shows nothing more.
        self.verdict()?;
        let mut ends: Vec<u64> = self.checkpoints.keys().copied().chain([self.last()]).collect();
        ends.dedup();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        // From 0 to 0 is the initial state.
        let all: Vec<(u64, u64)> =
            starts.zip(ends.clone()).filter(|(from, to)| from < to || *to == 0).collect();
        let intervals = count.map_or(all.clone(), |count| sample(&all, count));
        let checked = Checked { intervals, of: all.len() };
        self.observer.begin(checked.steps());
        let intervals = &checked.intervals;
        let (next, at_once) = (AtomicUsize::new(0), at_once.min(intervals.len()));
        // Outside a pool rayon would start one of its own.
        if at_once < 2 || rayon::current_thread_index().is_none() {
            intervals.iter().try_for_each(|&interval| self.train_again(interval, isa, &Rayon))?;
        } else {
            (0..at_once).into_par_iter().with_max_len(1).try_for_each(|_| {
                while let Some(&interval) = intervals.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Whatever stops one stops all.
                    self.train_again(interval, isa, &Serial)
                        .inspect_err(|_| next.store(intervals.len(), Ordering::Relaxed))?;
                }
                Ok(())
            })?;
        }
        self.verdict().map(|()| checked)
    }

    /// Bytes of a trainer, of which there is one for each interval at the same time.
    ///
    /// # Errors
    /// As [`Trainer::memory_lines`](crate::Trainer::memory_lines).
    pub fn trainer_bytes(&self) -> Result<u64, Error> {
        let lines = Owned::memory_lines(&self.run.plan.config, &&self.data)
            .map_err(|error| of_data(error, &self.data))?;
        Ok((size_of::<crate::Line>() * lines) as u64)
    }

    fn verdict(&self) -> Result<(), Error> {
        let problems = self.problems.lock().expect("nothing panics while it is held");
        let more = match problems.len() {
            0 => return Ok(()),
            1 => String::new(),
            MOST_PROBLEMS.. => " (and many more)".to_string(),
            n => format!(" (and {} more)", n - 1),
        };
        Err(Error::mismatch(format!("{}: {}{more}", self.run.name(), problems[0])))
    }

    /// Trains from the checkpoint of step `from` (0: from the start) to `to`, comparing on the way.
    fn train_again(&self, (from, to): (u64, u64), isa: Isa, team: &impl Team) -> Result<(), Error> {
        let start = match from {
            0 if self.outcome.init.is_none() => None,
            _ => Some(read_checkpoint(&self.run.folder.checkpoint(from))?),
        };
        let mut trainer = self.run.trainer(&self.data, start.as_ref(), isa)?;
        if to == 0 {
            self.compare(&mut trainer, team, None, true)?;
        }
        let diverged = (self.outcome.status == Status::Diverged).then_some(self.outcome.steps_done);
        while trainer.steps_done() < to {
            let (done, mut last) = (trainer.steps_done(), None);
            let recorded = |step: &u64| self.has_record(*step) || Some(*step) == diverged;
            let until = (done + 1..to).find(recorded).unwrap_or(to);
            let result = trainer.run(team, until - done, |stats| {
                self.observer.step();
                last = Some(stats);
                ControlFlow::Continue(())
            });
            match result {
                Err(Error::Diverged { step }) if diverged == Some(step) => return Ok(()),
                Err(Error::Diverged { step }) => {
                    self.problem(format!(
                        "manifest.json: the run diverges at step {step}, which it does not say"
                    ));
                    return Ok(());
                }
                result => result?,
            }
            if diverged == Some(until) {
                self.problem(format!("manifest.json: the run does not diverge at step {until}"));
            }
            self.compare(&mut trainer, team, last.as_ref(), until == to)?;
        }
        Ok(())
    }

    /// Whether the folder has, or should have, something to compare after `step`.
    fn has_record(&self, step: u64) -> bool {
        self.log.contains_key(&step)
            || self.checkpoints.contains_key(&step)
            || step == self.outcome.steps_done
            || step.is_multiple_of(CANVAS_EVERY)
            || self.run.folder.canvas(step).exists()
    }

    /// Compares what a step leaves behind with what is there; its state too, where that is at the `end` of an interval.
    fn compare(
        &self,
        trainer: &mut Owned<'_>,
        team: &impl Team,
        stats: Option<&StepStats>,
        end: bool,
    ) -> Result<(), Error> {
        let (step, should) = (trainer.steps_done(), self.leaves(trainer.steps_done()));
        let (canvas, line) = (self.canvas(step, should)?, self.log.get(&step));
        let digest = match self.outcome.status {
            // Settings with other digests are there before the log with those; up to the last checkpoint they ask for no more.
            Status::Running | Status::Failed => {
                line.is_some_and(|line| line.digest.is_some()) || should.digest && step <= self.saved()
            }
            _ => should.digest,
        };
        let leaves = Leaves {
            entry: line.is_some(),
            digest,
            canvas: canvas.is_some(),
            checkpoint: end || step == self.outcome.steps_done,
        };
        let made = record(trainer, team, stats, leaves)?;
        if let (Some(expected), Some(logged)) = (&made.entry, line)
            && expected.reproducible() != logged.reproducible()
        {
            self.problem(format!("metrics.jsonl: step {step}: expected {}", expected.reproducible()));
        }
        if let (Some(expected), Some(bytes)) = (made.canvas, canvas)
            && png::decode(&bytes, expected.pixels.len()) != Some(expected)
        {
            self.problem(format!("{}: not the canvas of that step", self.run.folder.canvas(step).display()));
        }
        if let Some(digests) = made.digests.filter(|_| leaves.checkpoint) {
            self.compare_state(step, digests);
        }
        Ok(())
    }

    fn compare_state(&self, step: u64, digests: Digests) {
        if let Some(kept) = self.checkpoints.get(&step).filter(|kept| **kept != digests) {
            let path = self.run.folder.checkpoint(step);
            self.problem(format!("{}: its state is {kept}, trained again {digests}", path.display()));
        }
        if step == self.outcome.steps_done
            && let Some(said) = self.outcome.state_digest.filter(|said| *said != digests.state)
        {
            self.problem(format!("manifest.json: state_digest is {said}, expected {}", digests.state));
        }
    }

    /// The bytes of the canvas of `step`; that it is missing is a problem, unless it may have been lost with the process.
    fn canvas(&self, step: u64, should: Leaves) -> Result<Option<Vec<u8>>, Error> {
        let path = self.run.folder.canvas(step);
        match files::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let ended = self.outcome.status == Status::Done && step == self.outcome.steps_done;
                if should.canvas && (ended || step < self.saved()) {
                    self.problem(format!("{}: missing", path.display()));
                }
                Ok(None)
            }
            Err(error) => Err(Error::io(path, error)),
        }
    }
}

/// Some of the intervals at random, in order.
fn sample(intervals: &[(u64, u64)], count: usize) -> Vec<(u64, u64)> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut order = vec![0; intervals.len()];
    Stream::new(now.map_or(0, |now| now.as_nanos() as u64), Purpose::Shuffle(0)).permute(&mut order);
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|i| intervals[i as usize]).collect()
}
