//! Data group 2 as a reference: what is compared, how it is counted, and how a wrong one is told.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    dg2::{ENCODINGS, Encoding, dg2},
    harness::{Server, Setup, face, image, pixels, verify_body},
    jpeg2000::Jpeg2000,
    scene::{EDGE_PX, Shows},
};

const VERIFY: &str = "/v1/verify";

/// A photograph of the scene as a chip holds it; lossless, so that it shows exactly what it should.
pub(crate) fn photograph(shows: Shows, person: u8) -> Vec<u8> {
    let edge = EDGE_PX as usize;
    let pixels = pixels(shows, person);
    Jpeg2000::colour(edge, edge).file(|x, y, component| pixels[(y * edge + x) * 3 + component])
}

fn document(bytes: &[u8]) -> Value {
    json!({ "dg2": STANDARD.encode(bytes) })
}

#[test]
fn the_photograph_of_a_chip_is_a_reference() {
    let server = Server::start(Setup::default());
    for encoding in ENCODINGS {
        let same = dg2(encoding, &[&photograph(Shows::Face, 1)]);
        let other = dg2(encoding, &[&photograph(Shows::Face, 2)]);
        let body = verify_body(&face(1), &[document(&same)]);
        let decision = server.post_json(VERIFY, &body).ok(200);
        assert_eq!(decision["outcome"], "admit", "{decision:#}");
        // The same picture as PNG gives the same score.
        let body = verify_body(&face(1), &[document(&same), image(&face(1)), document(&other)]);
        let decision = server.post_json(VERIFY, &body).ok(200);
        let rows = decision["comparisons"].as_array().expect("comparisons");
        assert_eq!(rows[0]["score"], rows[1]["score"]);
        assert_eq!((&rows[2]["decision"], &rows[2]["reference"]), (&json!("no-match"), &json!(2)));
    }
}

#[test]
fn every_photograph_of_a_chip_is_compared_under_one_number() {
    let server = Server::start(Setup::default());
    let photographs = [2, 1, 3].map(|person| photograph(Shows::Face, person));
    let three = dg2(Encoding::Iso39794, &photographs.each_ref().map(Vec::as_slice));
    let body = verify_body(&face(1), &[image(&face(4)), document(&three)]);
    let decision = server.post_json(VERIFY, &body).ok(200);
    let rows = decision["comparisons"].as_array().expect("comparisons");
    let numbers: Vec<_> = rows.iter().map(|row| row["reference"].as_u64()).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(1), Some(1)]);
    let decisions: Vec<_> = rows.iter().map(|row| row["decision"].as_str()).collect();
    assert_eq!(decisions[2], Some("match"), "{decision:#}");
    // Each counts against what a verification takes.
    let nine = vec![photographs[0].as_slice(); 9];
    let body = verify_body(&face(1), &[document(&dg2(Encoding::Iso19794, &nine))]);
    server.post_json(VERIFY, &body).problem(422, "REFERENCES_COUNT");
    let eight = dg2(Encoding::Iso19794, &nine[..8]);
    server.post_json(VERIFY, &verify_body(&face(2), &[document(&eight)])).ok(200);
    let body = verify_body(&face(1), &[document(&eight), image(&face(1))]);
    server.post_json(VERIFY, &body).problem(422, "REFERENCES_COUNT");
}

#[test]
fn a_chip_without_a_face_is_for_a_person_to_look_at() {
    let server = Server::start(Setup::default());
    let nobody = dg2(Encoding::Iso19794, &[&photograph(Shows::Nobody, 0)]);
    let decision = server.post_json(VERIFY, &verify_body(&face(1), &[document(&nobody)])).ok(200);
    assert_eq!(decision["outcome"], "refer", "{decision:#}");
    assert_eq!(decision["reasons"][0]["code"], "NO_FACE_IN_REFERENCE");
    assert_eq!(decision["comparisons"][0]["status"], "no-face");
}

#[test]
fn every_wrong_chip_has_its_code() {
    let server = Server::start(Setup::default());
    let whole = photograph(Shows::Face, 1);
    let sound = dg2(Encoding::Iso39794, &[&whole]);
    for (name, bytes, status, code) in [
        ("nothing", Vec::new(), 422, "DOCUMENT_EMPTY"),
        ("a picture", whole.clone(), 415, "DOCUMENT_NOT_RECOGNISED"),
        ("half", sound[..sound.len() / 2].to_vec(), 422, "DOCUMENT_TRUNCATED"),
        ("no end", vec![0x75, 0x80, 0, 0], 422, "DOCUMENT_ENCODING"),
        ("half a picture", dg2(Encoding::Iso19794, &[&whole[..999]]), 422, "IMAGE_TRUNCATED"),
        ("no picture", dg2(Encoding::Iso19794, &[b"hello"]), 415, "IMAGE_KIND_UNKNOWN"),
        ("none", dg2(Encoding::Iso19794, &[]), 422, "DOCUMENT_PORTRAIT_COUNT"),
    ] {
        let body = verify_body(&face(1), &[image(&face(1)), document(&bytes)]);
        let detail = server.post_json(VERIFY, &body).problem(status, code);
        assert!(detail.starts_with("references[1]: "), "{name}: {detail}");
        let fields: [(&str, &[u8]); 3] =
            [("purpose", b"boarding"), ("probe", &face(1)), ("dg2", &bytes)];
        server.post_form(VERIFY, &fields).problem(status, code);
    }
    // Nothing is lost: every slot is free again.
    for _ in 0..20 {
        server.post_json(VERIFY, &verify_body(&face(1), &[document(&sound)])).ok(200);
    }
}
