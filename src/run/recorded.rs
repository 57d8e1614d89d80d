//! A run as its folder tells it, and its state after any step: what was not saved is trained again from the checkpoint before
//! it. Uses `plan`, `manifest`, `folder` and `record`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::Observer;
use super::folder::{Folder, read_checkpoint};
use super::log::{self, Entry};
use super::manifest::{Manifest, Status};
use super::plan::{Plan, Settings};
use super::record::{Owned, new_trainer, open_data, open_told};
use crate::config::Config;
use crate::digest::{Digest, Digests};
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::kernels::Isa;
use crate::parallel::Team;
use crate::{BITS_VERSION, Dataset};

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
        match run_and_step(argument.as_os_str()) {
            _ if argument.is_dir() => Named::Run(argument.to_path_buf()),
            Some((run, step)) if !argument.exists() => Named::Step(run, step),
            _ => Named::State(argument.to_path_buf()),
        }
    }

    /// The data set of a state with the settings `config`: that in `folder`, else that of the run, else that of the folder `data`.
    ///
    /// # Errors
    /// As [`Recorded::data`].
    pub fn dataset(&self, folder: Option<&Path>, config: &Config) -> Result<Dataset, Error> {
        match self {
            Named::Run(run) | Named::Step(run, _) => Recorded::open(run)?.data(folder),
            Named::State(_) => open_data(folder.unwrap_or(Path::new("data")), config),
        }
    }

    /// The state, and its name for people. `folder` has the data set, unless it is where the run's settings say.
    ///
    /// # Errors
    /// [`Error::Input`] if no good checkpoint leads there, [`Error::Usage`] if the run has no such step; and those of
    /// training.
    pub fn state(
        &self,
        folder: Option<&Path>,
        isa: Isa,
        team: &impl Team,
        observer: &dyn Observer,
    ) -> Result<(String, Checkpoint), Error> {
        match self {
            Named::State(path) => Ok((path.display().to_string(), read_checkpoint(path)?)),
            Named::Run(path) => {
                let folder = Folder::new(path);
                let found = match folder.config().exists() {
                    true => Recorded::open(path)?.newest_checkpoint(observer)?,
                    false => folder.newest_checkpoint(u64::MAX, observer)?,
                };
                match found {
                    Some((file, checkpoint)) => Ok((file.display().to_string(), checkpoint)),
                    None => Err(Error::input(path.display().to_string(), "has no good checkpoint")),
                }
            }
            Named::Step(path, step) => {
                let name = format!("{}@{step}", path.display());
                let run = Recorded::open(path)?;
                run.has_step(*step)?;
                let start = match run.checkpoint_before(*step, observer)? {
                    Some(checkpoint) if checkpoint.step == *step => return Ok((name, checkpoint)),
                    start => start,
                };
                let data = run.data(folder)?;
                let mut trainer = run.trainer(&data, start.as_ref(), isa)?;
                observer.begin(step - trainer.steps_done());
                forward(&mut trainer, *step, team, observer)?;
                Ok((name, Checkpoint::of(&trainer, data.digest())?))
            }
        }
    }
}

/// What stands before the last `@`, and the number behind it.
fn run_and_step(argument: &OsStr) -> Option<(PathBuf, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let mut parts = argument.as_bytes().rsplitn(2, |&byte| byte == b'@');
        let (step, run) = (parts.next()?, parts.next()?);
        Some((OsStr::from_bytes(run).into(), std::str::from_utf8(step).ok()?.parse().ok()?))
    }
    #[cfg(not(unix))]
    {
        let (run, step) = argument.to_str()?.rsplit_once('@')?;
        Some((run.into(), step.parse().ok()?))
    }
}

/// Trains up to `step`.
///
/// # Errors
/// As [`Trainer::run`](crate::Trainer::run).
pub fn forward(
    trainer: &mut Owned<'_>,
    step: u64,
    team: &impl Team,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let steps = step.saturating_sub(trainer.steps_done());
    trainer.run(team, steps, |_| {
        observer.step();
        ControlFlow::Continue(())
    })
}

/// A run as its folder tells it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The folder.
    pub folder: Folder,
    /// Its settings as they are written.
    pub settings: Settings,
    /// What they come to.
    pub plan: Plan,
    /// What ran, if there is a whole manifest.
    pub manifest: Option<Manifest>,
}

