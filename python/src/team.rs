//! Threads: the calling one, or a pool.

use duel::parallel::MOST_WORKERS;
use duel::{Error, Rayon, Serial, Team};

/// Who does the work.
pub enum Threads {
    Calling,
    Pool(rayon::ThreadPool),
}

impl Threads {
    /// So many; 0: as many as this process may use.
    pub fn of(count: usize) -> Result<Threads, Error> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if count == 0 { available() } else { count }.min(MOST_WORKERS);
        if count == 1 {
            return Ok(Threads::Calling);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        pool.map(Threads::Pool).map_err(|error| Error::environment(format!("no {count} threads: {error}")))
    }
}

impl Team for Threads {
    fn workers(&self) -> usize {
        match self {
            Threads::Calling => 1,
            Threads::Pool(pool) => pool.current_num_threads(),
        }
    }
    fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        match self {
            Threads::Calling => Serial.run(workers, work),
            Threads::Pool(pool) => pool.install(|| Rayon.run(workers, &work)),
        }
    }
}
