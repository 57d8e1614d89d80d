//! `duel train`: results on stdout, what is going on on stderr, everything that lasts in the run's folder.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use console::Term;
use duel::evaluate::Beside;
use duel::export::grid::Canvas;
use duel::run::training::End;
use duel::run::{Folder, Host, Plan, Settings, Status, Training, Unfinished, open_data, open_told};
use duel::{Dataset, Error, Isa, Rayon, StepStats, golden};

use super::evaluate;
use super::machine::{self, Machine};
use super::presets;
use super::replay::{told_by, where_data_are};
use super::settings::Flags;
use super::signals::Signals;
use super::terminal::{Progress, counted, draw, grouped, half_blocks, print, shell_word};

/// The flags of `duel train`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Train {
    /// Folder of the run [default: runs/seed-<SEED>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Named settings, which flags go before
    #[arg(long, value_name = "NAME", value_parser = presets())]
    preset: Option<String>,
    /// Take settings from a TOML file, such as a run's config.toml; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Begin with the parameters of a safetensors file: a checkpoint's, or any file's with tensors of the same names and shapes
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    init: Option<PathBuf>,
    /// Go on with a run: auto takes the newest good checkpoint of --out, a path that checkpoint, run, or RUN@STEP
    #[arg(long, value_name = "auto|PATH")]
    resume: Option<PathBuf>,
    /// Evaluate the samples at the end, as duel evaluate does
    #[arg(long)]
    evaluate: bool,
    /// On a terminal: show the samples above the bar, every 2,000 steps
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    settings: Flags,
}

/// What a session is asked for beside the training.
struct Asked<'a> {
    isa: Isa,
    machine: &'a Machine,
    beside: Option<Beside>,
    show: bool,
}

impl Train {
    /// Trains, and returns the exit code: 0, or that of the signal that stopped it.
    pub fn run(self) -> Result<u8, Error> {
        let isa = self.machine.isa()?;
        self.machine.threads()?;
        let settings = self.settings.or(self.preset.as_deref(), self.config.as_deref())?;
        // From here: a signal that comes while the data are read stops the run after its first step.
        let signals = Signals::listen()?;
        let plan = Plan::new(&settings)?;
        let Some(resume) = self.resume else {
            let data = open(&settings, &plan)?;
            let beside = beside(self.evaluate, &data, &plan)?;
            let out = self.out.as_deref();
            let training = match &self.init {
                Some(init) => Training::create_from(init, out, plan, &data)?,
                None => Training::create(out, plan, &data)?,
            };
            let asked = Asked { isa, machine: &self.machine, beside, show: self.show };
            return train(training, &data, asked, signals);
        };
        // A path with a slash behind it is a folder of that name.
        let auto = resume.as_os_str() == "auto";
        if !auto && self.out.is_some() {
            let problem = "a run goes on in its own folder: expected no --out beside --resume PATH";
            return Err(Error::usage("--out", problem));
        }
        let default = Folder::default_of(plan.config.seed);
        let path = if auto { self.out.as_deref().unwrap_or(&default) } else { &resume };
        if auto && !path.is_dir() {
            // What it says of a folder without a run; no step of another one is meant.
            Folder::new(path).read_settings()?;
        }
        let old = Unfinished::open(path, &Progress::of("steps trained"))?;
        let plan = Plan::new(&settings.clone().or(old.run().settings.clone()))?;
        // Its own settings, given as a file, say no more than they do without that.
        let own = |data: &&str| {
            settings.source("data").is_some() && Path::new(data) == old.run().plan.schedule.data
        };
        let data = match settings.get("data").filter(|data| !own(data)) {
            Some(_) => open(&settings, &plan)?,
            None => old.run().find_data(None)?,
        };
        let beside = beside(self.evaluate, &data, &plan)?;
        let asked = Asked { isa, machine: &self.machine, beside, show: self.show };
        train(Training::resume(old, plan, &data)?, &data, asked, signals)
    }
}

/// The data, from where a flag or a file says that they are.
fn open(settings: &Settings, plan: &Plan) -> Result<Dataset, Error> {
    let Some((file, line)) = settings.source("data") else {
        return open_data(&plan.schedule.data, &plan.config).map_err(where_data_are);
    };
    let place = format!("as line {line} of {} says, from here; --data names another place", file.display());
    open_told(&plan.schedule.data, &plan.config).map_err(|error| told_by(&place, error))
}

/// What an evaluation at the end will need: that it is not there is said before the training.
fn beside(evaluate: bool, data: &Dataset, plan: &Plan) -> Result<Option<Beside>, Error> {
    if !evaluate {
        return Ok(None);
    }
    let beside = Beside::read(data)?;
    beside.suffices(data, plan.config.validation).map(|()| Some(beside))
}

