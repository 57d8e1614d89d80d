//! The states that commands take: `RUN` (its newest good checkpoint), `RUN@STEP` (the state after any step, trained again
//! from the nearest checkpoint before it if it was not saved) and `STATE` (a checkpoint).

use std::path::{Path, PathBuf};

use clap::Args;
use duel::export::safetensors::Checkpoint;
use duel::run::recorded::Named;
use duel::{Config, Dataset, Error, Rayon, Serial};

use super::machine::Machine;
use super::terminal::Progress;

/// What a state is recomputed with.
#[derive(Debug, Args)]
pub struct Replay {
    /// Folder of the data set, or its file [default: the run's, else data]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Threads and backend.
    #[command(flatten)]
    pub machine: Machine,
}

impl Replay {
    /// The data set of a state with the settings `config`: --data, else that of the run that `argument` names, else the folder
    /// `data`.
    pub fn dataset(&self, argument: Option<&Path>, config: &Config) -> Result<Dataset, Error> {
        let named = Named::parse(argument.unwrap_or(Path::new("")));
        match named {
            Named::State(_) => named.dataset(self.data.as_deref(), config).map_err(where_data_are),
            _ => named.dataset(self.data.as_deref(), config),
        }
    }

    /// The state that `argument` names, and its name for people.
    pub fn state(&self, argument: &Path) -> Result<(String, Checkpoint), Error> {
        let (named, progress) = (Named::parse(argument), Progress::of("steps recomputed"));
        // What is wrong in a flag or a variable is wrong where nothing is computed, too.
        let (isa, _) = (self.machine.isa()?, self.machine.threads()?);
        let Named::Step(..) = named else { return named.state(None, isa, &Serial, &progress) };
        let pool = self.machine.pool()?;
        pool.install(|| named.state(self.data.as_deref(), isa, &Rayon, &progress))
    }
}

/// An error of data that cannot be read, and where their place was said.
pub fn told_by(place: &str, error: Error) -> Error {
    match error {
        Error::Io { path, error } => {
            let problem = format!("{error} ({place})");
            Error::io(path, std::io::Error::new(error.kind(), problem))
        }
        other => other,
    }
}

/// An error of data that cannot be read, with words on what the program takes.
pub fn where_data_are(error: Error) -> Error {
    let Error::Io { path, error } = error else { return error };
    let problem = format!(
        "{error}; --data expects a folder with train-images-idx3-ubyte, plain or .gz, or such a file \
         (MNIST's lie in the folder data of duel's repository)"
    );
    Error::io(path, std::io::Error::new(error.kind(), problem))
}
