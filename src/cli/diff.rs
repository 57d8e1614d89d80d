//! `duel diff`: whether two runs or states are the same, and if not, from which step and tensor on, and how far apart.
//!
//! Two runs are compared by their settings, and by their logs: they differ somewhere between the last step at which the
//! logs agree and the first at which they do not. Those steps are trained again, side by side, until the states differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::metrics::Line;
use super::replay::{Named, Progress, Recorded, Replay, forward};
use super::run_folder::{Outcome, Status};
use super::train::grouped;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::{BITS_VERSION, Dataset, Digest};

/// The flags of `duel diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A run's folder, RUN@STEP for its state after any step, or a checkpoint (.safetensors)
    #[arg(value_name = "A")]
    a: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    replay: Replay,
}

impl Diff {
    /// Prints what differs; the exit code: 0 if nothing does, else 1.
    pub fn run(self) -> Result<u8, Error> {
        let same = match (Named::parse(&self.a), Named::parse(&self.b)) {
            (Named::Run(a), Named::Run(b)) => self.runs(&Recorded::open(&a)?, &Recorded::open(&b)?)?,
            _ => states(&self.replay.state(&self.a)?.1, &self.replay.state(&self.b)?.1)?,
        };
        Ok(if same { 0 } else { 1 })
    }

    fn runs(&self, a: &Recorded, b: &Recorded) -> Result<bool, Error> {
        let (of_a, of_b) = (outcome(a)?, outcome(b)?);
        if of_a.duel != of_b.duel {
            line("version of duel", &of_a.duel, &of_b.duel)?;
        }
        let mut same = settings(&a.plan.config.pairs(), &b.plan.config.pairs())?;
        if of_a.bits_version != of_b.bits_version {
            line("bits_version", &of_a.bits_version.to_string(), &of_b.bits_version.to_string())?;
            same = false;
        }
        let same_data = of_a.data_digest == of_b.data_digest;
        if !same_data {
            line("data", &of_a.data_digest, &of_b.data_digest)?;
        }
        // What other settings make of other bits needs no explanation.
        if !same {
            return Ok(false);
        }
        let (log_a, log_b) = (log(&a.path)?, log(&b.path)?);
        let common = || log_a.iter().filter_map(|(step, a)| Some((*step, a, log_b.get(step)?)));
        let Some((upper, ..)) = common().find(|(_, a, b)| differ(a, b)) else {
            let last = common().next_back().map_or(0, |(step, ..)| step);
            super::print(&format!(
                "The logs agree at {} steps, up to {}.\n",
                common().count(),
                grouped(last)
            ))?;
            let ends = (end(a, of_a)?, end(b, of_b)?);
            if ends.0 != ends.1 {
                line("end", &ends.0, &ends.1)?;
            }
            return Ok(same_data && ends.0 == ends.1);
        };
        let before = || common().take_while(|(step, ..)| *step < upper);
        let agree = before().last().map_or(0, |(step, ..)| step);
        // Equal losses do not prove equal states.
        let proven = before().filter(|(_, a, b)| a.digest.is_some() && a.digest == b.digest).last();
        let lower = proven.map_or(0, |(step, ..)| step);
        super::print(&format!(
            "The logs agree up to step {}, with a digest up to step {}, and differ at step {}.\n",
            grouped(agree),
            grouped(lower),
            grouped(upper)
        ))?;
        self.between(a, b, lower, upper)?;
        Ok(false)
    }

