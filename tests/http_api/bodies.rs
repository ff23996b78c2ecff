//! Bodies that are too large, too slow, cut off, or not what they say they are.

use std::{io::Write, thread, time::Duration};

use serde_json::json;

use crate::{
    harness::{
        Answer, FORM_KIND, Server, Setup, chunked, face, form, head, image, post, verify_body,
    },
    png::{Png, RGB},
    scene::Shows,
};

const VERIFY: &str = "/v1/verify";

#[test]
fn fifty_megabytes_get_an_answer_and_not_a_reset() {
    let server = Server::start(Setup::default());
    let body = vec![b'A'; 50 * 1024 * 1024];
    server.post(VERIFY, "application/json", &body).problem(413, "BODY_TOO_LARGE");
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let request = [head("POST", VERIFY, headers), chunked(&body, 1 << 20)].concat();
    server.exchange(&request).problem(413, "BODY_TOO_LARGE");
}

#[test]
fn whoever_waits_for_permission_is_refused_at_once() {
    let server = Server::start(Setup::default());
    let headers = "Content-Type: application/json\r\nContent-Length: 52428800\r\n\
                   Expect: 100-continue\r\n";
    server.exchange(&head("POST", VERIFY, headers)).problem(413, "BODY_TOO_LARGE");
}

#[test]
fn a_body_in_chunks_is_a_body() {
    let server = Server::start(Setup::default());
    let body = verify_body(&face(1), &[image(&face(1))]).to_string();
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let request = [head("POST", VERIFY, headers), chunked(body.as_bytes(), 1000)].concat();
    assert_eq!(server.exchange(&request).ok(200)["outcome"], "admit");
}

#[test]
fn a_length_that_lies_is_found_out() {
    let server = Server::start(Setup::default());
    let headers = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    let longer = [head("POST", VERIFY, headers), b"{\"probe\":".to_vec()].concat();
    server.exchange_and_stop(&longer).problem(400, "BODY_INCOMPLETE");
    let headers = "Content-Type: application/json\r\nContent-Length: 4\r\n";
    let shorter = [head("POST", VERIFY, headers), b"{\"probe\":1}".to_vec()].concat();
    server.exchange(&shorter).problem(400, "JSON_INVALID");
    let headers = "Content-Type: application/json\r\nContent-Length: x\r\n";
    assert_eq!(server.exchange(&head("POST", VERIFY, headers)).status, 400);
}

