//! A run's settings as flags: each one that is declared is a flag, with its help and default.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use duel::Error;
use duel::run::{Plan, Settings};
use duel::settings::Kind;

/// The settings that were given as flags.
#[derive(Debug)]
pub struct Flags(pub Settings);

impl Flags {
    /// These, then those of a preset, then those of a file.
    pub fn or(self, preset: Option<&str>, file: Option<&Path>) -> Result<Settings, Error> {
        let mut settings = self.0;
        if let Some(name) = preset {
            settings = settings.or(Settings::preset(name)?);
        }
        if let Some(path) = file {
            settings = settings.or(Settings::read(path)?);
        }
        Ok(settings)
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let flags = Plan::default().values().into_iter().map(|(about, default)| {
            let default = if default.is_empty() { default } else { format!(" [default: {default}]") };
            let range = match about.kind {
                Kind::Boolean => String::new(),
                _ => format!("; {}", about.expected.trim_start_matches("expected ")),
            };
            let flag = Arg::new(about.name).long(about.name).value_name(about.placeholder);
            let flag = match about.kind {
                Kind::Boolean => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => flag,
            };
            flag.value_parser(value_parser!(OsString))
                .allow_negative_numbers(true)
                .allow_hyphen_values(about.kind == Kind::Float)
                .action(if about.kind == Kind::Integers { ArgAction::Append } else { ArgAction::Set })
                .help(format!("{}{range}{default}", about.help))
        });
        command.args(flags)
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Settings::default();
        for (about, _) in Plan::default().values() {
            let Some(texts) = matches.get_many::<OsString>(about.name) else { continue };
            let texts: Option<Vec<&str>> = texts.map(|text| text.to_str()).collect();
            let texts = texts.ok_or_else(|| {
                let problem = format!("--{}: {}\n", about.name, about.expected);
                clap::Error::raw(clap::error::ErrorKind::InvalidUtf8, problem)
            })?;
            settings.set(about.name, &texts.join(","));
        }
        Ok(Flags(settings))
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        Self::from_arg_matches(matches).map(|flags| *self = flags)
    }
}
