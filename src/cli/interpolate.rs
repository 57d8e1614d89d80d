//! `duel interpolate`: a walk from one sample to another, as a strip of pictures, or as one that moves.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use duel::export::grid::{Canvas, canvas};
use duel::export::{apng, png};
use duel::files::parent;
use duel::{Error, Rayon, memory, rng};

use super::number;
use super::replay::Replay;
use super::sample::has_class;
use super::terminal::{counted, new_file, write_new};

/// The flags of `duel interpolate`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Interpolate {
    /// A run's folder, for its newest checkpoint, RUN@STEP for any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    what: PathBuf,
    /// Seed of the samples
    #[arg(long, value_name = "N", default_value_t = 42, value_parser = number::<u64>)]
    seed: u64,
    /// The sample that it starts at, as duel sample counts them
    #[arg(long, value_name = "I", default_value_t = 0, value_parser = number::<u64>)]
    from: u64,
    /// The sample that it ends at
    #[arg(long, value_name = "J", default_value_t = 1, value_parser = number::<u64>)]
    to: u64,
    /// Pictures, the two ends among them
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = number::<usize>)]
    frames: usize,
    /// How the noise between two vectors is made: great-circle turns the one into the other, so that it stays as long as they are;
    /// linear mixes them, and is shorter in the middle than any noise that the generator was trained on
    #[arg(long, default_value = "great-circle")]
    path: Way,
    /// A new file NAME.png: the pictures in a row
    #[arg(long, value_name = "FILE", required_unless_present = "film")]
    out: Option<PathBuf>,
    /// A new file NAME.png: the pictures one after the other, there and back
    #[arg(long, value_name = "FILE")]
    film: Option<PathBuf>,
    /// Frames per second of the film
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = number::<u16>)]
    fps: u16,
    /// Pixels of the film per pixel of an image, across
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = number::<usize>)]
    scale: usize,
    /// Of a conditional run: the class of all pictures, counted from 0 [default: that of the sample that it starts at]
    #[arg(long, value_name = "CLASS", value_parser = number::<usize>)]
    class: Option<usize>,
    /// Take the parameters themselves where there is an average of them
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    replay: Replay,
}

/// Ways through the space of noise.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    GreatCircle,
    Linear,
}

impl Interpolate {
    /// Makes the pictures and writes the files.
    pub fn run(self) -> Result<(), Error> {
        for (flag, path) in [("--out", &self.out), ("--film", &self.film)] {
            path.as_ref().map_or(Ok(()), |path| new_file(flag, path, &["png"]))?;
        }
        let whole = |path: &PathBuf| Some(parent(path).canonicalize().ok()?.join(path.file_name()?));
        if self.film.is_some() && self.film.as_ref().map(whole) == self.out.as_ref().map(whole) {
            return Err(Error::usage("--film", "expected another file than --out"));
        }
        for (flag, value, range) in [
            ("--frames", self.frames, 2..=1_000),
            ("--fps", self.fps.into(), 1..=1_000),
            ("--scale", self.scale, 1..=20),
        ] {
            if !range.contains(&value) {
                return Err(Error::usage(flag, format!("expected {} to {}", range.start(), range.end())));
            }
        }
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let (name, checkpoint) = self.replay.state(&self.what)?;
        has_class(self.class, checkpoint.classes)?;
        let class = match checkpoint.classes {
            0 => None,
            classes => Some(self.class.unwrap_or((self.from % classes as u64) as usize)),
        };
        let mut ends = [self.from, self.to].map(|index| (index, vec![0.0; checkpoint.config.latent_size]));
        ends.iter_mut().for_each(|(index, z)| rng::sample_noise(self.seed, *index, z));
        let [(_, from), (_, to)] = &ends;
        let z: Vec<f32> = (0..self.frames)
            .flat_map(|i| between(from, to, i as f64 / (self.frames - 1) as f64, self.path))
            .collect();
        let (width, height) = (checkpoint.width, checkpoint.height);
        let mut images = memory::filled(self.frames * width * height, 0, "images")?;
        let mut sampler = checkpoint.sampler(self.raw)?;
        sampler.set_isa(isa);
        pool.install(|| sampler.generate(&Rayon, &z, class, &mut images))?;
        note!(
            "{} between samples {} and {} of {name}",
            counted(self.frames as u64, "picture"),
            self.from,
            self.to
        );
        if let Some(path) = &self.out {
            let strip = canvas(&images, (width, height), (self.frames, 1), true)?;
            write_new(path, |file| png::write(&strip, file))?;
        }
        if let Some(path) = &self.film {
            let picture = |image| canvas(image, (width, height), (1, 1), true);
            let mut frames = images.chunks(width * height).map(picture).collect::<Result<Vec<_>, Error>>()?;
            let back: Vec<Canvas> = frames[1..frames.len() - 1].iter().rev().cloned().collect();
            frames.extend(back);
            frames.first().map_or(Ok(()), |frame| apng::fits(frame, self.scale))?;
            let frames = frames.iter().map(|frame| frame.scaled(self.scale));
            write_new(path, |file| apng::write(frames, self.fps, 0, file))?;
        }
        Ok(())
    }
}

/// The noise at a part of the way; at the ends it is theirs, to the bit.
fn between(from: &[f32], to: &[f32], part: f64, way: Way) -> Vec<f32> {
    if part == 0.0 || part == 1.0 {
        return if part == 0.0 { from.to_vec() } else { to.to_vec() };
    }
    let pairs = || from.iter().zip(to).map(|(&x, &y)| (x as f64, y as f64));
    let dot = |product: fn((f64, f64)) -> f64| pairs().map(product).sum::<f64>();
    let lengths = [dot(|(x, _)| x * x).sqrt(), dot(|(_, y)| y * y).sqrt()];
    let cosine = (dot(|(x, y)| x * y) / (lengths[0] * lengths[1])).clamp(-1.0, 1.0);
    let angle = libm::acos(cosine);
    let sine = libm::sin(angle);
    let (a, b) = match way {
        // The direction turns at an even speed, and the length goes evenly from the one's to the other's. Of vectors in one line,
        // or of no length, there is no circle.
        Way::GreatCircle if sine > 1e-6 => {
            let length = (1.0 - part) * lengths[0] + part * lengths[1];
            let weight = |part: f64, own: f64| libm::sin(part * angle) / sine * length / own;
            (weight(1.0 - part, lengths[0]), weight(part, lengths[1]))
        }
        _ => (1.0 - part, part),
    };
    pairs().map(|(x, y)| (a * x + b * y) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_great_circle_keeps_the_length_and_a_line_does_not() {
        let (from, to) = ([3.0, 0.0, 0.0], [0.0, 3.0, 0.0]);
        let length = |z: Vec<f32>| z.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length(between(&from, &to, 0.5, Way::GreatCircle)) - 3.0).abs() < 1e-6);
        assert!((length(between(&from, &to, 0.5, Way::Linear)) - 2.1213).abs() < 1e-4);
        let third = between(&from, &to, 1.0 / 3.0, Way::GreatCircle);
        assert!((third[1] - 1.5).abs() < 1e-6, "30 degrees: {third:?}");
        for way in [Way::GreatCircle, Way::Linear] {
            assert_eq!(between(&from, &to, 0.0, way), from);
            assert_eq!(between(&from, &to, 1.0, way), to);
            assert_eq!(between(&from, &from, 0.5, way), from);
            assert_eq!(between(&from, &[-3.0, 0.0, 0.0], 0.5, way), [0.0; 3]);
            assert_eq!(between(&[0.0; 3], &to, 0.5, way), [0.0, 1.5, 0.0]);
        }
    }
}
