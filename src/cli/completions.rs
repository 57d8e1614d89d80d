//! `duel completions` and `duel man`: what shells and `man` take, made by clap's own crates of the flags as they are.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use duel::Error;
use duel::files::write_whole;

use super::Cli;
use super::terminal::print;

/// The flags of `duel completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self) -> Result<(), Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "duel", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

/// The flags of `duel man`.
#[derive(Debug, Args)]
pub struct Man {
    /// A folder for the pages: duel.1, and duel-train.1 and so on for each command
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    /// Writes the pages.
    pub fn run(self) -> Result<(), Error> {
        std::fs::create_dir_all(&self.out).map_err(|error| Error::io(&self.out, error))?;
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        self.write(&program)
    }

    /// The page of a command, and those of what is below it.
    fn write(&self, command: &Command) -> Result<(), Error> {
        command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .try_for_each(|command| self.write(command))?;
        let page = clap_mangen::Man::new(command.clone());
        write_whole(&self.out.join(page.get_filename()), |mut file| page.render(&mut file))
    }
}