    /// Trains both runs again from step `lower` until they differ, at step `upper` at the latest.
    fn between(&self, a: &Recorded, b: &Recorded, lower: u64, upper: u64) -> Result<(), Error> {
        if a.manifest.as_ref().is_some_and(|manifest| manifest.run.bits_version != BITS_VERSION) {
            return super::print("Their bits version is not this program's: nothing to train again.\n");
        }
        let folder = self.replay.data.as_deref();
        let (data_a, data_b) = (a.data(folder)?, b.data(folder)?);
        images(&data_a, &data_b)?;
        let (isa, pool) = (self.replay.machine.isa()?, self.replay.machine.pool()?);
        let start = |run: &Recorded| run.checkpoint_before(lower);
        let (start_a, start_b) = (start(a)?, start(b)?);
        let mut trainer_a = a.trainer(&data_a, start_a.as_ref(), isa)?;
        let mut trainer_b = b.trainer(&data_b, start_b.as_ref(), isa)?;
        let first = trainer_a.steps_done().max(trainer_b.steps_done());
        let behind = (first - trainer_a.steps_done()) + (first - trainer_b.steps_done());
        let progress = Progress::new(behind + 2 * (upper - first));
        for step in first..=upper {
            forward(&mut trainer_a, step, &pool, &progress)?;
            forward(&mut trainer_b, step, &pool, &progress)?;
            if trainer_a.digest()? != trainer_b.digest()? {
                drop(progress);
                super::print(&format!("The first step after which the states differ: {}\n", grouped(step)))?;
                let of_a = Checkpoint::of(&trainer_a, Digest(data_a.digest()))?;
                return tensors(&of_a, &Checkpoint::of(&trainer_b, Digest(data_b.digest()))?).map(|_| ());
            }
        }
        drop(progress);
        super::print(&format!(
            "Trained again, both have the same state after step {}, {}: one of the folders does not tell what its run did, \
             `duel verify RUN --all` says which.\n",
            grouped(upper),
            trainer_a.digest()?
        ))
    }
}

fn outcome(run: &Recorded) -> Result<&Outcome, Error> {
    let missing = || Error::input(run.path.display().to_string(), "has no whole manifest.json");
    run.manifest.as_ref().map(|manifest| &manifest.run).ok_or_else(missing)
}

/// How far a run is saved, and its digest there: as its manifest says, or, if it was killed, its newest checkpoint.
fn end(run: &Recorded, outcome: &Outcome) -> Result<String, Error> {
    let saved = match &outcome.state_digest {
        Some(digest) => Some((outcome.steps_done, digest.clone())),
        None => run.checkpoint_before(u64::MAX)?.map(|found| (found.step, found.state_digest)),
    };
    let diverged = outcome.status == Status::Diverged;
    let and_then =
        if diverged { format!(", diverged at step {}", outcome.steps_done) } else { String::new() };
    Ok(match saved {
        Some((step, digest)) => format!("step {}, {digest}{and_then}", grouped(step)),
        None => format!("nothing saved{and_then}"),
    })
}

/// Whether two lines of the same step differ in what runs determine. One may have a digest that the other has not.
fn differ(a: &Line, b: &Line) -> bool {
    let values =
        |line: &Line| [line.g_loss, line.d_loss, line.mean_d_real, line.mean_d_fake].map(f32::to_bits);
    values(a) != values(b) || a.digest.as_ref().zip(b.digest.as_ref()).is_some_and(|(a, b)| a != b)
}

/// The lines of a run's log by step. One that was cut off is left out.
fn log(run: &Path) -> Result<BTreeMap<u64, Line>, Error> {
    let path = run.join("metrics.jsonl");
    let bytes = fs::read(&path).map_err(|error| Error::io(&path, error))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).enumerate();
    lines
        .map(|(i, line)| {
            let bad = || Error::input(path.display().to_string(), format!("line {} is malformed", i + 1));
            Line::parse(line).map(|line| (line.step, line)).ok_or_else(bad)
        })
        .collect()
}

/// Says which settings differ; whether none does.
fn settings(a: &[(&str, String)], b: &[(&str, String)]) -> Result<bool, Error> {
    let mut same = true;
    for ((name, a), (_, b)) in a.iter().zip(b).filter(|(a, b)| a != b) {
        line(name, a, b)?;
        same = false;
    }
    Ok(same)
}

