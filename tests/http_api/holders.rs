//! What travellers carry: tokens, and records that only their secret opens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{Answer, Server, Setup, face, image, verify_body};

/// Far enough, for a test that runs on the real clock.
const FAR_S: i64 = 4_000_000_000;

fn issue(server: &Server, person: u8, more: &Value) -> Answer {
    let mut body = json!({
        "image": image(&face(person))["image"], "purpose": "boarding", "expiry": FAR_S,
    });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    server.post_json("/v1/holder-tokens", &body)
}

fn verify(server: &Server, person: u8, reference: Value) -> Answer {
    server.post_json("/v1/verify", &verify_body(&face(person), &[reference]))
}

#[test]
fn a_token_is_a_reference_that_nobody_kept() {
    let server = Server::start(Setup::default());
    let issued = issue(&server, 4, &json!({})).ok(201);
    let token = issued["token"].as_str().expect("base64").to_owned();
    let bytes = STANDARD.decode(&token).expect("base64");
    assert_eq!(issued["bytes"], bytes.len());
    assert!(bytes.len() <= 400, "{} bytes are no handy QR code", bytes.len());
    let matched = verify(&server, 4, json!({ "holderToken": token })).ok(200);
    assert_eq!(matched["outcome"], "admit", "{matched:#}");
    let other = verify(&server, 5, json!({ "holderToken": token })).ok(200);
    assert_eq!(other["outcome"], "refer");
    // One flipped bit, anywhere.
    for at in (0..bytes.len()).step_by(17) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let flipped = verify(&server, 4, json!({ "holderToken": STANDARD.encode(&bytes) }));
        flipped.problem(422, "HOLDER_TOKEN_REFUSED");
    }
    // Another appliance's issuer.
    let foreign = issue(&Server::start(Setup::default()), 4, &json!({})).ok(201);
    let refused = verify(&server, 4, json!({ "holderToken": foreign["token"] }));
    assert!(refused.problem(422, "HOLDER_TOKEN_REFUSED").contains("issuer"));
    // Another purpose than it was issued for.
    let mut body = verify_body(&face(4), &[json!({ "holderToken": token })]);
    body["purpose"] = json!("border-control");
    server.post_json("/v1/verify", &body).problem(422, "HOLDER_TOKEN_REFUSED");
}

#[test]
fn tokens_end_and_need_keys() {
    let server = Server::start(Setup::default());
    issue(&server, 4, &json!({ "notBefore": 10, "expiry": 10 }))
        .problem(422, "HOLDER_TOKEN_REFUSED");
    let old = issue(&server, 4, &json!({ "notBefore": 0, "expiry": 10 })).ok(201);
    let refused = verify(&server, 4, json!({ "holderToken": old["token"] }));
    assert!(refused.problem(422, "HOLDER_TOKEN_REFUSED").contains("expired"));
    issue(&server, 4, &json!({ "purpose": "watchlist" })).problem(403, "FORBIDDEN");
    let without = Server::start(Setup { holder_tokens: false, ..Setup::default() });
    issue(&without, 4, &json!({})).problem(501, "TOKENS_DISABLED");
    verify(&without, 4, json!({ "holderToken": "AAAA" })).problem(501, "TOKENS_DISABLED");
}

fn create(server: &Server) {
    let body = json!({ "gallery": "carried", "purpose": "boarding", "keys": "holders" });
    let made = server.post_json("/v1/galleries", &body).ok(201);
    assert_eq!((&made["keys"], &made["custodian"]["name"]), (&json!("holders"), &json!("holder")));
}

fn enrol(server: &Server, person: u8) -> (String, String) {
    let body = json!({ "image": image(&face(person))["image"], "purpose": "boarding" });
    let kept = server.post_json("/v1/galleries/carried/holders", &body).ok(201);
    let text = |key: &str| kept[key].as_str().expect(key).to_owned();
    (text("subject"), text("secret"))
}

fn carried(subject: &str, secret: &str) -> Value {
    json!({ "gallery": "carried", "subject": subject, "secret": secret })
}

#[test]
fn a_record_opens_with_its_id_and_its_secret_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(Setup::on_disk(folder.path()));
    create(&server);
    let (anna, secret) = enrol(&server, 1);
    let (ben, _) = enrol(&server, 2);
    drop(server);
    let server = Server::start(Setup::on_disk(folder.path()));
    assert_eq!(verify(&server, 1, carried(&anna, &secret)).ok(200)["outcome"], "admit");
    // A wrong secret and an unknown id are one answer.
    let wrong = verify(&server, 2, carried(&ben, &secret)).problem(404, "HOLDER_UNOPENED");
    let unknown = verify(&server, 1, carried(&"00".repeat(16), &secret));
    assert_eq!(unknown.problem(404, "HOLDER_UNOPENED"), wrong);
    let short = carried(&anna, &STANDARD.encode([1; 31]));
    verify(&server, 1, short).problem(400, "FIELD_INVALID");

    let path = format!("/v1/galleries/carried/subjects/{anna}?purpose=boarding");
    let receipt = server.delete(&path).ok(200);
    assert_eq!((&receipt["rows"], &receipt["custodian"]), (&json!(1), &json!("holder")));
    verify(&server, 1, carried(&anna, &secret)).problem(404, "HOLDER_UNOPENED");
    server.delete(&path).problem(404, "SUBJECT_UNKNOWN");
    assert_eq!(server.delete("/v1/galleries/carried?purpose=boarding").ok(200)["rows"], 1);
    let left = std::fs::read_dir(folder.path().join("galleries")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn nobody_searches_records_that_only_their_holders_open() {
    let server = Server::start(Setup::default());
    create(&server);
    enrol(&server, 1);
    let probe = json!({ "probe": image(&face(1)), "purpose": "boarding" });
    let asked = server.post_json("/v1/galleries/carried/identify", &probe);
    assert!(asked.problem(409, "IDENTIFY_NOT_POSSIBLE").contains("1:1"));
    // Neither kind of gallery takes the other's records.
    let body = json!({ "images": [image(&face(1))], "purpose": "boarding" });
    server.post_json("/v1/galleries/carried/subjects", &body).problem(409, "GALLERY_KIND");
    let searchable = json!({ "gallery": "flight", "purpose": "boarding" });
    server.post_json("/v1/galleries", &searchable).ok(201);
    let body = json!({ "image": image(&face(1))["image"], "purpose": "boarding" });
    server.post_json("/v1/galleries/flight/holders", &body).problem(409, "GALLERY_KIND");
    let body = json!({ "purpose": "boarding", "group": 3 });
    server.post_json("/v1/galleries/carried/erase", &body).problem(409, "GALLERY_KIND");
    let described = server.get("/v1/galleries/carried?purpose=boarding").ok(200);
    assert_eq!((&described["subjects"], &described["rows"]), (&json!(1), &json!(0)));
}
