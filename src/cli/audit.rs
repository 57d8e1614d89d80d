//! A run's folder against its own settings: its files are compared with each other, and parts of it are trained again.
//!
//! Cut at its checkpoints, a run is a row of intervals. Each one is trained again from the checkpoint before it, by one
//! thread, several at once, and on the way every line of the log, every canvas and the checkpoint at its end are compared.
//! Timing, the manifest's sessions and the version of the program are not reproducible, and not compared.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;

use super::Owned;
use super::machine;
use super::metrics::{Timing, line_of};
use super::replay::{Progress, Recorded};
use super::run_folder::{RunFolder, canvas_of, canvas_path, checkpoint_path, checkpoints, read_checkpoint};
use super::train::grouped;
use crate::error::Error;
use crate::export::png;
use crate::rng::{Purpose, Stream};
use crate::{BITS_VERSION, Dataset, Digest, Isa, Join, Line, Rayon, Serial, Trainer};

/// Which intervals to train again.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// Each one.
    All,
    /// So many at random.
    Sample(usize),
}

/// A run under examination.
pub struct Audit<'a> {
    run: &'a Recorded,
    data: Dataset,
    /// Lines of the log by step, without their timing.
    log: Vec<(u64, String)>,
    /// Good checkpoints in ascending order: step and digest.
    checkpoints: Vec<(u64, String)>,
    /// The last step that the folder tells of.
    last: u64,
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
        let data = Dataset::open(data.unwrap_or(&run.plan.data))?;
        let mut audit = Audit {
            run,
            data,
            log: Vec::new(),
            checkpoints: Vec::new(),
            last: 0,
            problems: Mutex::default(),
        };
        audit.read_log()?;
        audit.read_checkpoints()?;
        let done = run.manifest.as_ref().map_or(0, |manifest| manifest.run.steps_done);
        let logged = audit.log.last().map_or(0, |(step, _)| *step);
        audit.last = done.max(logged).max(audit.checkpoints.last().map_or(0, |(step, _)| *step));
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

    fn status(&self) -> &str {
        self.run.manifest.as_ref().map_or("", |manifest| &manifest.run.status)
    }

    /// Whether `step` has a line in the log: as planned, or because the run was stopped there.
    fn is_logged(&self, step: u64) -> bool {
        self.run.plan.logs(step) || self.is_stop(step)
    }

    /// Whether the run was stopped after `step`.
    fn is_stop(&self, step: u64) -> bool {
        let stopped = self.run.manifest.as_ref().filter(|manifest| manifest.run.status == "stopped");
        step > 0 && stopped.is_some_and(|manifest| manifest.run.steps_done == step)
    }

    fn read_log(&mut self) -> Result<(), Error> {
        let path = self.run.path.join("metrics.jsonl");
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(path, error)),
        };
        for (i, line) in text.split_inclusive('\n').enumerate() {
            let torn = !line.ends_with('\n');
            if torn && self.status() == "running" {
                note!("the log's last line is cut off: the process was killed while it wrote it");
                continue;
            }
            let step = serde_json::from_str(line.trim_end()).ok().and_then(|value: serde_json::Value| {
                let timing: Timing = serde_json::from_value(value.get("timing")?.clone()).ok()?;
                (timing.steps_per_s >= 0.0).then(|| value.get("step")?.as_u64()).flatten()
            });
            let Some((step, end)) = step.zip(line.find(",\"timing\":")).filter(|_| !torn) else {
                self.problem(format!("metrics.jsonl: line {} is not a line of a log", i + 1));
                continue;
            };
            if self.log.last().is_some_and(|(before, _)| *before >= step) {
                self.problem(format!(
                    "metrics.jsonl: line {}: step {step} is not after the one before",
                    i + 1
                ));
                continue;
            }
            self.log.push((step, line[..end].to_string()));
        }
        Ok(())
    }

    fn read_checkpoints(&mut self) -> Result<(), Error> {
        let (config, data) = (&self.run.plan.config, Digest(self.data.digest()).to_string());
        for (step, path) in checkpoints(&self.run.path)?.into_iter().rev() {
            match read_checkpoint(&path) {
                Err(error @ Error::Input { .. }) => self.problem(error.to_string()),
                Err(error) => return Err(error),
                Ok(found) if found.step != step => {
                    self.problem(format!("{}: holds step {}", path.display(), found.step));
                }
                Ok(found) if found.config != *config => {
                    self.problem(format!("config.toml: its settings are not those of {}", path.display()));
                }
                Ok(found) if found.data_digest != data => {
                    self.problem(format!("{}: data_digest is not that of the data", path.display()));
                }
                Ok(found) => self.checkpoints.push((step, found.state_digest)),
            }
        }
        Ok(())
    }

    fn compare_manifest(&self) {
        let differs = |field: &str, is: &str, expected: &str| {
            if is != expected {
                self.problem(format!("manifest.json: {field} is {is}, expected {expected}"));
            }
        };
        let Some(manifest) = &self.run.manifest else {
            return self.problem("manifest.json: missing or malformed".to_string());
        };
        let (run, plan) = (&manifest.run, &self.run.plan);
        differs("bits_version", &run.bits_version.to_string(), &BITS_VERSION.to_string());
        differs("data_digest", &run.data_digest, &Digest(self.data.digest()).to_string());
        let images = self.data.images().count().saturating_sub(plan.config.validation);
        differs("images", &run.images.to_string(), &images.to_string());
        if run.status == "done" {
            differs("steps_done", &run.steps_done.to_string(), &plan.steps.to_string());
        } else if !["running", "stopped", "diverged", "failed"].contains(&&run.status[..]) {
            self.problem(format!("manifest.json: status is {}", run.status));
        }
        if run.steps_done > plan.steps {
            self.problem(format!("manifest.json: steps_done is {}, beyond the run's steps", run.steps_done));
        }
        if run.status == "done" && run.state_digest.is_none() {
            self.problem("manifest.json: state_digest is missing".to_string());
        }
        let kept = self.checkpoints.iter().find(|(step, _)| *step == run.steps_done);
        if let (Some(digest), Some((_, kept))) = (&run.state_digest, kept) {
            differs("state_digest", digest, kept);
        }
    }

    /// Which lines the log has, and the digests that it shares with checkpoints.
    fn compare_log(&self) {
        // Of a run that was killed, lines after the last checkpoint may not have reached the disk.
        let sure = match self.status() {
            "done" | "stopped" => self.last,
            _ => self.checkpoints.last().map_or(0, |(step, _)| *step),
        };
        for step in (1..=sure).filter(|&step| self.is_logged(step)) {
            if self.logged(step).is_none() {
                self.problem(format!("metrics.jsonl: step {step} is missing"));
            }
        }
        for (step, line) in &self.log {
            if !self.is_logged(*step) {
                self.problem(format!("metrics.jsonl: step {step} is too much"));
            }
            let digest = line.split_once("\"digest\":\"").map(|(_, rest)| rest.trim_end_matches('"'));
            let kept = self.checkpoints.iter().find(|(at, _)| at == step);
            if let (Some(digest), Some((_, kept))) = (digest, kept)
                && digest != kept
            {
                self.problem(format!("metrics.jsonl: step {step}: its digest is not its checkpoint's"));
            }
        }
    }

    fn logged(&self, step: u64) -> Option<&str> {
        let at = self.log.binary_search_by_key(&step, |(step, _)| *step).ok()?;
        Some(&self.log[at].1)
    }

    /// Trains intervals again; a mismatch is an error that names the first one found.
    pub fn check(self, choice: Choice, isa: Isa, threads: usize) -> Result<(), Error> {
        let mut ends: Vec<u64> = self.checkpoints.iter().map(|(step, _)| *step).chain([self.last]).collect();
        ends.dedup();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut intervals: Vec<(u64, u64)> =
            starts.zip(ends.clone()).filter(|(from, to)| from < to).collect();
        let all = intervals.len();
        if let Choice::Sample(count) = choice {
            intervals = sample(&intervals, count);
        }
        let steps: u64 = intervals.iter().map(|(from, to)| to - from).sum();
        super::print(&format!(
            "{}: {} checkpoints, {} lines of the log, {} steps\n",
            self.run.path.display(),
            self.checkpoints.len(),
            self.log.len(),
            grouped(self.last)
        ))?;
        let at_once = self.at_once(threads)?.min(intervals.len().max(1));
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
        let problems = self.problems.into_inner().expect("nothing panicked while it was held");
        if let Some(first) = problems.first() {
            let more = if problems.len() > 1 {
                format!(" (and {} more)", problems.len() - 1)
            } else {
                String::new()
            };
            return Err(Error::mismatch(format!("{}: {first}{more}", self.run.path.display())));
        }
        let list: Vec<String> = intervals.iter().map(|(from, to)| format!("{from}..{to}")).collect();
        let list = if intervals.len() == all { "all".to_string() } else { list.join(" ") };
        super::print(&format!(
            "{} of {all} intervals trained again, {} steps: {list}\nState, log and canvases are as recorded.\n",
            intervals.len(),
            grouped(steps)
        ))
    }

    /// How many trainers the threads and half of the free memory have room for.
    fn at_once(&self, threads: usize) -> Result<usize, Error> {
        let lines = Trainer::<Box<[Line]>>::memory_lines(&self.run.plan.config, self.data.images())?;
        let room =
            machine::available_bytes().map_or(threads as u64, |free| free / 2 / (64 * lines as u64).max(1));
        Ok(threads.min(room as usize).max(1))
    }

    /// Trains from the checkpoint of step `from` (0: from the start) to `to`, comparing on the way.
    fn train_again<J: Join>(
        &self,
        from: u64,
        to: u64,
        isa: Isa,
        join: &J,
        progress: &Progress,
    ) -> Result<(), Error> {
        let start = match from {
            0 => None,
            _ => Some(read_checkpoint(&checkpoint_path(&self.run.path, from))?),
        };
        let mut trainer = Trainer::new(self.run.plan.config.clone(), self.data.images())?;
        trainer.set_isa(isa);
        if let Some(start) = start {
            trainer.load(&start.state)?;
        }
        for step in from + 1..=to {
            let stats = match trainer.step(join) {
                Ok(stats) => stats,
                Err(Error::Diverged { .. }) if self.status() == "diverged" => return Ok(()),
                Err(Error::Diverged { step }) => {
                    self.problem(format!("the run diverges at step {step}, which it does not say"));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            progress.step();
            if self.is_logged(step)
                && let Some(logged) = self.logged(step)
            {
                let digest = self.run.plan.digests(step) || self.is_stop(step);
                let line = line_of(&mut trainer, &stats, digest, 0.0)?.reproducible();
                if line != logged {
                    self.problem(format!("metrics.jsonl: step {step}: expected {line}"));
                }
            }
            self.compare_canvas(&mut trainer)?;
        }
        let digest = trainer.digest()?.to_string();
        if let Some((_, kept)) = self.checkpoints.iter().find(|(step, kept)| *step == to && *kept != digest) {
            let path = checkpoint_path(&self.run.path, to);
            self.problem(format!("{}: its state is {kept}, trained again {digest}", path.display()));
        }
        let manifest = self.run.manifest.as_ref().filter(|manifest| manifest.run.steps_done == to);
        if let Some(said) = manifest.and_then(|manifest| manifest.run.state_digest.as_ref())
            && *said != digest
        {
            self.problem(format!("manifest.json: state_digest is {said}, expected {digest}"));
        }
        Ok(())
    }

    fn compare_canvas(&self, trainer: &mut Owned<'_>) -> Result<(), Error> {
        let path = canvas_path(&self.run.path, trainer.steps_done());
        let Ok(bytes) = fs::read(&path) else { return Ok(()) };
        let expected = canvas_of(trainer, (self.data.images().width(), self.data.images().height()))?;
        if png::decode(&bytes) != Some(expected) {
            self.problem(format!("{}: not the canvas of that step", path.display()));
        }
        Ok(())
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
