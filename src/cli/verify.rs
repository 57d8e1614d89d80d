//! `duel verify`: whether this machine makes the published bits, whether a run's folder holds what its settings make,
//! whether the default run ends where it should. Exit code 7 where not.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use duel::golden::{self, Case};
use duel::kernels::float_mode;
use duel::run::manifest::cpu;
use duel::run::plan::Schedule;
use duel::run::recorded::forward;
use duel::run::{Audit, Recorded, open_data};
use duel::{Config, Digest, Error, Isa, Rayon, Trainer, self_check};
use sha2::{Digest as _, Sha256};

use super::machine::{self, Pool};
use super::replay::{Replay, where_data_are};
use super::terminal::{Progress, counted, grouped, print};
use super::{number, presets};

/// Intervals that a run is checked on unless told otherwise.
const DEFAULT_SAMPLE: usize = 3;

/// The flags of `duel verify`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Verify {
    /// A run's folder: check its files against each other, and train intervals of it again; without it, check this
    /// machine against the published digests: every backend, with 1, 2, 3 and 8 threads (1 and 3 where fma is emulated), or those that are asked for
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Train so many intervals between checkpoints again, taken at random [default: 3]
    #[arg(long, value_name = "K", requires = "run", value_parser = number::<usize>)]
    sample: Option<usize>,
    /// Train all of the run again
    #[arg(long, requires = "run", conflicts_with = "sample")]
    all: bool,
    /// Train the default run, 70,000 steps of seed 42 on MNIST, against its published digests
    #[arg(long, conflicts_with = "run")]
    golden: bool,
    /// The same with named settings
    #[arg(long, value_name = "NAME", requires = "golden", conflicts_with = "run", default_value = "tutorial", value_parser = presets())]
    preset: String,
    /// Of this machine, leave out the network of the default size: for emulated and unoptimised programs
    #[arg(long, conflicts_with_all = ["run", "golden"])]
    quick: bool,
    #[command(flatten)]
    replay: Replay,
}

