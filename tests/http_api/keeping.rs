//! Who is kept, and how: restriction, groups, replacement, erasure with its receipt, and that all
//! of it outlives the appliance.

use std::{
    fs,
    path::Path,
    slice,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use portcullis::{
    audit::{AuditEntry, AuditError, AuditSink},
    time::{Clock, SystemClock},
};
use serde_json::{Value, json};

use crate::harness::{Server, Setup, face, image, verify_body};

fn create(server: &Server, gallery: &str) -> Value {
    let body = json!({ "gallery": gallery, "purpose": "boarding" });
    server.post_json("/v1/galleries", &body).ok(201)
}

fn enrol(server: &Server, person: u8, more: &Value) -> String {
    let mut body = json!({ "images": [image(&face(person))], "purpose": "boarding" });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let answer = server.post_json("/v1/galleries/flight/subjects", &body).ok(201);
    answer["subject"].as_str().expect("an id").to_owned()
}

fn candidates(server: &Server, person: u8) -> usize {
    let body = json!({ "probe": image(&face(person)), "purpose": "boarding" });
    let found = server.post_json("/v1/galleries/flight/identify", &body).ok(200);
    found["candidates"].as_array().expect("a list").len()
}

fn described(server: &Server) -> Value {
    server.get("/v1/galleries/flight?purpose=boarding").ok(200)
}

fn erase(server: &Server, whom: &Value) -> Value {
    let mut body = json!({ "purpose": "boarding" });
    body.as_object_mut().expect("an object").extend(whom.as_object().expect("an object").clone());
    server.post_json("/v1/galleries/flight/erase", &body).ok(200)
}

#[test]
fn a_restricted_subject_is_kept_and_not_used() {
    let server = Server::start(Setup::default());
    create(&server, "flight");
    let anna = enrol(&server, 1, &json!({}));
    let path = format!("/v1/galleries/flight/subjects/{anna}/restriction");
    let set = |restricted: bool| {
        let body = json!({ "purpose": "boarding", "restricted": restricted });
        server.put_json(&path, &body).ok(200)["generation"].as_u64().expect("a number")
    };
    let first = set(true);
    assert_eq!(candidates(&server, 1), 0);
    assert_eq!(described(&server)["subjects"], 1);
    let reference = json!({ "gallery": "flight", "subject": anna });
    let verify =
        || server.post_json("/v1/verify", &verify_body(&face(1), slice::from_ref(&reference)));
    verify().problem(409, "SUBJECT_RESTRICTED");
    assert!(set(false) > first);
    assert_eq!(candidates(&server, 1), 1);
    assert_eq!(verify().ok(200)["outcome"], "admit");
    let nobody = format!("/v1/galleries/flight/subjects/{}/restriction", "00".repeat(16));
    let body = json!({ "purpose": "boarding", "restricted": true });
    server.put_json(&nobody, &body).problem(404, "SUBJECT_UNKNOWN");
    server.put_json(&path, &json!({ "purpose": "boarding" })).problem(400, "JSON_INVALID");
}

#[test]
fn groups_are_changed_and_erased_with_a_receipt() {
    let server = Server::start(Setup::default());
    create(&server, "flight");
    let began_s = SystemClock::start().civil_s();
    let anna = enrol(&server, 1, &json!({ "group": 7 }));
    enrol(&server, 2, &json!({ "group": 7 }));
    enrol(&server, 3, &json!({ "classes": [5] }));
    let path = format!("/v1/galleries/flight/subjects/{anna}/group");
    server.put_json(&path, &json!({ "purpose": "boarding", "group": 8 })).ok(200);

    let receipt = erase(&server, &json!({ "group": 7 }));
    assert_eq!((&receipt["rows"], &receipt["custodian"]), (&json!(1), &json!("memory")));
    let generation = described(&server)["generation"].clone();
    assert_eq!(receipt["generation"], generation);
    assert!(receipt["epochDestroyed"].as_u64().is_some(), "{receipt:#}");
    assert_eq!([1, 2, 3].map(|person| candidates(&server, person)), [1, 0, 1]);

    let nobody = erase(&server, &json!({ "group": 7 }));
    assert_eq!((&nobody["rows"], &nobody["epochDestroyed"]), (&json!(0), &Value::Null));
    assert_eq!(erase(&server, &json!({ "classes": [5, 6] }))["rows"], 1);
    // Without `notBefore` a validity begins with the enrolment: what is older is another's.
    assert_eq!(erase(&server, &json!({ "enrolledBefore": began_s }))["rows"], 0);
    assert_eq!(candidates(&server, 1), 1, "who was enrolled just now is not older than that");
    assert_eq!(erase(&server, &json!({ "enrolledBefore": i64::MAX }))["rows"], 1);
    assert_eq!(erase(&server, &json!({ "everybody": true }))["rows"], 0);
    let body = json!({ "purpose": "boarding" });
    server.post_json("/v1/galleries/flight/erase", &body).problem(400, "FIELD_INVALID");
}

#[test]
fn a_replacement_erases_what_was_there() {
    let server = Server::start(Setup::default());
    create(&server, "flight");
    let anna = enrol(&server, 1, &json!({}));
    let path = format!("/v1/galleries/flight/subjects/{anna}");
    let body = json!({ "images": [image(&face(2))], "purpose": "boarding" });
    let replaced = server.put_json(&path, &body).ok(200);
    assert_eq!(replaced["erased"]["rows"], 1, "{replaced:#}");
    assert_eq!(replaced["faces"].as_array().expect("one").len(), 1);
    assert_eq!([candidates(&server, 1), candidates(&server, 2)], [0, 1]);
    let nobody = format!("/v1/galleries/flight/subjects/{}", "00".repeat(16));
    server.put_json(&nobody, &body).problem(404, "SUBJECT_UNKNOWN");
}

#[test]
fn galleries_outlive_the_appliance_and_the_erased_does_not_return() {
    let folder = tempfile::tempdir().expect("a folder");
    let (anna, generation) = {
        let server = Server::start(Setup::on_disk(folder.path()));
        let made = create(&server, "flight");
        assert_eq!(made["custodian"]["name"], "file");
        assert!(!made["custodian"]["leaves"].as_str().expect("words").is_empty());
        let anna = enrol(&server, 1, &json!({}));
        let ben = enrol(&server, 2, &json!({}));
        let path = format!("/v1/galleries/flight/subjects/{ben}?purpose=boarding");
        let receipt = server.delete(&path).ok(200);
        assert_eq!((&receipt["custodian"], &receipt["subject"]), (&json!("file"), &json!(ben)));
        (anna, described(&server)["generation"].clone())
    };
    let server = Server::start(Setup::on_disk(folder.path()));
    assert_eq!(described(&server)["generation"], generation);
    assert_eq!([candidates(&server, 1), candidates(&server, 2)], [1, 0]);
    let body = json!({ "gallery": "flight", "purpose": "boarding" });
    server.post_json("/v1/galleries", &body).problem(409, "GALLERY_EXISTS");
    let path = format!("/v1/galleries/flight/subjects/{anna}?purpose=boarding");
    server.delete(&path).ok(200);

    let deleted = server.delete("/v1/galleries/flight?purpose=boarding").ok(200);
    assert_eq!(deleted["rows"], 0);
    let left = |name: &str| fs::read_dir(folder.path().join(name)).expect("a folder").count();
    assert_eq!(left("galleries"), 0);
    server.get("/v1/galleries/flight?purpose=boarding").problem(404, "GALLERY_UNKNOWN");
    drop(server);
    let server = Server::start(Setup::on_disk(folder.path()));
    server.get("/v1/galleries/flight?purpose=boarding").problem(404, "GALLERY_UNKNOWN");
}

/// Copies the gallery's file, to put it back later.
fn copied(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("galleries/flight.gallery")).expect("a gallery file")
}

