//! `duel sample`: images of a trained generator as a canvas or as a data set.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use duel::data::labels::label_files;
use duel::export::grid::canvas;
use duel::export::safetensors::Checkpoint;
use duel::export::{idx, npy, png};
use duel::files::{read, write_new};
use duel::run::record::grid;
use duel::{Digest, Error, Line, Rayon, Sampler, memory};
use sha2::{Digest as _, Sha256};

use super::number;
use super::replay::Replay;
use super::signals::Signals;
use super::terminal::{counted, is_there, print};

/// Images that are made before they are written.
const CHUNK: usize = 4_096;

/// The flags of `duel sample`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Sample {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    from: PathBuf,
    /// Seed of the samples; image i depends on the weights, the seed and i alone
    #[arg(long, value_name = "N", default_value_t = 42, value_parser = number::<u64>)]
    seed: u64,
    /// NumPy's file of the noise vectors to make images of: float32 [n, latent size]
    #[arg(long, value_name = "FILE.npy", conflicts_with_all = ["seed", "count"])]
    z: Option<PathBuf>,
    /// Images to make [default: as many as the grid holds]
    #[arg(long, value_name = "N", value_parser = number::<u32>)]
    count: Option<u32>,
    /// Images per row and column of a PNG [default: 6x6; a column for each class of a conditional run, with six rows]
    #[arg(long, value_name = "COLUMNSxROWS")]
    grid: Option<String>,
    /// A new file: NAME.png is a canvas, NAME-ubyte or NAME-ubyte.gz an IDX data set, beside which a conditional run's labels go, NAME.npy an array of NumPy, uint8 [n, height, width]
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Take the parameters themselves where there is an average of them
    #[arg(long)]
    raw: bool,
    /// Of a conditional run: all images of this class, counted from 0 [default: image i is of class i mod the number of classes]
    #[arg(long, value_name = "CLASS", value_parser = number::<usize>)]
    class: Option<usize>,
    /// Leave a PNG white on black, as the data are
    #[arg(long)]
    no_invert: bool,
    #[command(flatten)]
    replay: Replay,
}

/// What the name of the file asks for.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Png,
    Npy,
    Idx { gzip: bool },
}

impl Sample {
    /// Makes the images and writes the file; the exit code: 0, or that of the signal that stopped it.
    pub fn run(self) -> Result<u8, Error> {
        let format = format_of(&self.out)?;
        let asked_grid = self.grid.as_deref().map(grid_of).transpose()?;
        if is_there(&self.out) {
            return Err(Error::usage("--out", format!("{} exists, expected a new file", self.out.display())));
        }
        if self.count == Some(0) {
            return Err(Error::usage("--count", "expected 1 or more"));
        }
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let (state, checkpoint) = self.replay.state(&self.from)?;
        let classes = checkpoint.classes;
        has_class(self.class, classes)?;
        let (columns, rows) = asked_grid.unwrap_or(grid(if self.class.is_some() { 0 } else { classes }));
        let labels = match format {
            Format::Idx { .. } if classes > 0 => label_files(&self.out),
            _ => Vec::new(),
        };
        if classes > 0 && labels.is_empty() && matches!(format, Format::Idx { .. }) {
            return Err(Error::usage("--out", "expected a name in UTF-8, as its labels have one"));
        }
        if let Some(labels) = labels.iter().find(|labels| is_there(labels)) {
            let problem =
                format!("{} would be taken for its labels, expected it to be removed", labels.display());
            return Err(Error::usage("--out", problem));
        }
        let z = match &self.z {
            Some(path) => {
                let bytes = read(path).map_err(|error| Error::io(path, error))?;
                Some(npy::noise(&bytes, checkpoint.config.latent_size, &path.display().to_string())?)
            }
            None => None,
        };
        let given = z.as_ref().map(|z| z.len() / checkpoint.config.latent_size);
        let count = self.images(given, format, (columns, rows))?;
        let mut sampler = checkpoint.sampler(self.raw)?;
        sampler.set_isa(isa);
        if let Some(parent) = self.out.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        note!(
            "{} of {} · {} · {} → {}",
            counted(count as u64, "image"),
            state,
            self.z
                .as_ref()
                .map_or(format!("seed {}", self.seed), |path| format!("noise of {}", path.display())),
            format_args!("{} · {}", isa.name(), counted(pool.threads() as u64, "thread")),
            self.out.display()
        );
        let grid = (columns, rows);
        let signals = Signals::listen()?;
        // The labels first: images that are there have theirs.
        if let (Some(path), Format::Idx { gzip }) = (labels.first(), format) {
            self.write_labels(path, gzip, count, classes)?;
            note!("Their classes: {}", path.display());
        }
        let stop = || signals.caught().is_some();
        let made =
            pool.install(|| self.write(&checkpoint, &mut sampler, format, z.as_deref(), count, grid, &stop));
        match (made, signals.caught()) {
            (Ok(digest), _) => print(&format!("Samples digest: {digest}\n")).map(|()| 0),
            (Err(error), caught) => {
                let _ = labels.first().map(fs::remove_file);
                let Some((signal, code)) = caught else { return Err(error) };
                note!("Stopped by {signal}: {} is not written", self.out.display());
                Ok(code)
            }
        }
    }

