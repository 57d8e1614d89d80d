//! The states that commands take: `RUN` (its newest good checkpoint), `RUN@STEP` (the state after any step, recomputed
//! from the nearest checkpoint before it if it was not saved) and `STATE` (a checkpoint). Uses `run_folder`, `settings`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::ThreadPool;

use super::Owned;
use super::machine::Machine;
use super::run_folder::{Manifest, RunFolder, checkpoints, newest_checkpoint, read_checkpoint};
use super::settings::{Plan, Settings};
use super::train::grouped;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::{BITS_VERSION, Dataset, Digest, Isa, Rayon, Trainer};

/// What a state is recomputed with.
#[derive(Debug, Args)]
pub struct Replay {
    /// Folder of the data set [default: the run's, else data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Threads and backend.
    #[command(flatten)]
    pub machine: Machine,
}

/// What an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A run's folder.
    Run(PathBuf),
    /// A run's folder and a step.
    Step(PathBuf, u64),
    /// A checkpoint.
    State(PathBuf),
}

impl Named {
    /// RUN, RUN@STEP or STATE. What exists under the whole name is that.
    pub fn parse(argument: &Path) -> Named {
        let step = argument.to_str().and_then(|text| text.rsplit_once('@'));
        let step = step.and_then(|(run, step)| Some((PathBuf::from(run), step.parse().ok()?)));
        match step {
            _ if argument.is_dir() => Named::Run(argument.to_path_buf()),
            Some((run, step)) if !argument.exists() => Named::Step(run, step),
            _ => Named::State(argument.to_path_buf()),
        }
    }
}

impl Replay {
    /// The data set: --data, else that of the run that `argument` names, else the folder `data`.
    pub fn dataset(&self, argument: Option<&Path>) -> Result<Dataset, Error> {
        match argument.map(Named::parse) {
            Some(Named::Run(run) | Named::Step(run, _)) => Recorded::open(&run)?.data(self.data.as_deref()),
            _ => Dataset::open(self.data.as_deref().unwrap_or(Path::new("data"))),
        }
    }

    /// The state that `argument` names, and its name for people.
    pub fn state(&self, argument: &Path) -> Result<(String, Checkpoint), Error> {
        match Named::parse(argument) {
            Named::State(path) => Ok((path.display().to_string(), read_checkpoint(&path)?)),
            Named::Run(path) => match newest_checkpoint(&path)? {
                Some((file, checkpoint)) => Ok((file.display().to_string(), checkpoint)),
                None => Err(Error::input(path.display().to_string(), "has no good checkpoint")),
            },
            Named::Step(path, step) => {
                let run = Recorded::open(&path)?;
                let name = format!("{}@{step}", path.display());
                if step > run.plan.steps {
                    let problem = format!("expected a step of the run, 0 to {}", run.plan.steps);
                    return Err(Error::usage(name, problem));
                }
                let start = match run.checkpoint_before(step)? {
                    Some(checkpoint) if checkpoint.step == step => return Ok((name, checkpoint)),
                    start => start,
                };
                let data = run.data(self.data.as_deref())?;
                let mut trainer = run.trainer(&data, start.as_ref(), self.machine.isa()?)?;
                let progress = Progress::new(step - trainer.steps_done());
                let pool = self.machine.pool_for(&trainer)?;
                forward(&mut trainer, step, &pool, &progress)?;
                Ok((name, Checkpoint::of(&trainer, Digest(data.digest()))?))
            }
        }
    }
}

/// Trains up to `step`.
pub fn forward(
    trainer: &mut Owned<'_>,
    step: u64,
    pool: &ThreadPool,
    progress: &Progress,
) -> Result<(), Error> {
    let steps = step.saturating_sub(trainer.steps_done());
    pool.install(|| {
        trainer.run(&Rayon, steps, |_| {
            progress.step();
            ControlFlow::Continue(())
        })
    })
}

/// A run as its folder tells it.
#[derive(Debug)]
pub struct Recorded {
    /// The folder.
    pub path: PathBuf,
    /// Its settings.
    pub plan: Plan,
    /// What ran, if there is a whole manifest.
    pub manifest: Option<Manifest>,
}

