//! Entry events of a residence: what a receiver of its own hears, when it is there, when it is not,
//! and after a restart.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use portcullis::{
    capture::runner::{LanePlan, SourcePlan},
    profile::Profile,
    types::{Hash256, Outcome},
};
use serde_json::{Value, json};

use crate::{
    filled::used_as,
    harness::{Server, Setup, UsedAs, WallClock, face, image},
    site::{at, consent, everybody, id, put_into_use},
};

const HOMES: &str = "/v1/galleries/homes";

/// A residence that tells the receiver at `told`; `None` for nobody.
fn residence(
    folder: &Path,
    told: Option<SocketAddr>,
    lanes: Vec<LanePlan>,
    change: fn(&mut Profile),
) -> Server {
    residence_by(WallClock::at(at(12)), folder, told, lanes, change)
}

fn residence_by(
    clock: Arc<WallClock>,
    folder: &Path,
    told: Option<SocketAddr>,
    lanes: Vec<LanePlan>,
    change: fn(&mut Profile),
) -> Server {
    let mut held = UsedAs { folder: Some(folder.join("site")), ..used_as("residence") };
    std::fs::create_dir_all(folder.join("site")).expect("a folder");
    let events = held.profile.events.as_mut().expect("it has events");
    events.webhook = told.map(|at| format!("http://{at}/in?key=7")).unwrap_or_default();
    held.profile.capture.match_zones.extend(lanes.iter().map(|lane| lane.name.to_string()));
    change(&mut held.profile);
    Server::start(Setup {
        access: everybody(),
        used_as: Some(held),
        clock: Some(clock),
        attack_score: Some(0.1),
        lanes,
        ..Setup::on_disk(folder)
    })
}

/// Person 1 lives there.
fn with_somebody(server: &Server) {
    put_into_use(server, "access-control");
    let body = json!({ "gallery": "homes", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    let enrol = json!({
        "images": [image(&face(1))], "purpose": "access-control", "subject": id(1),
        "consent": consent(),
    });
    server.post_json(&format!("{HOMES}/subjects"), &enrol).ok(201);
}

fn resident() -> Value {
    json!([{ "gallery": "homes", "subject": id(1) }])
}

/// `person` presents the resident's card; the outcome, and the decision's name in the audit.
fn comes(server: &Server, person: u8) -> (String, String) {
    let body = json!({
        "probe": image(&face(person)), "references": resident(), "purpose": "access-control",
    });
    let told = server.post_json("/v1/verify", &body).ok(200);
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("transaction"))
}

/// A place for a receiver, where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound")
}

