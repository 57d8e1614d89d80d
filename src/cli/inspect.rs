//! `duel inspect`: a run or a checkpoint on one screen.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::metrics::Metrics;
use super::replay::Replay;
use super::run_folder::{RunFolder, Status, checkpoints, newest_checkpoint};
use super::train::grouped;
use crate::error::Error;
use crate::export::safetensors::Checkpoint;
use crate::model::sizes::Sizes;
use crate::model::tensor::Tensor;

/// The flags of `duel inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A run's folder, RUN@STEP for the state after any step, or a checkpoint (.safetensors)
    #[arg(value_name = "RUN[@STEP]|STATE")]
    what: PathBuf,
    #[command(flatten)]
    replay: Replay,
}

impl Inspect {
    /// Prints what it is.
    pub fn run(self) -> Result<(), Error> {
        let text = if self.what.is_dir() {
            self.describe_run()?
        } else {
            describe(&self.replay.state(&self.what)?.1)
        };
        super::print(&text)
    }

    fn describe_run(&self) -> Result<String, Error> {
        let mut text = String::new();
        let found = checkpoints(&self.what)?;
        if let Some(manifest) = RunFolder::manifest(&self.what) {
            let run = &manifest.run;
            let killed = run.status == Status::Running && !RunFolder::is_held(&self.what);
            let status = if killed { "not ended, its process is gone" } else { run.status.name() };
            line(&mut text, "run", &format!("{status}, {} steps", grouped(run.steps_done)));
            line(&mut text, "written by", &format!("duel {}, bits version {}", run.duel, run.bits_version));
            line(&mut text, "images", &grouped(run.images as u64));
            for session in &manifest.sessions {
                let ended = session.ended.as_deref().unwrap_or("not ended");
                let machine = format!("{} · {} · {} threads", session.cpu, session.isa, session.threads);
                let span =
                    format!("{} to {ended}, from step {}", session.started, grouped(session.from_step));
                line(&mut text, "session", &format!("{span}, {machine}"));
            }
        }
        let steps: Vec<String> = found.iter().map(|(step, _)| grouped(*step)).collect();
        let steps = match &steps[..] {
            [] => "none".to_string(),
            [one] => one.clone(),
            [newest, .., oldest] => format!("{}, after steps {oldest} to {newest}", steps.len()),
        };
        line(&mut text, "checkpoints", &steps);
        if let Some(last) = Metrics::last(&self.what.join("metrics.jsonl")) {
            line(&mut text, "last logged", &last);
        }
        if let Some((path, checkpoint)) = newest_checkpoint(&self.what)? {
            line(&mut text, "newest good", &path.display().to_string());
            text += &describe(&checkpoint);
        }
        Ok(text)
    }
}

fn describe(checkpoint: &Checkpoint) -> String {
    let mut text = String::new();
    line(&mut text, "step", &grouped(checkpoint.step));
    line(&mut text, "state", &checkpoint.state_digest);
    line(&mut text, "data", &checkpoint.data_digest);
    line(&mut text, "image", &format!("{} × {}", checkpoint.height, checkpoint.width));
    for (name, value) in checkpoint.config.pairs() {
        line(&mut text, name, &value);
    }
    let sizes = Sizes::new(&checkpoint.config, checkpoint.height * checkpoint.width, 0);
    for tensor in Tensor::ALL {
        let [rows, cols] = tensor.dims(&sizes);
        let shape = if tensor.is_bias() { format!("[{cols}]") } else { format!("[{rows}, {cols}]") };
        line(&mut text, tensor.name(), &format!("{shape}, with .adam_m and .adam_v"));
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:29} {value}");
}
