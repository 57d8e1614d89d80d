//! What a run is to do: its settings as they are given (flags, a file), and what they come to. Flag goes before file, file
//! before default. Uses [`config`](crate::config) and [`settings`](mod@crate::settings).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{Config, MAX_STEPS, Preset};
use crate::error::Error;
use crate::settings::{About, Kind, Value, settings};

/// Steps between canvases.
pub const CANVAS_EVERY: u64 = 2_000;
/// Bytes of a file of settings, at most: whoever names another file by mistake is told so at once.
const LONGEST: u64 = 1 << 20;

impl Value for PathBuf {
    const KIND: Kind = Kind::Text;
    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
    fn write(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        to.write_str(self.to_str().ok_or(fmt::Error)?)
    }
}

impl Value for Vec<u64> {
    const KIND: Kind = Kind::Integers;
    fn read(text: &str) -> Option<Self> {
        text.split(',').filter(|_| !text.is_empty()).map(|number| number.trim().parse().ok()).collect()
    }
    fn write(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let numbers: Vec<String> = self.iter().map(u64::to_string).collect();
        to.write_str(&numbers.join(","))
    }
}

settings! {
    /// The settings that no bit depends on: where the data are, when a run ends, what it writes when.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Schedule {
        /// Folder of the data set (train-images-idx3-ubyte, plain or .gz), or its file
        data: PathBuf = "data".into(), "PATH", .., "expected a path, in UTF-8: it goes into config.toml";
        /// Steps to train
        steps: u64 = 70_000, "N", 0..=MAX_STEPS, "expected 0 to 2^47";
        /// Print the losses every N steps, and at step 1
        report_every: u64 = 2_000, "N", 1.., "expected 1 or more";
        /// Write a checkpoint every N steps; 0: only at the end
        checkpoint_every: u64 = 2_000, "N", .., "expected a number, 0 or above";
        /// Keep the last K checkpoints; 0: all
        keep_last: usize = 0, "K", .., "expected a number, 0 or above";
        /// Log the state's digest at these steps too
        digest_at: Vec<u64> = Vec::new(), "N,N,…", .., "expected steps, with commas between them";
    }
}

/// What a run is to do, every setting decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What the bits depend on.
    pub config: Config,
    /// What they do not depend on.
    pub schedule: Schedule,
}

/// What a step leaves behind in the folder of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// An entry of the log.
    pub entry: bool,
    /// The state's digest in that entry.
    pub digest: bool,
    /// A canvas.
    pub canvas: bool,
    /// A checkpoint.
    pub checkpoint: bool,
}

impl Leaves {
    /// Whether it is anything.
    pub fn any(self) -> bool {
        self.entry || self.canvas || self.checkpoint
    }
}

