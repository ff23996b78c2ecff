//! What a restart must remember: which transactions were opened, and how those that ended did.
//!
//! ```text
//! {"opened":{"transaction":"…","lane":"gate-1","attempt":1}}
//! {"opened":{"transaction":"…","lane":"gate-1","attempt":2,"retry_of":"…"}}
//! {"closed":{"transaction":"…","ended":"decided","outcome":"admit","display":"go-ahead"}}
//! ```
//!
//! A line is one `write` and one `fdatasync`. A transaction's first line is written before its
//! first frame is judged, its second before its outcome is told: so after a crash an opened line
//! without a closed one is a transaction of which nobody knows what the gate was told, and it is
//! Refer. A line that was cut off by a crash belongs to an opening or an outcome that nobody was
//! told of. An Admit that took so long to write that its transaction's time is up is followed by
//! the Refer that was told.
//!
//! The file is written anew, and renamed into its place, when it is opened, whenever it has grown
//! to [`JOURNAL_LINES_MAX`] lines, and after a write that failed; the newest
//! `TRANSACTIONS_REMEMBERED` transactions stay. One process writes it.
//!
//! After a write that failed, nobody knows what the file holds: the line, a part of it or nothing,
//! now and after a power cut. Nor does a later `fdatasync` that succeeds tell, since the kernel may
//! have dropped the pages that it could not write. So the file is not added to any more
//! ([`Journal::is_sound`]) until all of it stands anew in another file, of which the kernel has
//! said that it is there. Cutting the line off again would be one more write to a file that fails.
//!
//! Assumptions about the medium: what `fdatasync` returned for is there after a power cut, and a
//! rename is seen whole or not at all.
//!
//! Invariant: no score, no attack result, no reason, nothing of a document or a face.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Display, Ended, Standing};
use crate::{
    limits::{JOURNAL_BYTES_MAX, JOURNAL_LINES_MAX},
    types::Outcome,
};

/// Why something is not remembered. The operator must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal of transactions {place} could not be {act}: {why}; no transaction is opened until \
     it can"
)]
pub struct JournalError {
    /// The file.
    pub place: String,
    /// What was tried.
    pub act: &'static str,
    /// What the system said.
    pub why: String,
}

/// Where lines lie. Of a write that fails nothing is known, but that a text which is put in the
/// place of another is there whole or not at all.
pub trait Medium: Send {
    /// Adds `lines` at the end, durably.
    ///
    /// # Errors
    /// What the system said.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Puts `text` in the place of everything, durably.
    ///
    /// # Errors
    /// What the system said.
    fn replace(&mut self, text: &[u8]) -> io::Result<()>;
}

/// Where transactions are remembered.
pub struct Journal {
    /// `None` where nothing outlives the process.
    medium: Option<Box<dyn Medium>>,
    /// The medium, in words.
    place: String,
    lines: usize,
    is_sound: bool,
}

struct JournalFile {
    path: PathBuf,
    file: File,
}

