//! `duel sweep`: many runs of one plan, here or wherever something starts them.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::{Args, Subcommand};
use duel::files::write_whole;
use duel::run::record::{Owned, of_data};
use duel::run::{Folder, Host, Observer, Plan, Status, Training, Unfinished, open_data, open_told};
use duel::sweep::{self, Member, Outcome};
use duel::{Dataset, Error, Isa, Rayon, StepStats};

use super::machine::{self, Machine, Pool};
use super::replay::{told_by, where_data_are};
use super::settings::Flags;
use super::signals::Signals;
use super::terminal::{Progress, counted, grouped, print, shell_word};
use super::{number, presets};

/// Runs at a time, at most.
const MOST_JOBS: usize = 1_024;

/// The flags of `duel sweep`.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Sweep {
    #[command(subcommand)]
    part: Option<Part>,
    /// A run for each of these seeds: the first, and the one after the last
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<Range<u64>>,
    /// A run for each of these values of a setting; several times: for each combination
    #[arg(long, value_name = "NAME=X,Y,…", value_parser = values)]
    set: Vec<(String, Vec<String>)>,
    /// Folder of the sweep: plan.jsonl, a folder for each run, summary.csv; the same sweep goes on where it was stopped
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Runs at a time, which share the threads [default: as many as there are threads]
    #[arg(long, value_name = "J", value_parser = number::<usize>)]
    jobs: Option<usize>,
    /// Write the plan, and train nothing: duel sweep run then does one of its runs, anywhere
    #[arg(long)]
    plan_only: bool,
    /// Named settings of all runs, which flags go before
    #[arg(long, value_name = "NAME", value_parser = presets())]
    preset: Option<String>,
    /// Take settings of all runs from a TOML file; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    settings: Flags,
}

/// What is done apart from the whole.
#[derive(Debug, Subcommand)]
enum Part {
    /// Trains one run of a plan, or goes on with it.
    Run {
        /// The plan.jsonl of a sweep, or its folder
        plan: PathBuf,
        /// Which line of the plan, counted from 0
        #[arg(long, value_name = "I", value_parser = number::<usize>)]
        index: usize,
        #[command(flatten)]
        machine: Machine,
    },
    /// Writes summary.csv, of what the runs have come to, and prints medians and quartiles.
    Collect {
        /// The plan.jsonl of a sweep, or its folder
        plan: PathBuf,
    },
}

impl Sweep {
    /// Trains what is left of the sweep; the exit code: 0, or that of the signal that stopped it.
    pub fn run(self) -> Result<u8, Error> {
        match self.part {
            Some(Part::Run { plan, index, machine }) => run_one(&plan, index, &machine),
            Some(Part::Collect { plan }) => {
                let members = sweep::read_plan(&plan)?;
                collect(folder_of(&plan), &members).map(|()| 0)
            }
            None => self.run_all(),
        }
    }

