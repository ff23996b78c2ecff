//! Who may come in, how many at once, and what a fault of ours looks like from outside.

use std::{
    io::Write,
    sync::{Arc, Barrier, Condvar, Mutex},
    thread,
};

use portcullis::{
    command::{
        Answer, Command, EngineVersion, LaneCommand, Readiness, Refusal, Request, Service,
        Stranger, Version,
    },
    config,
    http::{Access, route},
    keys::secret::Tokens,
    meter::Shed,
    types::{Action, Hash256, Role, TemplateKind},
};
use serde_json::{Value, json};

use crate::harness::{Server, Setup, caller, face, head, image, verify_body, world};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn routes_and_methods_that_do_not_exist() {
    let server = Server::start(Setup::default());
    server.get("/").problem(404, "ROUTE_UNKNOWN");
    server.get("/v1/verify/").problem(404, "ROUTE_UNKNOWN");
    server.post_json("/v2/verify", &json!({})).problem(404, "ROUTE_UNKNOWN");
    let refused = server.get("/v1/verify");
    refused.problem(405, "METHOD_NOT_ALLOWED");
    assert!(refused.head.contains("allow: post"), "{}", refused.head);
    server.delete("/livez").problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(server.exchange(b"nonsense\r\n\r\n").status, 400);
}

#[test]
fn every_documented_route_is_served_and_every_served_one_documented() {
    let server = Server::start(Setup::default());
    let served = server.get("/openapi.json").ok(200);
    let document: Value = serde_json::from_str(&route::document()).expect("JSON");
    assert_eq!(served, document);
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{gallery}", "g").replace("{subject}", &"00".repeat(16));
        for verb in item.as_object().expect("operations").keys() {
            let answer = server.exchange(&head(&verb.to_uppercase(), &path, ""));
            let text = String::from_utf8_lossy(&answer.body);
            let missing =
                ["ROUTE_UNKNOWN", "METHOD_NOT_ALLOWED"].map(|code| format!("\"code\":\"{code}\""));
            assert!(!missing.iter().any(|code| text.contains(code)), "{verb} {path}: {text}");
        }
        // What is not documented for the path is not served either.
        let documented: Vec<_> = item.as_object().expect("operations").keys().collect();
        for verb in ["get", "post", "put", "patch", "delete"] {
            if !documented.iter().any(|known| *known == verb) {
                let answer = server.exchange(&head(&verb.to_uppercase(), &path, ""));
                assert_eq!(answer.status, 405, "{verb} {path}");
            }
        }
    }
}

#[test]
fn probes_tell_the_truth_before_the_service_is_there() {
    let world = world();
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    let server = Server::with_service(access, &config::Limits::default(), &world, None);
    assert_eq!(server.get("/livez").status, 200);
    server.get("/startupz").problem(503, "NOT_READY");
    server.get("/readyz").problem(503, "NOT_READY");
    let early = server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))]));
    early.problem(503, "NOT_READY");
    assert!(early.head.contains("retry-after: 1"), "{}", early.head);
    let started = Server::start(Setup::default());
    assert_eq!((started.get("/startupz").status, started.get("/readyz").status), (200, 200));
    let version = started.get("/v1/version").ok(200);
    assert_eq!(version["api"], json!("v1"));
    for part in ["networks", "search"] {
        assert_eq!(version[part]["backend"], json!("reference"));
        assert_eq!(version[part]["passedOver"], json!([]));
    }
}

