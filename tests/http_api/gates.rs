//! A gate at work: a controller that pushes frames, or a camera that replays a folder; transactions
//! that are opened, followed, ended, repeated, and interrupted by a restart.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use portcullis::{
    audit::{AuditEntry, AuditError, AuditSink},
    capture::runner::{LanePlan, SourcePlan},
    types::{Action, Outcome},
};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Server, Setup, WallClock, face, head, image, picture, post, verify_body},
    scene::Shows,
};

/// The camera of gate-1 brings a detector of its own; gate-2 has none.
fn lanes() -> Vec<LanePlan> {
    let pushed = |name: &str, detector: Option<&str>| LanePlan {
        name: name.parse().expect("a name"),
        source: SourcePlan::Http,
        deadline_ms: 20_000,
        external_detector: detector.map(str::to_owned),
    };
    vec![pushed("gate-1", Some("the camera's own")), pushed("gate-2", None)]
}

pub(crate) fn setup() -> Setup {
    Setup { lanes: lanes(), ..Setup::default() }
}

pub(crate) fn id(number: u8) -> String {
    format!("{number:02x}").repeat(16)
}

fn opening(number: u8, person: u8) -> Value {
    json!({
        "transactionId": id(number), "purpose": "boarding", "references": [image(&face(person))],
    })
}

pub(crate) const GATE: &str = "/v1/lanes/gate-1/transactions";

fn path(number: u8, more: &str) -> String {
    format!("{GATE}/{}{more}?purpose=boarding", id(number))
}

/// Sends a request with headers of its own.
fn send(server: &Server, path: &str, headers: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let headers =
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n{headers}", body.len());
    server.exchange(&[head("POST", path, &headers), body.into_bytes()].concat())
}

fn send_async(server: &Server, number: u8, person: u8) -> Answer {
    send(server, GATE, "Prefer: respond-async\r\n", &opening(number, person))
}

/// A controller that pushes one picture over and over while `during` runs.
pub(crate) fn while_pushing<R>(
    server: &Server,
    lane: &str,
    frame: &[u8],
    attack: Option<f32>,
    during: impl FnOnce() -> R,
) -> R {
    let mut body = json!({ "image": image(frame)["image"], "purpose": "boarding" });
    if let Some(score) = attack {
        body["attackScore"] = json!(score);
    }
    while_posting(server, lane, &body, during)
}

/// The same with the whole body of each request.
pub(crate) fn while_posting<R>(
    server: &Server,
    lane: &str,
    body: &Value,
    during: impl FnOnce() -> R,
) -> R {
    /// Ends the pushing, also where what runs meanwhile fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                server.post_json(&format!("/v1/lanes/{lane}/frames"), body).ok(202);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let _end = End(&done);
        during()
    })
}

/// Reads a transaction until it is over.
#[track_caller]
fn ended(server: &Server, number: u8) -> Value {
    for _ in 0..600 {
        let standing = server.get(&path(number, "")).ok(200);
        if standing["state"] != "open" {
            return standing;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("transaction {number} does not end");
}

#[track_caller]
fn is(standing: &Value, state: &str, outcome: &str, display: &str) {
    assert_eq!(standing["state"], state, "{standing}");
    assert_eq!(standing["outcome"], outcome, "{standing}");
    assert_eq!(standing["display"], display, "{standing}");
    let mut keys: Vec<&String> = standing.as_object().expect("an object").keys().collect();
    keys.sort_unstable();
    let known = ["attempt", "display", "lane", "outcome", "state", "transactionId"];
    assert_eq!(keys, known, "a passenger may read it: no score, no attack result, no reason");
}

#[test]
fn the_traveller_is_admitted_and_the_same_id_gets_the_same_answer() {
    let server = Server::start(setup());
    let answer = while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        server.post_json(GATE, &opening(1, 1))
    });
    let standing = answer.ok(200);
    is(&standing, "decided", "admit", "go-ahead");
    assert_eq!((&standing["lane"], &standing["attempt"]), (&json!("gate-1"), &json!(1)));
    // Again, for somebody else even: nothing is judged, the stored outcome is told.
    let again = server.post_json(GATE, &opening(1, 2)).ok(200);
    assert_eq!(again, standing);
    assert_eq!(server.get(&path(1, "")).ok(200), standing);
    assert_eq!(server.delete(&path(1, "")).ok(200), standing, "what ended stays as it ended");
    let other = "/v1/lanes/gate-2/transactions";
    server.post_json(other, &opening(1, 1)).problem(409, "TRANSACTION_OTHER_LANE");
    server.get(&format!("{other}/{}?purpose=boarding", id(1))).problem(404, "TRANSACTION_UNKNOWN");
}

