//! `duel bench`: how fast a step is on this machine, against what its cores could do.
//!
//! The roof is the dense step's floating-point operations at the peak of fused multiply-adds; leaving out zeros can pass
//! it. Peak and steps take turns, so that both see the same clock and the same neighbours.

use std::fmt::Write;
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
use super::train::grouped;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::kernels::peak::Peak;
use crate::{Config, Dataset, Isa, Line, Phase, Rayon, Serial, Trainer, Watch, Work};

/// Untimed steps before the first round.
const WARM_UP: usize = 20;
/// Steps over which the phases are timed.
const PHASE_STEPS: usize = 100;
/// For how long a peak is measured.
const PEAK_TIME: Duration = Duration::from_millis(250);
/// Two cores that pass a cache line to each other faster share a cache for it.
const SHARED_CACHE_NS: f64 = 120.0;

/// The flags of `duel bench`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Bench {
    /// Start from this run's newest checkpoint, from RUN@STEP or from this checkpoint, instead of from new networks
    #[arg(long, value_name = "RUN[@STEP]|STATE")]
    from: Option<PathBuf>,
    /// Rounds; in each, peak and steps are timed in turn
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
    /// How long a cache line takes from one core to another.
    #[serde(skip_serializing_if = "Option::is_none")]
    line_ns: Option<f64>,
    peaks: Vec<PeakOf>,
    runs: Vec<Run>,
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

/// Steps on so many threads.
#[derive(Serialize)]
struct Run {
    threads: usize,
    peak_gflop_per_s: Spread,
    roof_steps_per_s: Spread,
    steps_per_s: Spread,
    /// Of the roof, by round.
    share: Spread,
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
        let counts = match threads {
            Some(threads) => vec![threads],
            None => (0..).map(|n| 1 << n).take_while(|&n| n < cores).chain([cores]).collect(),
        };
        let data = self.replay.dataset(self.from.as_deref())?;
        let checkpoint = self.from.as_deref().map(|from| self.replay.state(from)).transpose()?;
        let checkpoint = checkpoint.map(|(_, checkpoint)| checkpoint);
        let new_trainer = || trainer(&data, checkpoint.as_ref(), isa);
        let (line_ns, mut runs, mut allocations) = ((cores > 1).then(line_ns), Vec::new(), 0);
        for threads in counts {
            note!("{}, {} rounds of {} steps", machine::counted(threads), self.rounds, self.steps);
            let pool = machine::pool(threads)?;
            let mut trainer = new_trainer()?;
            let (run, allocated) = pool.install(|| self.time(isa, &pool, &mut trainer))?;
            allocations += allocated;
            runs.push(run);
        }
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
            dense_mflop: dense_flop(trainer.config(), trainer.image_size()) * 1e-6,
            line_ns,
            peaks: fast.map(|isa| PeakOf { isa: isa.name(), gflop_per_s: peak(isa, None) * 1e-9 }).collect(),
            runs,
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

    /// Rounds of peak and steps on the pool; and the allocations of all threads during the steps.
    fn time(&self, isa: Isa, pool: &ThreadPool, trainer: &mut Owned<'_>) -> Result<(Run, usize), Error> {
        for _ in 0..WARM_UP {
            trainer.step(&Rayon)?;
        }
        let flop = dense_flop(trainer.config(), trainer.image_size());
        let (mut peaks, mut rates, mut allocations) = (Vec::new(), Vec::new(), 0);
        for _ in 0..self.rounds {
            peaks.push(peak(isa, Some(pool)));
            let before = INSTRUMENTED_SYSTEM.stats();
            let start = Instant::now();
            for _ in 0..self.steps {
                trainer.step(&Rayon)?;
            }
            let (seconds, after) = (start.elapsed().as_secs_f64(), INSTRUMENTED_SYSTEM.stats());
            allocations +=
                after.allocations + after.reallocations - before.allocations - before.reallocations;
            rates.push(self.steps as f64 / seconds);
        }
        let run = Run {
            threads: pool.current_num_threads(),
            share: Spread::of(rates.iter().zip(&peaks).map(|(rate, peak)| rate * flop / peak).collect()),
            roof_steps_per_s: Spread::of(peaks.iter().map(|peak| peak / flop).collect()),
            peak_gflop_per_s: Spread::of(peaks.iter().map(|peak| peak * 1e-9).collect()),
            steps_per_s: Spread::of(rates),
        };
        Ok((run, allocations))
    }
}

fn trainer<'a>(data: &'a Dataset, from: Option<&Checkpoint>, isa: Isa) -> Result<Owned<'a>, Error> {
    let config = from.map_or_else(Config::default, |checkpoint| checkpoint.config.clone());
    let mut trainer = Trainer::new(config, data.images())?;
    trainer.set_isa(isa);
    if let Some(checkpoint) = from {
        trainer.load(&checkpoint.state)?;
    }
    Ok(trainer)
}

/// Floating-point operations of the ten products of a step, zeros included.
fn dense_flop(config: &Config, pixels: usize) -> f64 {
    let per_row = 2 * config.latent_size * config.generator_hidden
        + 3 * config.generator_hidden * pixels
        + 5 * config.discriminator_hidden * pixels;
    (2 * config.batch_size * per_row) as f64
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
    fn done(&self, phase: Phase, work: impl FnOnce() -> Work) {
        let now = Instant::now();
        let mut clock = self.0.lock().expect("nothing panics while it is held");
        let (last, sums) = &mut *clock;
        let seconds = (now - *last).as_secs_f64();
        match sums.iter_mut().find(|sum| sum.0 == phase) {
            Some(sum) => (sum.1, sum.2) = (sum.1 + seconds, sum.2 + work()),
            None => sums.push((phase, seconds, work())),
        }
        *last = Instant::now();
    }
}

fn phases(trainer: &mut Owned<'_>, peak: f64, copy_gbyte_per_s: f64) -> Result<Vec<PhaseTime>, Error> {
    for _ in 0..WARM_UP {
        trainer.step(&Serial)?;
    }
    let clock = Clock(Mutex::new((Instant::now(), Vec::new())));
    let start = Instant::now();
    for _ in 0..PHASE_STEPS {
        clock.0.lock().expect("nothing panics while it is held").0 = Instant::now();
        trainer.step_watched(&Serial, &clock)?;
    }
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
        if let Some(ns) = self.line_ns {
            let share = if ns < SHARED_CACHE_NS { "they share a cache" } else { "they share no cache" };
            line(format!("A cache line takes {ns:.0} ns from core to core: {share}."));
        }
        let peaks = self.peaks.iter().map(|peak| format!("{} {:.1}", peak.isa, peak.gflop_per_s));
        line(format!("Peak of one thread in GFLOP/s: {}.", peaks.collect::<Vec<_>>().join(", ")));
        line(format!(
            "A step is {:.1} MFLOP if done densely. {}, from step {}:\n",
            self.dense_mflop,
            self.isa,
            grouped(self.from_step)
        ));
        line("| threads | peak GFLOP/s | roof steps/s | steps/s | share of the roof |".into());
        line("|---:|---:|---:|---:|---:|".into());
        for run in &self.runs {
            let spread = |s: &Spread, digits: usize| {
                format!("{:.digits$} ({:.digits$}–{:.digits$})", s.median, s.min, s.max)
            };
            line(format!(
                "| {} | {} | {:.1} | {} | {} |",
                run.threads,
                spread(&run.peak_gflop_per_s, 1),
                run.roof_steps_per_s.median,
                spread(&run.steps_per_s, 1),
                spread(&run.share, 2)
            ));
        }
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
