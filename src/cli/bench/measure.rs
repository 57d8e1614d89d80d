//! What `duel bench` times beside whole steps: the peak, a cache line's way, a copy, the phases of a step.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::super::machine::Pool;
use duel::kernels::peak::Peak;
use duel::run::record::Owned;
use duel::{Error, Isa, Phase, Serial, StepStats, Watch, Work};

use super::report::{PhaseTime, Spread};

/// Untimed steps before the first timed one.
pub const WARM_UP: u64 = 20;
/// Steps over which the phases are timed.
const PHASE_STEPS: u64 = 100;
/// For how long a peak is measured.
const PEAK_TIME: Duration = Duration::from_millis(250);

/// For a step that nobody looks at.
pub fn go_on(_: StepStats) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Floating-point operations per second of multiply-adds, on every thread of the pool or on this one.
pub fn peak(isa: Isa, pool: Option<&Pool>) -> f64 {
    let one_thread = || {
        let (start, mut flop) = (Instant::now(), 0);
        while start.elapsed() < PEAK_TIME {
            flop += isa.run(Peak { rounds: 1 << 18 });
        }
        flop as f64 / start.elapsed().as_secs_f64()
    };
    match pool {
        Some(pool) => pool.broadcast(one_thread).iter().sum(),
        None => one_thread(),
    }
}

/// Nanoseconds that a cache line takes from one thread to another: half a round trip, the median of nine measurements.
///
/// # Errors
/// [`Error::Environment`] if no thread can be started.
pub fn line_ns() -> Result<f64, Error> {
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
            let back = || {
                for n in 0..ROUNDS {
                    wait(&ball, 2 * n + 1);
                    ball.store(2 * n + 2, Ordering::Release);
                }
            };
            std::thread::Builder::new()
                .stack_size(1 << 16)
                .spawn_scoped(scope, back)
                .map_err(|refused| Error::environment(format!("cannot start a thread: {refused}")))?;
            let start = Instant::now();
            for n in 0..ROUNDS {
                ball.store(2 * n + 1, Ordering::Release);
                wait(&ball, 2 * n + 2);
            }
            Ok(start.elapsed().as_secs_f64() * 1e9 / (2 * ROUNDS) as f64)
        })
    };
    Ok(Spread::of((0..9).map(|_| once()).collect::<Result<_, Error>>()?).median)
}

/// Bytes read and written per second by a copy of so many bytes on one thread, in GB/s.
pub fn copy_gbyte_per_s(bytes: usize) -> f64 {
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

pub fn phases(trainer: &mut Owned<'_>, peak: f64, copy_gbyte_per_s: f64) -> Result<Vec<PhaseTime>, Error> {
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
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(1_024 * kib.trim().parse::<u64>().ok()?)
}