#[test]
fn a_traveller_is_counted_once_and_a_prepared_reference_is_nobody() {
    let server = Server::start(setup());
    // Nobody looks at the camera for a while: many frames are judged.
    while_pushing(&server, "gate-1", &picture(Shows::Nobody, 1), Some(0.1), || {
        let deadline = "Portcullis-Deadline-Ms: 1500\r\n";
        let standing = send(&server, GATE, deadline, &opening(1, 1)).ok(200);
        is(&standing, "timed-out", "retry", "look-at-camera");
    });
    let metrics = String::from_utf8(server.get("/metrics").body).expect("text");
    let count = |stage: &str, kind: &str| -> Option<u64> {
        let labels = format!("{{stage=\"{stage}\",lane_kind=\"{kind}\"}}");
        let series = format!("portcullis_stage_seconds_count{labels} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series))?;
        Some(line.parse().expect("a count"))
    };
    assert_eq!(count("passage", "http"), Some(1), "{metrics}");
    assert!(count("transaction", "http") >= Some(1), "each frame is one");
    assert_eq!(count("capture", "request"), Some(1), "the reference was decoded");
    assert_eq!(count("transaction", "request"), None, "and nobody asked for a decision on it");
    let sum = "portcullis_stage_seconds_sum{stage=\"passage\",lane_kind=\"http\"} ";
    let sum = metrics.lines().find_map(|line| line.strip_prefix(sum)).expect("a sum");
    assert!(sum.parse::<f64>().expect("seconds") >= 1.5, "until the outcome was told: {sum}");
}

#[test]
fn the_audit_tells_what_the_traveller_is_not_told() {
    let server = Server::start(setup());
    while_pushing(&server, "gate-1", &face(1), Some(0.9), || {
        let standing = server.post_json(GATE, &opening(1, 1)).ok(200);
        is(&standing, "decided", "refer", "ask-officer");
    });
    let ledger = server.audit.as_ref().expect("the scene's");
    let entries = ledger.entries.lock().expect("no panic");
    let ends: Vec<_> = entries.iter().filter(|entry| entry.end.is_some()).collect();
    let [entry] = ends[..] else { panic!("{} ends", ends.len()) };
    assert_eq!(entry.transaction.to_string(), id(1));
    assert_eq!(entry.reasons, ["ATTACK_SUSPECTED"]);
    assert_eq!(entry.attack, portcullis::types::Attack::Score(0.9));
    let comparison = &entry.comparisons[0];
    assert!(comparison.score.expect("compared") >= comparison.threshold && comparison.fmr > 0.0);
    let end = entry.end.as_ref().expect("an end");
    assert_eq!((end.ended, end.attempt, end.timeout_ms), ("decided", 1, 20_000));
    let frame = end.frame.expect("a frame decided");
    let of_frame = entries.iter().find(|entry| entry.transaction == frame).expect("its own entry");
    let at_lane = of_frame.at_lane.as_ref().expect("a lane's frame");
    assert_eq!((at_lane.lane.as_str(), at_lane.transaction.to_string()), ("gate-1", id(1)));
}

#[test]
fn without_a_detector_nobody_is_admitted_at_a_lane() {
    let server = Server::start(setup()); // the policy itself asks for none
    let standing = while_pushing(&server, "gate-2", &face(1), None, || {
        server.post_json("/v1/lanes/gate-2/transactions", &opening(1, 1)).ok(200)
    });
    is(&standing, "decided", "refer", "ask-officer");
}

#[test]
fn a_photograph_without_a_face_refers_its_holder() {
    let server = Server::start(setup());
    let mut body = opening(1, 1);
    body["references"] = json!([image(&picture(Shows::Nobody, 1))]);
    let standing = while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        server.post_json(GATE, &body).ok(200)
    });
    is(&standing, "decided", "refer", "ask-officer");
    body["references"] = json!([{ "image": "AAEC" }]);
    body["transactionId"] = json!(id(2));
    server.post_json(GATE, &body).problem(415, "IMAGE_KIND_UNKNOWN");
    server.get(&path(2, "")).problem(404, "TRANSACTION_UNKNOWN");
}

