//! int8 costs no accuracy: error rates of templates equal those of the embeddings that they are
//! made of, at every threshold that the shipped calibration reports.
//!
//! Equal means: within one pair per 10,000. Both rates are printed side by side, with the pairs
//! that lie on the other side of a threshold, each way. Where a threshold cuts through the thick of
//! a distribution (FMR 1e-6 refuses one mated pair in seven here) more pairs than that cross it by
//! chance, as many one way as the other; there the difference must be one that chance explains
//! (McNemar: three standard deviations of what crossed), and the line says so.
//!
//! * Synthetic people: 100,000 mated and 100,000 non-mated pairs from the statistics that the
//!   calibration ships, within-person covariance included; needs nothing but the repository. The
//!   float side is the drawn embedding itself, the int8 side the template of that embedding.
//! * Photographs: the labelled pairs of the shared folder, through the default networks.

#![allow(clippy::print_stdout, reason = "both sides' rates, shown by --nocapture")]

#[path = "real_faces/bench.rs"]
mod bench;
mod common;
#[path = "common/places.rs"]
mod places;

use std::{collections::BTreeMap, fs};

use bench::{Bench, Seen};
use portcullis::{
    model::{Calibration, People, ThresholdRow, defaults},
    ops::score::score,
    random::SeededEntropy,
    types::Template,
};

/// Pairs of each kind.
const PAIRS: usize = 100_000;
/// People drawn in one go.
const BLOCK: usize = 5_000;
/// One pair per 10,000.
const WITHIN: f64 = 1e-4;
const SEED: u64 = 20_261_122;

/// Comparison scores of one kind of pair: in float32, and of templates in the published form.
#[derive(Default)]
struct Scores {
    float: Vec<f64>,
    int8: Vec<f64>,
}

impl Scores {
    fn push(&mut self, calibration: &Calibration, float: f64, [a, b]: [&Template; 2]) {
        self.float.push(float);
        self.int8.push(published(calibration, a, b));
    }

    /// Pairs at or above the threshold: in float, in int8; and those that are so on one side alone:
    /// in float, in int8.
    fn matches(&self, threshold: f64) -> [usize; 4] {
        let mut counts = [0; 4];
        for (float, int8) in self.float.iter().zip(&self.int8) {
            let (float, int8) = (*float >= threshold, *int8 >= threshold);
            let held = [float, int8, float && !int8, int8 && !float];
            counts.iter_mut().zip(held).for_each(|(count, held)| *count += usize::from(held));
        }
        counts
    }

    /// Largest and mean difference of one pair's two scores.
    fn apart(&self) -> [f64; 2] {
        let apart = self.float.iter().zip(&self.int8).map(|(a, b)| (a - b).abs());
        [apart.clone().fold(0.0, f64::max), apart.sum::<f64>() / self.float.len() as f64]
    }
}

fn published(calibration: &Calibration, a: &Template, b: &Template) -> f64 {
    f64::from(score(a.values(), b.values()).similarity(calibration.scale()))
}

/// 100,000 people with two photographs each: a person's two are mated, neighbours are not.
fn synthetic(calibration: &Calibration) -> [Scores; 2] {
    let population = calibration.population().expect("the shipped one has statistics");
    let people = People::new(population).expect("covariances");
    let (dims, entropy) = (people.dims(), SeededEntropy::new(SEED));
    let [mut mated, mut non_mated] = [Scores::default(), Scores::default()];
    let mut persons = vec![0.0; BLOCK * dims];
    let [mut one, mut other] = [persons.clone(), persons.clone()];
    for _ in 0..PAIRS / BLOCK {
        people.persons(&entropy, &mut persons);
        people.photographs(&entropy, &persons, &mut one);
        people.photographs(&entropy, &persons, &mut other);
        let at = |photographs: &'_ [f32], person: usize| -> Vec<f32> {
            photographs[person % BLOCK * dims..][..dims].to_vec()
        };
        let template = |x: &[f32]| calibration.rotated_template(x).expect("a direction");
        for person in 0..BLOCK {
            let [probe, mate, other] =
                [at(&one, person), at(&other, person), at(&other, person + 1)];
            let [p, m, o] = [&probe, &mate, &other].map(|x| template(x));
            mated.push(calibration, bench::cosine(&probe, &mate), [&p, &m]);
            non_mated.push(calibration, bench::cosine(&probe, &other), [&p, &o]);
        }
    }
    [mated, non_mated]
}

