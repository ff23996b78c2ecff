//! The audit's files. One is written to; older ones stand beside it under the number of their first
//! entry, and go as a whole when every entry in them is old enough. A new one is begun every day,
//! so that a quiet site does not keep a year in one file, and where one is full.
//!
//! ```text
//! audit.jsonl                      the one that is written to
//! audit.jsonl.0000000000004711     entries 4711 and after, complete
//! audit.jsonl.next                 being begun; takes its place when it is durable
//! audit.jsonl.checkpoint           the newest checkpoint, a signed note
//! ```
//! A file that is not the first begins with what the tree and the chain had come to:
//! `{"segment":{"entries_before":4711,"previous":"…","peaks":["…",…]}}`. Whoever changes that line
//! changes the root, and the root is signed.
//!
//! Before files go, an entry says so and is signed (`Pruned`): whoever takes files out beside that
//! leaves a beginning that no signed entry bears out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::tree::{Frontier, Hash, hex, leaf};

/// Bytes after which a new file is begun.
pub(super) const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest line that is read, in bytes; the longest that is written has some thousands.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What the chain and the tree have come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) tree: Frontier,
    pub(super) previous: Hash,
    /// Civil time of the newest entry.
    pub(super) newest_s: i64,
    /// Civil time of the first entry of the file; `None` before there is one.
    pub(super) began_s: Option<i64>,
}

/// What is let go of, as an entry of the audit says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pruned {
    /// Entries that are not kept any more: all before this number.
    pub(super) entries_before: u64,
    /// Civil time of the newest of them.
    pub(super) newest_s: i64,
}

/// The entry that says so.
#[derive(Serialize, Deserialize)]
pub(super) struct PrunedLine {
    pub(super) n: u64,
    pub(super) previous: String,
    pub(super) at_s: i64,
    pub(super) pruned: Pruned,
}

impl PrunedLine {
    /// The entry on `line`, if it is such a one.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

#[derive(Serialize, Deserialize)]
struct HeadLine {
    segment: Head,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    entries_before: u64,
    previous: String,
    peaks: Vec<String>,
}

/// The part of an entry that chains it.
#[derive(Deserialize)]
struct Link {
    n: u64,
    previous: String,
    at_s: i64,
}

/// Hash of the entry that the one of number `n` follows, if that is the one on `line`.
pub(super) fn followed_by(line: &[u8], n: u64) -> Option<String> {
    let link: Link = serde_json::from_slice(line).ok()?;
    (link.n == n).then_some(link.previous)
}

/// What is wrong with a line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The entry of another number was expected: one was taken out, put in, or moved.
    #[error("entry {found} stands where entry {expected} belongs: one was taken out or moved")]
    Number {
        /// What was expected.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It follows another entry than the one before it: that one was changed.
    #[error("entry {n} does not follow what stands before it: an entry was changed or replaced")]
    Chain {
        /// Its number.
        n: u64,
    },
    /// A line that is no entry, and not what a write that failed leaves behind.
    #[error("the line after entry {after} is no entry: it was changed, or is of another program")]
    Line {
        /// Entries before it.
        after: u64,
    },
    /// The head of a file does not continue the file before it.
    #[error("the file does not continue the one before it: entries between them are missing")]
    Head,
}

impl State {
    /// Whether this is the state before the first entry of all.
    fn is_empty(&self) -> bool {
        self.tree.size() == 0
    }

    /// Takes an entry's line (without its end) in.
    pub(super) fn follow(&mut self, line: &[u8], at_s: i64) {
        self.previous = leaf(line);
        self.tree.append(self.previous);
        self.newest_s = at_s;
        self.began_s.get_or_insert(at_s);
    }

    fn check(&mut self, line: &[u8]) -> Result<(), Break> {
        let after = self.tree.size();
        let link: Link = serde_json::from_slice(line).map_err(|_| Break::Line { after })?;
        if link.n != after {
            return Err(Break::Number { expected: after, found: link.n });
        }
        if link.previous != hex(&self.previous) {
            return Err(Break::Chain { n: link.n });
        }
        self.follow(line, link.at_s);
        Ok(())
    }

