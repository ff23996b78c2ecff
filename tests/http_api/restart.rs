//! What a restart and a backup that is put back must not bring about: a hit that is forgotten, and
//! somebody who was erased and is there again.

use std::{fs, path::Path, sync::Arc};

use portcullis::{
    audit::{AuditEntry, AuditSink, FileAudit, Signer},
    http::Access,
    keys::{SigningKey, secret::Tokens},
    random::SystemEntropy,
    types::{Action, Outcome, TransactionId},
};
use serde_json::{Value, json};

use crate::{
    filled::used_as,
    harness::{Answer, Server, Setup, UsedAs, WallClock, face, image, verify_body},
    site::{ask, at, consent, copy, everybody, id, line, person, put_into_use, refused},
};

const LIST: &str = "/v1/galleries/banned";
const CARRIED: &str = "/v1/galleries/carried";

/// A stadium whose files lie in `folder`.
fn stadium(folder: &Path) -> Server {
    let staff =
        [("administrator", "admin"), ("operator", "desk"), ("officer", "anna"), ("officer", "bo")];
    let text: Vec<String> = staff.iter().map(|(role, client)| line(role, client)).collect();
    let people =
        staff.iter().map(|(_, client)| person(client, &format!("badge-{client}"), "2027-01-01"));
    let site = folder.join("site");
    fs::create_dir_all(&site).expect("a folder");
    Server::start(Setup {
        access: Access::Tokens(Tokens::parse(&text.concat(), "tokens").expect("callers")),
        used_as: Some(UsedAs {
            people: people.collect(),
            folder: Some(site),
            ..used_as("watchlist")
        }),
        clock: Some(WallClock::at(at(12))),
        attack_score: Some(0.1),
        ..Setup::on_disk(folder)
    })
}

/// Somebody on the list is seen; the name of the hit.
fn seen(server: &Server) -> String {
    let search = json!({ "probe": image(&face(1)), "purpose": "watchlist" });
    let found = ask(server, "anna", "POST", &format!("{LIST}/identify"), &search).ok(200);
    assert_eq!(found["outcome"], "refer");
    found["transaction"].as_str().expect("a name").to_owned()
}

fn vote(server: &Server, client: &str, hit: &str) -> Answer {
    let body = json!({ "purpose": "watchlist", "vote": "confirm" });
    ask(server, client, "POST", &format!("/v1/hits/{hit}/votes"), &body)
}

fn state(server: &Server, hit: &str) -> Value {
    let path = format!("/v1/hits/{hit}?purpose=watchlist");
    ask(server, "bo", "GET", &path, &Value::Null).ok(200)
}

/// The names of hits of which the audit says that a restart ended their wait, each with its
/// outcome.
fn interrupted(server: &Server) -> Vec<(String, Option<Outcome>)> {
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let ended = entries.iter().filter(|entry| entry.reasons == ["HIT_INTERRUPTED"]);
    ended.map(|entry| (entry.transaction.to_string(), entry.outcome)).collect()
}

#[test]
fn ai_14_5_a_hit_that_waits_is_referred_in_the_audit_when_a_restart_ends_the_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = stadium(folder.path());
    let step = json!({ "purpose": "watchlist" });
    ask(&server, "admin", "POST", "/v1/site/assessment", &step).ok(200);
    ask(&server, "admin", "POST", "/v1/site/activation", &step).ok(200);
    let list = json!({ "gallery": "banned", "purpose": "watchlist" });
    ask(&server, "desk", "POST", "/v1/galleries", &list).ok(201);
    let entry = json!({
        "images": [image(&face(1))], "purpose": "watchlist", "subject": id(1),
        "expiry": at(24 * 30),
        "ground": { "reason": "decision 12/2026", "authority": "the court" },
    });
    ask(&server, "desk", "POST", &format!("{LIST}/subjects"), &entry).ok(201);
    let (settled, waits) = (seen(&server), seen(&server));
    vote(&server, "anna", &settled).ok(200);
    assert_eq!(vote(&server, "bo", &settled).ok(200)["state"], "confirmed");
    assert_eq!(vote(&server, "anna", &waits).ok(200)["state"], "pending");
    assert_eq!(interrupted(&server), []);
    drop(server);

    let server = stadium(folder.path());
    assert_eq!(interrupted(&server), [(waits.clone(), Some(Outcome::Refer))]);
    let told = state(&server, &waits);
    assert_eq!(
        (&told["state"], &told["subject"], &told["verifiedBy"]),
        (&json!("lapsed"), &Value::Null, &json!([]))
    );
    // One answer was given before the restart; the second does not make it a confirmation.
    vote(&server, "bo", &waits).problem(409, "HIT_SETTLED");
    drop(server);

    let server = stadium(folder.path());
    assert_eq!(interrupted(&server), [], "it is told once");
}

