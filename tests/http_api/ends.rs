//! What ends, and what wins where two things meet: a withdrawal and an enrolment, an erasure and a
//! consent, a clock and a day, a loss of power and an open gate.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
};

use portcullis::{
    audit::{AuditEntry, AuditError, AuditSink, FileAudit, Signer},
    keys::SigningKey,
    random::SystemEntropy,
    types::Action,
};
use serde_json::{Value, json};

use crate::{
    filled::used_as,
    harness::{Answer, Server, Setup, UsedAs, WallClock, face, head, image, verify_body},
    site::{at, consent, everybody, id, person, put_into_use, refused, site},
};

const ACCESS: &str = "access-control";
const HOMES: &str = "/v1/galleries/homes";
const HOUR_S: i64 = 3600;

/// A residence in use, with an empty gallery, at eight.
pub(crate) fn residence(audit: Option<Arc<dyn AuditSink>>) -> (Server, Arc<WallClock>) {
    let clock = WallClock::at(at(8));
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as("residence")),
        clock: Some(Arc::clone(&clock)),
        attack_score: Some(0.1),
        audit,
        ..Setup::default()
    });
    put_into_use(&server, ACCESS);
    make(&server);
    (server, clock)
}

fn make(server: &Server) {
    let body = json!({ "gallery": "homes", "purpose": ACCESS });
    server.post_json("/v1/galleries", &body).ok(201);
}

fn enrol(server: &Server, name: u8, faces: &[u8], more: &Value) -> Answer {
    let images: Vec<Value> = faces.iter().map(|&person| image(&face(person))).collect();
    let mut body = json!({ "images": images, "purpose": ACCESS, "subject": id(name) });
    let members = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    server.post_json(&format!("{HOMES}/subjects"), &body)
}

fn of(name: u8, more: &str) -> String {
    format!("{HOMES}/subjects/{}{more}?purpose={ACCESS}", id(name))
}

/// What is told about somebody.
fn held(server: &Server, name: u8) -> Value {
    server.get(&of(name, "")).ok(200)
}

fn consenting(version: &str) -> Value {
    let mut given = consent();
    given["textVersion"] = json!(version);
    json!({ "consent": given })
}

/// An audit during which something happens once: when the templates of an enrolment are made.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl AuditSink for Meanwhile {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let is_enrolment = entries.iter().any(|entry| entry.action == Action::Enrol);
        let act = is_enrolment.then(|| self.0.lock().expect("no panic").take()).flatten();
        if let Some(act) = act {
            act();
        }
        Ok(())
    }
}

/// Asks for a deletion from wherever.
fn delete(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(&head("DELETE", path, "")).expect("sent");
    assert_eq!(Answer::read(&mut stream).status, 200);
}

#[test]
fn gdpr_7_3_a_withdrawal_that_comes_while_an_enrolment_is_computed_wins() {
    let audit = Arc::new(Meanwhile::default());
    let (server, _clock) = residence(Some(Arc::clone(&audit) as Arc<dyn AuditSink>));
    let body = json!({ "purpose": ACCESS, "consent": consent() });
    server.put_json(&format!("{HOMES}/subjects/{}/consent", id(1)), &body).ok(200);
    // With the consent that is kept, and with one that the request brings along.
    for more in [json!({}), consenting("4")] {
        let (address, path) = (server.address, of(1, "/consent"));
        let withdraw: Box<dyn FnOnce() + Send> = Box::new(move || delete(address, &path));
        *audit.0.lock().expect("no panic") = Some(withdraw);
        enrol(&server, 1, &[1], &more).problem(409, "SUBJECT_ENDED_MEANWHILE");
        assert!(audit.0.lock().expect("no panic").is_none(), "it was withdrawn");
        let told = held(&server, 1);
        assert_eq!((&told["references"], &told["earlierConsents"]), (&json!([]), &json!([])));
        assert_eq!(told["consent"]["withdrawn"], at(8));
        assert_eq!(told["consent"]["textVersion"], "3", "what came too late is not kept");
    }
    enrol(&server, 1, &[1], &consenting("5")).ok(201);
}

#[test]
fn gdpr_7_1_an_enrolment_in_vain_leaves_the_consent_as_it_was() {
    let (server, _clock) = residence(None);
    for more in [consenting("3"), json!({}), json!({}), json!({})] {
        enrol(&server, 1, &[1], &more).ok(201); // a residence takes single pictures
    }
    enrol(&server, 1, &[1], &consenting("4")).problem(409, "SUBJECT_FULL");
    let told = held(&server, 1);
    assert_eq!(told["consent"]["textVersion"], "3");
    assert_eq!(told["earlierConsents"], json!([]));
    assert_eq!(told["references"].as_array().map(Vec::len), Some(4));
    // Somebody who withdrew, and whom the gallery does not take, has withdrawn.
    server.delete(&of(1, "/consent")).ok(200);
    let mut late = consenting("5");
    (late["notBefore"], late["expiry"]) = (json!(at(9)), json!(at(9)));
    enrol(&server, 1, &[1], &late).problem(422, "VALIDITY_EMPTY");
    assert_eq!(held(&server, 1)["consent"]["withdrawn"], at(8));
}