    /// The first line of a file that begins here.
    pub(super) fn head(&self) -> Vec<u8> {
        let segment = Head {
            entries_before: self.tree.size(),
            previous: hex(&self.previous),
            peaks: self.tree.peaks().iter().map(hex).collect(),
        };
        let mut line = serde_json::to_vec(&HeadLine { segment }).expect("text alone");
        line.push(b'\n');
        line
    }

    fn of_head(line: &[u8]) -> Option<Self> {
        let HeadLine { segment } = serde_json::from_slice(line).ok()?;
        let peaks: Option<Vec<Hash>> = segment.peaks.iter().map(|peak| unhex(peak)).collect();
        let tree = Frontier::of(segment.entries_before, peaks?)?;
        Some(Self { tree, previous: unhex(&segment.previous)?, newest_s: 0, began_s: None })
    }
}

fn unhex(text: &str) -> Option<Hash> {
    text.parse::<crate::types::Hash256>().ok().map(|hash| *hash.as_bytes())
}

/// What reading one file came to.
#[derive(Debug)]
pub(super) struct Walked {
    /// After its last entry.
    pub(super) state: State,
    /// Lines that a write which failed left behind.
    pub(super) torn: u64,
    /// Whether the file ends in the middle of a line.
    pub(super) ends_torn: bool,
}

/// Follows `bytes`, the whole of a file, on from `state`; `None` takes the file's own head for
/// granted, which the signature over the root then has to bear out. `visit` sees the state before
/// each entry with its number, and once more at the end.
///
/// A line that is not JSON is what a write leaves that failed half-way; nobody was told that it
/// was written, and the entry after it takes its number.
pub(super) fn walk(
    bytes: &[u8],
    state: Option<State>,
    visit: impl FnMut(&State),
) -> Result<Walked, Break> {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').peekable();
    let head = lines.peek().and_then(|line| State::of_head(line));
    let state = match (head, state) {
        (Some(head), None) => head,
        (Some(head), Some(state)) if head.tree == state.tree && head.previous == state.previous => {
            state
        }
        (None, Some(state)) if state.is_empty() => state,
        (None, None) => State::default(),
        (Some(_) | None, Some(_)) => return Err(Break::Head),
    };
    if lines.peek().is_some_and(|line| State::of_head(line).is_some()) {
        lines.next();
    }
    follow(lines, state, visit)
}

/// As [`walk`], of bytes that stand in the middle of a file and begin with a line.
pub(super) fn walk_on(bytes: &[u8], state: State) -> Result<Walked, Break> {
    follow(bytes.split_inclusive(|&byte| byte == b'\n'), state, |_| {})
}

fn follow<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    mut state: State,
    mut visit: impl FnMut(&State),
) -> Result<Walked, Break> {
    let (mut torn, mut ends_torn) = (0, false);
    for line in lines {
        visit(&state);
        let Some(whole) = line.strip_suffix(b"\n") else {
            ends_torn = true;
            torn += 1;
            continue;
        };
        let is_fragment = whole.len() <= LINE_BYTES_MAX
            && serde_json::from_slice::<serde::de::IgnoredAny>(whole).is_err();
        if is_fragment {
            torn += 1;
            continue;
        }
        state.check(whole)?;
    }
    visit(&state);
    Ok(Walked { state, torn, ends_torn })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where the newest checkpoint of the audit at `path` stands.
#[must_use]
pub fn checkpoint_path(path: &Path) -> PathBuf {
    beside(path, ".checkpoint")
}

pub(super) fn next_path(path: &Path) -> PathBuf {
    beside(path, ".next")
}

pub(super) fn old_path(path: &Path, entries_before: u64) -> PathBuf {
    beside(path, &format!(".{entries_before:016}"))
}

/// The complete files of the audit at `path`, oldest first.
pub(super) fn old_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let held = entry.file_name();
        let number = held.to_str().and_then(|held| held.strip_prefix(name)?.strip_prefix('.'));
        let is_old = number.is_some_and(|number| {
            number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_old {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}
