//! `duel train`: results on stdout, what is going on on stderr, everything that lasts in the run's folder.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::Owned;
use super::machine::{self, Machine};
use super::metrics::{Metrics, line_of};
use super::picture::half_blocks;
use super::run_folder::{self, CANVAS_EVERY, Manifest, Outcome, RunFolder, Session, Status, canvas_of};
use super::settings::{Plan, Settings};
use super::signals::Signals;
use crate::config::Config;
use crate::error::Error;
use crate::export::grid::Canvas;
use crate::export::png;
use crate::export::safetensors::{self, Checkpoint};
use crate::{BITS_VERSION, Dataset, Digest, Isa, Rayon, StepStats, Trainer, golden};

/// The flags of `duel train`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Train {
    /// Folder of the run [default: runs/seed-<SEED>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take settings from a TOML file, such as a run's config.toml; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Go on with a run: auto takes the newest good checkpoint of --out, a path that checkpoint or run
    #[arg(long, value_name = "auto|PATH")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    settings: Settings,
}

/// A run about to start or to go on.
struct Run<'a> {
    plan: Plan,
    folder: RunFolder,
    manifest: Manifest,
    metrics: Metrics,
    trainer: Owned<'a>,
    data: &'a Dataset,
    data_digest: Digest,
}

impl Train {
    /// Trains, and returns the exit code: 0, or that of the signal that stopped it.
    pub fn run(self) -> Result<u8, Error> {
        let isa = self.machine.isa()?;
        self.machine.threads()?;
        let mut settings = self.settings;
        if let Some(path) = &self.config {
            settings = settings.or(Settings::read(path)?);
        }
        let Some(resume) = self.resume else {
            let plan = Plan::new(settings)?;
            let data = Dataset::open(&plan.data)?;
            let trainer = trainer(&plan, &data)?;
            let text = plan.settings().text();
            let folder = RunFolder::create(self.out.as_deref(), plan.config.seed, &text)?;
            let data_digest = Digest(data.digest());
            return start(plan, folder, &data, data_digest, trainer, isa, &self.machine);
        };
        let (folder, checkpoint) = find(&resume, self.out.as_deref(), settings.seed())?;
        let written = Settings::read(&folder.config())?;
        let plan = Plan::new(settings.or(written.clone()))?;
        let data = Dataset::open(&plan.data)?;
        let mut trainer = trainer(&plan, &data)?;
        let digest = Digest(data.digest());
        let data_digest = digest.to_string();
        let refused = |field: &str, is: &str, not: &str| {
            let problem = format!("{field} is {is} in this run, not {not}: it cannot go on");
            Err(Error::input(folder.path().display().to_string(), problem))
        };
        if let Some(manifest) = RunFolder::manifest(folder.path()) {
            if manifest.run.bits_version != BITS_VERSION {
                let (is, not) = (manifest.run.bits_version.to_string(), BITS_VERSION.to_string());
                return refused("bits_version", &is, &not);
            }
            if manifest.run.data_digest != data_digest {
                return refused("data_digest", &manifest.run.data_digest, &data_digest);
            }
        }
        let old = Plan::new(written)?;
        let before = checkpoint.as_ref().map_or(&old.config, |checkpoint| &checkpoint.config);
        for ((name, is), (_, wanted)) in before.pairs().iter().zip(&plan.config.pairs()) {
            if is != wanted {
                return refused(name, is, wanted);
            }
        }
        if let Some(checkpoint) = checkpoint {
            if checkpoint.data_digest != data_digest {
                return refused("data_digest", &checkpoint.data_digest, &data_digest);
            }
            if checkpoint.step > plan.steps {
                let problem = format!("this run is at step {} already, expected no less", checkpoint.step);
                return Err(Error::usage("--steps", problem));
            }
            trainer.load(&checkpoint.state)?;
            // The log up to there is written.
            let more =
                |step: u64| plan.logs(step) && !old.logs(step) || plan.digests(step) && !old.digests(step);
            if let Some(step) = (1..=checkpoint.step).find(|&step| more(step)) {
                let flag = match () {
                    _ if plan.report_every != old.report_every => "--report-every",
                    _ if plan.checkpoint_every != old.checkpoint_every => "--checkpoint-every",
                    _ => "--digest-at",
                };
                let problem = format!(
                    "the log has no such line of step {step}, which is done: expected no more than before"
                );
                return Err(Error::usage(flag, problem));
            }
        }
        folder.write_config(&plan.settings().text())?;
        start(plan, folder, &data, digest, trainer, isa, &self.machine)
    }
}

/// A trainer at step 0; what is wrong with the data names their folder.
fn trainer<'a>(plan: &Plan, data: &'a Dataset) -> Result<Owned<'a>, Error> {
    Trainer::new(plan.config.clone(), data.images()).map_err(|error| match error {
        Error::Input { problem, .. } => Error::input(plan.data.display().to_string(), problem),
        other => other,
    })
}

