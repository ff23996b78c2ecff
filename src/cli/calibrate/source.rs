//! Where embeddings come from: photographs through the configured networks, or synthetic people of
//! a statistics file; and which of them are compared.
//!
//! Embeddings stay in this process; the process's allocator zeroes what it frees.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::Arguments;
use crate::{
    appliance::{self, models},
    backend::Network,
    cli::{Failure, Scene, finder::Finder, local},
    document::image,
    limits::{DIMS_MAX, IMAGE_BYTES_MAX},
    model::{Calibration, People, Rotated, Statistics},
    ops::program::Feed,
    random::SeededEntropy,
    types::{Hash256, Template},
};

/// Most labelled comparisons; their scores are kept in memory.
const COMPARISONS_MAX: usize = 20_000_000;
/// Most pairs from which survivors and errors are counted.
const PAIRS_MAX: usize = 100_000;
/// Synthetic people of a statistics file, and their seed: one file gives one calibration.
const PEOPLE: usize = 2_000;
const PEOPLE_SEED: u64 = 1;
/// Largest statistics file: three matrices of f64 and their headers.
const STATISTICS_BYTES_MAX: u64 = (3 * DIMS_MAX * DIMS_MAX * 8 + (1 << 20)) as u64;

/// A comparison with a label.
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) same: bool,
}

/// The usable faces of a folder.
pub(super) struct Faces {
    /// Photographs that were looked at.
    pub(super) photographs: usize,
    pub(super) embeddings: Vec<Vec<f32>>,
    /// Whose each is, where that is known of all.
    pub(super) person: Option<Vec<usize>>,
    /// Labelled comparisons; empty where nobody is known.
    pub(super) pairs: Vec<Pair>,
}

/// Embeddings in the rotated space, at length 1.
pub(super) struct Turned {
    pub(super) faces: Vec<Vec<f32>>,
    /// Pairs that are known, or taken, to show two people.
    non_mated: Vec<(usize, usize)>,
}

impl Turned {
    /// The embeddings of [`Turned::non_mated`].
    pub(super) fn non_mated(&self) -> Vec<(&[f32], &[f32])> {
        self.non_mated.iter().map(|&(a, b)| (&self.faces[a][..], &self.faces[b][..])).collect()
    }

    /// Every face as a template.
    pub(super) fn templates(&self, calibration: &Calibration) -> Result<Vec<Template>, Failure> {
        let made = self.faces.iter().map(|face| calibration.rotated_template(face));
        Ok(made.collect::<Result<_, _>>()?)
    }

    /// Share of values that do not fit ±127 at the calibration's scale.
    pub(super) fn saturated(&self, calibration: &Calibration) -> f64 {
        let beyond = |value: &&f32| (value.abs() * calibration.scale()).round() > 127.0;
        let count = self.faces.iter().flatten().filter(beyond).count();
        count as f64 / self.faces.iter().map(Vec::len).sum::<usize>().max(1) as f64
    }
}

/// The hash of the configured embedder.
pub(super) fn embedder_hash(scene: &Scene<'_>) -> Result<Hash256, Failure> {
    let (bytes, _) = models::embedder_bytes(&scene.config.models, scene.environment)?;
    Ok(Hash256::of(&bytes))
}

/// A file of this program's own making or size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
    let held = fs::metadata(path).map_err(unreadable)?.len();
    if held > STATISTICS_BYTES_MAX {
        return Err(Failure::new(format!(
            "{} has {held} bytes; at most {STATISTICS_BYTES_MAX} are read",
            path.display()
        )));
    }
    fs::read(path).map_err(unreadable)
}

