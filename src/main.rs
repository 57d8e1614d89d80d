//! The `duel` program: argv, the terminal and signals over the public face of the library. Of itself it reads only `DUEL_ISA`,
//! `DUEL_THREADS` and `NO_COLOR` of the environment; the crates that draw bars and help look at a terminal's variables, too.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

/// Counts allocations, so that `duel bench` can show that a step makes none.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
