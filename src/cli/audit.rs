//! A run's folder against its own settings: its files are compared with each other, and parts of it are trained again.
//!
//! Cut at its checkpoints, a run is a row of intervals. Each one is trained again from the checkpoint before it, several at
//! once on a thread each, and on the way every line of the log, every canvas and the checkpoint at its end are compared.
//! Timing, the manifest's sessions and the version of the program are not reproducible, and not compared.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;

use super::Owned;
use super::machine;
use super::metrics::{Line, line_of};
use super::replay::{Progress, Recorded};
use super::run_folder::{
    CANVAS_EVERY, Outcome, RunFolder, Status, canvas_of, canvas_path, checkpoint_path, checkpoints,
    read_checkpoint,
};
use super::train::grouped;
use crate::error::Error;
use crate::export::png;
use crate::rng::{Purpose, Stream};
use crate::{BITS_VERSION, Dataset, Digest, Isa, Rayon, Serial, Team, Trainer};

/// Missing lines of a log that are named.
const MOST_MISSING: usize = 100;

/// A run under examination.
pub struct Audit<'a> {
    run: &'a Recorded,
    outcome: Outcome,
    data: Dataset,
    data_digest: String,
    /// The log by step.
    log: BTreeMap<u64, Line>,
    /// The digests of good checkpoints by step.
    checkpoints: BTreeMap<u64, String>,
    problems: Mutex<Vec<String>>,
}

