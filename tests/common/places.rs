//! Where data, default models and the tests' Python lie on this machine.

#![allow(dead_code, reason = "every test binary uses its own part of this module")]
#![allow(unreachable_pub, reason = "a module of several binaries")]
#![allow(clippy::disallowed_methods, reason = "tests read their environment themselves")]

use std::{env, path::PathBuf};

/// The folder of test data: PORTCULLIS_SHARED, else `../shared`.
pub fn shared() -> Option<PathBuf> {
    let folder = env::var_os("PORTCULLIS_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// A default model in the user's cache folder.
pub fn model(file: &str) -> Option<PathBuf> {
    let cache = env::var_os("PORTCULLIS_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("XDG_CACHE_HOME")?).join("portcullis")))
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/portcullis")))?;
    let path = cache.join("models").join(file);
    path.is_file().then_some(path)
}

/// The Python of the tests' own virtual environment.
pub fn python() -> Option<PathBuf> {
    env::var_os("PORTCULLIS_PYTHON").map(PathBuf::from).filter(|path| path.is_file())
}
