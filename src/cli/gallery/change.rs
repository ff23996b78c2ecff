//! `erase`, `mend`, `restrict`, `regroup`, `compact`, `rotate`, `rekey`, `delete`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Bench, Ended, Failure, Outcome, Scene, Target};
use crate::{
    gallery::{Erasure, Gallery, GalleryError, Receipt, Residency},
    types::{Action, Selection, SubjectId},
};

/// Whom to erase.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("whom").required(true))]
pub(in crate::cli) struct EraseArguments {
    #[command(flatten)]
    pub(super) target: Target,
    /// These subjects, by id.
    #[arg(value_name = "SUBJECT", group = "whom")]
    subjects: Vec<String>,
    /// The subjects of a file: one id per line; what follows a '#' is not read.
    #[arg(long, value_name = "FILE", group = "whom")]
    from: Option<PathBuf>,
    /// Every subject of a group, such as a flight.
    #[arg(long, value_name = "NUMBER", group = "whom")]
    group: Option<u32>,
    /// Every subject of a class, 0 to 63.
    #[arg(long, value_name = "CLASS", group = "whom",
        value_parser = clap::value_parser!(u8).range(0..64))]
    class: Option<u8>,
    /// Every reference whose validity began before this second (UTC).
    #[arg(long, value_name = "SECONDS", group = "whom", allow_hyphen_values = true)]
    before: Option<i64>,
    /// Every reference whose validity has ended.
    #[arg(long, group = "whom")]
    expired: bool,
    /// Everybody; the gallery stays and is empty.
    #[arg(long, group = "whom")]
    everybody: bool,
}

/// Whom to keep out.
#[derive(Args)]
pub(in crate::cli) struct RestrictArguments {
    #[command(flatten)]
    pub(super) target: Target,
    /// The subject's id.
    subject: String,
    /// Lift the restriction.
    #[arg(long)]
    lift: bool,
}

/// Whom to move.
#[derive(Args)]
pub(in crate::cli) struct RegroupArguments {
    #[command(flatten)]
    pub(super) target: Target,
    /// The subject's id.
    subject: String,
    /// The group, such as a flight; 0 for none.
    #[arg(long, value_name = "NUMBER")]
    group: u32,
}

impl EraseArguments {
    fn selection(&self) -> Option<Selection> {
        self.group
            .map(Selection::Group)
            .or_else(|| self.class.map(|class| Selection::Classes(1 << class)))
            .or_else(|| self.before.map(Selection::EnrolledBefore))
            .or_else(|| self.expired.then_some(Selection::Expired))
            .or_else(|| self.everybody.then_some(Selection::Everybody))
    }
}

pub(super) fn erase(arguments: &EraseArguments, scene: &Scene<'_>) -> Outcome {
    if arguments.group == Some(0) {
        return Err(Failure::new("group 0 is no group; use --everybody, --class or --before"));
    }
    // Mistakes in a list are told before anything is erased.
    let subjects = match &arguments.from {
        Some(file) => ids(file)?,
        None => arguments.subjects.iter().map(|id| id.parse()).collect::<Result<Vec<_>, _>>()?,
    };
    let bench = Bench::new(&arguments.target, scene)?;
    let gallery = bench.gallery(None)?;
    match arguments.selection() {
        Some(selection) => erase_selected(&bench, &gallery, selection),
        None => erase_subjects(&bench, &gallery, &subjects),
    }
}

/// The ids of a file, each once.
fn ids(file: &Path) -> Result<Vec<SubjectId>, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
    let (mut seen, mut ids) = (BTreeSet::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let id: SubjectId = line.parse().map_err(|error| {
            Failure::new(format!("{shown}:{}: {error}; nothing was erased", at + 1))
        })?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        return Err(Failure::new(format!("{shown} names no subject; write one id per line")));
    }
    Ok(ids)
}

