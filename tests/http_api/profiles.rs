//! The profiles whose life `site.rs` does not show, each from its first step to what is left of it.

use std::{fs, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    http::Access,
    policy::{AttackRule, DocumentRule},
    profile::Exemption,
    types::{Action, Role},
};
use serde_json::{Value, json};

use crate::{
    authenticity::{reference, state, trust},
    filled::used_as,
    gates,
    harness::{Answer, Server, Setup, UsedAs, WallClock, caller, face, image, verify_body},
    site::{at, consent, everybody, id, put_into_use, refused, site},
};

const BORDER: &str = "border-control";
const ACCESS: &str = "access-control";
const HOUR_S: i64 = 3600;

fn verify(server: &Server, purpose: &str, person: u8, references: &[Value]) -> Answer {
    let mut body = verify_body(&face(person), references);
    body["purpose"] = json!(purpose);
    server.post_json("/v1/verify", &body)
}

fn outcome(answer: &Answer) -> String {
    answer.ok(200)["outcome"].as_str().expect("an outcome").to_owned()
}

/// Files of galleries in a folder.
fn galleries(folder: &Path) -> usize {
    fs::read_dir(folder.join("galleries")).expect("a folder").count()
}

#[test]
fn nl_1_bsi_doc_egate_passport_compares_with_the_chip_and_keeps_nothing() {
    let (folder, mut genuine) = (tempfile::tempdir().expect("a folder"), state(1));
    let chip = reference(&mut genuine);
    let start = |attack_score: Option<f32>| {
        Server::start(Setup {
            access: everybody(),
            attack: AttackRule::Required,
            documents: DocumentRule::Required,
            trust: trust(&genuine),
            used_as: Some(used_as("egate-passport")),
            clock: Some(WallClock::at(at(12))),
            attack_score,
            ..Setup::on_disk(folder.path())
        })
    };
    let server = start(Some(0.1));
    let passes = |person: u8, references: &[Value]| verify(&server, BORDER, person, references);
    refused(&passes(1, std::slice::from_ref(&chip)), "SITE_NOT_ACTIVE");
    put_into_use(&server, BORDER);
    assert_eq!(outcome(&passes(1, std::slice::from_ref(&chip))), "admit");
    assert_eq!(outcome(&passes(2, std::slice::from_ref(&chip))), "refer");
    // A second reference beside the chip counts as well; alone it is no document.
    assert_eq!(outcome(&passes(1, &[chip.clone(), image(&face(1))])), "admit");
    assert_eq!(outcome(&passes(1, &[chip.clone(), image(&face(2))])), "refer");
    let alone = passes(1, &[image(&face(1))]).ok(200);
    assert_eq!(
        (&alone["outcome"], &alone["reasons"][0]["code"]),
        (&json!("refer"), &json!("DOCUMENT_NOT_AUTHENTICATED"))
    );
    refused(&verify(&server, "boarding", 1, std::slice::from_ref(&chip)), "PURPOSE_NOT_PERMITTED");
    let body = json!({ "gallery": "travellers", "purpose": BORDER });
    refused(&server.post_json("/v1/galleries", &body), "BORDER_IS_VERIFIED");
    assert_eq!(server.get("/v1/site").ok(200)["alternatives"], json!(["manual booth"]));
    drop(server);
    assert_eq!(galleries(folder.path()), 0);
    let untested = start(None);
    put_into_use(&untested, BORDER);
    let told = verify(&untested, BORDER, 1, &[chip]).ok(200);
    let codes = told["reasons"].as_array().expect("reasons");
    assert!(codes.iter().any(|why| why["code"] == "ATTACK_DETECTION_NOT_PERFORMED"), "{told:#}");
    assert_eq!(told["outcome"], "refer");
}

