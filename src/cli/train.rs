//! `duel train`: results on stdout, what is going on on stderr.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::machine::{self, Machine};
use super::picture::half_blocks;
use super::run_folder::RunFolder;
use crate::config::{Config, DEFAULT_STEPS};
use crate::error::Error;
use crate::export::grid::{Canvas, canvas};
use crate::export::{png, safetensors};
use crate::{Dataset, Digest, Line, Rayon, StepStats, Trainer, golden};

/// Steps between canvases.
const CANVAS_EVERY: u64 = 2_000;
/// Samples per row and column of a canvas.
const GRID: usize = 6;

/// The flags of `duel train`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Train {
    /// Folder of the data set: train-images-idx3-ubyte, plain or .gz
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Folder of the run [default: runs/seed-<SEED>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Steps to train
    #[arg(long, value_name = "N", default_value_t = DEFAULT_STEPS)]
    steps: u64,
    /// Seed of all randomness
    #[arg(long, value_name = "S", default_value_t = Config::default().seed)]
    seed: u64,
    #[command(flatten)]
    machine: Machine,
    /// Print the losses every N steps, and at step 1
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    report_every: u64,
    /// Images of each kind per step
    #[arg(long, value_name = "N", default_value_t = Config::default().batch_size)]
    batch_size: usize,
    /// Adam's step size
    #[arg(long, value_name = "X", default_value_t = Config::default().learning_rate)]
    learning_rate: f32,
    /// Length of a noise vector
    #[arg(long, value_name = "N", default_value_t = Config::default().latent_size)]
    latent_size: usize,
    /// Hidden units of the generator
    #[arg(long, value_name = "N", default_value_t = Config::default().generator_hidden)]
    generator_hidden: usize,
    /// Hidden units of the discriminator
    #[arg(long, value_name = "N", default_value_t = Config::default().discriminator_hidden)]
    discriminator_hidden: usize,
    /// Images held out at the start of the data set
    #[arg(long, value_name = "N", default_value_t = Config::default().validation)]
    validation: usize,
}

impl Train {
    /// Trains and writes the run.
    pub fn run(self) -> Result<(), Error> {
        let config = self.config()?;
        let (isa, pool) = (self.machine.isa()?, self.machine.pool()?);
        let data = Dataset::open(&self.data)?;
        let mut trainer = Trainer::new(config, data.images()).map_err(|error| match error {
            Error::Input { problem, .. } => Error::input(self.data.display().to_string(), problem),
            other => other,
        })?;
        trainer.set_isa(isa);
        let folder = RunFolder::create(self.out.clone(), self.seed)?;
        let images = data.images().count() - self.validation;
        eprintln!(
            "{}, {} images · seed {} · {} · {} steps → {}",
            if data_is_mnist_shaped(&data) { "MNIST" } else { "data" },
            grouped(images as u64),
            self.seed,
            machine::described(isa, &pool),
            grouped(self.steps),
            folder.path().display(),
        );
        let started = Instant::now();
        let (last, digest) = pool.install(|| self.train(&mut trainer, &data, &folder))?;
        self.close(&trainer, &data, &last, digest, started.elapsed());
        Ok(())
    }

    fn config(&self) -> Result<Config, Error> {
        let config = Config {
            latent_size: self.latent_size,
            generator_hidden: self.generator_hidden,
            discriminator_hidden: self.discriminator_hidden,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            validation: self.validation,
            seed: self.seed,
            ..Config::default()
        };
        config.validate().map_err(|error| match error {
            Error::Usage { setting, problem } => Error::usage(format!("--{setting}"), problem),
            other => other,
        })?;
        if self.report_every == 0 {
            return Err(Error::usage("--report-every", "expected 1 or more"));
        }
        Ok(config)
    }

