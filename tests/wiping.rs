//! After an answer, the process's own memory holds neither the request, nor the pixels, nor the
//! template: a sweep over everything that is readable and writable, by the process itself. Where
//! guests come back, neither does it, nor any file, after a stranger was turned to the staff, nor
//! of a guest who was erased.
//!
//! The appliance runs in this process with the product's allocator; needles are kept masked, so
//! that the sweep does not find the test's own notes. A control shows that the sweep sees what is
//! there.

#![allow(clippy::disallowed_methods, reason = "waits for real threads to end")]

#[path = "common/dg2.rs"]
mod dg2;
#[path = "http_api/filled.rs"]
mod filled;
#[path = "http_api/harness.rs"]
#[allow(dead_code, reason = "shared with the API's tests; each uses its part")]
mod harness;
#[path = "common/jpeg2000.rs"]
mod jpeg2000;
#[path = "common/png.rs"]
mod png;
mod scene;
#[path = "http_api/steady.rs"]
#[allow(dead_code, reason = "shared with the API's tests; each uses its part")]
mod steady;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    http::Access, keys::wipe::WipingAllocator, model::Calibration, profile::civil::date_s,
    types::Role,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use dg2::{Encoding, dg2};
use filled::used_as;
use harness::{
    Answer, FORM_KIND, Server, Setup, UsedAs, WallClock, audit_in, caller, form, post, verify_body,
};
use jpeg2000::Jpeg2000;
use png::{Png, RGB};
use scene::{EDGE_PX, Shows};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// Keeps a needle from being found in this test's own notes.
const MASK: u8 = 0x5A;
const NEEDLE_BYTES: usize = 40;
/// Bytes read at once; windows overlap by a needle.
const WINDOW_BYTES: usize = 1 << 20;
/// The person whom the picture shows.
const PERSON: u8 = 11;

/// Something that must not be found.
struct Needle {
    what: &'static str,
    masked: Vec<u8>,
}

impl Needle {
    fn new(what: &'static str, haystack: &[u8], at: usize) -> Self {
        let masked = haystack[at..at + NEEDLE_BYTES].iter().map(|byte| byte ^ MASK).collect();
        Self { what, masked }
    }

    fn is_at(&self, window: &[u8]) -> bool {
        window.iter().zip(&self.masked).all(|(byte, masked)| byte ^ MASK == *masked)
    }
}

/// Memory of this process that can be read and written, without what belongs to the kernel.
fn regions() -> Vec<(u64, u64)> {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
    let region = |line: &str| {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let writable = fields.next()?.starts_with("rw");
        let kernel = line.contains("[v") || line.contains("/dev/");
        let parse = |text| u64::from_str_radix(text, 16).ok();
        (writable && !kernel).then_some((parse(from)?, parse(to)?))
    };
    maps.lines().filter_map(region).collect()
}

/// Counts, for every needle, in how many places it stands.
fn sweep(needles: &[Needle], window: &mut [u8]) -> Vec<usize> {
    let memory = File::open("/proc/self/mem").expect("Linux");
    let own = window.as_ptr() as u64..window.as_ptr() as u64 + window.len() as u64;
    let mut found = vec![0; needles.len()];
    for (from, to) in regions() {
        let mut at = from;
        while at < to {
            let wanted = usize::try_from(to - at).expect("a window").min(window.len());
            // A page may have gone since the map was read.
            let Ok(read) = memory.read_at(&mut window[..wanted], at) else { break };
            for (needle, found) in needles.iter().zip(&mut found) {
                let first = needle.masked[0] ^ MASK;
                let starts = window[..read].iter().enumerate().filter(|(_, byte)| **byte == first);
                *found += starts
                    .filter(|(start, _)| !own.contains(&(at + *start as u64)))
                    .filter(|(start, _)| read - start >= NEEDLE_BYTES)
                    .filter(|(start, _)| needle.is_at(&window[*start..read]))
                    .count();
            }
            if read <= NEEDLE_BYTES {
                break;
            }
            at += (read - NEEDLE_BYTES) as u64 + 1;
        }
    }
    window.fill(0);
    found
}

/// A picture that no other memory holds by chance.
fn picture() -> (Vec<u8>, Vec<u8>) {
    picture_of(PERSON)
}

