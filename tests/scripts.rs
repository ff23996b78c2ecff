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
        ("test", vec!["--unknown"]),
    ] {
        let output = script(name, &arguments, machine.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {told}");
        assert!(told.contains(arguments[0]), "{told}");
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