#[test]
fn a_body_in_small_pieces_arrives() {
    let server = Server::start(Setup::default());
    let body = verify_body(&face(1), &[image(&face(1))]).to_string();
    let request = post(VERIFY, "application/json", body.as_bytes());
    let mut stream = server.connect();
    for piece in request.chunks(request.len() / 20 + 1) {
        stream.write_all(piece).expect("sent");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(Answer::read(&mut stream).ok(200)["outcome"], "admit");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start(Setup::default());
    let headers = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    let mut stream = server.connect();
    stream.write_all(&head("POST", VERIFY, headers)).expect("sent");
    stream.write_all(b"{").expect("sent");
    Answer::read(&mut stream).problem(408, "BODY_TOO_SLOW");
}

#[test]
fn content_types() {
    let server = Server::start(Setup::default());
    for kind in ["text/plain", "image/jpeg", "application/x-www-form-urlencoded", ""] {
        server.post(VERIFY, kind, b"{}").problem(415, "CONTENT_TYPE_UNSUPPORTED");
    }
    let body = verify_body(&face(1), &[image(&face(1))]).to_string();
    let kind = "Application/JSON; charset=utf-8";
    server.post(VERIFY, kind, body.as_bytes()).ok(200);
}

#[test]
fn json_that_is_not_the_endpoint_s() {
    let server = Server::start(Setup::default());
    for text in
        ["", "{", "[]", "null", "{\"probe\":{\"image\":\"\"}}", "{\"probe\": 1}", "\u{feff}{}"]
    {
        server.post(VERIFY, "application/json", text.as_bytes()).problem(400, "JSON_INVALID");
    }
    let mut unknown = verify_body(&face(1), &[image(&face(1))]);
    unknown["treshold"] = json!(0.1);
    let detail = server.post_json(VERIFY, &unknown).problem(400, "JSON_INVALID");
    assert!(detail.contains("treshold"), "{detail}");
    let deep = "[".repeat(100_000);
    server.post(VERIFY, "application/json", deep.as_bytes()).problem(400, "JSON_INVALID");
    server.post(VERIFY, "application/json", b"\xff\xfe").problem(400, "JSON_INVALID");
}

#[test]
fn base64_that_is_none_is_placed() {
    let server = Server::start(Setup::default());
    for (text, place) in [("AA=A", "position"), ("AAAA*AAA", "position 4"), ("A", "position 1")] {
        let mut body = verify_body(&face(1), &[image(&face(1))]);
        body["probe"]["image"] = json!(text);
        let detail = server.post_json(VERIFY, &body).problem(400, "BASE64_INVALID");
        assert!(detail.contains("probe.image") && detail.contains(place), "{detail}");
    }
    let mut body = verify_body(&face(1), &[image(&face(1))]);
    body["references"][0]["image"] = json!("data:image/png;base64,AAAA");
    let detail = server.post_json(VERIFY, &body).problem(400, "BASE64_INVALID");
    assert!(detail.contains("references[0].image") && detail.contains("prefix"), "{detail}");
}

#[test]
fn references_are_counted_and_typed() {
    let server = Server::start(Setup::default());
    let send = |references: &[serde_json::Value]| {
        server.post_json(VERIFY, &verify_body(&face(1), references))
    };
    send(&[]).problem(422, "REFERENCES_COUNT");
    send(&vec![image(&face(1)); 9]).problem(422, "REFERENCES_COUNT");
    send(&vec![image(&face(1)); 8]).ok(200);
    send(&[json!({})]).problem(400, "REFERENCE_INVALID");
    send(&[json!({ "dg2": "AAAA" })]).problem(415, "DOCUMENT_NOT_RECOGNISED");
    send(&[json!({ "holderToken": { "any": 1 } })]).problem(400, "JSON_INVALID");
    send(&[json!({ "holderToken": "AAAA" })]).problem(422, "HOLDER_TOKEN_REFUSED");
}

#[test]
fn a_form_may_be_as_large_as_a_body() {
    let server = Server::start(Setup::default());
    let (edge, nobody) = (1_200_u32, Shows::Nobody as u8);
    let rows = vec![vec![nobody; edge as usize * 3]; edge as usize];
    let large = Png::new(edge, edge, 8, RGB, false).rows(&rows).end();
    let (small, purpose): (_, &[u8]) = (face(1), b"boarding");
    let fields: [(&str, &[u8]); 3] =
        [("purpose", purpose), ("probe", &large), ("reference", &small)];
    assert!(form(&fields).len() > 4_000_000);
    assert_eq!(server.post_form(VERIFY, &fields).ok(200)["outcome"], "retry");
}

#[test]
fn forms_that_are_none() {
    let server = Server::start(Setup::default());
    let picture = face(1);
    let wrong = |kind: &str, body: &[u8], code: &str| {
        server.post(VERIFY, kind, body).problem(400, code);
    };
    wrong("multipart/form-data", b"--XX--\r\n", "MULTIPART_INVALID");
    wrong(FORM_KIND, b"no boundary at all", "MULTIPART_INVALID");
    wrong(
        FORM_KIND,
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--",
        "MULTIPART_INVALID",
    );
    let fields: [(&str, &[u8]); 3] =
        [("purpose", b"boarding"), ("probe", &picture), ("reference", &picture)];
    let cut = form(&fields);
    wrong(FORM_KIND, &cut[..cut.len() - 200], "MULTIPART_INVALID");
    wrong(FORM_KIND, &form(&fields[1..]), "PURPOSE_MISSING");
    wrong(FORM_KIND, &form(&[fields[0], fields[2]]), "MULTIPART_INVALID");
    wrong(FORM_KIND, &form(&[fields[0], fields[1], fields[1], fields[2]]), "MULTIPART_INVALID");
    let unknown: [(&str, &[u8]); 1] = [("threshold", b"0.1")];
    wrong(FORM_KIND, &form(&[&fields[..], &unknown].concat()), "MULTIPART_INVALID");
    let rate: [(&str, &[u8]); 1] = [("fmr", b"often")];
    wrong(FORM_KIND, &form(&[&fields[..], &rate].concat()), "FIELD_INVALID");
}
