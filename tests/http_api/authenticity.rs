//! A document's photograph counts when the document is genuine, and opens no gate when it is not.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    document::authentication::{TrustStore, TrustStoreBuilder},
    policy::DocumentRule,
    types::{Weakness, Weaknesses},
};
use serde_json::{Value, json};

use crate::{
    dg2::{Encoding, dg2},
    documents::photograph,
    gates::{self, GATE},
    harness::{Server, Setup, face, verify_body},
    issuer::{State, revocation_list},
    scene::Shows,
};

const VERIFY: &str = "/v1/verify";
/// From 1970 to 2096: these tests run by the machine's own clock.
const ALWAYS_S: [i64; 2] = [0, 4_000_000_000];

/// A state, and a document of it with the photograph of `person`.
pub(crate) fn state(person: u8) -> State {
    let mut state = State::p256();
    (state.csca.validity_s, state.signer.validity_s) = (ALWAYS_S, ALWAYS_S);
    state.dg2 = dg2(Encoding::Iso39794, &[&photograph(Shows::Face, person)]);
    state.sod.groups[1].1 = state.dg2.clone();
    state
}

pub(crate) fn trust(state: &State) -> TrustStore {
    let mut builder = TrustStoreBuilder::default();
    let list = revocation_list(&state.csca.subject, ALWAYS_S, &[7], &state.csca_key);
    for file in [state.write_csca(), list] {
        builder.add(&file).expect("a certificate or a list");
    }
    builder.build()
}

fn server(documents: DocumentRule, trust: TrustStore) -> Server {
    Server::start(Setup { documents, trust, ..Setup::default() })
}

pub(crate) fn reference(state: &mut State) -> Value {
    let sod = state.write_sod();
    let [dg2, sod, dg1] = [&state.dg2, &sod, &state.dg1].map(|file| STANDARD.encode(file));
    json!({ "dg2": dg2, "sod": sod, "dg1": dg1 })
}

fn codes(decision: &Value) -> Vec<&str> {
    let reasons = decision["reasons"].as_array().expect("reasons");
    reasons.iter().filter_map(|reason| reason["code"].as_str()).collect()
}

#[test]
fn a_genuine_document_is_admitted_and_every_other_is_referred() {
    let mut genuine = state(1);
    let server = server(DocumentRule::Required, trust(&genuine));
    let body = verify_body(&face(1), &[reference(&mut genuine)]);
    let decision = server.post_json(VERIFY, &body).ok(200);
    assert_eq!(decision["outcome"], "admit", "{decision:#}");
    assert_eq!(
        decision["comparisons"][0]["document"],
        json!({ "verdict": "VALID", "revocation": "not-revoked", "countryCompared": true })
    );

    let mut unsigned = reference(&mut genuine);
    unsigned.as_object_mut().expect("members").remove("sod");
    let mut swapped = state(1);
    swapped.sod.groups[1].1.push(0);
    let mut revenant = state(1);
    revenant.signer.validity_s[1] = 1;
    revenant.sod.signed_s = None;
    for (reference, verdict, code) in [
        (unsigned, "NOT_CHECKED", "SOD_ABSENT"),
        (reference(&mut swapped), "INVALID", "DG2_HASH_MISMATCH"),
        (reference(&mut revenant), "INVALID", "DS_CERT_EXPIRED"),
    ] {
        let decision = server.post_json(VERIFY, &verify_body(&face(1), &[reference])).ok(200);
        assert_eq!(decision["outcome"], "refer", "{decision:#}");
        let told = &decision["comparisons"][0]["document"];
        assert_eq!(*told, json!({ "verdict": verdict, "reason": code }));
        assert_eq!(codes(&decision)[..2], ["DOCUMENT_NOT_AUTHENTICATED", code], "{decision:#}");
        assert_eq!(decision["comparisons"][0]["decision"], "match", "the face is the same");
    }
}

#[test]
fn a_form_carries_the_same() {
    let mut genuine = state(1);
    let server = server(DocumentRule::Required, trust(&genuine));
    let (sod, probe) = (genuine.write_sod(), face(1));
    let fields: [(&str, &[u8]); 5] = [
        ("purpose", b"border-control"),
        ("probe", &probe),
        ("dg2", &genuine.dg2),
        ("sod", &sod),
        ("dg1", &genuine.dg1),
    ];
    assert_eq!(server.post_form(VERIFY, &fields).ok(200)["outcome"], "admit");
    let decision = server.post_form(VERIFY, &fields[..3]).ok(200);
    assert_eq!(decision["comparisons"][0]["document"]["reason"], "SOD_ABSENT");
    let twice = [fields[0], fields[1], fields[2], fields[3], fields[3]];
    server.post_form(VERIFY, &twice).problem(400, "MULTIPART_INVALID");
}

