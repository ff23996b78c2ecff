//! Frames that a gate controller pushes: taken, refused, counted, and told of.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    capture::runner::{LanePlan, SourcePlan},
    http::Access,
    types::Role,
};
use serde_json::{Value, json};

use crate::harness::{Server, Setup, caller, face, head};

fn plan(name: &str, source: SourcePlan, detector: Option<&str>) -> LanePlan {
    LanePlan {
        name: name.parse().expect("a name"),
        source,
        deadline_ms: 1_000,
        external_detector: detector.map(str::to_owned),
    }
}

fn server() -> Server {
    let nowhere = SourcePlan::Directory { folder: "/nowhere".into(), period_us: 1_000_000 };
    Server::start(Setup {
        lanes: vec![
            plan("gate-1", SourcePlan::Http, None),
            plan("gate-2", SourcePlan::Http, Some("vendor-x")),
            plan("torn", nowhere, None),
        ],
        ..Setup::default()
    })
}

fn body(more: &Value) -> Value {
    let mut body = json!({ "image": STANDARD.encode(face(1)), "purpose": "boarding" });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn push(server: &Server, lane: &str, body: &Value) -> crate::harness::Answer {
    server.post_json(&format!("/v1/lanes/{lane}/frames"), body)
}

#[test]
fn a_frame_is_taken_numbered_and_let_go_without_a_traveller() {
    let server = server();
    for sequence in 1..=2 {
        let taken = push(&server, "gate-1", &body(&json!({}))).ok(202);
        assert_eq!(taken, json!({ "lane": "gate-1", "sequence": sequence, "kept": false }));
    }
    let form = [("image", &face(1)[..]), ("purpose", b"boarding"), ("attackScore", b"0.25")];
    let taken = server.post_form("/v1/lanes/gate-2/frames", &form).ok(202);
    assert_eq!(taken["sequence"], 1, "lanes count by themselves");
    let path = "/v1/lanes/gate-2/frames?purpose=boarding";
    let headers = "Content-Type: image/png\r\nPortcullis-Attack-Score: 0.5\r\nContent-Length: ";
    let headers = format!("{headers}{}\r\n", face(1).len());
    let taken = server.exchange(&[head("POST", path, &headers), face(1)].concat()).ok(202);
    assert_eq!(taken["sequence"], 2, "the picture as it is");
    server.post("/v1/lanes/gate-2/frames", "image/png", &face(1)).problem(400, "PURPOSE_MISSING");
    let metrics = String::from_utf8(server.get("/metrics").body).expect("text");
    let counted = |line: &str| assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    counted("portcullis_frames_offered_total 5");
    counted("portcullis_sheds_total{reason=\"no-traveller\"} 4");
    counted("portcullis_sheds_total{reason=\"refused\"} 1");
    counted("portcullis_frames_total{fate=\"shed\"} 5");
}

#[test]
fn what_a_lane_does_not_take_is_refused_by_name() {
    let server = server();
    let plain = body(&json!({}));
    push(&server, "gate-9", &plain).problem(404, "LANE_UNKNOWN");
    push(&server, "Gate", &plain).problem(400, "IDENTIFIER_INVALID");
    let told = push(&server, "torn", &plain).problem(409, "LANE_NOT_PUSHED");
    assert!(told.contains("directory"), "{told}");
    let text = json!({ "image": STANDARD.encode("text"), "purpose": "boarding" });
    push(&server, "gate-1", &text).problem(415, "IMAGE_KIND_UNKNOWN");
    let scored = body(&json!({ "attackScore": 0.5 }));
    push(&server, "gate-1", &scored).problem(409, "ATTACK_DETECTOR_UNKNOWN");
    let nonsense = body(&json!({ "attackScore": 1.5 }));
    push(&server, "gate-2", &nonsense).problem(422, "ATTACK_SCORE_INVALID");
    push(&server, "gate-1", &json!({ "image": "" })).problem(400, "JSON_INVALID");
    push(&server, "gate-1", &body(&json!({ "frame": 1 }))).problem(400, "JSON_INVALID");
    let metrics = String::from_utf8(server.get("/metrics").body).expect("text");
    for line in [
        "portcullis_frames_offered_total 8",
        "portcullis_sheds_total{reason=\"unreadable\"} 1",
        "portcullis_sheds_total{reason=\"refused\"} 7",
        "portcullis_frames_total{fate=\"shed\"} 8",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn only_a_gate_pushes_frames() {
    for (role, may) in [(Role::Gate, true), (Role::Officer, false), (Role::Auditor, false)] {
        let server = Server::start(Setup {
            access: Access::Loopback(vec![caller(role)]),
            lanes: vec![plan("gate-1", SourcePlan::Http, None)],
            ..Setup::default()
        });
        let answer = push(&server, "gate-1", &body(&json!({})));
        if may {
            answer.ok(202);
        } else {
            answer.problem(403, "FORBIDDEN");
        }
    }
}

#[test]
fn readiness_names_a_lane_without_frames_and_nothing_of_its_configuration() {
    let server = server();
    // Its thread has just been started: asked until it has failed once.
    let told = loop {
        let answer = server.get("/readyz");
        assert_eq!(answer.status, 200, "the other lanes are served");
        let told = String::from_utf8(answer.body).expect("text");
        if !told.starts_with("ready\n") {
            break told;
        }
    };
    assert!(told.contains("lane torn has no frames"), "{told}");
    assert!(!told.contains("nowhere"), "{told}");
}
