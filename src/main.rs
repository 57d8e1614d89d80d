//! The `duel` program: argv → settings → trainer.

use std::process::ExitCode;

fn main() -> ExitCode {
    duel::cli::main(std::env::args_os())
}