#[test]
fn without_the_duty_only_a_false_document_objects() {
    let mut genuine = state(1);
    let server = server(DocumentRule::NotRequired, trust(&genuine));
    let mut unsigned = reference(&mut genuine);
    unsigned.as_object_mut().expect("members").remove("sod");
    let mut body = verify_body(&face(1), &[unsigned]);
    let decision = server.post_json(VERIFY, &body).ok(200);
    assert_eq!(decision["outcome"], "admit", "{decision:#}");
    // At a border it is a duty, whatever is configured.
    body["purpose"] = "border-control".into();
    let decision = server.post_json(VERIFY, &body).ok(200);
    assert_eq!(decision["outcome"], "refer", "{decision:#}");
    assert_eq!(codes(&decision)[..2], ["DOCUMENT_NOT_AUTHENTICATED", "SOD_ABSENT"]);
    let mut swapped = state(1);
    swapped.sod.groups[1].1.push(0);
    let body = verify_body(&face(1), &[reference(&mut swapped)]);
    let decision = server.post_json(VERIFY, &body).ok(200);
    assert_eq!(decision["outcome"], "refer", "{decision:#}");
}

#[test]
fn who_trusts_nobody_admits_no_document() {
    let mut genuine = state(1);
    let server = server(DocumentRule::Required, TrustStore::default());
    let body = verify_body(&face(1), &[reference(&mut genuine)]);
    let decision = server.post_json(VERIFY, &body).ok(200);
    assert_eq!(decision["outcome"], "refer", "{decision:#}");
    assert_eq!(codes(&decision)[..2], ["DOCUMENT_NOT_AUTHENTICATED", "TRUST_STORE_ABSENT"]);
}

#[test]
fn every_reservation_is_told_and_accepted_by_name() {
    let mut genuine = state(1);
    let mut lone = reference(&mut genuine);
    lone.as_object_mut().expect("members").remove("dg1");
    let body = verify_body(&face(1), &[lone]);
    let absent = Weaknesses::from(Weakness::CrlAbsent);
    let both = absent.with(Weakness::CountryNotCompared);
    for (accepted, outcome) in [(absent, "refer"), (both, "admit")] {
        let mut trusting = TrustStoreBuilder::default();
        trusting.add(&genuine.write_csca()).expect("a certificate");
        let server = server(DocumentRule::WeakAllowed(accepted), trusting.build());
        let decision = server.post_json(VERIFY, &body).ok(200);
        assert_eq!(decision["outcome"], outcome, "{decision:#}");
        let told = json!({
            "verdict": "WEAK",
            "reason": "CRL_ABSENT",
            "weaknesses": ["CRL_ABSENT", "COUNTRY_NOT_COMPARED"],
            "revocation": "absent",
            "countryCompared": false,
        });
        assert_eq!(decision["comparisons"][0]["document"], told);
        let refers = outcome == "refer";
        assert_eq!(codes(&decision).contains(&"COUNTRY_NOT_COMPARED"), refers, "{decision:#}");
        assert!(!codes(&decision).contains(&"CRL_ABSENT"), "{decision:#}");
    }
}

#[test]
fn a_gate_opens_for_a_chip_that_is_genuine_and_for_no_other() {
    let mut genuine = state(1);
    let (documents, trust) = (DocumentRule::Required, trust(&genuine));
    let server = Server::start(Setup { documents, trust, ..gates::setup() });
    let mut unsigned = reference(&mut genuine);
    unsigned.as_object_mut().expect("members").remove("sod");
    let mut swapped = state(1);
    swapped.sod.groups[1].1.push(0);
    let mut somebody = state(2);
    for (number, reference, outcome, display) in [
        (1, reference(&mut genuine), "admit", "go-ahead"),
        (2, unsigned, "refer", "ask-officer"),
        (3, reference(&mut swapped), "refer", "ask-officer"),
        (4, reference(&mut somebody), "refer", "ask-officer"),
    ] {
        let opening = json!({
            "transactionId": gates::id(number), "purpose": "border-control",
            "references": [reference],
        });
        let standing = gates::while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
            server.post_json(GATE, &opening).ok(200)
        });
        assert_eq!(
            (&standing["outcome"], &standing["display"]),
            (&json!(outcome), &json!(display))
        );
    }
    // The same as a form.
    let (sod, number) = (genuine.write_sod(), gates::id(5));
    let fields: [(&str, &[u8]); 5] = [
        ("transactionId", number.as_bytes()),
        ("purpose", b"border-control"),
        ("dg2", &genuine.dg2),
        ("sod", &sod),
        ("dg1", &genuine.dg1),
    ];
    let standing = gates::while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        server.post_form(GATE, &fields).ok(200)
    });
    assert_eq!(standing["outcome"], "admit", "{standing}");
}
