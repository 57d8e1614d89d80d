//! The seam to threads: a [`Team`] says how many workers there are and runs a piece of work on each of them, all at the
//! same time. Uses nothing else of the crate.
//!
//! A run enters its team once. From then on workers only ever wait for each other's data ([`Meeting::wait`]): first by
//! spinning, because what they wait for is microseconds away; then by giving way, because the other worker may need this
//! very core; then by sleeping, because a container that may use less than a core per worker pays for every turn.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Workers that can run at the same time.
///
/// A host with threads of its own implements it like this; its threads may as well live longer than a run.
///
/// ```
/// struct Threads(usize);
///
/// impl duel::Team for Threads {
///     fn workers(&self) -> usize {
///         self.0
///     }
///     fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
///         let work = &work;
///         std::thread::scope(|scope| {
///             for worker in workers {
///                 scope.spawn(move || work(worker));
///             }
///         });
///     }
/// }
/// # let pixels = vec![7u8; 64 * 10 * 10];
/// # let config = duel::Config { validation: 0, batch_size: 16, ..duel::Config::default() };
/// # let mut trainer = duel::Trainer::new(config, duel::Images::new(&pixels, 10, 10)?)?;
/// trainer.run(&Threads(2), 3, |stats| {
///     println!("{}: {}", stats.step, stats.generator_loss);
///     std::ops::ControlFlow::Continue(())
/// })?;
/// # Ok::<(), duel::Error>(())
/// ```
pub trait Team {
    /// How many workers there are, 1 or more.
    fn workers(&self) -> usize;

    /// Calls `work` once for each of `workers`, at most [`Team::workers`] of them, **all at the same time**, and returns
    /// when all calls have returned. A call waits for what the other calls make: one that never starts, or only after
    /// another one has ended, makes all of them give up after [`PATIENCE_SECONDS`]. A call that panics makes the others
    /// return; the panic should reach the caller.
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync);
}

/// A team of one: the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Team for Serial {
    fn workers(&self) -> usize {
        1
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        workers.iter_mut().for_each(work);
    }
}

/// The rayon pool whose worker is calling: enter it once per run, with `ThreadPool::install`. Worker w is the pool's
/// thread w, in each run anew.
///
/// All threads of the pool must be free to come. While one of them is busy with something else (or waits in a run of
/// another trainer) the others wait for it, [`PATIENCE_SECONDS`] at most; the call returns, with an error then, when that
/// thread has been free once. So nothing that a run waits for may enter the same pool: no callback of the run, and no other
/// thread of the pool that waits for the run to end. Outside a pool it is a team of one: it never
/// starts rayon's global pool behind the host's back.
#[cfg(feature = "rayon")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

#[cfg(feature = "rayon")]
impl Team for Rayon {
    fn workers(&self) -> usize {
        if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 }
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        if workers.len() < 2 || rayon::current_thread_index().is_none() {
            return Serial.run(workers, work);
        }
        let workers: Vec<_> = workers.iter_mut().map(std::sync::Mutex::new).collect();
        rayon::broadcast(|thread| {
            if let Some(worker) = workers.get(thread.index()) {
                work(&mut worker.lock().expect("each is locked once"));
            }
        });
    }
}

/// Most workers that a piece of work is shared out to: beyond that each would have too few pixels.
pub const MOST_WORKERS: usize = 16;

/// How long workers wait for all of them to come before they give up. Without the standard library there is no clock, and
/// it is a number of turns that takes at least as long on any CPU of today.
pub const PATIENCE_SECONDS: u64 = 10;

/// The work cannot go on, because a worker is missing or has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// What the workers of a run share: how many have come, and whether the work goes on.
#[derive(Debug)]
pub struct Meeting {
    workers: usize,
    /// How many have come; with [`GIVEN_UP`], if they have given up.
    come: AtomicUsize,
    failed: AtomicBool,
}

/// The bit that says that a worker has waited for the others in vain: nobody begins after that.
const GIVEN_UP: usize = 1 << (usize::BITS - 1);
/// The bit that says that a worker cannot take part: nobody begins then.
const REFUSED: usize = 1 << (usize::BITS - 2);

impl Meeting {
    /// A meeting of so many workers.
    pub fn new(workers: usize) -> Meeting {
        Meeting { workers, come: AtomicUsize::new(0), failed: AtomicBool::new(false) }
    }

