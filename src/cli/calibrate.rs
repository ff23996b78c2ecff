//! `portcullis calibrate`: a calibration file for an embedder, from photographs or from statistics.
//!
//! | from | rotation, scale, split | threshold table |
//! |---|---|---|
//! | a folder with one folder per person | the embeddings | yes, where the sample carries a rate |
//! | a folder and `--pairs FILE` | the embeddings | yes, of the pairs |
//! | a folder of photographs | the embeddings | no: who is who is not known |
//! | an `.npz` of second-order statistics | the statistics, survivors of synthetic people | no |
//!
//! The rules for rotation, scale and split stand with [`crate::model::Statistics`]; a threshold is
//! offered by the rules of [`crate::accuracy`]. The file is bound to the configured embedder by its
//! hash. Two calibrations of one embedder differ by a quantisation error only: it is printed, and
//! `--compare` prints the difference of every comparison score under both.

mod outcome;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Ended, Failure, Outcome, Scene,
    tell::{Ink, Tell},
};
use crate::{
    accuracy::{Sample, rates::Lost},
    model::{Calibration, Draft, Split, Statistics, ThresholdRow},
    types::Template,
};
use outcome::{Difference, error_between, error_of, published};
use source::{Faces, Pair, Turned};

/// False match rates of the table, where the sample carries them.
const RATES: [f64; 6] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7];
/// Comparison score for which the planes are split, where no table gives one.
const OPERATING_DEFAULT: f64 = 0.40;
/// Photographs per dimension that a second moment needs at least.
const FACES_PER_DIMENSION: usize = 2;