impl<'a> Audit<'a> {
    /// Reads the folder and compares its files with each other.
    pub fn new(run: &'a Recorded, data: Option<&Path>) -> Result<Audit<'a>, Error> {
        let name = || run.path.display().to_string();
        if RunFolder::is_held(&run.path) {
            return Err(Error::usage(
                name(),
                "is being trained, expected a run that has ended or was stopped",
            ));
        }
        let Some(manifest) = &run.manifest else {
            return Err(Error::mismatch(format!("{}: manifest.json: missing or malformed", name())));
        };
        let images = Dataset::open(data.unwrap_or(&run.plan.data))?;
        let mut audit = Audit {
            run,
            outcome: manifest.run.clone(),
            data_digest: Digest(images.digest()).to_string(),
            data: images,
            log: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            problems: Mutex::default(),
        };
        audit.read_log()?;
        let others_data = audit.read_checkpoints()?;
        if audit.outcome.data_digest != audit.data_digest && audit.checkpoints.is_empty() {
            // Not one file speaks for these data: they are others, not an altered manifest.
            run.data(data)?;
        }
        others_data.into_iter().for_each(|problem| audit.problem(problem));
        audit.compare_manifest();
        audit.compare_log();
        Ok(audit)
    }

    fn problem(&self, what: String) {
        let mut problems = self.problems.lock().expect("nothing panics while it is held");
        // The same file may be found wrong in more ways than one.
        if !problems.contains(&what) {
            note!("MISMATCH {what}");
            problems.push(what);
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

    /// Whether `step` has a line in the log.
    fn is_logged(&self, step: u64) -> bool {
        self.run.plan.logs(step) || self.is_stop(step)
    }

    /// The last step that the folder tells of.
    fn last(&self) -> u64 {
        let logged = self.log.last_key_value().map_or(0, |(step, _)| *step);
        let kept = self.checkpoints.last_key_value().map_or(0, |(step, _)| *step);
        self.outcome.steps_done.min(self.run.plan.steps).max(logged).max(kept)
    }

    fn read_log(&mut self) -> Result<(), Error> {
        let path = self.run.path.join("metrics.jsonl");
        let bytes = fs::read(&path).map_err(|error| Error::io(path, error))?;
        for (i, text) in String::from_utf8_lossy(&bytes).split_inclusive('\n').enumerate() {
            let wrong = |what: &str| self.problem(format!("metrics.jsonl: line {}: {what}", i + 1));
            let ended = matches!(self.outcome.status, Status::Done | Status::Stopped);
            let Some(text) = text.strip_suffix('\n') else {
                if ended {
                    wrong("cut off");
                } else {
                    note!("the log's last line is cut off, as a kill or a full disk leaves it");
                }
                continue;
            };
            match Line::parse(text) {
                None => wrong("not a line of a log"),
                Some(line) if line.step > self.run.plan.steps => {
                    wrong(&format!("step {} is beyond the run's steps", line.step));
                }
                Some(line) if self.log.last_key_value().is_some_and(|(before, _)| *before >= line.step) => {
                    wrong(&format!("step {} is not after the one before", line.step));
                }
                Some(line) => {
                    self.log.insert(line.step, line);
                }
            }
        }
        Ok(())
    }

    /// Takes the good checkpoints; returns what is wrong with those that trained on other data.
    fn read_checkpoints(&mut self) -> Result<Vec<String>, Error> {
        let (plan, images) = (&self.run.plan, self.data.images());
        let mut others_data = Vec::new();
        for (step, path) in checkpoints(&self.run.path)? {
            let name = path.display();
            match read_checkpoint(&path) {
                Err(error @ Error::Input { .. }) => self.problem(error.to_string()),
                Err(error) => return Err(error),
                Ok(found) if found.step != step => self.problem(format!("{name}: holds step {}", found.step)),
                Ok(found) if found.config != plan.config => {
                    self.problem(format!("config.toml: its settings are not those of {name}"));
                }
                Ok(_) if step > plan.steps => self.problem(format!("{name}: is beyond the run's steps")),
                Ok(found) if found.data_digest != self.data_digest => {
                    others_data.push(format!("{name}: data_digest is not that of the data"));
                }
                Ok(found) if (found.height, found.width) != (images.height(), images.width()) => {
                    self.problem(format!("{name}: height and width are not those of the data"));
                }
                Ok(found) => {
                    self.checkpoints.insert(step, found.state_digest);
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
        differs("data_digest", &run.data_digest, &self.data_digest);
        let images = self.data.images().count().saturating_sub(plan.config.validation);
        differs("images", &run.images.to_string(), &images.to_string());
        let at_end = run.steps_done == plan.steps;
        let possible = match run.status {
            Status::Done => at_end,
            Status::Stopped => run.steps_done < plan.steps,
            _ => run.steps_done <= plan.steps,
        };
        if !possible {
            let (status, done) = (run.status.name(), run.steps_done);
            self.problem(format!(
                "manifest.json: status is {status} with steps_done {done} of {}",
                plan.steps
            ));
        }
        // Who is killed or diverges leaves none.
        let said = run.state_digest.is_some();
        if said != !matches!(run.status, Status::Running | Status::Diverged) {
            let what = if said { "with" } else { "without" };
            self.problem(format!("manifest.json: status is {} {what} a state_digest", run.status.name()));
        }
        if let (Some(digest), Some(kept)) = (&run.state_digest, self.checkpoints.get(&run.steps_done)) {
            differs("state_digest", digest, kept);
        }
        let planned = if plan.checkpoint_every == 0 {
            run.steps_done.min(1)
        } else {
            run.steps_done.div_ceil(plan.checkpoint_every)
        };
        let there = self.checkpoints.keys().filter(|&&step| step > 0 && plan.keeps(step)).count() as u64;
        if run.status == Status::Done && plan.keep_last == 0 && there < planned {
            note!("{} of the run's checkpoints are not there: the intervals are longer", planned - there);
        }
    }

    /// Which lines the log has, and the digests that it shares with checkpoints.
    fn compare_log(&self) {
        // Of a run that was killed, lines after the last checkpoint may not have reached the disk.
        let sure = match self.outcome.status {
            Status::Done | Status::Stopped => self.last(),
            Status::Diverged => self.last().saturating_sub(1),
            _ => self.checkpoints.last_key_value().map_or(0, |(step, _)| *step),
        };
        let missing = (1..=sure).filter(|&step| self.is_logged(step) && !self.log.contains_key(&step));
        // Settings and manifest, both altered, may tell of any number of steps.
        for step in missing.take(MOST_MISSING) {
            self.problem(format!("metrics.jsonl: step {step} is missing"));
        }
        for (&step, line) in &self.log {
            if !self.is_logged(step) {
                self.problem(format!("metrics.jsonl: step {step} is too much"));
            }
            if let (Some(digest), Some(kept)) = (&line.digest, self.checkpoints.get(&step))
                && digest != kept
            {
                self.problem(format!("metrics.jsonl: step {step}: its digest is not its checkpoint's"));
            }
        }
    }

    /// Trains so many intervals again, taken at random, or all; a mismatch is an error that names the first one found.
    pub fn check(&self, count: Option<usize>, isa: Isa, threads: usize) -> Result<(), Error> {
        super::print(&format!(
            "{}: {} checkpoints, {} lines of the log, {} steps\n",
            self.run.path.display(),
            self.checkpoints.len(),
            self.log.len(),
            grouped(self.last())
        ))?;
        // Where the files contradict each other, training shows nothing more.
        self.verdict()?;
        let mut ends: Vec<u64> = self.checkpoints.keys().copied().chain([self.last()]).collect();
        ends.dedup();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        // From 0 to 0 is the initial state.
        let mut intervals: Vec<(u64, u64)> =
            starts.zip(ends.clone()).filter(|(from, to)| from < to || *to == 0).collect();
        let all = intervals.len();
        if let Some(count) = count {
            intervals = sample(&intervals, count);
        }
        let steps: u64 = intervals.iter().map(|(from, to)| to - from).sum();
        let at_once = self.at_once(threads)?.min(intervals.len());
        let progress = Progress::new(steps);
        if at_once == 1 {
            let pool = machine::pool(threads)?;
            for &(from, to) in &intervals {
                pool.install(|| self.train_again(from, to, isa, &Rayon, &progress))?;
            }
        } else {
            let train = |&(from, to): &(u64, u64)| self.train_again(from, to, isa, &Serial, &progress);
            machine::pool(at_once)?.install(|| intervals.par_iter().with_max_len(1).try_for_each(train))?;
        }
        drop(progress);
        self.verdict()?;
        let list: Vec<String> = intervals.iter().map(|(from, to)| format!("{from}..{to}")).collect();
        let list = if intervals.len() == all { "all".to_string() } else { list.join(" ") };
        super::print(&format!(
            "{} of {all} intervals trained again, {} steps: {list}\nIn them state, log and canvases are as recorded.\n",
            intervals.len(),
            grouped(steps)
        ))
    }

    fn verdict(&self) -> Result<(), Error> {
        let problems = self.problems.lock().expect("nothing panics while it is held");
        let more = match problems.len() {
            0 => return Ok(()),
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        Err(Error::mismatch(format!("{}: {}{more}", self.run.path.display(), problems[0])))
    }

    /// How many trainers the threads and half of the free memory have room for.
    fn at_once(&self, threads: usize) -> Result<usize, Error> {
        let config = &self.run.plan.config;
        let lines = Trainer::<Box<[crate::Line]>>::memory_lines(config, self.data.images())?;
        let each = (size_of::<crate::Line>() * lines) as u64;
        let room = machine::available_bytes().map_or(threads as u64, |free| free / 2 / each);
        Ok(threads.min(room as usize).max(1))
    }

    /// Trains from the checkpoint of step `from` (0: from the start) to `to`, comparing on the way.
    fn train_again(
        &self,
        from: u64,
        to: u64,
        isa: Isa,
        team: &impl Team,
        progress: &Progress,
    ) -> Result<(), Error> {
        let start = match from {
            0 => None,
            _ => Some(read_checkpoint(&checkpoint_path(&self.run.path, from))?),
        };
        let mut trainer = self.run.trainer(&self.data, start.as_ref(), isa)?;
        if to == 0 {
            self.compare_state(&mut trainer)?;
        }
        let diverged = (self.outcome.status == Status::Diverged).then_some(self.outcome.steps_done);
        while trainer.steps_done() < to {
            let (from, mut last) = (trainer.steps_done(), None);
            let until =
                (from + 1..=to).find(|&step| self.is_recorded(step) || Some(step) == diverged).unwrap_or(to);
            let result = trainer.run(team, until - from, |stats| {
                progress.step();
                last = Some(stats);
                ControlFlow::Continue(())
            });
            let stats = match (result, last) {
                (Ok(()), Some(stats)) => stats,
                (Ok(()), None) => continue,
                (Err(Error::Diverged { step }), _) if diverged == Some(step) => return Ok(()),
                (Err(Error::Diverged { step }), _) => {
                    self.problem(format!(
                        "manifest.json: the run diverges at step {step}, which it does not say"
                    ));
                    return Ok(());
                }
                (Err(error), _) => return Err(error),
            };
            let step = stats.step;
            if diverged == Some(step) {
                self.problem(format!("manifest.json: the run does not diverge at step {step}"));
            }
            if let Some(logged) = self.log.get(&step) {
                let digest = self.run.plan.digests(step) || self.is_stop(step);
                let expected = line_of(&mut trainer, &stats, digest, 0.0)?;
                if expected.reproducible() != logged.reproducible() {
                    self.problem(format!("metrics.jsonl: step {step}: expected {}", expected.reproducible()));
                }
            }
            if step == to || step == self.outcome.steps_done {
                self.compare_state(&mut trainer)?;
            }
            self.compare_canvas(&mut trainer, team)?;
        }
        Ok(())
    }

    /// Whether the folder has, or should have, something to compare after `step`.
    fn is_recorded(&self, step: u64) -> bool {
        self.log.contains_key(&step)
            || self.checkpoints.contains_key(&step)
            || step == self.outcome.steps_done
            || step.is_multiple_of(CANVAS_EVERY)
            || canvas_path(&self.run.path, step).exists()
    }

    fn compare_state(&self, trainer: &mut Owned<'_>) -> Result<(), Error> {
        let (step, digest) = (trainer.steps_done(), trainer.digest()?.to_string());
        if let Some(kept) = self.checkpoints.get(&step).filter(|kept| **kept != digest) {
            let path = checkpoint_path(&self.run.path, step);
            self.problem(format!("{}: its state is {kept}, trained again {digest}", path.display()));
        }
        if step == self.outcome.steps_done
            && let Some(said) = self.outcome.state_digest.as_ref().filter(|said| **said != digest)
        {
            self.problem(format!("manifest.json: state_digest is {said}, expected {digest}"));
        }
        Ok(())
    }

    fn compare_canvas(&self, trainer: &mut Owned<'_>, team: &impl Team) -> Result<(), Error> {
        let (step, images) = (trainer.steps_done(), self.data.images());
        let path = canvas_path(&self.run.path, step);
        match fs::read(&path) {
            Ok(bytes) => {
                let expected = canvas_of(trainer, team, (images.width(), images.height()))?;
                if png::decode(&bytes, expected.pixels.len()) != Some(expected) {
                    self.problem(format!("{}: not the canvas of that step", path.display()));
                }
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let saved = self.checkpoints.last_key_value().map_or(0, |(last, _)| *last);
                let end = self.outcome.status == Status::Done && step == self.outcome.steps_done;
                if end || step.is_multiple_of(CANVAS_EVERY) && step < saved {
                    self.problem(format!("{}: missing", path.display()));
                }
                Ok(())
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