impl Recorded {
    /// Reads settings and manifest.
    pub fn open(path: &Path) -> Result<Recorded, Error> {
        let file = path.join("config.toml");
        let plan = Plan::new(Settings::read(&file)?).map_err(|error| match error {
            Error::Usage { setting, problem } => Error::input(
                file.display().to_string(),
                format!("{}: {problem}", setting.trim_start_matches('-')),
            ),
            other => other,
        })?;
        Ok(Recorded { path: path.to_path_buf(), plan, manifest: RunFolder::manifest(path) })
    }

    /// Its data, from `folder` or from where its settings say; refused if they are not those that it trained on.
    pub fn data(&self, folder: Option<&Path>) -> Result<Dataset, Error> {
        let folder = folder.unwrap_or(&self.plan.data);
        let data = Dataset::open(folder)?;
        let (is, wanted) =
            (Digest(data.digest()).to_string(), self.manifest.as_ref().map(|m| &m.run.data_digest));
        match wanted {
            Some(wanted) if *wanted != is => {
                let problem = format!("its digest is {is}, the run's {wanted}");
                Err(Error::input(folder.display().to_string(), problem))
            }
            _ => Ok(data),
        }
    }

    /// The last good checkpoint that is not after `step`; none means the start.
    pub fn checkpoint_before(&self, step: u64) -> Result<Option<Checkpoint>, Error> {
        for (at, file) in checkpoints(&self.path)?.into_iter().filter(|(at, _)| *at <= step) {
            match read_checkpoint(&file) {
                Ok(found) if found.step != at => {
                    note!("passed over a bad checkpoint: {}: holds step {}", file.display(), found.step);
                }
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error @ Error::Input { .. }) => note!("passed over a bad checkpoint: {error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A trainer at `start`, or at step 0.
    pub fn trainer<'a>(
        &self,
        data: &'a Dataset,
        start: Option<&Checkpoint>,
        isa: Isa,
    ) -> Result<Owned<'a>, Error> {
        let refused = |problem: String| Err(Error::input(self.path.display().to_string(), problem));
        let mut trainer = Trainer::new(self.plan.config.clone(), data.images())?;
        trainer.set_isa(isa);
        match (start, &self.manifest) {
            (Some(start), _) if start.config != self.plan.config => {
                return refused(format!(
                    "its config.toml is not that of its checkpoint of step {}",
                    start.step
                ));
            }
            (Some(start), _) if start.data_digest != Digest(data.digest()).to_string() => {
                return refused(format!("its data are not those of its checkpoint of step {}", start.step));
            }
            (Some(start), _) => trainer.load(&start.state)?,
            (None, Some(manifest)) if manifest.run.bits_version != BITS_VERSION => {
                let version = manifest.run.bits_version;
                return refused(format!("bits_version is {version}, this program's {BITS_VERSION}"));
            }
            (None, _) => {}
        }
        Ok(trainer)
    }
}

/// How far a replay is: a bar on a terminal, else a line every ten seconds. What is quick shows nothing.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    noted: std::sync::Mutex<Duration>,
}

impl Progress {
    /// A replay of so many steps.
    pub fn new(steps: u64) -> Progress {
        let bar = if Term::stderr().is_term() && steps > 200 {
            ProgressBar::new(steps)
        } else {
            ProgressBar::with_draw_target(Some(steps), indicatif::ProgressDrawTarget::hidden())
        };
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} steps · {per_sec} · {eta} left")
                .expect("the template is fixed"),
        );
        Progress { bar, started: Instant::now(), noted: Default::default() }
    }

    /// One step is done, by any thread.
    pub fn step(&self) {
        self.bar.inc(1);
        let elapsed = self.started.elapsed();
        if self.bar.is_hidden()
            && let Ok(mut noted) = self.noted.try_lock()
            && elapsed.saturating_sub(*noted) > Duration::from_secs(10)
        {
            *noted = elapsed;
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
            note!("{} of {} steps recomputed", grouped(done), grouped(all));
        }
    }

    /// Prints without disturbing the bar.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_after_the_last_at_sign_is_a_step_unless_there_is_such_a_file() {
        let step = |run: &str, step| Named::Step(run.into(), step);
        assert_eq!(Named::parse(Path::new("runs/a@31337")), step("runs/a", 31_337));
        assert_eq!(Named::parse(Path::new("runs/a@b@7")), step("runs/a@b", 7));
        assert_eq!(Named::parse(Path::new("runs/a@b")), Named::State("runs/a@b".into()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a@7");
        assert_eq!(Named::parse(&path), Named::Step(folder.path().join("a"), 7));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Named::parse(&path), Named::Run(path));
    }
}