#[test]
fn unusable_frames_are_retried_once_and_then_referred() {
    let server = Server::start(setup());
    let short = |number: u8, retry_of: Option<u8>| {
        let mut body = opening(number, 1);
        if let Some(earlier) = retry_of {
            body["retryOf"] = json!(id(earlier));
        }
        send(&server, GATE, "Portcullis-Deadline-Ms: 5000\r\n", &body)
    };
    while_pushing(&server, "gate-1", &picture(Shows::Two, 1), Some(0.1), || {
        let first = short(1, None).ok(200);
        is(&first, "timed-out", "retry", "one-person");
        short(2, Some(9)).problem(409, "RETRY_NOT_OFFERED");
        let second = short(3, Some(1)).ok(200);
        is(&second, "timed-out", "refer", "ask-officer");
        assert_eq!(second["attempt"], 2);
        short(4, Some(1)).problem(409, "RETRY_NOT_OFFERED");
        short(5, Some(3)).problem(409, "RETRY_NOT_OFFERED");
    });
    let nobody = short(6, None).ok(200);
    is(&nobody, "timed-out", "refer", "ask-officer");
}

#[test]
fn a_gallery_is_searched_at_a_lane() {
    let server = Server::start(setup());
    let gallery = json!({ "gallery": "flight-7", "purpose": "boarding" });
    server.post_json("/v1/galleries", &gallery).ok(201);
    let enrolment = json!({ "images": [image(&face(3))], "purpose": "boarding" });
    server.post_json("/v1/galleries/flight-7/subjects", &enrolment).ok(201);
    let search = |number: u8| json!({ "transactionId": id(number), "purpose": "boarding", "gallery": "flight-7" });
    while_pushing(&server, "gate-1", &face(3), Some(0.1), || {
        is(&server.post_json(GATE, &search(1)).ok(200), "decided", "admit", "go-ahead");
    });
    while_pushing(&server, "gate-1", &face(4), Some(0.1), || {
        let unknown = send(&server, GATE, "Portcullis-Deadline-Ms: 1500\r\n", &search(2)).ok(200);
        assert_eq!(unknown["outcome"], "refer");
    });
    let mut missing = search(3);
    missing["gallery"] = json!("flight-8");
    server.post_json(GATE, &missing).problem(404, "GALLERY_UNKNOWN");
}

#[test]
fn whoever_does_not_wait_follows_reads_and_ends_it() {
    let server = Server::start(setup());
    let accepted = send_async(&server, 1, 1);
    assert_eq!(accepted.ok(202)["state"], "open");
    assert!(accepted.head.contains("preference-applied: respond-async"), "{}", accepted.head);
    let place = format!("location: {GATE}/{}", id(1));
    assert!(accepted.head.contains(&place), "{}", accepted.head);
    let open = server.get(&path(1, "")).ok(200);
    assert_eq!((&open["outcome"], &open["display"]), (&Value::Null, &json!("look-at-camera")));
    server.post_json(GATE, &opening(2, 1)).problem(409, "LANE_OCCUPIED");
    let (on_a_word, body) =
        (format!("{GATE}/{}/override", id(1)), json!({ "purpose": "boarding" }));
    server.post_json(&on_a_word, &body).problem(409, "TRANSACTION_NOT_REFERRED");
    is(&server.delete(&path(1, "")).ok(200), "cancelled", "refer", "ask-officer");
    // FV-5, AI Act Art. 14(4): a person lets in whom the machine referred, and sees nothing for it.
    let let_in = server.post_json(&on_a_word, &body).ok(200);
    assert_eq!(let_in, json!({ "transactionId": id(1), "outcome": "admit" }));
    server.post_json(&on_a_word, &body).problem(409, "TRANSACTION_NOT_REFERRED");
    // The lane is free again, and the next traveller leaves.
    assert_eq!(send_async(&server, 2, 1).status, 202);
    let left = server.exchange(&post(&path(2, "/left"), "application/json", b""));
    is(&left.ok(200), "left", "refer", "ask-officer");
    assert_eq!(send_async(&server, 2, 1).ok(200)["state"], "left", "the stored outcome");
    for lane in ["/v1/lanes/gate-9/transactions", "/v1/lanes/gate-9/frames"] {
        let body = if lane.ends_with("frames") {
            json!({ "image": image(&face(1))["image"], "purpose": "boarding" })
        } else {
            opening(3, 1)
        };
        server.post_json(lane, &body).problem(404, "LANE_UNKNOWN");
    }
    server.get(&path(7, "")).problem(404, "TRANSACTION_UNKNOWN");
    server.get(&path(7, "/events")).problem(404, "TRANSACTION_UNKNOWN");
}

