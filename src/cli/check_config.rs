//! `portcullis config`: the documented defaults, or a check of what is in force.

use clap::Args;

use super::{Config, ConfigError, Ended, Outcome, tell::Tell};
use crate::config::DEFAULT_TEXT;

/// What to print.
#[derive(Args)]
pub(super) struct Arguments {
    /// Check the configuration in force (file and environment) and print its values.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(
    arguments: &Arguments,
    loaded: Result<Config, ConfigError>,
    tell: Tell,
) -> Outcome {
    if arguments.check {
        let config = loaded?;
        if tell.json {
            tell.document(&config);
        } else {
            tell.line(toml::to_string(&config).expect("a configuration is a table").trim_end());
        }
        return Ok(Ended::Done);
    }
    if tell.json {
        tell.document(&Config::default());
    } else {
        tell.raw(DEFAULT_TEXT);
    }
    Ok(Ended::Done)
}