fn erase_subjects(bench: &Bench<'_>, gallery: &Gallery, subjects: &[SubjectId]) -> Outcome {
    let bar = bench.scene.tell.progress("erasing", subjects.len() as u64);
    let (mut receipts, mut unknown) = (Vec::new(), Vec::new());
    let mut failed = None;
    for &subject in subjects {
        match erase_subject(bench, gallery, subject, &mut receipts) {
            Ok(true) => {}
            Ok(false) => unknown.push(subject.to_string()),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Also where a later one failed: what was destroyed is destroyed, and this is its evidence.
    tell_receipts(bench, &receipts);
    if let Some(failure) = failed {
        return Err(failure);
    }
    if unknown.is_empty() {
        return Ok(Ended::Done);
    }
    Err(Failure::new(format!(
        "{} of {} subjects are not enrolled in {}: {}",
        unknown.len(),
        subjects.len(),
        bench.located.name,
        unknown.join(", ")
    )))
}

/// Erases one subject and keeps the receipt, also where the audit cannot; false where nobody of
/// that id is enrolled.
fn erase_subject(
    bench: &Bench<'_>,
    gallery: &Gallery,
    subject: SubjectId,
    receipts: &mut Vec<Receipt>,
) -> Result<bool, Failure> {
    match gallery.records_of(subject) {
        Err(GalleryError::UnknownSubject { .. }) => return Ok(false),
        other => drop(bench.told(other)?),
    }
    let erase = || gallery.erase(subject).inspect(|done| receipts.push(done.receipt().clone()));
    let meant = (Some(subject), None);
    let _erasure = bench.audited(Action::Erase, meant, erase, |done| Some(done.receipt()))?;
    Ok(true) // no search runs here that could hold an older generation
}

fn erase_selected(bench: &Bench<'_>, gallery: &Gallery, selection: Selection) -> Outcome {
    let erase = || match selection {
        Selection::Group(group) => gallery.erase_group(group),
        Selection::Classes(bits) => gallery.erase_class(bits),
        Selection::EnrolledBefore(at_s) => gallery.erase_begun_before(at_s),
        Selection::Expired => gallery.erase_expired(bench.offline.now_s()),
        Selection::Everybody => gallery.erase_all().map(Some),
    };
    let erased = bench.audited(Action::Erase, (None, Some(selection)), erase, receipt_of)?;
    tell_receipts(bench, receipt_of(&erased).map(std::slice::from_ref).unwrap_or_default());
    Ok(Ended::Done)
}

fn receipt_of(erased: &Option<Erasure>) -> Option<&Receipt> {
    erased.as_ref().map(Erasure::receipt)
}

/// Opened sealed, whatever the configuration says: the other residency opens no damaged gallery.
pub(super) fn mend(bench: &Bench<'_>) -> Outcome {
    let gallery = bench.gallery(Some(Residency::Sealed))?;
    let mend = || bench.shown("reading", |progress| gallery.erase_damaged(progress));
    let erased = bench.audited(Action::Erase, (None, None), mend, receipt_of)?;
    let Some(receipt) = receipt_of(&erased) else {
        changed(bench, "every tile opens; nothing was erased", gallery.stats().generation);
        return Ok(Ended::Done);
    };
    tell_receipts(bench, std::slice::from_ref(receipt));
    if !bench.scene.tell.json {
        bench
            .scene
            .tell
            .line("enrol those people again: who they were, a damaged tile cannot tell");
    }
    Ok(Ended::Done)
}

fn tell_receipts(bench: &Bench<'_>, receipts: &[Receipt]) {
    let tell = bench.scene.tell;
    if tell.json {
        let receipts: Vec<_> = receipts
            .iter()
            .map(|held| {
                serde_json::json!({
                    "subjects": held.subjects.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "gone": held.gone.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "rows": held.rows,
                    "generation": held.generation,
                    "epochDestroyed": held.epoch_destroyed,
                    "custodian": held.custodian,
                    "at": held.at_s,
                })
            })
            .collect();
        return tell.document(&serde_json::json!({ "erased": receipts }));
    }
    let rows: u64 = receipts.iter().map(|held| held.rows).sum();
    match receipts.last() {
        Some(last) => tell.line(format!(
            "erased {rows} references; generation {}, keys up to epoch {} destroyed by the {} \
             custodian",
            last.generation, last.epoch_destroyed, last.custodian
        )),
        None => tell.line("nobody is meant by that; nothing was erased"),
    }
}

pub(super) fn restrict(arguments: &RestrictArguments, scene: &Scene<'_>) -> Outcome {
    let subject: SubjectId = arguments.subject.parse()?;
    let bench = Bench::new(&arguments.target, scene)?;
    let gallery = bench.gallery(None)?;
    bench.told(gallery.records_of(subject))?;
    let restrict = || gallery.restrict(subject, !arguments.lift);
    let generation = bench.audited(Action::Restrict, (Some(subject), None), restrict, none)?;
    let what = if arguments.lift { "lifted the restriction of" } else { "restricted" };
    changed(&bench, &format!("{what} {subject}"), generation);
    Ok(Ended::Done)
}

pub(super) fn regroup(arguments: &RegroupArguments, scene: &Scene<'_>) -> Outcome {
    let subject: SubjectId = arguments.subject.parse()?;
    let bench = Bench::new(&arguments.target, scene)?;
    let gallery = bench.gallery(None)?;
    bench.told(gallery.records_of(subject))?;
    let regroup = || gallery.regroup(subject, arguments.group);
    let generation = bench.audited(Action::Regroup, (Some(subject), None), regroup, none)?;
    changed(&bench, &format!("moved {subject} to group {}", arguments.group), generation);
    Ok(Ended::Done)
}

pub(super) fn compact(bench: &Bench<'_>) -> Outcome {
    let gallery = bench.gallery(None)?;
    let rows = bench.told(bench.shown("compacting", |progress| gallery.compact(progress)))?;
    let generation = gallery.stats().generation;
    changed(bench, &format!("{rows} vacant rows fell away"), generation);
    Ok(Ended::Done)
}

pub(super) fn rotate(bench: &Bench<'_>) -> Outcome {
    let gallery = bench.gallery(None)?;
    let before = gallery.epoch();
    let generation = bench.audited(Action::RotateKeys, (None, None), || gallery.rotate(), none)?;
    let epoch = gallery.epoch();
    let what = format!("epoch {epoch} began; the key of epoch {before} is destroyed");
    changed(bench, &what, generation);
    Ok(Ended::Done)
}

pub(super) fn rekey(bench: &Bench<'_>) -> Outcome {
    let gallery = bench.gallery(None)?;
    let rekey = || bench.shown("rewriting", |progress| gallery.rekey(progress));
    let everybody = (None, None);
    let erasure =
        bench.audited(Action::RotateKeys, everybody, rekey, |done| Some(done.receipt()))?;
    let receipt = erasure.receipt();
    let what = format!(
        "{} references stand under a new transform; keys up to epoch {} are destroyed",
        receipt.rows, receipt.epoch_destroyed
    );
    changed(bench, &what, receipt.generation);
    Ok(Ended::Done)
}

/// Of a gallery that opens: who holds its file and its keys says so by that. One that does not is
/// the appliance's to delete, which looks for copies first.
pub(super) fn delete(bench: &Bench<'_>) -> Outcome {
    let gallery = bench.gallery(Some(Residency::Sealed))?;
    let stats = gallery.stats();
    let everybody = (None, Some(Selection::Everybody));
    bench.audited(Action::DeleteGallery, everybody, || gallery.delete(), |()| None)?;
    let path = bench.located.path.display();
    fs::remove_file(&bench.located.path).map_err(|error| {
        Failure::new(format!(
            "every key is destroyed, and what is left of {path} is noise, but it cannot be \
             removed: {error}; remove it"
        ))
    })?;
    let rows = stats.rows - stats.vacant;
    let what = format!("deleted {path}: {rows} references, and every key of them");
    changed(bench, &what, stats.generation);
    Ok(Ended::Done)
}

/// Of an act that erases nothing.
fn none(_: &u64) -> Option<&Receipt> {
    None
}

fn changed(bench: &Bench<'_>, what: &str, generation: u64) {
    let tell = bench.scene.tell;
    if tell.json {
        tell.document(&serde_json::json!({ "done": what, "generation": generation }));
    } else {
        tell.line(format!("{what}; generation {generation}"));
    }
}