/// The same of somebody else.
fn picture_of(person: u8) -> (Vec<u8>, Vec<u8>) {
    let edge = EDGE_PX as usize;
    let mut pixels = vec![0; edge * edge * 3];
    ChaCha8Rng::seed_from_u64(2013 + u64::from(person)).fill_bytes(&mut pixels);
    pixels.iter_mut().for_each(|pixel| *pixel = 60 + *pixel % 128);
    pixels[0] = Shows::Face as u8;
    pixels[1] = person;
    let rows: Vec<Vec<u8>> = pixels.chunks_exact(edge * 3).map(<[u8]>::to_vec).collect();
    (Png::new(EDGE_PX, EDGE_PX, 8, RGB, false).rows(&rows).end(), pixels)
}

/// The same picture as a chip holds it.
fn document() -> Vec<u8> {
    let edge = EDGE_PX as usize;
    let (_, pixels) = picture();
    let photograph =
        Jpeg2000::colour(edge, edge).file(|x, y, component| pixels[(y * edge + x) * 3 + component]);
    dg2(Encoding::Iso39794, &[&photograph])
}

/// The bytes of the template that a person's pictures become.
fn template_of(person: u8) -> Vec<u8> {
    let mut embedding = vec![0.0; 128];
    embedding[usize::from(person)] = 3.0;
    let template = Calibration::sface_128().template(&embedding).expect("a direction");
    template.values().iter().map(|value| value.cast_unsigned()).collect()
}

/// What must be gone after the answer.
fn needles() -> Vec<Needle> {
    let (file, pixels) = picture();
    let text = STANDARD.encode(&file);
    let chip = document();
    let chip_text = STANDARD.encode(&chip);
    let values = template_of(PERSON);
    vec![
        Needle::new("pixels", &pixels, EDGE_PX as usize * 3 * 64 + 30),
        Needle::new("base64 text", text.as_bytes(), text.len() / 2),
        Needle::new("template", &values, 20),
        Needle::new("chip's photograph", &chip, chip.len() / 2),
        Needle::new("base64 text of the chip", chip_text.as_bytes(), chip_text.len() / 2),
    ]
}

fn ask(server: &Server, request: &[u8]) {
    let mut stream = server.connect();
    stream.write_all(request).expect("sent");
    let decision = Answer::read(&mut stream).ok(200);
    assert_eq!(decision["outcome"], "admit", "{decision:#}");
}