impl Plan {
    /// Decides what is not set, and checks.
    ///
    /// # Errors
    /// Where a value is refused: [`Error::Usage`] naming the setting, or [`Error::Input`] naming file, line and key.
    pub fn new(settings: &Settings) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        for given in &settings.0 {
            plan.set(&given.name, &given.text).map_err(|error| given.refused(error))?;
        }
        if let Some(given) = settings.given("pack").filter(|_| !plan.config.packs_are_whole()) {
            return Err(given.refused(Error::usage("pack", "expected a divisor of batch-size")));
        }
        plan.schedule.digest_at.sort_unstable();
        plan.schedule.digest_at.dedup();
        let steps = plan.schedule.steps;
        let beyond = plan.schedule.digest_at.iter().any(|step| !(1..=steps).contains(step));
        let file = |name| settings.given(name)?.source.as_ref().map(|(file, _)| file);
        // A file does not know which steps the flags say.
        let together = file("digest-at").is_none()
            || file("digest-at") == file("steps")
            || settings.given("steps").is_none();
        match settings.given("digest-at") {
            Some(given) if beyond && together => Err(given.refused(beyond_steps(steps))),
            _ => {
                plan.schedule.digest_at.retain(|step| (1..=steps).contains(step));
                Ok(plan)
            }
        }
    }

    /// Sets what is called `name` from text.
    ///
    /// # Errors
    /// [`Error::Usage`] if nothing is called so, or it cannot have that value.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), Error> {
        if self.schedule.set(name, text)? || self.config.set(name, text)? {
            return Ok(());
        }
        Err(Error::usage(name.to_string(), format!("no such setting, expected one of {}", names())))
    }

    /// Every setting, with its value as text.
    pub fn values(&self) -> Vec<(&'static About, String)> {
        let schedule = Schedule::SETTINGS.iter().map(|setting| (&setting.about, setting.get(&self.schedule)));
        let config = Config::SETTINGS.iter().map(|setting| (&setting.about, setting.get(&self.config)));
        schedule.chain(config).collect()
    }

    /// The text of a TOML file that repeats the run.
    ///
    /// # Errors
    /// [`Error::Usage`] if a setting is out of range.
    pub fn text(&self) -> Result<String, Error> {
        self.schedule.validate()?;
        self.config.validate()?;
        let steps = self.schedule.steps;
        if self.schedule.digest_at.iter().any(|step| !(1..=steps).contains(step)) {
            return Err(beyond_steps(steps));
        }
        if self.schedule.data.to_str().is_none() {
            return Err(Error::usage("data", "expected a path, in UTF-8: it goes into config.toml"));
        }
        let lines = self.values().into_iter().map(|(about, text)| {
            let value = match about.kind {
                Kind::Float if !text.contains('.') => text + ".0",
                Kind::Integer | Kind::Float | Kind::Boolean => text,
                Kind::Text => toml::Value::String(text).to_string(),
                Kind::Integers => format!("[{}]", text.replace(',', ", ")),
            };
            format!("{} = {value}\n", about.name)
        });
        let text: String = lines.collect();
        if text.len() as u64 > LONGEST {
            let problem = format!("expected fewer: config.toml has {LONGEST} bytes at most");
            return Err(Error::usage("digest-at", problem));
        }
        Ok(text)
    }

    /// Whether the losses of `step` are reported to a person.
    pub fn reports(&self, step: u64) -> bool {
        step == 1 || step.is_multiple_of(self.schedule.report_every)
    }

    /// The steps that leave an entry of the log, in order, also those after the last.
    pub fn entries(&self) -> impl Iterator<Item = u64> {
        let Schedule { steps, report_every, checkpoint_every, ref digest_at, .. } = self.schedule;
        let mut sorted = digest_at.clone();
        sorted.sort_unstable();
        std::iter::successors(Some(0u64), move |&step| {
            let multiple = |every: u64| (step.checked_div(every)? + 1).checked_mul(every);
            let asked = sorted.get(sorted.partition_point(|at| *at <= step)).copied();
            let next = [Some(1), multiple(report_every), multiple(checkpoint_every), asked, Some(steps)];
            next.into_iter().flatten().filter(|next| *next > step).min()
        })
        .skip(1)
    }

    /// What `step` leaves behind; `stopped` if the run was stopped after it: a stop leaves what the end would, but for the
    /// canvas.
    pub fn leaves(&self, step: u64, stopped: bool) -> Leaves {
        let Schedule { steps, checkpoint_every, ref digest_at, .. } = self.schedule;
        let kept = step == steps || checkpoint_every != 0 && step.is_multiple_of(checkpoint_every);
        let checkpoint = kept || stopped;
        let digest = checkpoint || digest_at.contains(&step);
        Leaves {
            entry: step > 0 && (digest || self.reports(step)),
            digest,
            canvas: step == steps || step > 0 && step.is_multiple_of(CANVAS_EVERY),
            checkpoint,
        }
    }
}

fn beyond_steps(steps: u64) -> Error {
    Error::usage("digest-at", format!("expected steps of the run, 1 to {steps}"))
}

fn names() -> String {
    Plan::default().values().iter().map(|(about, _)| about.name).collect::<Vec<_>>().join(", ")
}

/// A value as it was given.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    text: String,
    /// The file and its line; none if it was set.
    source: Option<(PathBuf, usize)>,
}

impl Given {
    /// The error that says where a value stands that is refused.
    fn refused(&self, error: Error) -> Error {
        let Error::Usage { setting, problem } = error else { return error };
        let problem = format!("{problem}, not {:?}", self.text);
        match &self.source {
            None => Error::usage(setting, problem),
            Some((file, line)) => {
                Error::input(file.display().to_string(), format!("line {line}: {setting}: {problem}"))
            }
        }
    }
}

/// Settings as given. What is not among them has its default.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<Given>);

impl Settings {
    /// Adds a value, such as that of a flag. [`Plan::new`] says whether it is one.
    pub fn set(&mut self, name: &str, text: &str) {
        self.0.push(Given { name: name.to_string(), text: text.to_string(), source: None });
    }

    /// The settings of a preset, as given ones.
    ///
    /// # Errors
    /// As [`Preset::named`].
    pub fn preset(name: &str) -> Result<Settings, Error> {
        let mut settings = Settings::default();
        Preset::named(name)?.settings.iter().for_each(|(name, text)| settings.set(name, text));
        Ok(settings)
    }