/// Puts back what a backup of `names` held.
fn put_back(folder: &Path, backup: &Path, names: &[&str]) {
    for name in names {
        fs::remove_dir_all(folder.join(name)).expect("removed");
        copy(&backup.join(name), &folder.join(name));
    }
}

/// A site whose files, consents and keys lie in `folder`.
fn kept(folder: &Path, profile: &str) -> Server {
    let site = folder.join("site");
    fs::create_dir_all(&site).expect("a folder");
    Server::start(Setup {
        access: everybody(),
        used_as: Some(UsedAs { folder: Some(site), ..used_as(profile) }),
        clock: Some(WallClock::at(at(12))),
        attack_score: Some(0.1),
        ..Setup::on_disk(folder)
    })
}

/// The subjects of whom the audit says that they were erased again.
fn erased_again(server: &Server) -> Vec<String> {
    let ledger = Arc::clone(server.audit.as_ref().expect("the scene's audit"));
    let entries = ledger.entries.lock().expect("no panic");
    let again = entries.iter().filter(|entry| entry.reasons == ["ERASED_AGAIN"]);
    again.filter_map(|entry| entry.subject).map(|subject| subject.to_string()).collect()
}

#[test]
fn gdpr_17_ed_8_holders_records_that_are_put_back_open_for_nobody_who_was_erased() {
    let folder = tempfile::tempdir().expect("a folder");
    let backup = tempfile::tempdir().expect("a folder");
    let server = kept(folder.path(), "egate-holder-key");
    put_into_use(&server, "boarding");
    let body = json!({ "gallery": "carried", "purpose": "boarding", "keys": "holders" });
    server.post_json("/v1/galleries", &body).ok(201);
    let mut references = Vec::new();
    for person in 1..=3 {
        let body = json!({
            "image": image(&face(person))["image"], "purpose": "boarding", "consent": consent(),
            "passportExpiry": at(24 * 730),
        });
        let held = server.post_json(&format!("{CARRIED}/holders"), &body).ok(201);
        references.push(json!({
            "gallery": "carried", "subject": held["subject"], "secret": held["secret"],
        }));
    }
    let verify = |server: &Server, person: u8| {
        let reference = references[usize::from(person) - 1].clone();
        server.post_json("/v1/verify", &verify_body(&face(person), &[reference]))
    };
    let path = |person: u8, more: &str| {
        let subject = references[usize::from(person) - 1]["subject"].as_str().expect("an id");
        format!("{CARRIED}/subjects/{subject}{more}?purpose=boarding")
    };
    for person in 1..=3 {
        assert_eq!(verify(&server, person).ok(200)["outcome"], "admit");
    }
    drop(server);
    copy(&folder.path().join("galleries"), &backup.path().join("galleries"));
    let server = kept(folder.path(), "egate-holder-key");
    assert_eq!(server.delete(&path(1, "")).ok(200)["rows"], 1);
    assert_eq!(server.delete(&path(2, "/consent")).ok(200)["rows"], 1);
    drop(server);

    put_back(folder.path(), backup.path(), &["galleries"]);
    let server = kept(folder.path(), "egate-holder-key");
    // A consent ends with the erasure, whoever asked for that.
    refused(&verify(&server, 1), "CONSENT_WITHDRAWN");
    refused(&verify(&server, 2), "CONSENT_WITHDRAWN");
    assert_eq!(verify(&server, 3).ok(200)["outcome"], "admit", "who was not erased is there");
    let mut expected = [1, 2].map(|person: usize| references[person - 1]["subject"].clone());
    expected.sort_by_key(Value::to_string);
    assert_eq!(json!(erased_again(&server)), json!(expected));
    drop(server);
    let server = kept(folder.path(), "egate-holder-key");
    assert_eq!(erased_again(&server), [""; 0], "they are gone from the file");
}

