//! What a person is told who asks what is held.

use serde_json::{Value, json};

use crate::{
    ends::residence,
    harness::{audit_in, face, image, verify_body},
    site::{at, consent, id},
};

const ACCESS: &str = "access-control";

#[test]
fn gdpr_15_ra_4_an_export_tells_the_entries_the_whole_consent_and_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, clock) = residence(Some(audit_in(folder.path())));
    let subjects = "/v1/galleries/homes/subjects";
    for number in [1, 2] {
        let enrol = json!({
            "images": [image(&face(number))], "purpose": ACCESS, "subject": id(number),
            "consent": consent(),
        });
        server.post_json(subjects, &enrol).ok(201);
    }
    let comes = |number: u8, hour: i64| {
        clock.set(at(hour));
        let card = json!({ "gallery": "homes", "subject": id(number) });
        let mut body = verify_body(&face(number), &[card]);
        body["purpose"] = json!(ACCESS);
        assert_eq!(server.post_json("/v1/verify", &body).ok(200)["outcome"], "admit");
    };
    comes(1, 9);
    comes(2, 10);
    comes(1, 35); // another day, in another file of the audit
    let held = server.get(&format!("{subjects}/{}?purpose={ACCESS}", id(1))).ok(200);
    let events: Vec<(&Value, &Value, &Value)> = held["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| (&event["at"], &event["action"], &event["outcome"]))
        .collect();
    let entry = |hour: i64| (json!(at(hour)), json!("verify"), json!("admit"));
    let entries: Vec<_> = events.iter().filter(|event| event.1 == "verify").collect();
    let told = entries.iter().map(|held| (held.0.clone(), held.1.clone(), held.2.clone()));
    assert_eq!(told.collect::<Vec<_>>(), [entry(9), entry(35)], "nobody else's: {held:#}");
    assert!(events.iter().any(|event| event.1 == "enrol"), "{held:#}");
    assert_eq!(held["source"], "enrolled-here");
    let given = &held["consent"];
    for (member, value) in [
        ("age", json!("adult")),
        ("relation", json!("independent")),
        ("affirmative", json!(true)),
        ("alternativeOffered", json!(true)),
        ("bundled", json!(false)),
        ("conditional", json!(false)),
        ("blanket", json!(false)),
    ] {
        assert_eq!(given[member], value, "{member}: {given:#}");
    }
}