impl Recorded {
    /// Reads settings and manifest.
    ///
    /// # Errors
    /// As [`Folder::read_settings`] and [`Plan::new`]; [`Error::Io`] if there is a manifest that cannot be read.
    pub fn open(path: &Path) -> Result<Recorded, Error> {
        let folder = Folder::new(path);
        let settings = folder.read_settings()?;
        let plan = Plan::new(&settings)?;
        let manifest = match folder.read_manifest() {
            Err(error @ Error::Io { .. }) => return Err(error),
            read => read.ok().flatten(),
        };
        Ok(Recorded { folder, settings, plan, manifest })
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Its data: from `folder`; without one from where its settings say, as they are typed, else from where they were when it was
    /// trained.
    ///
    /// # Errors
    /// As [`Dataset::open`]; [`Error::Input`] if they are not those that it trained on.
    pub fn data(&self, folder: Option<&Path>) -> Result<Dataset, Error> {
        let data = self.find_data(folder)?;
        self.trained_on(&data)?;
        Ok(data)
    }

    /// As [`Recorded::data`], but data that are others are better than none.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn find_data(&self, folder: Option<&Path>) -> Result<Dataset, Error> {
        let typed = folder.unwrap_or(&self.plan.schedule.data);
        let open = |path: &Path| match folder {
            Some(_) => open_data(path, &self.plan.config),
            None => open_told(path, &self.plan.config),
        };
        let first = open(typed);
        if folder.is_some() || first.as_ref().is_ok_and(|data| self.trained_on(data).is_ok()) {
            return first;
        }
        let here = std::path::absolute(typed).unwrap_or_default();
        let before = self.manifest.as_ref().and_then(|manifest| manifest.run.data.as_deref());
        let before = before.map(Path::new).filter(|before| *before != here);
        let then = before.map(open).and_then(Result::ok);
        if let Some(data) = then.filter(|data| first.is_err() || self.trained_on(data).is_ok()) {
            return Ok(data);
        }
        let config = self.folder.config();
        let elsewhere = before.map_or(String::new(), |before| {
            format!("; the run's are not in {}, where they were, either", before.display())
        });
        let told = |problem: &dyn Display| {
            format!(
                "{problem} (as {} says, from here{elsewhere}; --data names another place)",
                config.display()
            )
        };
        first.map_err(|error| match error {
            Error::Io { path, error } => Error::io(path, std::io::Error::new(error.kind(), told(&error))),
            Error::Input { source, problem } => Error::input(source, told(&problem)),
            other => other,
        })
    }

    /// Refuses data that it has not trained on, as far as its manifest tells.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn trained_on(&self, data: &Dataset) -> Result<(), Error> {
        match &self.manifest {
            Some(manifest) if manifest.run.data_digest != data.digest() => {
                let (is, wanted) = (data.digest(), manifest.run.data_digest);
                let problem = format!(
                    "not the data of {}: their digest is {is}, its data_digest {wanted}; --data names another place",
                    self.name()
                );
                Err(Error::input(data.path().display().to_string(), problem))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a step that is none of the run's.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn has_step(&self, step: u64) -> Result<(), Error> {
        let steps = self.plan.schedule.steps;
        if step <= steps {
            return Ok(());
        }
        Err(Error::usage(
            format!("{}@{step}", self.name()),
            format!("expected a step of the run, 0 to {steps}"),
        ))
    }

    /// Refuses a run that began with given parameters, of which `init` is the digest, without its checkpoint of step 0.
    ///
    /// # Errors
    /// [`Error::Input`] if it is not there, not good, or another one.
    pub fn begins_as(&self, init: Option<Digest>) -> Result<(), Error> {
        let Some(init) = init else { return Ok(()) };
        match read_checkpoint(&self.folder.checkpoint(0)) {
            Ok(first) if first.digests.state == init => Ok(()),
            _ => {
                let problem = "begins with given parameters, and its checkpoint of step 0 is not there, or not that one";
                Err(Error::input(self.name(), problem))
            }
        }
    }

    /// The newest good checkpoint.
    ///
    /// # Errors
    /// As [`Folder::newest_checkpoint`]; [`Error::Input`] if it is another run's.
    pub fn newest_checkpoint(&self, observer: &dyn Observer) -> Result<Option<(PathBuf, Checkpoint)>, Error> {
        let found = self.folder.newest_checkpoint(u64::MAX, observer)?;
        if let Some((_, checkpoint)) = &found {
            self.is_of(checkpoint)?;
        }
        Ok(found)
    }

    /// The last good checkpoint that is not after `step`; none means the start.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Input`] if it is another run's.
    pub fn checkpoint_before(&self, step: u64, observer: &dyn Observer) -> Result<Option<Checkpoint>, Error> {
        let found = self.folder.newest_checkpoint(step, observer)?.map(|(_, checkpoint)| checkpoint);
        found.as_ref().map_or(Ok(()), |found| self.is_of(found))?;
        Ok(found)
    }

    /// Refuses a checkpoint of other settings or data, of another state than the log has at that step, or of a step beyond the run's
    /// last that the log does not have.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn is_of(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.suits(checkpoint, &self.logged(|step| step == checkpoint.step))
    }

