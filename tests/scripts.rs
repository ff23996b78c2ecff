//! `./run` and `./test` before they do anything: what they say of a machine that lacks everything,
//! and of options that they do not know. Nothing is built or fetched here.
#![cfg(unix)]

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The programs that every Debian and Ubuntu has, and that the scripts may call before they have
/// looked at the machine.
const ALWAYS_THERE: [&str; 9] =
    ["bash", "dirname", "env", "head", "mktemp", "printf", "rm", "sed", "sort"];

#[expect(clippy::disallowed_methods, reason = "a test looks for the machine's own programs")]
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a script of the repository on a machine that has only `bin`.
fn script(name: &str, arguments: &[&str], bin: &Path) -> Output {
    let bash = program("bash").expect("the scripts need bash, and so do their tests");
    Command::new(bash)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .args(arguments)
        .env_clear()
        .env("PATH", bin)
        .env("HOME", bin)
        .output()
        .expect("bash can be started")
}

fn bare_machine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ALWAYS_THERE {
        let place = program(name).expect("this program is part of every installation");
        symlink(place, folder.path().join(name)).expect("a link can be made");
    }
    folder
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let machine = bare_machine();
    for name in ["run", "test"] {
        let output = script(name, &[], machine.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {told}");
        for lack in ["Rust 1.", "a C compiler", "Python 3."] {
            assert!(told.contains(lack), "{name} does not name {lack}: {told}");
        }
        assert!(told.matches("apt-get install").count() >= 3, "{told}");
        assert!(output.stdout.is_empty(), "{name} began something");
    }
}

#[test]
fn an_old_compiler_is_named_with_its_version() {
    let machine = bare_machine();
    for name in ["cargo", "rustc"] {
        let place = machine.path().join(name);
        fs::write(&place, "#!/usr/bin/env bash\necho 'rustc 1.63.0 (old 2022-08-11)'\n")
            .and_then(|()| {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&place, fs::Permissions::from_mode(0o755))
            })
            .expect("a stand-in can be written");
    }
    let output = script("run", &[], machine.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("rustc here is 1.63.0"), "{told}");
}

#[test]
fn options_are_told_and_unknown_ones_refused() {
    let machine = bare_machine();
    for (name, arguments) in [
        ("run", vec!["--unknown"]),
        ("run", vec!["--for"]),
        ("run", vec!["--photos", "no-such-folder"]),
        ("run", vec!["--engine", "vulkan"]),
        ("test", vec!["--unknown"]),
    ] {
        let output = script(name, &arguments, machine.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {told}");
        assert!(told.contains(arguments[0]), "{told}");
    }
}

/// A measurement as `portcullis-bench cuda` writes it, with PyTorch's beside it.
fn figure(what: &str, milliseconds: f64, amount: f64, peers: &[(&str, f64)]) -> String {
    let peers: Vec<String> = peers.iter().map(|(way, ms)| format!("\"{way}\": {ms}")).collect();
    format!(
        "{{\"what\": \"{what}\", \"median_ms\": {milliseconds}, \"p99_ms\": {milliseconds}, \
         \"amount\": {amount}, \"unit\": \"bytes\", \"peers_ms\": {{{}}}}}",
        peers.join(", ")
    )
}

#[test]
fn figures_of_a_gpu_are_held_against_the_aim_of_their_own_size() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let peers = [("matmul+topk fp16", 0.3), ("matmul+topk int8", 0.5)];
    let embedders = [("eager fp16", 9.0), ("compiled fp16", 8.0)];
    let figures = [
        // Whole tiles: less than a million, and a number of seven digits for ten of them.
        figure("search whole, 999424 rows, 1 probes", 0.1, 5.0e8, &peers),
        figure("search whole, 9994240 rows, 1 probes", 1.0, 5.0e9, &[]),
        figure("search whole, 9994240 rows, 64 probes", 1.5, 6.4e8, &[]),
        figure("search split, 999424 rows, 1 probes", 0.05, 1.3e8, &[]),
        figure("iresnet50, batch 256", 8.0, 256.0, &embedders),
        figure("shipped embedder, batch 256", 4.0, 256.0, &[]),
        figure("crop to candidates, iresnet50, 1000000 rows", 0.9, 1.0, &[]),
    ];
    let report = folder.path().join("report.json");
    let text = format!(
        "{{\"device\": \"GPU\", \"detail\": \"-\", \"date\": \"-\", \"driver\": \"-\", \
         \"torch\": \"-\", \"rounds\": 1, \"is_smoke\": false, \"checks\": [], \
         \"ceilings\": {{\"copy_bytes_per_s\": 1e13, \"product_fp16_per_s\": 1e15}}, \
         \"figures\": [{}]}}",
        figures.join(", ")
    );
    fs::write(&report, text).expect("a report can be written");
    let python = program("python3").expect("./test asks for Python");
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/device/judge.py");
    let mut command = Command::new(python);
    command.arg(judge).arg(&report).env("PYTHONUTF8", "1");
    let output = command.output().expect("Python starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = |what: &str| {
        let start = format!("| {what} |");
        told.lines().find(|line| line.starts_with(&start)).map(ToOwned::to_owned)
    };
    let expected: [(&str, &[&str]); 7] = [
        (
            "search whole, 999424 rows, 1 probes",
            &["0.125 ms: 0.1 met", "0.85 of the copy: 0.5 NOT met", "2.5 × PyTorch: 3 met"],
        ),
        ("search whole, 9994240 rows, 1 probes", &[]),
        ("search whole, 9994240 rows, 64 probes", &["1.4 ms: 1.5 NOT met"]),
        ("search split, 999424 rows, 1 probes", &["0.045 ms: 0.05 NOT met"]),
        ("iresnet50, batch 256", &["30000 faces/s: 3.2e+04 met", "1 × compiled: 1 met"]),
        ("shipped embedder, batch 256", &["1.2 × PyTorch: not measured"]),
        ("crop to candidates, iresnet50, 1000000 rows", &["1 ms p99: 0.9 met"]),
    ];
    for (what, judgements) in expected {
        let line = line(what).unwrap_or_else(|| panic!("{what} is missing: {told}{said}"));
        let count = line.matches('≤').count() + line.matches('≥').count();
        assert_eq!(count, judgements.len(), "{line}");
        for judgement in judgements {
            assert!(line.contains(judgement), "{line}: {judgement}");
        }
    }
}

#[test]
fn the_build_server_demands_everything_that_may_be_skipped_elsewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("a script");
    let (test, server) = (read("test"), read(".ci/run"));
    let named = server.lines().filter(|line| line.starts_with("PORTCULLIS_REQUIRE"));
    let demanded: Vec<&str> = named.flat_map(|line| line.split([',', '='])).collect();
    assert!(server.contains("\nexport PORTCULLIS_REQUIRE\n"), "the tests must see it");
    // What `./test` has found, and so promises, wherever it runs.
    let found: Vec<&str> = test
        .lines()
        .filter_map(|line| line.split_once("promised=").or_else(|| line.split_once("promised+=,")))
        .flat_map(|(_, keys)| keys.split(','))
        .filter(|key| *key != "shared") // data of one workplace
        .collect();
    assert!(found.len() > 8, "{found:?}");
    for key in found {
        assert!(demanded.contains(&key), ".ci/run lets the tests that need {key} be skipped");
    }
}
