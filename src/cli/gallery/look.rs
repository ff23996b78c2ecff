//! `open`, `verify` and `stats`: what a gallery is, without changing it.

use clap::{Args, ValueEnum};

use super::{Bench, Ended, Failure, Outcome, Scene, Target};
use crate::{cli::tell::Ink, gallery::Residency, time::Clock};

/// Faults that are printed one by one; the rest is counted.
const FAULTS_SHOWN: usize = 100;

/// What to open, and how.
#[derive(Args)]
pub(in crate::cli) struct OpenArguments {
    #[command(flatten)]
    target: Target,
    /// Where opened tiles lie, instead of gallery.residency: try whether the lock limit is enough.
    #[arg(long, value_enum)]
    residency: Option<ResidencyArgument>,
}

/// As `gallery.residency` in the configuration.
#[derive(Clone, Copy, ValueEnum)]
enum ResidencyArgument {
    Sealed,
    Locked,
}

pub(super) fn open(arguments: &OpenArguments, scene: &Scene<'_>) -> Outcome {
    let bench = Bench::new(&arguments.target, scene)?;
    let residency = arguments.residency.map(|named| match named {
        ResidencyArgument::Sealed => Residency::Sealed,
        ResidencyArgument::Locked => Residency::Locked,
    });
    let clock = crate::time::SystemClock::start();
    let gallery = bench.gallery(residency)?;
    let took_ms = clock.monotonic_us() / 1_000;
    let stats = gallery.stats();
    if scene.tell.json {
        scene.tell.document(&serde_json::json!({
            "gallery": bench.located.name.as_str(),
            "rows": stats.rows - stats.vacant,
            "generation": stats.generation,
            "tookMs": took_ms,
        }));
    } else {
        scene.tell.line(format!(
            "opened {} in {took_ms} ms: {} references of {} subjects, generation {}",
            bench.located.path.display(),
            stats.rows - stats.vacant,
            stats.subjects,
            stats.generation
        ));
    }
    Ok(Ended::Done)
}

/// Who keeps the keys, and what destroying one is worth.
pub(super) fn custody(bench: &Bench<'_>) -> String {
    let held = bench.offline.place().means.custodian.describe();
    format!(
        "keys are kept by: {}, {}\nwhat destroying one destroys: {}\nwhat it leaves: {}",
        held.name, held.place, held.covers, held.does_not_cover
    )
}

pub(super) fn stats(bench: &Bench<'_>) -> Outcome {
    let gallery = bench.gallery(None)?;
    let (stats, kind, layout) = (gallery.stats(), *gallery.kind(), gallery.layout());
    let held = bench.offline.place().means.custodian.describe();
    let templates = stats.rows * layout.dims as u64;
    let overhead = stats.bytes.saturating_sub(stats.bytes_free).saturating_sub(templates);
    let residency = bench.scene.config.gallery.residency;
    let tell = bench.scene.tell;
    if tell.json {
        tell.document(&serde_json::json!({
            "gallery": bench.located.name.as_str(),
            "path": bench.located.path.display().to_string(),
            "subjects": stats.subjects,
            "rows": stats.rows - stats.vacant,
            "vacant": stats.vacant,
            "tiles": stats.tiles,
            "bytes": stats.bytes,
            "bytesFree": stats.bytes_free,
            "overheadBytes": overhead,
            "generation": stats.generation,
            "epoch": gallery.epoch(),
            "residency": residency,
            "custodian": {
                "name": held.name,
                "place": held.place,
                "destroys": held.covers,
                "leaves": held.does_not_cover,
            },
            "model": kind.model.to_string(),
            "calibration": kind.calibration.to_string(),
            "dims": kind.dims,
        }));
        return Ok(Ended::Done);
    }
    let line = |name: &str, text: String| tell.line(format!("{name:<12} {text}"));
    line("file", bench.located.path.display().to_string());
    line("subjects", stats.subjects.to_string());
    line("references", format!("{} ({} vacant rows)", stats.rows - stats.vacant, stats.vacant));
    line("generation", format!("{}, epoch {}", stats.generation, gallery.epoch()));
    line(
        "bytes",
        format!(
            "{} in {} tiles: {templates} of templates, {overhead} of row tables, keys, tags and \
             padding, {} free for the next changes",
            stats.bytes, stats.tiles, stats.bytes_free
        ),
    );
    line("residency", format!("{residency:?}").to_lowercase());
    line("custodian", format!("{}, {}", held.name, held.place));
    line("destroys", held.covers.to_owned());
    line("leaves", held.does_not_cover.to_owned());
    line("model", format!("{} ({} values)", kind.model, kind.dims));
    line("calibration", kind.calibration.to_string());
    Ok(Ended::Done)
}

pub(super) fn verify(bench: &Bench<'_>) -> Outcome {
    // What is damaged must be named here; the other residency opens every tile first, and refuses.
    let gallery = bench.gallery(Some(Residency::Sealed))?;
    let report = bench.told(bench.shown("verifying", |progress| gallery.verify(progress)))?;
    let tell = bench.scene.tell;
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    if tell.json {
        tell.document(&serde_json::json!({
            "gallery": bench.located.name.as_str(),
            "tiles": report.tiles,
            "parts": report.parts,
            "rows": report.rows,
            "faults": faults,
        }));
    } else {
        for fault in faults.iter().take(FAULTS_SHOWN) {
            tell.line(format!("{} {fault}", tell.ink(Ink::Bad, "fault")));
        }
        tell.line(format!(
            "read {} parts of {} tiles with {} rows: {} faults",
            report.parts,
            report.tiles,
            report.rows,
            faults.len()
        ));
    }
    if faults.is_empty() {
        return Ok(Ended::Done);
    }
    Err(Failure::new(format!(
        "{} is damaged in {} places: put the newest copy of the file back, or erase whoever is in \
         the damaged tiles with `portcullis gallery mend {}` and enrol them again",
        bench.located.path.display(),
        faults.len(),
        bench.located.name
    )))
}