    /// The same, with the digests that the log has.
    fn suits(&self, checkpoint: &Checkpoint, logged: &HashMap<u64, Digests>) -> Result<(), Error> {
        let step = checkpoint.step;
        self.is_own(checkpoint, logged.get(&step).copied())?;
        if logged.get(&step).is_some_and(|digests| *digests != checkpoint.digests) {
            let problem = format!("its log has another state at step {step} than its checkpoint");
            return Err(Error::input(self.name(), problem));
        }
        Ok(())
    }

    /// The digest of the parameters that the run was given, if it has no manifest that says it: its checkpoint of step 0, of these
    /// settings and data, is another state than `initial`, that of its seed.
    pub(super) fn given(&self, initial: Digest, data: Digest) -> Option<Digest> {
        let first = read_checkpoint(&self.folder.checkpoint(0)).ok()?;
        self.made(&first, Some(data)).ok()?;
        Some(first.digests.state).filter(|first| *first != initial)
    }

    /// Refuses a checkpoint of other settings, or of other data, as far as the manifest tells.
    pub(super) fn made_by(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.made(checkpoint, self.manifest.as_ref().map(|manifest| manifest.run.data_digest))
    }

    /// The same; and one of a step beyond the run's last, unless its log, which has the digests `logged` there, says that it was there.
    pub(super) fn is_own(&self, checkpoint: &Checkpoint, logged: Option<Digests>) -> Result<(), Error> {
        self.made_by(checkpoint)?;
        let (step, steps) = (checkpoint.step, self.plan.schedule.steps);
        if step > steps && logged != Some(checkpoint.digests) {
            let problem = format!("its checkpoint of step {step} is beyond its {steps} steps");
            return Err(Error::input(self.name(), problem));
        }
        Ok(())
    }

    /// Refuses a checkpoint of other settings, or of other data than those with that digest.
    pub(super) fn made(&self, checkpoint: &Checkpoint, data: Option<Digest>) -> Result<(), Error> {
        let step = checkpoint.step;
        let mut pairs = self.plan.config.pairs().zip(checkpoint.config.pairs());
        if let Some(((name, is), (_, was))) = pairs.find(|(is, was)| is != was) {
            let problem = format!(
                "its config.toml is not that of its checkpoint of step {step}: {name} is {is}, not {was}"
            );
            return Err(Error::input(self.name(), problem));
        }
        if data.is_some_and(|data| data != checkpoint.data_digest) {
            return Err(Error::input(
                self.name(),
                format!("its data are not those of its checkpoint of step {step}"),
            ));
        }
        Ok(())
    }

    /// The last step that its log can have a line of: a session that was killed while it made the run shorter leaves the lines beyond.
    pub fn last_line(&self) -> u64 {
        match self.manifest.as_ref().map(|manifest| manifest.run.status) {
            Some(Status::Running | Status::Failed) => self.plan.schedule.steps,
            _ => u64::MAX,
        }
    }

    /// The entries of its log, up to [`Recorded::last_line`].
    ///
    /// # Errors
    /// As [`log::entries`].
    pub fn entries(&self) -> Result<BTreeMap<u64, Entry>, Error> {
        let mut entries = log::entries(&self.folder.log())?;
        entries.retain(|step, _| *step <= self.last_line());
        Ok(entries)
    }

