//! Many runs of one plan: each a folder beside `plan.jsonl`, which has a line for each, so that any program on any machine can do
//! one of them; and what they have come to. Uses the public face of [`run`](crate::run) and [`evaluate`](crate::evaluate).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::error::{Error, is_hidden};
use crate::evaluate::Evaluation;
use crate::files::{self, write_whole};
use crate::run::log::{self, Entry};
use crate::run::{Folder, Observer, Plan, Recorded, Settings, Status};

/// The name of the file.
pub const PLAN: &str = "plan.jsonl";
/// The name of the table of what its runs have come to.
pub const SUMMARY: &str = "summary.csv";
/// Bytes of the name of a run's folder, at most, on any file system.
const LONGEST_NAME: usize = 255;
/// Runs of a sweep, at most.
const MOST: usize = 100_000;

/// A run of a sweep.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The name of its folder, of what it does not share with the others.
    pub run: String,
    /// Its settings, as far as they are given.
    #[serde(deserialize_with = "each_once")]
    pub settings: BTreeMap<String, String>,
}

/// Settings of which none is given twice.
fn each_once<'de, D: Deserializer<'de>>(text: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Each;
    impl<'de> Visitor<'de> for Each {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("settings by name, as text")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut settings = BTreeMap::new();
            while let Some((name, text)) = map.next_entry::<String, String>()? {
                if let Some(before) = settings.insert(name, text) {
                    return Err(A::Error::custom(format_args!(
                        "a setting is given twice, first as {before:?}"
                    )));
                }
            }
            Ok(settings)
        }
    }
    text.deserialize_map(Each)
}

impl Member {
    /// What is given for a setting; nothing if nothing is.
    pub fn value(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", |value| value)
    }

    /// What it is to do.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self) -> Result<Plan, Error> {
        let mut settings = Settings::default();
        self.settings.iter().for_each(|(name, text)| settings.set(name, text));
        Plan::new(&settings)
    }
}

/// Whether the name of a run's folder can have such a character: one that no shell, spreadsheet or terminal takes for more.
fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".+-".contains(c)
}

/// A run for each seed with each combination of the values of `set`, and `shared` settings.
///
/// # Errors
/// [`Error::Usage`] if there is none, or there are more than 100,000, a setting is set twice, or one that a run cannot have.
pub fn members(
    seeds: Option<Range<u64>>,
    set: &[(String, Vec<String>)],
    shared: &Settings,
) -> Result<Vec<Member>, Error> {
    let defaults = Plan::default().values();
    let shared: BTreeMap<String, String> = defaults
        .iter()
        .filter_map(|(about, _)| Some((about.name.to_string(), shared.get(about.name)?.to_string())))
        .collect();
    let mut varied: Vec<(&str, Vec<String>)> =
        set.iter().map(|(name, values)| (&name[..], values.clone())).collect();
    if let Some(seeds) = seeds {
        if seeds.end.saturating_sub(seeds.start) > MOST as u64 {
            return Err(Error::usage("seeds", format!("expected {MOST} runs or fewer")));
        }
        varied.push(("seed", seeds.map(|seed| seed.to_string()).collect()));
    }
    for (i, (name, _)) in varied.iter().enumerate() {
        if varied[..i].iter().any(|(other, _)| other == name) || shared.contains_key(*name) {
            return Err(Error::usage("set", format!("{name} is given twice")));
        }
    }
    let count = varied.iter().map(|(_, values)| values.len()).try_fold(1usize, usize::checked_mul);
    if count.is_none_or(|count| count == 0 || count > MOST) || varied.is_empty() {
        return Err(Error::usage("set", format!("expected 1 to {MOST} runs, by --seeds or --set")));
    }
    let mut members = vec![Member { run: String::new(), settings: shared }];
    for (name, values) in &varied {
        members = members
            .iter()
            .flat_map(|member| {
                values.iter().map(|value| {
                    let mut settings = member.settings.clone();
                    settings.insert(name.to_string(), value.clone());
                    let dash = if member.run.is_empty() { "" } else { "_" };
                    let plain = |c: char| if is_of_a_name(c) { c } else { '-' };
                    let value: String = value.chars().map(plain).collect();
                    Member { run: format!("{}{dash}{name}-{value}", member.run), settings }
                })
            })
            .collect();
    }
    let mut names = HashSet::new();
    for member in &members {
        member.plan()?;
        if member.run.len() > LONGEST_NAME {
            return Err(Error::usage("set", "expected shorter values: they make the name of a folder"));
        }
        // Not every file system tells an A from an a.
        if !names.insert(member.run.to_ascii_lowercase()) {
            return Err(Error::usage("set", format!("two runs would be in {}", member.run)));
        }
    }
    Ok(members)
}

