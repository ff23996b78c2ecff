//! `export` and `import`: moving a gallery to another appliance, sealed to its age key.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::{Bench, Ended, Failure, Outcome, Scene, Target};
use crate::{gallery::Gallery, types::Action};

/// What to write, for whom, where.
#[derive(Args)]
pub(in crate::cli) struct ExportArguments {
    #[command(flatten)]
    pub(super) target: Target,
    /// The recipient's public key, age1…
    #[arg(long, value_name = "AGE1…")]
    to: String,
    /// The file to write; it must not be there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What to read, with which key.
#[derive(Args)]
pub(in crate::cli) struct ImportArguments {
    #[command(flatten)]
    pub(super) target: Target,
    /// The exported file.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// File with the recipient's private key (AGE-SECRET-KEY-1…), as age-keygen writes it.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
}

pub(super) fn export(arguments: &ExportArguments, scene: &Scene<'_>) -> Outcome {
    let bench = Bench::new(&arguments.target, scene)?;
    let gallery = bench.gallery(None)?;
    let shown = arguments.out.display();
    let refused = |error: io::Error| unwritten(arguments, &error);
    if arguments.out.exists() {
        return Err(refused(io::ErrorKind::AlreadyExists.into()));
    }
    // The file is made after the order: where the audit refuses, none is left to stand in the way
    // later.
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&arguments.out).map_err(refused)?;
        // A part of an export is worth nothing, and must not be taken for a whole one.
        export_to(&bench, &gallery, arguments, file).inspect_err(|_| {
            let _left = fs::remove_file(&arguments.out);
        })
    };
    let rows = bench.carried_out(Action::ExportGallery, write)?;
    let tell = scene.tell;
    if tell.json {
        let path = shown.to_string();
        tell.document(&serde_json::json!({ "references": rows, "path": path, "to": arguments.to }));
    } else {
        tell.line(format!("wrote {rows} references to {shown}, for {} alone", arguments.to));
        tell.line(
            "when it is imported there, erase it here: `portcullis gallery erase --everybody`",
        );
    }
    Ok(Ended::Done)
}

/// Writes all of it, durably; how many references.
fn export_to(
    bench: &Bench<'_>,
    gallery: &Gallery,
    arguments: &ExportArguments,
    file: File,
) -> Result<u64, Failure> {
    let mut out = BufWriter::new(file);
    let written =
        bench.shown("exporting", |progress| gallery.export(&arguments.to, &mut out, progress));
    let rows = bench.told(written)?;
    let synced = out.flush().and_then(|()| out.get_ref().sync_all());
    synced.map_err(|error| unwritten(arguments, &error))?;
    Ok(rows)
}

fn unwritten(arguments: &ExportArguments, error: &io::Error) -> Failure {
    let shown = arguments.out.display();
    Failure::new(format!(
        "{shown} cannot be written: {error}; name a new file in a folder that has room"
    ))
}

pub(super) fn import(arguments: &ImportArguments, scene: &Scene<'_>) -> Outcome {
    let bench = Bench::new(&arguments.target, scene)?;
    let identity = identity(&arguments.identity)?;
    let shown = arguments.from.display();
    let file = File::open(&arguments.from)
        .map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
    let mut from = BufReader::new(file);
    let import = || {
        let taken = bench.shown("importing", |progress| {
            bench.offline.import(&bench.located, &mut from, &identity, progress)
        });
        taken.map_err(Failure::from)
    };
    let gallery = bench.carried_out(Action::CreateGallery, import)?;
    let stats = gallery.stats();
    let (rows, path) = (stats.rows - stats.vacant, bench.located.path.display());
    let tell = scene.tell;
    if tell.json {
        tell.document(&serde_json::json!({
            "gallery": bench.located.name.as_str(),
            "path": path.to_string(),
            "references": rows,
            "generation": stats.generation,
        }));
    } else {
        tell.line(format!("made {path} of {rows} references; its keys and transform are new"));
    }
    Ok(Ended::Done)
}

/// The private key of an identity file: its first line that is neither empty nor a comment.
fn identity(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
    let text = Zeroizing::new(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let line = line.ok_or_else(|| {
        Failure::new(format!("{shown} holds no key; age-keygen writes such a file"))
    })?;
    Ok(Zeroizing::new(line.to_owned()))
}
