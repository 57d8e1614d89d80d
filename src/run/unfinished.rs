//! An old run and where it goes on. Uses `plan`, `log`, `folder`, `writer` and `recorded`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::Observer;
use super::folder::{Folder, read_checkpoint};
use super::log::{self, Entry};
use super::plan::Plan;
use super::recorded::{Named, Recorded};
use super::writer::Writer;
use crate::digest::Digest;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;

/// An old run, held by this process, and the checkpoint that it goes on from.
#[derive(Debug)]
pub struct Unfinished {
    pub(super) writer: Writer,
    pub(super) run: Recorded,
    /// None: from the start.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The step of the newest checkpoint that is the run's, and good, or not to be read.
    pub(super) newest: Option<u64>,
    /// The digest of the data that the checkpoint was made with; that the newest good one was, if it goes on from the start.
    pub(super) data_digest: Option<Digest>,
}

impl Unfinished {
    /// The run in the folder `path`, to go on from its newest good checkpoint; or RUN@STEP, to go on from the newest good one up
    /// to that step; or the run that the checkpoint `path` belongs to, to go on from there. What is later stays until it is
    /// made again.
    ///
    /// # Errors
    /// [`Error::Input`] if it has checkpoints, but not a good one, or a log that no run leaves; [`Error::Usage`] if it has no
    /// such step; as [`Writer::open`].
    pub fn open(path: &Path, observer: &dyn Observer) -> Result<Unfinished, Error> {
        let named = path.extension().is_some_and(|extension| extension == "safetensors");
        let file = path.is_file() || named && !path.is_dir();
        let (folder, last) = match Named::parse(path) {
            Named::Step(run, step) => (run, Some(step)),
            _ if file => {
                read_checkpoint(path)?;
                (run_of(path)?, None)
            }
            _ => (path.to_path_buf(), None),
        };
        let writer = Writer::open(&folder)?;
        let run = Recorded::open(&folder)?;
        last.map_or(Ok(()), |last| run.has_step(last))?;
        let found = run.folder.newest_checkpoint(u64::MAX, observer)?;
        let entries =
            if found.is_some() || file { log::entries(&run.folder.log())? } else { BTreeMap::new() };
        let newest = match &found {
            Some((_, newest)) => newest_own(&run, newest, &entries)?,
            None => None,
        };
        // What is made again from the start is to be this run, not another one in its place.
        let vouched = found.as_ref().map(|(_, newest)| run.made_by(newest).map(|()| newest.data_digest));
        // Settings of fewer steps than are done have no say in what the log has.
        let mut plan = run.plan.clone();
        plan.schedule.steps = plan.schedule.steps.max(newest.unwrap_or(0));
        let checkpoint = match found {
            _ if file => {
                let checkpoint = read_checkpoint(path)?;
                suits(&run, (&entries, log::lacking(&entries, &plan, checkpoint.step)), &checkpoint)?;
                Some(checkpoint)
            }
            found => suitable((&run, &plan), last, found, &entries, observer)?,
        };
        if checkpoint.is_none() && last.is_none() {
            observer.note(&format!("{} has no checkpoint yet: from the start", folder.display()));
        }
        let data_digest = match &checkpoint {
            Some(checkpoint) => Some(checkpoint.data_digest),
            None => vouched.transpose()?,
        };
        Ok(Unfinished { writer, run, checkpoint, newest, data_digest })
    }

    /// The run as its folder tells it.
    pub fn run(&self) -> &Recorded {
        &self.run
    }
    /// The step that it goes on from.
    pub fn step(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step)
    }
}

/// The folder of the run that a checkpoint belongs to; it may be reached by a link.
fn run_of(checkpoint: &Path) -> Result<PathBuf, Error> {
    let failed = |error| Error::io(checkpoint, error);
    let here = std::path::absolute(checkpoint).map_err(failed)?;
    let there = checkpoint.canonicalize().map_err(failed)?;
    let run = |path: &Path| path.parent().and_then(Path::parent).unwrap_or(path).to_path_buf();
    let [here, there] = [here, there].map(|path| run(&path));
    Ok(if Folder::new(&here).config().exists() { here } else { there })
}