/// An audit in a file.
fn audit_at(path: &Path) -> Arc<dyn AuditSink> {
    let key = SigningKey::random(&SystemEntropy).expect("locked memory");
    Arc::new(FileAudit::open(path, Signer::new("test/audit", key)).expect("an audit"))
}

/// A residence whose files lie in `folder`.
fn audited(folder: &Path, audit: &Arc<dyn AuditSink>) -> Server {
    let site = folder.join("site");
    fs::create_dir_all(&site).expect("a folder");
    Server::start(Setup {
        access: everybody(),
        used_as: Some(UsedAs { folder: Some(site), ..used_as("residence") }),
        clock: Some(WallClock::at(at(12))),
        audit: Some(Arc::clone(audit)),
        ..Setup::on_disk(folder)
    })
}

#[test]
fn gdpr_17_whoever_was_ordered_to_be_erased_when_the_process_ended_is_erased() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let audit = audit_at(&elsewhere.path().join("audit.jsonl"));
    let server = audited(folder.path(), &audit);
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "homes", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    for person in 1..=2 {
        let enrol = json!({
            "images": [image(&face(person))], "purpose": "access-control", "subject": id(person),
            "consent": consent(),
        });
        server.post_json("/v1/galleries/homes/subjects", &enrol).ok(201);
    }
    drop(server);
    let (transaction, ordered) = (TransactionId::from_bytes([9; 16]), vec!["ERASURE_ORDERED"]);
    let order = AuditEntry {
        gallery: Some("homes".parse().expect("a name")),
        subject: Some(id(1).parse().expect("an id")),
        ..AuditEntry::of(transaction, at(12), Action::Erase, ordered)
    };
    audit.record(&[order]).expect("room");
    let server = audited(folder.path(), &audit);
    let held = [1, 2].map(|person| {
        let path = format!("/v1/galleries/homes/subjects/{}?purpose=access-control", id(person));
        server.get(&path).ok(200)["references"].as_array().map(Vec::len)
    });
    assert_eq!(held, [Some(0), Some(1)]);
}

#[test]
fn gdpr_17_an_audit_that_is_another_one_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let start = |audit: &Arc<dyn AuditSink>| audited(folder.path(), audit);
    let is_told = |server: &Server| {
        let told = String::from_utf8(server.get("/readyz").body).expect("text");
        told.contains("the audit does not go on from entry")
    };
    let [first, second] = ["first", "second"].map(|name| audit_at(&elsewhere.path().join(name)));
    let server = start(&first);
    put_into_use(&server, "access-control");
    assert!(!is_told(&server), "the first start");
    drop(server);
    assert!(!is_told(&start(&first)), "the same audit");
    assert!(is_told(&start(&second)), "another one");
    let written = fs::read_to_string(elsewhere.path().join("second")).expect("the audit");
    assert!(written.contains("AUDIT_DOES_NOT_GO_ON"));
    assert!(!is_told(&start(&second)), "the audit holds it from now on");
}

#[test]
fn gdpr_17_a_deleted_gallery_that_is_put_back_with_its_keys_holds_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let backup = tempfile::tempdir().expect("a folder");
    let server = kept(folder.path(), "residence");
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "homes", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    for person in 1..=2 {
        let enrol = json!({
            "images": [image(&face(person))], "purpose": "access-control", "subject": id(person),
            "consent": consent(),
        });
        server.post_json("/v1/galleries/homes/subjects", &enrol).ok(201);
    }
    drop(server);
    let both = ["galleries", "keys"];
    for name in both {
        copy(&folder.path().join(name), &backup.path().join(name));
    }
    let server = kept(folder.path(), "residence");
    let deleted = server.delete("/v1/galleries/homes?purpose=access-control").ok(200);
    assert_eq!(deleted["rows"], 2);
    drop(server);
    put_back(folder.path(), backup.path(), &both);
    let server = kept(folder.path(), "residence");
    assert_eq!(erased_again(&server), [id(1), id(2)]);
    let held = server.get("/v1/galleries/homes?purpose=access-control").ok(200);
    assert_eq!((&held["subjects"], &held["rows"]), (&json!(0), &json!(0)));
}
