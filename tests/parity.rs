//! Parity: every network on every backend against onnxruntime, on identical fresh inputs.
//!
//! `tests/parity/generate.py` draws networks of the ArcFace family and inputs from one seed, and
//! writes what onnxruntime says; here the same files go through the loader and every backend of
//! [`FACTORIES`], two items at a time. The seed is printed; `PORTCULLIS_SEED` repeats a run.
//! `PORTCULLIS_PYTHON` names an interpreter with tests/parity/requirements.txt installed.

#![allow(clippy::print_stdout, reason = "a seed that is not shown cannot be repeated")]

#[path = "parity/attack.rs"]
mod attack;
mod common;
#[path = "common/models.rs"]
mod models;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use portcullis::{
    backend::{Backend, FACTORIES, Wish},
    model::{self, defaults},
    ops::program::{ChannelOrder, Feed, Program, Shape},
    random::{SystemEntropy, random_id},
};
use serde::Deserialize;

/// Least cosine of an output on the reference backend.
const COSINE_REFERENCE: f64 = 0.99999;
/// Least cosine of an output on any other backend.
const COSINE_FAST: f64 = 0.9999;
/// Largest relative difference in length: a cosine does not see a wrong scale.
const LENGTH_WITHIN: f64 = 1e-3;

/// Files of the shared folder: what its inputs are divided by, and the key of a skip. The 512-d
/// embedder of MODELS.md comes from an npm package and lies there only where somebody put it.
const SHARED: [(&str, &str, &str); 5] = [
    ("data/models/face_detection_yunet_2023mar.onnx", "1", "shared"),
    ("data/models/minifasnet_v2_2.7_80x80.onnx", "1", "shared"),
    ("data/models/minifasnet_v1se_4.0_80x80.onnx", "1", "shared"),
    ("data/models/mp_face_landmark_192.onnx", "255", "shared"),
    ("data/models/fr_feature.onnx", "128", "fr_feature"),
];

