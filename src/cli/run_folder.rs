//! The folder of a run: `config.toml`, `manifest.json`, `metrics.jsonl`, `samples/`, `checkpoints/`, and `run.lock`, which
//! the one process that writes there holds. The operating system takes the lock from a process that dies.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Owned;
use crate::Team;
use crate::error::Error;
use crate::export::grid::{Canvas, canvas};
use crate::export::safetensors::Checkpoint;
use crate::export::{PART, parent, sync_folder, write_whole};

/// Steps between canvases.
pub const CANVAS_EVERY: u64 = 2_000;
/// Samples per row and column of a canvas.
const GRID: usize = 6;

/// A run's folder, held by this process.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Holds the lock until it is dropped.
    _lock: File,
}

/// `manifest.json`: what ran where. What the run determines is apart from what it does not.
#[derive(Debug, Deserialize, Serialize)]
pub struct Manifest {
    /// What two runs of the same settings agree on.
    pub run: Outcome,
    /// One per start of the command.
    pub sessions: Vec<Session>,
}

/// What the run determines.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcome {
    /// Version of the program.
    pub duel: String,
    /// Version of the bits.
    pub bits_version: u32,
    /// Digest of the decompressed data.
    pub data_digest: String,
    /// Training images.
    pub images: usize,
    /// How it stands.
    pub status: Status,
    /// Steps done when the last session ended.
    pub steps_done: u64,
    /// Digest of the state then.
    pub state_digest: Option<String>,
}

/// How a run stands. Of one that was killed the manifest still says running.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// At its last step.
    Done,
    /// By a signal, saved.
    Stopped,
    /// Being trained, or killed.
    Running,
    /// Ended by [`Error::Diverged`].
    Diverged,
    /// Ended by another error.
    Failed,
}

impl Status {
    /// The word in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Stopped => "stopped",
            Status::Running => "running",
            Status::Diverged => "diverged",
            Status::Failed => "failed",
        }
    }
}

/// One start of the command.
#[derive(Debug, Deserialize, Serialize)]
pub struct Session {
    /// UTC.
    pub started: String,
    /// UTC; none if the process was killed.
    pub ended: Option<String>,
    /// The processor.
    pub cpu: String,
    /// The backend.
    pub isa: String,
    /// Threads.
    pub threads: usize,
    /// The step that it went on from.
    pub from_step: u64,
}

impl RunFolder {
    /// Makes the folder of a new run with the text of its settings: `out`, or the first free of `runs/seed-<S>`, `runs/seed-<S>-2`, …
    pub fn create(out: Option<&Path>, seed: u64, config: &str) -> Result<RunFolder, Error> {
        let taken = |path: &Path| {
            let problem =
                format!("{} already holds a run, expected a new folder, or --resume", path.display());
            Error::usage("--out", problem)
        };
        let path = match out {
            Some(path) if holds_run(path) => return Err(taken(path)),
            Some(path) => path.to_path_buf(),
            None => free_name(seed)?,
        };
        let make = |folder: &Path| fs::create_dir_all(folder).map_err(|error| Error::io(folder, error));
        make(&path)?;
        let folder = RunFolder::hold(path)?;
        if out.is_some_and(holds_run) {
            return Err(taken(&folder.path));
        }
        // The settings first: a folder that has them can be resumed, one that has not is not yet a run.
        folder.write_config(config)?;
        make(&folder.samples())?;
        make(&folder.checkpoints())?;
        for dir in [&folder.path, parent(&folder.path)] {
            sync_folder(dir).map_err(|error| Error::io(dir, error))?;
        }
        Ok(folder)
    }

    /// Opens the folder of an existing run, and removes what a dead process left half-written there.
    pub fn open(path: &Path) -> Result<RunFolder, Error> {
        if !path.join("config.toml").exists() {
            let problem =
                std::io::Error::new(std::io::ErrorKind::NotFound, "no run is there: it has no config.toml");
            return Err(Error::io(path, problem));
        }
        let folder = RunFolder::hold(path.to_path_buf())?;
        for dir in [folder.path.clone(), folder.samples(), folder.checkpoints()] {
            fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
            for entry in fs::read_dir(&dir).map_err(|error| Error::io(&dir, error))?.flatten() {
                if entry.path().extension().is_some_and(|extension| extension == PART) {
                    fs::remove_file(entry.path()).map_err(|error| Error::io(entry.path(), error))?;
                }
            }
        }
        Ok(folder)
    }

