//! Any sessions of a run, stopped or killed after any line, gone on with from anywhere, longer, shorter, and with other records: what each leaves is
//! verified, and goes on to its end, to the state that the steps alone come to.
//!
//! `cargo test --test sessions -- --ignored` tries many more.

use std::fmt::Write;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use duel::rng::{Purpose, Stream};
use duel::run::{Audit, Folder, Host, Plan, Recorded, Settings, Training, Unfinished, log};
use duel::{Dataset, Digest, Error, Isa, Serial, StepStats, Trainer};

/// How a session ends before its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// It is stopped after so many steps.
    Stopped(u64),
    /// An error ends it, after it has written something so many times.
    Failed(u64),
    /// A kill does, then: the folder is as it was.
    Killed(u64),
}

/// Ends a session so.
struct Ends<'a>(How, &'a Path, &'a Path);

impl Host for Ends<'_> {
    fn step(&mut self, _: &StepStats) -> ControlFlow<()> {
        let How::Stopped(left) = &mut self.0 else { return ControlFlow::Continue(()) };
        *left -= 1;
        if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn written(&mut self, _: &StepStats, _: bool) -> Result<(), Error> {
        let (How::Failed(left) | How::Killed(left)) = &mut self.0 else { return Ok(()) };
        *left = left.wrapping_sub(1);
        match self.0 {
            How::Failed(0) => Err(Error::environment("no more")),
            How::Killed(0) => {
                copy_whole(self.1, self.2);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What is drawn, and what has been.
struct Story {
    draws: Stream,
    text: String,
}

impl Story {
    /// A number below `n`.
    fn any(&mut self, n: u64) -> u64 {
        self.draws.below(n as usize) as u64
    }

    fn set(&mut self, settings: &mut Settings, name: &str, value: u64) {
        write!(self.text, " {name}={value}").unwrap();
        settings.set(name, &value.to_string());
    }

    /// Settings of what is recorded, each as often as one of so many.
    fn record(&mut self, settings: &mut Settings, often: u64, steps: u64) {
        for (name, from, below) in
            [("report-every", 1, 5), ("checkpoint-every", 0, 6), ("keep-last", 0, 3), ("digest-at", 1, steps)]
        {
            if self.any(often) == 0 && below > 0 {
                let value = from + self.any(below);
                self.set(settings, name, value);
            }
        }
    }

    /// Where a session goes on: from the run's newest state, from one up to some step, or from a checkpoint.
    fn place(&mut self, run: &Path) -> PathBuf {
        let mut checkpoints: Vec<PathBuf> =
            fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
        checkpoints.sort();
        let newest = checkpoints.last().map_or(0, |path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            name["step_".len()..].parse().unwrap()
        });
        let place = match self.any(3) {
            0 => PathBuf::from(format!("{}@{}", run.display(), self.any(newest + 1))),
            1 if newest > 0 => checkpoints[self.any(checkpoints.len() as u64) as usize].clone(),
            _ => run.to_path_buf(),
        };
        write!(self.text, "\n{}:", place.display()).unwrap();
        place
    }

    /// Trains, to the end or so far as is drawn, and compares the state with that of its step. Whether it ended before where the run
    /// had been, which is as it was then.
    fn train(&mut self, mut training: Training<'_>, states: &[Digest]) -> bool {
        let run = training.folder().path().to_path_buf();
        let (before, was_at) = (what_it_is(&run), training.was_at());
        let killed = run.with_file_name("killed");
        let how = match self.any(6) {
            0 | 1 => How::Stopped(1 + self.any(8)),
            2 => How::Failed(1 + self.any(4)),
            3 => How::Killed(1 + self.any(4)),
            _ => How::Stopped(u64::MAX),
        };
        let end = training.run(&Serial, &mut Ends(how, &run, &killed));
        let done = training.trainer().steps_done();
        // Nobody writes there any more.
        drop(training);
        match end {
            Ok(end) => {
                write!(self.text, " → {} {done}", end.status.name()).unwrap();
                assert_eq!(end.digest, states[done as usize], "{}", self.text);
            }
            Err(error) => {
                write!(self.text, " → failed {done}").unwrap();
                assert!(matches!(how, How::Failed(_)), "{}\n{error}", self.text);
            }
        }
        if killed.exists() {
            write!(self.text, " {how:?}").unwrap();
            fs::remove_dir_all(&run).unwrap();
            fs::rename(killed, &run).unwrap();
            return false;
        }
        if done < was_at {
            assert_eq!(what_it_is(&run), before, "{}", self.text);
        }
        done < was_at
    }
}

/// The settings of a run, how it stands, and its log without timing.
fn what_it_is(run: &Path) -> (String, String, Vec<String>) {
    let folder = Folder::new(run);
    let manifest = folder.read_manifest().unwrap().map(|manifest| manifest.run);
    let log = log::entries(&folder.log()).unwrap();
    let lines = log.values().map(log::Entry::reproducible).collect();
    (fs::read_to_string(folder.config()).unwrap(), format!("{manifest:?}"), lines)
}

fn resume<'a>(place: &Path, settings: Settings, data: &'a Dataset) -> Result<Training<'a>, Error> {
    let old = Unfinished::open(place, &())?;
    let plan = Plan::new(&settings.or(old.run().settings.clone()))?;
    Training::resume(old, plan, data)
}

/// One run and some sessions; the states of its steps are `states`. Counts the sessions that were refused, that went back and ended
/// before the run was where it had been, and the others.
fn sessions(seed: u64, data: &Dataset, states: &[Digest], counts: &mut [usize; 3]) {
    let dir = folder();
    let (run, copy) = (dir.path().join("run"), dir.path().join("copy"));
    let mut story = Story { draws: Stream::new(seed, Purpose::Sample(0)), text: format!("seed {seed}:") };
    let verified = |run: &Path, story: &Story| {
        let recorded = Recorded::open(run).unwrap();
        let audit = Audit::new(&recorded, Dataset::open(data.path()).unwrap(), &());
        let checked = audit.and_then(|audit| audit.check(None, Isa::best(), 1).map(drop));
        checked.unwrap_or_else(|error| panic!("{}\n{error}", story.text));
    };
    let mut settings = small(data);
    let steps = story.any(13);
    story.set(&mut settings, "steps", steps);
    story.record(&mut settings, 2, steps);
    let training = Training::create(Some(&run), Plan::new(&settings).unwrap(), data).unwrap();
    story.train(training, states);
    verified(&run, &story);
    for _ in 0..1 + story.any(4) {
        let (place, mut settings) = (story.place(&run), Settings::default());
        let steps = story.any(16);
        if story.any(4) > 0 {
            story.set(&mut settings, "steps", steps);
        }
        story.record(&mut settings, 4, steps);
        match resume(&place, settings, data) {
            // Steps that the run has not, or lines that it has not written.
            Err(error) => {
                assert!(matches!(error, Error::Usage { .. }), "{}\n{error}", story.text);
                counts[0] += 1;
            }
            Ok(training) => counts[if story.train(training, states) { 1 } else { 2 }] += 1,
        }
        verified(&run, &story);
        copy_whole(&run, &copy);
        let mut training = resume(&copy, Settings::default(), data)
            .unwrap_or_else(|error| panic!("{}\nto its end: {error}", story.text));
        training.run(&Serial, &mut ()).unwrap();
        // Nobody writes there any more.
        drop(training);
        verified(&copy, &story);
        fs::remove_dir_all(&copy).unwrap();
    }
}

/// In memory, where the system has such a folder: what is written is brought to the disk each time.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn copy_whole(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy_whole(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

/// A network of a few units.
fn small(data: &Dataset) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in [
        ("latent-size", "2"),
        ("generator-hidden", "3"),
        ("discriminator-hidden", "2"),
        ("batch-size", "4"),
        ("validation", "0"),
        ("data", data.path().to_str().unwrap()),
    ] {
        settings.set(name, value);
    }
    settings
}