/// Says which images of two data sets differ.
fn images(a: &Dataset, b: &Dataset) -> Result<(), Error> {
    let (a, b) = (a.images(), b.images());
    let shapes =
        [a, b].map(|images| format!("{} of {} × {}", images.count(), images.height(), images.width()));
    if shapes[0] != shapes[1] {
        return line("images", &shapes[0], &shapes[1]);
    }
    let differ: Vec<usize> = (0..a.count()).filter(|&i| a.image(i) != b.image(i)).collect();
    match differ[..] {
        [] => Ok(()),
        [first] => super::print(&format!("image {first} of the data differs, counted from 0\n")),
        [first, ..] => {
            super::print(&format!("{} images differ, the first is number {first}\n", differ.len()))
        }
    }
}

/// Says how two states differ; whether they do not.
fn states(a: &Checkpoint, b: &Checkpoint) -> Result<bool, Error> {
    let mut same = settings(&a.config.pairs(), &b.config.pairs())?;
    for (name, a, b) in [
        ("data", &a.data_digest, &b.data_digest),
        ("image", &format!("{} × {}", a.height, a.width), &format!("{} × {}", b.height, b.width)),
        ("step", &grouped(a.step), &grouped(b.step)),
    ] {
        if a != b {
            line(name, a, b)?;
            same = false;
        }
    }
    Ok(tensors(a, b)? && same)
}

/// Says which tensors differ and how far, the first one in the order of the canonical form; whether none does.
fn tensors(a: &Checkpoint, b: &Checkpoint) -> Result<bool, Error> {
    if a.state[8..] == b.state[8..] {
        super::print(&format!("parameters and moments are equal; state {}\n", a.state_digest))?;
        return Ok(a.step == b.step);
    }
    line("state", &a.state_digest, &b.state_digest)?;
    let mut differing = Vec::new();
    for ((name, shape, at), (_, other, at_b)) in a.tensors().zip(b.tensors()) {
        if shape != other {
            line(&name, &format!("{shape:?}"), &format!("{other:?}"))?;
        } else if a.state[at.clone()] != b.state[at_b.clone()] {
            differing.push((name, shape, &a.state[at], &b.state[at_b]));
        }
    }
    if let Some((name, shape, a, b)) = differing.first() {
        let pairs = values(a).zip(values(b)).enumerate();
        let ulps = pairs.map(|(i, (a, b))| (ulps(a, b), i, a, b)).filter(|(ulps, ..)| *ulps > 0);
        let all: Vec<_> = ulps.collect();
        let &(far, i, a, b) = all.iter().max_by_key(|(ulps, ..)| *ulps).expect("their bytes differ");
        let cols = shape.last().copied().unwrap_or(1);
        let place = if shape.len() > 1 { format!("[{}, {}]", i / cols, i % cols) } else { format!("[{i}]") };
        super::print(&format!(
            "first tensor that differs: {name} {shape:?}: {} of its {} values, by at most {} ulp: {a:e} | {b:e} at {place}\n",
            grouped(all.len() as u64),
            grouped(shape.iter().product::<usize>() as u64),
            grouped(far),
        ))?;
        let names: Vec<&str> = differing[1..].iter().map(|(name, ..)| &name[..]).collect();
        if !names.is_empty() {
            super::print(&format!("and then: {}\n", names.join(", ")))?;
        }
    }
    Ok(false)
}

fn values(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word))
}

/// How many f32s lie between two, one of them counted; −0 and +0 are one apart.
fn ulps(a: f32, b: f32) -> u64 {
    let place = |x: f32| {
        let magnitude = (x.to_bits() & 0x7FFF_FFFF) as i64;
        if x.is_sign_negative() { -1 - magnitude } else { magnitude }
    };
    place(a).abs_diff(place(b))
}

fn line(name: &str, a: &str, b: &str) -> Result<(), Error> {
    super::print(&format!("{name}: {a} | {b}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulps_are_counted_across_zero_and_powers_of_two() {
        let next = |x: f32| f32::from_bits(x.to_bits() + 1);
        assert_eq!(ulps(1.0, next(1.0)), 1);
        assert_eq!(ulps(1.0, f32::from_bits(1.0f32.to_bits() - 1)), 1);
        assert_eq!(ulps(-0.0, 0.0), 1);
        assert_eq!(ulps(-next(0.0), next(0.0)), 3);
        assert_eq!(ulps(2.0, 1.0), 1 << 23);
    }
}
