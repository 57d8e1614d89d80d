//! The `duel` program: argv → settings → trainer.

use std::process::ExitCode;

/// Counts allocations, so that `duel bench` can show that a step makes none.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    duel::cli::main(std::env::args_os())
}
