//! The power goes while guests of `reentry-daily` are out: the key was in memory alone, so that the
//! next start begins empty, and nothing that is left on the disk holds anybody.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::types::Hash256;
use serde_json::{Value, json};

use super::{Home, Serving, faces, shown};

const GALLERY: &str = "/v1/galleries/tivoli";
const GUEST: &str = "0123456789abcdef0123456789abcdef";
/// Bytes of a picture that are looked for.
const NEEDLE_BYTES: usize = 40;

/// A zone in which it is three in the night: no closing comes while the test runs, and the window
/// that seals is not open, for an operator of this test has to look.
#[expect(
    clippy::disallowed_methods,
    reason = "the appliance that is started runs by the real time"
)]
fn zone_at_night() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let hour = i64::try_from(since.as_secs() / 3600 % 24).expect("an hour");
    // In these names west is positive, up to twelve: three o'clock is so many hours behind.
    let behind = if hour - 3 > 12 { hour - 27 } else { hour - 3 };
    format!("Etc/GMT{behind:+}")
}

/// Roles whose credentials the test holds, each named as its role is.
const ROLES: [&str; 3] = ["administrator", "data-protection-officer", "operator"];

fn token(role: &str) -> String {
    format!("a token of {role} that is long enough")
}

/// Who asks for `path`: steps are the administrator's, and what is held of a person another's.
fn role_for(verb: &str, path: &str) -> &'static str {
    match (verb, path) {
        ("POST", "/v1/site/assessment" | "/v1/site/activation") => ROLES[0],
        ("GET", path) if path.contains("/subjects/") => ROLES[1],
        _ => ROLES[2],
    }
}

/// `reentry-daily`, with everything filled in that a deployer fills in.
fn profile(home: &Home) -> PathBuf {
    let text = home.run(&["site", "profiles", "reentry-daily"]).ends(0).to_owned();
    let mut filled = String::new();
    for line in text.lines() {
        let line = match line {
            "date = \"\"" => "date = \"2026-01-15\"".to_owned(),
            "signage_attested_on = \"\"" => "signage_attested_on = \"2026-01-15\"".to_owned(),
            "consent_texts = []" => format!("consent_texts = [\"{}\"]", "ab".repeat(32)),
            "fnir_ppm_max = 10000" => format!("{line}\nfnir_ppm_measured = 1000"),
            _ if line.starts_with("zone = ") => format!("zone = {:?}", zone_at_night()),
            _ => line.replace("= \"\"", "= \"reference 7\""),
        };
        filled.push_str(&line);
        filled.push('\n');
    }
    home.write("site.toml", filled)
}

/// One request, and what came back: status and document.
fn ask(serving: &Serving, verb: &str, path: &str, body: &Value) -> (u16, Value) {
    let address = serving.url.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let bearer = token(role_for(verb, path));
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\
         Authorization: Bearer {bearer}\r\n\
         Portcullis-Deadline-Ms: 30000\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, document) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head[9..12].parse().expect("a status");
    (status, serde_json::from_str(document).unwrap_or_default())
}

/// A guest goes out: consents, and is enrolled of a photograph.
fn goes_out(serving: &Serving, photograph: &[u8]) -> (u16, Value) {
    let consent = json!({
        "textVersion": "3", "textHash": "ab".repeat(32), "language": "da", "channel": "desk",
        "purposes": ["face"], "affirmative": true, "alternativeOffered": true, "age": "adult",
    });
    let body = json!({
        "images": [{ "image": STANDARD.encode(photograph) }], "purpose": "access-control",
        "subject": GUEST, "consent": consent,
    });
    ask(serving, "POST", &format!("{GALLERY}/subjects"), &body)
}

fn create(serving: &Serving) -> u16 {
    let body = json!({ "gallery": "tivoli", "purpose": "access-control" });
    ask(serving, "POST", "/v1/galleries", &body).0
}

/// Every file beneath `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn fv_9_a_killed_appliance_begins_empty_and_leaves_nothing_that_opens() {
    let test = "fv_9_a_killed_appliance_begins_empty_and_leaves_nothing_that_opens";
    let Some(faces) = faces(test) else { return };
    let Some(home) = Home::new().with_models(test) else { return };
    let photograph = fs::read(faces.join("img20.jpg")).expect("a photograph");
    let site = profile(&home);
    let line = |role: &str| {
        let hash = Hash256::of(token(role).as_bytes());
        format!("{hash} {role} {role} 9999999999\n")
    };
    let tokens = home.write("tokens", ROLES.map(line).concat());
    let config = home.write(
        "config.toml",
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntokens = {tokens:?}\n\
             [site]\nprofile = {site:?}\n[gallery]\ncustodian = \"memory\"\n\
             [[person]]\nclient = \"operator\"\nperson = \"badge-1\"\ntraining = \"TR-7\"\n\
             trained_until = \"2999-01-01\"\n"
        ),
    );
    let start = || Serving::start(&home, &["--config", shown(&config)]);
    let mut serving = start();
    let step = json!({ "purpose": "access-control" });
    for path in ["/v1/site/assessment", "/v1/site/activation"] {
        let (status, told) = ask(&serving, "POST", path, &step);
        assert_eq!(status, 200, "{told:#}");
    }
    assert_eq!(create(&serving), 201);
    let (status, told) = goes_out(&serving, &photograph);
    assert_eq!(status, 201, "{told:#}");
    let described = format!("{GALLERY}?purpose=access-control");
    assert_eq!(ask(&serving, "GET", &described, &Value::Null).1["subjects"], 1);
    serving.child.kill().expect("it runs"); // SIGKILL: nothing is tidied up
    serving.child.wait().expect("it ends");

    let needle = &photograph[photograph.len() / 2..][..NEEDLE_BYTES];
    let text = STANDARD.encode(&photograph[photograph.len() / 6 * 3..][..NEEDLE_BYTES / 3 * 3]);
    let state = files(&home.path(".local/state/portcullis"));
    assert!(state.iter().any(|path| path.ends_with("audit.jsonl")), "{state:?}");
    for path in &state {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let holds = ["gallery", "records", "redb", "standing"].contains(&ending);
        assert!(!holds, "{} would need a key", path.display());
        assert!(ending != "key" || path.ends_with("audit.key"), "{}", path.display());
        let bytes = fs::read(path).expect("read");
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|held| held == needle);
        assert!(!has(needle) && !has(text.as_bytes()), "{}", path.display());
    }

    let serving = start();
    assert_eq!(ask(&serving, "GET", "/v1/site", &Value::Null).1["stage"], "active");
    let (status, told) = ask(&serving, "GET", &described, &Value::Null);
    assert_eq!((status, &told["code"]), (404, &json!("GALLERY_UNKNOWN")), "{told:#}");
    assert_eq!(create(&serving), 201);
    assert_eq!(ask(&serving, "GET", &described, &Value::Null).1["subjects"], 0);
    let export = format!("{GALLERY}/subjects/{GUEST}?purpose=access-control");
    let (status, told) = ask(&serving, "GET", &export, &Value::Null);
    assert_eq!((status, &told["code"]), (404, &json!("SUBJECT_UNKNOWN")), "{told:#}");
    // The day goes on: the guest may go out again.
    assert_eq!(goes_out(&serving, &photograph).0, 201);
}