    /// The value that is given for `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given(name).map(|given| &given.text[..])
    }
    /// The file, and its line, that it is given in.
    pub fn source(&self, name: &str) -> Option<(&Path, usize)> {
        self.given(name)?.source.as_ref().map(|(file, line)| (file.as_path(), *line))
    }

    fn given(&self, name: &str) -> Option<&Given> {
        self.0.iter().find(|given| given.name == name)
    }

    /// These settings, and those of `file` where nothing is set.
    pub fn or(mut self, file: Settings) -> Settings {
        let new = file.0.into_iter().filter(|given| self.0.iter().all(|own| own.name != given.name));
        let new: Vec<Given> = new.collect();
        self.0.extend(new);
        self
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] naming the line if it is malformed, or has a key that is no
    /// setting, or a value of another type.
    pub fn read(path: &Path) -> Result<Settings, Error> {
        let bad = |problem: String| Error::input(path.display().to_string(), problem);
        let mut text = String::new();
        let read = File::open(path).and_then(|file| {
            // A pipe has no length, and a file of the system's that says nothing of its own may be waited for.
            let about = file.metadata()?;
            let most = if about.is_file() { about.len().min(LONGEST + 1) } else { LONGEST + 1 };
            file.take(most).read_to_string(&mut text)
        });
        let bytes = read.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => bad("not a text file".to_string()),
            _ => Error::io(path, error),
        })?;
        if bytes as u64 > LONGEST {
            return Err(bad(format!("longer than {LONGEST} bytes, expected settings")));
        }
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        let table = DeTable::parse(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line(span.start));
            bad(format!("line {line}: {}", error.message().replace('\n', " ")))
        })?;
        let abouts = Plan::default().values();
        let mut settings = Vec::new();
        for (key, value) in table.get_ref() {
            let (name, line) = (key.get_ref(), line(key.span().start));
            let Some((about, _)) = abouts.iter().find(|(about, _)| about.name == *name) else {
                return Err(bad(format!(
                    "line {line}: unknown setting `{name}`, expected one of {}",
                    names()
                )));
            };
            let value = plain(value.get_ref(), about.kind);
            let text = value.ok_or_else(|| bad(format!("line {line}: {name}: {}", about.expected)))?;
            settings.push(Given { name: name.to_string(), text, source: Some((path.to_path_buf(), line)) });
        }
        Ok(Settings(settings))
    }
}

/// A TOML value of this kind as the text of a flag.
fn plain(value: &DeValue<'_>, kind: Kind) -> Option<String> {
    match (value, kind) {
        (DeValue::Integer(number), Kind::Integer | Kind::Float) if number.radix() == 10 => {
            Some(number.as_str().to_string())
        }
        (DeValue::Integer(number), Kind::Integer) => {
            Some(u64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        (DeValue::Float(number), Kind::Float) => Some(number.as_str().to_string()),
        (DeValue::Boolean(value), Kind::Boolean) => Some(value.to_string()),
        (DeValue::String(text), Kind::Text) => Some(text.to_string()),
        (DeValue::Array(numbers), Kind::Integers) => {
            let numbers: Option<Vec<String>> =
                numbers.iter().map(|number: &Spanned<_>| plain(number.get_ref(), Kind::Integer)).collect();
            Some(numbers?.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_the_steps_that_leave_one() {
        for (steps, report_every, checkpoint_every, digest_at) in [
            (30, 7, 0, &[][..]),
            (30, 4, 6, &[29, 3, 3, 11]),
            (31, 1, 5, &[2]),
            (12, 100, 12, &[12, 1]),
            (1, 1, 1, &[]),
        ] {
            let schedule = Schedule {
                steps,
                report_every,
                checkpoint_every,
                digest_at: digest_at.to_vec(),
                ..Schedule::default()
            };
            let plan = Plan { schedule, ..Plan::default() };
            let entries: Vec<u64> = plan.entries().take_while(|step| *step <= steps).collect();
            let expected: Vec<u64> = (1..=steps).filter(|step| plan.leaves(*step, false).entry).collect();
            assert_eq!(entries, expected);
        }
    }

    #[test]
    fn entries_take_no_longer_where_they_are_far_apart() {
        let far = 1 << 46;
        let schedule =
            Schedule { steps: 3 * far, report_every: far, checkpoint_every: 0, ..Schedule::default() };
        let plan = Plan { schedule, ..Plan::default() };
        assert_eq!(plan.entries().take(4).collect::<Vec<_>>(), [1, far, 2 * far, 3 * far]);
    }
}