    fn hold(path: PathBuf) -> Result<RunFolder, Error> {
        let file = path.join("run.lock");
        let failed = |error| Error::io(&file, error);
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&file)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                let problem = format!("{} is in use by process {}", path.display(), holder.trim());
                return Err(Error::usage("--out", problem));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
        Ok(RunFolder { path, _lock: lock })
    }

    /// Whether a process writes in `path` now.
    pub fn is_held(path: &Path) -> bool {
        File::open(path.join("run.lock"))
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Removes the checkpoints after `step`, of a run that goes on from there, and says how many: with them in place the
    /// next stop would leave a gap in the log.
    pub fn remove_checkpoints_after(&self, step: u64) -> Result<usize, Error> {
        let later = checkpoints(&self.path)?.into_iter().filter(|(at, _)| *at > step);
        let mut removed = 0;
        for (_, file) in later {
            fs::remove_file(&file).map_err(|error| Error::io(&file, error))?;
            removed += 1;
        }
        Ok(removed)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The settings.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }
    /// The log.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }
    fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }
    fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Writes the settings.
    pub fn write_config(&self, text: &str) -> Result<(), Error> {
        write_whole(&self.config(), |file| file.write_all(text.as_bytes()))
    }

    /// Reads the manifest, if there is a whole one.
    pub fn manifest(path: &Path) -> Option<Manifest> {
        serde_json::from_slice(&fs::read(path.join("manifest.json")).ok()?).ok()
    }

    /// Writes the manifest.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(manifest).expect("a manifest is plain values");
        text.push('\n');
        write_whole(&self.path.join("manifest.json"), |file| file.write_all(text.as_bytes()))
    }

    /// Writes the canvas of `step` and returns its path.
    pub fn write_canvas(&self, step: u64, png: &[u8]) -> Result<PathBuf, Error> {
        let path = canvas_path(&self.path, step);
        write_whole(&path, |file| file.write_all(png))?;
        Ok(path)
    }

    /// Writes the checkpoint of `step`, then removes the oldest ones but `keep_last`, if that is not 0.
    pub fn write_checkpoint(&self, step: u64, bytes: &[u8], keep_last: usize) -> Result<(), Error> {
        let path = checkpoint_path(&self.path, step);
        write_whole(&path, |file| file.write_all(bytes))?;
        if keep_last > 0 {
            for (_, old) in checkpoints(&self.path)?.into_iter().skip(keep_last).filter(|(at, _)| *at != step)
            {
                fs::remove_file(&old).map_err(|error| Error::io(&old, error))?;
            }
        }
        Ok(())
    }
}

/// Where the run in `path` keeps the canvas of `step`.
pub fn canvas_path(path: &Path, step: u64) -> PathBuf {
    path.join("samples").join(format!("step_{step:08}.png"))
}

/// Where the run in `path` keeps the checkpoint of `step`.
pub fn checkpoint_path(path: &Path, step: u64) -> PathBuf {
    path.join("checkpoints").join(format!("step_{step:08}.safetensors"))
}

/// The canvas of the seed's first 36 samples: the same z at every step.
pub fn canvas_of(
    trainer: &mut Owned<'_>,
    team: &impl Team,
    (width, height): (usize, usize),
) -> Result<Canvas, Error> {
    let (seed, mut bytes) = (trainer.config().seed, vec![0; GRID * GRID * width * height]);
    trainer.sample(team, seed, 0, &mut bytes)?;
    Ok(canvas(&bytes, (width, height), (GRID, GRID), true))
}

/// The checkpoints of the run in `path`, newest first.
pub fn checkpoints(path: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let folder = path.join("checkpoints");
    let entries = fs::read_dir(&folder).map_err(|error| Error::io(&folder, error))?;
    let mut found: Vec<(u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let step = name.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok()?;
            Some((step, entry.path()))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Reads and checks one checkpoint.
pub fn read_checkpoint(path: &Path) -> Result<Checkpoint, Error> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    Checkpoint::decode(&bytes, &path.display().to_string())
}

/// The newest checkpoint of the run in `path` that checks out; says on stderr which ones were passed over.
pub fn newest_checkpoint(path: &Path) -> Result<Option<(PathBuf, Checkpoint)>, Error> {
    for (_, file) in checkpoints(path)? {
        match read_checkpoint(&file) {
            Ok(checkpoint) => return Ok(Some((file, checkpoint))),
            Err(error @ Error::Input { .. }) => note!("passed over a bad checkpoint: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Makes the first free of the default names.
fn free_name(seed: u64) -> Result<PathBuf, Error> {
    fs::create_dir_all("runs").map_err(|error| Error::io("runs", error))?;
    let mut names = (1..).map(|n| match n {
        1 => default_name(seed),
        _ => PathBuf::from(format!("runs/seed-{seed}-{n}")),
    });
    loop {
        let path = names.next().expect("there are more names than folders");
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(path, error)),
        }
    }
}

/// Where a run of `seed` is unless told otherwise.
pub fn default_name(seed: u64) -> PathBuf {
    PathBuf::from(format!("runs/seed-{seed}"))
}

fn holds_run(path: &Path) -> bool {
    ["config.toml", "manifest.json", "metrics.jsonl", "checkpoints", "samples"]
        .iter()
        .any(|name| path.join(name).exists())
}
