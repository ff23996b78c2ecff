//! An appliance in this process, and pictures from files.

use std::{path::Path, sync::Arc};

use super::{Failure, Scene};
use crate::{
    appliance::{Appliance, World},
    command::{Answer, Command, Decision, EncodedFile, EncodedImage, Request, Service},
    config::{Config, CustodianName, Galleries, Server, SiteChoice},
    limits::{DOCUMENT_BYTES_MAX, IMAGE_BYTES_MAX},
    meter::Meter,
    random::SystemEntropy,
    time::SystemClock,
    types::{Caller, ClientId, Purpose, Role},
};

/// The name under which the command line stands in the audit.
const CLIENT: &str = "command-line";

/// The machine's own clock and randomness.
pub(super) fn world() -> World {
    World {
        clock: Arc::new(SystemClock::start()),
        entropy: Arc::new(SystemEntropy),
        meter: Arc::new(Meter::new()),
    }
}

/// Starts the appliance of this scene's configuration, without its site, door, galleries and lanes:
/// they belong to `serve` and to `gallery`, and what a verb enrols here ends with it.
pub(super) fn appliance(scene: &Scene<'_>) -> Result<Appliance, Failure> {
    let (site, server, gallery) = (SiteChoice::default(), Server::default(), in_memory());
    let config = Config { gallery, site, server, lane: Vec::new(), ..scene.config.clone() };
    Ok(Appliance::start(&config, scene.environment, world())?)
}

/// Galleries and keys that end with the process.
pub(super) fn in_memory() -> Galleries {
    Galleries { custodian: CustodianName::Memory, ..Galleries::default() }
}

/// The roles that whoever runs this process holds.
pub(super) fn callers(scene: &Scene<'_>, client: &str) -> Vec<Caller> {
    let roles = scene.config.server.local_roles.iter();
    roles.map(|&role| caller(role.into(), client)).collect()
}

/// One role of the command line.
pub(super) fn caller(role: Role, client: &str) -> Caller {
    let client: ClientId = client.parse().expect("names of clients are constants here");
    Caller { role, client }
}

/// Reads a photograph.
pub(super) fn image(path: &Path) -> Result<EncodedImage, Failure> {
    bytes(path, "photograph", IMAGE_BYTES_MAX).map(EncodedImage::new)
}

/// Reads a file of a passport chip.
pub(super) fn file(path: &Path) -> Result<EncodedFile, Failure> {
    bytes(path, "file of a passport chip", DOCUMENT_BYTES_MAX).map(EncodedFile::new)
}

/// Reads a file whole. The size is asked before memory is taken.
fn bytes(path: &Path, what: &str, most: usize) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
    let held = std::fs::metadata(path).map_err(unreadable)?;
    if held.is_dir() {
        return Err(Failure::new(format!("{} is a folder; name a {what}", path.display())));
    }
    if held.len() > most as u64 {
        return Err(Failure::new(format!(
            "{} has {} bytes; a {what} has at most {most}",
            path.display(),
            held.len()
        )));
    }
    std::fs::read(path).map_err(unreadable)
}

/// Carries out `command` for the command line.
pub(super) fn execute(
    appliance: &Appliance,
    callers: Vec<Caller>,
    purpose: Purpose,
    command: Command,
) -> Result<Answer, Failure> {
    let request = Request { callers, purpose, deadline_ms: None, command };
    Ok(appliance.execute(request)?)
}

/// As [`execute`], for a command that is answered with a decision.
pub(super) fn decide(
    appliance: &Appliance,
    scene: &Scene<'_>,
    purpose: Purpose,
    command: Command,
) -> Result<Decision, Failure> {
    match execute(appliance, callers(scene, CLIENT), purpose, command)? {
        Answer::Decision(decision) => Ok(*decision),
        _ => Err(Failure::new("the appliance answered another question; please report this")),
    }
}

/// As [`execute`], for a command whose answer says no more than that it was done.
pub(super) fn perform(
    appliance: &Appliance,
    scene: &Scene<'_>,
    purpose: Purpose,
    command: Command,
) -> Result<Answer, Failure> {
    execute(appliance, callers(scene, CLIENT), purpose, command)
}

/// The photographs of a folder, by name.
pub(super) fn photographs(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|name| name.to_str()).unwrap_or_default();
        let known = ["jpg", "jpeg", "png"].iter().any(|name| extension.eq_ignore_ascii_case(name));
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let text = format!("{} holds no .jpg, .jpeg or .png file", folder.display());
        return Err(Failure::new(text));
    }
    Ok(files)
}
