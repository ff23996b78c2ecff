//! The attack detector on every backend against the publisher's crops and onnxruntime: from the
//! frame and the face's box to the fused score.

use std::{path::PathBuf, process::Command};

use portcullis::{
    backend::{FACTORIES, Network, Wish},
    face::attack::{AttackDetector, AttackNetwork, Region, region},
    model::{self, defaults::MINIFASNET},
    ops::{
        item::ItemMut,
        program::{ChannelOrder, Feed, Program},
        warp::warp,
    },
    types::FrameView,
};
use serde::Deserialize;

use crate::{common, floats, models, python, seed};

/// Largest difference of an input value, 0 to 255: coefficients of a map are float32, and where a
/// region is enlarged its outermost half pixel is mixed with what lies beyond it.
const VALUE_WITHIN: f32 = 0.05;
/// Largest difference of a fused score.
const SCORE_WITHIN: f32 = 1e-3;

#[derive(Deserialize)]
struct Case {
    width_px: u32,
    height_px: u32,
    rect_px: [f32; 4],
    regions: Vec<[u32; 4]>,
    probabilities: Vec<Vec<f32>>,
    attack: f32,
}

/// The published networks, where they are.
fn networks(test: &str) -> Option<Vec<(Program, f64, PathBuf)>> {
    let load = |known: &model::defaults::DefaultAttackModel| {
        let path = models::shared(&format!("data/models/{}", known.model.file))?;
        let bytes = std::fs::read(&path).expect("a model file");
        known.model.accept(&bytes).expect("the published file");
        let program = model::load(&bytes, known.model.file, ChannelOrder::Bgr, None);
        Some((program.expect("the published file loads"), known.scale, path))
    };
    let found: Option<Vec<_>> = MINIFASNET.iter().map(load).collect();
    if found.is_none() {
        common::skip(test, "shared", "the attack detector's networks are not there");
    }
    found
}

#[test]
fn attack_scores_are_those_of_the_publishers_crops_and_onnxruntime() {
    let test = "attack_scores_are_those_of_the_publishers_crops_and_onnxruntime";
    let Some(python) = python(test) else { return };
    let Some(networks) = networks(test) else { return };
    let out = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/attack.py"));
    command.arg(out.path()).arg("--seed").arg(seed());
    command.args(networks.iter().map(|(_, scale, path)| format!("{}:{scale}", path.display())));
    let status = command.status().expect("PORTCULLIS_PYTHON can be started");
    assert!(status.success(), "the generator failed: {status}; are its requirements installed?");
    let manifest = std::fs::read(out.path().join("manifest.json")).expect("the generator wrote it");
    let cases: Vec<Case> = serde_json::from_slice(&manifest).expect("the generator's own format");
    let shown = networks.iter();
    let shown: Vec<_> = shown
        .map(|(program, scale, _)| AttackNetwork { program, scale: *scale, bona_fide: 1 })
        .collect();
    let detector = AttackDetector::for_networks(&shown).expect("a detector");
    for factory in FACTORIES {
        let backend = match (factory.make)(&Wish { threads: 2, adapter: "", by_name: true }) {
            Ok(backend) => backend,
            Err(unavailable) => {
                common::skip(test, factory.name, &unavailable.to_string());
                continue;
            }
        };
        let mut loaded: Vec<Box<dyn Network>> = networks
            .iter()
            .map(|(program, _, _)| backend.load(program, 1).expect("the program is sound"))
            .collect();
        let mut worst = 0.0_f32;
        for (number, case) in cases.iter().enumerate() {
            let pixels = std::fs::read(out.path().join(format!("{number}.rgb"))).expect("a frame");
            let frame = FrameView::new(&pixels, case.width_px, case.height_px).expect("a frame");
            let maps = detector.to_frame(case.rect_px, [case.width_px, case.height_px]);
            for (network, to_frame) in loaded.iter_mut().zip(maps.expect("a box")) {
                network.run(&[Feed::Warp { frame, to_frame }]).expect("a picture runs");
            }
            let score = detector.score(|network| loaded[network].output(0, 0));
            worst = worst.max((score.expect("a probability") - case.attack).abs());
        }
        println!("{:10} worst difference of {} scores: {worst:.1e}", factory.name, cases.len());
        assert!(worst <= SCORE_WITHIN, "{} differs by {worst}", factory.name);
    }
    let told: Vec<f32> = cases.iter().map(|case| case.attack).collect();
    println!("scores: {told:.3?}");
    for (number, case) in cases.iter().enumerate() {
        let pixels = std::fs::read(out.path().join(format!("{number}.rgb"))).expect("a frame");
        let frame = FrameView::new(&pixels, case.width_px, case.height_px).expect("a frame");
        check_crops(case, frame, &shown, &detector, |network| {
            floats(&out.path().join(format!("{number}.{network}.f32")))
        });
    }
}

/// Regions to the pixel, and inputs within the tolerance.
fn check_crops(
    case: &Case,
    frame: FrameView<'_>,
    networks: &[AttackNetwork<'_>],
    detector: &AttackDetector,
    expected: impl Fn(usize) -> Vec<f32>,
) {
    let frame_px = [case.width_px, case.height_px];
    let maps = detector.to_frame(case.rect_px, frame_px).expect("a box");
    for (number, network) in networks.iter().enumerate() {
        let [left, top, width, height] = case.regions[number];
        let held = region(case.rect_px, frame_px, network.scale).expect("a box");
        assert_eq!(held, Region { left, top, width, height }, "{:?}", case.rect_px);
        assert_eq!(case.probabilities[number].len(), 3);
        let shape = network.program.shape(network.program.input);
        let mut values = vec![0.0; shape.len()];
        let mut item = ItemMut::new(shape, &mut values);
        warp(frame, &maps[number], ChannelOrder::Bgr, &mut item);
        if width < shape.w as u32 || height < shape.h as u32 {
            // Its rim is mixed with what lies beyond; the score is held to the same tolerance.
            continue;
        }
        for (held, wanted) in values.iter().zip(expected(number)) {
            assert!((held - wanted).abs() <= VALUE_WITHIN, "{held} is not {wanted}");
        }
    }
}
