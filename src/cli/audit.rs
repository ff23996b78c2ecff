//! `portcullis audit …`: whether the audit is whole, the key that says so, and a copy for whoever
//! may ask for one.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};

use super::{Ended, Failure, Outcome, Scene, local};
use crate::{
    appliance::{audit_path, audit_signer},
    audit::{
        VerifierKey,
        segment::checkpoint_path,
        verify::{Report, verify},
    },
};

/// What to do.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Find entries that were taken out, changed, moved or cut off.
    Verify(VerifyArguments),
    /// Print the key that verifies checkpoints; give it to whoever will ask.
    Key,
    /// Copy the audit, its newest checkpoint and its key into a new folder, for the regulator.
    Export(ExportArguments),
}

/// What to look at.
#[derive(Args)]
pub(super) struct VerifyArguments {
    /// The audit's file; without it, the configured one.
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// The key as `portcullis audit key` printed it; without it, this machine's.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A checkpoint that was kept elsewhere: from the log, or from an earlier export.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Where to copy to.
#[derive(Args)]
pub(super) struct ExportArguments {
    /// A folder that is not there yet.
    folder: PathBuf,
}

pub(super) fn run(verb: &Verb, scene: &Scene<'_>) -> Outcome {
    match verb {
        Verb::Verify(arguments) => check(arguments, scene),
        Verb::Key => {
            let key = own_key(scene)?.to_string();
            if scene.tell.json {
                scene.tell.document(&serde_json::json!({ "key": key }));
            } else {
                scene.tell.line(key);
            }
            Ok(Ended::Done)
        }
        Verb::Export(arguments) => export(arguments, scene),
    }
}

fn own_key(scene: &Scene<'_>) -> Result<VerifierKey, Failure> {
    let world = local::world();
    let signer = audit_signer(&scene.config, scene.environment, world.entropy.as_ref())?;
    Ok(signer.verifier())
}

fn check(arguments: &VerifyArguments, scene: &Scene<'_>) -> Outcome {
    let path = match &arguments.path {
        Some(path) => path.clone(),
        None => audit_path(&scene.config, scene.environment)?,
    };
    let key = match &arguments.key {
        Some(key) => VerifierKey::parse(key)?,
        None => own_key(scene)?,
    };
    let report = verify(&path, &key, arguments.checkpoint.as_deref())?;
    tell(&report, scene);
    Ok(Ended::Done)
}

fn tell(report: &Report, scene: &Scene<'_>) {
    let Report { first, entries, unsigned, torn, files, checkpoints, outlived } = report;
    if scene.tell.json {
        scene.tell.document(&serde_json::json!({
            "first": first,
            "entries": entries,
            "unsigned": unsigned,
            "torn": torn,
            "files": files.len(),
            "checkpoints": checkpoints,
            "outlived": outlived,
        }));
        return;
    }
    let files = files.len();
    scene.tell.line(format!("whole: {entries} entries from number {first}, in {files} files"));
    scene.tell.line(format!("{checkpoints} checkpoints verify; {unsigned} entries are newer"));
    if *outlived > 0 {
        scene.tell.line(format!("{outlived} checkpoints are of entries no longer kept"));
    }
    if *torn > 0 {
        scene.tell.line(format!("{torn} writes failed half-way and were never answered"));
    }
}

fn export(arguments: &ExportArguments, scene: &Scene<'_>) -> Outcome {
    let path = audit_path(&scene.config, scene.environment)?;
    let key = own_key(scene)?;
    let report = verify(&path, &key, None)?;
    let failed = |place: &PathBuf, error: std::io::Error| {
        Failure::new(format!("{} cannot be written: {error}", place.display()))
    };
    let folder = &arguments.folder;
    fs::create_dir(folder).map_err(|error| failed(folder, error))?;
    for file in report.files.iter().chain([&checkpoint_path(&path)]) {
        let copy = folder.join(file.file_name().unwrap_or_default());
        fs::copy(file, &copy).map_err(|error| failed(&copy, error))?;
    }
    let text = folder.join("key.txt");
    fs::write(&text, format!("{key}\n")).map_err(|error| failed(&text, error))?;
    // What was copied is looked at, not what it was copied from.
    let copied = folder.join(path.file_name().unwrap_or_default());
    tell(&verify(&copied, &key, None)?, scene);
    Ok(Ended::Done)
}
