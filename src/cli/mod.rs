//! The commands, a file for each, and what they share: `terminal` (what a person sees), `machine` (threads, backend),
//! `replay` (states that arguments name), `settings` (a run's settings as flags), `signals`.

/// A line for people, on stderr. A terminal or a pipe that is gone does not stop a run.
macro_rules! note {
    ($($text:tt)*) => {
        $crate::cli::terminal::note(&format!($($text)*))
    };
}

mod bench;
mod completions;
mod diff;
mod evaluate;
mod export;
mod film;
mod inspect;
mod interpolate;
mod machine;
mod replay;
mod report;
mod sample;
mod settings;
mod signals;
mod sweep;
mod terminal;
mod train;
mod verify;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use duel::error::one_line;

/// Trains the MLP GAN on MNIST on a CPU, with the same bits from a seed everywhere.
#[derive(Debug, Parser)]
#[command(name = "duel", version, allow_negative_numbers = true, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a run, 70,000 steps unless told otherwise, and writes its folder.
    Train(Box<train::Train>),
    /// Trains many runs of one plan, here or anywhere.
    Sweep(Box<sweep::Sweep>),
    /// Makes images with a trained generator: a canvas, a data set, or an array.
    Sample(sample::Sample),
    /// Checks this machine, or a run, against the bits that they should have.
    Verify(verify::Verify),
    /// Says what a generator's samples are worth, against real images.
    Evaluate(evaluate::Evaluate),
    /// Makes a film of a run's samples over its training.
    Film(film::Film),
    /// Makes pictures between two samples.
    Interpolate(interpolate::Interpolate),
    /// Makes a page of a run, or of several beside each other.
    Report(report::Report),
    /// Says whether two runs or states are the same, and where they are not.
    Diff(diff::Diff),
    /// Times steps on this machine, against the peak of its cores.
    Bench(bench::Bench),
    /// Says what a run or a state is.
    Inspect(inspect::Inspect),
    /// Writes the state after any step as a checkpoint, or a network of it as C or ONNX.
    Export(export::Export),
    /// Prints what makes a shell complete the commands and flags.
    Completions(completions::Completions),
    /// Writes the pages of the manual.
    Man(completions::Man),
}

/// Runs the program and returns its exit code: 0 done, 1 `diff` found a difference, 2 usage, 3 bad input, 4 I/O, 5 diverged, 6 environment, 7
/// mismatch, 129, 130 and 143 stopped by a signal.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    signals::end_without_memory();
    signals::survive_file_limits();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error)
            if error.use_stderr()
                && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            // On one line: what, which flag, what was expected, which name is similar; not how all of them are used.
            let text = error.to_string();
            let general =
                |text: &&str| ["Usage:", "For more"].iter().any(|begin| text.trim_start().starts_with(begin));
            let paragraphs = text.split("\n\n").filter(|text| !general(text));
            let paragraphs = paragraphs.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
            let text = paragraphs.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
            note!("{}", one_line(text));
            return ExitCode::from(2);
        }
        Err(help) => {
            let printed = help.print().and_then(|()| std::io::stdout().flush());
            return ExitCode::from(match printed {
                _ if help.use_stderr() => 2,
                Ok(()) => 0,
                Err(error) => {
                    note!("error: stdout: {error}");
                    4
                }
            });
        }
    };
    let done = match cli.command {
        Command::Train(train) => train.run(),
        Command::Sweep(sweep) => sweep.run(),
        Command::Sample(sample) => sample.run(),
        Command::Verify(verify) => verify.run().map(|()| 0),
        Command::Evaluate(evaluate) => evaluate.run().map(|()| 0),
        Command::Film(film) => film.run().map(|()| 0),
        Command::Interpolate(interpolate) => interpolate.run().map(|()| 0),
        Command::Report(report) => report.run().map(|()| 0),
        Command::Diff(diff) => diff.run(),
        Command::Bench(bench) => bench.run().map(|()| 0),
        Command::Inspect(inspect) => inspect.run().map(|()| 0),
        Command::Export(export) => export.run().map(|()| 0),
        Command::Completions(completions) => completions.run().map(|()| 0),
        Command::Man(man) => man.run().map(|()| 0),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let unheard = matches!(&error, duel::Error::Io { path, .. } if *path == *"stdout");
            if let Some((_, code)) = signals::caught().filter(|_| unheard) {
                return ExitCode::from(code);
            }
            note!("error: {}{error}", hyphens(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

/// A flag's whole number.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T, &'static str> {
    let number = text.parse::<u64>().ok().and_then(|number| number.try_into().ok());
    number.ok_or("expected a whole number, 0 or above")
}

/// The names of the presets.
fn presets() -> clap::builder::PossibleValuesParser {
    duel::config::PRESETS.map(|preset| preset.name).into()
}

/// What goes before an error about a setting, so that it names the flag.
fn hyphens(error: &duel::Error) -> &'static str {
    match error {
        duel::Error::Usage { setting, .. }
            if setting == "out"
                || duel::run::Plan::default().values().iter().any(|(about, _)| about.name == setting) =>
        {
            "--"
        }
        _ => "",
    }
}
