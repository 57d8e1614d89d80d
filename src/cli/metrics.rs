//! `metrics.jsonl`: a line of JSON per logged step. What a run determines comes first, the timing last, so that
//! `sed 's/,"timing".*//'` of two runs can be compared byte by byte.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Owned;
use super::settings::Plan;
use crate::StepStats;
use crate::error::Error;
use crate::export::write_whole;

/// One line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The step, counted from 1.
    pub step: u64,
    /// The generator's loss before the step's update.
    pub g_loss: f32,
    /// The discriminator's loss before the step's update.
    pub d_loss: f32,
    /// Mean probability of the batch's real images.
    pub mean_d_real: f32,
    /// Mean probability of the batch's generated images.
    pub mean_d_fake: f32,
    /// Digest of the state after the step, at checkpoints and where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What no run determines.
    pub timing: Timing,
}

impl Line {
    /// The line with this text; nothing if no line has exactly this text.
    pub fn parse(text: &str) -> Option<Line> {
        serde_json::from_str(text).ok().filter(|line: &Line| line.text() == text)
    }

    /// The text of the line without its timing.
    pub fn reproducible(&self) -> String {
        let text = self.text();
        text.split(",\"timing\":").next().unwrap_or_default().to_string()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("a line is plain values")
    }
}

/// The line of the step that `trainer` has just taken.
pub fn line_of(
    trainer: &mut Owned<'_>,
    stats: &StepStats,
    with_digest: bool,
    steps_per_s: f64,
) -> Result<Line, Error> {
    let (mean_d_real, mean_d_fake) = trainer.mean_probabilities()?;
    Ok(Line {
        step: stats.step,
        g_loss: stats.generator_loss,
        d_loss: stats.discriminator_loss,
        mean_d_real,
        mean_d_fake,
        digest: if with_digest { Some(trainer.digest()?.to_string()) } else { None },
        timing: Timing { steps_per_s: (steps_per_s * 10.0).round() / 10.0 },
    })
}

/// The timing of a line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Steps per second since the command started.
    pub steps_per_s: f64,
}

/// The log, open for appending.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens the log of a run that goes on after `step`, cut to the lines that the run up to there would have written
    /// under `plan`: a stop in between leaves no trace.
    pub fn open(path: PathBuf, plan: &Plan, step: u64) -> Result<Metrics, Error> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(path, error)),
        };
        let kept: String = text.split_inclusive('\n').filter_map(|line| kept(line, plan, step)).collect();
        if kept != text {
            write_whole(&path, |file| file.write_all(kept.as_bytes()))?;
        }
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, error))?;
        Ok(Metrics { path, file })
    }

    /// Appends a line.
    pub fn write(&mut self, line: &Line) -> Result<(), Error> {
        let text = line.text() + "\n";
        self.file.write_all(text.as_bytes()).map_err(|error| Error::io(&self.path, error))
    }

    /// Makes sure that the lines are on the disk: before a checkpoint that counts on them.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|error| Error::io(&self.path, error))
    }

    /// The last line of a log, as it stands.
    pub fn last(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()?.lines().last().map(str::to_string)
    }
}

/// A line without what `plan` would not have written; nothing if it would not be there, or is past `last`, or cut off.
fn kept(line: &str, plan: &Plan, last: u64) -> Option<String> {
    let mut line = Line::parse(line.strip_suffix('\n')?)?;
    if line.step > last || !plan.logs(line.step) {
        return None;
    }
    line.digest = line.digest.filter(|_| plan.digests(line.step));
    Some(line.text() + "\n")
}
