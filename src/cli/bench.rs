//! `duel bench`: how fast a step is on this machine, against what its cores could do.
//!
//! The roof is the dense step's floating-point operations at the peak of fused multiply-adds; leaving out zeros can pass
//! it. A round is a peak and some steps with each number of threads in turn, so that all see the same clock and the same
//! neighbours. Before and after it a cache line is passed from core to core: virtual cores share a cache at one hour and
//! share none at the next, so rounds are told apart by that.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rayon::ThreadPool;
use serde::Serialize;
use stats_alloc::INSTRUMENTED_SYSTEM;

use super::Owned;
use super::machine;
use super::replay::Replay;
use super::settings::{Plan, Settings};
use super::train::grouped;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::kernels::peak::Peak;
use crate::model::sizes::Sizes;
use crate::{Config, Dataset, Isa, Line, Phase, Rayon, Serial, StepStats, Trainer, Watch, Work};

/// Untimed steps before the first round.
const WARM_UP: u64 = 20;
/// Steps over which the phases are timed.
const PHASE_STEPS: u64 = 100;
/// For how long a peak is measured.
const PEAK_TIME: Duration = Duration::from_millis(250);
/// Two cores that pass a cache line to each other faster than this share a cache for it.
const SHARED_CACHE_NS: f64 = 120.0;
/// Two that need longer than this share none.
const NO_SHARED_CACHE_NS: f64 = 150.0;
/// What takes longer than this is not a cache line: the threads have waited for a core.
const DISTURBED_NS: f64 = 1_000.0;

/// The flags of `duel bench`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Bench {
    /// Start from this run's newest checkpoint, from RUN@STEP or from this checkpoint, instead of from new networks
    #[arg(long, value_name = "RUN[@STEP]|STATE")]
    from: Option<PathBuf>,
    /// Take the sizes from a TOML file, such as a run's config.toml, instead of the defaults
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    config: Option<PathBuf>,
    /// Rounds; in each, peak and steps are timed in turn, with each number of threads
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Steps per round
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    replay: Replay,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    duel: &'static str,
    cpu: String,
    cores: usize,
    isa: &'static str,
    from_step: u64,
    /// Dense floating-point operations of a step.
    dense_mflop: f64,
    peaks: Vec<PeakOf>,
    rounds: Vec<Round>,
    runs: Vec<Run>,
    /// The number of threads with the most steps per second.
    fastest: usize,
    copy_gbyte_per_s: f64,
    phases: Vec<PhaseTime>,
    allocations: usize,
    arena_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_resident_bytes: Option<u64>,
}

/// The peak of an instruction set on one thread.
#[derive(Serialize)]
struct PeakOf {
    isa: &'static str,
    gflop_per_s: f64,
}

/// Where the cores were in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Cores {
    /// They share a cache.
    Shared,
    /// They share none.
    Apart,
    /// First one, then the other, or in between.
    Mixed,
    /// Something else ran on them.
    Disturbed,
    /// There is one.
    Alone,
}

impl Cores {
    const ALL: [Cores; 5] = [Cores::Shared, Cores::Apart, Cores::Mixed, Cores::Disturbed, Cores::Alone];

    fn of([before, after]: [f64; 2]) -> Cores {
        match (before.min(after), before.max(after)) {
            _ if before == 0.0 => Cores::Alone,
            (_, most) if most > DISTURBED_NS => Cores::Disturbed,
            (_, most) if most < SHARED_CACHE_NS => Cores::Shared,
            (least, _) if least >= NO_SHARED_CACHE_NS => Cores::Apart,
            _ => Cores::Mixed,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Cores::Shared => "a cache is shared",
            Cores::Apart => "no cache is shared",
            Cores::Mixed => "changing",
            Cores::Disturbed => "disturbed",
            Cores::Alone => "one core",
        }
    }
}

