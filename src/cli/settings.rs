//! The settings of a run: flags, the keys of a TOML file, and what they come to. Flag goes before file, file before default.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::config::{Config, DEFAULT_STEPS, MAX_STEPS};
use crate::error::Error;

/// Steps between reports, and between checkpoints, unless told otherwise.
const DEFAULT_EVERY: u64 = 2_000;

/// Settings as given: flags, or keys of the same names. The defaults are those of [`Plan`].
#[derive(Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Folder of the data set: train-images-idx3-ubyte, plain or .gz [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Steps to train [default: 70000]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Seed of all randomness [default: 42]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print the losses every N steps, and at step 1 [default: 2000]
    #[arg(long, value_name = "N")]
    report_every: Option<u64>,
    /// Write a checkpoint every N steps; 0: only at the end [default: 2000]
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,
    /// Keep the last K checkpoints; 0: all [default: 0]
    #[arg(long, value_name = "K")]
    keep_last: Option<usize>,
    /// Log the state's digest at these steps too
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    digest_at: Option<Vec<u64>>,
    /// Images of each kind per step [default: 128]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Adam's step size [default: 0.0002]
    #[arg(long, value_name = "X")]
    #[serde(with = "float")]
    learning_rate: Option<f32>,
    /// Adam's decay of the first moment [default: 0.9]
    #[arg(long, value_name = "X")]
    #[serde(with = "float")]
    beta1: Option<f32>,
    /// Adam's decay of the second moment [default: 0.999]
    #[arg(long, value_name = "X")]
    #[serde(with = "float")]
    beta2: Option<f32>,
    /// Adam's epsilon [default: 0.00000001]
    #[arg(long, value_name = "X")]
    #[serde(with = "float")]
    epsilon: Option<f32>,
    /// Length of a noise vector [default: 100]
    #[arg(long, value_name = "N")]
    latent_size: Option<usize>,
    /// Hidden units of the generator [default: 256]
    #[arg(long, value_name = "N")]
    generator_hidden: Option<usize>,
    /// Hidden units of the discriminator [default: 256]
    #[arg(long, value_name = "N")]
    discriminator_hidden: Option<usize>,
    /// Images held out at the start of the data set [default: 5000]
    #[arg(long, value_name = "N")]
    validation: Option<usize>,
}

/// f32 as the shortest decimal that reads back to it. TOML's own floats are f64, so 2e-4 would become 0.00019999999494….
mod float {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &Option<f32>, to: S) -> Result<S::Ok, S::Error> {
        x.map(|x| x.to_string().parse::<f64>().expect("a number's own text")).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
        let x = Option::<f64>::deserialize(from)?;
        Ok(x.map(|x| x.to_string().parse().expect("a number's own text")))
    }
}

impl Settings {
    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Settings, Error> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Error::input(path.display().to_string(), "not a text file"),
            _ => Error::io(path, error),
        })?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let message = error.message().replace('\n', " ");
            Error::input(path.display().to_string(), format!("line {line}: {message}"))
        })
    }

    /// The text of a TOML file.
    pub fn text(&self) -> String {
        toml::to_string(self).expect("settings are plain values")
    }

    /// These settings, and those of `file` where nothing is set.
    pub fn or(self, file: Settings) -> Settings {
        Settings {
            data: self.data.or(file.data),
            steps: self.steps.or(file.steps),
            seed: self.seed.or(file.seed),
            report_every: self.report_every.or(file.report_every),
            checkpoint_every: self.checkpoint_every.or(file.checkpoint_every),
            keep_last: self.keep_last.or(file.keep_last),
            digest_at: self.digest_at.or(file.digest_at),
            batch_size: self.batch_size.or(file.batch_size),
            learning_rate: self.learning_rate.or(file.learning_rate),
            beta1: self.beta1.or(file.beta1),
            beta2: self.beta2.or(file.beta2),
            epsilon: self.epsilon.or(file.epsilon),
            latent_size: self.latent_size.or(file.latent_size),
            generator_hidden: self.generator_hidden.or(file.generator_hidden),
            discriminator_hidden: self.discriminator_hidden.or(file.discriminator_hidden),
            validation: self.validation.or(file.validation),
        }
    }

    /// The seed, or the default's.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(Config::default().seed)
    }
}