/// Writes the plan into the folder of the sweep; where there is one, it must be the same.
///
/// # Errors
/// [`Error::Usage`] if it is another one, [`Error::Io`].
pub fn write_plan(folder: &Path, members: &[Member]) -> Result<PathBuf, Error> {
    let path = folder.join(PLAN);
    let line = |member| serde_json::to_string(member).expect("plain values") + "\n";
    let text: String = members.iter().map(line).collect();
    if path.exists() {
        return match read_plan(&path)? == members {
            true => Ok(path),
            false => {
                let problem = format!("{} has the plan of another sweep", folder.display());
                Err(Error::usage("out", problem))
            }
        };
    }
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    write_whole(&path, |file| file.write_all(text.as_bytes()))?;
    Ok(path)
}

/// Reads a plan: the file, or the folder that it is in.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] naming the line that is not one of a plan's, or whose settings no run can have.
pub fn read_plan(path: &Path) -> Result<Vec<Member>, Error> {
    let path = &if path.is_dir() { path.join(PLAN) } else { path.to_path_buf() };
    let bytes = files::read(path).map_err(|error| Error::io(path, error))?;
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes));
    let (mut members, mut names) = (Vec::new(), HashSet::new());
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad =
            |problem: String| Error::input(path.display().to_string(), format!("line {}: {problem}", i + 1));
        let member: Member =
            serde_json::from_str(line).map_err(|error| bad(format!("malformed: {error}")))?;
        let begins = member.run.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || member.run.len() > LONGEST_NAME || member.run.contains(|c| !is_of_a_name(c) && c != '_')
        {
            return Err(bad(format!(
                "run is {:?}, expected a folder's name of up to {LONGEST_NAME} ASCII letters, digits and . _ + -, \
                 which begins with a letter or digit",
                member.run
            )));
        }
        if [PLAN, SUMMARY].iter().any(|name| name.eq_ignore_ascii_case(&member.run)) {
            return Err(bad(format!("run is {}, which is a file of the sweep's", member.run)));
        }
        if members.len() == MOST {
            return Err(bad(format!("expected {MOST} runs or fewer")));
        }
        if !names.insert(member.run.to_ascii_lowercase()) {
            return Err(bad(format!("run is {}, as in a line before", member.run)));
        }
        member.plan().map_err(|error| bad(error.to_string()))?;
        members.push(member);
    }
    if members.is_empty() {
        return Err(Error::input(path.display().to_string(), "has no runs"));
    }
    Ok(members)
}

/// What a run has come to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which run.
    pub member: Member,
    /// How it stands; none if it has not begun.
    pub status: Option<Status>,
    /// Steps done.
    pub steps: u64,
    /// Digest of its state.
    pub digest: Option<Digest>,
    /// Digest of the data that it is trained on.
    pub data_digest: Option<Digest>,
    /// The last line of its log.
    pub last: Option<Entry>,
    /// What the samples of that state are worth, if that was asked.
    pub evaluation: Option<Evaluation>,
}

impl Outcome {
    /// Reads what the folder of a run says. An evaluation that is not good is left out, and `observer` told.
    ///
    /// # Errors
    /// As [`Folder::read_manifest`] and [`log::entries`]; [`Error::Input`] if its settings are not the plan's.
    pub fn read(sweep: &Path, member: &Member, observer: &dyn Observer) -> Result<Outcome, Error> {
        Outcome::of(&Folder::new(sweep.join(&member.run)), member, observer)
    }

