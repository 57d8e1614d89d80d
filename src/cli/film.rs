//! `duel film`: a run's canvas over its training, as a PNG that moves.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use duel::export::apng;
use duel::export::grid::Canvas;
use duel::run::Status;
use duel::run::record::canvas_of;
use duel::run::recorded::Recorded;
use duel::{Error, Rayon, memory};

use super::number;
use super::replay::Replay;
use super::terminal::{Progress, counted, grouped, new_file, write_new};

/// Seconds that the last frame stays longer.
const HOLD: u16 = 2;

/// The flags of `duel film`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Film {
    /// A run's folder
    run: PathBuf,
    /// A new file NAME.png: an animated PNG, which is a still picture where that is not known
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Frames at these steps; what was not saved is trained again
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = number::<u64>, conflicts_with_all = ["frames", "spacing"])]
    steps: Vec<u64>,
    /// So many frames, from step 0 to the last one that is done
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = number::<usize>)]
    frames: usize,
    /// Where the frames are: log, which shows more of the beginning, or even
    #[arg(long, default_value = "log")]
    spacing: Spacing,
    /// Frames per second
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = number::<u16>)]
    fps: u16,
    /// Pixels of the picture per pixel of the canvas, across
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number::<usize>)]
    scale: usize,
    #[command(flatten)]
    replay: Replay,
}

/// Where frames are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spacing {
    Log,
    Even,
}

impl Film {
    /// Makes the frames, training again where nothing was saved, and writes the file.
    pub fn run(self) -> Result<(), Error> {
        new_file("--out", &self.out, &["png"])?;
        for (flag, value, most) in
            [("--frames", self.frames, 1_000), ("--fps", self.fps.into(), 1_000), ("--scale", self.scale, 20)]
        {
            if !(1..=most).contains(&value) {
                return Err(Error::usage(flag, format!("expected 1 to {most}")));
            }
        }
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let run = Recorded::open(&self.run)?;
        let mut steps = self.steps;
        if steps.is_empty() {
            let saved = run.folder.checkpoints()?.into_iter().map(|(step, _)| step).max();
            let done = run.manifest.as_ref().map(|manifest| match manifest.run.status {
                // The step that diverged leaves no state.
                Status::Diverged => manifest.run.steps_done.saturating_sub(1),
                _ => manifest.run.steps_done,
            });
            let last = done.or(saved).unwrap_or(0).max(saved.unwrap_or(0)).min(run.plan.schedule.steps);
            steps = spread(self.frames, last, self.spacing);
        }
        steps.sort_unstable();
        steps.dedup();
        steps.iter().try_for_each(|step| run.has_step(*step))?;
        let data = run.data(self.replay.data.as_deref())?;
        let (count, first, last) = (steps.len(), steps[0], steps[steps.len() - 1]);
        note!(
            "{}, of steps {} to {} · {} → {}",
            counted(count as u64, "frame"),
            grouped(first),
            grouped(last),
            isa.name(),
            self.out.display()
        );
        let mut frames: Vec<Canvas> = Vec::new();
        let progress = Progress::of("steps recomputed");
        pool.install(|| {
            run.visit(&steps, &data, isa, &Rayon, &progress, |trainer| {
                let caption = format!("step {}", grouped(trainer.steps_done()));
                frames.push(canvas_of(trainer, &Rayon)?.captioned(&caption));
                if frames.len() > 1 {
                    return Ok(());
                }
                // All of them are there before the first is written, and the others are as large as this one.
                memory::room(frames[0].pixels.len().saturating_mul(count - 1), "frames")?;
                apng::fits(&frames[0], self.scale)
            })
        })?;
        drop(progress);
        let frames = frames.iter().map(|frame| frame.scaled(self.scale));
        write_new(&self.out, |file| apng::write(frames, self.fps, HOLD, file))
    }
}

/// So many different steps from 0 to `last`, or all of them if they are fewer.
fn spread(frames: usize, last: u64, spacing: Spacing) -> Vec<u64> {
    if frames < 2 {
        return vec![last];
    }
    let part = |i: usize| i as f64 / (frames - 1) as f64;
    let mut steps: Vec<u64> = (0..frames)
        .map(|i| match spacing {
            Spacing::Even => (part(i) * last as f64).round() as u64,
            Spacing::Log => (libm::pow(last as f64 + 1.0, part(i)) - 1.0).round() as u64,
        })
        .collect();
    // The first ones would be the same step: each is after the one before, as far as there are steps.
    for i in 1..frames {
        steps[i] = steps[i].max(steps[i - 1] + 1).min(last);
    }
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_different_steps_from_the_first_to_the_last() {
        assert_eq!(spread(5, 100, Spacing::Even), [0, 25, 50, 75, 100]);
        assert_eq!(spread(60, 3, Spacing::Log), [0, 1, 2, 3]);
        assert_eq!(spread(1, 7, Spacing::Log), [7]);
        assert_eq!(spread(4, 0, Spacing::Even), [0]);
        let log = spread(60, 70_000, Spacing::Log);
        assert_eq!((log.len(), log[0], log[1], log[59]), (60, 0, 1, 70_000));
        assert!(log.is_sorted_by(|a, b| a < b) && log[30] < 1_000);
    }
}
