//! `duel evaluate`: what a generator's samples are worth, for people, as JSON, and as a picture of the closest pairs.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use duel::data::labels::Labels;
use duel::evaluate::{Evaluation, Report, Sets, evaluate};
use duel::export::grid::canvas;
use duel::export::png;
use duel::files::write_whole;
use duel::run::Folder;
use duel::{Dataset, Error, Images, Rayon, memory};

use super::number;
use super::replay::{Replay, where_data_are};
use super::terminal::{Progress, counted, grouped, print};

/// Samples that are made.
const SAMPLES: usize = 10_000;
/// Real images that they are compared with, at most.
const REAL: usize = 10_000;
/// Of the images held out, those at the start choose the width of Parzen's windows.
const FOR_WIDTH: usize = 1_000;

/// The flags of `duel evaluate`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Evaluate {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    what: PathBuf,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 42, value_parser = number::<u64>)]
    seed: u64,
    /// Take the parameters themselves where there is an average of them
    #[arg(long)]
    raw: bool,
    /// Put real images that were held out in the samples' place: what can be reached
    #[arg(long)]
    real: bool,
    /// A new file NAME.png: the samples that are closest to a training image, each beside that image
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    replay: Replay,
}

impl Evaluate {
    /// Evaluates and prints; a run keeps the figures of its newest state in its folder.
    pub fn run(self) -> Result<(), Error> {
        if let Some(pairs) = &self.pairs {
            if pairs.extension().is_none_or(|extension| extension != "png") {
                return Err(Error::usage("--pairs", "expected NAME.png"));
            }
            if pairs.exists() {
                return Err(Error::usage(
                    "--pairs",
                    format!("{} exists, expected a new file", pairs.display()),
                ));
            }
        }
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let (name, checkpoint) = self.replay.state(&self.what)?;
        let data = self.replay.dataset(Some(&self.what), &checkpoint.config)?;
        if data.digest() != checkpoint.data_digest {
            let problem =
                format!("not the data that {name} was trained on: their digest is {}", data.digest());
            return Err(Error::input(data.path().display().to_string(), problem));
        }
        let test = data.test_images().map_err(where_data_are)?;
        let labels = Labels::beside(data.path(), data.images().count())?;
        let held_out = data.images().take(checkpoint.config.validation);
        let for_width = FOR_WIDTH.min(held_out.count() / 2);
        let (held_out, rest) = (held_out.take(for_width), held_out.skip(for_width));
        let train = data.images().skip(checkpoint.config.validation);
        let labels = labels.as_ref().map(|labels| &labels.all()[checkpoint.config.validation..]);
        let real = test.as_ref().map_or(rest, Dataset::images).take(REAL);
        if self.real && test.is_none() {
            return Err(Error::input(
                data.path().display().to_string(),
                "has no test images beside it for --real",
            ));
        }
        let size = checkpoint.height * checkpoint.width;
        let mut bytes = memory::filled(if self.real { 0 } else { SAMPLES * size }, 0, "samples")?;
        let samples = if self.real {
            rest.take(SAMPLES)
        } else {
            let mut sampler = checkpoint.sampler(self.raw)?;
            sampler.set_isa(isa);
            pool.install(|| sampler.sample(&Rayon, self.seed, 0, &mut bytes))?;
            Images::new(&bytes, checkpoint.height, checkpoint.width)?
        };
        let progress = Progress::of("images compared");
        let sets = Sets { samples, real, held_out, train, labels };
        let report = pool.install(|| evaluate(&sets, &progress))?;
        drop(progress);
        if let Some(path) = &self.pairs {
            write_pairs(path, samples, train, &report)?;
        }
        let of = if self.real {
            "real images that were held out".to_string()
        } else {
            format!("samples of {name}")
        };
        let evaluation = Evaluation { step: checkpoint.step, seed: self.seed, report };
        let text = serde_json::to_string_pretty(&evaluation).expect("plain values") + "\n";
        if self.what.is_dir() && !self.real {
            write_whole(&Folder::new(&self.what).evaluation(), |file| file.write_all(text.as_bytes()))?;
        }
        if self.json {
            return print(&text);
        }
        print(&described(&evaluation.report, &of))
    }
}

/// The report, a line for each figure with what it means.
fn described(report: &Report, of: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String, meaning: &str| {
        let _ = writeln!(text, "{name:17} {value:>16}   {meaning}");
    };
    line("samples", grouped(report.samples as u64), of);
    line("real images", grouped(report.real as u64), "that the generator has not seen");
    let parzen = report.parzen;
    line(
        "Parzen",
        format!("{:.1} ± {:.1}", parzen.nats, parzen.standard_error),
        &format!(
            "nats, the log-likelihood of real images under windows of {:.3} around the samples (the GAN paper: 225 ± 2, of a larger \
             network; it ranks models otherwise than the true likelihood, and copies score best)",
            parzen.width
        ),
    );
    let figure = |x: f64| format!("{x:.4}");
    line(
        "precision",
        figure(report.precision),
        "of the samples look like a real image: within its 5th neighbour's distance",
    );
    line("recall", figure(report.recall), "of the real images look like a sample");
    line(
        "density",
        figure(report.density),
        "real images around a sample, by 5: 1 is as dense as they are themselves",
    );
    line("coverage", figure(report.coverage), "of the real images have a sample around them");
    for (class, shares) in report.classes.iter().flatten().enumerate() {
        let warning = if shares.is_missing() { ": HARDLY ANY, this mode is missing" } else { "" };
        line(
            &format!("class {class}"),
            format!("{:.2}%", 100.0 * shares.share),
            &format!("by the nearest training image; {:.2}% of those{warning}", 100.0 * shares.real_share),
        );
    }
    let quantiles = |of: &[f64; 6]| of.iter().map(|x| format!("{x:.2}")).collect::<Vec<_>>().join(" ");
    line(
        "copies",
        String::new(),
        &format!(
            "distance to the nearest training image, smallest, 5, 25, 50, 75, 95%: {}; of real images {}",
            quantiles(&report.copies.samples),
            quantiles(&report.copies.real)
        ),
    );
    let missing = report.classes.iter().flatten().filter(|class| class.is_missing()).count();
    if missing > 0 {
        let _ = writeln!(
            text,
            "{} nearly missing: less than a third of the real share.",
            counted(missing as u64, "mode")
        );
    }
    let digest = report.digest.map_or(String::new(), |digest| digest.to_string());
    let _ = writeln!(text, "Report digest: {digest}");
    text
}

/// The closest samples, each with its training image to its right.
fn write_pairs(path: &Path, samples: Images<'_>, train: Images<'_>, report: &Report) -> Result<(), Error> {
    const COLUMNS: usize = 8;
    let pairs = report.copies.closest.iter().flat_map(|&(i, j)| [samples.image(i), train.image(j)]);
    let bytes: Vec<u8> = pairs.flatten().copied().collect();
    let rows = (2 * report.copies.closest.len()).div_ceil(COLUMNS);
    let canvas = canvas(&bytes, (samples.width(), samples.height()), (COLUMNS, rows), true)?;
    write_whole(path, |file| png::write(&canvas, file))
}
