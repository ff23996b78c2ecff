//! Real photographs through the library: decode, find, align, embed, compare; held against the
//! reference figures of data/faces, and against onnxruntime on identical tensors.
//!
//! The reference figures come from another JPEG decoder, another area interpolation and another
//! network runtime, so they are met within tolerances; on identical tensors the tolerance is that
//! of float arithmetic.

#![allow(clippy::print_stdout, reason = "measured figures, shown by --nocapture")]

#[path = "real_faces/bench.rs"]
mod bench;
mod common;
#[path = "common/places.rs"]
mod places;

use std::{collections::HashMap, fs, path::Path, process::Command};

use bench::{Bench, Seen};
use portcullis::{
    accuracy::{Report, Sample},
    face::{Detector, Face, FaceRules, quality},
    model::{Calibration, defaults},
    ops,
    types::CaptureFact,
};

/// Tables of data/faces, and everything that is needed to repeat them.
struct Setup {
    bench: Bench,
    detections: Vec<Detection>,
    pairs: Vec<Pair>,
}

struct Detection {
    file: String,
    faces: usize,
    score: f32,
    rect: [f32; 4],
    landmarks: [[f32; 2]; 5],
}

struct Pair {
    files: [String; 2],
    same: bool,
    reference: f64,
}

/// What the tests need, or the skip that says what is missing.
fn setup(test: &str) -> Option<Setup> {
    let Some(faces) = places::shared().map(|shared| shared.join("data/faces")) else {
        common::skip(test, "shared", "no folder of test data");
        return None;
    };
    let models = [defaults::DETECTOR.file, defaults::EMBEDDER.file].map(places::model);
    let [Some(detector), Some(embedder)] = models else {
        common::skip(test, "models", "the default models are not in the cache folder");
        return None;
    };
    let bench = Bench::new(faces.clone(), &detector, &embedder);
    let (detections, pairs) = (read_detections(&faces), read_pairs(&faces));
    Some(Setup { bench, detections, pairs })
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).expect("a table of data/faces");
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn read_detections(faces: &Path) -> Vec<Detection> {
    let read = |row: Vec<String>| {
        let number = |column: usize| row[column].parse::<f32>().expect("a number");
        Detection {
            file: row[0].clone(),
            faces: row[3].parse().expect("a count"),
            score: number(4),
            rect: [5, 6, 7, 8].map(number),
            landmarks: [9, 11, 13, 15, 17].map(|column| [number(column), number(column + 1)]),
        }
    };
    rows(&faces.join("detections.csv")).into_iter().map(read).collect()
}

fn read_pairs(faces: &Path) -> Vec<Pair> {
    let read = |row: Vec<String>| Pair {
        files: [row[0].clone(), row[1].clone()],
        same: row[2] == "1",
        reference: row[3].parse().expect("a score"),
    };
    rows(&faces.join("pairs.csv")).into_iter().map(read).collect()
}

fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let along = |axis: usize| {
        let end = (a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]);
        (end - a[axis].max(b[axis])).max(0.0)
    };
    let shared = along(0) * along(1);
    shared / (a[2] * a[3] + b[2] * b[3] - shared)
}

/// The largest distance between landmarks of one face and another.
fn landmarks_apart(a: &[[f32; 2]; 5], b: &[[f32; 2]; 5]) -> f32 {
    let apart = a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]));
    apart.fold(0.0, f32::max)
}

#[test]
fn photographs_give_the_reference_faces_and_scores() {
    let Some(mut setup) = setup("photographs_give_the_reference_faces_and_scores") else { return };
    let mut seen = HashMap::new();
    for detection in &setup.detections {
        let face = setup.bench.see(&detection.file);
        check_face(detection, &face);
        seen.insert(detection.file.clone(), face);
    }
    assert_eq!(seen.len(), 25);
    check_pairs(&setup.pairs, &seen);
}

/// Box, landmarks and confidence against detections.csv; select and judge take every photograph.
fn check_face(wanted: &Detection, seen: &Seen) {
    let Seen { faces, face, quality, .. } = seen;
    let file = &wanted.file;
    assert_eq!(faces.len(), wanted.faces, "{file}");
    let shared = overlap(&face.rect_px, &wanted.rect);
    assert!(shared >= 0.98, "{file}: boxes overlap by {shared} only");
    let apart = landmarks_apart(&face.landmarks_px, &wanted.landmarks) / face.inter_eye_px();
    assert!(apart <= 0.02, "{file}: landmarks are {apart} eye distances apart");
    assert!((face.confidence - wanted.score).abs() < 0.002, "{file}: {}", face.confidence);
    let usable = quality::judge(quality, &FaceRules::still());
    assert_eq!(usable, CaptureFact::Usable, "{file}: {quality:?}");
    println!("{file}: boxes overlap by {shared:.4}, landmarks {apart:.4} apart, {quality:?}");
}