    /// The digests that the log has of such steps. What is wrong with it is for others to say.
    fn logged(&self, wanted: impl Fn(u64) -> bool) -> HashMap<u64, Digests> {
        let mut logged = HashMap::new();
        let _ = log::read(&self.folder.log(), |_, row| {
            if let log::Row::Entry(entry) = row
                && wanted(entry.step)
            {
                logged.extend(entry.digests().map(|digests| (entry.step, digests)));
            }
            Ok(())
        });
        logged
    }

    /// A trainer at `start`, or at step 0.
    ///
    /// # Errors
    /// [`Error::Input`] if settings, data and checkpoint do not belong together, or the bits are of another version.
    pub fn trainer<'a>(
        &self,
        data: &'a Dataset,
        start: Option<&Checkpoint>,
        isa: Isa,
    ) -> Result<Owned<'a>, Error> {
        let refused = |problem: String| Err(Error::input(self.name(), problem));
        let mut trainer = new_trainer(&self.plan, data)?;
        trainer.set_isa(isa);
        match (start, &self.manifest) {
            (Some(start), _) => {
                self.made(start, Some(data.digest()))?;
                trainer.load(&start.state)?;
            }
            (None, Some(manifest)) if manifest.run.bits_version != BITS_VERSION => {
                let version = manifest.run.bits_version;
                return refused(format!("bits_version is {version}, this program's {BITS_VERSION}"));
            }
            (None, _) => {}
        }
        if start.is_none()
            && let Ok(Some((_, newest))) = self.folder.newest_checkpoint(u64::MAX, &())
        {
            // What is trained from the start is to be a state of this run.
            self.made(&newest, Some(data.digest()))?;
        }
        if trainer.steps_done() == 0 {
            self.begins_as(self.manifest.as_ref().and_then(|manifest| manifest.run.init))?;
        }
        Ok(trainer)
    }

    /// Brings a trainer to each of `steps`, in ascending order: to what was saved, or from there by training. `see` looks at it.
    ///
    /// # Errors
    /// As [`Recorded::has_step`], [`Recorded::trainer`] and [`forward`], and those of `see`.
    pub fn visit(
        &self,
        steps: &[u64],
        data: &Dataset,
        isa: Isa,
        team: &impl Team,
        observer: &dyn Observer,
        mut see: impl FnMut(&mut Owned<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let saved = self.folder.checkpoints()?;
        // The newest first.
        let after = |step: u64| saved.partition_point(|(saved, _)| *saved > step);
        let (mut at, mut again) = (0, 0);
        for &step in steps {
            self.has_step(step)?;
            let before = saved.get(after(step)).map_or(0, |(step, _)| *step);
            again += step - before.max(at);
            at = step;
        }
        observer.begin(again);
        let logged = self.logged(|step| saved.get(after(step)).is_some_and(|(saved, _)| *saved == step));
        let mut trainer: Option<Owned<'_>> = None;
        for &step in steps {
            // What was saved up to the step before was looked at then.
            let end = trainer.as_ref().map_or(saved.len(), |trainer| after(trainer.steps_done()));
            let mut between = saved[after(step)..end.max(after(step))].iter().cloned();
            let start = match self.folder.first_good(&mut between, observer) {
                // Trained again instead, as far as there is something to go on from.
                Err(Error::Io { .. }) if trainer.is_some() => None,
                start => start?.map(|(_, checkpoint)| checkpoint),
            };
            start.as_ref().map_or(Ok(()), |start| self.suits(start, &logged))?;
            if trainer.is_none() || start.is_some() {
                trainer = Some(self.trainer(data, start.as_ref(), isa)?);
            }
            let trainer = trainer.as_mut().expect("the first step makes one");
            forward(trainer, step, team, observer)?;
            see(trainer)?;
        }
        Ok(())
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
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let run = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
            assert_eq!(Named::parse(&run(b"r\xFF@3")), Named::Step(run(b"r\xFF"), 3));
        }
        std::fs::create_dir(&path).unwrap();
        assert_eq!(Named::parse(&path), Named::Run(path));
    }
}
