//! The systems that an appliance can be, from the first step to the last erasure, over HTTP and by
//! a clock that the test sets. Names of tests bear the rows of requirements that they show.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use portcullis::{
    audit::{AuditSink, FileAudit, Signer},
    capture::runner::LanePlan,
    config::PersonKeys,
    http::Access,
    keys::{SigningKey, secret::Tokens},
    profile::{
        Profile,
        civil::date_s,
        text::{PlaceWord, RegionWord, StorageWord},
    },
    random::SystemEntropy,
    types::{Hash256, Outcome, Role},
};
use serde_json::{Value, json};

use crate::{
    filled::used_as,
    harness::{Answer, Server, Setup, UsedAs, WallClock, audit_in, caller, face, head, image},
};

const HOUR_S: i64 = 3600;

/// A time of the first of July 2026 in Copenhagen, which is two hours ahead.
pub(crate) fn at(hour: i64) -> i64 {
    date_s("2026-07-01").expect("a day") + (hour - 2) * HOUR_S
}

pub(crate) fn everybody() -> Access {
    let roles = [
        Role::Operator,
        Role::Gate,
        Role::Administrator,
        Role::Officer,
        Role::DataProtectionOfficer,
    ];
    Access::Loopback(roles.map(caller).to_vec())
}

pub(crate) fn site(name: &str, clock: &Arc<WallClock>) -> Server {
    Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as(name)),
        clock: Some(Arc::clone(clock)),
        attack_score: Some(0.1),
        ..Setup::default()
    })
}

pub(crate) fn put_into_use(server: &Server, purpose: &str) {
    let body = json!({ "purpose": purpose });
    assert_eq!(server.post_json("/v1/site/assessment", &body).ok(200)["stage"], "assessed");
    assert_eq!(server.post_json("/v1/site/activation", &body).ok(200)["stage"], "active");
}

pub(crate) fn id(number: u8) -> String {
    format!("{number:02x}").repeat(16)
}

pub(crate) fn consent() -> Value {
    json!({
        "textVersion": "3", "textHash": "ab".repeat(32), "language": "en", "channel": "desk",
        "purposes": ["face"], "affirmative": true, "alternativeOffered": true, "age": "adult",
    })
}

#[track_caller]
pub(crate) fn refused(answer: &Answer, code: &str) {
    answer.problem(403, "FORBIDDEN");
    let document = answer.json();
    let reasons = document["reasons"].as_array().expect("reasons");
    assert!(reasons.iter().any(|reason| reason["code"] == code), "{code}: {document:#}");
}

/// FaceVault's guests: `tivoli`, a gallery of one day.
struct Tivoli {
    server: Server,
    clock: Arc<WallClock>,
}

const TIVOLI: &str = "/v1/galleries/tivoli";

impl Tivoli {
    /// Assessed, in use, with an empty gallery, before the gates open; then at noon.
    fn open() -> Self {
        let clock = WallClock::at(at(8));
        let server = site("reentry-daily", &clock);
        put_into_use(&server, "access-control");
        let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
        server.post_json("/v1/galleries", &body).ok(201);
        clock.set(at(12));
        Self { server, clock }
    }

    fn enrol(&self, person: u8, more: &Value) -> Answer {
        let mut body = json!({
            "images": [image(&face(person))], "purpose": "access-control", "subject": id(person),
        });
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        self.server.post_json(&format!("{TIVOLI}/subjects"), &body)
    }

    fn goes_out(&self, person: u8) {
        self.enrol(person, &json!({ "consent": consent() })).ok(201);
    }

    /// What a gate is told of a guest who wants in.
    fn comes_back(&self, person: u8) -> Value {
        let body = json!({ "probe": image(&face(person)), "purpose": "access-control" });
        self.server.post_json(&format!("{TIVOLI}/identify"), &body).ok(200)
    }

    fn of(&self, person: u8, more: &str) -> String {
        format!("{TIVOLI}/subjects/{}{more}", id(person))
    }
}