#[test]
fn who_computes_is_told_after_another_engine_took_over() {
    let server = Server::start(Setup::default());
    assert!(server.get("/readyz").body.starts_with(b"ready\n"), "nothing was passed over");
    server.engines.as_ref().expect("scripted networks").lose(1);
    let body = verify_body(&face(1), &[image(&face(1))]);
    let answer = server.post_json("/v1/verify", &body).ok(200);
    assert_eq!(answer["outcome"], json!("admit"), "{answer:#}");
    let version = server.get("/v1/version").ok(200);
    assert_eq!(version["networks"]["device"], json!("scripted networks 1"), "{version:#}");
    let lost = &version["networks"]["passedOver"][0];
    assert_eq!(lost["backend"], json!("reference"), "{version:#}");
    assert!(lost["why"].as_str().is_some_and(|why| why.contains("unplugged")), "{version:#}");
    assert_ne!(version["search"]["device"], json!("scripted networks 1"), "{version:#}");
    assert_eq!(version["search"]["passedOver"], json!([]), "{version:#}");
    let ready = server.get("/readyz");
    let told = String::from_utf8_lossy(&ready.body);
    assert_eq!(ready.status, 200);
    assert!(told.contains("networks run on reference") && told.contains("unplugged"), "{told}");
    let metrics = server.get("/metrics");
    let metrics = String::from_utf8_lossy(&metrics.body);
    assert!(metrics.contains("portcullis_engines_passed_over{part=\"networks\"} 1"), "{metrics}");
    assert!(metrics.contains("device=\"scripted networks 1\""), "{metrics}");
    assert!(!metrics.contains("device=\"scripted networks 0\""), "{metrics}");
}

fn tokens() -> Access {
    let hash = |token: &str| Hash256::of(token.as_bytes());
    let expired = TOKEN.replace('0', "1");
    let text = format!("{} gate lane-7 9999999999\n{} gate old 5\n", hash(TOKEN), hash(&expired));
    Access::Tokens(Tokens::parse(&text, "tokens").expect("two callers"))
}

#[test]
fn tokens_open_and_nothing_else_does() {
    let server = Server::start(Setup { access: tokens(), ..Setup::default() });
    let ask = |authorization: &str| {
        let body = verify_body(&face(1), &[image(&face(1))]).to_string();
        let headers = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n{authorization}",
            body.len()
        );
        server.exchange(&[head("POST", "/v1/verify", &headers), body.into_bytes()].concat())
    };
    let refused = ask("");
    refused.problem(401, "TOKEN_MISSING");
    assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    ask("Authorization: Basic abc\r\n").problem(401, "TOKEN_MISSING");
    let wrong = TOKEN.replace('0', "2");
    ask(&format!("Authorization: Bearer {wrong}\r\n")).problem(401, "TOKEN_UNKNOWN");
    let expired = TOKEN.replace('0', "1");
    ask(&format!("Authorization: Bearer {expired}\r\n")).problem(401, "TOKEN_EXPIRED");
    assert_eq!(ask(&format!("Authorization: Bearer {TOKEN}\r\n")).ok(200)["outcome"], "admit");
    assert_eq!(server.get("/livez").status, 200, "a prober needs no token");
    server.get("/metrics").problem(401, "TOKEN_MISSING");
}

#[test]
fn a_strangers_frame_is_no_lanes() {
    let world = world();
    let server = Server::with_service(tokens(), &config::Limits::default(), &world, None);
    let picture = face(1);
    let push = |authorization: &str| {
        let headers = format!(
            "Content-Type: image/png\r\nContent-Length: {}\r\n{authorization}",
            picture.len()
        );
        let head = head("POST", "/v1/lanes/gate-1/frames?purpose=boarding", &headers);
        server.exchange(&[head, picture.clone()].concat())
    };
    push("").problem(401, "TOKEN_MISSING");
    push(&format!("Authorization: Bearer {}\r\n", TOKEN.replace('0', "2")))
        .problem(401, "TOKEN_UNKNOWN");
    assert_eq!(world.meter.account().offered, 0, "no stranger moves the account");
    push(&format!("Authorization: Bearer {TOKEN}\r\n")).problem(503, "NOT_READY");
    let account = world.meter.account();
    assert_eq!((account.offered, account.shed(Shed::Refused)), (1, 1));
}