#[test]
fn after_the_answer_nothing_of_the_face_is_left() {
    let server = Server::start(Setup::default());
    let needles = needles();
    let mut window = vec![0; WINDOW_BYTES];

    let request = {
        let (file, _) = picture();
        let fields: [(&str, &[u8]); 3] =
            [("purpose", b"boarding"), ("probe", &file), ("reference", &file)];
        post("/v1/verify", FORM_KIND, &form(&fields))
    };
    ask(&server, &request);
    let control = sweep(&needles, &mut window);
    assert!(control[0] >= 2, "the sweep sees the request that is still held: {control:?}");
    drop(request);

    let request = {
        let (file, _) = picture();
        let body = verify_body(&file, &[harness::image(&file)]).to_string();
        post("/v1/verify", "application/json", body.as_bytes())
    };
    ask(&server, &request);
    let control = sweep(&needles, &mut window);
    assert!(control[1] >= 2, "the sweep sees the request that is still held: {control:?}");
    drop(request);

    let request = {
        let (file, _) = picture();
        let chip = serde_json::json!({ "dg2": STANDARD.encode(document()) });
        let body = verify_body(&file, &[chip]).to_string();
        post("/v1/verify", "application/json", body.as_bytes())
    };
    ask(&server, &request);
    let control = sweep(&needles, &mut window);
    assert!(control[4] >= 1, "the sweep sees the request that is still held: {control:?}");
    drop(request);

    // The connection's own buffers go with its task, a moment after the caller saw its end.
    let mut found = Vec::new();
    for _ in 0..20 {
        found = sweep(&needles, &mut window);
        if found.iter().all(|&count| count == 0) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    for (needle, count) in needles.iter().zip(&found) {
        assert_eq!(*count, 0, "{} left in memory", needle.what);
    }
    drop(server);
}

/// Who is enrolled, and who is not.
const GUEST: u8 = 21;
const STRANGER: u8 = 22;
/// Noon of the first of July 2026 in Copenhagen, and four hours before it.
const NOON_S: i64 = 10 * 3600;
const MORNING_S: i64 = NOON_S - 4 * 3600;

/// What must be gone of a person whose picture was sent as JSON.
fn needles_of(person: u8) -> Vec<Needle> {
    let (file, pixels) = picture_of(person);
    let text = STANDARD.encode(&file);
    vec![
        Needle::new("pixels", &pixels, EDGE_PX as usize * 3 * 64 + 30),
        Needle::new("base64 text", text.as_bytes(), text.len() / 2),
        Needle::new("picture file", &file, file.len() / 2),
        Needle::new("template", &template_of(person), 20),
    ]
}

/// Asserts that neither memory nor any file of `folder` holds one of `needles`. A connection's own
/// buffers go with its task, a moment after the caller saw its end.
#[track_caller]
fn is_clean(needles: &[Needle], folder: &Path, window: &mut [u8]) {
    let mut found = Vec::new();
    for _ in 0..20 {
        found = sweep(needles, window);
        if found.iter().all(|&count| count == 0) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    for (needle, count) in needles.iter().zip(&found) {
        assert_eq!(*count, 0, "{} left in memory", needle.what);
    }
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        for needle in needles {
            let is_there = bytes.windows(NEEDLE_BYTES).any(|held| needle.is_at(held));
            assert!(!is_there, "{} left in {}", needle.what, path.display());
        }
    }
}

/// `reentry-daily` in use, its gallery made, at noon; audit, register and record lie in `folder`.
fn tivoli(folder: &Path) -> Server {
    let day_s = date_s("2026-07-01").expect("a day");
    let clock = WallClock::at(day_s + MORNING_S);
    let roles = [Role::Operator, Role::Gate, Role::Administrator];
    let server = Server::start(Setup {
        access: Access::Loopback(roles.map(caller).to_vec()),
        audit: Some(audit_in(folder)),
        used_as: Some(UsedAs { folder: Some(folder.to_owned()), ..used_as("reentry-daily") }),
        clock: Some(Arc::clone(&clock)),
        attack_score: Some(0.1),
        ..Setup::default()
    });
    let step = serde_json::json!({ "purpose": "access-control" });
    server.post_json("/v1/site/assessment", &step).ok(200);
    server.post_json("/v1/site/activation", &step).ok(200);
    let body = serde_json::json!({ "gallery": "tivoli", "purpose": "access-control" });
    server.post_json("/v1/galleries", &body).ok(201);
    clock.set(day_s + NOON_S);
    server
}

/// The request of a guest who goes out, or of somebody who wants in.
fn request(person: u8, goes_out: bool) -> Vec<u8> {
    let image = harness::image(&picture_of(person).0);
    let path = if goes_out { "subjects" } else { "identify" };
    let body = match goes_out {
        false => serde_json::json!({ "probe": image, "purpose": "access-control" }),
        true => serde_json::json!({
            "images": [image], "purpose": "access-control", "consent": {
                "textVersion": "3", "textHash": "ab".repeat(32), "language": "da",
                "channel": "desk", "purposes": ["face"], "affirmative": true,
                "alternativeOffered": true, "age": "adult",
            },
        }),
    };
    let path = format!("/v1/galleries/tivoli/{path}");
    post(&path, "application/json", body.to_string().as_bytes())
}

#[test]
fn fv_22_fv_3_gdpr_17_a_stranger_leaves_nothing_nor_does_a_guest_who_is_erased() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = tivoli(folder.path());
    let mut window = vec![0; WINDOW_BYTES];
    let [guest, stranger] = [GUEST, STRANGER].map(needles_of);

    server.exchange(&request(GUEST, true)).ok(201);
    let sent = request(STRANGER, false);
    let answer = server.exchange(&sent).ok(200);
    assert_eq!((&answer["outcome"], &answer["candidates"][0]), (&"refer".into(), &().into()));
    let control = sweep(&stranger, &mut window);
    assert!(control[1] >= 1, "the sweep sees the request that is still held: {control:?}");
    drop(sent);
    is_clean(&stranger, folder.path(), &mut window);

    let sent = request(GUEST, false);
    assert_eq!(server.exchange(&sent).ok(200)["outcome"], "admit", "and erased");
    let control = sweep(&guest, &mut window);
    assert!(control[1] >= 1, "the sweep sees the request that is still held: {control:?}");
    drop(sent);
    is_clean(&guest, folder.path(), &mut window);
    assert_eq!(server.exchange(&request(GUEST, false)).ok(200)["outcome"], "refer");
    drop(server);
}
