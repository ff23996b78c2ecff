//! What `/metrics` says: that it adds up, that the page about it is right, and that the programs it
//! is written for read it.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    common,
    harness::{Server, Setup, WallClock, face, image, verify_body},
    scene::Meanwhile,
};
use portcullis::{
    config,
    limits::TURN_US_MAX,
    meter::{EnginePart, Fate, HandshakeFault, LaneKind, Meter, Part, Shed, Stage},
    types::Outcome,
};

/// Longest wait for a program of somebody else.
const PATIENCE: Duration = Duration::from_secs(60);

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    fs::read_to_string(path).expect("the page on metrics")
}

/// A meter on which everything has happened once.
pub(crate) fn exercised() -> Meter {
    let meter = Meter::new();
    for stage in Stage::ALL {
        for lane in LaneKind::ALL {
            meter.stage(stage, lane, 12_345);
        }
    }
    for outcome in [Outcome::Admit, Outcome::Retry, Outcome::Refer] {
        meter.outcome(outcome);
    }
    meter.by_hand(12_345_678);
    meter.consents(3);
    meter.refusal("BUSY");
    HandshakeFault::ALL.into_iter().for_each(|reason| meter.handshake_failed(reason));
    meter.offered(1);
    Fate::ALL.into_iter().for_each(|fate| meter.frame(fate));
    Shed::ALL.into_iter().for_each(|reason| meter.shed(reason));
    Part::ALL.into_iter().for_each(|part| meter.restart(part));
    EnginePart::ALL.into_iter().for_each(|part| meter.device(part, "cpu", ["a device", "avx2"], 2));
    meter
}

/// Labels and values of each family of an exposition.
pub(crate) type Families = BTreeMap<String, (String, BTreeMap<String, Vec<String>>)>;

/// Families by name: the kind, and which values each label has.
pub(crate) fn families(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            families.insert(name.to_owned(), (kind.to_owned(), BTreeMap::new()));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|family| families.contains_key(*family)).unwrap_or(name);
        let (_, labels) = families.get_mut(family).expect("a sample follows its family's type");
        let held = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
        for (label, value) in held.map_or_else(Vec::new, |(held, _)| pairs(held)) {
            labels.entry(label).or_default().push(value);
        }
    }
    families
}

/// `a="b",c="d"` taken apart; none of our values holds a quote or a comma.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (label, value) = part.split_once("=\"").expect("a label and its value");
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    };
    text.split("\",").map(pair).collect()
}

#[test]
fn the_page_tells_name_kind_labels_and_values() {
    let page = page();
    let rows: BTreeMap<&str, Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `portcullis_"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].trim_matches('`'), cells)
        })
        .collect();
    let families = families(&exercised().expose(0));
    assert_eq!(
        rows.keys().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        families.keys().cloned().collect::<Vec<_>>(),
        "docs/metrics.md and /metrics name the same families"
    );
    for (name, (kind, labels)) in &families {
        let cells = &rows[name.as_str()];
        assert!(cells[1].starts_with(kind.as_str()), "{name} is a {kind}, not a {}", cells[1]);
        for (label, values) in labels.iter().filter(|(label, _)| *label != "le") {
            assert!(cells[2].contains(&format!("`{label}`")), "{name}: no word on `{label}`");
            for value in values {
                let closed = !["code", "version", "arch", "os", "backend", "device", "detail"]
                    .contains(&label.as_str());
                assert!(
                    !closed || page.contains(&format!("`{value}`")),
                    "{name}: no word on {label}=\"{value}\""
                );
            }
        }
        let told = cells[2].split('`').skip(1).step_by(2);
        for word in told.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            let values = labels.values().flatten();
            let known = labels.contains_key(word) || values.clone().any(|value| value == word);
            assert!(known, "{name}: docs/metrics.md tells of `{word}`, which is never exposed");
        }
    }
}

#[test]
fn every_frame_is_accounted_for() {
    let limits = config::Limits { transactions: 2, ..config::Limits::default() };
    let server = Server::start(Setup { limits, ..Setup::default() });
    let body = verify_body(&face(1), &[image(&face(1)), image(&face(2))]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let status = server.post_json("/v1/verify", &body).status;
                assert!([200, 503].contains(&status), "{status}");
            });
        }
    });
    let text = String::from_utf8(server.get("/metrics").body).expect("text");
    let value = |series: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(series)).expect("a series");
        line.rsplit(' ').next().expect("a value").parse().expect("a whole number")
    };
    let sum = |family: &str| -> u64 {
        let of_family = text.lines().filter(|line| line.starts_with(&format!("{family}{{")));
        of_family
            .map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("n"))
            .sum()
    };
    assert!(value("portcullis_frames_offered_total") >= 3);
    assert_eq!(value("portcullis_frames_offered_total"), sum("portcullis_frames_total"));
    assert_eq!(value("portcullis_frames_total{fate=\"shed\"}"), sum("portcullis_sheds_total"));
    assert_eq!(value("portcullis_slots{state=\"taken\"}"), 0, "{text}");
    assert!(value("portcullis_memory_resident_bytes") > 1 << 20);
}