#[test]
fn ed_9_the_way_by_hand_is_timed_like_the_machines() {
    let clock = WallClock::at(1_800_000_000);
    let server = Server::start(Setup { clock: Some(Arc::clone(&clock)), ..setup() });
    assert_eq!(send_async(&server, 1, 1).status, 202);
    is(&server.delete(&path(1, "")).ok(200), "cancelled", "refer", "ask-officer");
    clock.jump_s(40);
    let body = json!({ "purpose": "boarding" });
    server.post_json(&format!("{GATE}/{}/override", id(1)), &body).ok(200);
    let metrics = String::from_utf8(server.get("/metrics").body).expect("text");
    for line in [
        "portcullis_by_hand_seconds_bucket{le=\"30\"} 0\n",
        "portcullis_by_hand_seconds_bucket{le=\"60\"} 1\n",
        "portcullis_by_hand_seconds_count 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let ledger = server.audit.as_ref().expect("the scene's");
    let entries = ledger.entries.lock().expect("no panic");
    let by_hand: Vec<u64> = entries.iter().filter_map(|entry| entry.by_hand_ms).collect();
    assert!(matches!(by_hand[..], [40_000..60_000]), "{by_hand:?}");
}

#[test]
fn two_requests_with_one_id_are_one_transaction() {
    let server = Server::start(setup());
    let answers: Vec<Value> = while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        thread::scope(|scope| {
            let request = || scope.spawn(|| server.post_json(GATE, &opening(1, 1)).ok(200));
            let both = [request(), request()];
            both.into_iter().map(|one| one.join().expect("no panic")).collect()
        })
    });
    is(&answers[0], "decided", "admit", "go-ahead");
    assert_eq!(answers[0], answers[1]);
    let ledger = server.audit.as_ref().expect("the scene's");
    let entries = ledger.entries.lock().expect("no panic");
    assert_eq!(entries.iter().filter(|entry| entry.end.is_some()).count(), 1);
}

/// Events of a transaction, each as its name and its document.
fn events(server: &Server, number: u8, mut heard: impl FnMut(&str)) -> Vec<(String, Value)> {
    let mut stream = server.connect();
    stream.write_all(&head("GET", &path(number, "/events"), "")).expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let status = lines.next().expect("an answer");
    assert!(status.contains(" 200 "), "{status}");
    let (mut name, mut events) = (String::new(), Vec::new());
    for line in lines {
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(document) = line.strip_prefix("data: ") {
            heard(&name);
            let document = serde_json::from_str(document).expect("one line of JSON");
            events.push((std::mem::take(&mut name), document));
        }
    }
    events
}

#[test]
fn a_display_follows_a_transaction_to_its_outcome() {
    let server = Server::start(setup());
    assert_eq!(send_async(&server, 1, 1).status, 202);
    let frame = picture(Shows::Two, 1);
    let told = while_pushing(&server, "gate-1", &frame, Some(0.1), || {
        let mut standings = 0;
        events(&server, 1, |name| {
            standings += u32::from(name == "standing");
            if standings == 2 {
                standings += 1; // the display was told what to do: now the traveller goes
                server.exchange(&post(&path(1, "/left"), "application/json", b"")).ok(200);
            }
        })
    });
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["standing", "standing", "outcome"]);
    assert_eq!(told[0].1["display"], "look-at-camera");
    assert_eq!(told[1].1["display"], "one-person");
    is(&told[2].1, "left", "refer", "ask-officer");
    // Whoever comes later hears the end, and no more.
    let late = events(&server, 1, |_| {});
    assert_eq!(late, [("outcome".to_owned(), told[2].1.clone())]);
}

