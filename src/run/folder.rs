//! The folder of a run: the names of its files, and reading them. Uses `plan`, `log`, `manifest`, and
//! [`export`](crate::export).

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Observer;
use super::log;
use super::manifest::{Manifest, Status};
use super::plan::{Plan, Settings};
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::files::{is_unfinished, list, parent, read, regular, write_whole};

/// The folder of a run, to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The run in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder(path.into())
    }
    /// Where a run of `seed` is unless told otherwise.
    pub fn default_of(seed: u64) -> PathBuf {
        PathBuf::from(format!("runs/seed-{seed}"))
    }
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// Its settings.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }
    /// What ran where.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("manifest.json")
    }
    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }
    /// What its newest samples were worth, when that was asked last.
    pub fn evaluation(&self) -> PathBuf {
        self.0.join("evaluation.json")
    }
    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("run.lock")
    }
    /// The folder of its canvases.
    pub fn canvases(&self) -> PathBuf {
        self.0.join("samples")
    }
    pub(super) fn checkpoint_folder(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
    /// The canvas of `step`.
    pub fn canvas(&self, step: u64) -> PathBuf {
        self.canvases().join(format!("step_{step:08}.png"))
    }
    /// The checkpoint of `step`.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoint_folder().join(checkpoint_name(step))
    }

    /// Whether there is anything that a new run must not replace: anything but what a start leaves behind that got no further than
    /// the program's own settings and the lines before its first checkpoint.
    pub fn holds_run(&self) -> bool {
        let anything = |folder: PathBuf| match list(&folder) {
            Ok(paths) => paths.iter().any(|path| !is_unfinished(path)),
            Err(_) => folder.exists(),
        };
        let config = || {
            let ours = self.read_settings().and_then(|settings| Plan::new(&settings)?.text());
            // One that cannot be read may be anything.
            !ours.is_ok_and(|ours| read(&self.config()).is_ok_and(|there| there == ours.as_bytes()))
        };
        let manifest = || match self.read_manifest() {
            Ok(manifest) => manifest.is_some_and(|manifest| {
                matches!(manifest.run.status, Status::Done | Status::Stopped | Status::Diverged)
            }),
            Err(_) => true,
        };
        // The first checkpoint comes right after its line.
        let log = || {
            let entries = log::entries(&self.log());
            entries.map_or(true, |entries| entries.values().rev().skip(1).any(|entry| entry.digest.is_some()))
        };
        anything(self.canvases())
            || anything(self.checkpoint_folder()) && !self.is_only_given()
            || self.config().exists() && config()
            || self.manifest().exists() && manifest()
            || self.log().exists() && log()
            || self.evaluation().exists()
    }

    /// Whether all that is there is what a run was given to begin with, and its start got no further.
    fn is_only_given(&self) -> bool {
        let begins = |manifest: Manifest| {
            manifest.run.init.is_some()
                && manifest.sessions.is_empty()
                && manifest.run.status == Status::Running
        };
        let first = self.checkpoint(0);
        let alone = || {
            list(&self.checkpoint_folder())
                .is_ok_and(|paths| paths.iter().all(|path| is_unfinished(path) || *path == first))
        };
        !self.config().exists()
            && !self.log().exists()
            && self.read_manifest().ok().flatten().is_some_and(begins)
            && alone()
    }

    /// Refuses a run whose checkpoints or canvases lie, by a link, in the folder of another run: that one would lose its own.
    pub(super) fn is_apart(&self) -> Result<(), Error> {
        let whole = |path: &Path| path.canonicalize().map_err(|error| Error::io(path, error));
        for dir in [self.canvases(), self.checkpoint_folder()].into_iter().filter(|dir| dir.is_symlink()) {
            let there = whole(&dir)?;
            for other in there.ancestors().map(Folder::new) {
                let is_run = other.config().exists() && (other.manifest().exists() || other.log().exists());
                if is_run && other.path() != whole(&self.0)? {
                    let problem = format!("leads to {}, within another run", there.display());
                    return Err(Error::input(dir.display().to_string(), problem));
                }
            }
        }
        Ok(())
    }

    /// Whether a process writes there now; none where the file system has no locks, or this one cannot be opened. (Asking takes the
    /// lock for an instant: who is refused it has to try again.)
    pub fn is_held(&self) -> Option<bool> {
        let lock = match regular(&self.lock()).and_then(|()| File::open(self.lock())) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(false),
            Err(_) => return None,
        };
        match lock.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }

    /// Writes what its samples are worth, unless a process trains there, or may; returns whether it has.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_evaluation(&self, text: &str) -> Result<bool, Error> {
        let runs = || {
            let manifest = self.read_manifest().ok().flatten();
            manifest.is_some_and(|manifest| manifest.run.status == Status::Running)
        };
        if self.is_held().unwrap_or_else(runs) {
            return Ok(false);
        }
        match write_whole(&self.evaluation(), |file| file.write_all(text.as_bytes())) {
            // One that has begun since takes an unfinished file for a dead process's.
            Err(Error::Io { error, .. }) if error.kind() == ErrorKind::NotFound && self.path().is_dir() => {
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    /// The manifest, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is malformed.
    pub fn read_manifest(&self) -> Result<Option<Manifest>, Error> {
        let path = self.manifest();
        match read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(path, error)),
            Ok(bytes) => serde_json::from_slice(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes))
                .map(Some)
                .map_err(|error| Error::input(path.display().to_string(), format!("malformed: {error}"))),
        }
    }

    /// The settings as they were written.
    ///
    /// # Errors
    /// As [`Settings::read`]; [`Error::Io`] if no run is there.
    pub fn read_settings(&self) -> Result<Settings, Error> {
        if !self.config().exists() {
            let problem = "no run is there: it has no config.toml";
            return Err(Error::io(&self.0, std::io::Error::new(ErrorKind::NotFound, problem)));
        }
        let failed = |error| Error::io(self.config(), error);
        regular(&self.config()).map_err(failed)?;
        // A run writes every setting; a file of the system's may say that it has no bytes.
        if fs::metadata(self.config()).map_err(failed)?.len() == 0 {
            return Err(Error::input(
                self.config().display().to_string(),
                "empty, expected the settings of the run",
            ));
        }
        Settings::read(&self.config())
    }

    /// The names of its checkpoints, newest first.
    ///
    /// # Errors
    /// [`Error::Io`] if their folder cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let folder = self.checkpoint_folder();
        let paths = list(&folder).map_err(|error| Error::io(&folder, error))?;
        let mut found: Vec<(u64, PathBuf)> =
            paths.into_iter().filter_map(|path| Some((step_of(&path)?, path))).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// The newest good checkpoint that is not after step `last`; `observer` is told which ones were passed over, and why: those
    /// that cannot be read, too.
    ///
    /// # Errors
    /// [`Error::Io`] if their folder cannot be read, or there is none but such that cannot be read; [`Error::Environment`] if
    /// there is no memory for one.
    pub fn newest_checkpoint(
        &self,
        last: u64,
        observer: &dyn Observer,
    ) -> Result<Option<(PathBuf, Checkpoint)>, Error> {
        self.first_good(&mut self.checkpoints()?.into_iter().filter(|(step, _)| *step <= last), observer)
    }

    /// The first good one of `files`.
    pub(super) fn first_good(
        &self,
        files: &mut dyn Iterator<Item = (u64, PathBuf)>,
        observer: &dyn Observer,
    ) -> Result<Option<(PathBuf, Checkpoint)>, Error> {
        let mut unreadable = None;
        for (_, file) in files {
            let error = match read_checkpoint(&file) {
                Ok(checkpoint) => return Ok(Some((file, checkpoint))),
                Err(error @ Error::Environment { .. }) => return Err(error),
                Err(error) => error,
            };
            observer.note(&format!("passed over a bad checkpoint: {error}"));
            if matches!(&error, Error::Io { .. }) && file.is_file() {
                unreadable = Some(error);
            }
        }
        // One that may be good, on a disk that is not, is no reason to begin anew.
        unreadable.map_or(Ok(None), Err)
    }
}

/// The step in the name of a checkpoint, as a run writes it.
fn step_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let step = name.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok()?;
    (name == checkpoint_name(step)).then_some(step)
}

fn checkpoint_name(step: u64) -> String {
    format!("step_{step:08}.safetensors")
}

/// Reads and checks one checkpoint, also against the step in its name where it lies in a run's folder.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is damaged or holds another step, [`Error::Environment`] without memory.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, Error> {
    let bytes = read(path).map_err(|error| Error::io(path, error))?;
    let source = path.display().to_string();
    let checkpoint = Checkpoint::decode(&bytes, &source)?;
    let of_a_run = parent(path).file_name().is_some_and(|name| name == "checkpoints");
    match step_of(path).filter(|_| of_a_run) {
        Some(step) if step != checkpoint.step => {
            Err(Error::input(source, format!("holds step {}", checkpoint.step)))
        }
        _ => Ok(checkpoint),
    }
}
