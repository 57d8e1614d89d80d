//! `metrics.jsonl`: a line of JSON per logged step. What a run determines comes first, the timing last, so that
//! `sed 's/,"timing".*//'` of two runs can be compared byte by byte. Uses `entry` and `plan`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use super::entry::{Entry, Timing};
use super::plan::Plan;
use crate::error::Error;
use crate::files::{self, has_other_names, write_whole};

/// A line of a log, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// An entry.
    Entry(Entry),
    /// The last line, without its end, as a kill or a full disk leaves it.
    CutOff,
    /// Anything else.
    Malformed,
}

/// Reads a log: `see` is told the number of each line and what it is, and may end it. Lines of nothing are left out; what editors
/// and other systems' tools do to a line (its end, spaces, the order of keys, a byte order mark) does not matter.
///
/// # Errors
/// [`Error::Io`] if it is not there, or cannot be read; those of `see`.
pub fn read(path: &Path, mut see: impl FnMut(usize, Row) -> Result<(), Error>) -> Result<(), Error> {
    let bytes = files::read(path).map_err(|error| Error::io(path, error))?;
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(String::from_utf8_lossy).enumerate();
    for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let row = match Entry::parse(&line) {
            Some(entry) => Row::Entry(entry),
            None if is_begun(&line) => Row::CutOff,
            None => Row::Malformed,
        };
        see(i + 1, row)?;
    }
    Ok(())
}

/// Whether a line is the beginning of an entry, or what a file system leaves of one.
fn is_begun(line: &str) -> bool {
    const BEGIN: &str = "{\"step\":";
    // A block that never reached the disk is zeros, from wherever in a line it begins.
    let text = line.trim_end_matches('\0');
    let is_cut = || serde_json::from_str::<Value>(text).is_err_and(|error| error.is_eof());
    let is_all = || text.len() < line.len() && Entry::parse(text).is_some();
    let begun = || {
        text.len() < 1_000 && (text.starts_with(BEGIN) || BEGIN.starts_with(text)) && (is_cut() || is_all())
    };
    !line.ends_with('\n') && begun()
}

