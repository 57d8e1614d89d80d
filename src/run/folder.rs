//! The folder of a run: the names of its files, reading them, and the right to write them. Uses `plan`, `manifest`, and
//! [`export`](crate::export).

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Observer;
use super::manifest::Manifest;
use super::plan::{Plan, Settings};
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::export::{UNFINISHED, parent, sync_folder, write_whole};

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
    fn lock(&self) -> PathBuf {
        self.0.join("run.lock")
    }
    fn canvases(&self) -> PathBuf {
        self.0.join("samples")
    }
    fn checkpoint_folder(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
    /// The canvas of `step`.
    pub fn canvas(&self, step: u64) -> PathBuf {
        self.canvases().join(format!("step_{step:08}.png"))
    }
    /// The checkpoint of `step`.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoint_folder().join(format!("step_{step:08}.safetensors"))
    }

    /// Whether there is anything of a run.
    pub fn holds_run(&self) -> bool {
        [self.config(), self.manifest(), self.log(), self.canvases(), self.checkpoint_folder()]
            .iter()
            .any(|path| path.exists())
    }

    /// Whether a process writes there now.
    pub fn is_held(&self) -> bool {
        File::open(self.lock())
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The manifest, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is malformed.
    pub fn read_manifest(&self) -> Result<Option<Manifest>, Error> {
        let path = self.manifest();
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(path, error)),
            Ok(bytes) => serde_json::from_slice(&bytes)
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
            return Err(Error::io(&self.0, std::io::Error::new(std::io::ErrorKind::NotFound, problem)));
        }
        Settings::read(&self.config())
    }

    /// The names of its checkpoints, newest first.
    ///
    /// # Errors
    /// [`Error::Io`] if their folder cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let folder = self.checkpoint_folder();
        let entries = fs::read_dir(&folder).map_err(|error| Error::io(&folder, error))?;
        let mut found: Vec<(u64, PathBuf)> =
            entries.flatten().filter_map(|entry| Some((step_of(&entry.path())?, entry.path()))).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// The newest good checkpoint that is not after step `last`; `observer` is told which ones were passed over, and why.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn newest_checkpoint(
        &self,
        last: u64,
        observer: &dyn Observer,
    ) -> Result<Option<(PathBuf, Checkpoint)>, Error> {
        for (_, file) in self.checkpoints()?.into_iter().filter(|(step, _)| *step <= last) {
            match read_checkpoint(&file) {
                Ok(checkpoint) => return Ok(Some((file, checkpoint))),
                Err(error @ Error::Input { .. }) => {
                    observer.note(&format!("passed over a bad checkpoint: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// The step in the name of a checkpoint.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok()
}

/// Reads and checks one checkpoint, also against the step in its name where it lies in a run's folder.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is damaged or holds another step.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, Error> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
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

/// The folder of a run, to be written: held by this process, and by no other one. The operating system takes the lock from a
/// process that dies.
#[derive(Debug)]
pub struct Writer {
    /// What is written.
    pub folder: Folder,
    /// Holds the lock until it is dropped.
    _lock: File,
}

impl Writer {
    /// Makes the folder of a new run with its settings: `path`, or the first free of `runs/seed-<S>`, `runs/seed-<S>-2`, …
    ///
    /// # Errors
    /// [`Error::Usage`] if a run is there, or a setting is out of range; [`Error::Io`].
    pub fn create(path: Option<&Path>, plan: &Plan) -> Result<Writer, Error> {
        let text = plan.text()?;
        let taken = |folder: &Folder| {
            let problem = format!("{} already holds a run, expected a new folder", folder.path().display());
            Error::usage("out", problem)
        };
        let folder = match path {
            Some(path) => Folder::new(path),
            None => free_name(plan.config.seed)?,
        };
        if path.is_some() && folder.holds_run() {
            return Err(taken(&folder));
        }
        let make = |folder: &Path| fs::create_dir_all(folder).map_err(|error| Error::io(folder, error));
        make(folder.path())?;
        let writer = Writer::hold(folder)?;
        let folder = &writer.folder;
        if path.is_some() && folder.holds_run() {
            return Err(taken(folder));
        }
        // The settings first: a folder that has them can be resumed, one that has not is not yet a run.
        writer.write_config(&text)?;
        make(&folder.canvases())?;
        make(&folder.checkpoint_folder())?;
        for dir in [folder.path(), parent(folder.path())] {
            sync_folder(dir).map_err(|error| Error::io(dir, error))?;
        }
        Ok(writer)
    }

    /// Opens the folder of an existing run, and removes what a dead process left half-written there.
    ///
    /// # Errors
    /// [`Error::Usage`] if another process holds it, [`Error::Io`] if no run is there.
    pub fn open(path: &Path) -> Result<Writer, Error> {
        Folder::new(path).read_settings()?;
        let writer = Writer::hold(Folder::new(path))?;
        let folder = &writer.folder;
        for dir in [folder.path().to_path_buf(), folder.canvases(), folder.checkpoint_folder()] {
            fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
            for entry in fs::read_dir(&dir).map_err(|error| Error::io(&dir, error))?.flatten() {
                if entry.path().extension().is_some_and(|extension| extension == UNFINISHED) {
                    fs::remove_file(entry.path()).map_err(|error| Error::io(entry.path(), error))?;
                }
            }
        }
        Ok(writer)
    }

    fn hold(folder: Folder) -> Result<Writer, Error> {
        let path = folder.lock();
        let failed = |error| Error::io(&path, error);
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                let problem = format!("{} is in use by process {}", folder.path().display(), holder.trim());
                return Err(Error::usage("out", problem));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
        Ok(Writer { folder, _lock: lock })
    }

    /// Removes the checkpoints after `step`, of a run that goes on from there, and says how many: with them in place the
    /// next stop would leave a gap in the log.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_checkpoints_after(&self, step: u64) -> Result<usize, Error> {
        let later = self.folder.checkpoints()?.into_iter().filter(|(at, _)| *at > step);
        let mut removed = 0;
        for (_, file) in later {
            fs::remove_file(&file).map_err(|error| Error::io(&file, error))?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_config(&self, text: &str) -> Result<(), Error> {
        write_whole(&self.folder.config(), |file| file.write_all(text.as_bytes()))
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(manifest).expect("a manifest is plain values");
        write_whole(&self.folder.manifest(), |file| writeln!(file, "{text}"))
    }

    /// Writes the canvas of `step`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_canvas(&self, step: u64, png: &[u8]) -> Result<(), Error> {
        write_whole(&self.folder.canvas(step), |file| file.write_all(png))
    }

    /// Writes the checkpoint of `step`, then removes the oldest ones but `keep_last`, if that is not 0.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_checkpoint(&self, step: u64, bytes: &[u8], keep_last: usize) -> Result<(), Error> {
        write_whole(&self.folder.checkpoint(step), |file| file.write_all(bytes))?;
        if keep_last > 0 {
            let old = self.folder.checkpoints()?.into_iter().skip(keep_last);
            for (_, old) in old.filter(|(at, _)| *at != step) {
                fs::remove_file(&old).map_err(|error| Error::io(&old, error))?;
            }
        }
        Ok(())
    }
}

/// Makes the first free of the default names.
fn free_name(seed: u64) -> Result<Folder, Error> {
    fs::create_dir_all("runs").map_err(|error| Error::io("runs", error))?;
    let first = Folder::default_of(seed);
    let mut names =
        (1..).map(|n| if n == 1 { first.clone() } else { format!("{}-{n}", first.display()).into() });
    loop {
        let path: PathBuf = names.next().expect("there are more names than folders");
        match fs::create_dir(&path) {
            Ok(()) => return Ok(Folder(path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(path, error)),
        }
    }
}