#[test]
fn fv_2_another_persons_face_is_not_added_under_a_consent() {
    let (server, _clock) = residence(None);
    enrol(&server, 1, &[1], &consenting("3")).ok(201);
    refused(&enrol(&server, 1, &[2], &json!({})), "SERIES_OF_SEVERAL_PERSONS");
    assert_eq!(held(&server, 1)["references"].as_array().map(Vec::len), Some(1));
    enrol(&server, 1, &[1], &json!({})).ok(201);
}

#[test]
fn gdpr_7_1_a_consent_ends_with_every_erasure_and_stays_as_a_proof() {
    let (server, clock) = residence(None);
    let selected = |more: &Value| {
        let mut body = json!({ "purpose": ACCESS });
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        assert_eq!(server.post_json(&format!("{HOMES}/erase"), &body).ok(200)["rows"], 1);
    };
    let ends: [&dyn Fn(); 4] = [
        &|| assert_eq!(server.delete(&of(1, "")).ok(200)["rows"], 1),
        &|| selected(&json!({ "group": 7 })),
        &|| clock.set(at(20)),
        &|| {
            server.delete(&format!("{HOMES}?purpose={ACCESS}")).ok(200);
            make(&server);
        },
    ];
    for (number, end) in (1_usize..).zip(ends) {
        let mut first = consenting(&number.to_string());
        first["group"] = json!(7);
        if number == 3 {
            first["expiry"] = json!(at(20));
        }
        enrol(&server, 1, &[1], &first).ok(201);
        end();
        if number == 3 {
            let body = json!({ "purpose": ACCESS, "expired": true });
            server.post_json(&format!("{HOMES}/erase"), &body).ok(200);
        }
        let told = held(&server, 1);
        assert_eq!(told["references"], json!([]), "{number}");
        assert!(told["consent"]["ended"].is_i64(), "{number}: {told:#}");
        refused(&enrol(&server, 1, &[1], &json!({})), "CONSENT_WITHDRAWN");
        let earlier = told["earlierConsents"].as_array().expect("a list");
        assert_eq!(earlier.len(), number - 1, "each that was given is still proven");
    }
}

#[test]
fn gdpr_7_nobody_is_kept_for_longer_than_the_consent_holds() {
    let (server, clock) = residence(None);
    let mut given = consenting("3");
    given["consent"]["expiry"] = json!(at(10));
    enrol(&server, 1, &[1], &given).ok(201);
    assert_eq!(held(&server, 1)["references"][0]["expiry"], at(10));
    // One that was recorded before counts in the same way.
    let body = json!({ "purpose": ACCESS, "consent": given["consent"] });
    server.put_json(&format!("{HOMES}/subjects/{}/consent", id(2)), &body).ok(200);
    enrol(&server, 2, &[2], &json!({})).ok(201);
    assert_eq!(held(&server, 2)["references"][0]["expiry"], at(10));
    // And one that is given later ends what was enrolled under another.
    enrol(&server, 3, &[3], &consenting("3")).ok(201);
    assert_ne!(held(&server, 3)["references"][0]["expiry"], at(10));
    server.put_json(&format!("{HOMES}/subjects/{}/consent", id(3)), &body).ok(200);
    assert_eq!(held(&server, 3)["references"][0]["expiry"], at(10));
    clock.set(at(10));
    refused(&enrol(&server, 1, &[1], &json!({})), "CONSENT_WITHDRAWN");
}

#[test]
fn edpb_05_2022_gdpr_17_the_ground_of_an_entry_goes_with_it() {
    let people = vec![person("test", "badge-1", "2027-01-01")];
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(UsedAs { people, ..used_as("watchlist") }),
        clock: Some(WallClock::at(at(12))),
        attack_score: Some(0.1),
        ..Setup::default()
    });
    put_into_use(&server, "watchlist");
    let list = json!({ "gallery": "banned", "purpose": "watchlist" });
    server.post_json("/v1/galleries", &list).ok(201);
    let entry = json!({
        "images": [image(&face(1))], "purpose": "watchlist", "subject": id(1),
        "expiry": at(24 * 30),
        "ground": { "reason": "decision 12/2026", "authority": "the court" },
    });
    server.post_json("/v1/galleries/banned/subjects", &entry).ok(201);
    let path = format!("/v1/galleries/banned/subjects/{}?purpose=watchlist", id(1));
    assert_eq!(server.get(&path).ok(200)["ground"], json!(["decision 12/2026", "the court"]));
    server.delete(&path).ok(200);
    server.get(&path).problem(404, "SUBJECT_UNKNOWN");
}

