//! `portcullis verify PROBE REFERENCE…`: 1:1 over files.

use std::path::PathBuf;

use clap::Args;

use super::{Ended, Failure, Outcome, Scene, local, table};
use crate::{
    command::{Command, ReferenceSource},
    http::answer::DecisionAnswer,
    types::Purpose,
};

/// Files and options.
#[derive(Args)]
pub(super) struct Arguments {
    /// The live capture: a JPEG or PNG file.
    probe: PathBuf,
    /// What it is compared with, 1 to 8 files. The exit code is 0 when at least one matches.
    #[arg(required = true)]
    references: Vec<PathBuf>,
    /// Another false match rate than the configured one; needs the role administrator.
    #[arg(long)]
    fmr: Option<f64>,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let probe = local::image(&arguments.probe)?;
    let references: Result<Vec<_>, Failure> = arguments
        .references
        .iter()
        .map(|path| local::image(path).map(ReferenceSource::Image))
        .collect();
    let command = Command::Verify { probe, references: references?, fmr: arguments.fmr };
    let appliance = local::appliance(scene)?;
    let decision = local::decide(&appliance, scene, Purpose::Evaluation, command)?;
    if scene.tell.json {
        scene.tell.document(&DecisionAnswer::from(&decision));
    } else {
        table::comparisons(&decision, &arguments.references, scene.tell);
        scene.tell.line(table::threshold(&decision.threshold));
        table::verdict(&decision, scene.tell);
    }
    if decision.comparisons.iter().any(|compared| compared.matched) {
        return Ok(Ended::Done);
    }
    if decision.comparisons.iter().all(|compared| compared.score.is_none()) {
        return Err(Failure::new("nothing could be compared: use photographs with one clear face"));
    }
    Ok(Ended::NoMatch)
}
