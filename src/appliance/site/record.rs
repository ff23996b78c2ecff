//! What a site remembers between two runs: how far it is, which closings were honoured, and the
//! names of hits that waited for somebody's answer. Nothing about a person, so that it may outlive
//! every key.
//!
//! The file is JSON, replaced as a whole: an interrupted write leaves the old one.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{duty::schedule::Honoured, profile::Deployment};

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// How far the site is.
    pub(super) deployment: Deployment,
    /// Until when its duties were honoured.
    pub(super) honoured: Honoured,
    /// When the filing with the authority fell due to be made, in seconds UTC.
    #[serde(default)]
    pub(super) filing_since_s: Option<i64>,
    /// Hits that wait, by their names in the audit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) waiting: Vec<String>,
}

/// Why the record cannot be used. The operator must act.
#[derive(Debug, thiserror::Error)]
#[error("the record of the site {path} {why}; set site.record to a place that can be written")]
pub struct RecordError {
    /// The file.
    path: String,
    /// What is wrong.
    why: String,
}

/// Where it is kept; `None` for memory alone.
#[derive(Debug)]
pub(super) struct Kept {
    path: Option<PathBuf>,
}

impl Kept {
    /// Reads what is there.
    pub(super) fn open(path: Option<PathBuf>) -> Result<(Self, Record), RecordError> {
        let record = match &path {
            None => Record::default(),
            Some(path) => match fs::read(path) {
                Ok(text) => serde_json::from_slice(&text)
                    .map_err(|error| refuse(path, format!("is damaged: {error}")))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
                Err(error) => return Err(refuse(path, format!("cannot be read: {error}"))),
            },
        };
        Ok((Self { path }, record))
    }

    /// Puts `record` in the place of what was there.
    pub(super) fn keep(&self, record: &Record) -> Result<(), RecordError> {
        let Some(path) = &self.path else { return Ok(()) };
        let written = replace(path, &serde_json::to_vec_pretty(record).expect("plain values"));
        written.map_err(|error| refuse(path, format!("cannot be written: {error}")))
    }
}

fn refuse(path: &Path, why: String) -> RecordError {
    RecordError { path: path.display().to_string(), why }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_and_what_is_damaged_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.json");
        let (kept, mut record) = Kept::open(Some(path.clone())).expect("nothing yet");
        record.honoured = Honoured { until_s: 7 };
        record.waiting = vec!["ab".repeat(16)];
        kept.keep(&record).expect("written");
        assert_eq!(Kept::open(Some(path.clone())).expect("read").1, record);
        fs::write(&path, "{\"deployment\":").expect("torn");
        let refused = Kept::open(Some(path)).expect_err("damaged").to_string();
        assert!(refused.contains("is damaged"), "{refused}");
    }
}