    /// The same of any folder.
    ///
    /// # Errors
    /// As [`Outcome::read`].
    pub fn of(folder: &Folder, member: &Member, observer: &dyn Observer) -> Result<Outcome, Error> {
        let manifest = folder.read_manifest()?.map(|manifest| manifest.run);
        let run = manifest.as_ref().map(|_| Recorded::open(folder.path())).transpose()?;
        let config = member.plan()?.config;
        if run.as_ref().is_some_and(|run| run.plan.config != config) {
            let source = folder.config().display().to_string();
            return Err(Error::input(source, "its settings are not those of the sweep's plan"));
        }
        let entries = run.map_or_else(|| log::entries(&folder.log()), |run| run.entries())?;
        let evaluation = Evaluation::read(&folder.evaluation()).unwrap_or_else(|error| {
            observer.note(&format!("left out: {error}"));
            None
        });
        let steps = manifest.as_ref().map_or(0, |run| run.steps_done);
        Ok(Outcome {
            member: member.clone(),
            status: manifest.as_ref().map(|run| run.status),
            steps,
            digest: manifest.as_ref().and_then(|run| run.state_digest),
            data_digest: manifest.map(|run| run.data_digest),
            last: entries.into_values().next_back(),
            evaluation: evaluation.filter(|evaluation| evaluation.step == steps),
        })
    }

    /// Its figures, by name: of the last logged step, and of the evaluation.
    pub fn figures(&self) -> Vec<(&'static str, Option<f64>)> {
        // As the log writes them: the shortest decimals that are this f32.
        let entry = self.last.as_ref();
        let last = |of: fn(&Entry) -> f32| entry.and_then(|entry| of(entry).to_string().parse().ok());
        let report = self.evaluation.as_ref().map(|evaluation| &evaluation.report);
        vec![
            ("g_loss", last(|entry| entry.g_loss)),
            ("d_loss", last(|entry| entry.d_loss)),
            ("mean_d_real", last(|entry| entry.mean_d_real)),
            ("mean_d_fake", last(|entry| entry.mean_d_fake)),
            ("nats", report.map(|report| report.parzen.nats)),
            ("precision", report.map(|report| report.precision)),
            ("recall", report.map(|report| report.recall)),
            ("density", report.map(|report| report.density)),
            ("coverage", report.map(|report| report.coverage)),
        ]
    }
}

/// Refuses runs that are of the same data by their plan, and are not: the same path may have led elsewhere.
///
/// # Errors
/// [`Error::Input`]; as [`Plan::new`].
pub fn same_data(outcomes: &[Outcome]) -> Result<(), Error> {
    let mut seen: HashMap<(PathBuf, bool), (&str, Digest)> = HashMap::new();
    for outcome in outcomes {
        let (plan, run) = (outcome.member.plan()?, &outcome.member.run);
        let Some(digest) = outcome.data_digest else { continue };
        let of = (plan.schedule.data, plan.config.labels);
        let (other, theirs) = *seen.entry(of).or_insert((run, digest));
        if theirs != digest {
            let other = format!("{other}: {digest}, not {theirs}, though the plan says the same");
            return Err(Error::input(run.clone(), format!("is trained on other data than {other}")));
        }
    }
    Ok(())
}

/// The names of the settings that the runs of a plan differ in.
pub fn varied<'a>(members: &[&'a Member]) -> Vec<&'a str> {
    let names: BTreeSet<&String> = members.iter().flat_map(|member| member.settings.keys()).collect();
    let differs = |name: &&String| members.iter().any(|member| member.value(name) != members[0].value(name));
    names.into_iter().filter(differs).map(|name| &name[..]).collect()
}