#[test]
fn se_1_nl_5_nobody_is_searched_for_before_the_site_is_assessed_and_in_use() {
    let clock = WallClock::at(at(8));
    let server = site("reentry-daily", &clock);
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    let search = json!({ "probe": image(&face(1)), "purpose": "access-control" });
    refused(&server.post_json(&format!("{TIVOLI}/identify"), &search), "SITE_NOT_ACTIVE");
    let step = json!({ "purpose": "access-control" });
    refused(&server.post_json("/v1/site/activation", &step), "NOT_ASSESSED");
    put_into_use(&server, "access-control");
    assert_eq!(
        server.post_json(&format!("{TIVOLI}/identify"), &search).ok(200)["outcome"],
        "refer"
    );
    let other = json!({ "probe": image(&face(1)), "purpose": "boarding" });
    refused(&server.post_json(&format!("{TIVOLI}/identify"), &other), "PURPOSE_NOT_PERMITTED");
    let told = server.get("/v1/site").ok(200);
    assert_eq!((&told["profile"], &told["stage"]), (&json!("reentry-daily"), &json!("active")));
    assert_eq!((&told["missing"], &told["sealed"]), (&json!([]), &json!(false)));
    assert_eq!((&told["closes"], &told["fnirPpm"]), (&json!(at(23)), &json!(1000)));
    assert_eq!(told["consentsEndWithProcess"], true, "and every proof with them");
}

#[test]
fn fv_3_fv_22_a_guest_is_erased_before_the_gate_is_told_and_a_stranger_leaves_nothing() {
    let tivoli = Tivoli::open();
    tivoli.goes_out(1);
    let stranger = tivoli.comes_back(9);
    assert_eq!(stranger["outcome"], "refer", "{stranger:#}");
    let back = tivoli.comes_back(1);
    assert_eq!(back["outcome"], "admit", "{back:#}");
    let again = tivoli.comes_back(1);
    assert_eq!((&again["outcome"], &again["candidates"]), (&json!("refer"), &json!([])));
    let ledger = tivoli.server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let erased = entries.iter().rposition(|entry| entry.erasure.is_some()).expect("an erasure");
    let erasure = entries[erased].erasure.as_ref().expect("looked for");
    assert_eq!(
        (erasure.rows, entries[erased].subject.map(|id| id.to_string())),
        (Some(1), Some(id(1)))
    );
}

#[test]
fn fv_3_a_gate_is_not_told_to_open_when_the_erasure_took_too_long() {
    let tivoli = Tivoli::open();
    tivoli.goes_out(1);
    let ledger = tivoli.server.audit.as_ref().expect("the scene's audit");
    let (writes, clock) = (AtomicU32::new(0), Arc::clone(&tivoli.clock));
    // The decision is written in time; what it owes is not.
    let slow = move || {
        if writes.fetch_add(1, Ordering::SeqCst) == 1 {
            clock.jump_s(60);
        }
    };
    assert!(ledger.meanwhile.set(Arc::new(slow)).is_ok(), "set once");
    let back = tivoli.comes_back(1);
    assert_eq!(back["outcome"], "refer", "{back:#}");
    assert_eq!(back["reasons"][0]["code"], "ENGINE_LATE", "{back:#}");
    let entries = ledger.entries.lock().expect("no panic");
    assert!(entries.iter().any(|entry| entry.erasure.is_some()), "erased all the same");
    let last = entries.last().expect("recorded");
    assert_eq!((last.outcome, last.reasons[0]), (Some(Outcome::Refer), "ENGINE_LATE"));
}

#[test]
fn nl_7_cn_2_cn_3_ra_5_without_a_consent_that_counts_nobody_is_enrolled() {
    let tivoli = Tivoli::open();
    refused(&tivoli.enrol(1, &json!({})), "CONSENT_NOT_RECORDED");
    for (member, value, code) in [
        ("bundled", json!(true), "CONSENT_BUNDLED"),
        ("conditional", json!(true), "CONSENT_CONDITIONAL"),
        ("purposes", json!(["face", "marketing"]), "CONSENT_NOT_SEPARATE"),
        ("affirmative", json!(false), "CONSENT_NOT_AFFIRMATIVE"),
        ("alternativeOffered", json!(false), "CONSENT_WITHOUT_ALTERNATIVE"),
        ("language", json!(""), "CONSENT_NOT_RECORDED"),
        ("language", json!("fr"), "CONSENT_NOT_RECORDED"), // no notice is in it
        ("textHash", json!("cd".repeat(32)), "CONSENT_NOT_RECORDED"), // no text of the site
        ("relation", json!("employee"), "CONSENT_NOT_FREE"),
        ("age", json!("minor"), "PARENTAL_CONSENT_MISSING"),
    ] {
        let mut given = consent();
        given[member] = value;
        refused(&tivoli.enrol(1, &json!({ "consent": given })), code);
    }
    assert_eq!(tivoli.comes_back(1)["outcome"], "refer");
    // The register's consent counts as the request's own does.
    let body = json!({ "purpose": "access-control", "consent": consent() });
    tivoli.server.put_json(&tivoli.of(1, "/consent"), &body).ok(200);
    tivoli.enrol(1, &json!({})).ok(201);
    assert_eq!(tivoli.comes_back(1)["outcome"], "admit");
}