/// A round.
#[derive(Serialize)]
struct Round {
    /// How long a cache line took from one core to another, before and after; 0 on one core.
    line_ns: [f64; 2],
    cores: Cores,
    /// For each number of threads.
    timed: Vec<Timed>,
}

/// Steps of a round with so many threads.
#[derive(Clone, Copy, Serialize)]
struct Timed {
    threads: usize,
    peak_gflop_per_s: f64,
    steps_per_s: f64,
    /// Of the peak, if the steps were done densely.
    share: f64,
    /// Steps per second and thread, as a part of those of one thread in the same round.
    #[serde(skip_serializing_if = "Option::is_none")]
    efficiency: Option<f64>,
}

/// The rounds of a kind with so many threads.
#[derive(Serialize)]
struct Run {
    threads: usize,
    cores: Cores,
    rounds: usize,
    line_ns: Spread,
    peak_gflop_per_s: Spread,
    roof_steps_per_s: Spread,
    steps_per_s: Spread,
    /// Of the roof, by round.
    share: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    efficiency: Option<Spread>,
}

/// A figure over the rounds.
#[derive(Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        Spread { median: values[values.len() / 2], min: values[0], max: values[values.len() - 1] }
    }
}

/// A phase of a step on one thread.
#[derive(Serialize)]
struct PhaseTime {
    phase: &'static str,
    ms: f64,
    /// Of the step.
    share: f64,
    gflop_per_s: f64,
    /// What it cannot be faster than: `compute` at the peak, or `memory` at the speed of a copy.
    limit: &'static str,
    /// How near it comes.
    of_limit: f64,
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> Result<(), Error> {
        if self.rounds == 0 || self.steps == 0 {
            let flag = if self.rounds == 0 { "--rounds" } else { "--steps" };
            return Err(Error::usage(flag, "expected 1 or more"));
        }
        let (isa, threads) = (self.replay.machine.isa()?, self.replay.machine.threads()?);
        let cores = machine::cores();
        let data = self.replay.dataset(self.from.as_deref())?;
        let checkpoint = self.from.as_deref().map(|from| self.replay.state(from)).transpose()?;
        let checkpoint = checkpoint.map(|(_, checkpoint)| checkpoint);
        let config = match (&checkpoint, &self.config) {
            (Some(checkpoint), _) => checkpoint.config.clone(),
            (None, Some(path)) => Plan::new(Settings::read(path)?)?.config,
            (None, None) => Config::default(),
        };
        let new_trainer = || trainer(&data, &config, checkpoint.as_ref(), isa);
        let most = new_trainer()?.useful_workers(cores);
        let counts = match threads {
            Some(threads) => vec![threads],
            None => (0..).map(|n| 1 << n).take_while(|&n| n < most).chain([most]).collect(),
        };
        let teams: Result<Vec<_>, Error> =
            counts.iter().map(|&threads| Ok((machine::pool(threads)?, new_trainer()?))).collect();
        let mut teams = teams?;
        note!("{} rounds of {} steps with {counts:?} threads", self.rounds, self.steps);
        let (mut rounds, mut allocations) = (Vec::new(), 0);
        for (pool, trainer) in &mut teams {
            pool.install(|| trainer.run(&Rayon, WARM_UP, go_on))?;
        }
        for _ in 0..self.rounds {
            let (round, allocated) = self.round(isa, &mut teams, cores)?;
            allocations += allocated;
            rounds.push(round);
        }
        drop(teams);
        let flop = dense_flop(&config, data.images().size());
        let runs = summary(&rounds, &counts, flop);
        let by_speed = |a: &&Run, b: &&Run| a.steps_per_s.median.total_cmp(&b.steps_per_s.median);
        let fastest = runs.iter().max_by(by_speed).map_or(1, |run| run.threads);
        let peak_resident_bytes = peak_resident_bytes();
        note!("the phases of a step");
        let mut trainer = new_trainer()?;
        let arena_bytes =
            size_of::<Line>() * Trainer::<Box<[Line]>>::memory_lines(trainer.config(), data.images())?;
        let copy_gbyte_per_s = copy_gbyte_per_s(arena_bytes);
        let phases = phases(&mut trainer, peak(isa, None), copy_gbyte_per_s)?;
        let fast = ["avx2", "avx512"].iter().filter_map(|name| Isa::named(name).ok()).chain([Isa::Wide]);
        let report = Report {
            duel: env!("CARGO_PKG_VERSION"),
            cpu: machine::cpu(),
            cores,
            isa: isa.name(),
            from_step: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step),
            dense_mflop: flop * 1e-6,
            peaks: fast.map(|isa| PeakOf { isa: isa.name(), gflop_per_s: peak(isa, None) * 1e-9 }).collect(),
            rounds,
            runs,
            fastest,
            copy_gbyte_per_s,
            phases,
            allocations,
            arena_bytes,
            peak_resident_bytes,
        };
        let text = match self.json {
            true => serde_json::to_string_pretty(&report).expect("plain values") + "\n",
            false => report.text(),
        };
        super::print(&text)
    }

    /// Peak and steps with each team; and the allocations of all threads between the first step and the last one.
    fn round(
        &self,
        isa: Isa,
        teams: &mut [(ThreadPool, Owned<'_>)],
        cores: usize,
    ) -> Result<(Round, usize), Error> {
        let ping = || if cores > 1 { line_ns() } else { 0.0 };
        let (before, mut timed, mut allocations) = (ping(), Vec::new(), 0);
        for (pool, trainer) in teams {
            let peak = peak(isa, Some(pool));
            let flop = dense_flop(trainer.config(), trainer.image_size());
            // To enter a pool allocates, a step does not.
            let allocated = || {
                let stats = INSTRUMENTED_SYSTEM.stats();
                stats.allocations + stats.reallocations
            };
            let (mut first, mut last) = (None, 0);
            let start = Instant::now();
            pool.install(|| {
                trainer.run(&Rayon, self.steps as u64, |_| {
                    last = allocated();
                    first.get_or_insert(last);
                    ControlFlow::Continue(())
                })
            })?;
            let steps_per_s = self.steps as f64 / start.elapsed().as_secs_f64();
            allocations += last - first.unwrap_or(last);
            timed.push(Timed {
                threads: pool.current_num_threads(),
                peak_gflop_per_s: peak * 1e-9,
                steps_per_s,
                share: steps_per_s * flop / peak,
                efficiency: None,
            });
        }
        if let Some(one) = timed.iter().find(|timed| timed.threads == 1).copied() {
            for timed in &mut timed {
                timed.efficiency = Some(timed.steps_per_s / (timed.threads as f64 * one.steps_per_s));
            }
        }
        let line_ns = [before, ping()];
        Ok((Round { line_ns, cores: Cores::of(line_ns), timed }, allocations))
    }
}

/// For a step that nobody looks at.
fn go_on(_: StepStats) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The rounds by number of threads and by where the cores were.
fn summary(rounds: &[Round], counts: &[usize], flop: f64) -> Vec<Run> {
    let mut runs = Vec::new();
    for cores in Cores::ALL {
        let of_kind: Vec<&Round> = rounds.iter().filter(|round| round.cores == cores).collect();
        for &threads in counts {
            let timed: Vec<Timed> = of_kind
                .iter()
                .flat_map(|round| round.timed.iter().copied().filter(|timed| timed.threads == threads))
                .collect();
            if timed.is_empty() {
                continue;
            }
            let spread = |of: fn(&Timed) -> f64| Spread::of(timed.iter().map(of).collect());
            let efficiency: Option<Vec<f64>> = timed.iter().map(|timed| timed.efficiency).collect();
            runs.push(Run {
                threads,
                cores,
                rounds: timed.len(),
                line_ns: Spread::of(of_kind.iter().flat_map(|round| round.line_ns).collect()),
                peak_gflop_per_s: spread(|timed| timed.peak_gflop_per_s),
                roof_steps_per_s: Spread::of(
                    timed.iter().map(|timed| timed.peak_gflop_per_s * 1e9 / flop).collect(),
                ),
                steps_per_s: spread(|timed| timed.steps_per_s),
                share: spread(|timed| timed.share),
                efficiency: efficiency.map(Spread::of),
            });
        }
    }
    runs
}

fn trainer<'a>(
    data: &'a Dataset,
    config: &Config,
    from: Option<&Checkpoint>,
    isa: Isa,
) -> Result<Owned<'a>, Error> {
    let mut trainer = Trainer::new(config.clone(), data.images())?;
    trainer.set_isa(isa);
    if let Some(checkpoint) = from {
        trainer.load(&checkpoint.state)?;
    }
    Ok(trainer)
}