#[test]
fn ed_4_gdpr_7_a_token_rests_on_a_consent_that_is_kept_and_can_be_taken_back() {
    let clock = WallClock::at(at(12));
    let server = site("egate-holder-token", &clock);
    put_into_use(&server, "boarding");
    let issue = |person: u8| {
        let body = json!({
            "image": image(&face(person))["image"], "purpose": "boarding",
            "expiry": at(24 * 3_650), "consent": consent(),
        });
        server.post_json("/v1/holder-tokens", &body).ok(201)
    };
    let passes = |person: u8, issued: &Value| {
        let reference = json!({ "holderToken": issued["token"] });
        server.post_json("/v1/verify", &verify_body(&face(person), &[reference]))
    };
    let (first, second) = (issue(1), issue(2));
    assert_eq!(passes(1, &first).ok(200)["outcome"], "admit");
    let subject = first["subject"].as_str().expect("a name");
    let path = format!("/v1/galleries/holder-tokens/subjects/{subject}");
    let proof = server.get(&format!("{path}?purpose=boarding")).ok(200);
    assert_eq!(proof["consent"]["given"], at(12));
    server.delete(&format!("{path}/consent?purpose=boarding")).ok(200);
    refused(&passes(1, &first), "CONSENT_WITHDRAWN");
    let proof = server.get(&format!("{path}?purpose=boarding")).ok(200);
    assert_eq!(proof["consent"]["withdrawn"], at(12), "the proof stays");
    // A year, whatever was asked for.
    clock.set(at(12) + 8_784 * HOUR_S - 1);
    assert_eq!(passes(2, &second).ok(200)["outcome"], "admit");
    clock.set(at(12) + 8_784 * HOUR_S);
    passes(2, &second).problem(422, "HOLDER_TOKEN_REFUSED");
}

#[test]
fn gdpr_15_an_export_of_a_token_tells_its_issuing_and_its_refusals_and_no_journeys() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = SigningKey::random(&SystemEntropy).expect("locked memory");
    let path = folder.path().join("audit.jsonl");
    let audit = FileAudit::open(&path, Signer::new("test/audit", key)).expect("an audit");
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as("egate-holder-token")),
        clock: Some(WallClock::at(at(12))),
        attack_score: Some(0.1),
        audit: Some(Arc::new(audit)),
        ..Setup::default()
    });
    put_into_use(&server, "boarding");
    let issue = |person: u8| {
        let body = json!({
            "image": image(&face(person))["image"], "purpose": "boarding",
            "expiry": at(24 * 30), "consent": consent(),
        });
        server.post_json("/v1/holder-tokens", &body).ok(201)
    };
    let passes = |person: u8, issued: &Value| {
        let reference = json!({ "holderToken": issued["token"] });
        server.post_json("/v1/verify", &verify_body(&face(person), &[reference]))
    };
    let (first, _another) = (issue(1), issue(2));
    let subject = first["subject"].as_str().expect("a name");
    let path = format!("/v1/galleries/holder-tokens/subjects/{subject}");
    let actions = || {
        let told = server.get(&format!("{path}?purpose=boarding")).ok(200);
        let events = told["events"].as_array().expect("events").clone();
        let action = |event: &Value| event["action"].as_str().expect("a word").to_owned();
        events.iter().map(action).collect::<Vec<_>>()
    };
    assert_eq!(actions(), [Action::IssueToken.name()], "its own issuing, and nobody else's");
    assert_eq!(passes(1, &first).ok(200)["outcome"], "admit");
    let journeys =
        |told: &[String]| told.iter().filter(|action| *action == Action::Verify.name()).count();
    assert_eq!(journeys(&actions()), 0, "nobody follows a traveller by the token");
    server.delete(&format!("{path}/consent?purpose=boarding")).ok(200);
    refused(&passes(1, &first), "CONSENT_WITHDRAWN");
    assert_eq!(journeys(&actions()), 1, "a refusal is about the token alone");
}