fn try_all(seeds: std::ops::Range<u64>) {
    let dir = folder();
    let pixels: Vec<u8> = (0..8 * 6).map(|i| (i * 37) as u8).collect();
    let header = [0x803u32, 8, 2, 3].map(u32::to_be_bytes);
    fs::write(dir.path().join("train-images-idx3-ubyte"), [header.as_flattened(), &pixels].concat()).unwrap();
    let data = Dataset::open(dir.path()).unwrap();
    let config = Plan::new(&small(&data)).unwrap().config;
    let mut trainer = Trainer::new(config, &data).unwrap();
    let states: Vec<Digest> = (0..40)
        .map(|step| {
            if step > 0 {
                trainer.step(&Serial).unwrap();
            }
            trainer.digest().unwrap()
        })
        .collect();
    let (mut counts, runs) = ([0; 3], seeds.end - seeds.start);
    seeds.for_each(|seed| sessions(seed, &data, &states, &mut counts));
    assert!(counts.iter().all(|&count| 8 * count as u64 > runs), "{counts:?} of {runs} runs");
}

#[test]
fn any_sessions_leave_a_run_that_is_verified_and_can_go_on() {
    try_all(0..200);
}

#[test]
#[ignore = "takes minutes"]
fn many_more_sessions() {
    try_all(60..3_000);
}