/// Floating-point operations of the ten products of a step, zeros included.
fn dense_flop(config: &Config, pixels: usize) -> f64 {
    Sizes::new(config, pixels, 0).dense_flop() as f64
}

/// Floating-point operations per second of multiply-adds, on every thread of the pool or on this one.
fn peak(isa: Isa, pool: Option<&ThreadPool>) -> f64 {
    let one_thread = || {
        let (start, mut flop) = (Instant::now(), 0);
        while start.elapsed() < PEAK_TIME {
            flop += isa.run(Peak { rounds: 1 << 18 });
        }
        flop as f64 / start.elapsed().as_secs_f64()
    };
    match pool {
        Some(pool) => pool.broadcast(|_| one_thread()).iter().sum(),
        None => one_thread(),
    }
}

/// Nanoseconds that a cache line takes from one thread to another: half a round trip, the median of nine measurements.
fn line_ns() -> f64 {
    const ROUNDS: u32 = 2_000;
    /// Waits for `ball` to become `n`; gives way now and then, or two threads that share a core would wait for minutes.
    fn wait(ball: &AtomicU32, n: u32) {
        let mut spins = 0u32;
        while ball.load(Ordering::Acquire) != n {
            spins += 1;
            if spins.is_multiple_of(10_000) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
    let once = || {
        let ball = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..ROUNDS {
                    wait(&ball, 2 * n + 1);
                    ball.store(2 * n + 2, Ordering::Release);
                }
            });
            let start = Instant::now();
            for n in 0..ROUNDS {
                ball.store(2 * n + 1, Ordering::Release);
                wait(&ball, 2 * n + 2);
            }
            start.elapsed().as_secs_f64() * 1e9 / (2 * ROUNDS) as f64
        })
    };
    Spread::of((0..9).map(|_| once()).collect()).median
}

