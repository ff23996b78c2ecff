//! Galleries, subjects and templates: their whole life, and every way to ask wrongly.

use std::slice;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    harness::{Server, Setup, face, image, picture, verify_body},
    scene::Shows,
};

fn create(server: &Server) {
    let body = json!({ "gallery": "flight", "purpose": "boarding" });
    let made = server.post_json("/v1/galleries", &body).ok(201);
    assert_eq!((&made["subjects"], &made["generation"]), (&json!(0), &json!(0)));
}

fn enrol(server: &Server, person: u8, more: Value) -> String {
    let mut body = json!({ "images": [image(&face(person))], "purpose": "boarding" });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let answer = server.post_json("/v1/galleries/flight/subjects", &body).ok(201);
    answer["subject"].as_str().expect("an id").to_owned()
}

fn identify(server: &Server, person: u8, more: Value) -> Value {
    let mut body = json!({ "probe": image(&face(person)), "purpose": "boarding" });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    server.post_json("/v1/galleries/flight/identify", &body).ok(200)
}

#[test]
fn from_enrolment_to_erasure() {
    let server = Server::start(Setup::default());
    create(&server);
    let again = json!({ "gallery": "flight", "purpose": "boarding" });
    server.post_json("/v1/galleries", &again).problem(409, "GALLERY_EXISTS");
    let anna = enrol(&server, 1, json!({}));
    let ben = enrol(&server, 2, json!({ "group": 7, "classes": [3] }));
    let described = server.get("/v1/galleries/flight?purpose=boarding").ok(200);
    assert_eq!((&described["subjects"], &described["rows"]), (&json!(2), &json!(2)));

    let found = identify(&server, 1, json!({}));
    assert_eq!(found["candidates"][0]["subject"], anna.as_str(), "{found:#}");
    assert_eq!(found["candidates"].as_array().expect("one").len(), 1);
    assert_eq!(found["outcome"], "admit", "{found:#}");
    let certificate = &found["certificate"];
    assert_eq!(certificate["rowsTotal"], 2);
    let sum = ["pruned", "rescored", "ineligible"].map(|key| certificate[key].as_u64().expect(key));
    assert_eq!(sum.iter().sum::<u64>(), 2);
    assert_eq!(found["generation"], certificate["generation"]);

    let grouped = identify(&server, 2, json!({ "group": 7, "classes": [3] }));
    assert_eq!(grouped["candidates"][0]["subject"], ben.as_str());
    let elsewhere = identify(&server, 2, json!({ "group": 8 }));
    assert_eq!(elsewhere["candidates"], json!([]));
    assert_eq!(elsewhere["certificate"]["ineligible"], 2);

    let subject = json!({ "gallery": "flight", "subject": anna });
    let verified = server.post_json("/v1/verify", &verify_body(&face(1), &[subject])).ok(200);
    assert_eq!(verified["outcome"], "admit", "{verified:#}");

    let path = format!("/v1/galleries/flight/subjects/{anna}?purpose=boarding");
    let receipt = server.delete(&path).ok(200);
    assert_eq!((&receipt["rows"], &receipt["subject"]), (&json!(1), &json!(anna)));
    assert_eq!(receipt["custodian"], "memory");
    server.delete(&path).problem(404, "SUBJECT_UNKNOWN");
    assert_eq!(identify(&server, 1, json!({}))["candidates"], json!([]));
    let receipt = server.delete("/v1/galleries/flight?purpose=boarding").ok(200);
    assert_eq!((&receipt["rows"], &receipt["subject"]), (&json!(1), &Value::Null));
    server.get("/v1/galleries/flight?purpose=boarding").problem(404, "GALLERY_UNKNOWN");
}

#[test]
fn enrolment_by_form_with_two_pictures() {
    let server = Server::start(Setup::default());
    create(&server);
    let picture = face(5);
    let id = "0123456789abcdef0123456789abcdef";
    let fields: [(&str, &[u8]); 5] = [
        ("image", &picture),
        ("image", &picture),
        ("purpose", b"boarding"),
        ("subject", id.as_bytes()),
        ("classes", b"0,2"),
    ];
    let answer = server.post_form("/v1/galleries/flight/subjects", &fields).ok(201);
    assert_eq!(answer["subject"], id);
    assert_eq!(answer["faces"].as_array().expect("two").len(), 2);
    // Two references are held already; three more are one too many.
    let three: Vec<Value> = (0..3).map(|_| image(&picture)).collect();
    let body = json!({ "images": three, "purpose": "boarding", "subject": id });
    server.post_json("/v1/galleries/flight/subjects", &body).problem(409, "SUBJECT_FULL");
}

