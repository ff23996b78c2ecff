//! `portcullis eval`: accuracy on labelled photographs, by the rules of [`crate::accuracy`].
//!
//! A folder with one folder per person, or a CSV file of pairs (`file_a,file_b,same_person`; files
//! relative to the CSV). Every photograph passes the whole appliance once; scores are compared
//! afterwards. Photographs without a usable face are counted as lost, never dropped in silence.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Args;

use super::{Ended, Failure, Outcome, Scene, local};
use crate::{
    accuracy::{
        Identification, Report, Sample, det,
        identification::{LostSearches, split},
        rates::Lost,
    },
    appliance::Appliance,
    command::{Answer, Command},
    ops::score::score,
    types::{Purpose, Role, Template},
};

/// Most comparisons of one evaluation; scores are kept in memory.
const COMPARISONS_MAX: usize = 50_000_000;
/// Photographs under way at once: enough that decoding and the engine overlap.
const AT_ONCE: usize = 4;

/// Files and options.
#[derive(Args)]
pub(super) struct Arguments {
    /// A folder with one folder per person, or a CSV file: file_a,file_b,same_person.
    source: PathBuf,
    /// Name of the data set in the report; without it, the folder's or file's.
    #[arg(long)]
    name: Option<String>,
    /// Write the DET curve as SVG.
    #[arg(long, value_name = "FILE")]
    det: Option<PathBuf>,
}

/// Photographs, whom they show, and which are compared.
struct Plan {
    files: Vec<PathBuf>,
    person: Vec<usize>,
    /// Two photographs, and whether they show the same person.
    pairs: Vec<(usize, usize, bool)>,
}