/// Scores against pairs.csv, as float cosines and as templates; every pair right at FMR 1e-4.
fn check_pairs(pairs: &[Pair], seen: &HashMap<String, Seen>) {
    let calibration = Calibration::sface_128();
    let threshold = calibration.threshold(1e-4).expect("the shipped table reaches 1e-4");
    let (mut floats, mut templates) = (Gap::default(), Gap::default());
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for Pair { files, same, reference } in pairs {
        let [a, b] = [&seen[&files[0]], &seen[&files[1]]];
        floats.add(bench::cosine(&a.embedding, &b.embedding), *reference);
        let score = ops::score::score(a.template.values(), b.template.values());
        let similarity = f64::from(score.similarity(calibration.scale()));
        templates.add(similarity, *reference);
        assert_eq!(score >= threshold.score, *same, "{files:?}: {similarity}, {reference}");
        if *same { genuine.push(similarity) } else { impostor.push(similarity) }
    }
    println!("float cosines: {floats:?}; templates: {templates:?}");
    for (name, gap) in [("float cosines", floats), ("templates", templates)] {
        assert!(gap.mean() <= 0.01, "{name}: {gap:?}");
        assert!(gap.worst <= 0.03, "{name}: {gap:?}");
    }
    let lowest = genuine.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = impostor.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!((lowest - 0.589).abs() <= 0.03, "least genuine score {lowest}");
    assert!((highest - 0.361).abs() <= 0.03, "greatest impostor score {highest}");
    check_report(genuine, impostor, f64::from(threshold.similarity));
}

fn check_report(genuine: Vec<f64>, impostor: Vec<f64>, threshold: f64) {
    let sample = Sample::new(genuine, impostor, Default::default()).expect("finite scores");
    let report = Report::new("data/faces", &sample, &[(1e-4, threshold)], None);
    println!("{report}");
    assert_eq!((report.genuine, report.impostor), (38, 262));
    assert_eq!(report.equal_error.expect("both kinds").rate, 0.0);
    // 262 comparisons do not even reach the rule of 3 for 1e-2.
    assert!(report.at_fmr.iter().all(|row| row.found.is_none()));
}

/// Differences of scores from their references.
#[derive(Debug, Default, Clone, Copy)]
struct Gap {
    sum: f64,
    count: f64,
    worst: f64,
}

impl Gap {
    fn add(&mut self, found: f64, wanted: f64) {
        let gap = (found - wanted).abs();
        self.sum += gap;
        self.count += 1.0;
        self.worst = self.worst.max(gap);
    }

    fn mean(self) -> f64 {
        self.sum / self.count
    }
}

#[test]
fn on_identical_tensors_boxes_and_landmarks_are_those_of_onnxruntime() {
    let test = "on_identical_tensors_boxes_and_landmarks_are_those_of_onnxruntime";
    let Some(mut setup) = setup(test) else { return };
    let Some(python) = places::python() else {
        return common::skip(test, "onnxruntime", "PORTCULLIS_PYTHON names no Python");
    };
    // One with a face that fills it, one progressive, one with a small face: three are enough here.
    let files = ["img1.jpg", "img12.jpg", "img14.jpg"];
    let tensors: Vec<Vec<f32>> = files.iter().map(|file| setup.bench.fitted(file)).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tensors.f32");
    fs::write(&path, bytemuck::cast_slice(&tensors.concat())).expect("the tensors are written");
    let model = places::model(defaults::DETECTOR.file).expect("the setup found it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/yunet_decode.py");
    let answer = Command::new(python)
        .args([&script, &model, &path])
        .args(["640", "640"])
        .output()
        .expect("Python runs");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let answer = String::from_utf8(answer.stdout).expect("text");
    assert_eq!(answer.lines().count(), files.len());
    for ((file, tensor), line) in files.iter().zip(&tensors).zip(answer.lines()) {
        let wanted: Vec<Found> = serde_json::from_str(line).expect("a list of faces");
        check_identical(file, &setup.bench.detect_tensor(tensor), &wanted);
    }
}

/// A face as the Python script prints it.
#[derive(serde::Deserialize)]
struct Found {
    score: f32,
    #[serde(rename = "box")]
    rect: [f32; 4],
    landmarks: [f32; 10],
}

fn check_identical(file: &str, found: &[Face], wanted: &[Found]) {
    assert!(!wanted.is_empty(), "{file}: onnxruntime finds no face");
    assert_eq!(found.len(), wanted.len(), "{file}");
    for wanted in wanted {
        let near = |face: &&Face| overlap(&face.rect_px, &wanted.rect) > 0.9;
        let face = found.iter().find(near).expect("the same face");
        for (found, wanted) in face.rect_px.iter().zip(wanted.rect) {
            assert!((found - wanted).abs() <= 0.01, "{file}: box {found}, wanted {wanted}");
        }
        for (found, wanted) in face.landmarks_px.as_flattened().iter().zip(wanted.landmarks) {
            assert!((found - wanted).abs() <= 0.05, "{file}: landmark {found}, wanted {wanted}");
        }
        assert!((face.confidence - wanted.score).abs() <= 1e-4, "{file}: {}", face.confidence);
    }
}

#[test]
fn the_default_detector_is_recognised_and_the_embedder_is_not() {
    let Some(setup) = setup("the_default_detector_is_recognised_and_the_embedder_is_not") else {
        return;
    };
    let [detector, embedder] = setup.bench.programs();
    assert!(Detector::for_program(detector).is_ok());
    let refused = Detector::for_program(embedder).expect_err("an embedder finds no faces");
    assert!(refused.to_string().contains("multiples of 32"), "{refused}");
}
