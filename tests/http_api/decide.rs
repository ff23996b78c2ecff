//! Decisions: what matches, what does not, and everything an answer carries.

use std::{slice::from_ref, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    dg2::{Encoding, dg2},
    gates,
    harness::{Server, Setup, caller, face, image, picture, verify_body},
    scene::Shows,
    site::refused,
};
use portcullis::{http::Access, policy::AttackRule, types::Role};

#[test]
fn a_match_is_admitted_and_everything_is_said() {
    let server = Server::start(Setup::default());
    let body = verify_body(&face(1), &[image(&face(1)), image(&face(2))]);
    let answer = server.post_json("/v1/verify", &body);
    let decision = answer.ok(200);
    assert!(answer.head.contains("connection: close"), "a face leaves no connection behind");
    let rows = decision["comparisons"].as_array().expect("comparisons");
    assert_eq!((&rows[0]["decision"], &rows[1]["decision"]), (&json!("match"), &json!("no-match")));
    assert_eq!((&rows[0]["reference"], &rows[1]["reference"]), (&json!(0), &json!(1)));
    assert_eq!(rows[0]["status"], "usable");
    assert!(rows[0]["similarity"].as_f64().expect("a similarity") > 0.98, "{}", rows[0]);
    assert!(rows[0]["score"].is_i64());
    let threshold = &rows[0]["threshold"];
    assert_eq!(threshold["fmr"], 1e-4);
    assert!(
        threshold["basis"].as_str().expect("a basis").contains("Labeled Faces in the Wild"),
        "{threshold}"
    );
    assert!(!decision["reasons"].as_array().expect("reasons").is_empty());
    assert_eq!(decision["transaction"].as_str().expect("an id").len(), 32);
    assert_eq!(decision["attack"], json!({ "performed": false, "score": null }));
    assert_eq!(decision["probe"]["status"], "usable");
    assert!(decision["probe"]["face"]["interEyePx"].as_f64().expect("a distance") > 30.0);
    for stage in [
        "slotsUs",
        "captureUs",
        "batchUs",
        "detectUs",
        "attackUs",
        "embedUs",
        "handoverUs",
        "searchUs",
        "decideUs",
    ] {
        assert!(decision["spent"][stage].is_u64(), "{stage}");
    }
}

#[test]
fn bsi_tcn_a_third_country_national_is_compared_with_a_second_reference_too() {
    let server = Server::start(Setup::default());
    let ask = |references: &[Value], third_country: bool| {
        let mut body = verify_body(&face(1), references);
        body["purpose"] = json!("border-control");
        body["thirdCountryNational"] = json!(third_country);
        server.post_json("/v1/verify", &body)
    };
    let (same, other) = (image(&face(1)), image(&face(2)));
    let chip = dg2(Encoding::Iso19794, &[&face(1), &face(1)]);
    let chip = json!({ "dg2": STANDARD.encode(chip) });
    for alone in [from_ref(&same), from_ref(&chip), &[chip.clone(), chip.clone()]] {
        refused(&ask(alone, true), "SECOND_REFERENCE_MISSING");
    }
    assert_eq!(ask(from_ref(&same), false).ok(200)["outcome"], "admit");
    assert_eq!(ask(&[same.clone(), same.clone()], true).ok(200)["outcome"], "admit");
    let differs = ask(&[same.clone(), other], true).ok(200);
    assert_eq!(
        (&differs["outcome"], &differs["comparisons"][1]["decision"]),
        (&json!("refer"), &json!("no-match"),)
    );
    let (probe, said) =
        (face(1), [("purpose", "border-control"), ("thirdCountryNational", "true")]);
    let said = said.map(|(name, value)| (name, value.as_bytes()));
    let form = [("probe", &probe[..]), ("reference", &probe), said[0], said[1]];
    refused(&server.post_form("/v1/verify", &form), "SECOND_REFERENCE_MISSING");
    let gate = Server::start(gates::setup());
    let open = json!({
        "transactionId": gates::id(1), "purpose": "border-control", "references": [same],
        "thirdCountryNational": true,
    });
    refused(&gate.post_json(gates::GATE, &open), "SECOND_REFERENCE_MISSING");
}