/// The folder of the run to go on with, and its checkpoint; none if it was stopped before the first one.
fn find(resume: &Path, out: Option<&Path>, seed: u64) -> Result<(RunFolder, Option<Checkpoint>), Error> {
    if resume != Path::new("auto") && out.is_some() {
        return Err(Error::usage(
            "--out",
            "a run goes on in its own folder: expected no --out beside --resume PATH",
        ));
    }
    let default = run_folder::default_name(seed);
    let path = match resume {
        auto if auto == Path::new("auto") => out.unwrap_or(&default),
        path if path.is_dir() => path,
        file => {
            let checkpoint = run_folder::read_checkpoint(file)?;
            let whole = file.canonicalize().map_err(|error| Error::io(file, error))?;
            let run = whole.parent().and_then(Path::parent).unwrap_or(&whole);
            return Ok((RunFolder::open(run)?, Some(checkpoint)));
        }
    };
    let folder = RunFolder::open(path)?;
    let newest = run_folder::newest_checkpoint(path)?;
    if newest.is_none() {
        // Damaged ones may still be worth something to somebody: they are not overwritten.
        if !run_folder::checkpoints(path)?.is_empty() {
            return Err(Error::input(path.display().to_string(), "none of its checkpoints is good"));
        }
        note!("{} has no checkpoint yet: from the start", path.display());
    }
    Ok((folder, newest.map(|(_, checkpoint)| checkpoint)))
}

/// Trains from where `trainer` is.
fn start(
    plan: Plan,
    folder: RunFolder,
    data: &Dataset,
    data_digest: Digest,
    mut trainer: Owned<'_>,
    isa: Isa,
    machine: &Machine,
) -> Result<u8, Error> {
    trainer.set_isa(isa);
    let pool = &machine.pool_for(&trainer)?;
    let from = trainer.steps_done();
    let images = trainer.images().count();
    note!(
        "{}, {} images · seed {} · {} · {} steps{} → {}",
        if data_is_mnist_shaped(data) { "MNIST" } else { "data" },
        grouped(images as u64),
        plan.config.seed,
        machine::described(&trainer, pool),
        grouped(plan.steps),
        if from > 0 { format!(" from {} on", grouped(from)) } else { String::new() },
        folder.path().display(),
    );
    let mut sessions = RunFolder::manifest(folder.path()).map_or(Vec::new(), |manifest| manifest.sessions);
    sessions.push(Session {
        started: now(),
        ended: None,
        cpu: machine::cpu(),
        isa: isa.name().to_string(),
        threads: pool.current_num_threads(),
        from_step: from,
    });
    let run = Outcome {
        duel: env!("CARGO_PKG_VERSION").to_string(),
        bits_version: BITS_VERSION,
        data_digest: data_digest.to_string(),
        images,
        status: Status::Running,
        steps_done: from,
        state_digest: None,
    };
    let removed = folder.remove_checkpoints_after(from)?;
    if removed > 0 {
        note!("removed {removed} checkpoints after step {}: they are made again", grouped(from));
    }
    let metrics = Metrics::open(folder.metrics(), &plan, from)?;
    let mut run =
        Run { plan, folder, manifest: Manifest { run, sessions }, metrics, trainer, data, data_digest };
    run.folder.write_manifest(&run.manifest)?;
    let signals = Signals::listen()?;
    let started = Instant::now();
    match pool.install(|| run.train(&signals, started)) {
        Ok(Some((signal, code))) => {
            run.end(Status::Stopped)?;
            let (step, path) = (grouped(run.trainer.steps_done()), run.folder.path().display());
            note!("Stopped by {signal} after step {step}. To go on: duel train --resume auto --out {path}");
            Ok(code)
        }
        Ok(None) => {
            let picture = pool.install(|| run.write_canvas())?;
            let digest = run.end(Status::Done)?;
            run.close(&picture, digest, run.plan.steps - from, started.elapsed())?;
            Ok(0)
        }
        Err(error) => {
            // What went wrong is the error's to say; the manifest follows if it can.
            let _ =
                run.end(if let Error::Diverged { .. } = error { Status::Diverged } else { Status::Failed });
            Err(error)
        }
    }
}