/// An audit whose medium takes a minute for what opens a gate.
struct SlowToAdmit {
    clock: Arc<WallClock>,
    entries: Mutex<Vec<AuditEntry>>,
}

impl AuditSink for SlowToAdmit {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let opens = |entry: &AuditEntry| {
            let is_last = entry.end.is_some() || entry.at_lane.is_none();
            entry.outcome == Some(Outcome::Admit) && is_last
        };
        if entries.iter().any(opens) {
            self.clock.jump_s(60);
        }
        self.entries.lock().expect("no panic").extend_from_slice(entries);
        Ok(())
    }
}

#[test]
fn an_admit_that_is_recorded_too_late_opens_nothing() {
    let clock = WallClock::at(1_800_000_000);
    let slow = SlowToAdmit { clock: Arc::clone(&clock), entries: Mutex::default() };
    let audit = Arc::new(slow);
    let told = Arc::clone(&audit) as Arc<dyn AuditSink>;
    let server = Server::start(Setup { clock: Some(clock), audit: Some(told), ..setup() });
    let standing = while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        server.post_json(GATE, &opening(1, 1)).ok(200)
    });
    is(&standing, "timed-out", "refer", "ask-officer");
    assert_eq!(server.post_json(GATE, &opening(1, 1)).ok(200), standing);
    let body = verify_body(&face(1), &[image(&face(1))]);
    let decision = server.post_json("/v1/verify", &body).ok(200);
    assert_eq!(decision["outcome"], "refer", "{decision:#}");
    assert_eq!(decision["reasons"][0]["code"], "ENGINE_LATE", "{decision:#}");
    let entries = audit.entries.lock().expect("no panic");
    let last = |action: Action| {
        let of_it = entries.iter().filter(move |entry| entry.action == action);
        of_it.map(|entry| (entry.outcome, entry.reasons[0])).next_back().expect("recorded")
    };
    let refer = (Some(Outcome::Refer), "ENGINE_LATE");
    assert_eq!(last(Action::Verify), refer, "the audit says what was told");
    let ends: Vec<_> = entries.iter().filter_map(|entry| entry.end.as_ref()).collect();
    assert_eq!(ends.iter().map(|end| end.ended).collect::<Vec<_>>(), ["decided", "timed-out"]);
}

/// An audit that panics once, when it is told how a transaction ended.
#[derive(Default)]
struct PanicsOnce {
    has: AtomicBool,
    ends: Mutex<Vec<&'static str>>,
}

impl AuditSink for PanicsOnce {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        for entry in entries.iter().filter(|entry| entry.end.is_some()) {
            assert!(self.has.swap(true, Ordering::SeqCst), "as this test wants it");
            self.ends.lock().expect("no panic while noting").push(entry.reasons[0]);
        }
        Ok(())
    }
}

#[test]
fn a_panic_at_the_end_refers_the_traveller_and_leaves_the_lane_to_the_next() {
    let audit = Arc::new(PanicsOnce::default());
    let told = Arc::clone(&audit) as Arc<dyn AuditSink>;
    let server = Server::start(Setup { audit: Some(told), ..setup() });
    while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        let first = server.post_json(GATE, &opening(1, 1)).ok(200);
        is(&first, "interrupted", "refer", "ask-officer");
        assert_eq!(server.post_json(GATE, &opening(1, 1)).ok(200), first);
        is(&server.post_json(GATE, &opening(2, 1)).ok(200), "decided", "admit", "go-ahead");
    });
    let ends = audit.ends.lock().expect("no panic");
    assert_eq!(ends[0], "TRANSACTION_FAILED", "the audit says what was told");
    assert_eq!(ends.len(), 2);
}