#[test]
fn one_reference_decides_by_itself() {
    let server = Server::start(Setup::default());
    let same = server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))])).ok(200);
    assert_eq!(same["outcome"], "admit", "{same:#}");
    let other = server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(2))])).ok(200);
    assert_eq!(other["outcome"], "refer", "{other:#}");
    let nobody = picture(Shows::Nobody, 0);
    let nobody = server.post_json("/v1/verify", &verify_body(&nobody, &[image(&face(2))])).ok(200);
    assert_eq!(nobody["outcome"], "retry", "{nobody:#}");
    assert_eq!(nobody["comparisons"][0]["decision"], "not-compared");
}

#[test]
fn fv_11_an_officer_hears_whether_somebody_enrolled_matched_and_not_how_near() {
    let access = Access::Loopback([Role::Operator, Role::Officer].map(caller).to_vec());
    let server = Server::start(Setup { access, ..Setup::default() });
    let body = json!({ "gallery": "flight", "purpose": "boarding" });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = json!({ "images": [image(&face(1))], "purpose": "boarding" });
    let enrolled = server.post_json("/v1/galleries/flight/subjects", &enrol).ok(201);
    let subject = json!({ "gallery": "flight", "subject": enrolled["subject"] });
    let told = server.post_json("/v1/verify", &verify_body(&face(1), &[subject])).ok(200);
    assert_eq!((&told["outcome"], &told["comparisons"]), (&json!("admit"), &json!([])));
    // A picture that the officer holds is the officer's own.
    let told = server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))])).ok(200);
    assert_eq!(told["comparisons"].as_array().map(Vec::len), Some(1));
}

#[test]
fn forms_decide_as_json_does() {
    let server = Server::start(Setup::default());
    let (probe, reference) = (face(3), face(3));
    let fields: [(&str, &[u8]); 4] = [
        ("purpose", b"border-control"),
        ("probe", &probe),
        ("reference", &reference),
        ("reference", &reference),
    ];
    let decision = server.post_form("/v1/verify", &fields).ok(200);
    assert_eq!(decision["outcome"], "admit");
    assert_eq!(decision["comparisons"].as_array().expect("two").len(), 2);
}

#[test]
fn without_attack_detection_an_egate_admits_nobody() {
    let server = Server::start(Setup { attack: AttackRule::Required, ..Setup::default() });
    let body = verify_body(&face(1), &[image(&face(1))]);
    let decision = server.post_json("/v1/verify", &body).ok(200);
    assert_eq!(decision["outcome"], "refer", "{decision:#}");
    assert_eq!(decision["comparisons"][0]["decision"], "match");
}

#[test]
fn a_stage_that_fails_refers_and_the_next_traveller_passes() {
    let server = Server::start(Setup::default());
    for shows in Shows::FAULTS {
        let body = verify_body(&picture(shows, 1), &[image(&face(1))]);
        let decision = server.post_json("/v1/verify", &body).ok(200);
        assert_eq!(decision["outcome"], "refer", "{shows:?}: {decision:#}");
        let next = server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))]));
        assert_eq!(next.ok(200)["outcome"], "admit", "after {shows:?}");
    }
}

#[test]
fn two_at_once_do_not_mix() {
    let server = Server::start(Setup::default());
    thread::scope(|scope| {
        for person in 1..=8 {
            let server = &server;
            scope.spawn(move || {
                let reference = if person % 2 == 0 { person } else { person + 100 };
                let body = verify_body(&face(person), &[image(&face(reference))]);
                let decision = server.post_json("/v1/verify", &body).ok(200);
                let expected = if person % 2 == 0 { "admit" } else { "refer" };
                assert_eq!(decision["outcome"], expected, "person {person}");
            });
        }
    });
}

#[test]
fn what_happened_is_counted() {
    let server = Server::start(Setup::default());
    server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))])).ok(200);
    server.post("/v1/verify", "text/plain", b"hello").problem(415, "CONTENT_TYPE_UNSUPPORTED");
    let metrics = server.get("/metrics");
    let text = String::from_utf8(metrics.body).expect("text");
    assert!(text.contains("portcullis_outcomes_total{outcome=\"admit\"} 1"), "{text}");
    let refused = "portcullis_refusals_total{code=\"CONTENT_TYPE_UNSUPPORTED\"} 1";
    assert!(text.contains(refused), "{text}");
    assert!(
        text.contains("portcullis_stage_seconds_count{stage=\"embed\",lane_kind=\"request\"} 1"),
        "{text}"
    );
}