/// Bytes read and written per second by a copy of so many bytes on one thread, in GB/s.
fn copy_gbyte_per_s(bytes: usize) -> f64 {
    let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
    let rates = (0..9).map(|_| {
        let start = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        2.0 * bytes as f64 / start.elapsed().as_secs_f64() * 1e-9
    });
    Spread::of(rates.collect()).median
}

/// Adds up what the phases took and did.
struct Clock(Mutex<Times>);

/// When the last phase ended; and of each phase the seconds and the work.
type Times = (Instant, Vec<(Phase, f64, Work)>);

impl Watch for Clock {
    fn done(&self, phase: Phase, work: Work) {
        let now = Instant::now();
        let mut clock = self.0.lock().expect("nothing panics while it is held");
        let (last, sums) = &mut *clock;
        let seconds = (now - *last).as_secs_f64();
        match sums.iter_mut().find(|sum| sum.0 == phase) {
            Some(sum) => (sum.1, sum.2) = (sum.1 + seconds, sum.2 + work),
            None => sums.push((phase, seconds, work)),
        }
        *last = Instant::now();
    }
}

fn phases(trainer: &mut Owned<'_>, peak: f64, copy_gbyte_per_s: f64) -> Result<Vec<PhaseTime>, Error> {
    trainer.run(&Serial, WARM_UP, go_on)?;
    let clock = Clock(Mutex::new((Instant::now(), Vec::new())));
    let start = Instant::now();
    trainer.run_watched(&Serial, PHASE_STEPS, &mut go_on, Some(&clock))?;
    let whole = start.elapsed().as_secs_f64();
    let sums = clock.0.into_inner().expect("nothing panics while it is held").1;
    let in_order = Phase::ALL.iter().filter_map(|phase| sums.iter().find(|sum| sum.0 == *phase));
    Ok(in_order
        .map(|&(phase, seconds, work)| {
            let (compute, memory) = (work.flop as f64 / peak, work.bytes as f64 * 1e-9 / copy_gbyte_per_s);
            PhaseTime {
                phase: phase.name(),
                ms: 1e3 * seconds / PHASE_STEPS as f64,
                share: seconds / whole,
                gflop_per_s: work.flop as f64 / seconds * 1e-9,
                limit: if compute >= memory { "compute" } else { "memory" },
                of_limit: compute.max(memory) / seconds,
            }
        })
        .collect())
}