pub(super) fn run(arguments: &Arguments, scene: &mut Scene<'_>) -> Outcome {
    let plan = if arguments.source.is_dir() {
        Plan::of_folder(&arguments.source)?
    } else {
        Plan::of_pairs(&arguments.source)?
    };
    // Templates stay inside this process; the switch is about handing them to callers.
    scene.config.policy.embed_enabled = true;
    let appliance = local::appliance(scene)?;
    let templates = embed_all(&plan.files, &appliance, scene);
    let scale = appliance.calibration().scale();
    let similarity = |a: usize, b: usize| match (&templates[a], &templates[b]) {
        (Some(a), Some(b)) => Some(f64::from(score(a.values(), b.values()).similarity(scale))),
        _ => None,
    };
    let sample = compare(&plan, &similarity)?;
    let searches = search(&plan.person, &similarity)?;
    let in_use: Vec<(f64, f64)> = appliance
        .calibration()
        .thresholds()
        .iter()
        .map(|row| (row.fmr, f64::from(row.similarity)))
        .collect();
    let name = arguments.name.clone().unwrap_or_else(|| arguments.source.display().to_string());
    let report = Report::new(&name, &sample, &in_use, searches.as_ref());
    if let Some(path) = &arguments.det {
        fs::write(path, det::svg(&name, &sample)).map_err(|error| {
            Failure::new(format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    let lost = templates.iter().filter(|template| template.is_none()).count();
    if scene.tell.json {
        let photographs = templates.len();
        scene.tell.document(&serde_json::json!({
            "photographs": photographs, "failuresToAcquire": lost, "report": report,
        }));
    } else {
        scene.tell.line(format!(
            "{} photographs, {lost} without a usable face (failure to acquire)",
            templates.len()
        ));
        scene.tell.line(report);
    }
    Ok(Ended::Done)
}

/// The template of every photograph, `None` where none could be made.
fn embed_all(files: &[PathBuf], appliance: &Appliance, scene: &Scene<'_>) -> Vec<Option<Template>> {
    let bar = scene.tell.progress("embedding", files.len() as u64);
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<Template>>> = files.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(at) else { return };
            match embed(file, appliance) {
                Ok(template) => {
                    *slots[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(template);
                }
                Err(Failure(why)) => bar.suspend(|| {
                    scene.tell.note(format!("lost {}: {why}", file.display()));
                }),
            }
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let taken = slots.into_iter().map(|slot| slot.into_inner());
    taken.map(|slot| slot.unwrap_or_else(PoisonError::into_inner)).collect()
}

fn embed(file: &Path, appliance: &Appliance) -> Result<Template, Failure> {
    let callers = vec![local::caller(Role::Administrator, "evaluation")];
    let command = Command::Embed { image: local::image(file)? };
    match local::execute(appliance, callers, Purpose::Evaluation, command)? {
        Answer::Embedded { template, .. } => Ok(template),
        _ => Err(Failure::new("the appliance answered another question; please report this")),
    }
}

fn compare(
    plan: &Plan,
    similarity: &dyn Fn(usize, usize) -> Option<f64>,
) -> Result<Sample, Failure> {
    let (mut genuine, mut impostor, mut lost) = (Vec::new(), Vec::new(), Lost::default());
    for &(a, b, same) in &plan.pairs {
        match (similarity(a, b), same) {
            (Some(score), true) => genuine.push(score),
            (Some(score), false) => impostor.push(score),
            (None, true) => lost.genuine += 1,
            (None, false) => lost.impostor += 1,
        }
    }
    Ok(Sample::new(genuine, impostor, lost)?)
}

/// A gallery of everybody's first photograph, searched with all others; `None` without any.
fn search(
    person: &[usize],
    similarity: &dyn Fn(usize, usize) -> Option<f64>,
) -> Result<Option<Identification>, Failure> {
    let split = split(person);
    let enrolled: Vec<usize> =
        split.gallery.iter().copied().filter(|&at| similarity(at, at).is_some()).collect();
    if enrolled.is_empty() {
        return Ok(None);
    }
    let (mut mated, mut non_mated, mut lost) = (Vec::new(), Vec::new(), LostSearches::default());
    for &probe in &split.mated {
        let mate = split.gallery.iter().copied().find(|&at| person[at] == person[probe]);
        match mate.and_then(|mate| similarity(mate, probe)) {
            Some(score) => mated.push(Some(score)),
            None => lost.mated += 1,
        }
    }
    for &probe in &split.non_mated {
        let best = enrolled.iter().filter_map(|&at| similarity(at, probe)).max_by(f64::total_cmp);
        match best {
            Some(best) => non_mated.push(best),
            None => lost.non_mated += 1,
        }
    }
    Ok(Some(Identification::new(enrolled.len() as u64, &mated, non_mated, lost)?))
}

impl Plan {
    /// Everybody against everybody.
    fn of_folder(folder: &Path) -> Result<Self, Failure> {
        let unreadable =
            |error| Failure::new(format!("{} cannot be read: {error}", folder.display()));
        let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(unreadable)?.collect();
        let mut people: Vec<_> = entries.map_err(unreadable)?;
        people.retain(|entry| entry.path().is_dir());
        people.sort_by_key(fs::DirEntry::path);
        let (mut files, mut person) = (Vec::new(), Vec::new());
        for (label, entry) in people.iter().enumerate() {
            // A folder without a photograph is nobody.
            for file in local::photographs(&entry.path()).unwrap_or_default() {
                files.push(file);
                person.push(label);
            }
        }
        if files.len() < 2 {
            return Err(Failure::new(format!(
                "{} holds fewer than two photographs in folders, one per person",
                folder.display()
            )));
        }
        let count = files.len() * (files.len() - 1) / 2;
        if count > COMPARISONS_MAX {
            return Err(Failure::new(format!(
                "{count} comparisons; at most {COMPARISONS_MAX} are kept in memory: name the pairs \
                 in a CSV file"
            )));
        }
        let mut pairs = Vec::with_capacity(count);
        for a in 0..files.len() {
            for b in a + 1..files.len() {
                pairs.push((a, b, person[a] == person[b]));
            }
        }
        Ok(Self { files, person, pairs })
    }

    /// The pairs of a CSV file; whoever is `same` as another is one person.
    fn of_pairs(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let wrong = |line: usize, why: &str| {
            let shown = path.display();
            Failure::new(format!("{shown}:{line}: {why}; a line is file_a,file_b,same_person"))
        };
        let mut known = BTreeMap::new();
        let (mut files, mut pairs) = (Vec::new(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            let fields: Vec<_> = line.split(',').map(str::trim).collect();
            if line.trim().is_empty() || (at == 0 && fields.first() == Some(&"file_a")) {
                continue;
            }
            let [a, b, same, ..] = fields[..] else { return Err(wrong(at + 1, "too few fields")) };
            let same = match same {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(wrong(at + 1, "same_person is 1 or 0")),
            };
            let mut number = |name: &str| {
                *known.entry(name.to_owned()).or_insert_with(|| {
                    files.push(base.join(name));
                    files.len() - 1
                })
            };
            pairs.push((number(a), number(b), same));
        }
        if pairs.is_empty() {
            return Err(wrong(1, "no pair"));
        }
        let person = people(files.len(), &pairs);
        Ok(Self { files, person, pairs })
    }
}

/// One label per photograph: photographs linked by a genuine pair share it.
fn people(count: usize, pairs: &[(usize, usize, bool)]) -> Vec<usize> {
    let mut label: Vec<usize> = (0..count).collect();
    loop {
        let mut settled = true;
        for &(a, b, _) in pairs.iter().filter(|(_, _, same)| *same) {
            let least = label[a].min(label[b]);
            settled &= label[a] == least && label[b] == least;
            label[a] = least;
            label[b] = least;
        }
        if settled {
            return label;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_photographs_are_one_person() {
        let pairs = [(0, 1, true), (1, 2, true), (3, 4, true), (0, 3, false)];
        assert_eq!(people(6, &pairs), [0, 0, 0, 3, 3, 5]);
    }

    #[test]
    fn a_search_finds_the_mate_and_counts_the_lost() {
        // Two photographs of person 0 (the second lost), two of person 1, one of person 2.
        let person = [0, 0, 1, 1, 2];
        let similarity = |a: usize, b: usize| {
            let lost = a == 1 || b == 1;
            (!lost).then(|| if person[a] == person[b] { 0.9 } else { 0.1 })
        };
        let found = search(&person, &similarity).expect("finite").expect("a gallery");
        assert_eq!(found.gallery(), 2);
        assert_eq!(found.lost(), LostSearches { mated: 1, non_mated: 0 });
        assert_eq!(found.fnir(0.5).errors, 0);
        assert_eq!(found.fpir(0.5).errors, 0);
    }
}
