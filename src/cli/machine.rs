//! What a command runs on: the flags `--isa` and `--threads`, and the two variables that stand in for them.

use clap::Args;
use duel::kernels::float_mode;
use duel::run::record::Owned;
use duel::{Error, Isa};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::number;
use super::terminal::counted;

/// Threads that a command may ask for.
const MAX_THREADS: usize = 1_024;

/// The flags.
#[derive(Debug, Args)]
pub struct Machine {
    /// Threads; the bits do not depend on them [default: DUEL_THREADS, or all cores that this process may use, as far as
    /// the network has work for them]
    #[arg(long, value_name = "T", value_parser = number::<usize>)]
    threads: Option<usize>,
    /// Instruction set: reference, wide, avx2 or avx512; the bits do not depend on it [default: DUEL_ISA, or the fastest]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
}

impl Machine {
    /// The backend. Refuses a program whose floating-point unit something has set to another mode than the default.
    pub fn isa(&self) -> Result<Isa, Error> {
        float_mode::check()?;
        Ok(self.asked_isa()?.unwrap_or_else(Isa::best))
    }

    /// The backend that was asked for.
    pub fn asked_isa(&self) -> Result<Option<Isa>, Error> {
        let (name, source) = match (&self.isa, variable("DUEL_ISA")) {
            (Some(name), _) => (name.clone(), "--isa"),
            (None, Some(name)) => (name, "DUEL_ISA"),
            (None, None) => return Ok(None),
        };
        Isa::named(&name).map(Some).map_err(|error| match error {
            Error::Usage { problem, .. } => Error::usage(source, format!("unknown {name:?}, {problem}")),
            Error::Environment { problem } => Error::environment(format!("{source}: {problem}")),
            other => other,
        })
    }

    /// The threads that were asked for.
    pub fn threads(&self) -> Result<Option<usize>, Error> {
        let (threads, source) = match (self.threads, variable("DUEL_THREADS")) {
            (Some(threads), _) => (Some(threads), "--threads"),
            (None, Some(text)) => (text.parse().ok(), "DUEL_THREADS"),
            (None, None) => return Ok(None),
        };
        match threads.filter(|threads| (1..=MAX_THREADS).contains(threads)) {
            Some(threads) => Ok(Some(threads)),
            None => Err(Error::usage(source, format!("expected 1 to {MAX_THREADS}"))),
        }
    }

    /// A pool of as many threads as were asked for, or of one per core.
    pub fn pool(&self) -> Result<Pool, Error> {
        pool(self.threads()?.unwrap_or_else(cores))
    }

    /// A pool to train with: of as many threads as were asked for, or of one per core, as far as there is work for them.
    pub fn pool_for(&self, trainer: &Owned<'_>) -> Result<Pool, Error> {
        pool(self.threads()?.unwrap_or_else(|| trainer.useful_workers(cores())))
    }
}

/// The threads that a command runs on: one is the calling thread, and no other is started.
#[derive(Debug)]
pub struct Pool(Option<ThreadPool>);

/// A pool of so many threads.
pub fn pool(threads: usize) -> Result<Pool, Error> {
    if threads == 1 {
        return Ok(Pool(None));
    }
    // Whatever RUST_MIN_STACK says.
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(2 << 20).build();
    let pool = pool.map(|pool| Pool(Some(pool))).map_err(|error| {
        Error::environment(format!("cannot start {}: {error}", counted(threads as u64, "thread")))
    })?;
    pool.broadcast(float_mode::check).into_iter().collect::<Result<(), Error>>()?;
    Ok(pool)
}

impl Pool {
    /// How many they are.
    pub fn threads(&self) -> usize {
        self.0.as_ref().map_or(1, ThreadPool::current_num_threads)
    }
    /// Does work in which [`duel::Rayon`] is these threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
    /// Does work on each of them.
    pub fn broadcast<R: Send>(&self, work: impl Fn() -> R + Sync) -> Vec<R> {
        match &self.0 {
            Some(pool) => pool.broadcast(|_| work()),
            None => vec![work()],
        }
    }
}

/// What a variable of the environment says, if that is anything; what is not UTF-8 is refused as any other wrong value.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS))
}

/// `avx2 · 2 threads`, or `avx2 · 1 of 2 threads` where the network has no work for more.
pub fn described(trainer: &Owned<'_>, pool: &Pool) -> String {
    let threads = pool.threads();
    let of_them = match trainer.useful_workers(threads) {
        useful if useful < threads => format!("{useful} of "),
        _ => String::new(),
    };
    format!("{} · {of_them}{}", trainer.isa().name(), counted(threads as u64, "thread"))
}