/// A site whose galleries would lie in `folder`.
fn on_disk(folder: &Path, name: &str, clock: &Arc<WallClock>) -> Server {
    Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as(name)),
        clock: Some(Arc::clone(clock)),
        attack_score: Some(0.1),
        ..Setup::on_disk(folder)
    })
}

#[test]
fn ed_4_egate_holder_token_keeps_the_template_in_the_travellers_hands_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = WallClock::at(at(12));
    let server = on_disk(folder.path(), "egate-holder-token", &clock);
    put_into_use(&server, "boarding");
    let mut body = json!({
        "image": image(&face(4))["image"], "purpose": "boarding", "expiry": at(12 + 24),
    });
    refused(&server.post_json("/v1/holder-tokens", &body), "CONSENT_NOT_RECORDED");
    body["consent"] = consent();
    let issued = server.post_json("/v1/holder-tokens", &body).ok(201);
    let token = issued["token"].as_str().expect("base64").to_owned();
    let passes = |person: u8, token: &str| {
        verify(&server, "boarding", person, &[json!({ "holderToken": token })])
    };
    assert_eq!(outcome(&passes(4, &token)), "admit");
    assert_eq!(outcome(&passes(5, &token)), "refer");
    // Nobody passes by a picture or a passport alone: neither consent nor token is behind it.
    for brought in [image(&face(4)), reference(&mut state(4))] {
        refused(&verify(&server, "boarding", 4, &[brought]), "NOTHING_PRESENTED");
    }
    let mut bytes = STANDARD.decode(&token).expect("base64");
    bytes[40] ^= 1;
    passes(4, &STANDARD.encode(&bytes)).problem(422, "HOLDER_TOKEN_REFUSED");
    let list = json!({ "gallery": "flight", "purpose": "boarding" });
    refused(&server.post_json("/v1/galleries", &list), "EDPB_11_2024_SCENARIO_3");
    clock.set(at(12 + 24));
    passes(4, &token).problem(422, "HOLDER_TOKEN_REFUSED");
    assert_eq!(galleries(folder.path()), 0);
}

#[test]
fn ed_2_ed_3_ed_7_egate_holder_key_opens_with_the_travellers_key_until_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = WallClock::at(at(12));
    let server = on_disk(folder.path(), "egate-holder-key", &clock);
    put_into_use(&server, "boarding");
    let list = json!({ "gallery": "flight", "purpose": "boarding" });
    refused(&server.post_json("/v1/galleries", &list), "EDPB_11_2024_SCENARIO_3");
    let list = json!({ "gallery": "carried", "purpose": "boarding", "keys": "holders" });
    server.post_json("/v1/galleries", &list).ok(201);
    // A passport's expiry, two years from now: longer than anybody is kept.
    let mut body = json!({
        "image": image(&face(1))["image"], "purpose": "boarding",
        "passportExpiry": at(24 * 730),
    });
    let path = "/v1/galleries/carried/holders";
    refused(&server.post_json(path, &body), "CONSENT_NOT_RECORDED");
    body["consent"] = consent();
    let kept = server.post_json(path, &body).ok(201);
    let subject = &kept["subject"];
    let held =
        |secret: &Value| json!({ "gallery": "carried", "subject": subject, "secret": secret });
    let passes = |person: u8, secret: &Value| verify(&server, "boarding", person, &[held(secret)]);
    assert_eq!(outcome(&passes(1, &kept["secret"])), "admit");
    assert_eq!(outcome(&passes(2, &kept["secret"])), "refer");
    let named = json!({ "gallery": "carried", "subject": subject });
    for brought in [image(&face(1)), reference(&mut state(1)), named] {
        refused(&verify(&server, "boarding", 1, &[brought]), "NOTHING_PRESENTED");
    }
    let wrong = json!(STANDARD.encode([7; 32]));
    passes(1, &wrong).problem(404, "HOLDER_UNOPENED");
    let probe = json!({ "probe": image(&face(1)), "purpose": "boarding" });
    let asked = server.post_json("/v1/galleries/carried/identify", &probe);
    asked.problem(409, "IDENTIFY_NOT_POSSIBLE");
    clock.set(at(12) + 8784 * HOUR_S - 1);
    assert_eq!(outcome(&passes(1, &kept["secret"])), "admit");
    clock.set(at(12) + 8784 * HOUR_S);
    assert_ne!(passes(1, &kept["secret"]).status, 200, "nobody is kept for longer");
}

