//! `portcullis token …`: the keys of holder tokens.
//!
//! A desk that issues has the issuer's key; a gate has the reader's, and can issue nothing. Tokens
//! themselves are issued and verified by a running appliance, which has the models.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Ended, Outcome, Scene, local};
use crate::keys::holder::{IssuerKey, ReaderKey};

/// What to do.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make an issuer's key, and the reader's key that gates need to accept its tokens.
    Keygen(KeygenArguments),
    /// Tell whose key a file is, and what it can do.
    Inspect(InspectArguments),
}

/// Where to write.
#[derive(Args)]
pub(super) struct KeygenArguments {
    /// The issuer's key: holder.issuer_key of the desk that issues. Neither file may be there.
    #[arg(long, value_name = "FILE")]
    issuer: PathBuf,
    /// The reader's key: holder.reader_keys of every gate.
    #[arg(long, value_name = "FILE")]
    reader: PathBuf,
}

/// What to read.
#[derive(Args)]
pub(super) struct InspectArguments {
    /// An issuer's or a reader's key file.
    file: PathBuf,
}

pub(super) fn run(verb: &Verb, scene: &Scene<'_>) -> Outcome {
    match verb {
        Verb::Keygen(arguments) => keygen(arguments, scene),
        Verb::Inspect(arguments) => inspect(arguments, scene),
    }
}

fn keygen(arguments: &KeygenArguments, scene: &Scene<'_>) -> Outcome {
    let world = local::world();
    let issuer = IssuerKey::random(world.entropy.as_ref())?;
    issuer.write(&arguments.issuer)?;
    issuer.reader()?.write(&arguments.reader)?;
    let (id, tell) = (issuer.id().to_string(), scene.tell);
    if tell.json {
        tell.document(&serde_json::json!({ "issuer": id }));
    } else {
        tell.line(format!("made issuer {id}"));
        tell.line(format!("holder.issuer_key = \"{}\"", arguments.issuer.display()));
        tell.line(format!("holder.reader_keys = [\"{}\"]", arguments.reader.display()));
    }
    Ok(Ended::Done)
}

fn inspect(arguments: &InspectArguments, scene: &Scene<'_>) -> Outcome {
    let text = match IssuerKey::read(&arguments.file) {
        Ok(issuer) => issuer.describe(),
        Err(as_issuer) => match ReaderKey::read(&arguments.file) {
            Ok(reader) => reader.describe(),
            Err(_) => return Err(as_issuer.into()),
        },
    };
    if scene.tell.json {
        scene.tell.document(&serde_json::json!({ "key": text }));
    } else {
        scene.tell.line(text);
    }
    Ok(Ended::Done)
}
