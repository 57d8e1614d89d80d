//! SIGINT and SIGTERM: the first one asks the run to stop at the end of a step, a second one ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use duel::Error;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has come.
#[derive(Debug)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Signals, Error> {
        let (which, armed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag that the first one set.
            flag::register_conditional_shutdown(signal, 128 + signal, armed.clone())
                .and_then(|_| flag::register(signal, armed.clone()))
                .and_then(|_| flag::register_usize(signal, which.clone(), signal as usize))
                .map_err(|error| Error::environment(format!("cannot listen for signals: {error}")))?;
        }
        Ok(Signals(which))
    }

    /// The name of the signal that has come, and the exit code that says so.
    pub fn caught(&self) -> Option<(&'static str, u8)> {
        match self.0.load(Ordering::Relaxed) as i32 {
            SIGINT => Some(("SIGINT", 130)),
            SIGTERM => Some(("SIGTERM", 143)),
            _ => None,
        }
    }
}
