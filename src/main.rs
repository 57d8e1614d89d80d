//! The `duel` program: argv, the terminal and signals over the public face of the library. Reads of the environment only
//! `DUEL_ISA`, `DUEL_THREADS` and `NO_COLOR`.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

/// Counts allocations, so that `duel bench` can show that a step makes none.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