#[test]
fn ed_7_a_holders_record_ends_with_the_passport() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = WallClock::at(at(12));
    let server = on_disk(folder.path(), "egate-holder-key", &clock);
    put_into_use(&server, "boarding");
    let list = json!({ "gallery": "carried", "purpose": "boarding", "keys": "holders" });
    server.post_json("/v1/galleries", &list).ok(201);
    let mut body = json!({
        "image": image(&face(1))["image"], "purpose": "boarding", "consent": consent(),
        "expiry": at(24 * 90),
    });
    let path = "/v1/galleries/carried/holders";
    refused(&server.post_json(path, &body), "PASSPORT_EXPIRY_MISSING");
    body["passportExpiry"] = json!(at(24 * 30));
    let kept = server.post_json(path, &body).ok(201);
    let reference =
        json!({ "gallery": "carried", "subject": kept["subject"], "secret": kept["secret"] });
    let passes = || verify(&server, "boarding", 1, std::slice::from_ref(&reference));
    clock.set(at(24 * 30) - 1);
    assert_eq!(outcome(&passes()), "admit");
    clock.set(at(24 * 30));
    assert_ne!(passes().status, 200, "the passport has expired");
}

#[test]
fn ed_7_boarding_gallery_ends_at_take_off_and_after_two_days() {
    let clock = WallClock::at(at(12));
    let server = site("boarding-gallery", &clock);
    put_into_use(&server, "boarding");
    let list = json!({ "gallery": "kl-0893", "purpose": "boarding" });
    server.post_json("/v1/galleries", &list).ok(201);
    let path = "/v1/galleries/kl-0893";
    for (person, group) in [(1, 893), (2, 893), (3, 7)] {
        let body = json!({
            "images": [image(&face(person))], "purpose": "boarding", "subject": id(person),
            "group": group, "consent": consent(), "expiry": at(24 * 30),
        });
        server.post_json(&format!("{path}/subjects"), &body).ok(201);
    }
    let boards = |person: u8| {
        let body = json!({ "probe": image(&face(person)), "purpose": "boarding" });
        outcome(&server.post_json(&format!("{path}/identify"), &body))
    };
    assert_eq!([1, 3, 9].map(boards), ["admit", "admit", "refer"]);
    let held = server.get(&format!("{path}/subjects/{}?purpose=boarding", id(3))).ok(200);
    assert_eq!(held["references"][0]["expiry"], at(12 + 48), "48 hours, whatever is asked for");
    // The aeroplane has left.
    let departed = json!({ "purpose": "boarding", "group": 893 });
    assert_eq!(server.post_json(&format!("{path}/erase"), &departed).ok(200)["rows"], 2);
    assert_eq!([1, 3].map(boards), ["refer", "admit"]);
    clock.set(at(12 + 48));
    assert_eq!(boards(3), "refer");
}

