//! What `duel bench` prints: for people, or as JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::terminal::{counted, grouped};

/// Two cores that pass a cache line to each other faster than this share a cache for it.
const SHARED_CACHE_NS: f64 = 120.0;
/// Two that need longer than this share none.
const NO_SHARED_CACHE_NS: f64 = 150.0;
/// What takes longer than this is not a cache line: the threads have waited for a core.
const DISTURBED_NS: f64 = 1_000.0;

/// What is printed.
#[derive(Serialize)]
pub struct Report {
    pub duel: &'static str,
    pub cpu: String,
    pub cores: usize,
    pub isa: &'static str,
    pub from_step: u64,
    /// Dense floating-point operations of a step.
    pub dense_mflop: f64,
    pub peaks: Vec<PeakOf>,
    pub rounds: Vec<Round>,
    pub runs: Vec<Summary>,
    /// The number of threads with the most steps per second.
    pub fastest: usize,
    pub copy_gbyte_per_s: f64,
    pub phases: Vec<PhaseTime>,
    pub allocations: usize,
    pub arena_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
}

/// The peak of an instruction set on one thread.
#[derive(Serialize)]
pub struct PeakOf {
    pub isa: &'static str,
    pub gflop_per_s: f64,
}

/// Where the cores were in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cores {
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

    pub fn of([before, after]: [f64; 2]) -> Cores {
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
pub struct Round {
    /// How long a cache line took from one core to another, before and after; 0 on one core.
    pub line_ns: [f64; 2],
    pub cores: Cores,
    /// For each number of threads.
    pub timed: Vec<Timed>,
}

/// Steps of a round with so many threads.
#[derive(Clone, Copy, Serialize)]
pub struct Timed {
    pub threads: usize,
    pub peak_gflop_per_s: f64,
    pub steps_per_s: f64,
    /// Of the peak, if the steps were done densely.
    pub share: f64,
    /// Steps per second and thread, as a part of those of one thread in the same round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efficiency: Option<f64>,
}

/// The rounds of a kind with so many threads.
#[derive(Serialize)]
pub struct Summary {
    pub threads: usize,
    pub cores: Cores,
    pub rounds: usize,
    line_ns: Spread,
    pub peak_gflop_per_s: Spread,
    pub roof_steps_per_s: Spread,
    pub steps_per_s: Spread,
    /// Of the roof, by round.
    pub share: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efficiency: Option<Spread>,
}

/// A figure over the rounds.
#[derive(Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        Spread { median: values[values.len() / 2], min: values[0], max: values[values.len() - 1] }
    }
}

/// A phase of a step on one thread.
#[derive(Serialize)]
pub struct PhaseTime {
    pub phase: &'static str,
    pub ms: f64,
    /// Of the step.
    pub share: f64,
    pub gflop_per_s: f64,
    /// What it cannot be faster than: `compute` at the peak, or `memory` at the speed of a copy.
    pub limit: &'static str,
    /// How near it comes.
    pub of_limit: f64,
}

/// The rounds by number of threads and by where the cores were.
pub fn summary(rounds: &[Round], counts: &[usize], flop: f64) -> Vec<Summary> {
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
            runs.push(Summary {
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

impl Report {
    /// For people.
    pub fn text(&self) -> String {
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
        line(format!("\nThe fastest: {}.", counted(self.fastest as u64, "thread")));
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