/// Trains from where `training` is.
fn train(
    mut training: Training<'_>,
    data: &Dataset,
    Asked { isa, machine, beside, show }: Asked<'_>,
    signals: Signals,
) -> Result<u8, Error> {
    training.set_isa(isa);
    let pool = &machine.pool_for(training.trainer())?;
    let (from, plan) = (training.trainer().steps_done(), training.plan().clone());
    note!(
        "{}, {} · seed {} · {} · {}{} → {}",
        if data.digest() == golden::mnist(plan.config.labels) { "MNIST" } else { "data" },
        counted(training.trainer().images().count() as u64, "image"),
        plan.config.seed,
        machine::described(training.trainer(), pool),
        counted(training.until(), "step"),
        if from > 0 { format!(" from {} on", grouped(from)) } else { String::new() },
        training.folder().path().display(),
    );
    if !training.is_guarded() {
        note!(
            "The file system has no locks: nothing guards this folder against a second process that writes there."
        );
    }
    let (until, was_at) = (training.until(), training.was_at());
    if until < was_at {
        note!(
            "This run has been at step {} already, and that stays: this session ends after step {}.",
            grouped(was_at),
            grouped(until)
        );
    }
    let (progress, started) = (Progress::of("steps trained"), Instant::now());
    progress.start(from, until);
    let mut host = Person { progress, signals, unheard: None, show };
    let end = pool.install(|| training.run(&Rayon, &mut host))?;
    drop(host.progress);
    let done = training.trainer().steps_done();
    let evaluate = if beside.is_some() { " --evaluate" } else { "" };
    let stopped = |by: &str| {
        let resume = resume(&training);
        note!("Stopped by {by} after step {}. To go on: duel train {resume}{evaluate}", grouped(done));
    };
    match (host.unheard, host.signals.caught()) {
        (Some(error), _) => {
            if end.status == Status::Stopped && done < until {
                stopped("the end of stdout");
            }
            Err(error)
        }
        (None, Some((signal, code))) if end.status == Status::Stopped && done < until => {
            stopped(signal);
            Ok(code)
        }
        _ => {
            close(!show, &training, data, &end, done - from, started.elapsed())?;
            beside.map_or(Ok(0), |beside| evaluate::at_the_end(&training, data, beside, pool, &host.signals))
        }
    }
}

/// The flags that go on with what this session was to do.
fn resume(training: &Training<'_>) -> String {
    let (path, done) = (training.folder().path(), training.trainer().steps_done());
    if training.was_at() <= done {
        return format!("--resume auto --out {}", shell_word(path));
    }
    // There are later states, too, and config.toml is still that of them.
    let mut state = path.as_os_str().to_os_string();
    state.push(format!("@{done}"));
    let mut flags = format!("--resume {} --steps {}", shell_word(Path::new(&state)), training.until());
    let there = training.folder().read_settings().and_then(|settings| Plan::new(&settings));
    let there = there.map(|plan| plan.values()).unwrap_or_default();
    for ((about, now), (_, before)) in training.plan().values().iter().zip(&there) {
        if now != before && about.name != "steps" {
            flags += &format!(" --{} {}", about.name, shell_word(Path::new(now)));
        }
    }
    flags
}

/// The person at the terminal, who may send a signal, or go away.
struct Person {
    progress: Progress,
    signals: Signals,
    /// Why stdout takes nothing any more: the run is saved then, as on a signal.
    unheard: Option<Error>,
    show: bool,
}

impl Host for Person {
    fn step(&mut self, stats: &StepStats) -> ControlFlow<()> {
        self.progress
            .at(stats.step, || format!("· G {:.3} D {:.3}", stats.generator_loss, stats.discriminator_loss));
        let stop = self.signals.caught().is_some() || self.unheard.is_some();
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn canvas(&mut self, _: u64, canvas: &Canvas) {
        if let Some(picture) =
            Some(canvas).filter(|_| self.show).and_then(|canvas| half_blocks(canvas, &Term::stderr()))
        {
            self.progress.suspend(|| draw(&picture));
        }
    }

    /// The tutorial's line, on stdout.
    fn written(&mut self, stats: &StepStats, report: bool) -> Result<(), Error> {
        if !report {
            return Ok(());
        }
        let StepStats { step, generator_loss, discriminator_loss } = stats;
        let line = format!(
            "Step {step}: Generator Loss: {generator_loss:.6}, Discriminator Loss: {discriminator_loss:.6}\n"
        );
        if self.unheard.is_none() {
            let printed = self.progress.suspend(|| print(&line)).unwrap_or(Ok(()));
            // Where a signal came first, that is what stops the run.
            self.unheard = printed.err().filter(|_| self.signals.caught().is_none());
        }
        Ok(())
    }
}

/// The last lines: the digest, the picture, the time, whether the bits are the published ones.
fn close(
    show: bool,
    training: &Training<'_>,
    data: &Dataset,
    end: &End,
    steps: u64,
    elapsed: Duration,
) -> Result<(), Error> {
    print(&format!("State digest: {}\n", end.digest))?;
    if let Some(picture) =
        end.canvas.as_ref().filter(|_| show).and_then(|canvas| half_blocks(canvas, &Term::stderr()))
    {
        draw(&picture);
    }
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { steps as f64 / seconds } else { 0.0 };
    note!("{} in {seconds:.1} s ({rate:.0} steps/s)", counted(steps, "step"));
    if end.canvas.is_some() {
        note!("Samples: {}", training.last_canvas().display());
    }
    let plan = training.plan();
    let found = training.trainer().digests()?;
    if training.began_with_given() {
        note!("The run began with given parameters: no digest is published for that.");
        return Ok(());
    }
    match golden::published(&plan.config, training.trainer().steps_done()) {
        Some(published) if data.digest() != golden::mnist(plan.config.labels) => {
            note!("The data are not MNIST's: nothing to compare with the published digest {published}");
        }
        Some(published) if published.found_in(&found) => {
            note!("The digest equals the published one: these are the same bits.");
        }
        Some(published) => note!("The digest DIFFERS from the published {published}: please report this."),
        None => note!("No digest is published for these settings."),
    }
    Ok(())
}