    fn run_all(self) -> Result<u8, Error> {
        let isa = self.machine.isa()?;
        let threads = self.machine.threads()?.unwrap_or_else(machine::cores);
        if self.jobs.is_some_and(|jobs| !(1..=MOST_JOBS).contains(&jobs)) {
            return Err(Error::usage("--jobs", format!("expected 1 to {MOST_JOBS}")));
        }
        let shared = self.settings.or(self.preset.as_deref(), self.config.as_deref())?;
        let signals = Signals::listen()?;
        // What is wrong in a file is said with its line.
        Plan::new(&shared)?;
        let members = sweep::members(self.seeds, &self.set, &shared).map_err(flag)?;
        let out = self.out.expect("clap asks for it");
        if self.plan_only {
            let plan = sweep::write_plan(&out, &members).map_err(flag)?;
            note!("{} → {}", counted(members.len() as u64, "run"), plan.display());
            return Ok(0);
        }
        let left: Vec<Member> = members.iter().filter(|member| !is_over(&out, member)).cloned().collect();
        // Before anything is written: what is wrong with the data can be set right.
        let data = datasets(&left, shared.source("data").is_some())?;
        are_of(&data, &out, members.iter())?;
        let most = at_once(&left, &data)?;
        let plan = sweep::write_plan(&out, &members).map_err(flag)?;
        let jobs = self.jobs.unwrap_or(threads).min(members.len()).min(most);
        let each = (threads / jobs).max(1);
        note!(
            "{}, {} left · {} at a time · {} · {} each → {}",
            counted(members.len() as u64, "run"),
            grouped(left.len() as u64),
            grouped(jobs as u64),
            isa.name(),
            counted(each as u64, "thread"),
            out.display()
        );
        let progress = Progress::of("steps trained");
        let steps = left
            .iter()
            .map(|member| member.plan().map(|plan| plan.schedule.steps))
            .sum::<Result<u64, Error>>()?;
        progress.begin(steps);
        let all = All {
            out: &out,
            data: &data,
            isa,
            signals: &signals,
            progress: &progress,
            failed: &AtomicBool::new(false),
        };
        all.train_all(&left, jobs, each)?;
        drop(progress);
        collect(&out, &members)?;
        let over = members.iter().all(|member| is_over(&out, member));
        let Some((signal, code)) = signals.caught().filter(|_| !over) else { return Ok(0) };
        note!(
            "Stopped by {signal}. To go on: the same command; or for one run: duel sweep run {} --index I",
            shell_word(&plan)
        );
        Ok(code)
    }
}

/// An error with the flag that it is about.
fn flag(error: Error) -> Error {
    match error {
        Error::Usage { setting, problem } => Error::usage(format!("--{setting}"), problem),
        other => other,
    }
}

fn range(text: &str) -> Result<Range<u64>, &'static str> {
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.filter(|ends: &Range<u64>| ends.start < ends.end)
        .ok_or("expected two numbers, as in 0..20, which is 0 to 19")
}

fn values(text: &str) -> Result<(String, Vec<String>), &'static str> {
    let (name, values) =
        text.split_once('=').ok_or("expected a setting and values, as in learning-rate=1e-4,2e-4")?;
    Ok((
        name.trim_start_matches("--").to_string(),
        values.split(',').map(|value| value.trim().to_string()).collect(),
    ))
}

fn folder_of(plan: &Path) -> &Path {
    if plan.is_dir() { plan } else { duel::files::parent(plan) }
}

/// Whether a run is at its end, or has diverged.
fn is_over(sweep: &Path, member: &Member) -> bool {
    let steps = member.plan().map_or(0, |plan| plan.schedule.steps);
    let manifest = Folder::new(sweep.join(&member.run)).read_manifest().ok().flatten();
    manifest.is_some_and(|manifest| match manifest.run.status {
        Status::Done => manifest.run.steps_done == steps,
        status => status == Status::Diverged,
    })
}

/// The data sets of runs, each read once: by where they are, and whether with labels.
type Datasets = Vec<((PathBuf, bool), Dataset)>;
/// Why there is one of each run that is trained.
const READ: &str = "all are read before";

/// Reads them; `told` if a file says where they are, and no person.
fn datasets(members: &[Member], told: bool) -> Result<Datasets, Error> {
    let open = if told { open_told } else { open_data };
    let mut all: Datasets = Vec::new();
    for member in members {
        let plan = member.plan()?;
        let key = (plan.schedule.data.clone(), plan.config.labels);
        if all.iter().all(|(other, _)| *other != key) {
            let data = open(&plan.schedule.data, &plan.config).map_err(where_data_are)?;
            all.push((key, data));
        }
    }
    Ok(all)
}

/// Refuses data, if one of these runs was trained on others under the same name.
fn are_of<'a>(data: &Datasets, out: &Path, members: impl Iterator<Item = &'a Member>) -> Result<(), Error> {
    for member in members {
        let plan = member.plan()?;
        let Some(data) = data_of(&plan, data) else { continue };
        let manifest = Folder::new(out.join(&member.run)).read_manifest().ok().flatten();
        if manifest.is_some_and(|manifest| manifest.run.data_digest != data.digest()) {
            let problem = format!("not the data that {} of this sweep is trained on", member.run);
            return Err(Error::input(data.path().display().to_string(), problem));
        }
    }
    Ok(())
}