/// What a journal held when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Every transaction, oldest first; those that never ended are interrupted.
    pub standings: Vec<Standing>,
    /// Lines that do not read: cut off by a crash, or damaged.
    pub unread: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Opened(OpenedLine),
    Closed(ClosedLine),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedLine {
    transaction: String,
    lane: String,
    attempt: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_of: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosedLine {
    transaction: String,
    ended: String,
    outcome: String,
    display: String,
}

impl Journal {
    /// A journal that ends with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { medium: None, place: String::new(), lines: 0, is_sound: true }
    }

    /// A journal on `medium`, which is called `place` and holds nothing yet.
    #[must_use]
    pub fn on(medium: Box<dyn Medium>, place: &str) -> Self {
        Self { medium: Some(medium), place: place.to_owned(), lines: 0, is_sound: true }
    }

    /// Opens `path`, reads what it holds and writes the newest `keep` transactions anew.
    ///
    /// # Errors
    /// [`JournalError`]: nothing may be opened then.
    pub fn open(path: &Path, keep: usize) -> Result<(Self, Remembered), JournalError> {
        let mut remembered = match read(path) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Remembered::default(),
            Err(error) => return Err(refused(&path.display().to_string(), "read", &error)),
        };
        let surplus = remembered.standings.len().saturating_sub(keep);
        remembered.standings.drain(..surplus);
        let file =
            create(path).map_err(|error| refused(&path.display().to_string(), "opened", &error))?;
        let file = JournalFile { path: path.to_owned(), file };
        let mut journal = Self::on(Box::new(file), &path.display().to_string());
        journal.rewrite(remembered.standings.iter())?;
        Ok((journal, remembered))
    }

    /// Whether it should be written anew before the next line.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.lines >= JOURNAL_LINES_MAX
    }

    /// Whether it holds what it was given; after a write that failed, nobody knows until it was
    /// written anew.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Remembers that `standing` is open.
    ///
    /// # Errors
    /// [`JournalError`]: it may not be opened.
    pub fn opened(&mut self, standing: &Standing) -> Result<(), JournalError> {
        self.append(&opened_line(standing))
    }

    /// Remembers how `standing` ended.
    ///
    /// # Errors
    /// [`JournalError`]: its outcome may not be told, and a restart may read it all the same.
    pub fn closed(&mut self, standing: &Standing) -> Result<(), JournalError> {
        closed_line(standing).map_or(Ok(()), |line| self.append(&line))
    }

    /// Writes `standings` anew in the place of everything before, and is sound again.
    ///
    /// # Errors
    /// [`JournalError`]; then it holds either these or what was there before.
    pub fn rewrite<'a>(
        &mut self,
        standings: impl Iterator<Item = &'a Standing>,
    ) -> Result<(), JournalError> {
        let (mut text, mut lines) = (Vec::new(), 0);
        for standing in standings {
            let both = [Some(opened_line(standing)), closed_line(standing)];
            for line in both.iter().flatten() {
                encode(line, &mut text);
                lines += 1;
            }
        }
        if let Some(medium) = &mut self.medium {
            self.is_sound = false; // until it has said that it is done
            let replaced = medium.replace(&text);
            replaced.map_err(|error| refused(&self.place, "written anew", &error))?;
        }
        (self.lines, self.is_sound) = (lines, true);
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        self.lines += 1;
        let Some(medium) = &mut self.medium else { return Ok(()) };
        if !self.is_sound {
            let why = "a write failed before, and it was not written anew".to_owned();
            return Err(JournalError { place: self.place.clone(), act: "written", why });
        }
        let mut text = Vec::with_capacity(256);
        encode(line, &mut text);
        self.is_sound = false; // until it has said that it is done
        medium.append(&text).map_err(|error| refused(&self.place, "written", &error))?;
        self.is_sound = true;
        Ok(())
    }
}

impl Medium for JournalFile {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.file.sync_data()
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        self.file = replace(&self.path, text)?;
        Ok(())
    }
}

fn refused(place: &str, act: &'static str, error: &io::Error) -> JournalError {
    JournalError { place: place.to_owned(), act, why: error.to_string() }
}

fn opened_line(standing: &Standing) -> Line {
    Line::Opened(OpenedLine {
        transaction: standing.transaction.to_string(),
        lane: standing.lane.to_string(),
        attempt: standing.attempt,
        retry_of: standing.retry_of.map(|earlier| earlier.to_string()),
    })
}

fn closed_line(standing: &Standing) -> Option<Line> {
    let (ended, outcome) = standing.ended.zip(standing.outcome)?;
    Some(Line::Closed(ClosedLine {
        transaction: standing.transaction.to_string(),
        ended: ended.name().to_owned(),
        outcome: outcome_name(outcome).to_owned(),
        display: standing.display.key().to_owned(),
    }))
}

fn encode(line: &Line, text: &mut Vec<u8>) {
    serde_json::to_writer(&mut *text, line).expect("plain text and numbers are JSON");
    text.push(b'\n');
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Admit => "admit",
        Outcome::Retry => "retry",
        Outcome::Refer => "refer",
    }
}