#[test]
fn fv_2_a_series_of_two_persons_is_refused() {
    let tivoli = Tivoli::open();
    let images = |persons: &[u8]| {
        let images: Vec<Value> = persons.iter().map(|&person| image(&face(person))).collect();
        json!({ "images": images, "consent": consent() })
    };
    refused(&tivoli.enrol(1, &images(&[1, 2])), "SERIES_OF_SEVERAL_PERSONS");
    tivoli.enrol(1, &images(&[1, 1])).ok(201);
    let ledger = tivoli.server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let counted = entries.iter().filter_map(|entry| {
        let frames = entry.frames?;
        Some((entry.reasons[0], frames))
    });
    assert_eq!(counted.collect::<Vec<_>>(), [("ENROLLED", 2)], "a series is one entry");
}

#[test]
fn nl_7_conflict_5_a_consent_is_withdrawn_in_one_call_also_in_the_sealed_window() {
    let tivoli = Tivoli::open();
    tivoli.goes_out(1);
    let withdrawn = tivoli.server.delete(&tivoli.of(1, "/consent?purpose=access-control")).ok(200);
    assert_eq!(withdrawn["rows"], 1);
    assert_eq!(tivoli.comes_back(1)["outcome"], "refer");
    let again = tivoli.server.delete(&tivoli.of(1, "/consent?purpose=access-control")).ok(200);
    assert_eq!(again["rows"], 0);
    refused(&tivoli.enrol(1, &json!({})), "CONSENT_WITHDRAWN");
    tivoli.clock.set(at(24));
    let held = tivoli.server.get(&tivoli.of(1, "?purpose=access-control")).ok(200);
    assert_eq!((&held["references"], &held["consent"]["withdrawn"]), (&json!([]), &json!(at(12))));
    assert_eq!(held["consent"]["given"], at(12), "the proof of the past consent stays");
    assert_eq!(held["site"]["controller"], "reference 7");
}