    /// Whether, when all is over, a worker has not come, or only after the others had given up: no work was begun then.
    pub fn missed(&self) -> bool {
        let come = self.come.load(Ordering::Relaxed);
        come & GIVEN_UP != 0 || come & !REFUSED < self.workers
    }
    /// Whether a worker could not take part: no work was begun then.
    pub fn refused(&self) -> bool {
        self.come.load(Ordering::Relaxed) & REFUSED != 0
    }
    /// Whether a worker has panicked.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits for all workers to come; `able` says whether this one can take part.
    pub fn join(&self, able: bool) -> Result<Presence<'_>, Stopped> {
        if !able {
            self.come.fetch_or(REFUSED, Ordering::Relaxed);
        }
        self.come.fetch_add(1, Ordering::Relaxed);
        // Who works alone asks for no time: WebAssembly has no clock.
        let (mut patience, mut turns) = (None, 0);
        loop {
            let come = self.come.load(Ordering::Relaxed);
            if come & (GIVEN_UP | REFUSED) != 0 || self.failed() {
                return Err(Stopped);
            }
            if come >= self.workers {
                return Ok(Presence { meeting: self, left: false });
            }
            if patience.get_or_insert_with(Patience::new).is_over() {
                // Unless somebody has come in between.
                let _ =
                    self.come.compare_exchange(come, come | GIVEN_UP, Ordering::Relaxed, Ordering::Relaxed);
            }
            pause(turns);
            turns = turns.saturating_add(1);
        }
    }

    /// Waits until `ready`, or until the work is over.
    #[inline]
    pub fn wait(&self, mut ready: impl FnMut() -> bool) -> Result<(), Stopped> {
        let mut turns = 0;
        while !ready() {
            if self.failed() {
                return Err(Stopped);
            }
            pause(turns);
            turns = turns.saturating_add(1);
        }
        Ok(())
    }
}

/// A worker at a [`Meeting`]. Dropped without [`Presence::leave`], as a panic does, it ends the work of all.
#[derive(Debug)]
pub struct Presence<'a> {
    meeting: &'a Meeting,
    left: bool,
}

impl Presence<'_> {
    /// The worker has done its work.
    pub fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.meeting.failed.store(true, Ordering::Relaxed);
        }
    }
}

/// Lets time pass after so many turns of waiting in vain.
#[inline]
fn pause(turns: u32) {
    /// Turns that spin: about 3 µs, most of what a step waits for.
    const SPIN: u32 = 64;
    /// Turns that give way, before sleep: about 100 µs on a core that nobody else wants.
    const YIELD: u32 = 256;
    #[cfg(feature = "std")]
    match turns {
        SPIN..YIELD => return std::thread::yield_now(),
        YIELD.. => return std::thread::sleep(std::time::Duration::from_micros(50)),
        _ => {}
    }
    let _ = (turns, SPIN, YIELD);
    core::hint::spin_loop();
}

/// [`PATIENCE_SECONDS`] of waiting. The time for which the whole process stands still, as one that is suspended, is no part of it.
#[cfg(feature = "std")]
struct Patience {
    waited: std::time::Duration,
    last: std::time::Instant,
}

#[cfg(feature = "std")]
impl Patience {
    fn new() -> Patience {
        Patience { waited: std::time::Duration::ZERO, last: std::time::Instant::now() }
    }
    fn is_over(&mut self) -> bool {
        /// Much more than a worker sleeps between two looks.
        const LONGEST: std::time::Duration = std::time::Duration::from_millis(100);
        let passed = self.last.elapsed();
        self.last += passed;
        self.waited += passed.min(LONGEST);
        self.waited.as_secs() >= PATIENCE_SECONDS
    }
}

/// So many turns that they take at least [`PATIENCE_SECONDS`].
#[cfg(not(feature = "std"))]
struct Patience(u64);

#[cfg(not(feature = "std"))]
impl Patience {
    fn new() -> Patience {
        Patience(0)
    }
    fn is_over(&mut self) -> bool {
        // At 6 GHz a turn takes more than a cycle.
        self.0 += 1;
        self.0 >= PATIENCE_SECONDS * 6_000_000_000
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn time_that_a_process_stands_still_is_no_patience() {
        let second = Duration::from_secs(1);
        let Some(last) = Instant::now().checked_sub(100 * second) else { return };
        let mut patience = Patience { waited: Duration::from_secs(PATIENCE_SECONDS) - second, last };
        assert!(!patience.is_over());
        patience.waited += second;
        assert!(patience.is_over());
    }
}
