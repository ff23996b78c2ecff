//! Accuracy through the whole product: photographs over HTTP in, decisions out.

use std::{collections::BTreeMap, fs, sync::Arc};

use portcullis::{
    appliance::Appliance,
    config::{AttackDetection, Config, Environment},
    http::Access,
    model::defaults,
    types::Role,
};

use crate::{
    common,
    harness::{Server, caller, world},
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

fn start(cache: &std::path::Path, scratch: &std::path::Path) -> Server {
    let mut config = Config::default();
    config.policy.attack_detection = AttackDetection::NotRequired;
    config.audit.path = scratch.join("audit.jsonl");
    config.limits.deadline_ms = 60_000; // a busy machine is not what is tested
    let cache = cache.to_str().expect("a readable path");
    let environment = Environment::of(&[("PORTCULLIS_CACHE", cache)]);
    let world = world();
    let appliance = Appliance::start(&config, &environment, world.clone()).expect("models load");
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    Server::with_service(access, &config.limits, &world, Some(Arc::new(appliance)))
}