/// As many runs as half of the free memory has room for.
fn at_once(members: &[Member], data: &Datasets) -> Result<usize, Error> {
    let Some(free) = duel::memory::available_bytes() else { return Ok(usize::MAX) };
    let mut largest = 1;
    for member in members {
        let plan = member.plan()?;
        let data = data_of(&plan, data).expect(READ);
        let lines = Owned::memory_lines(&plan.config, &data).map_err(|error| of_data(error, data))?;
        largest = largest.max(size_of::<duel::Line>() * lines);
    }
    Ok((free as usize / 2 / largest).max(1))
}

/// The data set of a run, if it was read.
fn data_of<'a>(plan: &Plan, data: &'a Datasets) -> Option<&'a Dataset> {
    let is = |(path, labels): &(PathBuf, bool)| *path == plan.schedule.data && *labels == plan.config.labels;
    data.iter().find(|(of, _)| is(of)).map(|(_, data)| data)
}

/// One run, on all threads.
fn run_one(plan: &Path, index: usize, machine: &Machine) -> Result<u8, Error> {
    let (signals, isa, _) = (Signals::listen()?, machine.isa()?, machine.threads()?);
    let members = sweep::read_plan(plan)?;
    let Some(member) = members.get(index) else {
        let problem =
            format!("expected 0 to {}, the lines of {}", members.len().saturating_sub(1), plan.display());
        return Err(Error::usage("--index", problem));
    };
    let out = folder_of(plan);
    if !is_over(out, member) {
        let settings = member.plan()?;
        let place = format!("as line {} of the plan says, from here", index + 1);
        let data = open_told(&settings.schedule.data, &settings.config);
        let data = data.map_err(|error| told_by(&place, error))?;
        let data = vec![((settings.schedule.data, settings.config.labels), data)];
        // One that has begun tells, and this one itself.
        let begun = members.iter().find(|member| Folder::new(out.join(&member.run)).manifest().exists());
        are_of(&data, out, begun.into_iter().chain([member]))?;
        let progress = Progress::of("steps trained");
        progress.begin(member.plan()?.schedule.steps);
        let failed = AtomicBool::new(false);
        let all = All { out, data: &data, isa, signals: &signals, progress: &progress, failed: &failed };
        if !all.train(member, &machine.pool()?)? {
            return Err(Error::usage(member.run.clone(), "another process trains it"));
        }
    }
    let outcome = Outcome::read(out, member, &Notes)?;
    let digest = outcome.digest.map_or("none".to_string(), |digest| digest.to_string());
    print(&format!("State digest: {digest}\n"))?;
    Ok(signals.caught().filter(|_| !is_over(out, member)).map_or(0, |(_, code)| code))
}

/// What the runs of a sweep share.
struct All<'a> {
    out: &'a Path,
    data: &'a Datasets,
    isa: Isa,
    signals: &'a Signals,
    progress: &'a Progress,
    /// Another run has ended in an error.
    failed: &'a AtomicBool,
}

