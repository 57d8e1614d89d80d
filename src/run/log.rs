//! `metrics.jsonl`: a line of JSON per logged step. What a run determines comes first, the timing last, so that
//! `sed 's/,"timing".*//'` of two runs can be compared byte by byte. Uses `plan`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::digest::Digest;
use crate::error::Error;
use crate::export::write_whole;

/// What the log says about a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
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
    pub digest: Option<Digest>,
    /// What no run determines.
    pub timing: Timing,
}

/// The timing of an entry.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Steps per second since the session started, to a tenth.
    pub steps_per_s: f64,
}

impl Entry {
    /// The entry with this text; nothing if no entry has exactly this text.
    fn parse(text: &str) -> Option<Entry> {
        serde_json::from_str(text).ok().filter(|entry: &Entry| entry.text() == text)
    }

    /// The text without the timing.
    pub fn reproducible(&self) -> String {
        let text = self.text();
        text.split(",\"timing\":").next().unwrap_or_default().to_string()
    }

    /// The line, without its end.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("an entry is plain values")
    }
}

/// A line of a log, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// An entry.
    Entry(Entry),
    /// The last line, without its end, as a kill or a full disk leaves it.
    CutOff,
    /// Anything else.
    Malformed,
}

/// Reads a log, line by line.
///
/// # Errors
/// [`Error::Io`] if it is not there, or cannot be read.
pub fn read(path: &Path) -> Result<Vec<Row>, Error> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
        None => Row::CutOff,
        Some(line) => Entry::parse(line).map_or(Row::Malformed, Row::Entry),
    });
    Ok(lines.collect())
}

/// A log, open for appending.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Opens the log of a run that goes on after `step`, cut to what the run up to there would have written under `plan`: a
    /// stop in between leaves no trace.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] naming a line that no run has written.
    pub fn open(path: PathBuf, plan: &Plan, step: u64) -> Result<Writer, Error> {
        let lines = if path.exists() { read(&path)? } else { Vec::new() };
        if let Some(i) = lines.iter().position(|line| *line == Row::Malformed) {
            return Err(Error::input(path.display().to_string(), format!("line {} is malformed", i + 1)));
        }
        let kept: Vec<Row> = lines.iter().filter_map(|line| kept(line, plan, step)).collect();
        if kept != lines {
            write_whole(&path, |file| {
                kept.iter().try_for_each(|line| match line {
                    Row::Entry(entry) => writeln!(file, "{}", entry.text()),
                    _ => Ok(()),
                })
            })?;
        }
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| Error::io(&path, error))?;
        Ok(Writer { path, file })
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, entry: &Entry) -> Result<(), Error> {
        let text = entry.text() + "\n";
        self.file.write_all(text.as_bytes()).map_err(|error| Error::io(&self.path, error))
    }

    /// Makes sure that the entries are on the disk: before a checkpoint that counts on them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|error| Error::io(&self.path, error))
    }
}

/// A line without what `plan` would not have written; nothing if it would not be there, or is past `last`.
fn kept(line: &Row, plan: &Plan, last: u64) -> Option<Row> {
    let Row::Entry(entry) = line else { return None };
    let leaves = plan.leaves(entry.step, false);
    if entry.step > last || !leaves.entry {
        return None;
    }
    Some(Row::Entry(Entry { digest: entry.digest.filter(|_| leaves.digest), ..entry.clone() }))
}