#[derive(Deserialize)]
struct Entry {
    name: String,
    file: PathBuf,
    inputs: Vec<PathBuf>,
    input_dims: Vec<usize>,
    outputs: Vec<Vec<Answer>>,
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    dims: Vec<usize>,
    file: PathBuf,
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("the generator wrote it");
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{} holds float32", path.display());
    values.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

/// Channel by channel to position by position.
fn positioned(values: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { h, w, c } = shape;
    let places = h * w;
    (0..values.len()).map(|at| values[at % c * places + at / c]).collect()
}

/// The interpreter that has onnxruntime, or a counted skip.
fn python(test: &str) -> Option<OsString> {
    let python = env::var_os("PORTCULLIS_PYTHON");
    if python.is_none() {
        common::skip(test, "onnxruntime", "PORTCULLIS_PYTHON names no interpreter");
    }
    python
}

/// The seed of this run, printed.
fn seed() -> OsString {
    let seed = env::var_os("PORTCULLIS_SEED").unwrap_or_else(|| {
        let [first, second, third, fourth, ..] = random_id(&SystemEntropy);
        u32::from_le_bytes([first, second, third, fourth]).to_string().into()
    });
    println!("PORTCULLIS_SEED={}", seed.display());
    seed
}

/// Draws, asks onnxruntime, and gives what it wrote; `None` after a counted skip.
fn generate(test: &str, out: &Path) -> Option<Vec<Entry>> {
    let (python, seed) = (python(test)?, seed());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/generate.py");
    let mut command = Command::new(python);
    command.arg(script).arg(out).arg("--seed").arg(seed);
    if env::var_os("PORTCULLIS_LONG").is_some_and(|long| long == "1") {
        command.arg("--long");
    }
    for default in [&defaults::DETECTOR, &defaults::EMBEDDER] {
        if let Some((path, _)) = models::cached(test, default) {
            command.arg("--model").arg(path);
        }
    }
    for (below, scale, key) in SHARED {
        match models::shared(below) {
            Some(path) => {
                let mut argument = path.into_os_string();
                argument.push(":");
                argument.push(scale);
                command.arg("--model").arg(argument);
            }
            None => common::skip(test, key, &format!("{below} is not there")),
        }
    }
    let status = command.status().expect("PORTCULLIS_PYTHON can be started");
    assert!(status.success(), "the generator failed: {status}; are its requirements installed?");
    let manifest = std::fs::read(out.join("manifest.json")).expect("the generator wrote it");
    Some(serde_json::from_slice(&manifest).expect("the generator's own format"))
}

#[test]
fn every_network_on_every_backend_says_what_onnxruntime_says() {
    let test = "every_network_on_every_backend_says_what_onnxruntime_says";
    let out = tempfile::tempdir().expect("a temporary folder");
    let Some(entries) = generate(test, out.path()) else { return };
    let mut failures = Vec::new();
    for entry in &entries {
        let bytes = std::fs::read(&entry.file).expect("a model file");
        let program = model::load(&bytes, &entry.name, ChannelOrder::Rgb, None);
        let program = program.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        for factory in FACTORIES {
            let wish = Wish { threads: 2, adapter: "", by_name: true };
            let backend = match (factory.make)(&wish) {
                Ok(backend) => backend,
                Err(unavailable) => {
                    common::skip(test, factory.name, &unavailable.to_string());
                    continue;
                }
            };
            let least = if factory.name == "reference" { COSINE_REFERENCE } else { COSINE_FAST };
            let worst = compare(&*backend, &program, entry, out.path());
            println!("{:10} {:45} {worst}", factory.name, entry.name);
            if worst.cosine < least || worst.length > LENGTH_WITHIN {
                failures.push(format!("{} on {}: {worst}", entry.name, factory.name));
            }
        }
    }
    assert!(failures.is_empty(), "beyond tolerance:\n{}", failures.join("\n"));
}

/// The output that differs most.
struct Worst {
    output: String,
    cosine: f64,
    length: f64,
}

impl std::fmt::Display for Worst {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { output, cosine, length } = self;
        write!(f, "worst output {output}: 1 - cosine {:.1e}, length {length:.1e}", 1.0 - cosine)
    }
}

fn compare(backend: &dyn Backend, program: &Program, entry: &Entry, out: &Path) -> Worst {
    let input = program.shape(program.input);
    assert_eq!(entry.input_dims, [1, input.c, input.h, input.w]);
    let items: Vec<Vec<f32>> =
        entry.inputs.iter().map(|file| positioned(&floats(&out.join(file)), input)).collect();
    let feeds: Vec<_> = items.iter().map(|item| Feed::Tensor(item)).collect();
    let mut network = backend.load(program, feeds.len()).expect("the program is sound");
    network.run(&feeds).expect("the feeds are the input's size");
    let mut worst = Worst { output: String::new(), cosine: 1.0, length: 0.0 };
    for (item, answers) in entry.outputs.iter().enumerate() {
        assert_eq!(answers.len(), program.outputs.len());
        for (index, answer) in answers.iter().enumerate() {
            let output = &program.outputs[index];
            assert_eq!(output.name, answer.name);
            let shape = program.shape(output.buffer);
            let mut expected = floats(&out.join(&answer.file));
            if answer.dims == [1, shape.c, shape.h, shape.w] {
                expected = positioned(&expected, shape);
            }
            let (cosine, length) = distance(network.output(index, item), &expected);
            if cosine < worst.cosine || worst.output.is_empty() {
                worst = Worst { output: answer.name.clone(), cosine, length: worst.length };
            }
            worst.length = worst.length.max(length);
        }
    }
    worst
}

/// Cosine and relative difference in length.
fn distance(held: &[f32], expected: &[f32]) -> (f64, f64) {
    assert_eq!(held.len(), expected.len());
    let dot = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(&one, &other)| f64::from(one) * f64::from(other)).sum()
    };
    let (length, wanted) = (dot(held, held).sqrt(), dot(expected, expected).sqrt());
    (dot(held, expected) / (length * wanted), (length - wanted).abs() / wanted)
}