#[test]
fn se_3_strangers_are_in_the_audit_once_and_counted() {
    let server = Server::start(Setup { access: tokens(), ..Setup::default() });
    let ask = |digit: &str| {
        let token = TOKEN.replace('0', digit);
        server.exchange(&head("GET", "/v1/site", &format!("Authorization: Bearer {token}\r\n")))
    };
    for _ in 0..20 {
        ask("2").problem(401, "TOKEN_UNKNOWN");
        ask("1").problem(401, "TOKEN_EXPIRED");
        server.get("/v1/site").problem(401, "TOKEN_MISSING");
    }
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!((entry.action, entry.caller.as_ref()), (Action::Authenticate, None));
            (entry.reasons.as_slice(), entry.strangers.map(|strangers| strangers.count))
        })
        .collect();
    // What follows within the minute is told with the next of its kind.
    let kinds = ["TOKEN_UNKNOWN", "TOKEN_EXPIRED", "TOKEN_MISSING"];
    assert_eq!(told, kinds.each_ref().map(|kind| (std::slice::from_ref(kind), Some(1))));
}

#[test]
fn a_gate_does_what_a_gate_may() {
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    let server = Server::start(Setup { access, ..Setup::default() });
    let create = json!({ "gallery": "g", "purpose": "boarding" });
    let refused = server.post_json("/v1/galleries", &create);
    refused.problem(403, "FORBIDDEN");
    assert_eq!(refused.json()["reasons"][0]["code"], "ROLE_NOT_PERMITTED");
    let mut body = verify_body(&face(1), &[image(&face(1))]);
    body["fmr"] = json!(1e-3);
    server.post_json("/v1/verify", &body).problem(403, "FMR_RESERVED");
    body["fmr"] = Value::Null;
    body["purpose"] = json!("watchlist");
    server.post_json("/v1/verify", &body).problem(403, "FORBIDDEN");
}

#[test]
fn an_administrator_may_name_a_rate_that_the_table_reaches() {
    let server = Server::start(Setup::default());
    let mut body = verify_body(&face(1), &[image(&face(1))]);
    body["fmr"] = json!(1e-3);
    let decision = server.post_json("/v1/verify", &body).ok(200);
    assert_eq!(decision["threshold"]["fmr"], 1e-3);
    body["fmr"] = json!(1e-12);
    server.post_json("/v1/verify", &body).problem(422, "FMR_NOT_CALIBRATED");
}

#[test]
fn templates_stay_inside_unless_the_operator_says_otherwise() {
    let server = Server::start(Setup { embed_enabled: false, ..Setup::default() });
    let body = json!({ "image": image(&face(1))["image"], "purpose": "evaluation" });
    server.post_json("/v1/embed", &body).problem(403, "EMBED_DISABLED");
}

#[test]
fn deadlines_are_numbers_within_bounds() {
    let server = Server::start(Setup::default());
    let ask = |deadline: &str| {
        let body = verify_body(&face(1), &[image(&face(1))]).to_string();
        let headers = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\
             Portcullis-Deadline-Ms: {deadline}\r\n",
            body.len()
        );
        server.exchange(&[head("POST", "/v1/verify", &headers), body.into_bytes()].concat())
    };
    ask("soon").problem(400, "DEADLINE_INVALID");
    ask("0").problem(422, "DEADLINE_OUT_OF_RANGE");
    ask("600000").problem(422, "DEADLINE_OUT_OF_RANGE");
    assert_eq!(ask("5000").ok(200)["outcome"], "admit");
}

/// A service that panics, or that answers when it is told to.
struct Stubborn {
    gate: Option<Arc<Barrier>>,
}

impl Service for Stubborn {
    fn execute(&self, _request: Request) -> Result<Answer, Refusal> {
        let Some(gate) = &self.gate else { panic!("as scripted") };
        gate.wait();
        gate.wait();
        Err(Refusal::Busy)
    }

    fn readiness(&self) -> Readiness {
        Readiness::NotReady("the audit could not be written when it was last tried")
    }