#[test]
fn whoever_stands_at_a_gate_is_told_when_the_appliance_stops() {
    let server = Server::start(setup());
    let appliance = server.appliance.as_ref().expect("the product's own");
    // One waits for its answer, the other follows the events.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.post_json(GATE, &opening(1, 1)).ok(200));
        while server.get(&path(1, "")).status != 200 {
            thread::sleep(Duration::from_millis(5));
        }
        let following = scope.spawn(|| {
            events(&server, 1, |name| {
                if name == "standing" {
                    appliance.refuse_more(); // what comes first when a process is told to stop
                }
            })
        });
        let told = following.join().expect("no panic");
        is(&told.last().expect("an outcome").1, "interrupted", "refer", "ask-officer");
        is(&waiting.join().expect("no panic"), "interrupted", "refer", "ask-officer");
    });
    server.post_json(GATE, &opening(2, 1)).problem(503, "NOT_READY");
    appliance.stop();
}

fn with_journal(folder: &Path) -> Setup {
    Setup { journal: Some(folder.join("transactions.jsonl")), ..setup() }
}

#[test]
fn after_a_restart_what_ended_is_told_and_what_did_not_is_referred() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(with_journal(folder.path()));
    let admitted = while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        server.post_json(GATE, &opening(1, 1)).ok(200)
    });
    is(&admitted, "decided", "admit", "go-ahead");
    assert_eq!(send_async(&server, 2, 1).status, 202);
    // The power goes: what the journal holds at this moment is what a new process finds.
    let left = folder.path().join("left");
    fs::create_dir(&left).expect("a folder");
    let name = "transactions.jsonl";
    fs::copy(folder.path().join(name), left.join(name)).expect("the journal");
    server.delete(&path(2, "")).ok(200); // the old process hears nothing of the power cut
    drop(server);

    let server = Server::start(with_journal(&left));
    assert_eq!(server.post_json(GATE, &opening(1, 1)).ok(200), admitted);
    let interrupted = while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        server.post_json(GATE, &opening(2, 1)).ok(200)
    });
    is(&interrupted, "interrupted", "refer", "ask-officer");
    assert_eq!(server.get(&path(2, "")).ok(200), interrupted);
    while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        is(&server.post_json(GATE, &opening(3, 1)).ok(200), "decided", "admit", "go-ahead");
    });
}

#[test]
fn a_folder_of_photographs_is_a_camera() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, shows) in [Shows::Nobody, Shows::Face].into_iter().enumerate() {
        let name = folder.path().join(format!("{number}.png"));
        fs::write(name, picture(shows, 1)).expect("a photograph");
    }
    let camera = LanePlan {
        name: "gate-1".parse().expect("a name"),
        source: SourcePlan::Directory { folder: folder.path().to_owned(), period_us: 50_000 },
        deadline_ms: 20_000,
        external_detector: None,
    };
    let server =
        Server::start(Setup { lanes: vec![camera], attack_score: Some(0.05), ..Setup::default() });
    is(&server.post_json(GATE, &opening(1, 1)).ok(200), "decided", "admit", "go-ahead");
    let short = "Portcullis-Deadline-Ms: 1500\r\n";
    let other = send(&server, GATE, short, &opening(2, 2)).ok(200);
    assert_eq!(other["outcome"], "refer", "{other}");
    assert_eq!(ended(&server, 2), other);
    let frame = json!({ "image": image(&face(1))["image"], "purpose": "boarding" });
    server.post_json("/v1/lanes/gate-1/frames", &frame).problem(409, "LANE_NOT_PUSHED");
}

#[test]
fn displays_find_every_text() {
    let server = Server::start(setup());
    let table = server.get("/v1/display-texts").ok(200);
    let displays = table["displays"].as_array().expect("rows");
    let keys: Vec<&str> = displays.iter().filter_map(|row| row["key"].as_str()).collect();
    assert!(keys.contains(&"ask-officer") && keys.contains(&"come-closer"), "{keys:?}");
    assert!(displays.iter().all(|row| row["texts"]["en"].is_string()));
}

#[test]
fn a_watcher_that_goes_away_stops_nobody() {
    let server = Server::start(setup());
    assert_eq!(send_async(&server, 1, 1).status, 202);
    let mut watcher = server.connect();
    watcher.write_all(&head("GET", &path(1, "/events"), "")).expect("sent");
    let mut first = [0; 64];
    watcher.read_exact(&mut first).expect("the answer begins");
    drop(watcher);
    while_pushing(&server, "gate-1", &face(1), Some(0.1), || {
        is(&ended(&server, 1), "decided", "admit", "go-ahead");
    });
}