/// Whoever waits behind a device that hangs can only be late: nobody is sent there any more.
#[test]
fn an_engine_that_hangs_is_seen_before_it_is_given_up() {
    let ((began, begins), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
    let hanging = Mutex::new(Some((began, held)));
    let hangs_once = move || {
        let taken = hanging.lock().expect("no panic").take();
        if let Some((began, held)) = taken {
            began.send(()).expect("the test waits");
            let _released = held.recv();
        }
    };
    let clock = WallClock::at(1_800_000_000);
    let (told, meanwhile) = (Some(Arc::clone(&clock)), Some(Arc::new(hangs_once) as Meanwhile));
    let server = Server::start(Setup { clock: told, meanwhile, ..Setup::default() });
    let turn_s = || {
        let page = String::from_utf8(server.get("/metrics").body).expect("text");
        let value = page.lines().find_map(|line| line.strip_prefix("portcullis_turn_seconds "));
        value.expect("a gauge").parse::<u64>().expect("whole seconds")
    };
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let body = verify_body(&face(1), &[image(&face(1))]);
            server.post_json("/v1/verify", &body).ok(200)
        });
        begins.recv().expect("the engine takes it up");
        assert_eq!((server.get("/readyz").status, turn_s()), (200, 0), "it works");
        clock.jump_s(TURN_US_MAX / 1_000_000);
        server.get("/readyz").problem(503, "NOT_READY");
        assert!(turn_s() >= 10);
        drop(release);
        let decision = asking.join().expect("no panic");
        assert_eq!(decision["reasons"][0]["code"], "ENGINE_LATE", "{decision:#}");
    });
    // Its line is told before it rests.
    while server.get("/readyz").status != 200 {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(turn_s(), 0);
}

/// A program of Prometheus, where it is installed.
pub(crate) fn program(test: &str, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        common::skip(test, "prometheus", &format!("there is no {name} on the path"));
    }
    found
}

pub(crate) fn shown(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn promtool_finds_nothing_to_say() {
    let Some(promtool) = program("promtool_finds_nothing_to_say", "promtool") else { return };
    let server = Server::start(Setup::default());
    server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))])).ok(200);
    let served = server.get("/metrics").body;
    for exposition in [served, exercised().expose(0).into_bytes()] {
        let mut check = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool starts");
        check.stdin.take().expect("a pipe").write_all(&exposition).expect("read");
        let output = check.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", shown(&output));
        assert_eq!(shown(&output), "", "promtool advises");
    }
}

/// A running Prometheus; it ends when it is dropped.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `target` every second and evaluates the rules that ship.
    pub(crate) fn watch(program: &Path, target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        let rules = rules.display();
        let configuration = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n\
             rule_files:\n  - {rules}/recording.yml\n  - {rules}/alerts.yml\n\
             scrape_configs:\n  - job_name: portcullis\n    static_configs:\n\
             \x20     - targets: [\"{target}\"]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration).expect("written");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let process = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .expect("Prometheus starts");
        Self { process, address, _folder: folder }
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// Asks until `enough` is pleased.
    pub(crate) fn wait<T>(&self, path: &str, enough: impl Fn(&Value) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let answer = self.ask(path);
            if let Some(found) = answer.as_ref().and_then(&enough) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "{path}: {answer:?} after {PATIENCE:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The answer to an instant query.
    pub(crate) fn query(&self, expression: &str) -> Value {
        self.ask(&query_path(expression)).expect("Prometheus answers")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) fn query_path(expression: &str) -> String {
    let mut path = "/api/v1/query?query=".to_owned();
    for byte in expression.bytes() {
        path.push_str(&format!("%{byte:02X}"));
    }
    path
}

/// The first value of an instant query's answer.
pub(crate) fn first(answer: &Value) -> Option<f64> {
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

#[test]
fn prometheus_scrapes_it_and_tells_the_p99() {
    let test = "prometheus_scrapes_it_and_tells_the_p99";
    let Some(program) = program(test, "prometheus") else { return };
    let server = Arc::new(Server::start(Setup::default()));
    let body = verify_body(&face(1), &[image(&face(1))]);
    for _ in 0..20 {
        server.post_json("/v1/verify", &body).ok(200);
    }
    let prometheus = Prometheus::watch(&program, server.address);
    prometheus.wait("/api/v1/targets", |answer| {
        (answer["data"]["activeTargets"][0]["health"] == "up").then_some(())
    });
    let gauge = "portcullis_stage_percentile_seconds{stage=\"transaction\",percentile=\"99\"}";
    let p99 = prometheus.wait(&query_path(gauge), first);
    assert!(p99 > 0.0 && p99 < PATIENCE.as_secs_f64(), "{p99}");
    let buckets =
        "histogram_quantile(0.99, portcullis_stage_seconds_bucket{stage=\"transaction\"})";
    let estimated = first(&prometheus.query(buckets)).expect("an estimate");
    let bounds = [
        0.0,
        5e-5,
        1e-4,
        2.5e-4,
        5e-4,
        1e-3,
        2.5e-3,
        5e-3,
        0.01,
        0.02,
        0.03,
        0.05,
        0.075,
        0.1,
        0.15,
        0.25,
        0.5,
        1.0,
        2.5,
        5.0,
        10.0,
        f64::INFINITY,
    ];
    let held = bounds.windows(2).find(|pair| p99 > pair[0] && p99 <= pair[1]).expect("a bucket");
    let slack = 1.001; // a bound that divides a counter of the HDR histogram takes all of it
    assert!(
        estimated >= held[0] / slack && estimated <= held[1] * slack,
        "buckets say {estimated}, the gauge {p99}: not in one bucket {held:?}"
    );
    let count = first(&prometheus.query("portcullis_stage_seconds_count{stage=\"embed\"}"));
    assert_eq!(count, Some(20.0));
    prometheus.wait("/api/v1/rules", |answer| {
        let groups = answer["data"]["groups"].as_array()?;
        let rules = || groups.iter().flat_map(|group| group["rules"].as_array()).flatten();
        (rules().count() > 10 && rules().all(|rule| rule["health"] == "ok")).then_some(())
    });
    for expression in super::deploy::dashboard_expressions() {
        let expression = expression.replace("$instance", ".*").replace("$__rate_interval", "1m");
        let answer = prometheus.query(&expression);
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
    }
}