/// The entries of a log by step, without one that was cut off; none if there is no log.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] naming a line that no run writes, or not there.
pub fn entries(path: &Path) -> Result<BTreeMap<u64, Entry>, Error> {
    let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
    let read = read(path, |line, row| {
        let bad = |problem: String| {
            Err(Error::input(path.display().to_string(), format!("line {line}: {problem}")))
        };
        match row {
            Row::Malformed => return bad("malformed: not a line of a log".to_string()),
            Row::CutOff => {}
            Row::Entry(entry) => {
                if let Some(before) = entries.keys().next_back().filter(|before| **before >= entry.step) {
                    return bad(format!("step {} stands after step {before}", entry.step));
                }
                entries.insert(entry.step, entry);
            }
        }
        Ok(())
    });
    match read {
        Err(Error::Io { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(entries),
        read => read.map(|()| entries),
    }
}

/// The first step up to `step` whose line, or its digest, a run under `plan` has written and a log has not.
pub fn lacking(entries: &BTreeMap<u64, Entry>, plan: &Plan, step: u64) -> Option<u64> {
    let lacks = |step: &u64| {
        let (leaves, entry) = (plan.leaves(*step, false), entries.get(step));
        let whole = |entry: &Entry| {
            entry.digest.is_some() && entry.average_digest.is_some() == (plan.config.average > 0.0)
        };
        leaves.entry && entry.is_none_or(|entry| leaves.digest && !whole(entry))
    };
    plan.entries().take_while(|at| *at <= step).find(lacks)
}

/// Refuses a log that `lacking` has found to lack a line by the time that `step` is done.
///
/// # Errors
/// [`Error::Input`].
pub fn reaches(lacking: Option<u64>, path: &Path, step: u64) -> Result<(), Error> {
    let Some(lacking) = lacking.filter(|at| *at <= step) else { return Ok(()) };
    let is = format!("has no whole line of step {lacking}, though step {step} is done");
    Err(Error::input(path.display().to_string(), format!("{is}: expected the log as the run left it")))
}

/// A log, open for appending.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    /// Where steps are done again: every entry, those of later steps too, whose lines stay until their steps are done.
    again: Option<BTreeMap<u64, Entry>>,
    /// Up to there.
    newest: u64,
    /// Whether that is not what the file says.
    changed: bool,
}

impl Writer {
    /// Opens the log of a run that goes on after `step`, and has been at step `newest`; in between its steps are done again, and the
    /// log stays as it is. Else it becomes what the run would have written up to `step` under `plan`: a stop leaves no trace.
    ///
    /// # Errors
    /// [`Error::Io`]; as [`entries`] and [`reaches`], and then nothing is written.
    pub fn open(path: PathBuf, plan: &Plan, step: u64, newest: u64) -> Result<Writer, Error> {
        let entries = entries(&path)?;
        reaches(lacking(&entries, plan, step), &path, step)?;
        let kept = if step < newest { entries } else { kept(entries, plan, step) };
        // Not appended to through a link: a file elsewhere stays as it is.
        if has_other_names(&path) || files::read(&path).unwrap_or_default() != text(&kept).as_bytes() {
            rewrite(&path, &kept)?;
        }
        let again = (step < newest).then_some(kept);
        Ok(Writer { file: append(&path)?, path, again, newest, changed: false })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, entry: &Entry) -> Result<(), Error> {
        let Some(lines) = &mut self.again else {
            let text = entry.text() + "\n";
            return self.file.write_all(text.as_bytes()).map_err(|error| Error::io(&self.path, error));
        };
        let step = entry.step;
        self.changed |= put(lines, entry);
        if step >= self.newest && lines.keys().all(|at| *at <= step) {
            self.sync()?;
            self.again = None;
        }
        Ok(())
    }

    /// What it has of a step that is done again. A session that was killed in between may have left what the settings that follow
    /// ask for: it is made again, too.
    pub fn entry(&self, step: u64) -> Option<&Entry> {
        self.again.as_ref()?.get(&step)
    }

    /// Adds an entry where steps are done again, on the disk; what is not to stay is for [`Writer::follow`] to remove.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn add(&mut self, entry: &Entry) -> Result<(), Error> {
        self.changed |= self.again.as_mut().is_some_and(|lines| put(lines, entry));
        self.sync()
    }

    /// The steps up to `step`, where the run has been, are done again: the log becomes what it would have written under `plan`.
    pub fn follow(&mut self, plan: &Plan, step: u64) {
        if let Some(lines) = &mut self.again {
            *lines = kept(std::mem::take(lines), plan, step);
            self.changed = true;
        }
    }

    /// Makes sure that the entries are on the disk: before a checkpoint that counts on them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<(), Error> {
        if let Some(lines) = self.again.as_ref().filter(|_| self.changed) {
            rewrite(&self.path, lines)?;
            self.file = append(&self.path)?;
            self.changed = false;
        }
        self.file.sync_data().map_err(|error| Error::io(&self.path, error))
    }
}

/// Puts an entry among others, unless they say the same; whether they did not.
fn put(lines: &mut BTreeMap<u64, Entry>, entry: &Entry) -> bool {
    let new = lines.get(&entry.step).is_none_or(|line| line.reproducible() != entry.reproducible());
    if new {
        lines.insert(entry.step, entry.clone());
    }
    new
}

fn append(path: &Path) -> Result<File, Error> {
    File::options().create(true).append(true).open(path).map_err(|error| Error::io(path, error))
}

fn rewrite(path: &Path, entries: &BTreeMap<u64, Entry>) -> Result<(), Error> {
    write_whole(path, |file| file.write_all(text(entries).as_bytes()))
}

fn text(entries: &BTreeMap<u64, Entry>) -> String {
    entries.values().map(|entry| entry.text() + "\n").collect()
}