#[test]
fn fv_7_in_the_window_nobody_looks_or_changes() {
    let tivoli = Tivoli::open();
    tivoli.goes_out(1);
    let (purpose, server) = ("?purpose=access-control", &tivoli.server);
    let with = |more: Value| {
        let mut body = json!({ "purpose": "access-control" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        body
    };
    let picture = image(&face(1));
    let one = with(json!({ "image": picture["image"] }));
    let until = with(json!({ "image": picture["image"], "expiry": at(24) }));
    let entered = with(json!({ "entered": { "from": at(8), "until": at(20) } }));
    // Every sealed act that there is a call for; the others have none.
    let sealed = [
        server.post_json("/v1/site/activation", &with(json!({}))),
        server.post_json("/v1/site/assessment", &with(json!({}))),
        server.post_json("/v1/galleries", &with(json!({ "gallery": "second" }))),
        server.delete(&format!("{TIVOLI}{purpose}")),
        server.get(&format!("{TIVOLI}{purpose}")),
        server.post_json("/v1/embed", &one),
        server.get(&tivoli.of(1, purpose)),
        server.post_json("/v1/holder-tokens", &until),
        server.post_json(&format!("{TIVOLI}/affected"), &entered),
        server.post_json(&format!("{TIVOLI}/erase"), &with(json!({ "group": 7 }))),
        server.put_json(&tivoli.of(1, "/group"), &with(json!({ "group": 7 }))),
        server.put_json(&tivoli.of(1, ""), &with(json!({ "images": [picture] }))),
        server.put_json(&tivoli.of(1, "/restriction"), &with(json!({ "restricted": true }))),
    ];
    for answer in &sealed {
        refused(answer, "SEALED_WINDOW");
    }
    assert_eq!(tivoli.comes_back(1)["outcome"], "admit", "nothing has changed");
    tivoli.goes_out(2);
    let erased = tivoli.server.delete(&tivoli.of(2, purpose)).ok(200);
    assert_eq!(erased["rows"], 1, "erasing stays open");
}

#[test]
fn fv_10_fv_20_at_closing_everybody_goes_also_when_the_clock_leapt() {
    let tivoli = Tivoli::open();
    tivoli.goes_out(1);
    tivoli.clock.set(at(23) - 1);
    let stats = |tivoli: &Tivoli| tivoli.server.get(&format!("{TIVOLI}?purpose=access-control"));
    refused(&stats(&tivoli), "SEALED_WINDOW");
    tivoli.clock.set(at(23));
    let closed = stats(&tivoli).ok(200);
    assert_eq!((&closed["subjects"], &closed["rows"]), (&json!(0), &json!(0)));
    // The next days: a clock that leaps over a closing does not leap over its duty.
    tivoli.clock.set(at(24 + 12));
    tivoli.goes_out(2);
    tivoli.clock.set(at(24 + 24 + 12));
    assert_eq!(tivoli.comes_back(2)["outcome"], "refer");
    // Set back to an hour between the enrolment and its closing, in which it would still count.
    tivoli.clock.set(at(24 + 13));
    assert_eq!(tivoli.comes_back(2)["outcome"], "refer", "set back: it is gone all the same");
}

#[test]
fn nl_10_an_objection_erases_and_is_remembered() {
    let clock = WallClock::at(at(8));
    let server = site("residence", &clock);
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = json!({
        "images": [image(&face(1))], "purpose": "access-control", "subject": id(1),
        "consent": consent(),
    });
    server.post_json(&format!("{TIVOLI}/subjects"), &enrol).ok(201);
    let path = format!("{TIVOLI}/subjects/{}", id(1));
    let held = server.get(&format!("{path}?purpose=access-control")).ok(200);
    assert_eq!(held["references"].as_array().map(Vec::len), Some(1));
    assert!(
        held["references"][0]["expiry"].as_i64().is_some(),
        "nobody is kept for ever: {held:#}"
    );
    let text = held.to_string();
    assert!(!text.contains("values") && !text.contains("image"), "{text}");
    let purpose = json!({ "purpose": "access-control" });
    let erased = server.post_json(&format!("{path}/objection"), &purpose).ok(200);
    assert_eq!(erased["rows"], 1);
    let held = server.get(&format!("{path}?purpose=access-control")).ok(200);
    assert_eq!((&held["references"], &held["consent"]["objected"]), (&json!([]), &json!(at(8))));
    let nobody = format!("{TIVOLI}/subjects/{}?purpose=access-control", id(7));
    server.get(&nobody).problem(404, "SUBJECT_UNKNOWN");
}

#[test]
fn cn_6_a_minor_is_kept_for_a_shorter_time_and_flagged() {
    let clock = WallClock::at(at(8));
    let server = site("residence", &clock);
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    let kept_hours = |number: u8| {
        let path = format!("{TIVOLI}/subjects/{}?purpose=access-control", id(number));
        let held = server.get(&path).ok(200);
        let expiry = held["references"][0]["expiry"].as_i64();
        expiry.map(|expiry| (expiry - at(8)) / HOUR_S)
    };
    let entered = |number: u8, age: &str| {
        let mut given = consent();
        (given["age"], given["guardian"]) = (json!(age), json!("G-7"));
        json!({
            "images": [image(&face(number))], "purpose": "access-control", "subject": id(number),
            "consent": given,
        })
    };
    for (number, age) in [(1, "adult"), (2, "minor")] {
        server.post_json(&format!("{TIVOLI}/subjects"), &entered(number, age)).ok(201);
    }
    assert_eq!((kept_hours(1), kept_hours(2)), (Some(8784), Some(4392)));
    assert_eq!(server.get("/v1/site").ok(200)["minorKeptHours"], 4392);
    // New pictures give no more time than the first did.
    let mut again = entered(2, "minor");
    again.as_object_mut().expect("an object").remove("subject");
    server.put_json(&format!("{TIVOLI}/subjects/{}", id(2)), &again).ok(200);
    assert_eq!(kept_hours(2), Some(4392));
    clock.set(at(8) + 4392 * HOUR_S);
    let comes = |number: u8| {
        let references = json!([{ "gallery": "tivoli", "subject": id(number) }]);
        let body = json!({
            "probe": image(&face(number)), "references": references, "purpose": "access-control",
        });
        server.post_json("/v1/verify", &body)
    };
    assert_eq!(comes(1).ok(200)["outcome"], "admit", "an adult is still there");
    assert_ne!(comes(2).status, 200, "a minor is not");
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let flagged: Vec<_> = entries.iter().filter(|entry| entry.reasons.contains(&"MINOR")).collect();
    assert_eq!(flagged.len(), 1, "the enrolment of the minor");
    assert_eq!(flagged[0].subject.map(|subject| subject.to_string()), Some(id(2)));
}

/// A token and its line in the token file.
pub(crate) fn token(client: &str) -> String {
    format!("a token of {client} that is long enough")
}

pub(crate) fn line(role: &str, client: &str) -> String {
    let hash = Hash256::of(token(client).as_bytes());
    format!("{hash} {role} {client} 9999999999\n")
}

pub(crate) fn ask(server: &Server, client: &str, verb: &str, path: &str, body: &Value) -> Answer {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut headers = format!("Authorization: Bearer {}\r\n", token(client));
    if !body.is_null() {
        headers.push_str("Content-Type: application/json\r\n");
        headers.push_str(&format!("Content-Length: {}\r\n", text.len()));
    }
    server.exchange(&[head(verb, path, &headers), text.into_bytes()].concat())
}

pub(crate) fn person(client: &str, person: &str, until: &str) -> PersonKeys {
    PersonKeys {
        client: client.into(),
        person: person.into(),
        training: "TR-7".into(),
        trained_until: until.into(),
    }
}

/// A stadium's list, with a desk and three officers, one of them with two credentials.
fn stadium() -> Server {
    stadium_with(Vec::new())
}

/// The same with lanes, whose gate is `lane`.
pub(crate) fn stadium_with(lanes: Vec<LanePlan>) -> Server {
    let text = [
        line("administrator", "admin"),
        line("operator", "desk"),
        line("officer", "anna-1"),
        line("officer", "anna-2"),
        line("officer", "bo-1"),
        line("officer", "cem-1"),
        line("gate", "lane"),
    ];
    let people = vec![
        person("desk", "badge-9", "2027-01-01"),
        person("anna-1", "badge-1", "2027-01-01"),
        person("anna-2", "badge-1", "2027-01-01"),
        person("bo-1", "badge-2", "2027-01-01"),
        person("cem-1", "badge-3", "2026-06-30"),
    ];
    let server = Server::start(Setup {
        access: Access::Tokens(Tokens::parse(&text.concat(), "tokens").expect("callers")),
        used_as: Some(UsedAs { people, ..used_as("watchlist") }),
        clock: Some(WallClock::at(at(12))),
        attack_score: Some(0.1),
        lanes,
        ..Setup::default()
    });
    let step = json!({ "purpose": "watchlist" });
    ask(&server, "admin", "POST", "/v1/site/assessment", &step).ok(200);
    ask(&server, "admin", "POST", "/v1/site/activation", &step).ok(200);
    let list = json!({ "gallery": "banned", "purpose": "watchlist" });
    ask(&server, "desk", "POST", "/v1/galleries", &list).ok(201);
    server
}

pub(crate) fn entry(more: &Value) -> Value {
    let mut body = json!({
        "images": [image(&face(1))], "purpose": "watchlist", "subject": id(1),
        "expiry": at(24 * 30),
        "ground": { "reason": "decision 12/2026", "authority": "the court" },
    });
    let members = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

#[test]
fn edpb_05_2022_an_entry_has_a_reason_an_authority_and_an_end() {
    let server = stadium();
    let path = "/v1/galleries/banned/subjects";
    for wrong in [
        json!({ "ground": null }),
        json!({ "expiry": null }),
        json!({ "ground": { "reason": " ", "authority": "the court" } }),
    ] {
        let answer = ask(&server, "desk", "POST", path, &entry(&wrong));
        refused(&answer, "ENTRY_WITHOUT_GROUND");
    }
    ask(&server, "desk", "POST", path, &entry(&json!({}))).ok(201);
}

#[test]
fn ai_14_5_ai_12_3_se_4_fv_11_two_different_trained_persons_confirm_a_hit() {
    let server = stadium();
    let path = "/v1/galleries/banned/subjects";
    ask(&server, "desk", "POST", path, &entry(&json!({}))).ok(201);
    let search = json!({ "probe": image(&face(1)), "purpose": "watchlist" });
    let identify = "/v1/galleries/banned/identify";
    refused(&ask(&server, "cem-1", "POST", identify, &search), "TRAINING_EXPIRED");
    let found = ask(&server, "anna-1", "POST", identify, &search).ok(200);
    assert_eq!((&found["outcome"], &found["candidates"]), (&json!("refer"), &json!([])));
    let hit = found["transactionId"].as_str().or(found["transaction"].as_str()).expect("a name");
    let hit = format!("/v1/hits/{hit}");
    let state = |client: &str| {
        ask(&server, client, "GET", &format!("{hit}?purpose=watchlist"), &Value::Null).ok(200)
    };
    assert_eq!(
        (&state("bo-1")["state"], &state("bo-1")["subject"]),
        (&json!("pending"), &json!(id(1)))
    );
    let vote = |client: &str, vote: &str| {
        let body = json!({ "purpose": "watchlist", "vote": vote });
        ask(&server, client, "POST", &format!("{hit}/votes"), &body)
    };
    assert_eq!(vote("anna-1", "confirm").ok(200)["state"], "pending");
    assert_eq!(state("bo-1")["verifiedBy"], json!([]), "nobody is told what another said");
    refused(&vote("anna-1", "confirm"), "SAME_PERSON_TWICE");
    refused(&vote("anna-2", "confirm"), "SAME_PERSON_TWICE");
    refused(&vote("cem-1", "confirm"), "TRAINING_EXPIRED");
    let settled = vote("bo-1", "confirm").ok(200);
    assert_eq!(
        (&settled["state"], &settled["verifiedBy"]),
        (&json!("confirmed"), &json!(["badge-1", "badge-2"]))
    );
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let logged = entries.iter().find(|entry| entry.reasons == ["USE_LOGGED"]).expect("a use");
    let used = logged.used.as_ref().expect("the four facts");
    assert!(used.matched_input.is_some() && used.best.is_some() && used.began_s == at(12));
    let last = entries.iter().rev().find(|entry| entry.person.is_some()).expect("a vote");
    assert_eq!(last.used.as_ref().map(|used| used.verified_by.len()), Some(2));
    drop(entries);
    // A gate, which is a machine, is told that a person decides, and not about whom.
    let found = ask(&server, "lane", "POST", identify, &search).ok(200);
    assert_eq!((&found["outcome"], &found["candidates"]), (&json!("refer"), &json!([])));
    let of_gate = found["transaction"].as_str().expect("a name");
    let of_gate = format!("/v1/hits/{of_gate}?purpose=watchlist");
    refused(&ask(&server, "lane", "GET", &of_gate, &Value::Null), "ROLE_NOT_PERMITTED");
    assert_eq!(ask(&server, "bo-1", "GET", &of_gate, &Value::Null).ok(200)["state"], "pending");
    // Nobody on the list: nothing waits.
    let search = json!({ "probe": image(&face(8)), "purpose": "watchlist" });
    let none = ask(&server, "anna-1", "POST", identify, &search).ok(200);
    let hit = none["transactionId"].as_str().or(none["transaction"].as_str()).expect("a name");
    let path = format!("/v1/hits/{hit}?purpose=watchlist");
    ask(&server, "anna-1", "GET", &path, &Value::Null).problem(404, "HIT_UNKNOWN");
}

#[test]
fn ed_1_a_list_under_the_operators_key_is_refused_in_the_european_union() {
    let mut held = used_as("boarding-gallery");
    let create = |used_as: UsedAs| {
        let clock = WallClock::at(at(12));
        let server = Server::start(Setup {
            access: everybody(),
            used_as: Some(used_as),
            clock: Some(clock),
            ..Setup::default()
        });
        let body = json!({ "gallery": "kl-0893", "purpose": "boarding" });
        server.post_json("/v1/galleries", &body)
    };
    held.profile.region = RegionWord::EuropeanUnion;
    refused(&create(held), "EDPB_11_2024_SCENARIO_3");
    // The same under another name: a venue, or a key in memory that ends with the day.
    let mut held = used_as("boarding-gallery");
    held.profile.region = RegionWord::EuropeanUnion;
    held.profile.place = PlaceWord::Venue;
    refused(&create(held), "EDPB_11_2024_SCENARIO_3");
    let mut held = used_as("boarding-gallery");
    held.profile.region = RegionWord::EuropeanUnion;
    held.profile.retention.storage = Some(StorageWord::MemoryKeyDaily);
    refused(&create(held), "EDPB_11_2024_SCENARIO_3");
    create(used_as("boarding-gallery")).ok(201);
}

#[test]
fn se_6_se_7_who_was_entered_by_whom_is_listed_and_erased_with_a_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = WallClock::at(at(8));
    let server = Server::start(Setup {
        access: everybody(),
        used_as: Some(used_as("residence")),
        clock: Some(Arc::clone(&clock)),
        audit: Some(audit_in(folder.path())),
        ..Setup::default()
    });
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    for number in 1..=3 {
        clock.set(at(8 + i64::from(number)));
        let enrol = json!({
            "images": [image(&face(number))], "purpose": "access-control", "subject": id(number),
            "consent": consent(),
        });
        server.post_json(&format!("{TIVOLI}/subjects"), &enrol).ok(201);
    }
    let listed = |from: i64, by: &str| {
        let entered = json!({ "by": by, "from": from, "until": at(20) });
        let body = json!({ "purpose": "access-control", "entered": entered });
        let answer = server.post_json(&format!("{TIVOLI}/affected"), &body).ok(200);
        answer["subjects"].as_array().map_or(0, Vec::len)
    };
    assert_eq!([listed(at(9), "test"), listed(at(10), "test"), listed(at(9), "desk")], [3, 2, 0]);
    let entered = json!({ "by": "test", "from": at(10), "until": at(20) });
    let body = json!({ "purpose": "access-control", "entered": entered });
    assert_eq!(server.post_json(&format!("{TIVOLI}/erase"), &body).ok(200)["rows"], 2);
    assert_eq!(server.post_json(&format!("{TIVOLI}/erase"), &body).ok(200)["rows"], 0);
}

#[test]
fn se_5_steps_outlive_the_appliance_and_another_profile_opens_the_assessment_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |change: fn(&mut Profile)| {
        let mut held = UsedAs { folder: Some(folder.path().to_owned()), ..used_as("residence") };
        change(&mut held.profile);
        Server::start(Setup {
            access: everybody(),
            used_as: Some(held),
            clock: Some(WallClock::at(at(12))),
            ..Setup::on_disk(folder.path())
        })
    };
    let stage = |server: &Server| server.get("/v1/site").ok(200)["stage"].clone();
    let server = start(|_| {});
    put_into_use(&server, "access-control");
    drop(server);
    let server = start(|_| {});
    assert_eq!(stage(&server), "active");
    assert_eq!(server.get("/v1/site").ok(200)["consentsEndWithProcess"], false);
    drop(server);
    let server = start(|profile| profile.text_hash = Hash256::from_bytes([7; 32]));
    assert_eq!(
        (stage(&server), server.get("/v1/site").ok(200)["outdated"].clone()),
        (json!("draft"), json!(true))
    );
}

/// Copies the files of a folder, as a backup does.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Puts `folder` back as it was when `backup` was made of it, keys and register included.
fn put_back(backup: &Path, folder: &Path) {
    for name in ["galleries", "keys", "site"] {
        std::fs::remove_dir_all(folder.join(name)).expect("removed");
        copy(&backup.join(name), &folder.join(name));
    }
}

/// Copies galleries, keys and register to `backup`.
fn put_aside(folder: &Path, backup: &Path) {
    for name in ["galleries", "keys", "site"] {
        copy(&folder.join(name), &backup.join(name));
    }
}

#[test]
fn gdpr_17_a_register_that_is_put_back_with_everything_else_brings_nobody_back() {
    let [folder, backup, elsewhere] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let key = SigningKey::random(&SystemEntropy).expect("locked memory");
    let path = elsewhere.path().join("audit.jsonl");
    let audit = FileAudit::open(&path, Signer::new("test/audit", key)).expect("an audit");
    let audit: Arc<dyn AuditSink> = Arc::new(audit);
    std::fs::create_dir_all(folder.path().join("site")).expect("a folder");
    let start = || {
        let held = UsedAs { folder: Some(folder.path().join("site")), ..used_as("residence") };
        Server::start(Setup {
            access: everybody(),
            used_as: Some(held),
            clock: Some(WallClock::at(at(12))),
            audit: Some(Arc::clone(&audit)),
            ..Setup::on_disk(folder.path())
        })
    };
    let server = start();
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = |server: &Server, number: u8| {
        let body = json!({
            "images": [image(&face(number))], "purpose": "access-control", "subject": id(number),
            "consent": consent(), "group": number,
        });
        server.post_json(&format!("{TIVOLI}/subjects"), &body).ok(201);
    };
    [1, 2, 3].into_iter().for_each(|number| enrol(&server, number));
    drop(server);
    put_aside(folder.path(), backup.path());
    let path = |number: u8, more: &str| {
        format!("{TIVOLI}/subjects/{}{more}?purpose=access-control", id(number))
    };
    let references = |server: &Server, number: u8| {
        let held = server.get(&path(number, "")).ok(200);
        held["references"].as_array().map(Vec::len)
    };
    let server = start();
    server.delete(&path(1, "/consent")).ok(200);
    server.delete(&path(2, "")).ok(200);
    enrol(&server, 2); // anew, which the copy does not have
    drop(server);
    put_back(backup.path(), folder.path());
    let server = start();
    let held = [1, 2, 3].map(|number| references(&server, number));
    assert_eq!(held, [Some(0), Some(0), Some(1)], "the audit still knows");
    assert_eq!(server.get(&path(1, "")).ok(200)["consent"]["ended"], at(12));
    let group = json!({ "purpose": "access-control", "group": 3 });
    assert_eq!(server.post_json(&format!("{TIVOLI}/erase"), &group).ok(200)["rows"], 1);
    // What found nobody afterwards does not make that undone.
    let entered = json!({ "by": "desk", "from": at(9), "until": at(20) });
    let entered = json!({ "purpose": "access-control", "entered": entered });
    assert_eq!(server.post_json(&format!("{TIVOLI}/erase"), &entered).ok(200)["rows"], 0);
    drop(server);
    // Of persons who were erased together, the audit does not tell who they were.
    put_back(backup.path(), folder.path());
    for _ in 0..2 {
        let server = start();
        let told = server.get(&path(3, "")).problem(503, "GALLERY_UNAVAILABLE");
        assert!(told.contains("an older copy"), "{told}");
    }
    let server = start();
    server.delete(&format!("{TIVOLI}?purpose=access-control")).ok(200);
    server.post_json("/v1/galleries", &body).ok(201);
    drop(server);
    enrol(&start(), 3);
}

#[test]
fn gdpr_17_a_gallery_that_is_put_back_with_its_keys_brings_nobody_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let backup = tempfile::tempdir().expect("a folder");
    let start = || {
        let held = UsedAs { folder: Some(folder.path().join("site")), ..used_as("residence") };
        std::fs::create_dir_all(folder.path().join("site")).expect("a folder");
        Server::start(Setup {
            access: everybody(),
            used_as: Some(held),
            clock: Some(WallClock::at(at(12))),
            ..Setup::on_disk(folder.path())
        })
    };
    let server = start();
    put_into_use(&server, "access-control");
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = json!({
        "images": [image(&face(1))], "purpose": "access-control", "subject": id(1),
        "consent": consent(),
    });
    server.post_json(&format!("{TIVOLI}/subjects"), &enrol).ok(201);
    let path = format!("{TIVOLI}/subjects/{}", id(1));
    drop(server);
    // An operator who copies the key files, too, can open what was erased; the register still
    // knows.
    let both = ["galleries", "keys"];
    for name in both {
        copy(&folder.path().join(name), &backup.path().join(name));
    }
    let server = start();
    assert_eq!(server.delete(&format!("{path}/consent?purpose=access-control")).ok(200)["rows"], 1);
    drop(server);
    for name in both {
        std::fs::remove_dir_all(folder.path().join(name)).expect("removed");
        copy(&backup.path().join(name), &folder.path().join(name));
    }
    let server = start();
    let held = server.get(&format!("{path}?purpose=access-control")).ok(200);
    assert_eq!(held["references"], json!([]));
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    assert!(entries.iter().any(|entry| entry.reasons == ["ERASED_AGAIN"]));
}