    /// All steps; returns the last canvas and where it is, and the digest.
    fn train(
        &self,
        trainer: &mut Trainer<'_, Box<[Line]>>,
        data: &Dataset,
        folder: &RunFolder,
    ) -> Result<((Canvas, PathBuf), Digest), Error> {
        let stderr = Term::stderr();
        let bar = if stderr.is_term() { ProgressBar::new(self.steps) } else { ProgressBar::hidden() };
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} · {per_sec} · {eta} left · {msg}")
                .expect("the template is fixed"),
        );
        let started = Instant::now();
        let mut noted = started;
        for step in 1..=self.steps {
            let stats = trainer.step(&Rayon)?;
            if step == 1 || step % self.report_every == 0 {
                bar.suspend(|| report(&stats))?;
            }
            if step % 50 == 0 {
                bar.set_position(step);
                bar.set_message(format!("G {:.3} D {:.3}", stats.generator_loss, stats.discriminator_loss));
            }
            if !stderr.is_term() && noted.elapsed() > Duration::from_secs(10) {
                noted = Instant::now();
                let rate = step as f64 / started.elapsed().as_secs_f64();
                let left = (self.steps - step) as f64 / rate;
                eprintln!("step {} · {rate:.0} steps/s · {left:.0} s left", grouped(step));
            }
            if step % CANVAS_EVERY == 0 && step != self.steps {
                self.write_canvas(trainer, data, folder)?;
            }
        }
        bar.finish_and_clear();
        let last = self.write_canvas(trainer, data, folder)?;
        folder.write_state(&safetensors::encode(trainer)?)?;
        Ok((last, trainer.digest()?))
    }

    /// The canvas of the seed's first 36 samples: the same z at every step.
    fn write_canvas(
        &self,
        trainer: &mut Trainer<'_, Box<[Line]>>,
        data: &Dataset,
        folder: &RunFolder,
    ) -> Result<(Canvas, PathBuf), Error> {
        let images = data.images();
        let mut bytes = vec![0; GRID * GRID * images.size()];
        trainer.sample(&Rayon, self.seed, 0, &mut bytes)?;
        let canvas = canvas(&bytes, (images.width(), images.height()), (GRID, GRID), true);
        let path = folder.write_canvas(trainer.steps_done(), &png::encode(&canvas))?;
        Ok((canvas, path))
    }

    /// The last lines: the digest, the picture, the time, whether the bits are the published ones.
    fn close(
        &self,
        trainer: &Trainer<'_, Box<[Line]>>,
        data: &Dataset,
        (canvas, path): &(Canvas, PathBuf),
        digest: Digest,
        elapsed: Duration,
    ) {
        println!("State digest: {digest}");
        if let Some(picture) = half_blocks(canvas, &Term::stderr()) {
            eprint!("{picture}");
        }
        let seconds = elapsed.as_secs_f64();
        let rate = if self.steps == 0 { 0.0 } else { self.steps as f64 / seconds };
        eprintln!("{} steps in {seconds:.1} s ({rate:.0} steps/s)", grouped(self.steps));
        eprintln!("Samples: {}", path.display());
        let published = golden::after(self.steps).filter(|_| *trainer.config() == Config::default());
        match published {
            Some(published) if Digest(data.digest()).to_string() != golden::MNIST => {
                eprintln!(
                    "The data are not MNIST's: nothing to compare with the published digest {published}"
                );
            }
            Some(published) if published == digest.to_string() => {
                eprintln!("The digest equals the published one: these are the same bits.");
            }
            Some(published) => {
                eprintln!("The digest DIFFERS from the published {published}: please report this.")
            }
            None => eprintln!("No digest is published for these settings."),
        }
    }
}

/// The tutorial's line, on stdout.
fn report(stats: &StepStats) -> Result<(), Error> {
    let line = format!(
        "Step {}: Generator Loss: {:.6}, Discriminator Loss: {:.6}\n",
        stats.step, stats.generator_loss, stats.discriminator_loss
    );
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::io("stdout", error))
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
