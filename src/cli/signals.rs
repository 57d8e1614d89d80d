//! SIGHUP, SIGINT and SIGTERM: the first one asks the run to stop at the end of a step, a second one ends the process at once.
//! One that is ignored from the start (`nohup`, a script's job in the background) stays ignored. And what becomes of a process
//! that gets no memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use duel::Error;
use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has come.
#[derive(Debug)]
pub struct Signals(Arc<AtomicUsize>);

/// The signals that stop a run, and their names.
const STOPS: &[(i32, &str)] = &[
    #[cfg(unix)]
    (signal_hook::consts::SIGHUP, "SIGHUP"),
    (SIGINT, "SIGINT"),
    (SIGTERM, "SIGTERM"),
];

/// Where the signal is noted that has come, once somebody listens.
static LISTENING: Mutex<Option<Arc<AtomicUsize>>> = Mutex::new(None);

/// The signal that has come, if somebody listens: its name, and the exit code that says so.
pub fn caught() -> Option<(&'static str, u8)> {
    let listening = LISTENING.lock().expect("nothing panics while it is held");
    Signals(listening.as_ref()?.clone()).caught()
}

impl Signals {
    /// Listens from now on, or as before.
    pub fn listen() -> Result<Signals, Error> {
        let mut listening = LISTENING.lock().expect("nothing panics while it is held");
        if let Some(which) = &*listening {
            return Ok(Signals(which.clone()));
        }
        let (which, armed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let ignored = ignored();
        for &(signal, _) in STOPS.iter().filter(|(signal, _)| ignored >> (signal - 1) & 1 == 0) {
            // In this order: the second signal finds the flag that the first one set.
            flag::register_conditional_shutdown(signal, 128 + signal, armed.clone())
                .and_then(|_| flag::register(signal, armed.clone()))
                .and_then(|_| flag::register_usize(signal, which.clone(), signal as usize))
                .map_err(|error| Error::environment(format!("cannot listen for signals: {error}")))?;
        }
        *listening = Some(which.clone());
        Ok(Signals(which))
    }

    /// The name of the signal that has come, and the exit code that says so.
    pub fn caught(&self) -> Option<(&'static str, u8)> {
        let caught = self.0.load(Ordering::Relaxed) as i32;
        let stop = STOPS.iter().find(|(signal, _)| *signal == caught);
        stop.map(|(signal, name)| (*name, 128 + *signal as u8))
    }
}

/// The signals that are ignored, a bit each, where the system tells: on Linux.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Makes a file that is larger than this process may write an error of writing, not the end of the process.
pub fn survive_file_limits() {
    #[cfg(unix)]
    let _ = flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Makes a process that gets no memory for something small end with the exit code of a lacking environment. (The standard
/// library says how much it was, and aborts; what is large is asked for beforehand.) A panic, a fault of the program's own,
/// aborts as ever.
pub fn end_without_memory() {
    let armed = Arc::new(AtomicBool::new(true));
    let disarmed = armed.clone();
    let code = Error::environment("").exit_code();
    if flag::register_conditional_shutdown(SIGABRT, code as i32, armed).is_ok() {
        let said = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            disarmed.store(false, Ordering::Relaxed);
            said(info);
        }));
    }
}