/// The statistics of an archive.
pub(super) fn statistics_file(path: &Path) -> Result<Statistics, Failure> {
    Statistics::parse(&read(path)?)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// A folder as it is labelled: files, who they show, and the pairs of a list.
struct Listed {
    files: Vec<PathBuf>,
    person: Option<Vec<usize>>,
    pairs: Option<Vec<Pair>>,
}

/// One folder per person where there are folders, photographs of nobody known otherwise; with a
/// list, the photographs that it names.
fn listed(arguments: &Arguments) -> Result<Listed, Failure> {
    if let Some(list) = &arguments.pairs {
        return of_pairs(&arguments.source, list);
    }
    let folder = &arguments.source;
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", folder.display()));
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(unreadable)?.collect();
    let mut people: Vec<PathBuf> =
        entries.map_err(unreadable)?.iter().map(fs::DirEntry::path).collect();
    people.retain(|path| path.is_dir());
    people.sort();
    let (mut files, mut person) = (Vec::new(), Vec::new());
    for (label, path) in people.iter().enumerate() {
        // A folder without a photograph is nobody.
        for file in local::photographs(path).unwrap_or_default() {
            files.push(file);
            person.push(label);
        }
    }
    if files.is_empty() {
        return Ok(Listed { files: local::photographs(folder)?, person: None, pairs: None });
    }
    Ok(Listed { files, person: Some(person), pairs: None })
}

fn of_pairs(folder: &Path, list: &Path) -> Result<Listed, Failure> {
    let text = String::from_utf8_lossy(&read(list)?).into_owned();
    let mut known = BTreeMap::new();
    let (mut files, mut pairs) = (Vec::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if line.trim().is_empty() || (at == 0 && fields.first() == Some(&"file_a")) {
            continue;
        }
        let same = match fields.get(2) {
            Some(&("1" | "true")) => true,
            Some(&("0" | "false")) => false,
            _ => {
                let (shown, line) = (list.display(), at + 1);
                let text = format!("{shown}:{line}: a line is file_a,file_b,same_person (1 or 0)");
                return Err(Failure::new(text));
            }
        };
        let mut number = |name: &str| {
            *known.entry(name.to_owned()).or_insert_with(|| {
                files.push(folder.join(name));
                files.len() - 1
            })
        };
        pairs.push(Pair { a: number(fields[0]), b: number(fields[1]), same });
    }
    if pairs.is_empty() {
        return Err(Failure::new(format!("{} names no pair", list.display())));
    }
    Ok(Listed { files, person: None, pairs: Some(pairs) })
}

/// Every photograph of the folder through the configured detector and embedder.
pub(super) fn embed(arguments: &Arguments, scene: &Scene<'_>) -> Result<Faces, Failure> {
    let listed = listed(arguments)?;
    let mut embedder = Embedder::load(scene)?;
    let bar = scene.tell.progress("embedding", listed.files.len() as u64);
    let mut embeddings = Vec::new();
    // Where each photograph's embedding stands.
    let mut at = vec![None; listed.files.len()];
    for (number, file) in listed.files.iter().enumerate() {
        match embedder.embed(file) {
            Ok(embedding) => {
                at[number] = Some(embeddings.len());
                embeddings.push(embedding);
            }
            Err(Failure(why)) => {
                bar.suspend(|| scene.tell.note(format!("lost {}: {why}", file.display())));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let person: Option<Vec<usize>> = listed.person.map(|person| {
        person.into_iter().zip(&at).filter_map(|(who, at)| at.map(|_| who)).collect()
    });
    let pairs = match (&person, listed.pairs) {
        (_, Some(pairs)) => pairs
            .into_iter()
            .filter_map(|pair| Some(Pair { a: at[pair.a]?, b: at[pair.b]?, ..pair }))
            .collect(),
        (Some(person), None) => everybody(person)?,
        (None, None) => Vec::new(),
    };
    Ok(Faces { photographs: at.len(), embeddings, person, pairs })
}

/// Everybody against everybody.
fn everybody(person: &[usize]) -> Result<Vec<Pair>, Failure> {
    let count = person.len() * person.len().saturating_sub(1) / 2;
    if count > COMPARISONS_MAX {
        return Err(Failure::new(format!(
            "{count} comparisons; at most {COMPARISONS_MAX} are kept in memory: name the pairs \
             with --pairs"
        )));
    }
    let all = (0..person.len()).flat_map(|a| (a + 1..person.len()).map(move |b| (a, b)));
    Ok(all.map(|(a, b)| Pair { a, b, same: person[a] == person[b] }).collect())
}

/// Detector and embedder on the configured backend.
struct Embedder {
    finder: Finder,
    embed: Box<dyn Network>,
}

impl Embedder {
    fn load(scene: &Scene<'_>) -> Result<Self, Failure> {
        let (finder, embedder) = models::uncalibrated(&scene.config.models, scene.environment)?;
        let (detect, embed) = appliance::on_engine(&scene.config, |backend| {
            Ok((backend.load(&finder, 1)?, backend.load(&embedder, 1)?))
        })?;
        Ok(Self { finder: Finder::new(&finder, detect)?, embed })
    }

    fn embed(&mut self, path: &Path) -> Result<Vec<f32>, Failure> {
        let bytes = local::image(path)?;
        debug_assert!(bytes.bytes().len() <= IMAGE_BYTES_MAX, "the reader asks the size first");
        let frame = image::decode(bytes.bytes())?;
        let (_, to_frame) = self.finder.find(frame.view())?;
        self.embed.run(&[Feed::Warp { frame: frame.view(), to_frame }])?;
        let embedding = self.embed.output(0, 0).to_vec();
        self.embed.wipe();
        Ok(embedding)
    }
}

/// Similarity of two embeddings, in floating point.
pub(super) fn cosine(embeddings: &[Vec<f32>], a: usize, b: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let (a, b) = (&embeddings[a], &embeddings[b]);
    // Rounding must not give a similarity beyond 1.
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0)
}

/// The photographs in the rotated space.
pub(super) fn rotated_faces(faces: &Faces, rotated: &Rotated) -> Turned {
    let turn = |face: &Vec<f32>| -> Vec<f32> {
        let along = |axis: &[f32]| -> f64 {
            axis.iter().zip(face).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        unit(rotated.rotation.chunks_exact(face.len()).map(along).collect())
    };
    let turned: Vec<Vec<f32>> = faces.embeddings.iter().map(turn).collect();
    let labelled = faces.pairs.iter().filter(|pair| !pair.same).map(|pair| (pair.a, pair.b));
    let mut non_mated: Vec<(usize, usize)> = every_nth(labelled.collect());
    if non_mated.is_empty() {
        non_mated = some_pairs(turned.len());
    }
    Turned { faces: turned, non_mated }
}

/// Synthetic people with the statistics of a file; all of them strangers.
pub(super) fn synthetic_faces(rotated: &Rotated) -> Result<Turned, Failure> {
    let people = People::new(&rotated.population)?;
    let mut samples = vec![0.0; PEOPLE * people.dims()];
    people.strangers(&SeededEntropy::new(PEOPLE_SEED), &mut samples);
    let faces: Vec<Vec<f32>> = samples
        .chunks_exact(people.dims())
        .map(|sample| unit(sample.iter().map(|&value| f64::from(value)).collect()))
        .collect();
    let non_mated = some_pairs(faces.len());
    Ok(Turned { faces, non_mated })
}

/// `face` at length 1.
fn unit(face: Vec<f64>) -> Vec<f32> {
    let norm = face.iter().map(|value| value * value).sum::<f64>().sqrt();
    face.into_iter().map(|value| (value / norm.max(f64::MIN_POSITIVE)) as f32).collect()
}

/// A rotated face in the embedder's own space.
pub(super) fn turned_back(face: &[f32], rotation: &[f32]) -> Vec<f32> {
    let mut embedding = vec![0.0; face.len()];
    for (value, axis) in face.iter().zip(rotation.chunks_exact(face.len())) {
        embedding.iter_mut().zip(axis).for_each(|(sum, along)| *sum += value * along);
    }
    embedding
}

/// Different pairs of `count` faces, all of them where they are few.
pub(super) fn some_pairs(count: usize) -> Vec<(usize, usize)> {
    let apart = 1..count;
    let pairs = apart.flat_map(|apart| (0..count - apart).map(move |at| (at, at + apart)));
    pairs.take(PAIRS_MAX).collect()
}

/// An even choice of at most [`PAIRS_MAX`].
fn every_nth(pairs: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    let step = pairs.len().div_ceil(PAIRS_MAX).max(1);
    pairs.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_different_and_all_there_where_they_are_few() {
        let mut pairs = some_pairs(5);
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), 10);
        assert!(pairs.iter().all(|(a, b)| a < b && *b < 5));
        assert!(some_pairs(0).is_empty() && some_pairs(1).is_empty());
        assert_eq!(some_pairs(1_000).len(), PAIRS_MAX);
    }

    #[test]
    fn turning_back_is_the_rotation_undone() {
        let rotation = [0.6, 0.8, -0.8, 0.6];
        let back = turned_back(&[1.0, 2.0], &rotation);
        assert!((back[0] - (0.6 - 1.6)).abs() < 1e-6 && (back[1] - (0.8 + 1.2)).abs() < 1e-6);
    }
}
