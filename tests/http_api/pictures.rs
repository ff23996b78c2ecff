//! Pictures that are none: each is refused by name, before memory is taken for it.

use crate::{
    harness::{Server, Setup, face, image, picture, verify_body},
    png::{Png, RGB},
    scene::Shows,
};

#[test]
fn every_wrong_picture_has_its_code() {
    let server = Server::start(Setup::default());
    let whole = face(1);
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("empty", Vec::new(), 422, "IMAGE_EMPTY"),
        ("text", b"hello, gate".to_vec(), 415, "IMAGE_KIND_UNKNOWN"),
        ("GIF", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec(), 415, "IMAGE_KIND_UNSUPPORTED"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(), 415, "IMAGE_KIND_UNSUPPORTED"),
        ("half a PNG", whole[..whole.len() / 2].to_vec(), 422, "IMAGE_TRUNCATED"),
        (
            "20000 x 20000",
            Png::new(20_000, 20_000, 8, RGB, false).rows(&[vec![0; 3]]).end(),
            422,
            "IMAGE_TOO_LARGE",
        ),
        ("no area", Png::new(0, 5, 8, RGB, false).rows(&[]).end(), 422, "IMAGE_NO_AREA"),
        (
            "animated",
            Png::new(1, 1, 8, RGB, false)
                .chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])
                .rows(&[vec![0; 3]])
                .end(),
            415,
            "IMAGE_ANIMATED",
        ),
    ];
    for (name, bytes, status, code) in cases {
        let body = verify_body(&bytes, &[image(&whole)]);
        let detail = server.post_json("/v1/verify", &body).problem(status, code);
        assert!(detail.starts_with("the probe: "), "{name}: {detail}");
        let body = verify_body(&whole, &[image(&whole), image(&bytes)]);
        let detail = server.post_json("/v1/verify", &body).problem(status, code);
        assert!(detail.starts_with("references[1]: "), "{name}: {detail}");
    }
    // Nothing is lost: every slot is free again and the next traveller is answered.
    for _ in 0..20 {
        server.post_json("/v1/verify", &verify_body(&whole, &[image(&whole)])).ok(200);
    }
}

#[test]
fn one_pixel_is_a_picture_without_a_face() {
    let server = Server::start(Setup::default());
    // The scripted detector reads what a picture shows from its first pixel.
    let pixel = vec![Shows::Nobody as u8, 0, 0];
    let dot = Png::new(1, 1, 8, RGB, false).rows(&[pixel]).end();
    let body = verify_body(&dot, &[image(&picture(Shows::Face, 1))]);
    let decision = server.post_json("/v1/verify", &body).ok(200);
    assert_eq!(decision["outcome"], "retry", "{decision:#}");
    assert_eq!(decision["probe"]["status"], "no-face");
}

#[test]
fn more_bytes_than_a_picture_may_have() {
    let server = Server::start(Setup::default());
    let large = vec![0xFF; 8 * 1024 * 1024 + 1];
    let answer = server.post_json("/v1/verify", &verify_body(&large, &[image(&face(1))]));
    answer.problem(413, "IMAGE_BYTES_TOO_MANY");
}