#[test]
fn gdpr_7_1_the_consent_to_a_token_is_over_with_it_and_forgotten_when_it_was_proved() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("site")).expect("a folder");
    let clock = WallClock::at(at(12));
    let start = || {
        let mut held =
            UsedAs { folder: Some(folder.path().join("site")), ..used_as("egate-holder-token") };
        held.profile.retention.consent_days = Some(10);
        Server::start(Setup {
            access: everybody(),
            used_as: Some(held),
            clock: Some(Arc::clone(&clock)),
            attack_score: Some(0.1),
            ..Setup::on_disk(folder.path())
        })
    };
    let server = start();
    put_into_use(&server, "boarding");
    let body = json!({
        "image": image(&face(1))["image"], "purpose": "boarding", "expiry": at(24 * 30),
        "consent": consent(),
    });
    let issued = server.post_json("/v1/holder-tokens", &body).ok(201);
    let subject = issued["subject"].as_str().expect("a name");
    let path = format!("/v1/galleries/holder-tokens/subjects/{subject}?purpose=boarding");
    assert_eq!(server.get(&path).ok(200)["consent"]["expiry"], at(24 * 30));
    let held = |server: &Server, consents: u64| {
        let text = String::from_utf8(server.get("/metrics").body).expect("text");
        assert!(text.contains(&format!("portcullis_consents {consents}\n")), "{text}");
    };
    held(&server, 1);
    drop(server);
    // What is due is done at the start, too.
    clock.set(at(24 * 40));
    let server = start();
    held(&server, 1);
    drop(server);
    clock.set(at(24 * 40) + 1);
    let server = start();
    held(&server, 0);
    server.get(&path).problem(404, "SUBJECT_UNKNOWN");
}

const GUESTS: &str = "/v1/galleries/guests";

fn goes_out(server: &Server, person: u8, name: u8) -> Answer {
    let body = json!({
        "images": [image(&face(person))], "purpose": ACCESS, "subject": id(name),
        "consent": consent(),
    });
    server.post_json(&format!("{GUESTS}/subjects"), &body)
}

fn comes_back(server: &Server, person: u8) -> Value {
    let body = json!({ "probe": image(&face(person)), "purpose": ACCESS });
    server.post_json(&format!("{GUESTS}/identify"), &body).ok(200)["outcome"].clone()
}

/// FaceVault, whose steps lie in `folder`; keys and consents are in memory.
fn reentry(folder: &Path, clock: &Arc<WallClock>) -> Server {
    // What is sealed with keys that ended opens for nobody; the product keeps it in memory.
    let _gone = fs::remove_file(folder.join("register.redb"));
    Server::start(Setup {
        access: everybody(),
        used_as: Some(UsedAs { folder: Some(folder.to_owned()), ..used_as("reentry-daily") }),
        clock: Some(Arc::clone(clock)),
        attack_score: Some(0.1),
        ..Setup::default()
    })
}

#[test]
fn fv_9_a_loss_of_power_in_the_window_wipes_and_the_day_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = WallClock::at(at(8));
    let server = reentry(folder.path(), &clock);
    put_into_use(&server, ACCESS);
    clock.set(at(12));
    goes_out(&server, 1, 1).ok(201);
    drop(server);
    let server = reentry(folder.path(), &clock);
    assert_eq!(comes_back(&server, 1), "refer", "wiped");
    goes_out(&server, 2, 2).ok(201);
    assert_eq!(comes_back(&server, 2), "admit");
    let body = json!({ "gallery": "second", "purpose": ACCESS });
    refused(&server.post_json("/v1/galleries", &body), "SEALED_WINDOW");
}

#[test]
fn fv_3_a_guest_who_was_enrolled_twice_is_erased_twice_and_nobody_else_is() {
    let clock = WallClock::at(at(8));
    let server = site("reentry-daily", &clock);
    put_into_use(&server, ACCESS);
    clock.set(at(12));
    // Out, back by a stamp, and out again.
    for (person, name) in [(1, 1), (1, 11), (2, 2)] {
        goes_out(&server, person, name).ok(201);
    }
    assert_eq!(["admit", "refer"].map(|_| comes_back(&server, 1)), ["admit", "refer"]);
    assert_eq!(comes_back(&server, 2), "admit");
}

#[test]
fn fv_10_whoever_is_enrolled_while_the_clock_is_wrong_goes_when_it_is_put_right() {
    let clock = WallClock::at(at(8));
    let server = site("reentry-daily", &clock);
    put_into_use(&server, ACCESS);
    clock.set(at(24 * 3_650 + 12));
    goes_out(&server, 1, 1).ok(201);
    clock.set(at(12));
    assert_eq!(comes_back(&server, 1), "refer");
    clock.set(at(24 + 8));
    let held = server.get(&format!("{GUESTS}?purpose={ACCESS}")).ok(200);
    assert_eq!((&held["subjects"], &held["rows"]), (&json!(0), &json!(0)));
    // And the days end again.
    clock.set(at(24 + 12));
    goes_out(&server, 2, 2).ok(201);
    clock.set(at(24 + 23));
    let held = server.get(&format!("{GUESTS}?purpose={ACCESS}")).ok(200);
    assert_eq!(held["subjects"], 0);
}