fn outcome_of(name: &str) -> Option<Outcome> {
    [Outcome::Admit, Outcome::Retry, Outcome::Refer]
        .into_iter()
        .find(|&outcome| outcome_name(outcome) == name)
}

/// A plain file of the limit's size at most; a link would let whoever may write the folder send it
/// somewhere else.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.len() > JOURNAL_BYTES_MAX {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("it is no plain file of at most {JOURNAL_BYTES_MAX} bytes"),
        ));
    }
    fs::read(path)
}

/// What the bytes of a journal tell. Total: what does not read is counted and left out.
#[must_use]
pub fn parse(bytes: &[u8]) -> Remembered {
    let mut remembered = Remembered::default();
    let mut places = std::collections::HashMap::new();
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let Some((standing, is_opening)) = standing_of(line) else {
            remembered.unread += 1;
            continue;
        };
        match places.get(&standing.transaction).copied() {
            None if is_opening => {
                places.insert(standing.transaction, remembered.standings.len());
                remembered.standings.push(standing);
            }
            // An outcome without an opening, or another opening, is not what this file writes. The
            // same one stands twice where the file was written anew while it was opened.
            None => remembered.unread += 1,
            Some(place) if is_opening => {
                let known = &remembered.standings[place];
                let is_same = known.lane == standing.lane && known.attempt == standing.attempt;
                remembered.unread += usize::from(!is_same);
            }
            Some(place) => settle(&mut remembered.standings[place], standing),
        }
    }
    remembered
}

/// The first outcome stands, but for one that Refer follows: an Admit whose time was up when it was
/// written, or an outcome whose telling failed. Nobody was told of it.
fn settle(known: &mut Standing, closed: Standing) {
    let withheld = closed.outcome == Some(Outcome::Refer);
    if known.ended == Some(Ended::Interrupted) || withheld {
        let (ended, outcome, display) = (closed.ended, closed.outcome, closed.display);
        *known = Standing { ended, outcome, display, ..known.clone() };
    }
}