    fn version(&self) -> Version {
        let none = Hash256::from_bytes([0; 32]);
        let kind = TemplateKind { model: none, calibration: none, dims: 1 };
        let engine =
            || EngineVersion { backend: "none", device: String::new(), passed_over: Vec::new() };
        let (networks, search, basis) = (engine(), engine(), String::new());
        Version { networks, search, kind, basis, attack_detection: false }
    }

    fn turned_away(&self, _who: Stranger) {}

    fn housekeep(&self) {}

    fn measure(&self) {}
}

fn stubborn(gate: Option<Arc<Barrier>>, limits: &config::Limits) -> Server {
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    Server::with_service(access, limits, &world(), Some(Arc::new(Stubborn { gate })))
}

#[test]
fn a_panic_is_a_problem_document_and_not_the_end() {
    let server = stubborn(None, &config::Limits::default());
    let body = verify_body(&face(1), &[image(&face(1))]);
    server.post_json("/v1/verify", &body).problem(500, "FAULT");
    server.post_json("/v1/verify", &body).problem(500, "FAULT");
    server.get("/readyz").problem(503, "NOT_READY");
}

#[test]
fn one_more_than_at_once_is_told_to_come_back() {
    let gate = Arc::new(Barrier::new(2));
    let limits = config::Limits { transactions: 1, ..config::Limits::default() };
    let server = stubborn(Some(Arc::clone(&gate)), &limits);
    let body = verify_body(&face(1), &[image(&face(1))]);
    thread::scope(|scope| {
        let first = scope.spawn(|| server.post_json("/v1/verify", &body).status);
        gate.wait(); // the first is being worked on
        let second = server.post_json("/v1/verify", &body);
        second.problem(503, "BUSY");
        assert!(second.head.contains("retry-after: 1"), "{}", second.head);
        assert_eq!(server.get("/livez").status, 200, "a prober is not a transaction");
        gate.wait();
        assert_eq!(first.join().expect("answered"), 503);
    });
}