/// A table of all runs, as CSV.
pub fn summary(outcomes: &[Outcome]) -> String {
    let names = varied(&outcomes.iter().map(|outcome| &outcome.member).collect::<Vec<_>>());
    let figures = outcomes.first().map(Outcome::figures).unwrap_or_default();
    let head = ["run"].into_iter().chain(names.iter().copied()).chain(["status", "steps"]);
    let head = head.chain(figures.iter().map(|(name, _)| *name)).chain(["digest"]);
    let mut text = head.collect::<Vec<_>>().join(",") + "\n";
    for outcome in outcomes {
        let settings = names.iter().map(|name| field(outcome.member.value(name)));
        let figures =
            outcome.figures().into_iter().map(|(_, figure)| figure.map_or(String::new(), |x| x.to_string()));
        let cells: Vec<String> = [field(&outcome.member.run)]
            .into_iter()
            .chain(settings)
            .chain([outcome.status.map_or("not begun", Status::name).to_string(), outcome.steps.to_string()])
            .chain(figures)
            .chain([outcome.digest.map_or(String::new(), |digest| digest.to_string())])
            .collect();
        text += &(cells.join(",") + "\n");
    }
    text
}

/// A field of a CSV file: nothing that a terminal obeys, and nothing that a spreadsheet takes for a formula.
fn field(text: &str) -> String {
    // Which character stands between fields is a matter of the reader's country.
    let begins = |before: Option<char>| before.is_none_or(|before| ",;|\t ".contains(before));
    let is_number = text.parse::<f64>().is_ok();
    let (mut before, mut safe) = (None, String::new());
    for c in text.chars() {
        if !is_number && "=+-@".contains(c) && begins(before) {
            safe.push('\'');
        }
        safe.push(if is_hidden(c) { '\u{FFFD}' } else { c });
        before = Some(c);
    }
    let text = safe;
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The runs that differ in nothing but their seed.
#[derive(Clone, Debug)]
pub struct Group {
    /// The settings that groups differ in, with their values.
    pub settings: Vec<(String, String)>,
    /// Runs that are at their end.
    pub runs: usize,
    /// Of each figure the lower quartile, the median and the upper quartile.
    pub figures: Vec<(&'static str, [f64; 3])>,
}

/// The groups of a sweep, in the order of its plan.
pub fn groups(outcomes: &[Outcome]) -> Vec<Group> {
    let members: Vec<&Member> = outcomes.iter().map(|outcome| &outcome.member).collect();
    let names: Vec<&str> = varied(&members).into_iter().filter(|name| *name != "seed").collect();
    let mut order: Vec<Vec<&str>> = Vec::new();
    let mut of: HashMap<Vec<&str>, Vec<&Outcome>> = HashMap::new();
    for outcome in outcomes {
        let key: Vec<&str> = names.iter().map(|name| outcome.member.value(name)).collect();
        let group = of.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Vec::new()
        });
        if outcome.status == Some(Status::Done) {
            group.push(outcome);
        }
    }
    let group = |values: Vec<&str>| {
        let runs: Vec<_> = of[&values].iter().map(|outcome| outcome.figures()).collect();
        let named = runs.first().into_iter().flatten().enumerate().filter_map(|(i, (name, _))| {
            let mut values: Vec<f64> = runs.iter().filter_map(|figures| figures[i].1).collect();
            values.sort_by(f64::total_cmp);
            (!values.is_empty()).then(|| (*name, [0.25, 0.5, 0.75].map(|part| quantile(&values, part))))
        });
        let settings = names.iter().zip(&values).map(|(name, value)| (name.to_string(), value.to_string()));
        Group { settings: settings.collect(), runs: runs.len(), figures: named.collect() }
    };
    order.into_iter().map(group).collect()
}