/// The most memory that this process held; only Linux says.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(1_024 * kib.trim().parse::<u64>().ok()?)
}

impl Report {
    /// For people.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        line(format!("duel {} on {}, {} cores", self.duel, self.cpu, self.cores));
        let peaks = self.peaks.iter().map(|peak| format!("{} {:.1}", peak.isa, peak.gflop_per_s));
        line(format!("Peak of one thread in GFLOP/s: {}.", peaks.collect::<Vec<_>>().join(", ")));
        line(format!(
            "A step is {:.1} MFLOP if done densely. {}, from step {}:\n",
            self.dense_mflop,
            self.isa,
            grouped(self.from_step)
        ));
        line("| threads | cores | line ns | rounds | peak GFLOP/s | roof steps/s | steps/s | share of the roof | efficiency |".into());
        line("|---:|---|---:|---:|---:|---:|---:|---:|---:|".into());
        let spread = |s: &Spread, digits: usize| {
            format!("{:.digits$} ({:.digits$}–{:.digits$})", s.median, s.min, s.max)
        };
        for run in &self.runs {
            line(format!(
                "| {} | {} | {:.0} | {} | {:.1} | {:.1} | {} | {} | {} |",
                run.threads,
                run.cores.name(),
                run.line_ns.median,
                run.rounds,
                run.peak_gflop_per_s.median,
                run.roof_steps_per_s.median,
                spread(&run.steps_per_s, 1),
                spread(&run.share, 2),
                run.efficiency.as_ref().map_or(String::new(), |s| spread(s, 2))
            ));
        }
        line(format!("\nThe fastest: {}.", machine::counted(self.fastest)));
        line(format!("\nOne thread; a copy moves {:.1} GB/s:\n", self.copy_gbyte_per_s));
        line("| phase | ms | of the step | GFLOP/s | limit | of its limit |".into());
        line("|---|---:|---:|---:|---|---:|".into());
        for phase in &self.phases {
            line(format!(
                "| {} | {:.3} | {:.1}% | {:.1} | {} | {:.0}% |",
                phase.phase,
                phase.ms,
                100.0 * phase.share,
                phase.gflop_per_s,
                phase.limit,
                100.0 * phase.of_limit
            ));
        }
        line(format!("\nAllocations during the steps: {}.", self.allocations));
        let resident = self
            .peak_resident_bytes
            .map_or("not known here".into(), |bytes| format!("{:.1} MB", bytes as f64 * 1e-6));
        line(format!("Memory: arena {:.1} MB; process at most {resident}.", self.arena_bytes as f64 * 1e-6));
        text
    }
}
