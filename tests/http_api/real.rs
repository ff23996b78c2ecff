//! Accuracy through the whole product: photographs over HTTP in, decisions out.

use std::{collections::BTreeMap, fs, sync::Arc};

use portcullis::{
    appliance::Appliance,
    config::{AttackDetection, Config, CustodianName, Environment},
    http::Access,
    model::defaults,
    types::Role,
};

use crate::{
    common,
    dg2::{ENCODINGS, dg2},
    harness::{Server, caller, world},
    jpeg2000::Jpeg2000,
    places,
};

#[test]
fn every_labelled_pair_is_answered_right_at_fmr_1e_4() {
    let test = "every_labelled_pair_is_answered_right_at_fmr_1e_4";
    let Some(faces) = places::shared().map(|shared| shared.join("data/faces")) else {
        return common::skip(test, "shared", "no folder of test data");
    };
    let models = [defaults::DETECTOR.file, defaults::EMBEDDER.file].map(places::model);
    let [Some(detector), Some(_embedder)] = models else {
        return common::skip(test, "models", "the default models are not in the cache folder");
    };
    let cache = detector.parent().and_then(|models| models.parent()).expect("a cache folder");
    let scratch = tempfile::tempdir().expect("a folder");
    let server = start(cache, scratch.path());

    // Each photograph is a probe against up to eight references at once: 300 pairs in few requests.
    let text = fs::read_to_string(faces.join("pairs.csv")).expect("pairs.csv");
    let mut by_probe: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        by_probe.entry(fields[0]).or_default().push((fields[1], fields[2] == "1"));
    }
    let read = |name: &str| fs::read(faces.join(name)).expect("a photograph");
    let (mut pairs, mut wrong) = (0, Vec::new());
    for (probe, references) in &by_probe {
        for some in references.chunks(4) {
            let photographs: Vec<_> = some.iter().map(|(name, _)| read(name)).collect();
            let probe_bytes = read(probe);
            let mut fields: Vec<(&str, &[u8])> =
                vec![("purpose", b"evaluation"), ("probe", &probe_bytes)];
            fields.extend(photographs.iter().map(|bytes| ("reference", bytes.as_slice())));
            let decision = server.post_form("/v1/verify", &fields).ok(200);
            assert_eq!(decision["threshold"]["fmr"], 1e-4);
            for (at, &(name, same)) in some.iter().enumerate() {
                pairs += 1;
                let row = &decision["comparisons"][at];
                if row["decision"] != if same { "match" } else { "no-match" } {
                    wrong.push(format!("{probe} {name} same={same}: {row}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {pairs} pairs: {wrong:#?}", wrong.len());
    assert_eq!(pairs, 300);
}

/// The worked example of Doc 9303 shows letters; so does a document that this test writes.
#[test]
fn a_document_without_a_face_says_so() {
    let test = "a_document_without_a_face_says_so";
    let models = [defaults::DETECTOR.file, defaults::EMBEDDER.file].map(places::model);
    let [Some(detector), Some(_embedder)] = models else {
        return common::skip(test, "models", "the default models are not in the cache folder");
    };
    let cache = detector.parent().and_then(|models| models.parent()).expect("a cache folder");
    let scratch = tempfile::tempdir().expect("a folder");
    let server = start(cache, scratch.path());
    let bars = Jpeg2000::colour(148, 70).file(|x, _, _| if x % 20 < 6 { 20 } else { 230 });
    let mut documents = ENCODINGS.map(|encoding| dg2(encoding, &[&bars])).to_vec();
    let shared = places::shared().map(|shared| shared.join("data"));
    match &shared {
        Some(data) => {
            let example = data.join("dg2/gmrtd/ICAO9303p10_worked_example_DG2.bin");
            documents.push(fs::read(example).expect("the worked example"));
        }
        None => common::skip(test, "shared", "the worked example of Doc 9303 is not there"),
    }
    for document in &documents {
        let fields: [(&str, &[u8]); 3] =
            [("purpose", b"evaluation"), ("probe", &bars), ("dg2", document)];
        let decision = server.post_form("/v1/verify", &fields).ok(200);
        assert_eq!(decision["comparisons"][0]["status"], "no-face", "{decision:#}");
        assert_eq!(decision["comparisons"][0]["decision"], "not-compared");
        let reasons = decision["reasons"].as_array().expect("reasons");
        let told = reasons.iter().any(|reason| reason["code"] == "NO_FACE_IN_REFERENCE");
        assert!(told, "{decision:#}");
    }
}

fn start(cache: &std::path::Path, scratch: &std::path::Path) -> Server {
    let mut config = Config::default();
    config.policy.attack_detection = AttackDetection::NotRequired;
    config.gallery.custodian = CustodianName::Memory;
    config.audit.path = scratch.join("audit.jsonl");
    config.limits.deadline_ms = 60_000; // a busy machine is not what is tested
    let cache = cache.to_str().expect("a readable path");
    let environment = Environment::of(&[("PORTCULLIS_CACHE", cache)]);
    let world = world();
    let appliance = Appliance::start(&config, &environment, world.clone()).expect("models load");
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    Server::with_service(access, &config.limits, &world, Some(Arc::new(appliance)))
}
