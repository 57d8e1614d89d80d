//! The right to write in the folder of a run, which one process has at a time, and what is written there. Uses `plan`, `manifest`,
//! `folder`, and [`export`](crate::export).

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use super::folder::Folder;
use super::manifest::Manifest;
use super::plan::Plan;
use crate::error::Error;
use crate::export::grid::Canvas;
use crate::export::png;
use crate::files::{has_other_names, is_abandoned, list, parent, regular, sync_folder, write_whole};

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
        // Settings first: without them it is no run.
        for left in [folder.config(), folder.checkpoint(0), folder.log(), folder.manifest()] {
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
                Err(_) if path.exists() && !path.is_dir() => n += 1,
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