/// The entries up to `last` without what `plan` would not have written.
fn kept(entries: BTreeMap<u64, Entry>, plan: &Plan, last: u64) -> BTreeMap<u64, Entry> {
    let there = entries.into_values().filter(|entry| entry.step <= last);
    let whole = there.map(|entry| (plan.leaves(entry.step, false), entry)).filter(|(leaves, _)| leaves.entry);
    let kept = whole.map(|(leaves, entry)| match leaves.digest {
        true => entry,
        false => Entry { digest: None, average_digest: None, ..entry },
    });
    kept.map(|entry| (entry.step, entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn only_the_last_line_can_be_cut_off() {
        let whole = Entry::example().text();
        for length in 1..whole.len() {
            assert!(is_begun(&whole[..length]), "{}", &whole[..length]);
            assert!(!is_begun(&format!("{}\n", &whole[..length])));
        }
        for length in 0..=whole.len() {
            assert!(is_begun(&format!("{}\0\0", &whole[..length])), "{}", &whole[..length]);
        }
        assert!(!is_begun("\0\0\n") && !is_begun("\0{") && !is_begun("{\"step\":7}\0"));
        for never in ["x", "{\"other\":", "{\"step\":]", "{\"step\":7}", &whole] {
            assert!(!is_begun(never), "{never}");
        }
        assert_eq!([990, 991].map(|n| is_begun(&format!("{{\"step\":\"{}", "a".repeat(n)))), [true, false]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let (cut, line) = (&whole[..20], Row::Entry(Entry::example()));
        std::fs::write(&path, format!("\u{FEFF}{whole}\r\n\n{cut}\n{whole}\n{cut}")).unwrap();
        let rows = [(1, line.clone()), (3, Row::Malformed), (4, line), (5, Row::CutOff)];
        let mut seen = Vec::new();
        let see = |line, row| {
            seen.push((line, row));
            Ok(())
        };
        read(&path, see).unwrap();
        assert_eq!(seen, rows);
        std::fs::write(&path, cut).unwrap();
        assert_eq!(entries(&path).unwrap(), BTreeMap::new());
    }
    /// Lines at 1, 2, 3, 4 and 6, digests at 3 and 6.
    fn plan(average: &str) -> Plan {
        let mut plan = Plan::default();
        for (name, text) in
            [("steps", "6"), ("report-every", "2"), ("checkpoint-every", "3"), ("average", average)]
        {
            plan.set(name, text).unwrap();
        }
        plan
    }

    /// What a run under a plan writes at a step.
    fn at(step: u64, plan: &Plan) -> Entry {
        let digest = plan.leaves(step, false).digest.then_some(Digest([step as u8; 32]));
        let average_digest = digest.filter(|_| plan.config.average > 0.0);
        Entry { step, digest, average_digest, ..Entry::example() }
    }

    fn lines(entries: &[Entry]) -> String {
        entries.iter().map(|entry| entry.text() + "\n").collect()
    }

    #[test]
    fn entries_ascend() {
        let (folder, plan) = (tempfile::tempdir().unwrap(), plan("0"));
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(entries(&path).unwrap(), BTreeMap::new());
        assert!(matches!(entries(folder.path()), Err(Error::Io { .. })));
        let of = |steps: &[u64]| {
            let entries: Vec<Entry> = steps.iter().map(|&step| at(step, &plan)).collect();
            std::fs::write(&path, lines(&entries)).unwrap();
            super::entries(&path).map(|entries| entries.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(of(&[1, 2, 4]).unwrap(), [1, 2, 4]);
        for (steps, says) in
            [([2, 2], "line 2: step 2 stands after step 2"), ([3, 1], "step 1 stands after step 3")]
        {
            assert!(of(&steps).unwrap_err().to_string().contains(says));
        }
        std::fs::write(&path, "{}\n").unwrap();
        assert!(entries(&path).unwrap_err().to_string().contains("line 1: malformed"));
    }

    #[test]
    fn a_log_has_what_its_plan_writes_up_to_a_step() {
        for plan in [plan("0"), plan("0.5")] {
            let whole: BTreeMap<u64, Entry> = [1, 2, 3, 4, 6].map(|step| (step, at(step, &plan))).into();
            let without = |gone| whole.clone().into_iter().filter(|(step, _)| *step != gone).collect();
            let third = |change: &dyn Fn(&mut Entry)| {
                let mut entries = whole.clone();
                change(entries.get_mut(&3).unwrap());
                entries
            };
            let other =
                third(&|entry| entry.average_digest = entry.average_digest.xor(Some(Digest([3; 32]))));
            for (entries, step, first) in [
                (whole.clone(), 6, None),
                (without(4), 3, None),
                (without(4), 4, Some(4)),
                (without(4), 6, Some(4)),
                (third(&|entry| entry.digest = None), 6, Some(3)),
                (other, 6, Some(3)),
            ] {
                assert_eq!(lacking(&entries, &plan, step), first);
                assert_eq!(reaches(first, Path::new("log"), step).is_err(), first.is_some());
            }
        }
    }

    #[test]
    fn a_log_that_goes_on_is_what_the_run_would_have_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let said = || std::fs::read_to_string(&path).unwrap();
        for plan in [plan("0"), plan("0.5")] {
            let whole = [1, 2, 3, 4, 6].map(|step| at(step, &plan));
            // Another plan had a line of step 5, and a digest at 2.
            let digest = Some(Digest([9; 32]));
            let mut before = [1, 2, 3, 4, 5, 6].map(|step| at(step, &plan));
            before[1] = Entry { digest, average_digest: digest, ..before[1].clone() };
            std::fs::write(&path, lines(&before)).unwrap();
            drop(Writer::open(path.clone(), &plan, 3, 6).unwrap());
            assert_eq!(said(), lines(&before));
            drop(Writer::open(path.clone(), &plan, 6, 6).unwrap());
            assert_eq!(said(), lines(&whole));

            // Steps done again leave all lines, unless they say something else, until the run is where it was.
            let mut writer = Writer::open(path.clone(), &plan, 2, 4).unwrap();
            assert_eq!(said(), lines(&whole));
            let later = |entry: &Entry| Entry { timing: Timing { steps_per_s: 1.0 }, ..entry.clone() };
            writer.write(&later(&whole[2])).unwrap();
            writer.sync().unwrap();
            assert_eq!(said(), lines(&whole));
            let changed = [&whole[..2], &[Entry { g_loss: 9.0, ..later(&whole[2]) }], &whole[3..]].concat();
            writer.write(&changed[2]).unwrap();
            assert_eq!(said(), lines(&whole));
            writer.sync().unwrap();
            assert_eq!(said(), lines(&changed));
            writer.follow(&plan, 4);
            let last = Entry { d_loss: 9.0, ..changed[3].clone() };
            writer.write(&last).unwrap();
            assert_eq!(said(), lines(&[&changed[..3], std::slice::from_ref(&last)].concat()));
            writer.write(&changed[4]).unwrap();
            assert_eq!(said(), lines(&[&changed[..3], &[last], &changed[4..]].concat()));

            // From the start again.
            std::fs::write(&path, lines(&whole)).unwrap();
            Writer::open(path.clone(), &plan, 0, 6).unwrap().write(&whole[0]).unwrap();
            assert_eq!(said(), lines(&whole));

            // Lines of steps beyond where it was stay until those are done.
            let mut writer = Writer::open(path.clone(), &plan, 2, 3).unwrap();
            for entry in &whole[2..] {
                writer.write(entry).unwrap();
                assert_eq!(said(), lines(&whole));
            }

            // The line of a stop, too.
            let stop = Entry { digest, average_digest: digest, ..at(5, &plan) };
            let stopped = [&whole[..4], &[stop]].concat();
            std::fs::write(&path, lines(&stopped)).unwrap();
            let mut writer = Writer::open(path.clone(), &plan, 4, 5).unwrap();
            assert_eq!(said(), lines(&stopped));
            writer.follow(&plan, 5);
            writer.sync().unwrap();
            assert_eq!(said(), lines(&whole[..4]));
            drop(Writer::open(path.clone(), &plan, 4, 4).unwrap());

            // What is after a stop is not there.
            let mut writer = Writer::open(path.clone(), &plan, 4, 4).unwrap();
            assert_eq!(said(), lines(&whole[..4]));
            writer.write(&whole[4]).unwrap();
            assert_eq!(said(), lines(&whole));
        }
    }

    #[test]
    fn a_log_has_what_either_settings_ask_for_before_it_follows_those_to_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let said = || std::fs::read_to_string(&path).unwrap();
        for plan in [plan("0"), plan("0.5")] {
            let whole = [1, 2, 3, 4, 6].map(|step| at(step, &plan));
            let mut bare = whole.clone();
            (bare[2].digest, bare[2].average_digest) = (None, None);
            let rare = [&bare[..3], &bare[4..]].concat();
            std::fs::write(&path, lines(&rare)).unwrap();
            let mut sparse = plan.clone();
            sparse.set("checkpoint-every", "0").unwrap();
            sparse.set("report-every", "3").unwrap();
            let mut writer = Writer::open(path.clone(), &sparse, 2, 6).unwrap();
            assert_eq!(
                [2, 3, 4, 6].map(|step| writer.entry(step)),
                [bare.get(1), bare.get(2), None, bare.get(4)]
            );
            writer.add(&whole[3]).unwrap();
            assert_eq!(said(), lines(&bare));
            writer.add(&whole[2]).unwrap();
            assert_eq!((writer.entry(3), said()), (Some(&whole[2]), lines(&whole)));
            drop(writer);
            assert_eq!(Writer::open(path.clone(), &plan, 6, 6).unwrap().entry(6), None);
        }
    }
}
