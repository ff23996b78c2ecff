//! The command line: the same verbs as the API, over files.
//!
//! One file per verb. Verbs that need an appliance start one in this process (`local.rs`) or speak
//! to a running one (`client.rs`). Results go to standard output, all else to standard error.
//!
//! Exit codes: 0 a match, or done; 1 no match; 2 an error, which is told in one sentence with what
//! to do next.

mod audit;
mod calibrate;
mod check_config;
mod client;
mod demo;
mod doctor;
mod document;
mod document_verify;
mod enrol;
mod erase;
mod eval;
mod eval_attack;
mod finder;
mod gallery;
mod identify;
mod law;
mod local;
mod models;
mod serve;
mod site;
mod table;
mod tell;
mod token;
mod verify;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, ConfigError, Environment, LogFormat, LogLevel},
    http::route,
};
use tell::Tell;

/// How a verb ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Done, or a match.
    Done,
    /// No match.
    NoMatch,
}

/// Why a verb did not end well: one message that says what to do next.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

type Outcome = Result<Ended, Failure>;

/// Face matching appliance for airport eGates.
#[derive(Parser)]
#[command(name = "portcullis", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 match or done, 1 no match, 2 error.\n\
                        First steps: `portcullis models fetch`, then \
                        `portcullis verify a.jpg b.jpg`, or `portcullis demo`.")]
struct Cli {
    /// Configuration file; without it, $XDG_CONFIG_HOME/portcullis/config.toml where it exists.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Compare a live capture with one or more references, 1:1.
    Verify(verify::Arguments),
    /// Search for a face, 1:N, among the photographs of a folder or in a running appliance.
    Identify(identify::Arguments),
    /// Add a subject to a gallery of a running appliance.
    Enrol(enrol::Arguments),
    /// Remove a subject from a gallery of a running appliance.
    Erase(erase::Arguments),
    /// Work on a gallery's file while no appliance serves it.
    #[command(subcommand)]
    Gallery(gallery::Verb),
    /// Make and look at the keys of holder tokens.
    #[command(subcommand)]
    Token(token::Verb),
    /// Check, copy and name the key of the audit.
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Look at profiles, and take the steps of a deployment.
    #[command(subcommand)]
    Site(site::Verb),
    /// Run the appliance.
    Serve(serve::Arguments),
    /// Run the appliance with a synthetic gallery and two simulated lanes.
    Demo(demo::Arguments),
    /// Look at the files of a passport chip.
    #[command(subcommand)]
    Document(document::Verb),
    /// Fetch, list and check the default models.
    #[command(subcommand)]
    Models(models::Verb),
    /// Tell what this machine has: backends, memory, models, configuration, ports.
    Doctor,
    /// Derive a calibration of an embedder: rotation, scale, plane split, thresholds.
    Calibrate(calibrate::Arguments),
    /// Measure FMR, FNMR, EER and identification errors on labelled photographs.
    Eval(eval::Arguments),
    /// Measure APCER and BPCER of the presentation attack detector on labelled pictures.
    EvalAttack(eval_attack::Arguments),
    /// Print the law in force, row by row and rule by rule; checks rules of your own.
    Law,
    /// Print the OpenAPI document of the API.
    Openapi,
    /// Print the default configuration, every key documented; with --check, check the one in force.
    Config(check_config::Arguments),
}

/// What every verb is given.
struct Scene<'a> {
    config: Config,
    environment: &'a Environment,
    tell: Tell,
}

/// Parses `arguments`, carries the verb out, and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; anything else is wrong usage.
            let _printed = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let tell = Tell::new(cli.json, environment);
    match carry_out(cli, environment, tell) {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::NoMatch) => ExitCode::from(1),
        Err(Failure(text)) => {
            tell.failure(&text);
            ExitCode::from(2)
        }
    }
}

fn carry_out(cli: Cli, environment: &Environment, tell: Tell) -> Outcome {
    let loaded = Config::load(cli.config.as_deref(), environment);
    match cli.verb {
        // These two must work when the configuration does not.
        Verb::Openapi => {
            tell.line(route::document());
            Ok(Ended::Done)
        }
        Verb::Config(arguments) => check_config::run(&arguments, loaded, tell),
        Verb::Doctor => doctor::run(loaded, environment, tell),
        verb => with_config(verb, Scene { config: loaded?, environment, tell }),
    }
}

fn with_config(verb: Verb, mut scene: Scene<'_>) -> Outcome {
    let serves = matches!(verb, Verb::Serve(_));
    log(&scene.config, serves, &scene.tell);
    match verb {
        Verb::Verify(arguments) => verify::run(&arguments, &scene),
        Verb::Identify(arguments) => identify::run(&arguments, &scene),
        Verb::Enrol(arguments) => enrol::run(&arguments, &scene),
        Verb::Erase(arguments) => erase::run(&arguments, &scene),
        Verb::Gallery(verb) => gallery::run(&verb, &scene),
        Verb::Token(verb) => token::run(&verb, &scene),
        Verb::Audit(verb) => audit::run(&verb, &scene),
        Verb::Site(verb) => site::run(&verb, &scene),
        Verb::Serve(arguments) => serve::run(&arguments, &mut scene),
        Verb::Demo(arguments) => demo::run(&arguments, &mut scene),
        Verb::Models(verb) => models::run(&verb, &scene),
        Verb::Calibrate(arguments) => calibrate::run(&arguments, &mut scene),
        Verb::Document(verb) => document::run(&verb, &scene),
        Verb::Law => law::run(&scene),
        Verb::Eval(arguments) => eval::run(&arguments, &mut scene),
        Verb::EvalAttack(arguments) => eval_attack::run(&arguments, &scene),
        Verb::Openapi | Verb::Config(_) | Verb::Doctor => Ok(Ended::Done), // carried out above
    }
}

/// Sends events to standard error. `serve` says what it does; the other verbs only what is wrong.
fn log(config: &Config, serves: bool, tell: &Tell) {
    let level = match (serves, config.log.level) {
        (_, LogLevel::Error) => tracing::Level::ERROR,
        (true, LogLevel::Info) => tracing::Level::INFO,
        (_, LogLevel::Warn) | (false, LogLevel::Info) => tracing::Level::WARN,
        (_, LogLevel::Debug) => tracing::Level::DEBUG,
        (_, LogLevel::Trace) => tracing::Level::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(tell.colours_stderr());
    match config.log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    // Where, never what: a panic's message may quote a value, and a value may be a face's.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a stage failed; please report this place");
    }));
}
