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
    /// The live capture: a JPEG, JPEG 2000 or PNG file.
    probe: PathBuf,
    /// What it is compared with, 1 to 8 files. The exit code is 0 when at least one matches.
    #[arg(required_unless_present = "dg2")]
    references: Vec<PathBuf>,
    /// Data group 2 of a passport chip to compare with; each of its photographs counts.
    #[arg(long, value_name = "FILE")]
    dg2: Option<PathBuf>,
    /// EF.SOD of the same chip; without it the document is not authenticated.
    #[arg(long, value_name = "FILE", requires = "dg2")]
    sod: Option<PathBuf>,
    /// EF.DG1 of the same chip; its issuing state must be the one that signed.
    #[arg(long, value_name = "FILE", requires = "dg2")]
    dg1: Option<PathBuf>,
    /// Another false match rate than the configured one; needs the role administrator.
    #[arg(long)]
    fmr: Option<f64>,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let probe = local::image(&arguments.probe)?;
    let mut paths = arguments.references.clone();
    let images = paths.iter().map(|path| local::image(path).map(ReferenceSource::Image));
    let mut references = images.collect::<Result<Vec<_>, Failure>>()?;
    if let Some(dg2) = &arguments.dg2 {
        let read = |path: &Option<PathBuf>| path.as_deref().map(local::file).transpose();
        let (sod, dg1) = (read(&arguments.sod)?, read(&arguments.dg1)?);
        references.push(ReferenceSource::Dg2 { file: local::file(dg2)?, sod, dg1 });
        paths.push(dg2.clone());
    }
    let (fmr, third_country) = (arguments.fmr, false); // nobody stands at a border here
    let command = Command::Verify { probe, references, third_country, fmr };
    let appliance = local::appliance(scene)?;
    let decision = local::decide(&appliance, scene, Purpose::Evaluation, command)?;
    if scene.tell.json {
        scene.tell.document(&DecisionAnswer::from(&decision));
    } else {
        table::comparisons(&decision, &paths, scene.tell);
        scene.tell.line(table::threshold(&decision.threshold));
        table::attack(decision.attack, scene.tell);
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
