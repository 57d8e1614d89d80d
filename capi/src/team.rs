//! Threads: the library's own, or the caller's.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::JoinHandle;

use duel::parallel::MOST_WORKERS;
use duel::{Error, Rayon, Serial, Team};

/// A piece of work: the caller's threads call it with `job`, each with another number of a worker.
pub type duel_work = unsafe extern "C" fn(job: *mut c_void, worker: usize);

/// Threads of the caller's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct duel_team {
    /// How many threads there are, 1 or more.
    pub workers: usize,
    /// Calls `work(job, w)` once for each w from 0 to `workers` − 1, at most as many as there are, all at the same time and each on
    /// another thread (one of them may be the calling one), and returns when all calls have returned. They wait for each other: if
    /// one does not start, all give up after 10 seconds, and the run ends with DUEL_ENVIRONMENT before it has begun. It must not
    /// throw: what cannot start a thread returns without it.
    pub run:
        Option<unsafe extern "C" fn(host: *mut c_void, workers: usize, work: duel_work, job: *mut c_void)>,
    /// Handed to `run`. It is used on whatever thread calls the library.
    pub host: *mut c_void,
}

/// Whose threads do the work.
pub(crate) enum Threads {
    Calling,
    Pool(Pool),
    Host(HostTeam),
}

/// As the standard library's threads have it.
const STACK_BYTES: usize = 2 << 20;

/// A pool whose threads have ended when it is dropped: the program may unload the library then.
pub(crate) struct Pool {
    /// None while it is dropped.
    pool: Option<rayon::ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

impl Pool {
    fn new(threads: usize) -> Result<Pool, Error> {
        let mut handles = Vec::new();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).spawn_handler(|thread| {
            let named = std::thread::Builder::new().name(format!("duel {}", thread.index()));
            // With a stack of its own size, which the environment does not tell: a host may be changing that.
            handles.push(named.stack_size(STACK_BYTES).spawn(|| thread.run())?);
            Ok(())
        });
        match pool.build() {
            Ok(pool) => Ok(Pool { pool: Some(pool), handles }),
            Err(error) => {
                // Those that did start.
                drop(Pool { pool: None, handles });
                Err(Error::environment(format!("no {threads} threads: {error}")))
            }
        }
    }

    fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => unreachable!("it is being dropped"),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.pool.take());
        for handle in self.handles.drain(..) {
            // One that has panicked has ended, too.
            let _ = handle.join();
        }
    }
}

/// A checked [`duel_team`].
#[derive(Clone, Copy)]
pub(crate) struct HostTeam {
    workers: usize,
    run: unsafe extern "C" fn(*mut c_void, usize, duel_work, *mut c_void),
    host: *mut c_void,
}

impl Threads {
    /// So many of the library's own; 0: as many as this process may use.
    pub(crate) fn of(count: usize) -> Result<Threads, Error> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if count == 0 { available() } else { count }.min(MOST_WORKERS);
        if count == 1 {
            return Ok(Threads::Calling);
        }
        Pool::new(count).map(Threads::Pool)
    }

    pub(crate) fn host(team: duel_team) -> Result<Threads, Error> {
        let run = team.run.ok_or(Error::usage("team", "its function is null"))?;
        if team.workers == 0 {
            return Err(Error::usage("team", "has no workers, expected 1 or more"));
        }
        Ok(Threads::Host(HostTeam { workers: team.workers, run, host: team.host }))
    }
}

impl Team for Threads {
    fn workers(&self) -> usize {
        match self {
            Threads::Calling => 1,
            Threads::Pool(pool) => pool.handles.len(),
            Threads::Host(team) => team.workers,
        }
    }

    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        match self {
            Threads::Calling => Serial.run(workers, work),
            Threads::Pool(pool) => pool.install(|| Rayon.run(workers, &work)),
            Threads::Host(team) => team.share_out(workers, &work),
        }
    }
}

/// Work on its way through the caller's threads.
struct Job<'a, W, F> {
    /// Each is taken once, whatever the caller's threads do.
    workers: Vec<Mutex<Option<&'a mut W>>>,
    work: &'a F,
}

impl HostTeam {
    fn share_out<W: Send, F: Fn(&mut W) + Sync>(&self, workers: &mut [W], work: &F) {
        unsafe extern "C" fn one<W: Send, F: Fn(&mut W) + Sync>(job: *mut c_void, worker: usize) {
            // SAFETY: it is the job below, which lives until `run` has returned, and the caller's threads have by then.
            let job = unsafe { &*job.cast::<Job<'_, W, F>>() };
            let Some(place) = job.workers.get(worker) else { return };
            if let Some(worker) = place.lock().ok().and_then(|mut place| place.take()) {
                // The engine finds out that one has panicked, and says so.
                let _ = catch_unwind(AssertUnwindSafe(|| (job.work)(worker)));
            }
        }
        let workers: Vec<_> = workers.iter_mut().map(|worker| Mutex::new(Some(worker))).collect();
        let count = workers.len();
        let job = Job { workers, work };
        let at = (&raw const job).cast_mut().cast();
        // SAFETY: the caller has promised what the documentation of `duel_team` asks for.
        unsafe { (self.run)(self.host, count, one::<W, F>, at) }
    }
}