    /// How many images are made: as many as there is noise `given`, as were asked for, or as the grid holds.
    fn images(
        &self,
        given: Option<usize>,
        format: Format,
        (columns, rows): (usize, usize),
    ) -> Result<usize, Error> {
        let (cells, flag) = (columns * rows, if given.is_some() { "--z" } else { "--count" });
        let count = given.or(self.count.map(|count| count as usize)).unwrap_or(cells);
        if count == 0 {
            return Err(Error::usage(flag, "expected 1 or more"));
        }
        if format == Format::Png && count > cells {
            return Err(Error::usage(
                flag,
                format!("{count} images do not fit into a grid of {columns}x{rows}"),
            ));
        }
        Ok(count)
    }

    /// Writes the class of each image.
    fn write_labels(&self, path: &Path, gzip: bool, count: usize, classes: usize) -> Result<(), Error> {
        let mut labels = memory::room(count, "labels")?;
        labels.extend((0..count).map(|i| self.class.unwrap_or(i % classes) as u8));
        write_new(path, |file| idx::write(file, gzip, &[count as u32], |out| out.write_all(&labels)))
    }

    /// Writes the file; the digest is that of the images' bytes, white on black.
    fn write(
        &self,
        checkpoint: &Checkpoint,
        sampler: &mut Sampler<Box<[Line]>>,
        format: Format,
        z: Option<&[f32]>,
        count: usize,
        grid: (usize, usize),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Digest, Error> {
        let (height, width) = (checkpoint.height, checkpoint.width);
        let size = height * width;
        let mut hash = Sha256::new();
        // Noise that is given has its first image's class again in each chunk.
        let chunk = CHUNK.next_multiple_of(checkpoint.classes.max(1));
        let mut images = memory::filled(chunk.min(count) * size, 0, "images")?;
        let mut make = |out: &mut dyn Write| {
            for first in (0..count).step_by(chunk) {
                let images = &mut images[..chunk.min(count - first) * size];
                let sampled = match z {
                    Some(z) => {
                        let latent = checkpoint.config.latent_size;
                        let z = &z[first * latent..][..images.len() / size * latent];
                        sampler.generate(&Rayon, z, self.class, images)
                    }
                    None => sampler.sample_class(&Rayon, self.seed, first as u64, self.class, images),
                };
                sampled.map_err(std::io::Error::other)?;
                hash.update(&*images);
                out.write_all(images)?;
                if stop() {
                    return Err(std::io::Error::other("stopped"));
                }
            }
            Ok(())
        };
        match format {
            Format::Png => {
                let mut all = memory::room(count * size, "images")?;
                make(&mut all).map_err(|error| Error::io(&self.out, error))?;
                let canvas = canvas(&all, (width, height), grid, !self.no_invert)?;
                drop(all);
                write_new(&self.out, |file| png::write(&canvas, file))?;
            }
            Format::Npy => {
                write_new(&self.out, |file| npy::write_images(file, [count, height, width], make))?;
            }
            Format::Idx { gzip } => {
                let sizes = [count as u32, height as u32, width as u32];
                write_new(&self.out, |file| idx::write(file, gzip, &sizes, make))?;
            }
        }
        Ok(Digest(hash.finalize().into()))
    }
}

/// Refuses a class that the generator does not have.
pub fn has_class(class: Option<usize>, classes: usize) -> Result<(), Error> {
    let Some(class) = class.filter(|class| *class >= classes) else { return Ok(()) };
    let problem = match classes {
        0 => "the run has no classes to ask for: expected one that was trained with --labels".to_string(),
        _ => format!("expected 0 to {}, not {class}", classes - 1),
    };
    Err(Error::usage("--class", problem))
}

/// Columns and rows.
fn grid_of(text: &str) -> Result<(usize, usize), Error> {
    let numbers = text.split_once('x').and_then(|(columns, rows)| {
        let number = |text: &str| text.parse().ok().filter(|n| (1..=1_000).contains(n));
        Some((number(columns)?, number(rows)?))
    });
    numbers.ok_or_else(|| Error::usage("--grid", "expected COLUMNSxROWS, each 1 to 1000, like 6x6"))
}

fn format_of(path: &Path) -> Result<Format, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match () {
        _ if name.ends_with(".png") => Ok(Format::Png),
        _ if name.ends_with(".npy") => Ok(Format::Npy),
        _ if name.ends_with("-ubyte") => Ok(Format::Idx { gzip: false }),
        _ if name.ends_with("-ubyte.gz") => Ok(Format::Idx { gzip: true }),
        _ => Err(Error::usage("--out", "expected a name that ends in .png, .npy, -ubyte or -ubyte.gz")),
    }
}