#[test]
fn a_gallery_that_does_not_open_is_refused_by_name_while_others_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = {
        let server = Server::start(Setup::on_disk(folder.path()));
        create(&server, "flight");
        create(&server, "other");
        let anna = enrol(&server, 1, &json!({}));
        let old = copied(folder.path());
        server.delete(&format!("/v1/galleries/flight/subjects/{anna}?purpose=boarding")).ok(200);
        old
    };
    // Somebody puts yesterday's copy back.
    fs::write(folder.path().join("galleries/flight.gallery"), old).expect("put back");
    let server = Server::start(Setup::on_disk(folder.path()));
    let ready = server.get("/readyz");
    let text = String::from_utf8(ready.body.clone()).expect("text");
    assert_eq!(ready.status, 200);
    assert!(text.contains("gallery flight is not served"), "{text}");
    let probe = json!({ "probe": image(&face(1)), "purpose": "access-control" });
    let asked = server.post_json("/v1/galleries/flight/identify", &probe);
    asked.problem(503, "GALLERY_UNAVAILABLE");
    server.get("/v1/galleries/flight?purpose=boarding").problem(503, "GALLERY_UNAVAILABLE");
    // The other was made for boarding, and is searched for nothing else.
    server.post_json("/v1/galleries/other/identify", &probe).problem(403, "FORBIDDEN");
    let probe = json!({ "probe": image(&face(1)), "purpose": "boarding" });
    server.post_json("/v1/galleries/other/identify", &probe).ok(200);
    let metrics = String::from_utf8(server.get("/metrics").body).expect("text");
    assert!(metrics.contains("portcullis_galleries{state=\"unavailable\"} 1"), "{metrics}");
    // Deleting is the way out: its keys are found by its head.
    let deleted = server.delete("/v1/galleries/flight?purpose=boarding").ok(200);
    assert_eq!(deleted["rows"], Value::Null, "nobody could count them");
    let told = String::from_utf8(server.get("/readyz").body).expect("text");
    assert!(told.starts_with("ready\n"), "{told}");
    create(&server, "flight");
}

