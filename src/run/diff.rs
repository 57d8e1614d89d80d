//! Whether two runs or states are the same, and if not, from which step and tensor on, and how far apart.
//!
//! Two runs are compared by their settings, and by their logs: they differ somewhere between the last step at which the
//! logs agree and the first at which they do not. Those steps are trained again, side by side, until the states differ.
//! Uses `log`, `manifest` and `recorded`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::Observer;
use super::log::Entry;
use super::manifest::{Outcome, Status};
use super::recorded::{Recorded, forward};
use crate::config::Config;
use crate::digest::Digest;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::kernels::Isa;
use crate::parallel::Team;
use crate::{BITS_VERSION, Dataset};

/// Something found, as a line for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// Something has one value in A and another one in B.
    Differs(String, [String; 2]),
    /// At how many steps the logs agree, and up to which; they have no other step in common.
    LogsAgree(usize, u64),
    /// Where the logs part.
    LogsDiffer {
        /// The last step at which they agree.
        agree: u64,
        /// The last one at which they agree on a digest.
        proven: u64,
        /// The first one at which they differ.
        differ: u64,
    },
    /// Images differ: how many, and the first one's number, from 0.
    Images(usize, usize),
    /// The first step after which the states differ.
    FirstStep(u64),
    /// Trained again, both runs have this state after the step at which their logs differ.
    NotReproduced(u64, Digest),
    /// The bits are of another version: nothing can be trained again.
    OtherBits,
    /// Parameters and moments are those of this state in both.
    Equal(Digest),
    /// The first tensor that differs, in canonical order.
    Tensor {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many of its values differ.
        values: usize,
        /// By how many units in the last place at most.
        ulps: u64,
        /// The two values that are so far apart.
        pair: [f32; 2],
        /// Where they are, row-major.
        at: usize,
    },
    /// The tensors after that.
    Others(Vec<String>),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Differs(name, [a, b]) => write!(f, "{name}: {a} | {b}"),
            Finding::LogsAgree(steps, last) => {
                write!(f, "The logs agree at {}, up to {}.", counted(*steps as u64, "step"), grouped(*last))
            }
            Finding::LogsDiffer { agree, proven, differ } => {
                let [agree, proven, differ] = [agree, proven, differ].map(|step| grouped(*step));
                write!(f, "The logs agree up to step {agree}, with a digest up to step {proven}, ")?;
                write!(f, "and differ at step {differ}.")
            }
            Finding::Images(1, first) => write!(f, "image {first} of the data differs, counted from 0"),
            Finding::Images(count, first) => {
                write!(f, "{count} images differ, the first is number {first}")
            }
            Finding::FirstStep(step) => {
                write!(f, "The first step after which the states differ: {}", grouped(*step))
            }
            Finding::NotReproduced(step, digest) => write!(
                f,
                "Trained again, both have the same state after step {}, {digest}: one of the folders does not tell what \
                 its run did; to verify all of both says which.",
                grouped(*step)
            ),
            Finding::OtherBits => {
                f.write_str("Their bits version is not this program's: nothing to train again.")
            }
            Finding::Equal(digest) => write!(f, "parameters and moments are equal; state {digest}"),
            Finding::Tensor { name, shape, values, ulps, pair: [a, b], at } => {
                let all: usize = shape.iter().product();
                write!(
                    f,
                    "first tensor that differs: {name} {shape:?}: {} of its ",
                    grouped(*values as u64)
                )?;
                write!(
                    f,
                    "{} values, by at most {} ulp: {a:e} | {b:e} at ",
                    grouped(all as u64),
                    grouped(*ulps)
                )?;
                match shape[..] {
                    [_, cols] => write!(f, "[{}, {}]", at / cols, at % cols),
                    _ => write!(f, "[{at}]"),
                }
            }
            Finding::Others(names) => write!(f, "and then: {}", names.join(", ")),
        }
    }
}

/// 1 step, 70,000 steps.
pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
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

/// Takes findings as they are made.
pub type Tell<'a> = &'a mut dyn FnMut(Finding) -> Result<(), Error>;

fn differs(tell: Tell<'_>, name: &str, a: impl ToString, b: impl ToString) -> Result<bool, Error> {
    let pair = [a.to_string(), b.to_string()];
    if pair[0] == pair[1] {
        return Ok(false);
    }
    tell(Finding::Differs(name.to_string(), pair)).map(|()| true)
}