impl All<'_> {
    fn stops(&self) -> bool {
        self.signals.caught().is_some() || self.failed.load(Ordering::Relaxed)
    }

    /// Trains runs, so many at a time on so many threads each, until all are at their ends, or one ends in an error.
    fn train_all(&self, left: &[Member], jobs: usize, threads: usize) -> Result<(), Error> {
        let (next, error) = (AtomicUsize::new(0), Mutex::new(None));
        let fail = |found: Error| {
            self.failed.store(true, Ordering::Relaxed);
            error.lock().expect("nothing panics while it is held").get_or_insert(found);
        };
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(left.len()) {
                let spawned = std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, || {
                    let worked = machine::pool(threads).and_then(|pool| {
                        while let Some(member) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
                            if self.stops() {
                                break;
                            }
                            self.train(member, &pool)?;
                        }
                        Ok(())
                    });
                    worked.unwrap_or_else(fail);
                });
                if let Err(refused) = spawned {
                    fail(Error::environment(format!("cannot start a thread: {refused}")));
                    break;
                }
            }
        });
        error.into_inner().expect("nothing panics while it is held").map_or(Ok(()), Err)
    }

    /// Begins a run or goes on with it; false if another process trains it. One that diverges is a result.
    fn train(&self, member: &Member, pool: &Pool) -> Result<bool, Error> {
        let (plan, path) = (member.plan()?, self.out.join(&member.run));
        let data = data_of(&plan, self.data).expect(READ);
        let folder = Folder::new(&path);
        // Another process may do the same sweep.
        if is_over(self.out, member) {
            return Ok(true);
        }
        let begun = match folder.config().exists() {
            true => Unfinished::open(&path, self.progress).and_then(|old| Training::resume(old, plan, data)),
            false => Training::create(Some(&path), plan, data),
        };
        let mut training = match begun {
            Err(Error::Usage { .. }) if is_over(self.out, member) => return Ok(true),
            Err(Error::Usage { .. }) if folder.is_held() == Some(true) => {
                self.progress.note(&format!("{}: another process trains it", member.run));
                return Ok(false);
            }
            Err(Error::Usage { setting, problem }) => {
                return Err(Error::usage(format!("{}: {setting}", path.display()), problem));
            }
            begun => begun?,
        };
        if !training.is_guarded() {
            let problem =
                "the file system has no locks, nothing guards it against a second process that writes there";
            self.progress.note(&format!("{}: {problem}", member.run));
        }
        training.set_isa(self.isa);
        self.progress.skip(training.trainer().steps_done());
        let ended = match pool.install(|| training.run(&Rayon, &mut Listener(self))) {
            Err(Error::Diverged { step }) => format!("has diverged at step {}", grouped(step)),
            Err(error) => return Err(error),
            Ok(end) => {
                format!("{} after step {}", end.status.name(), grouped(training.trainer().steps_done()))
            }
        };
        self.progress.note(&format!("{}: {ended}", member.run));
        Ok(true)
    }
}

/// Counts steps, and stops where a signal has come.
struct Listener<'a>(&'a All<'a>);

impl Host for Listener<'_> {
    fn step(&mut self, _: &StepStats) -> ControlFlow<()> {
        self.0.progress.step();
        if self.0.stops() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Notes, on stderr.
struct Notes;

impl Observer for Notes {
    fn note(&self, text: &str) {
        note!("{text}");
    }
}

/// Writes the table of the runs, and prints digests, medians and quartiles.
fn collect(out: &Path, members: &[Member]) -> Result<(), Error> {
    let outcomes =
        members.iter().map(|member| Outcome::read(out, member, &Notes)).collect::<Result<Vec<_>, Error>>()?;
    let path = out.join(sweep::SUMMARY);
    write_whole(&path, |file| file.write_all(sweep::summary(&outcomes).as_bytes()))?;
    let mut text = String::new();
    for outcome in &outcomes {
        let status = outcome.status.map_or("not begun", Status::name);
        let digest = outcome.digest.map_or(String::new(), |digest| format!(" {digest}"));
        text += &format!("{}: {status}, {}{digest}\n", outcome.member.run, counted(outcome.steps, "step"));
    }
    // No medians over different data.
    let same = sweep::same_data(&outcomes);
    for group in sweep::groups(&outcomes).iter().filter(|group| group.runs > 1 && same.is_ok()) {
        let settings: Vec<String> =
            group.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let settings = if settings.is_empty() { "all".to_string() } else { settings.join(", ") };
        text += &format!("{settings}: {}, median (quartiles):", counted(group.runs as u64, "run"));
        for (name, [lower, median, upper]) in &group.figures {
            text += &format!(" {name} {median:.4} ({lower:.4} to {upper:.4})");
        }
        text += "\n";
    }
    print(&text)?;
    note!("{}", path.display());
    same
}