/// Between the two values around it, of values in ascending order.
fn quantile(values: &[f64], part: f64) -> f64 {
    let at = part * (values.len() - 1) as f64;
    let (below, rest) = (at.floor() as usize, at - at.floor());
    let above = values[(below + 1).min(values.len() - 1)];
    values[below] + rest * (above - values[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, values: &[&str]) -> (String, Vec<String>) {
        (name.to_string(), values.iter().map(|value| value.to_string()).collect())
    }

    #[test]
    fn a_plan_has_each_combination_and_survives_its_file() {
        let mut shared = Settings::default();
        shared.set("steps", "10");
        let all = members(Some(3..5), &[set("learning-rate", &["1e-4", "0.1"])], &shared).unwrap();
        let names: Vec<&str> = all.iter().map(|member| &member.run[..]).collect();
        let expected = [
            "learning-rate-1e-4_seed-3",
            "learning-rate-1e-4_seed-4",
            "learning-rate-0.1_seed-3",
            "learning-rate-0.1_seed-4",
        ];
        assert_eq!(names, expected);
        assert_eq!((all[1].plan().unwrap().config.seed, all[1].plan().unwrap().schedule.steps), (4, 10));
        assert_eq!(varied(&all.iter().collect::<Vec<_>>()), ["learning-rate", "seed"]);
        let folder = tempfile::tempdir().unwrap();
        let path = write_plan(folder.path(), &all).unwrap();
        assert_eq!(read_plan(&path).unwrap(), all);
        assert_eq!(write_plan(folder.path(), &all).unwrap(), path);
        assert!(matches!(write_plan(folder.path(), &all[1..]), Err(Error::Usage { .. })));
    }

    #[test]
    fn what_is_no_sweep_is_refused() {
        let none = Settings::default();
        let mut seeded = Settings::default();
        seeded.set("seed", "1");
        for (seeds, set, shared) in [
            (None, vec![], &none),
            (Some(3..3), vec![], &none),
            (Some(0..u64::MAX), vec![], &none),
            (Some(0..2), vec![set("seed", &["1"])], &none),
            (Some(0..2), vec![], &seeded),
            (None, vec![set("batch-size", &["0"])], &none),
            (None, vec![set("no-such", &["0"])], &none),
            (None, vec![set("data", &["a/b", "a:b"])], &none),
            (None, vec![set("seed", &["1", "1"])], &none),
            (Some(0..2), vec![set("beta1", &["0.5", "0.5"])], &none),
        ] {
            assert!(matches!(members(seeds, &set, shared), Err(Error::Usage { .. })), "{set:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        for line in [
            r#"{"a\nb":1}"#,
            concat!(r#"{"run":"a","settings":{}}"#, "\n", r#"{"run":"a","settings":{"seed":"1"}}"#),
            "{}",
            "[1]",
            r#"{"run":"../x","settings":{}}"#,
            r#"{"run":"a","settings":{"steps":"-1"}}"#,
            r#"{"run":"","settings":{}}"#,
        ] {
            let path = folder.path().join(PLAN);
            std::fs::write(&path, line).unwrap();
            let error = read_plan(&path).unwrap_err();
            assert!(
                matches!(error, Error::Input { .. }) && error.to_string().lines().count() == 1,
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn runs_that_are_given_different_settings_differ_in_them() {
        let member = |run: &str, settings: &[(&str, &str)]| Member {
            run: run.to_string(),
            settings: settings.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect(),
        };
        let outcome = |member| Outcome {
            member,
            status: Some(Status::Done),
            steps: 0,
            digest: None,
            data_digest: None,
            last: None,
            evaluation: None,
        };
        let (a, b) = (member("a,", &[("seed", "1"), ("pack", "2")]), member("b", &[("seed", "2")]));
        for members in [[&a, &b], [&b, &a]] {
            let outcomes = members.map(|member| outcome(member.clone()));
            assert_eq!(varied(&members), ["pack", "seed"]);
            assert_eq!(groups(&outcomes).iter().map(|group| group.runs).collect::<Vec<_>>(), [1, 1]);
            assert!(summary(&outcomes).contains("\"a,\",2,1,done,0,"), "{}", summary(&outcomes));
            assert_eq!(["-1e-4", "=1", "@", "a\u{1b}"].map(field), ["-1e-4", "'=1", "'@", "a\u{FFFD}"]);
        }
    }

    #[test]
    fn quantiles_lie_between() {
        assert_eq!([0.25, 0.5, 0.75].map(|part| quantile(&[1.0, 2.0, 4.0, 8.0], part)), [1.75, 3.0, 5.0]);
        assert_eq!(quantile(&[7.0], 0.75), 7.0);
        assert_eq!(field("1,\"2\""), "\"1,\"\"2\"\"\"");
    }
}
