//! Where tests find model files: the user's cache folder for the default ones, the shared folder for
//! those that no package carries.
#![allow(
    unreachable_pub,
    dead_code,
    reason = "a private module of several test targets, none of which uses all of it"
)]

use std::{
    env,
    path::{Path, PathBuf},
};

use portcullis::model::defaults::DefaultModel;

use crate::common;

/// A default model from the cache, with its path; or a counted skip.
pub fn cached(test: &str, model: &DefaultModel) -> Option<(PathBuf, Vec<u8>)> {
    let folder =
        |name: &str, below: &str| env::var_os(name).map(|folder| PathBuf::from(folder).join(below));
    let cache = folder("PORTCULLIS_CACHE", "")
        .or_else(|| folder("XDG_CACHE_HOME", "portcullis"))
        .or_else(|| folder("HOME", ".cache/portcullis"));
    let path = cache.map(|cache| cache.join("models").join(model.file));
    let found = path.and_then(|path| std::fs::read(&path).ok().map(|bytes| (path, bytes)));
    if found.is_none() {
        common::skip(test, "models", &format!("{} is not in the cache folder", model.file));
    }
    found
}

/// A file of the shared folder, if it is there.
pub fn shared(below: &str) -> Option<PathBuf> {
    let root = env::var_os("PORTCULLIS_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    Some(root.join(below)).filter(|path| path.is_file())
}