impl Verify {
    /// Checks, and prints what was checked.
    pub fn run(self) -> Result<(), Error> {
        let start = Instant::now();
        let verified = float_mode::check().and_then(|()| match &self.run {
            Some(run) => self.verify_run(run),
            None if self.golden => self.verify_golden_run(),
            None => self.verify_machine(),
        });
        // Whatever has changed it, the bits of this process would be others.
        let other_mode = float_mode::error().to_string();
        verified.map_err(|error| match error {
            Error::Environment { problem } if problem == other_mode => Error::mismatch(problem),
            other => other,
        })?;
        note!("Verified in {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Every backend of this machine, or the one that was asked for.
    fn verify_machine(&self) -> Result<(), Error> {
        let (asked, threads) = (self.replay.machine.asked_isa()?, self.replay.machine.threads()?);
        print(&format!("duel {} on {}\n", env!("CARGO_PKG_VERSION"), cpu()))?;
        let scalar = self_check::scalars();
        for (name, digest) in scalar {
            published("all", name, digest, golden::kernel(name))?;
        }
        row(
            "all",
            &format!("emulated fma on {} triples, ln", grouped(self_check::TRIPLES as u64)),
            "as published",
        )?;
        for name in Isa::NAMES {
            match (asked, Isa::named(name)) {
                (Some(asked), _) if asked.name() != name => {
                    not_run(name, "all of it", &format!("--isa or DUEL_ISA asks for {}", asked.name()))?;
                }
                (_, Ok(isa)) => self.verify_backend(isa, threads)?,
                (_, Err(error)) => not_run(name, "all of it", &error.to_string())?,
            }
        }
        Ok(())
    }

    fn verify_backend(&self, isa: Isa, threads: Option<usize>) -> Result<(), Error> {
        let name = isa.name();
        if isa.fma_in_hardware() {
            let count = self_check::compare_fma(isa)
                .map_err(|what| Error::mismatch(format!("{name}: fma: {what}")))?;
            row(name, &format!("fma on {} triples", grouped(count as u64)), "as emulated")?;
        } else {
            not_run(name, "fma in hardware", "this backend emulates it")?;
        }
        let mut kernels = 0;
        for (kernel, digest) in self_check::kernels(isa) {
            published(name, kernel, digest, golden::kernel(kernel))?;
            kernels += 1;
        }
        row(name, &format!("{kernels} functions and kernels"), "as published")?;
        let counts = match (threads, isa.fma_in_hardware()) {
            (Some(threads), _) => vec![threads],
            (None, true) => vec![1, 2, 3, 8],
            (None, false) => vec![1, 3],
        };
        for threads in counts {
            let pool = machine::pool(threads)?;
            let on = counted(threads as u64, "thread");
            let mut list = Sha256::new();
            for case in &golden::SMALL_NETS {
                train(case, isa, threads, &pool, u64::MAX, &mut list)?;
            }
            let list = Digest(list.finalize().into());
            row(name, &format!("{on}, small nets"), &format!("{list} as published"))?;
            // Emulated, the network of the default size takes seconds per step.
            let most = if isa.fma_in_hardware() { u64::MAX } else { 3 };
            let (case, what) = (&golden::REAL_SHAPE, format!("{on}, {}", golden::REAL_SHAPE.name));
            if self.quick {
                not_run(name, &what, "--quick")?;
                continue;
            }
            for (steps, digest) in train(case, isa, threads, &pool, most, &mut Sha256::new())? {
                row(name, &format!("{what}, {steps} steps"), &format!("{digest} as published"))?;
            }
            if let Some((steps, _)) = case.digests.iter().find(|(steps, _)| *steps > most) {
                not_run(name, &format!("{what}, {steps} steps"), "emulated fma is too slow")?;
            }
        }
        Ok(())
    }

    fn verify_run(&self, path: &Path) -> Result<(), Error> {
        let count = if self.all { None } else { Some(self.sample.unwrap_or(DEFAULT_SAMPLE)) };
        if count == Some(0) {
            return Err(Error::usage("--sample", "expected 1 or more"));
        }
        let (run, progress) = (Recorded::open(path)?, Progress::of("steps recomputed"));
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let data = run.find_data(self.replay.data.as_deref())?;
        let audit = Audit::new(&run, data, &progress)?;
        let (checkpoints, entries, last) = audit.counts();
        print(&format!(
            "{}: {}, {} of the log, {}\n",
            run.name(),
            counted(checkpoints as u64, "checkpoint"),
            counted(entries as u64, "line"),
            counted(last, "step")
        ))?;
        // As many trainers as half of the free memory has room for.
        let threads = pool.threads();
        let room = match duel::memory::available_bytes() {
            Some(free) => (free / 2 / audit.trainer_bytes()?) as usize,
            None => threads,
        };
        let checked = pool.install(|| audit.check(count, isa, threads.min(room).max(1)))?;
        let list = match checked.intervals.len() {
            n if n == checked.of => "all".to_string(),
            _ => checked
                .intervals
                .iter()
                .map(|(from, to)| format!("{from}..{to}"))
                .collect::<Vec<_>>()
                .join(" "),
        };
        print(&format!(
            "{} of {} trained again, {}: {list}\nIn them state, log and canvases are as recorded.\n",
            checked.intervals.len(),
            counted(checked.of as u64, "interval"),
            counted(checked.steps(), "step")
        ))
    }

    fn verify_golden_run(&self) -> Result<(), Error> {
        let config = Config::preset(&self.preset)?;
        let folder = self.replay.data.as_deref().unwrap_or(Path::new("data"));
        let data = open_data(folder, &config).map_err(where_data_are)?;
        let mnist = golden::mnist(config.labels);
        if data.digest() != mnist {
            let problem = format!("expected MNIST, whose digest is {mnist}, not {}", data.digest());
            return Err(Error::input(folder.display().to_string(), problem));
        }
        let isa = self.replay.machine.isa()?;
        let mut trainer = Trainer::new(config.clone(), &data)?;
        trainer.set_isa(isa);
        let pool = self.replay.machine.pool_for(&trainer)?;
        let run = if self.preset == "tutorial" { "default" } else { &self.preset };
        note!("The {run} run on {}", machine::described(&trainer, &pool));
        let progress = Progress::of("steps recomputed");
        progress.start(0, Schedule::default().steps);
        for (step, expected) in golden::run(&config) {
            let what = format!("{run} run, step {}", grouped(step));
            let done = pool.install(|| forward(&mut trainer, step, &Rayon, &progress));
            not_diverged(isa.name(), &what, done)?;
            let digests = trainer.digests()?;
            published(isa.name(), &what, digests.state, Some(expected.state))?;
            if let Some(average) = digests.average {
                published(isa.name(), &format!("{what}, average"), average, expected.average)?;
            }
            progress
                .suspend(|| row(isa.name(), &what, &format!("{digests} as published")))
                .unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// Trains a case up to `most` steps, compares, and returns steps and digests; `list` takes them too.
fn train(
    case: &Case,
    isa: Isa,
    threads: usize,
    pool: &Pool,
    most: u64,
    list: &mut Sha256,
) -> Result<Vec<(u64, Digest)>, Error> {
    let [mut pixels, mut labels] = case.bytes().map(|bytes| vec![0; bytes]);
    let mut trainer = Trainer::new(case.config.clone(), case.images(&mut pixels, &mut labels)?)?;
    trainer.set_isa(isa);
    // All of them, however small the network.
    trainer.set_owners(threads);
    let mut digests = Vec::new();
    for &(steps, expected) in case.digests.iter().filter(|(steps, _)| *steps <= most) {
        let what = format!("{}, {}, step {steps}", case.name, counted(threads as u64, "thread"));
        let left = steps - trainer.steps_done();
        let done = pool.install(|| trainer.run(&Rayon, left, |_| ControlFlow::Continue(())));
        not_diverged(isa.name(), &what, done)?;
        let digest = trainer.digest()?;
        published(isa.name(), &what, digest, Some(expected))?;
        list.update(format!("{} {steps} {digest}\n", case.name));
        digests.push((steps, digest));
    }
    if let (Some(average), true) = (trainer.average_digest()?, digests.len() == case.digests.len()) {
        let what = format!("{}, {}, average", case.name, counted(threads as u64, "thread"));
        published(isa.name(), &what, average, case.average)?;
        list.update(format!("{} average {average}\n", case.name));
    }
    Ok(digests)
}

/// A mismatch unless `digest` is the published one.
fn published(isa: &str, what: &str, digest: Digest, expected: Option<Digest>) -> Result<(), Error> {
    if Some(digest) == expected {
        return Ok(());
    }
    let expected = expected.map_or("there is none".to_string(), |expected| expected.to_string());
    Err(Error::mismatch(format!("{isa}: {what}: {digest} is not the published digest: {expected}")))
}

/// Divergence is another result than the published one.
fn not_diverged<T>(isa: &str, what: &str, result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| match error {
        Error::Diverged { step } => Error::mismatch(format!("{isa}: {what}: diverges at step {step}")),
        other => other,
    })
}

fn not_run(isa: &str, what: &str, why: &str) -> Result<(), Error> {
    row(isa, what, &format!("not run: {why}"))
}

fn row(isa: &str, what: &str, result: &str) -> Result<(), Error> {
    print(&format!("{isa:10} {what}: {result}\n"))
}