/// Compares two runs; whether nothing differs that runs determine.
///
/// # Errors
/// [`Error::Input`] if a log is malformed or there is no manifest, [`Error::Io`], and those of training.
pub fn runs(
    [a, b]: [&Recorded; 2],
    data: Option<&Path>,
    isa: Isa,
    team: &impl Team,
    observer: &dyn Observer,
    tell: Tell<'_>,
) -> Result<bool, Error> {
    let (of_a, of_b) = (outcome(a)?, outcome(b)?);
    differs(tell, "version of duel", &of_a.duel, &of_b.duel)?;
    let mut same = settings(&a.plan.config, &b.plan.config, tell)?;
    same &= !differs(tell, "bits_version", of_a.bits_version, of_b.bits_version)?;
    let same_data = !differs(tell, "data", of_a.data_digest, of_b.data_digest)?;
    // What other settings make of other bits needs no explanation.
    if !same {
        return Ok(false);
    }
    let (log_a, log_b) = (entries(a)?, entries(b)?);
    let common = || log_a.iter().filter_map(|(step, a)| Some((*step, a, log_b.get(step)?)));
    let Some((upper, ..)) = common().find(|(_, a, b)| differ(a, b)) else {
        let last = common().next_back().map_or(0, |(step, ..)| step);
        tell(Finding::LogsAgree(common().count(), last))?;
        let ends = (end(a, of_a, observer)?, end(b, of_b, observer)?);
        return Ok(!differs(tell, "end", ends.0, ends.1)? && same_data);
    };
    let before = || common().take_while(|(step, ..)| *step < upper);
    let agree = before().last().map_or(0, |(step, ..)| step);
    // Equal losses do not prove equal states.
    let proven = before().filter(|(_, a, b)| a.digest.is_some() && a.digests() == b.digests()).last();
    let lower = proven.map_or(0, |(step, ..)| step);
    tell(Finding::LogsDiffer { agree, proven: lower, differ: upper })?;
    if of_a.bits_version != BITS_VERSION {
        tell(Finding::OtherBits)?;
        return Ok(false);
    }
    let (data_a, data_b) = (a.data(data)?, b.data(data)?);
    images(&data_a, &data_b, tell)?;
    // Both are trained again from step `lower` until they differ, at step `upper` at the latest.
    let start = |run: &Recorded| run.checkpoint_before(lower, observer);
    let mut trainer_a = a.trainer(&data_a, start(a)?.as_ref(), isa)?;
    let mut trainer_b = b.trainer(&data_b, start(b)?.as_ref(), isa)?;
    let first = trainer_a.steps_done().max(trainer_b.steps_done());
    observer.begin(2 * upper - trainer_a.steps_done() - trainer_b.steps_done());
    for step in first..=upper {
        forward(&mut trainer_a, step, team, observer)?;
        forward(&mut trainer_b, step, team, observer)?;
        if trainer_a.digests()? != trainer_b.digests()? {
            tell(Finding::FirstStep(step))?;
            let of_a = Checkpoint::of(&trainer_a, data_a.digest())?;
            return tensors(&of_a, &Checkpoint::of(&trainer_b, data_b.digest())?, tell).map(|_| false);
        }
    }
    tell(Finding::NotReproduced(upper, trainer_a.digest()?))?;
    Ok(false)
}

fn outcome(run: &Recorded) -> Result<&Outcome, Error> {
    let missing = || Error::input(run.name(), "has no whole manifest.json");
    run.manifest.as_ref().map(|manifest| &manifest.run).ok_or_else(missing)
}

/// How far a run is saved, and its digest there: as its manifest says, or, if it was killed, its newest checkpoint.
fn end(run: &Recorded, outcome: &Outcome, observer: &dyn Observer) -> Result<String, Error> {
    let saved = match outcome.state_digest {
        Some(digest) => Some((outcome.steps_done, digest)),
        None => run.checkpoint_before(u64::MAX, observer)?.map(|found| (found.step, found.digests.state)),
    };
    let diverged = outcome.status == Status::Diverged;
    let and_then =
        if diverged { format!(", diverged at step {}", outcome.steps_done) } else { String::new() };
    Ok(match saved {
        Some((step, digest)) => format!("step {}, {digest}{and_then}", grouped(step)),
        None => format!("nothing saved{and_then}"),
    })
}