/// Holds whoever needs a place until it is told to let go; answers the rest at once.
#[derive(Default)]
struct Holding {
    held: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Holding {
    fn wait_for(&self, count: usize) {
        let held = self.held.lock().expect("no panic");
        drop(self.changed.wait_while(held, |held| held.0 < count).expect("no panic"));
    }

    fn let_go(&self) {
        self.held.lock().expect("no panic").1 = true;
        self.changed.notify_all();
    }
}

/// Lets go also where a test fails meanwhile.
struct LetGo<'a>(&'a Holding);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Service for Holding {
    fn execute(&self, request: Request) -> Result<Answer, Refusal> {
        match request.command {
            Command::Lane { command: LaneCommand::Open { .. }, .. }
            | Command::Enrol { .. }
            | Command::PushFrame { .. }
            | Command::Verify { .. } => {
                let mut held = self.held.lock().expect("no panic");
                held.0 += 1;
                self.changed.notify_all();
                drop(self.changed.wait_while(held, |held| !held.1).expect("no panic"));
                Err(Refusal::Busy)
            }
            Command::Lane { at, .. } => Err(Refusal::UnknownLane { lane: at.lane }),
            _ => Err(Refusal::NoSite),
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    fn version(&self) -> Version {
        Stubborn { gate: None }.version()
    }

    fn turned_away(&self, _who: Stranger) {}

    fn housekeep(&self) {}

    fn measure(&self) {}
}

#[test]
fn under_load_gates_go_in_and_whoever_frees_or_watches_is_never_shut_out() {
    let (service, world) = (Arc::new(Holding::default()), world());
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    let limits = config::Limits { transactions: 4, ..config::Limits::default() };
    let held = Arc::clone(&service) as Arc<dyn Service>;
    let server = Server::with_service(access, &limits, &world, Some(held));
    let verification = verify_body(&face(1), &[image(&face(1))]);
    let enrolment = json!({ "images": [image(&face(1))], "purpose": "boarding" });
    let frame = json!({ "image": image(&face(1))["image"], "purpose": "boarding" });
    let (enrol, push) = ("/v1/galleries/g/subjects", "/v1/lanes/gate-1/frames");
    thread::scope(|scope| {
        let (server, service) = (&server, &service);
        let end = LetGo(service);
        let mut all = Vec::new();
        let mut fill = |count, path: &'static str, body: &Value| {
            let body = body.clone();
            all.extend((0..count).map(|_| {
                let body = body.clone();
                scope.spawn(move || server.post_json(path, &body).status)
            }));
            service.wait_for(all.len());
        };
        fill(3, enrol, &enrolment);
        // The last place is a gate's.
        server.post_json(enrol, &enrolment).problem(503, "BUSY");
        fill(1, "/v1/verify", &verification);
        server.post_json("/v1/verify", &verification).problem(503, "BUSY");
        // Every place is taken, and lanes are still sent frames; they have as many again.
        fill(4, push, &frame);
        server.post_json(push, &frame).problem(503, "BUSY");
        server.post(push, "image/png", &face(1)).problem(503, "BUSY");
        let transaction = format!("/v1/lanes/gate-1/transactions/{}", "01".repeat(16));
        let asked = |more: &str| format!("{transaction}{more}?purpose=boarding");
        server.get(&asked("")).problem(404, "LANE_UNKNOWN");
        server.get(&asked("/events")).problem(404, "LANE_UNKNOWN");
        server.delete(&asked("")).problem(404, "LANE_UNKNOWN");
        server.post_json(&asked("/left"), &json!({})).problem(404, "LANE_UNKNOWN");
        assert_eq!(server.get("/v1/version").status, 200);
        assert_eq!(server.get("/metrics").status, 200, "who watches sees the overload");
        let account = world.meter.account();
        assert_eq!((account.offered, account.shed(Shed::Busy)), (6, 2));
        assert_eq!(account.in_flight(), 4);
        drop(end);
        for answered in all {
            assert_eq!(answered.join().expect("answered"), 503);
        }
    });
    let account = world.meter.account();
    assert_eq!(account.offered, account.sheds.iter().sum::<u64>(), "every frame has its fate");
    assert_eq!(account.in_flight(), 0);
}

#[test]
fn when_all_connections_are_taken_whoever_watches_still_comes_in_and_nobody_else() {
    let limits = config::Limits { connections: 2, ..config::Limits::default() };
    let server = Server::start(Setup { limits, ..Setup::default() });
    let (mut one, mut two) = (server.connect(), server.connect());
    for stream in [&mut one, &mut two] {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: gate\r\n\r\n").expect("sent");
        let mut first = [0; 12];
        std::io::Read::read_exact(stream, &mut first).expect("answered and kept open");
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    // Callers that would keep the connection: it is the server that ends it.
    let ask = |verb: &str, path: &str| {
        server.exchange(
            format!("{verb} {path} HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        )
    };
    // More of them than are kept, one after the other.
    for path in ["/livez", "/readyz", "/startupz", "/metrics"].repeat(3) {
        let answer = ask("GET", path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("connection: close"), "{path}: {}", answer.head);
    }
    let paths = ["/v1/version", "/v1/verify", "/v1/lanes/gate-1/frames", "/v1/elsewhere"];
    for (verb, path) in ["GET", "POST", "POST", "DELETE"].into_iter().zip(paths) {
        let answer = ask(verb, path);
        let detail = answer.problem(503, "BUSY");
        assert!(detail.contains("connections") && detail.contains("/metrics"), "{detail}");
        for header in ["connection: close", "retry-after: 1"] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
    }
    let told = String::from_utf8(ask("GET", "/metrics").body).expect("text");
    for line in ["portcullis_frames_offered_total 1", "portcullis_sheds_total{reason=\"busy\"} 1"] {
        assert!(told.contains(line), "{line} is not in {told}");
    }
    drop(one);
    let answered = (0..100).any(|_| {
        thread::sleep(std::time::Duration::from_millis(20));
        server.get("/v1/version").status == 200
    });
    assert!(answered, "the place of a connection that ended is free again");
}