/// The step of the newest checkpoint that is good, or cannot be read, and is the run's; `newest` is the newest good one.
fn newest_own(
    run: &Recorded,
    newest: &Checkpoint,
    entries: &BTreeMap<u64, Entry>,
) -> Result<Option<u64>, Error> {
    for (step, file) in run.folder.checkpoints()? {
        let logged = entries.get(&step).and_then(Entry::digests);
        if step == newest.step {
            if run.is_own(newest, logged).is_ok() {
                return Ok(Some(step));
            }
            continue;
        }
        let is_own = match read_checkpoint(&file) {
            Ok(found) => run.is_own(&found, logged).is_ok(),
            Err(error @ Error::Environment { .. }) => return Err(error),
            // A disk that does not give it now may do so later: the run has been there, as its log says.
            Err(Error::Io { .. }) => logged.is_some() && file.is_file(),
            Err(_) => false,
        };
        if is_own {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// Whether a checkpoint is the run's, and the log, which lacks nothing before step `lacking`, says all that is
/// before it, and says it of this state.
fn suits(
    run: &Recorded,
    (entries, lacking): (&BTreeMap<u64, Entry>, Option<u64>),
    checkpoint: &Checkpoint,
) -> Result<(), Error> {
    let path = run.folder.log();
    let logged = entries.get(&checkpoint.step).and_then(Entry::digests);
    run.is_own(checkpoint, logged)?;
    log::reaches(lacking, &path, checkpoint.step)?;
    match logged {
        Some(digests) if digests != checkpoint.digests => {
            let step = checkpoint.step;
            let problem =
                format!("the line of step {step} has another digest than the checkpoint of that step");
            Err(Error::input(path.display().to_string(), problem))
        }
        _ => Ok(()),
    }
}

/// The newest good checkpoint up to step `last` that is the run's and that the log suits; none means the start. `found` is the newest
/// good one.
fn suitable(
    (run, plan): (&Recorded, &Plan),
    last: Option<u64>,
    mut found: Option<(PathBuf, Checkpoint)>,
    entries: &BTreeMap<u64, Entry>,
    observer: &dyn Observer,
) -> Result<Option<Checkpoint>, Error> {
    let folder = &run.folder;
    let any = found.is_some();
    let newest = found.as_ref().map_or(0, |(_, checkpoint)| checkpoint.step);
    let lacking = log::lacking(entries, plan, newest);
    let mut files = folder.checkpoints()?.into_iter();
    let mut passed_over: Vec<(PathBuf, Error)> = Vec::new();
    while let Some((file, checkpoint)) = found {
        let step = checkpoint.step;
        if last.is_none_or(|last| step <= last) {
            match suits(run, (entries, lacking), &checkpoint) {
                Ok(()) => {
                    for (file, error) in passed_over {
                        observer.note(&format!("passed over {}: {error}", file.display()));
                    }
                    return Ok(Some(checkpoint));
                }
                Err(error) => passed_over.push((file, error)),
            }
        }
        let mut before = files.by_ref().filter(|(at, _)| *at < step && last.is_none_or(|last| *at <= last));
        found = folder.first_good(&mut before, observer)?;
    }
    match passed_over.into_iter().next() {
        // As the newest one says it.
        Some((_, error)) => Err(error),
        // Damaged ones may still be worth something to somebody: they are not overwritten.
        None if !any && !folder.checkpoints()?.is_empty() => {
            Err(Error::input(folder.path().display().to_string(), "none of its checkpoints is good"))
        }
        None => Ok(None),
    }
}

/// Refuses these steps of a session on data with that digest if where one `writes` a checkpoint, or the last one its canvas, is
/// something that it cannot, or should not, write over: a folder, or another run's checkpoint.
pub(super) fn way_is_free(
    run: &Recorded,
    data: Digest,
    steps: RangeInclusive<u64>,
    writes: impl Fn(u64) -> bool,
) -> Result<(), Error> {
    let canvas = (*steps.end(), run.folder.canvas(*steps.end()));
    let files = run.folder.checkpoints()?.into_iter().filter(|(step, _)| writes(*step)).chain([canvas]);
    for (_, path) in files.filter(|(step, _)| steps.contains(step)) {
        if path.is_dir() {
            let problem = "a folder is in the way of what will be written there, expected it to be removed";
            return Err(Error::io(path, std::io::Error::new(ErrorKind::IsADirectory, problem)));
        }
        if read_checkpoint(&path).is_ok_and(|found| run.made(&found, Some(data)).is_err()) {
            let problem = "is another run's, and in the way of this one's: expected it to be moved elsewhere";
            return Err(Error::input(path.display().to_string(), problem));
        }
    }
    Ok(())
}

/// The log up to `step` is written: `plan` cannot ask for more there than the settings before it did, unless it is there.
pub(super) fn log_suffices(
    (before_plan, entries): (&Plan, &BTreeMap<u64, Entry>),
    plan: &Plan,
    step: u64,
) -> Result<(), Error> {
    let more = |step: u64| {
        let (before, now, line) =
            (before_plan.leaves(step, false), plan.leaves(step, false), entries.get(&step));
        now.entry && !before.entry && line.is_none()
            || now.digest && !before.digest && line.is_none_or(|line| line.digest.is_none())
    };
    // The first that is too much comes after no more than are there, however far away the last step is.
    let Some(without) =
        plan.entries().take_while(|at| *at <= step).take(entries.len() + 1).find(|&at| more(at))
    else {
        return Ok(());
    };
    let (now, before) = (&plan.schedule, &before_plan.schedule);
    let divides = |every: u64| every != 0 && without.is_multiple_of(every);
    let (flag, asked, expected) = match () {
        _ if plan.reports(without) && !before_plan.reports(without) => (
            "report-every",
            now.report_every.to_string(),
            format!("{} as before, or a multiple of it", before.report_every),
        ),
        _ if divides(now.checkpoint_every) && !divides(before.checkpoint_every) => {
            let every = match before.checkpoint_every {
                0 => "0".to_string(),
                every => format!("{every} as before, a multiple of it, or 0"),
            };
            ("checkpoint-every", now.checkpoint_every.to_string(), every)
        }
        _ if without == now.steps && without != before.steps && !now.digest_at.contains(&without) => (
            "steps",
            now.steps.to_string(),
            "more, or to go on from before it (--resume RUN@STEP)".to_string(),
        ),
        _ => ("digest-at", without.to_string(), format!("steps after {step}, beside those of before")),
    };
    let problem = format!(
        "{asked} needs a line of step {without} in the log, and that step is done without it: expected {expected}"
    );
    Err(Error::usage(flag, problem))
}