/// Prints both sides; gives what is unequal.
fn side_by_side(name: &str, rows: &[ThresholdRow], scores: [&Scores; 2]) -> Vec<String> {
    let mut unequal = Vec::new();
    for (kind, scores) in ["non-mated", "mated"].into_iter().zip(scores) {
        let pairs = scores.float.len();
        let [largest, mean] = scores.apart();
        println!("{name}: {pairs} {kind} pairs; scores differ by {mean:.5}, at most {largest:.5}");
        let (rate, error) = if kind == "mated" { ("FNMR", false) } else { ("FMR", true) };
        for row in rows {
            let threshold = f64::from(row.similarity);
            let [float, int8, lost, gained] = scores.matches(threshold);
            let share = |matches: usize| {
                let errors = if error { matches } else { pairs - matches };
                errors as f64 / pairs as f64
            };
            let off = lost.abs_diff(gained) as f64;
            let chance = 3.0 * ((lost + gained) as f64).sqrt();
            let verdict = if off <= WITHIN * pairs as f64 {
                "equal"
            } else if off <= chance {
                "as chance has it"
            } else {
                "UNEQUAL"
            };
            let line = format!(
                "threshold {threshold:.3}: {rate} float32 {:.6}, int8 {:.6}; {lost} and {gained} \
                 pairs crossed: {verdict}",
                share(float),
                share(int8)
            );
            println!("  {line}");
            if verdict == "UNEQUAL" {
                unequal.push(format!("{name}, {line}"));
            }
        }
    }
    unequal
}

#[test]
fn int8_costs_no_accuracy_on_synthetic_people() {
    let calibration = Calibration::sface_128();
    let [mated, non_mated] = synthetic(&calibration);
    let rows = calibration.thresholds();
    let unequal = side_by_side("synthetic people", rows, [&non_mated, &mated]);
    assert!(unequal.is_empty(), "{unequal:#?}");
    // False matches are what thresholds are set for: there, nothing is left to chance.
    for row in rows {
        let [float, int8, ..] = non_mated.matches(f64::from(row.similarity));
        assert!(float.abs_diff(int8) as f64 <= WITHIN * PAIRS as f64, "FMR at {}", row.similarity);
    }
}

#[test]
fn int8_costs_no_accuracy_on_photographs() {
    let test = "int8_costs_no_accuracy_on_photographs";
    let Some(faces) = places::shared().map(|shared| shared.join("data/faces")) else {
        return common::skip(test, "shared", "no folder of test data");
    };
    let models = [defaults::DETECTOR.file, defaults::EMBEDDER.file].map(places::model);
    let [Some(detector), Some(embedder)] = models else {
        return common::skip(test, "models", "the default models are not in the cache folder");
    };
    let mut bench = Bench::new(faces.clone(), &detector, &embedder);
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let calibration = Calibration::sface_128();
    let [mut mated, mut non_mated] = [Scores::default(), Scores::default()];
    let table = fs::read_to_string(faces.join("pairs.csv")).expect("a table of data/faces");
    for line in table.lines().skip(1) {
        let [a, b, same, ..] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        for file in [a, b] {
            if !seen.contains_key(file) {
                let found = bench.see(file);
                seen.insert(file.to_owned(), found);
            }
        }
        let scores = if same == "1" { &mut mated } else { &mut non_mated };
        let float = bench::cosine(&seen[a].embedding, &seen[b].embedding);
        scores.push(&calibration, float, [&seen[a].template, &seen[b].template]);
    }
    let rows = calibration.thresholds();
    side_by_side("photographs", rows, [&non_mated, &mated]);
    // One pair in 10,000 is none of these: every decision is the same.
    for scores in [&non_mated, &mated] {
        for row in rows {
            let [.., lost, gained] = scores.matches(f64::from(row.similarity));
            assert_eq!((lost, gained), (0, 0), "threshold {}", row.similarity);
        }
    }
}