/// What a run is to do, every setting decided.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the bits depend on.
    pub config: Config,
    /// Folder of the data set.
    pub data: PathBuf,
    /// The last step.
    pub steps: u64,
    /// Steps between reports.
    pub report_every: u64,
    /// Steps between checkpoints; 0: only at the end.
    pub checkpoint_every: u64,
    /// Checkpoints to keep; 0: all.
    pub keep_last: usize,
    /// Further steps whose digest is logged.
    pub digest_at: Vec<u64>,
}

impl Plan {
    /// Decides what is not set, and checks.
    pub fn new(settings: Settings) -> Result<Plan, Error> {
        let defaults = Config::default();
        let plan = Plan {
            config: Config {
                latent_size: settings.latent_size.unwrap_or(defaults.latent_size),
                generator_hidden: settings.generator_hidden.unwrap_or(defaults.generator_hidden),
                discriminator_hidden: settings.discriminator_hidden.unwrap_or(defaults.discriminator_hidden),
                batch_size: settings.batch_size.unwrap_or(defaults.batch_size),
                learning_rate: settings.learning_rate.unwrap_or(defaults.learning_rate),
                beta1: settings.beta1.unwrap_or(defaults.beta1),
                beta2: settings.beta2.unwrap_or(defaults.beta2),
                epsilon: settings.epsilon.unwrap_or(defaults.epsilon),
                validation: settings.validation.unwrap_or(defaults.validation),
                seed: settings.seed(),
            },
            data: settings.data.unwrap_or("data".into()),
            steps: settings.steps.unwrap_or(DEFAULT_STEPS),
            report_every: settings.report_every.unwrap_or(DEFAULT_EVERY),
            checkpoint_every: settings.checkpoint_every.unwrap_or(DEFAULT_EVERY),
            keep_last: settings.keep_last.unwrap_or(0),
            digest_at: settings.digest_at.unwrap_or_default(),
        };
        plan.config.validate().map_err(|error| match error {
            Error::Usage { setting, problem } => Error::usage(format!("--{setting}"), problem),
            other => other,
        })?;
        if plan.data.to_str().is_none() {
            return Err(Error::usage("--data", "expected a path in UTF-8: it goes into config.toml"));
        }
        if plan.report_every == 0 {
            return Err(Error::usage("--report-every", "expected 1 or more"));
        }
        if plan.steps > MAX_STEPS {
            return Err(Error::usage("--steps", "expected 0 to 2^47"));
        }
        Ok(plan)
    }

    /// Every setting, for a file that repeats the run.
    pub fn settings(&self) -> Settings {
        let config = self.config.clone();
        Settings {
            data: Some(self.data.clone()),
            steps: Some(self.steps),
            seed: Some(config.seed),
            report_every: Some(self.report_every),
            checkpoint_every: Some(self.checkpoint_every),
            keep_last: Some(self.keep_last),
            digest_at: Some(self.digest_at.clone()),
            batch_size: Some(config.batch_size),
            learning_rate: Some(config.learning_rate),
            beta1: Some(config.beta1),
            beta2: Some(config.beta2),
            epsilon: Some(config.epsilon),
            latent_size: Some(config.latent_size),
            generator_hidden: Some(config.generator_hidden),
            discriminator_hidden: Some(config.discriminator_hidden),
            validation: Some(config.validation),
        }
    }

    /// Whether the losses of `step` are reported on stdout.
    pub fn reports(&self, step: u64) -> bool {
        step == 1 || step.is_multiple_of(self.report_every)
    }

    /// Whether the state after `step` is kept as a checkpoint.
    pub fn keeps(&self, step: u64) -> bool {
        step == self.steps || self.checkpoint_every != 0 && step.is_multiple_of(self.checkpoint_every)
    }

    /// Whether the digest of `step` is logged.
    pub fn digests(&self, step: u64) -> bool {
        self.keeps(step) || self.digest_at.contains(&step)
    }

    /// Whether `step` has a line in the log.
    pub fn logs(&self, step: u64) -> bool {
        step > 0 && (self.reports(step) || self.digests(step))
    }
}