impl Run<'_> {
    /// The steps that are left, unless a signal comes.
    fn train(&mut self, signals: &Signals, started: Instant) -> Result<Option<(&'static str, u8)>, Error> {
        let stderr = Term::stderr();
        let (from, steps) = (self.trainer.steps_done(), self.plan.steps);
        let bar = if stderr.is_term() { ProgressBar::new(steps) } else { ProgressBar::hidden() };
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} · {per_sec} · {eta} left · {msg}")
                .expect("the template is fixed"),
        );
        bar.set_position(from);
        bar.reset_eta();
        let mut noted = started;
        if from == steps {
            self.write_checkpoint()?;
        }
        while self.trainer.steps_done() < steps {
            let (done, mut last) = (self.trainer.steps_done(), None);
            let until = (done + 1..steps).find(|&step| self.pauses(step)).unwrap_or(steps);
            let mut stop = None;
            self.trainer.run(&Rayon, until - done, |stats| {
                let step = stats.step;
                last = Some(stats);
                if step % 50 == 0 {
                    bar.set_position(step);
                    bar.set_message(format!(
                        "G {:.3} D {:.3}",
                        stats.generator_loss, stats.discriminator_loss
                    ));
                }
                if !stderr.is_term() && noted.elapsed() > Duration::from_secs(10) {
                    noted = Instant::now();
                    let rate = (step - from) as f64 / started.elapsed().as_secs_f64();
                    let left = (steps - step) as f64 / rate;
                    note!("step {} · {rate:.0} steps/s · {left:.0} s left", grouped(step));
                }
                stop = signals.caught().filter(|_| step != steps);
                if stop.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            let Some(stats) = last else { break };
            let step = stats.step;
            let rate = || (step - from) as f64 / started.elapsed().as_secs_f64();
            if self.plan.logs(step) || stop.is_some() {
                self.log(&stats, stop.is_some(), rate())?;
            }
            if step % CANVAS_EVERY == 0 && step != steps {
                self.write_canvas()?;
            }
            if self.plan.keeps(step) || stop.is_some() {
                self.write_checkpoint()?;
            }
            if self.plan.reports(step) {
                bar.suspend(|| report(&stats))?;
            }
            if stop.is_some() {
                bar.abandon();
                return Ok(stop);
            }
        }
        bar.finish_and_clear();
        Ok(None)
    }

    /// Whether something is written after `step`: the steps between are one run of the trainer.
    fn pauses(&self, step: u64) -> bool {
        self.plan.logs(step) || step.is_multiple_of(CANVAS_EVERY)
    }

    /// Logs a step. A stop is logged as the run's end would be: whoever goes on takes out what is too much.
    fn log(&mut self, stats: &StepStats, stop: bool, steps_per_s: f64) -> Result<(), Error> {
        let digest = stop || self.plan.digests(stats.step);
        self.metrics.write(&line_of(&mut self.trainer, stats, digest, steps_per_s)?)
    }

    fn write_checkpoint(&mut self) -> Result<(), Error> {
        self.metrics.sync()?;
        let bytes = safetensors::encode(&self.trainer, self.data_digest)?;
        self.folder.write_checkpoint(self.trainer.steps_done(), &bytes, self.plan.keep_last)
    }

    fn write_canvas(&mut self) -> Result<(Canvas, PathBuf), Error> {
        let images = self.data.images();
        let canvas = canvas_of(&mut self.trainer, &Rayon, (images.width(), images.height()))?;
        let path = self.folder.write_canvas(self.trainer.steps_done(), &png::encode(&canvas))?;
        Ok((canvas, path))
    }

    /// Notes in the manifest how the session ended; returns the digest.
    fn end(&mut self, status: Status) -> Result<Digest, Error> {
        let digest = self.trainer.digest();
        let run = &mut self.manifest.run;
        (run.status, run.steps_done) = (status, self.trainer.steps_done());
        run.state_digest = digest.as_ref().ok().map(Digest::to_string);
        if let Some(session) = self.manifest.sessions.last_mut() {
            session.ended = Some(now());
        }
        self.folder.write_manifest(&self.manifest)?;
        digest
    }

    /// The last lines: the digest, the picture, the time, whether the bits are the published ones.
    fn close(
        &self,
        (canvas, path): &(Canvas, PathBuf),
        digest: Digest,
        steps: u64,
        elapsed: Duration,
    ) -> Result<(), Error> {
        super::print(&format!("State digest: {digest}\n"))?;
        if let Some(picture) = half_blocks(canvas, &Term::stderr()) {
            note!("{}", picture.trim_end());
        }
        let seconds = elapsed.as_secs_f64();
        let rate = if steps == 0 { 0.0 } else { steps as f64 / seconds };
        note!("{} steps in {seconds:.1} s ({rate:.0} steps/s)", grouped(steps));
        note!("Samples: {}", path.display());
        let published = golden::after(self.plan.steps).filter(|_| self.plan.config == Config::default());
        match published {
            Some(published) if self.data_digest.to_string() != golden::MNIST => {
                note!("The data are not MNIST's: nothing to compare with the published digest {published}");
            }
            Some(published) if published == digest.to_string() => {
                note!("The digest equals the published one: these are the same bits.");
            }
            Some(published) => {
                note!("The digest DIFFERS from the published {published}: please report this.")
            }
            None => note!("No digest is published for these settings."),
        }
        Ok(())
    }
}

/// The time in UTC, to the second.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The tutorial's line, on stdout.
fn report(stats: &StepStats) -> Result<(), Error> {
    super::print(&format!(
        "Step {}: Generator Loss: {:.6}, Discriminator Loss: {:.6}\n",
        stats.step, stats.generator_loss, stats.discriminator_loss
    ))
}

fn data_is_mnist_shaped(data: &Dataset) -> bool {
    let images = data.images();
    (images.count(), images.height(), images.width()) == (60_000, 28, 28)
}

/// 70000 as 70,000.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
