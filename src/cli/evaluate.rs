//! `duel evaluate`: what a generator's samples are worth, for people, as JSON, and as a picture of the closest pairs.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use duel::evaluate::{Beside, Evaluation, Material, Report, Sets, Wanted};
use duel::export::grid::canvas;
use duel::export::png;
use duel::export::safetensors::Checkpoint;
use duel::files::write_whole;
use duel::run::{Folder, Observer, Training};
use duel::{Dataset, Error, Rayon};

use super::machine::Pool;
use super::number;
use super::replay::Replay;
use super::signals::Signals;
use super::terminal::{Progress, counted, grouped, new_file, print, shell_word, write_new};

/// Seed of the samples unless told otherwise.
const SEED: u64 = 42;

/// The flags of `duel evaluate`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Evaluate {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    what: PathBuf,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = SEED, value_parser = number::<u64>)]
    seed: u64,
    /// Take the parameters themselves where there is an average of them
    #[arg(long)]
    raw: bool,
    /// Put real images that were held out in the samples' place: what can be reached (needs images for tests beside the data)
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
            new_file("--pairs", pairs, &["png"])?;
        }
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let (name, checkpoint) = self.replay.state(&self.what)?;
        let data = self.replay.dataset(Some(&self.what), &checkpoint.config)?;
        let wanted = Wanted { seed: self.seed, raw: self.raw, real: self.real };
        let beside = Beside::read(&data)?;
        let material = pool.install(|| Material::new(&checkpoint, &data, beside, wanted, isa, &Rayon))?;
        let progress = Progress::of("images compared");
        let evaluation = pool.install(|| material.evaluate(&progress))?;
        drop(progress);
        if let Some(path) = &self.pairs {
            write_pairs(path, &material.sets(), &evaluation.report)?;
        }
        let kept = if self.what.is_dir() && !self.real { keep(&self.what, &evaluation) } else { Ok(()) };
        let real = "real images that were held out".to_string();
        let shown = match self.json {
            true => text(&evaluation),
            false => described(&evaluation, &if self.real { real } else { format!("samples of {name}") }),
        };
        print(&shown).and(kept)
    }
}

/// A bar for the images compared, which a signal stops.
struct Stoppable<'a>(Progress, &'a Signals);

impl Observer for Stoppable<'_> {
    fn begin(&self, steps: u64) {
        self.0.begin(steps);
    }
    fn step(&self) {
        self.0.step();
    }
    fn gives_up(&self) -> bool {
        self.1.caught().is_some()
    }
}

/// The end of a run: its figures on stdout, and in its folder if nothing later is there. The exit code: 0, or that of the signal
/// that stopped it.
pub fn at_the_end(
    training: &Training<'_>,
    data: &Dataset,
    beside: Beside,
    pool: &Pool,
    signals: &Signals,
) -> Result<u8, Error> {
    let (folder, isa) = (training.folder(), training.trainer().isa());
    let checkpoint = Checkpoint::of(training.trainer(), data.digest())?;
    let wanted = Wanted { seed: SEED, raw: false, real: false };
    let material = pool.install(|| Material::new(&checkpoint, data, beside, wanted, isa, &Rayon))?;
    let observer = Stoppable(Progress::of("images compared"), signals);
    let evaluation = pool.install(|| material.evaluate(&observer));
    if let Some((signal, code)) = signals.caught() {
        let run = shell_word(folder.path());
        note!("The evaluation was stopped by {signal}. To make it: duel evaluate {run}");
        return Ok(code);
    }
    let evaluation = evaluation?;
    drop(observer);
    if checkpoint.step >= training.was_at() {
        write(folder, &evaluation)?;
    }
    print(&described(&evaluation, &format!("samples of {}", folder.path().display()))).map(|()| 0)
}

fn text(evaluation: &Evaluation) -> String {
    serde_json::to_string_pretty(evaluation).expect("plain values") + "\n"
}

/// Writes the figures into a run's folder, unless a process trains there.
fn keep(run: &Path, evaluation: &Evaluation) -> Result<(), Error> {
    if !Folder::new(run).write_evaluation(&text(evaluation))? {
        note!("evaluation.json is not written: a process trains there, or may.");
    }
    Ok(())
}

fn write(folder: &Folder, evaluation: &Evaluation) -> Result<(), Error> {
    write_whole(&folder.evaluation(), |file| file.write_all(text(evaluation).as_bytes()))
}

/// The report, a line for each figure with what it means.
fn described(evaluation: &Evaluation, of: &str) -> String {
    let (report, mut text) = (&evaluation.report, String::new());
    let average = if evaluation.averaged { ", by the average of its parameters" } else { "" };
    let mut line = |name: &str, value: String, meaning: &str| {
        let _ = writeln!(text, "{name:17} {value:>16}   {meaning}");
    };
    line("samples", grouped(report.samples as u64), &format!("{of}{average}"));
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
    of_classes(report, &mut line);
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

/// The lines about classes.
fn of_classes(report: &Report, line: &mut dyn FnMut(&str, String, &str)) {
    for (class, shares) in report.classes.iter().flatten().enumerate() {
        let warning = if shares.is_missing() { ": HARDLY ANY, this mode is missing" } else { "" };
        line(
            &format!("class {class}"),
            format!("{:.2}%", 100.0 * shares.share),
            &format!("by the nearest training image; {:.2}% of those{warning}", 100.0 * shares.real_share),
        );
    }
    if let Some(agreement) = report.agreement {
        line(
            "asked-for class",
            format!("{agreement:.4}"),
            "of the samples are nearest to a training image of the class that was asked for",
        );
    }
    if let Some(classifier) = report.classifier {
        line(
            "train on samples",
            format!("{:.4}", classifier.samples),
            &format!(
                "of the real images are told right by the class of the nearest sample; {:.4} by that of the nearest of as many \
                 training images",
                classifier.real
            ),
        );
    }
}

/// The closest samples, each with its training image to its right.
fn write_pairs(path: &Path, sets: &Sets<'_>, report: &Report) -> Result<(), Error> {
    const COLUMNS: usize = 8;
    let Sets { samples, train, .. } = *sets;
    let pairs = report.copies.closest.iter().flat_map(|&(i, j)| [samples.image(i), train.image(j)]);
    let bytes: Vec<u8> = pairs.flatten().copied().collect();
    let rows = (2 * report.copies.closest.len()).div_ceil(COLUMNS);
    let canvas = canvas(&bytes, (samples.width(), samples.height()), (COLUMNS, rows), true)?;
    write_new(path, |file| png::write(&canvas, file))
}