/// Files and options.
#[derive(Args)]
pub(super) struct Arguments {
    /// A folder of photographs, best with one folder per person; or an .npz file with the arrays
    /// mean (d), second_moment (d × d) and, if known, within_covariance (d × d).
    source: PathBuf,
    /// The calibration file to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Labelled pairs of the folder's photographs: file_a,file_b,same_person.
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Name of the data set, for the sentence that stands behind every threshold.
    #[arg(long)]
    name: Option<String>,
    /// Comparison score for which the planes are split; without it, the table's at policy.fmr, or
    /// 0.40.
    #[arg(long, value_name = "SIMILARITY", value_parser = similarity)]
    operating: Option<f64>,
    /// Dimensions of the hot plane, instead of the split with the fewest bytes.
    #[arg(long, value_name = "K")]
    hot_dims: Option<usize>,
    /// Photographs that are enough; without it, two per dimension.
    #[arg(long, value_name = "COUNT")]
    faces_min: Option<usize>,
    /// Another calibration of the same embedder: print how far scores differ.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// A similarity of two faces.
fn similarity(text: &str) -> Result<f64, String> {
    let similarity: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // Not a number is in no range.
    if (-1.0..=1.0).contains(&similarity) {
        Ok(similarity)
    } else {
        Err("a similarity is from -1 to 1".to_owned())
    }
}

pub(super) fn run(arguments: &Arguments, scene: &mut Scene<'_>) -> Outcome {
    let model = source::embedder_hash(scene)?;
    let faces =
        if arguments.source.is_dir() { Some(source::embed(arguments, scene)?) } else { None };
    let statistics = match &faces {
        Some(faces) => statistics_of(faces, arguments)?,
        None => source::statistics_file(&arguments.source)?,
    };
    let rotated = statistics.rotated()?;
    let turned = match &faces {
        Some(faces) => source::rotated_faces(faces, &rotated),
        None => source::synthetic_faces(&rotated)?,
    };
    let table = match &faces {
        Some(faces) => table(faces)?,
        None => Table::none("no threshold table: statistics hold no comparison"),
    };
    let operating = arguments.operating.unwrap_or_else(|| {
        let chosen = table.rows.iter().find(|row| row.fmr <= scene.config.policy.fmr);
        chosen.map_or(OPERATING_DEFAULT, |row| f64::from(row.similarity))
    });
    let (splits, best) = rotated.splits(&turned.non_mated(), operating);
    let best = best.ok_or_else(|| Failure::new("embeddings without dimensions"))?;
    let (scale, expected) = rotated.scale();
    let draft = Draft {
        model,
        hot_dims: arguments.hot_dims.unwrap_or(best.hot_dims),
        scale,
        rotation: rotated.rotation.clone(),
        basis: basis(arguments, faces.as_ref(), table.comparisons),
        rows: table.rows,
        comparisons: table.comparisons,
        population: rotated.persons_known.then(|| rotated.population.clone()),
    };
    let (bytes, calibration) = draft.encode()?;
    let told = outcome::Told {
        calibration: &calibration,
        faces: faces.as_ref().map(|faces| faces.embeddings.len()),
        table: table.said,
        expected_saturated: expected,
        saturated: turned.saturated(&calibration),
        operating,
        splits: &splits,
        best,
        error: error_of(&turned, &calibration)?,
        compared: arguments
            .compare
            .as_deref()
            .map(|other| compare(other, &turned, &rotated.rotation, &calibration))
            .transpose()?,
        path: &arguments.output,
    };
    fs::write(&arguments.output, bytes).map_err(|error| {
        Failure::new(format!("{} cannot be written: {error}", arguments.output.display()))
    })?;
    told.tell(scene.tell);
    Ok(Ended::Done)
}

/// The moments of the photographs; refuses what would describe the photographs and not people.
fn statistics_of(faces: &Faces, arguments: &Arguments) -> Result<Statistics, Failure> {
    let dims = faces.embeddings.first().map_or(0, Vec::len);
    let least = arguments.faces_min.unwrap_or(FACES_PER_DIMENSION * dims).max(2);
    let held = faces.embeddings.len();
    if held < least {
        return Err(Failure::new(format!(
            "{held} usable faces of {} photographs; a calibration of {dims} dimensions needs \
             {least}: with fewer, the axes fit these photographs and not people. Add photographs, \
             or calibrate from a statistics file",
            faces.photographs
        )));
    }
    if let Some(person) = &faces.person
        && person.iter().all(|who| Some(who) == person.first())
    {
        return Err(Failure::new(
            "all photographs show one person; a rotation must describe how people differ: give \
             photographs of many, one folder each",
        ));
    }
    let embeddings: Vec<&[f32]> = faces.embeddings.iter().map(|each| &each[..]).collect();
    Ok(Statistics::of(&embeddings, faces.person.as_deref())?)
}

/// Thresholds, and what stands behind them.
struct Table {
    rows: Vec<ThresholdRow>,
    /// Genuine and impostor.
    comparisons: (u64, u64),
    /// What is to be said about it.
    said: String,
}

impl Table {
    fn none(said: &str) -> Self {
        Self { rows: Vec::new(), comparisons: (0, 0), said: said.to_owned() }
    }
}

fn table(faces: &Faces) -> Result<Table, Failure> {
    if faces.pairs.is_empty() {
        return Ok(Table::none(
            "no threshold table: who is who is not known; give one folder per person, or --pairs",
        ));
    }
    let similarity = |pair: &&Pair| source::cosine(&faces.embeddings, pair.a, pair.b);
    let of = |same: bool| faces.pairs.iter().filter(move |pair| pair.same == same);
    let genuine: Vec<f64> = of(true).map(|pair| similarity(&pair)).collect();
    let impostor: Vec<f64> = of(false).map(|pair| similarity(&pair)).collect();
    let comparisons = (genuine.len() as u64, impostor.len() as u64);
    let sample = Sample::new(genuine, impostor, Lost::default())?;
    let mut rows: Vec<ThresholdRow> = Vec::new();
    for fmr in RATES {
        if let Some(similarity) = sample.threshold_at_fmr(fmr) {
            // A calibration's similarities are single precision; never below what was measured.
            let mut rounded = similarity as f32;
            if f64::from(rounded) < similarity {
                rounded = rounded.next_up();
            }
            if rounded <= 1.0 {
                rows.push(ThresholdRow { fmr, similarity: rounded });
            }
        }
    }
    let said = match rows.last() {
        Some(last) => format!(
            "threshold table down to FMR {:e}: {} genuine and {} impostor comparisons{}",
            last.fmr,
            comparisons.0,
            comparisons.1,
            if comparisons.0 == 0 { "; no mates, so that FNMR is not known" } else { "" },
        ),
        None => format!(
            "no threshold table: insufficient data, {} impostor comparisons carry no rate",
            comparisons.1
        ),
    };
    Ok(Table { rows, comparisons, said })
}

/// The sentence behind the file.
fn basis(arguments: &Arguments, faces: Option<&Faces>, comparisons: (u64, u64)) -> String {
    let named = arguments.source.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = arguments.name.clone().unwrap_or_else(|| named.into_owned());
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(1024).collect();
    match faces {
        Some(faces) => format!(
            "{name}: {} photographs; {} genuine and {} impostor comparisons",
            faces.embeddings.len(),
            comparisons.0,
            comparisons.1
        ),
        None => format!("{name}: second-order statistics; no labelled comparisons"),
    }
}

/// Scores of the same faces under two calibrations of one embedder.
fn compare(
    other: &Path,
    turned: &Turned,
    rotation: &[f32],
    own: &Calibration,
) -> Result<Difference, Failure> {
    let held = Calibration::parse(&source::read(other)?)
        .map_err(|error| Failure::new(format!("{}: {error}", other.display())))?;
    held.accept_model(own.kind().model)?;
    let own_faces = turned.templates(own)?;
    let other_faces: Vec<Template> = turned
        .faces
        .iter()
        .map(|face| held.template(&source::turned_back(face, rotation)))
        .collect::<Result<_, _>>()?;
    let (mut most, mut sum) = (0.0_f64, 0.0);
    let pairs = source::some_pairs(own_faces.len());
    for &(a, b) in &pairs {
        let here = published(&own_faces, a, b, own.scale());
        let apart = (here - published(&other_faces, a, b, held.scale())).abs();
        most = most.max(apart);
        sum += apart;
    }
    Ok(Difference {
        path: other.display().to_string(),
        most,
        mean: sum / pairs.len().max(1) as f64,
        error: error_between(turned, &other_faces, held.scale()),
        scale: held.scale(),
        hot_dims: held.layout().hot_dims,
        thresholds: outcome::thresholds_beside(own, &held),
    })
}

/// One line of the table of splits.
fn split_line(split: &Split, best: &Split, tell: Tell) -> String {
    let text = format!(
        "{:>5}  {:>6.3}  {:>9.4} %  {:>7.1}",
        split.hot_dims,
        split.energy,
        100.0 * split.survivors,
        split.bytes
    );
    if split.hot_dims == best.hot_dims { tell.ink(Ink::Good, text + "  chosen") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operating_point_is_a_similarity() {
        assert_eq!(similarity("0.4"), Ok(0.4));
        assert_eq!(similarity("-1"), Ok(-1.0));
        for wrong in ["nan", "NaN", "inf", "-inf", "1.01", "40", "", "high"] {
            assert!(similarity(wrong).is_err(), "{wrong}");
        }
    }
}
