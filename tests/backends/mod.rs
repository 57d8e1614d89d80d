//! The backends that this CPU has. One that it lacks is reported as not run, past the test harness's capture.

use std::io::Write;

use duel::Isa;

/// The backend called `name`, or a line on stderr that says why it is not run.
pub fn backend(name: &str) -> Option<Isa> {
    Isa::named(name)
        .map_err(|error| {
            let test = std::thread::current().name().unwrap_or("test").to_string();
            let _ = writeln!(std::io::stderr(), "{test}: {name} not run: {error}");
        })
        .ok()
}
