//! `duel report`: a run, or several beside each other, as one page of HTML. `charts` draws curves, `page` is the HTML.

mod charts;
mod one;
mod page;
mod several;

use std::path::{Path, PathBuf};

use clap::Args;
use duel::Error;
use duel::evaluate::Evaluation;
use duel::run::log::Entry;
use duel::run::{Folder, Recorded};
use duel::sweep::{self, PLAN};

use super::terminal::{counted, new_file, write_new};

/// The flags of `duel report`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Report {
    /// Folders of runs; that of a sweep is all of its runs. Several are compared
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// A new file NAME.html: one page that needs no other file and no network
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder of the data set, or its file, for the training images that samples are nearest to [default: the run's]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
}

/// A run, and what its folder has.
struct Story {
    run: Recorded,
    name: String,
    log: Vec<Entry>,
    evaluation: Option<Evaluation>,
}

impl Story {
    fn read(path: &Path) -> Result<Story, Error> {
        let run = Recorded::open(path)?;
        let log = run.entries()?.into_values().collect();
        if run.manifest.is_none()
            && let Err(error) = run.folder.read_manifest()
        {
            note!("The report is without a manifest: {error}");
        }
        let evaluation = Evaluation::read(&run.folder.evaluation()).unwrap_or_else(|error| {
            note!("The report is without an evaluation: {error}");
            None
        });
        Ok(Story { name: run.name(), log, evaluation, run })
    }

    /// A figure of the log over the steps.
    fn points(&self, of: impl Fn(&Entry) -> f64) -> Vec<(f64, f64)> {
        self.log.iter().map(|entry| (entry.step as f64, of(entry))).collect()
    }
}

impl Report {
    /// Writes the page.
    pub fn run(self) -> Result<(), Error> {
        new_file("--out", &self.out, &["html"])?;
        let mut folders = Vec::new();
        for path in &self.runs {
            match path.join(PLAN).exists() {
                // Of a sweep that is not done, those that have begun.
                true => folders.extend(
                    sweep::read_plan(path)?
                        .iter()
                        .map(|member| path.join(&member.run))
                        .filter(|run| Folder::new(run).config().exists()),
                ),
                false => folders.push(path.clone()),
            }
        }
        let stories = folders.iter().map(|path| Story::read(path)).collect::<Result<Vec<_>, Error>>()?;
        if self.data.is_some() && stories.len() > 1 {
            return Err(Error::usage("--data", "expected one run beside it"));
        }
        let text = match &stories[..] {
            [] => return Err(Error::usage("RUN", "none of the sweep's runs has begun")),
            [one] => one::page(one, self.data.as_deref())?,
            several => several::page(several)?,
        };
        write_new(&self.out, |file| file.write_all(text.as_bytes()))?;
        note!("{} → {}", counted(stories.len() as u64, "run"), self.out.display());
        Ok(())
    }
}