/// Whether two entries of the same step differ in what runs determine. One may have a digest that the other has not.
fn differ(a: &Entry, b: &Entry) -> bool {
    let values =
        |entry: &Entry| [entry.g_loss, entry.d_loss, entry.mean_d_real, entry.mean_d_fake].map(f32::to_bits);
    values(a) != values(b) || a.digests().zip(b.digests()).is_some_and(|(a, b)| a != b)
}

/// The entries of a run's log by step.
fn entries(run: &Recorded) -> Result<BTreeMap<u64, Entry>, Error> {
    let path = run.folder.log();
    if !path.exists() {
        return Err(Error::io(path, std::io::ErrorKind::NotFound.into()));
    }
    let entries = run.entries()?;
    match entries.last_key_value() {
        Some((step, _)) if *step > run.plan.schedule.steps => {
            let problem = format!("step {step} is beyond the run's steps");
            Err(Error::input(path.display().to_string(), problem))
        }
        _ => Ok(entries),
    }
}

/// Says which settings differ; whether none does.
fn settings(a: &Config, b: &Config, tell: Tell<'_>) -> Result<bool, Error> {
    let mut same = true;
    for ((name, a), (_, b)) in a.pairs().zip(b.pairs()) {
        same &= !differs(tell, name, a, b)?;
    }
    Ok(same)
}

/// Says which images, and labels, of two data sets differ.
fn images(a: &Dataset, b: &Dataset, tell: Tell<'_>) -> Result<(), Error> {
    let (a, b) = (a.images(), b.images());
    let [of_a, of_b] =
        [a, b].map(|images| format!("{} of {} × {}", images.count(), images.height(), images.width()));
    if differs(tell, "images", of_a, of_b)? {
        return Ok(());
    }
    let differ: Vec<usize> = (0..a.count()).filter(|&i| a.image(i) != b.image(i)).collect();
    if let Some(&first) = differ.first() {
        tell(Finding::Images(differ.len(), first))?;
    }
    let labels = a.labels().unwrap_or_default().iter().zip(b.labels().unwrap_or_default()).enumerate();
    let mut others = labels.filter(|(_, (a, b))| a != b);
    others.next().map_or(Ok(()), |(i, (a, b))| {
        differs(tell, &format!("labels of {} images, the first is number {i}", 1 + others.count()), a, b)
            .map(drop)
    })
}

/// Compares two states; whether nothing differs.
///
/// # Errors
/// Those of `tell`.
pub fn states(a: &Checkpoint, b: &Checkpoint, tell: Tell<'_>) -> Result<bool, Error> {
    let mut same = settings(&a.config, &b.config, tell)?;
    same &= !differs(tell, "data", a.data_digest, b.data_digest)?;
    let size = |of: &Checkpoint| format!("{} × {}", of.height, of.width);
    same &= !differs(tell, "image", size(a), size(b))?;
    same &= !differs(tell, "step", grouped(a.step), grouped(b.step))?;
    Ok(tensors(a, b, tell)? && same)
}

/// Says which tensors differ and how far, the first one in the order of the canonical form; whether none does.
fn tensors(a: &Checkpoint, b: &Checkpoint, tell: Tell<'_>) -> Result<bool, Error> {
    if a.state[8..] == b.state[8..] {
        tell(Finding::Equal(a.digests.state))?;
        return Ok(a.step == b.step);
    }
    differs(tell, "state", a.digests, b.digests)?;
    let mut differing = Vec::new();
    for ((name, shape, at), (_, other, at_b)) in a.tensors().zip(b.tensors()) {
        if shape != other {
            differs(tell, &name, format!("{shape:?}"), format!("{other:?}"))?;
        } else if a.state[at.clone()] != b.state[at_b.clone()] {
            differing.push((name, shape, &a.state[at], &b.state[at_b]));
        }
    }
    let mut differing = differing.into_iter();
    let Some((name, shape, a, b)) = differing.next() else { return Ok(false) };
    let apart = values(a).zip(values(b)).enumerate().map(|(at, (a, b))| (ulps(a, b), at, [a, b]));
    let apart: Vec<_> = apart.filter(|(ulps, ..)| *ulps > 0).collect();
    let &(ulps, at, pair) = apart.iter().max_by_key(|(ulps, ..)| *ulps).expect("their bytes differ");
    tell(Finding::Tensor { name, shape, values: apart.len(), ulps, pair, at })?;
    let names: Vec<String> = differing.map(|(name, ..)| name).collect();
    if !names.is_empty() {
        tell(Finding::Others(names))?;
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