/// Head and body of the next request, which is answered with `status`.
fn hears(listener: &TcpListener, status: u16) -> (String, Value) {
    let (stream, _) = listener.accept().expect("somebody calls");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut reader = BufReader::new(&stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).expect("a line") > 2 {
        head.push_str(&std::mem::take(&mut line));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.expect("a length").parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    let answer = format!("HTTP/1.1 {status} As scripted\r\nContent-Length: 0\r\n\r\n");
    (&stream).write_all(answer.as_bytes()).expect("sent");
    (head, serde_json::from_slice(&body).expect("JSON"))
}

/// Asks until `holds` of the answer's text.
#[track_caller]
fn until(server: &Server, path: &str, holds: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for _ in 0..1_000 {
        text = String::from_utf8(server.get(path).body).expect("text");
        if holds(&text) {
            return text;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{path} stays as it is: {text}");
}

#[test]
fn ra_2_an_entry_is_told_once_its_receiver_is_there_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = nobody();
    let server = residence(folder.path(), Some(place), Vec::new(), |_| {});
    with_somebody(&server);
    let (first, second) = (comes(&server, 1), comes(&server, 1));
    assert_eq!((first.0.as_str(), second.0.as_str()), ("admit", "admit"), "nobody waits");
    assert_eq!(comes(&server, 9).0, "refer", "who is not let in did not enter");
    let ready = until(&server, "/readyz", |text| text.contains("no connection"));
    assert!(ready.contains("entry events: 2 wait"), "{ready}");
    until(&server, "/metrics", |text| text.contains("portcullis_entry_events_waiting 2\n"));
    drop(server);
    let server = residence(folder.path(), Some(place), Vec::new(), |_| {});
    let listener = TcpListener::bind(place).expect("the receiver's port");
    let (head, body) = hears(&listener, 503);
    let expected = json!({ "event": first.1, "at": at(12), "place": "test", "decision": "admit" });
    assert_eq!(body, expected, "no face, no score, no name");
    assert!(head.starts_with("POST /in?key=7 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("Idempotency-Key: {}\r\n", first.1)), "{head}");
    until(&server, "/readyz", |text| text.contains("answered with status 503"));
    assert_eq!(hears(&listener, 204), (head, body), "the same again, under the same name");
    assert_eq!(hears(&listener, 200).1["event"], second.1.as_str(), "in their order");
    until(&server, "/readyz", |text| text == "ready\n");
    let told = until(&server, "/metrics", |text| text.contains("_waiting 0\n"));
    assert!(told.contains("portcullis_entry_events_total{fate=\"delivered\"} 2\n"), "{told}");
}

#[test]
fn ra_2_an_entry_at_a_lane_is_told_with_the_lanes_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = folder.path().join("frames");
    std::fs::create_dir_all(&frames).expect("a folder");
    std::fs::write(frames.join("1.png"), face(1)).expect("written");
    let door = LanePlan {
        name: "door-2".parse().expect("a name"),
        source: SourcePlan::Directory { folder: frames, period_us: 50_000 },
        deadline_ms: 20_000,
        external_detector: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = listener.local_addr().expect("bound");
    let server = residence(folder.path(), Some(place), vec![door], |_| {});
    with_somebody(&server);
    let body = json!({
        "transactionId": id(5), "purpose": "access-control", "references": resident(),
    });
    let standing = server.post_json("/v1/lanes/door-2/transactions", &body).ok(200);
    assert_eq!(standing["outcome"], "admit", "{standing}");
    let told = hears(&listener, 202).1;
    let expected = json!({ "event": id(5), "at": at(12), "place": "door-2", "decision": "admit" });
    assert_eq!(told, expected);
}

#[test]
fn conflict_2_an_entry_event_names_a_picture_only_on_a_stated_basis() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = listener.local_addr().expect("bound");
    let server = residence(folder.path(), Some(place), Vec::new(), |profile| {
        let events = profile.events.as_mut().expect("it has events");
        (events.image, events.image_basis) = (true, "clause 9".to_owned());
    });
    with_somebody(&server);
    assert_eq!(comes(&server, 1).0, "admit");
    let hash = Hash256::of(&face(1)).to_string();
    assert_eq!(hears(&listener, 204).1["imageSha256"], hash.as_str());
}

#[test]
fn ra_2_without_a_receiver_nothing_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = residence(folder.path(), None, Vec::new(), |_| {});
    with_somebody(&server);
    assert_eq!(comes(&server, 1).0, "admit");
    let told = server.get("/metrics");
    let text = String::from_utf8(told.body).expect("text");
    assert!(text.contains("portcullis_entry_events_total{fate=\"queued\"} 0\n"), "{text}");
}

#[test]
fn ra_2_an_admit_whose_event_is_queued_too_late_opens_nothing_and_is_told_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = WallClock::at(at(12));
    let told = Some(nobody());
    let server = residence_by(Arc::clone(&clock), folder.path(), told, Vec::new(), |_| {});
    with_somebody(&server);
    let ledger = server.audit.as_ref().expect("the scene's");
    // The decision is in the audit; what follows takes an hour.
    let meanwhile = ledger.meanwhile.set(Arc::new(move || clock.dawdle_in_a_request()));
    assert!(meanwhile.is_ok(), "set once");
    let (outcome, transaction) = comes(&server, 1);
    assert_eq!(outcome, "refer");
    let recorded = ledger.outcomes(transaction.parse().expect("an id"));
    assert_eq!(recorded, [Some(Outcome::Admit), Some(Outcome::Refer)], "as it was told");
    let text = String::from_utf8(server.get("/metrics").body).expect("text");
    assert!(text.contains("portcullis_entry_events_total{fate=\"queued\"} 1\n"), "{text}");
    assert!(text.contains("portcullis_entry_events_waiting 0\n"), "{text}");
}
