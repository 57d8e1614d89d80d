//! `duel bench`: how fast a step is on this machine, against what its cores could do.
//!
//! The roof is the dense step's floating-point operations at the peak of fused multiply-adds; leaving out zeros can pass
//! it. A round is a peak and some steps with each number of threads in turn, so that all see the same clock and the same
//! neighbours. Before and after it a cache line is passed from core to core: virtual cores share a cache at one hour and
//! share none at the next, so rounds are told apart by that.

mod measure;
mod report;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use duel::model::sizes::Sizes;
use duel::run::manifest::cpu;
use duel::run::record::{Owned, new_trainer};
use duel::run::{Plan, Settings};
use duel::{Config, Error, Isa, Rayon};
use stats_alloc::INSTRUMENTED_SYSTEM;

use super::machine::{self, Pool};
use super::number;
use super::replay::Replay;
use super::terminal::print;
use measure::{WARM_UP, copy_gbyte_per_s, go_on, line_ns, peak, peak_resident_bytes, phases};
use report::{Cores, PeakOf, Report, Round, Summary, Timed, summary};

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
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = number::<usize>)]
    rounds: usize,
    /// Steps per round
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = number::<usize>)]
    steps: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    replay: Replay,
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> Result<(), Error> {
        if self.rounds == 0 || self.steps == 0 {
            let flag = if self.rounds == 0 { "--rounds" } else { "--steps" };
            return Err(Error::usage(flag, "expected 1 or more"));
        }
        let (isa, threads) = (self.replay.machine.isa()?, self.replay.machine.threads()?);
        let checkpoint = match &self.from {
            Some(from) => Some(self.replay.state(from)?.1),
            None => None,
        };
        let config = match (&checkpoint, &self.config) {
            (Some(checkpoint), _) => checkpoint.config.clone(),
            (None, Some(path)) => Plan::new(&Settings::read(path)?)?.config,
            (None, None) => Config::default(),
        };
        let data = self.replay.dataset(self.from.as_deref(), &config)?;
        let plan = Plan { config: config.clone(), ..Plan::default() };
        let trainer = || {
            let mut trainer = new_trainer(&plan, &data)?;
            trainer.set_isa(isa);
            match &checkpoint {
                Some(checkpoint) => trainer.load(&checkpoint.state).map(|()| trainer),
                None => Ok(trainer),
            }
        };
        let most = trainer()?.useful_workers(machine::cores());
        let counts = match threads {
            Some(threads) => vec![threads],
            None => (0..).map(|n| 1 << n).take_while(|&n| n < most).chain([most]).collect(),
        };
        note!("{} rounds of {} steps with {counts:?} threads", self.rounds, self.steps);
        let teams: Result<Vec<_>, Error> =
            counts.iter().map(|&threads| Ok((machine::pool(threads)?, trainer()?))).collect();
        let (rounds, allocations) = self.all_rounds(isa, teams?)?;
        let peak_resident_bytes = peak_resident_bytes();
        note!("the phases of a step");
        let report = Report {
            from_step: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.step),
            allocations,
            peak_resident_bytes,
            ..report(trainer()?, rounds, &counts)?
        };
        print(&match self.json {
            true => serde_json::to_string_pretty(&report).expect("plain values") + "\n",
            false => report.text(),
        })
    }

    /// The rounds, and the allocations in all of them.
    fn all_rounds(&self, isa: Isa, mut teams: Vec<(Pool, Owned<'_>)>) -> Result<(Vec<Round>, usize), Error> {
        for (pool, trainer) in &mut teams {
            pool.install(|| trainer.run(&Rayon, WARM_UP, go_on))?;
        }
        let (mut rounds, mut allocations) = (Vec::new(), 0);
        for _ in 0..self.rounds {
            let (round, allocated) = self.round(isa, &mut teams, machine::cores())?;
            allocations += allocated;
            rounds.push(round);
        }
        Ok((rounds, allocations))
    }

    /// Peak and steps with each team; and the allocations of all threads between the first step and the last one.
    fn round(
        &self,
        isa: Isa,
        teams: &mut [(Pool, Owned<'_>)],
        cores: usize,
    ) -> Result<(Round, usize), Error> {
        let ping = || if cores > 1 { line_ns() } else { Ok(0.0) };
        let (before, mut timed, mut allocations) = (ping()?, Vec::new(), 0);
        for (pool, trainer) in teams {
            let peak = peak(isa, Some(pool));
            let flop = dense_flop(trainer);
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
                threads: pool.threads(),
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
        let line_ns = [before, ping()?];
        Ok((Round { line_ns, cores: Cores::of(line_ns), timed }, allocations))
    }
}

/// What the rounds come to, with what is measured on one thread; the rest is left to fill in.
fn report(mut trainer: Owned<'_>, rounds: Vec<Round>, counts: &[usize]) -> Result<Report, Error> {
    let (isa, flop) = (trainer.isa(), dense_flop(&trainer));
    let runs = summary(&rounds, counts, flop);
    let by_speed = |a: &&Summary, b: &&Summary| a.steps_per_s.median.total_cmp(&b.steps_per_s.median);
    let arena_bytes = trainer.arena_bytes();
    let copy_gbyte_per_s = copy_gbyte_per_s(arena_bytes);
    let fast = Isa::available().filter(|isa| *isa != Isa::Reference);
    Ok(Report {
        duel: env!("CARGO_PKG_VERSION"),
        cpu: cpu(),
        cores: machine::cores(),
        isa: isa.name(),
        from_step: 0,
        dense_mflop: flop * 1e-6,
        peaks: fast.map(|isa| PeakOf { isa: isa.name(), gflop_per_s: peak(isa, None) * 1e-9 }).collect(),
        fastest: runs.iter().max_by(by_speed).map_or(1, |run| run.threads),
        rounds,
        runs,
        copy_gbyte_per_s,
        phases: phases(&mut trainer, peak(isa, None), copy_gbyte_per_s)?,
        allocations: 0,
        arena_bytes,
        peak_resident_bytes: None,
    })
}

/// Floating-point operations of the ten products of a step, zeros included.
fn dense_flop(trainer: &Owned<'_>) -> f64 {
    Sizes::new(trainer.config(), trainer.image_size(), trainer.classes(), 0).dense_flop() as f64
}
