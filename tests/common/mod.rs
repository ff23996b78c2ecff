//! What every test target shares: a skip that is said aloud and counted.
//!
//! The test runner knows no skipped state, so a silent early return would read as green. Here a
//! skip names its test and its reason, is collected where `./test` looks for it, and is a failure
//! where the environment promised that it cannot happen.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a private module of each test target; `pub` marks what the targets may use"
)]

use std::{env, fs::OpenOptions, io::Write};

/// Says that `test` did not run because what `key` names (`shared`, `models`, `onnxruntime`, …) is
/// not at hand; the caller returns right after.
///
/// # Panics
/// When `PORTCULLIS_REQUIRE` lists `key`: this environment promised to have it. When
/// `PORTCULLIS_SKIPS` names a file that cannot be appended to: a lost skip reads as green.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests read what `./test` exports, and a skip must be visible"
)]
pub fn skip(test: &str, key: &str, why: &str) {
    let required = env::var("PORTCULLIS_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|listed| listed.trim() == key),
        "{test} would be skipped ({why}), but PORTCULLIS_REQUIRE lists `{key}`: provide it, or take \
         the key from the list"
    );
    eprintln!("skipped: {test}: {why}");
    if let Ok(path) = env::var("PORTCULLIS_SKIPS") {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{test}: {why} [{key}]"))
            .unwrap_or_else(|error| panic!("cannot append to PORTCULLIS_SKIPS={path}: {error}"));
    }
}