#[test]
fn se_1_a_site_matches_at_its_own_lanes_and_takes_as_many_pictures_as_it_was_assessed_for() {
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as("residence")), // gate-1 alone matches, single pictures enrol
        clock: Some(WallClock::at(at(12))),
        attack_score: Some(0.1),
        ..gates::setup()
    });
    put_into_use(&server, ACCESS);
    let body = json!({ "gallery": "homes", "purpose": ACCESS });
    server.post_json("/v1/galleries", &body).ok(201);
    let mut enrol = json!({
        "images": [image(&face(1)), image(&face(1))], "purpose": ACCESS, "subject": id(1),
        "consent": consent(),
    });
    let path = "/v1/galleries/homes/subjects";
    server.post_json(path, &enrol).problem(422, "IMAGES_COUNT");
    enrol["images"] = json!([image(&face(1))]);
    server.post_json(path, &enrol).ok(201);
    let passage = |number: u8| {
        let card = json!({ "gallery": "homes", "subject": id(1) });
        json!({ "transactionId": id(number), "purpose": ACCESS, "references": [card] })
    };
    let elsewhere = server.post_json("/v1/lanes/gate-2/transactions", &passage(7));
    refused(&elsewhere, "ZONE_NOT_FOR_MATCHING");
    let frame = json!({ "image": image(&face(1))["image"], "purpose": ACCESS, "attackScore": 0.1 });
    let admitted = gates::while_posting(&server, "gate-1", &frame, || {
        server.post_json("/v1/lanes/gate-1/transactions", &passage(8)).ok(200)
    });
    assert_eq!(admitted["outcome"], "admit");
}

#[test]
fn ra_1_ra_5_ra_7_residence_takes_card_and_face_of_whoever_consented() {
    let clock = WallClock::at(at(12));
    let mut divided = used_as("residence");
    divided.profile.residence.as_mut().expect("a residence").approving = 50;
    let half = Server::start(Setup {
        access: everybody(),
        used_as: Some(divided),
        clock: Some(Arc::clone(&clock)),
        ..Setup::default()
    });
    let step = json!({ "purpose": ACCESS });
    half.post_json("/v1/site/assessment", &step);
    refused(&half.post_json("/v1/site/activation", &step), "OWNERS_DID_NOT_APPROVE");
    drop(half);
    let server = site("residence", &clock);
    put_into_use(&server, ACCESS);
    let body = json!({ "gallery": "homes", "purpose": ACCESS });
    server.post_json("/v1/galleries", &body).ok(201);
    let mut enrol = json!({
        "images": [image(&face(1))], "purpose": ACCESS, "subject": id(1),
    });
    let path = "/v1/galleries/homes/subjects";
    refused(&server.post_json(path, &enrol), "RESIDENT_CONSENT_MISSING");
    enrol["consent"] = consent();
    server.post_json(path, &enrol).ok(201);
    let card = json!({ "gallery": "homes", "subject": id(1) });
    let enters = |person: u8, reference: &Value| {
        verify(&server, ACCESS, person, std::slice::from_ref(reference))
    };
    assert_eq!(outcome(&enters(1, &card)), "admit");
    assert_eq!(outcome(&enters(2, &card)), "refer", "a card that was handed on");
    // Whoever brings a picture, a passport or a token is no resident who consented here.
    let chip = reference(&mut state(1));
    for brought in [image(&face(1)), chip, json!({ "holderToken": "AAAA" })] {
        refused(&enters(1, &brought), "CARD_MISSING");
    }
    // Several cards would be a search, in which somebody looks for whom the face fits.
    let other = json!({ "gallery": "homes", "subject": id(2) });
    refused(&verify(&server, ACCESS, 1, &[card.clone(), other]), "SEVERAL_PERSONS_CLAIMED");
    let elsewhere = json!({ "gallery": "guests", "subject": id(1) });
    refused(&verify(&server, ACCESS, 1, &[card.clone(), elsewhere]), "SEVERAL_PERSONS_CLAIMED");
    let search = json!({ "probe": image(&face(1)), "purpose": ACCESS });
    let asked = server.post_json("/v1/galleries/homes/identify", &search);
    refused(&asked, "RESIDENTS_ARE_NOT_SEARCHED");
    assert_eq!(
        server.get("/v1/site").ok(200)["alternatives"],
        json!(["access card", "password at the door", "doorman"])
    );
    let gone = server.delete(&format!("{path}/{}/consent?purpose={ACCESS}", id(1))).ok(200);
    assert_eq!(gone["rows"], 1);
    assert_ne!(enters(1, &card).status, 200, "whoever withdrew is not compared");
}

