//! Real networks through the whole appliance, over photographs and over simulated prints and
//! replays of them. What is shown: the score comes from the compared frame, is graded, is recorded,
//! and decides; a print matches its face all the same, so that nothing else stands between it and
//! the gate. What is not shown: any error rate. The simulation is no attack, photographs are no
//! living people, and neither was chosen by anybody who tests detectors.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use portcullis::{
    appliance::{Appliance, World},
    command::{Answer, Command, Decision, EncodedImage, ReferenceSource, Request, Service},
    config::{AttackDetectorName, AttackNetworkFile, Config, CustodianName, Environment},
    document::image,
    meter::Meter,
    model::defaults::{self, MINIFASNET},
    random::SystemEntropy,
    time::SystemClock,
    types::{Attack, Caller, CaptureFact, Frame, Outcome, Purpose, Role},
};

use crate::{
    common, places,
    png::{Png, RGB},
    presented::{Presented, presented, reduced},
};

/// Photographs of data/faces with something around the face.
const PHOTOGRAPHS: [&str; 6] =
    ["img1.jpg", "img3.jpg", "img10.jpg", "img11.jpg", "img12.jpg", "img20.jpg"];
/// Longest edge of a frame: what a camera of a gate delivers, and quick to compute.
const EDGE_PX: u32 = 640;

/// A gate with the published detector, and the photographs; or the skip that says what is missing.
fn gate(test: &str, scratch: &Path) -> Option<(Appliance, Vec<Frame>)> {
    let Some(data) = places::shared().map(|shared| shared.join("data")) else {
        common::skip(test, "shared", "no folder of test data");
        return None;
    };
    let models = [defaults::DETECTOR.file, defaults::EMBEDDER.file].map(places::model);
    let [Some(detector), Some(embedder)] = models else {
        common::skip(test, "models", "the default models are not in the cache folder");
        return None;
    };
    let mut config = Config::default();
    config.models.detector = detector;
    config.models.embedder = embedder;
    config.attack.detector = AttackDetectorName::Listed;
    config.attack.network = MINIFASNET
        .iter()
        .map(|known| AttackNetworkFile {
            file: data.join("models").join(known.model.file),
            scale: known.scale,
            bona_fide: known.bona_fide,
            sha256: known.model.sha256.to_string(),
        })
        .collect();
    config.gallery.custodian = CustodianName::Memory;
    config.audit.path = scratch.join("audit.jsonl");
    config.limits.deadline_ms = 60_000; // a busy machine is not what is tested
    let world = World {
        clock: Arc::new(SystemClock::start()),
        entropy: Arc::new(SystemEntropy),
        meter: Arc::new(Meter::new()),
    };
    let appliance =
        Appliance::start(&config, &Environment::default(), world).expect("the networks load");
    let photographs = PHOTOGRAPHS.map(|name| {
        let bytes = fs::read(data.join("faces").join(name)).expect("a photograph");
        reduced(image::decode(&bytes).expect("a photograph").view(), EDGE_PX)
    });
    Some((appliance, photographs.into()))
}

fn encoded(frame: &Frame) -> EncodedImage {
    let view = frame.view();
    let rows = view.pixels().chunks(view.width_px() as usize * 3).map(<[u8]>::to_vec);
    let rows: Vec<_> = rows.collect();
    let png = Png::new(view.width_px(), view.height_px(), 8, RGB, false);
    EncodedImage::new(png.rows(&rows).end())
}

/// A presentation, verified against the photograph that it shows.
fn verify(appliance: &Appliance, probe: &Frame, reference: &Frame) -> Decision {
    let caller = Caller { role: Role::Gate, client: "gate-1".parse().expect("a name") };
    let references = vec![ReferenceSource::Image(encoded(reference))];
    let request = Request {
        callers: vec![caller],
        purpose: Purpose::BorderControl,
        deadline_ms: None,
        command: Command::Verify {
            probe: encoded(probe),
            references,
            third_country: false,
            fmr: None,
        },
    };
    match appliance.execute(request).expect("a decision") {
        Answer::Decision(decision) => *decision,
        _ => panic!("a verification is decided"),
    }
}

fn score(decision: &Decision) -> f32 {
    assert_eq!(decision.probe, CaptureFact::Usable, "a face that is judged is usable");
    match decision.attack {
        Attack::Score(score) => score,
        Attack::NotPerformed => panic!("the detector ran"),
    }
}

#[test]
fn prints_and_replays_are_scored_from_the_compared_frame() {
    let test = "prints_and_replays_are_scored_from_the_compared_frame";
    let scratch = tempfile::tempdir().expect("a folder");
    let Some((appliance, photographs)) = gate(test, scratch.path()) else { return };
    let kinds = [Presented::AsIs, Presented::Printed, Presented::Replayed];
    let mut seen = [const { Vec::new() }; 3];
    for photograph in &photographs {
        for (scores, how) in seen.iter_mut().zip(kinds) {
            let frame = presented(photograph.view(), how);
            let decision = verify(&appliance, &frame, photograph);
            let score = score(&decision);
            assert!((0.0..=1.0).contains(&score));
            assert!(decision.comparisons[0].matched, "{how:?}: the face is the reference's");
            let suspected =
                decision.verdict.reasons.iter().any(|reason| reason.code == "ATTACK_SUSPECTED");
            assert_eq!(suspected, score >= 0.5, "{how:?} {score}");
            let outcome = if suspected { Outcome::Refer } else { Outcome::Admit };
            assert_eq!(decision.verdict.outcome, outcome, "{how:?} {score}");
            scores.push(score);
        }
    }
    for (scores, how) in seen.iter().zip(kinds) {
        println!("{how:?}: {scores:.4?}");
    }
    let [as_is, printed, replayed] = &seen;
    for (at, score) in as_is.iter().enumerate() {
        let shown = [printed[at], replayed[at]];
        assert!(shown.iter().all(|held| held > score), "{}: {shown:?}", PHOTOGRAPHS[at]);
    }
    let distinct: BTreeSet<u32> = seen.iter().flatten().map(|score| score.to_bits()).collect();
    assert!(distinct.len() > 10, "a score is graded, never binary: {seen:?}");
    let audit = fs::read_to_string(scratch.path().join("audit.jsonl")).expect("an audit");
    let recorded: Vec<f32> = audit
        .lines()
        .map(|line| {
            let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
            entry["attack"].as_f64().expect("a score") as f32
        })
        .collect();
    let in_order = (0..photographs.len()).flat_map(|at| seen.iter().map(move |scores| scores[at]));
    assert_eq!(recorded, in_order.collect::<Vec<_>>());
}

#[test]
fn one_frame_has_one_score() {
    let test = "one_frame_has_one_score";
    let scratch = tempfile::tempdir().expect("a folder");
    let Some((appliance, photographs)) = gate(test, scratch.path()) else { return };
    let [one, other] = [&photographs[0], &photographs[1]];
    // The reference is not what is scored, and neither is anything of an earlier traveller.
    let first = score(&verify(&appliance, one, other));
    let between = score(&verify(&appliance, other, one));
    assert_eq!(score(&verify(&appliance, one, one)), first);
    assert_eq!(score(&verify(&appliance, other, other)), between);
    assert_ne!(first, between);
}