/// An audit that takes so many entries and then none.
struct Filling {
    room: AtomicU32,
    entries: Mutex<Vec<AuditEntry>>,
}

impl Filling {
    fn new() -> Arc<Self> {
        Arc::new(Self { room: AtomicU32::new(u32::MAX), entries: Mutex::default() })
    }

    fn reasons(&self) -> Vec<&'static str> {
        let entries = self.entries.lock().expect("no panic");
        entries.iter().map(|entry| entry.reasons[0]).collect()
    }
}

impl AuditSink for Filling {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let count = u32::try_from(entries.len()).expect("a few");
        let room = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| {
            if room == u32::MAX { Some(room) } else { room.checked_sub(count) }
        });
        room.map_err(|_| AuditError { place: "disk".into(), why: "full".into() })?;
        self.entries.lock().expect("no panic").extend_from_slice(entries);
        Ok(())
    }
}

#[test]
fn an_erasure_is_ordered_in_the_audit_before_and_evidenced_after_it() {
    let audit = Filling::new();
    let sink: Arc<dyn AuditSink> = Arc::clone(&audit) as Arc<dyn AuditSink>;
    let server = Server::start(Setup { audit: Some(sink), ..Setup::default() });
    create(&server, "flight");
    let anna = enrol(&server, 1, &json!({}));
    let path = format!("/v1/galleries/flight/subjects/{anna}?purpose=boarding");
    // No room for the order: nothing is erased.
    audit.room.store(0, Ordering::SeqCst);
    server.delete(&path).problem(503, "AUDIT_UNAVAILABLE");
    assert_eq!(server.get("/readyz").status, 503);
    audit.room.store(u32::MAX, Ordering::SeqCst);
    assert_eq!(candidates(&server, 1), 1, "nothing was erased");
    // Room for the order, none for the result: it is erased, and the result is owed.
    audit.room.store(1, Ordering::SeqCst);
    let receipt = server.delete(&path).ok(200);
    assert_eq!(audit.reasons().last(), Some(&"ERASURE_ORDERED"));
    audit.room.store(u32::MAX, Ordering::SeqCst);
    assert_eq!(candidates(&server, 1), 0);
    let entries = audit.entries.lock().expect("no panic");
    let erased: Vec<&AuditEntry> =
        entries.iter().filter(|entry| entry.reasons == ["ERASED"]).collect();
    let evidence = erased[0].erasure.as_ref().expect("a receipt");
    assert_eq!(erased.len(), 1);
    assert_eq!(json!(evidence.generation), receipt["generation"]);
    assert_eq!(json!(evidence.epoch_destroyed), receipt["epochDestroyed"]);
    assert_eq!(evidence.rows, Some(1));
    assert_eq!(receipt["transaction"], erased[0].transaction.to_string());
}

#[test]
fn an_act_that_fails_after_its_order_says_so_in_the_audit() {
    let server = Server::start(Setup::default());
    create(&server, "flight");
    let path = format!("/v1/galleries/flight/subjects/{}?purpose=boarding", "00".repeat(16));
    server.delete(&path).problem(404, "SUBJECT_UNKNOWN");
    let ledger = server.audit.as_ref().expect("the scene's");
    let entries = ledger.entries.lock().expect("no panic");
    let last = entries.last().expect("an entry");
    assert_eq!(last.reasons, ["NOT_ERASED", "SUBJECT_UNKNOWN"]);
}