#[test]
fn cn_4_each_use_of_an_exemption_is_in_the_audit_and_none_outlives_it() {
    let clock = WallClock::at(at(12));
    let mut held = used_as("residence");
    held.profile.exemption = Some(Exemption {
        ground: "emergency".into(),
        authority: "the city".into(),
        starts: "2026-06-20".into(),
        ends: "2026-07-20".into(),
    });
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(held),
        clock: Some(Arc::clone(&clock)),
        attack_score: Some(0.1),
        ..Setup::default()
    });
    put_into_use(&server, ACCESS);
    let body = json!({ "gallery": "homes", "purpose": ACCESS });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = json!({
        "images": [image(&face(1))], "purpose": ACCESS, "subject": id(1), "consent": consent(),
    });
    let path = "/v1/galleries/homes/subjects";
    server.post_json(path, &enrol).ok(201);
    let card = json!([{ "gallery": "homes", "subject": id(1) }]);
    let card = card.as_array().expect("one");
    assert_eq!(outcome(&verify(&server, ACCESS, 1, card)), "admit");
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let used: Vec<Action> = {
        let entries = ledger.entries.lock().expect("no panic");
        let of_use = entries.iter().filter(|entry| entry.reasons == ["EXEMPTION_USED"]);
        of_use.map(|entry| entry.action).collect()
    };
    assert_eq!(used, [Action::Enrol, Action::Verify]);
    clock.set(at(12 + 24 * 30));
    refused(&verify(&server, ACCESS, 1, card), "EXEMPTION_OVER");
    let gone = server.delete(&format!("{path}/{}/consent?purpose={ACCESS}", id(1))).ok(200);
    assert_eq!(gone["rows"], 1, "erasing stays open");
}

#[test]
fn se_4_training_gates_search_and_enrolment_everywhere_but_in_a_household() {
    let start = |name: &str, access: Access| {
        let server = Server::start(Setup {
            access,
            used_as: Some(UsedAs { people: Vec::new(), ..used_as(name) }),
            clock: Some(WallClock::at(at(12))),
            attack_score: Some(0.1),
            ..Setup::default()
        });
        put_into_use(&server, ACCESS);
        server
    };
    let server = start("residence", everybody());
    let body = json!({ "gallery": "homes", "purpose": ACCESS });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = json!({
        "images": [image(&face(1))], "purpose": ACCESS, "subject": id(1), "consent": consent(),
    });
    refused(&server.post_json("/v1/galleries/homes/subjects", &enrol), "TRAINING_EXPIRED");
    let holder = Access::Loopback(vec![caller(Role::Administrator)]);
    let device = start("device-unlock", holder);
    assert_eq!(outcome(&verify(&device, ACCESS, 1, &[image(&face(1))])), "admit");
}

#[test]
fn nl_6_device_unlock_compares_one_holder_and_is_no_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as("device-unlock")),
        clock: Some(WallClock::at(at(12))),
        ..Setup::on_disk(folder.path())
    });
    put_into_use(&server, ACCESS);
    let body = json!({ "image": image(&face(1))["image"], "purpose": ACCESS });
    let template = server.post_json("/v1/embed", &body).ok(200)["template"].clone();
    let unlocks =
        |person: u8| outcome(&verify(&server, ACCESS, person, &[json!({ "template": template })]));
    assert_eq!([1, 2].map(unlocks), ["admit", "refer"]);
    let list = json!({ "gallery": "family", "purpose": ACCESS });
    refused(&server.post_json("/v1/galleries", &list), "HOUSEHOLD_HOLDS_NOBODY");
    let other = verify(&server, "boarding", 1, &[image(&face(1))]);
    refused(&other, "PURPOSE_NOT_PERMITTED");
    assert_eq!(galleries(folder.path()), 0);
}
