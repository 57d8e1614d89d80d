//! The folder of a run: the names of its files, reading them, and the right to write them. Uses `plan`, `log`, `manifest`, and
//! [`export`](crate::export).

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Observer;
use super::log;
use super::manifest::{Manifest, Status};
use super::plan::{Plan, Settings};
use crate::error::Error;
use crate::export::grid::Canvas;
use crate::export::png;
use crate::export::safetensors::Checkpoint;
use crate::files::{
    has_other_names, is_abandoned, is_unfinished, list, parent, read, regular, sync_folder, write_whole,
};

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
    fn lock(&self) -> PathBuf {
        self.0.join("run.lock")
    }
    /// The folder of its canvases.
    pub fn canvases(&self) -> PathBuf {
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
            read(&self.config()).ok() != ours.ok().map(String::into_bytes)
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
            || anything(self.checkpoint_folder())
            || self.config().exists() && config()
            || self.manifest().exists() && manifest()
            || self.log().exists() && log()
    }

    /// Refuses a run whose checkpoints or canvases lie, by a link, in the folder of another run: that one would lose its own.
    fn is_apart(&self) -> Result<(), Error> {
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

    /// Whether a process writes there now; none where the file system has no locks. (Asking takes the lock for an instant: who is
    /// refused it has to try again.)
    pub fn is_held(&self) -> Option<bool> {
        let lock = regular(&self.lock()).and_then(|()| File::open(self.lock()));
        let Ok(lock) = lock else { return Some(false) };
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
/// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is damaged or holds another step.
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

/// The folder of a run, to be written: held by this process, and by no other one. The operating system takes the lock from a
/// process that dies.
#[derive(Debug)]
pub struct Writer {
    /// What is written.
    pub folder: Folder,
    /// Holds the lock until it is dropped.
    _lock: File,
    /// Whether it is one: not every file system has locks.
    guarded: bool,
}

impl Writer {
    /// Makes the folder of a new run with its settings: `path`, or the first free of `runs/seed-<S>`, `runs/seed-<S>-2`, …
    ///
    /// # Errors
    /// [`Error::Usage`] if a run is there, or a setting is out of range; [`Error::Io`].
    pub fn create(path: Option<&Path>, plan: &Plan) -> Result<Writer, Error> {
        Writer::create_from(path, plan, None)
    }

    /// The same of a run that begins with what it was given: the manifest that says so, and its checkpoint of step 0.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub fn create_from(
        path: Option<&Path>,
        plan: &Plan,
        given: Option<(&Manifest, &[u8])>,
    ) -> Result<Writer, Error> {
        let text = plan.text()?;
        let writer = match path {
            Some(path) => Writer::create_in(path)?,
            None => Writer::create_free(plan.config.seed)?,
        };
        let folder = &writer.folder;
        writer.remove_unfinished()?;
        for left in [folder.manifest(), folder.log()] {
            match fs::remove_file(&left) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(left, error)),
                _ => {}
            }
        }
        // A folder that has settings can be resumed, one that has not is not yet a run. What cannot be made again is there before.
        if let Some((manifest, checkpoint)) = given {
            writer.write_manifest(manifest)?;
            make(&folder.checkpoint_folder())?;
            writer.write_checkpoint(0, checkpoint, 0)?;
        }
        writer.write_config(&text)?;
        for made in [folder.canvases(), folder.checkpoint_folder()] {
            make(&made)?;
        }
        sync_folder(folder.path())?;
        sync_folder(parent(folder.path()))?;
        Ok(writer)
    }

    fn create_in(path: &Path) -> Result<Writer, Error> {
        let folder = Folder::new(path);
        let taken = || {
            let problem =
                format!("{} already holds a run, expected a new folder (or --resume)", path.display());
            Error::usage("out", problem)
        };
        let check = || if folder.holds_run() { Err(taken()) } else { Ok(()) };
        // Before a lock is made there, and again when nobody else can write.
        check()?;
        make(path)?;
        let writer = Writer::hold(folder.clone())?;
        check()?;
        if !writer.guarded && folder.config().exists() {
            // Its process may still be there.
            return Err(taken());
        }
        Ok(writer)
    }

    /// The first of the default names that nobody uses.
    fn create_free(seed: u64) -> Result<Writer, Error> {
        let first = Folder::default_of(seed);
        let mut n = 1;
        loop {
            let path = if n == 1 { first.clone() } else { format!("{}-{n}", first.display()).into() };
            match Writer::create_in(&path) {
                Err(Error::Usage { .. }) => n += 1,
                result => return result,
            }
        }
    }

    /// Opens the folder of an existing run, and removes what a dead process left half-written there.
    ///
    /// # Errors
    /// [`Error::Usage`] if another process holds it, [`Error::Io`] if no run is there.
    pub fn open(path: &Path) -> Result<Writer, Error> {
        Folder::new(path).read_settings()?;
        let writer = Writer::hold(Folder::new(path))?;
        make(&writer.folder.canvases())?;
        make(&writer.folder.checkpoint_folder())?;
        writer.remove_unfinished()?;
        Ok(writer)
    }

    /// Whether no other process can write there: not every file system has locks.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    fn remove_unfinished(&self) -> Result<(), Error> {
        let folder = &self.folder;
        for dir in [folder.path().to_path_buf(), folder.canvases(), folder.checkpoint_folder()] {
            for path in list(&dir).into_iter().flatten().filter(|path| is_abandoned(path)) {
                fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        Ok(())
    }

    fn hold(folder: Folder) -> Result<Writer, Error> {
        let path = folder.lock();
        let failed = |error| Error::io(&path, error);
        let refused = |problem: &str| Err(Error::input(path.display().to_string(), problem.to_string()));
        if path.is_symlink() {
            return refused("is a link, expected a file of the run's own");
        }
        if path.exists() {
            regular(&path).map_err(failed)?;
        }
        folder.is_apart()?;
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let mut asked = 0;
        let locked = loop {
            asked += 1;
            match lock.try_lock() {
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
                // Perhaps only someone who asks whether it is held.
                Err(TryLockError::WouldBlock) if asked < 10 => std::thread::sleep(Duration::from_millis(5)),
                locked => break locked,
            }
        };
        let mut said = Vec::new();
        let read = Read::by_ref(&mut lock).take(24).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        // A machine that has lost its power may leave zeros.
        let holder = said.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let guarded = match locked {
            Ok(()) => true,
            // Windows does not let others read what is locked.
            Err(TryLockError::WouldBlock) => {
                let problem = format!("{} is in use by process {holder}", folder.path().display());
                return Err(Error::usage("out", problem));
            }
            Err(TryLockError::Error(error)) if has_no_locks(&error) => false,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        };
        read.map_err(failed)?;
        if !holder.bytes().all(|byte| byte.is_ascii_digit()) {
            return refused(
                "does not hold the number of a process, and may be another program's: expected it to be removed",
            );
        }
        // A file with other names, as in a copy by hard links, is a lock, but not written.
        if !has_other_names(&path) {
            lock.set_len(0)
                .and_then(|()| lock.rewind())
                .and_then(|()| writeln!(lock, "{}", std::process::id()))
                .map_err(failed)?;
        }
        Ok(Writer { folder, _lock: lock, guarded })
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
    pub fn write_canvas(&self, step: u64, canvas: &Canvas) -> Result<(), Error> {
        write_whole(&self.folder.canvas(step), |file| png::write(canvas, file))
    }

    /// Writes the checkpoint of `step`; then removes those before it but the last `keep_last` up to there, if that is not 0.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_checkpoint(&self, step: u64, bytes: &[u8], keep_last: usize) -> Result<(), Error> {
        write_whole(&self.folder.checkpoint(step), |file| file.write_all(bytes))?;
        if keep_last > 0 {
            let up_to_there = self
                .folder
                .checkpoints()?
                .into_iter()
                .filter(|(at, path)| (1..=step).contains(at) && path.is_file());
            // That of step 0 is what a run began with: nothing else has it.
            for (_, old) in up_to_there.skip(keep_last) {
                fs::remove_file(&old).map_err(|error| Error::io(&old, error))?;
            }
        }
        Ok(())
    }
}

fn make(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Whether the error says that the file system has no locks.
fn has_no_locks(error: &std::io::Error) -> bool {
    // It has no kind of its own.
    const ENOLCK: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 37 } else { 77 };
    error.kind() == ErrorKind::Unsupported || cfg!(unix) && error.raw_os_error() == Some(ENOLCK)
}
