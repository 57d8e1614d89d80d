//! Codes, messages, and the border that nothing unwinds across.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use duel::{BITS_VERSION, Error, Isa, self_check};

/// The version of this interface that a program was compiled against: see duel_check_version.
pub const DUEL_API_VERSION: u32 = 1;

/// What a function returns. The numbers are the exit codes of the duel program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum duel_code {
    /// Done.
    DUEL_OK = 0,
    /// A fault of the library's own. What it was about may be lost.
    DUEL_INTERNAL = 1,
    /// An argument is null, of a wrong size or out of its range, or a handle is in use by another call.
    DUEL_USAGE = 2,
    /// Data or a checkpoint are malformed, damaged, too small or of another run.
    DUEL_INPUT = 3,
    /// A file is missing, unreadable or unwritable, or the disk is full.
    DUEL_IO = 4,
    /// Training diverged; the trainer can only load a state.
    DUEL_DIVERGED = 5,
    /// The machine lacks something: memory, threads, an instruction set, the default mode of its floating-point unit.
    DUEL_ENVIRONMENT = 6,
    /// Something recomputed is not what was published.
    DUEL_MISMATCH = 7,
}
use duel_code::*;

impl From<&Error> for duel_code {
    fn from(error: &Error) -> duel_code {
        match error.exit_code() {
            2 => DUEL_USAGE,
            3 => DUEL_INPUT,
            4 => DUEL_IO,
            5 => DUEL_DIVERGED,
            6 => DUEL_ENVIRONMENT,
            7 => DUEL_MISMATCH,
            _ => DUEL_INTERNAL,
        }
    }
}

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

fn say(text: String) {
    // No text of ours has a zero byte, but a path in it may.
    let text = CString::new(text.replace('\0', "\u{FFFD}")).unwrap_or_default();
    let _ = MESSAGE.try_with(|message| *message.borrow_mut() = text);
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words on it")
}

/// Does the work of a function; an error and a panic become a code and a message.
pub(crate) fn guard(work: impl FnOnce() -> Result<(), Error>) -> duel_code {
    // A handle that the work had was marked before it began, and what it holds says itself when it is torn.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => DUEL_OK,
        Ok(Err(error)) => {
            say(error.to_string());
            duel_code::from(&error)
        }
        Err(panic) => {
            say(format!("a fault of duel's own: {}", words(&*panic)));
            DUEL_INTERNAL
        }
    }
}

/// What was wrong in the last call on this thread that did not return DUEL_OK: a text in UTF-8, empty before any. It is good until
/// the next call on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn duel_message() -> *const c_char {
    MESSAGE.try_with(|message| message.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Whether this library has the interface that a program was compiled against: duel_check_version(DUEL_API_VERSION) is DUEL_OK, or
/// else DUEL_ENVIRONMENT.
#[unsafe(no_mangle)]
pub extern "C" fn duel_check_version(version: u32) -> duel_code {
    guard(|| match version {
        DUEL_API_VERSION => Ok(()),
        _ => Err(Error::environment(format!(
            "this is version {DUEL_API_VERSION} of the interface, the program was compiled for {version}"
        ))),
    })
}

/// The version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn duel_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The version of the bits: of the same, a seed gives the same.
#[unsafe(no_mangle)]
pub extern "C" fn duel_bits_version() -> u32 {
    BITS_VERSION
}

/// Whether this machine computes what was published: each kernel, on the fastest backend, and some small networks. About a second.
#[unsafe(no_mangle)]
pub extern "C" fn duel_verify() -> duel_code {
    guard(|| self_check::check(Isa::best()))
}