/// One line: a transaction of which only the opening is known is interrupted.
fn standing_of(line: &[u8]) -> Option<(Standing, bool)> {
    match serde_json::from_slice(line).ok()? {
        Line::Opened(opened) => {
            let standing = Standing {
                transaction: opened.transaction.parse().ok()?,
                lane: opened.lane.parse().ok()?,
                attempt: opened.attempt,
                retry_of: match opened.retry_of {
                    Some(earlier) => Some(earlier.parse().ok()?),
                    None => None,
                },
                ended: None,
                outcome: None,
                display: Display::AskOfficer,
            };
            Some((standing.referred(Ended::Interrupted), true))
        }
        Line::Closed(closed) => {
            let ended = Ended::ALL.into_iter().find(|ended| ended.name() == closed.ended)?;
            let outcome = outcome_of(&closed.outcome)?;
            if outcome == Outcome::Admit && ended != Ended::Decided {
                return None; // nothing but a decision opens a gate, whatever a file says
            }
            let standing = Standing {
                transaction: closed.transaction.parse().ok()?,
                lane: "none".parse().ok()?,
                attempt: 0,
                retry_of: None,
                ended: Some(ended),
                outcome: Some(outcome),
                display: Display::of_key(&closed.display)?,
            };
            Some((standing, false))
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options
}

fn create(path: &Path) -> io::Result<File> {
    options().open(path)
}

/// Puts `text` in the place of `path`, durably, and gives the file to append to.
fn replace(path: &Path, text: &[u8]) -> io::Result<File> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = options().create_new(true).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TransactionId;

    fn standing(number: u8) -> Standing {
        Standing {
            transaction: TransactionId::from_bytes([number; 16]),
            lane: "gate-1".parse().expect("a name"),
            attempt: 1,
            retry_of: None,
            ended: None,
            outcome: None,
            display: Display::LookAtCamera,
        }
    }

    fn admitted(number: u8) -> Standing {
        Standing {
            ended: Some(Ended::Decided),
            outcome: Some(Outcome::Admit),
            display: Display::GoAhead,
            ..standing(number)
        }
    }

    #[test]
    fn what_ended_is_remembered_and_what_did_not_is_referred() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions.jsonl");
        let (mut journal, none) = Journal::open(&path, 10).expect("a new file");
        assert_eq!(none, Remembered::default());
        journal.opened(&standing(1)).expect("written");
        journal.opened(&standing(2)).expect("written");
        journal.closed(&admitted(1)).expect("written");
        drop(journal);
        let (_, remembered) = Journal::open(&path, 10).expect("the same file");
        let interrupted = standing(2).referred(Ended::Interrupted);
        assert_eq!(remembered.standings, [admitted(1), interrupted.clone()]);
        // Written anew: still the same, also when fewer are kept.
        let (_, remembered) = Journal::open(&path, 1).expect("the same file");
        assert_eq!(remembered, Remembered { standings: vec![interrupted], unread: 0 });
    }

    #[test]
    fn every_cut_is_an_earlier_state_and_none_admits_too_early() {
        let mut whole = Vec::new();
        for line in [
            opened_line(&standing(1)),
            closed_line(&admitted(1)).expect("it ended"),
            opened_line(&standing(2)),
        ] {
            encode(&line, &mut whole);
        }
        let closed_end = {
            let ends: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] == b'\n').collect();
            ends[1]
        };
        for cut in 0..=whole.len() {
            let remembered = parse(&whole[..cut]);
            assert!(remembered.unread <= 1 && remembered.standings.len() <= 2, "cut at {cut}");
            let admits = remembered
                .standings
                .iter()
                .any(|standing| standing.outcome == Some(Outcome::Admit));
            assert_eq!(admits, cut >= closed_end, "cut at {cut}");
            assert!(remembered.standings.iter().all(|standing| standing.outcome.is_some()));
        }
    }

    #[test]
    fn what_is_not_a_line_is_counted_and_cannot_admit() {
        let id = "01".repeat(16);
        let closed = |outcome: &str| {
            format!(
                "{{\"closed\":{{\"transaction\":\"{id}\",\"ended\":\"decided\",\"outcome\":\
                 \"{outcome}\",\"display\":\"go-ahead\"}}}}\n"
            )
        };
        let opened = format!(
            "{{\"opened\":{{\"transaction\":\"{id}\",\"lane\":\"gate-1\",\"attempt\":1}}}}\n"
        );
        let text = format!("nonsense\n{}{opened}{}", closed("admit"), closed("open"));
        let remembered = parse(text.as_bytes());
        assert_eq!(remembered.unread, 3);
        assert_eq!(remembered.standings, [standing(1).referred(Ended::Interrupted)]);
        let twice = format!("{opened}{}{}", closed("refer"), closed("admit"));
        assert_eq!(parse(twice.as_bytes()).standings[0].outcome, Some(Outcome::Refer));
        let withheld = format!("{opened}{}{}", closed("admit"), closed("refer"));
        assert_eq!(parse(withheld.as_bytes()).standings[0].outcome, Some(Outcome::Refer));
    }

    #[test]
    fn an_opening_may_stand_twice_and_another_one_may_not() {
        let mut whole = Vec::new();
        encode(&opened_line(&standing(1)), &mut whole);
        encode(&opened_line(&standing(1)), &mut whole);
        assert_eq!(parse(&whole).unread, 0);
        encode(&opened_line(&Standing { attempt: 2, ..standing(1) }), &mut whole);
        let remembered = parse(&whole);
        assert_eq!((remembered.unread, remembered.standings[0].attempt), (1, 1));
    }

    #[test]
    fn a_link_or_a_folder_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions.jsonl");
        std::os::unix::fs::symlink(folder.path().join("other"), &path).expect("a link");
        let error = Journal::open(&path, 1).err().expect("refused");
        assert!(error.to_string().contains("no plain file"), "{error}");
    }
}