#[test]
fn asked_wrongly() {
    let server = Server::start(Setup::default());
    create(&server);
    let enrol = |body: Value| server.post_json("/v1/galleries/flight/subjects", &body);
    let one = image(&face(1));
    let with = |images: &[Value], more: Value| {
        let mut body = json!({ "images": images, "purpose": "boarding" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("o").clone());
        enrol(body)
    };
    with(&[], json!({})).problem(422, "IMAGES_COUNT");
    with(&vec![one.clone(); 5], json!({})).problem(422, "IMAGES_COUNT");
    with(&[image(&picture(Shows::Nobody, 1))], json!({})).problem(422, "CAPTURE_NO_FACE");
    with(&[image(&picture(Shows::Two, 1))], json!({})).problem(422, "CAPTURE_SEVERAL_FACES");
    with(slice::from_ref(&one), json!({ "subject": "anna" })).problem(400, "IDENTIFIER_INVALID");
    with(slice::from_ref(&one), json!({ "classes": [64] })).problem(400, "FIELD_INVALID");
    with(slice::from_ref(&one), json!({ "classes": [] })).problem(422, "CLASSES_EMPTY");
    let backwards = json!({ "notBefore": 10, "expiry": 5 });
    with(slice::from_ref(&one), backwards).problem(422, "VALIDITY_EMPTY");
    with(&[one], json!({ "name": "Anna" })).problem(400, "JSON_INVALID");

    let probe = json!({ "probe": image(&face(1)), "purpose": "boarding" });
    server.post_json("/v1/galleries/none/identify", &probe).problem(404, "GALLERY_UNKNOWN");
    server.post_json("/v1/galleries/No!/identify", &probe).problem(400, "IDENTIFIER_INVALID");
    let mut none = probe.clone();
    none["best"] = json!(0);
    server.post_json("/v1/galleries/flight/identify", &none).problem(422, "CANDIDATES_COUNT");
    server.get("/v1/galleries/flight").problem(400, "PURPOSE_MISSING");
    server.get("/v1/galleries/flight?purpose=curiosity").problem(400, "PURPOSE_MISSING");
    server.get("/v1/galleries/flight?limit=3").problem(400, "FIELD_INVALID");
    let subject = json!({ "gallery": "flight", "subject": "00".repeat(16) });
    server
        .post_json("/v1/verify", &verify_body(&face(1), &[subject]))
        .problem(404, "SUBJECT_UNKNOWN");
}

#[test]
fn templates_come_back_and_foreign_ones_are_refused_by_name() {
    let server = Server::start(Setup::default());
    let body = json!({ "image": image(&face(4))["image"], "purpose": "evaluation" });
    let embedded = server.post_json("/v1/embed", &body).ok(200);
    let template = embedded["template"].clone();
    let verify = |template: &Value| {
        let reference = json!({ "template": template });
        server.post_json("/v1/verify", &verify_body(&face(4), &[reference]))
    };
    assert_eq!(verify(&template).ok(200)["outcome"], "admit");
    for (key, code) in
        [("model", "TEMPLATE_FOREIGN_MODEL"), ("calibration", "TEMPLATE_FOREIGN_CALIBRATION")]
    {
        let mut foreign = template.clone();
        foreign[key] = json!("00".repeat(32));
        verify(&foreign).problem(409, code);
    }
    let mut short = template.clone();
    short["values"] = json!(STANDARD.encode([1, 2, 3]));
    verify(&short).problem(422, "TEMPLATE_LENGTH");
    let mut lowest = template.clone();
    lowest["values"] = json!(STANDARD.encode([0x80; 128]));
    verify(&lowest).problem(422, "TEMPLATE_OUT_OF_RANGE");
    let mut garbled = template;
    garbled["values"] = json!("!!");
    verify(&garbled).problem(400, "BASE64_INVALID");
}
