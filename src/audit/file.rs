//! The audit as a plain file: one JSON object per line, appended and synchronised before the reply.
//!
//! ```text
//! {"n":41,"previous":"5e88…","transaction":"…","at_s":1700000000,"role":"gate",
//!  "client":"lane-1","action":"verify","purpose":"border_control","outcome":"admit",
//!  "reasons":["ALL_REFERENCES_MATCH"],"attack":"not_performed",
//!  "comparisons":[{"score":9000,"threshold":6860,"fmr":0.0001}]}            (one line)
//! ```
//! Each judged frame of a lane's transaction is an entry of its own, with `lane` and
//! `lane_transaction`; the entry with `end` is what the gate was told, under the gate's own name of
//! the transaction. What does not apply is left out, except `attack`: that no detector ran is a
//! fact as well.
//!
//! `previous` is the hash of the entry before it, and the leaves of the tree that checkpoints sign
//! are the same hashes ([`super::segment`] for files, [`super::checkpoint`] for signatures). The
//! newest checkpoint stands beside the file and goes to the log, so that whoever collects the log
//! holds one that nobody on this machine can take back. An entry with `pruned` is the audit's own:
//! what it let go of, because its time had come.
//!
//! What is decided together is one `write` and one `fdatasync`, so a batch of answers costs what
//! the medium takes to make a line durable: some tens of microseconds on a server's SSD with
//! power-loss protection, one to ten milliseconds on a plain one.
//!
//! Several processes may write one audit (an appliance, and a command line beside it): each takes
//! the file's lock for an entry, and reads what others wrote before it writes.
//!
//! Invariant: whoever is told `Ok` finds the entry after a crash; a file that was changed is not
//! written on. Absent on purpose: an image, a template, a name, a document number.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    AuditEntry, AuditError, AuditEvent, AuditSink, AuditStand, Entered, Erased,
    checkpoint::{Checkpoint, Signer, VerifierKey},
    line::Line,
    segment::{
        Break, Pruned, PrunedLine, SEGMENT_BYTES_MAX, State, checkpoint_path, followed_by,
        next_path, old_files, old_path, walk, walk_on,
    },
    tree::hex,
};
use crate::{
    audit::checkpoint::CHECKPOINT_BYTES_MAX,
    types::{GalleryId, SubjectId},
};

/// Room for a verification with every reference; longer entries grow the buffer once.
const LINE_BYTES: usize = 2048;
/// Entries after which a checkpoint is signed without being asked for.
const CHECKPOINT_ENTRIES: u64 = 256;
/// Time that one file holds, in seconds; it begins and ends with a day (UTC).
const DAY_S: i64 = 86_400;

/// An append-only, hash-chained, signed file of its own.
pub struct FileAudit {
    path: PathBuf,
    signer: Signer,
    segment_bytes_max: u64,
    writer: Mutex<Writer>,
}

struct Writer {
    file: File,
    bytes: u64,
    lines: Vec<u8>,
    /// The file may end in the middle of a line: after a crash, or after a write that failed.
    torn: bool,
    state: State,
    /// Entries that the newest checkpoint covers; `None` before the first one.
    signed: Option<u64>,
}

impl FileAudit {
    /// Opens `path` for appending; makes it, readable by its owner only, where it is missing.
    /// `signer` signs its checkpoints.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be opened, is anything but a plain file, or does not fit
    /// together with itself and its newest checkpoint. A symbolic link is refused: it would let
    /// whoever may write the folder send the audit somewhere else.
    pub fn open(path: &Path, signer: Signer) -> Result<Self, AuditError> {
        let refuse = |why: String| AuditError { place: path.display().to_string(), why };
        let said = |error: io::Error| refuse(error.to_string());
        resume(path).map_err(said)?;
        let is_new = match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => return Err(refuse(not_plain(&found))),
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(said(error)),
        };
        if is_new && !old_files(path).map_err(said)?.is_empty() {
            return Err(refuse(MISSING.to_owned()));
        }
        let mut file = options().open(path).map_err(said)?;
        // Between the look and the opening somebody may have put something else there.
        let (held, found) =
            (file.metadata().map_err(said)?, fs::symlink_metadata(path).map_err(said)?);
        if !held.is_file() || !found.is_file() || !is_same(&held, &found) {
            return Err(refuse("it was replaced while it was opened".into()));
        }
        if is_new {
            sync_folder(path).map_err(said)?;
        }
        // From here on nobody else writes: a command line beside a running appliance waits.
        file.lock().map_err(said)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(said)?;
        let signed = newest_checkpoint(path, &signer.verifier()).map_err(refuse)?;
        let (state, ends_torn) = continued(&text, signed.as_ref()).map_err(refuse)?;
        let writer = Writer {
            file,
            bytes: text.len() as u64,
            lines: Vec::with_capacity(LINE_BYTES),
            torn: ends_torn,
            state,
            signed: signed.map(|checkpoint| checkpoint.size),
        };
        writer.file.unlock().map_err(said)?;
        let (path, writer) = (path.to_owned(), Mutex::new(writer));
        let opened = Self { path, signer, segment_bytes_max: SEGMENT_BYTES_MAX, writer };
        opened.seal()?;
        Ok(opened)
    }

    /// The same audit with smaller files, for tests that see them change.
    #[must_use]
    pub fn with_segment_bytes(mut self, segment_bytes_max: u64) -> Self {
        self.segment_bytes_max = segment_bytes_max;
        self
    }

    /// What verifies its checkpoints.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.signer.verifier()
    }

    /// The newest checkpoint as a signed note, of everything that was written until now.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be written.
    pub fn checkpoint(&self) -> Result<String, AuditError> {
        self.alone(|writer| self.sign(writer)).map_err(|error| self.refuse(&error))
    }

    /// Does something while no other process writes, after taking in what others wrote: several
    /// share one audit, such as an appliance and a command line beside it.
    fn alone<T>(&self, work: impl FnOnce(&mut Writer) -> io::Result<T>) -> io::Result<T> {
        let mut writer = self.writer();
        writer.file.lock()?;
        let done = self.catch_up(&mut writer).and_then(|()| work(&mut writer));
        let freed = writer.file.unlock();
        let done = done?;
        freed.map(|()| done)
    }

    fn catch_up(&self, writer: &mut Writer) -> io::Result<()> {
        let changed = |fault: Break| io::Error::other(format!("{fault}; {EVIDENCE}"));
        while !is_same(&writer.file.metadata()?, &fs::symlink_metadata(&self.path)?) {
            // Another process began a new file; its head says what the old one came to.
            writer.file = options().open(&self.path)?;
            writer.file.lock()?;
            (writer.bytes, writer.signed) = (0, None);
        }
        let length = writer.file.metadata()?.len();
        if length == writer.bytes {
            return Ok(());
        }
        let mut news = Vec::new();
        writer.file.seek(SeekFrom::Start(writer.bytes))?;
        writer.file.read_to_end(&mut news)?;
        let walked = match writer.bytes {
            0 => walk(&news, None, |_| {}),
            _ if length < writer.bytes => Err(Break::Line { after: writer.state.tree.size() }),
            _ => walk_on(&news, writer.state.clone()),
        };
        let walked = walked.map_err(changed)?;
        let newest_s = walked.state.newest_s.max(writer.state.newest_s);
        writer.state = State { newest_s, ..walked.state };
        (writer.bytes, writer.torn) = (length, walked.ends_torn);
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows every line, oldest first. The lock is not held: what was written before is complete,
    /// and a change of files leaves every old one where it is found.
    fn read(&self, see: impl FnMut(&[u8])) -> io::Result<()> {
        self.read_since(0, see)
    }

    /// The same without the files that are over before the entry of number `since`.
    fn read_since(&self, since: u64, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        let old = old_files(&self.path)?;
        for (at, path) in old.iter().chain([&self.path]).enumerate() {
            // One is over where the next begins.
            let next = old.get(at + 1).and_then(|path| number_of(path));
            if next.is_some_and(|next| next <= since) {
                continue;
            }
            fs::read(path)?.split(|&byte| byte == b'\n').for_each(&mut see);
        }
        Ok(())
    }

    fn refuse(&self, error: &io::Error) -> AuditError {
        AuditError { place: self.path.display().to_string(), why: error.to_string() }
    }

    fn sign(&self, writer: &mut Writer) -> io::Result<String> {
        let (size, root) = (writer.state.tree.size(), writer.state.tree.root());
        let note = self.signer.sign(&Checkpoint { size, root });
        if writer.signed != Some(size) {
            replace(&checkpoint_path(&self.path), note.as_bytes())?;
            writer.signed = Some(size);
            tracing::info!(size, checkpoint = note.replace('\n', "|"), "audit checkpoint");
        }
        Ok(note)
    }

    /// Begins a new file where this one is large enough, or of another day than `at_s`.
    fn turn_over(&self, writer: &mut Writer, at_s: i64) -> io::Result<()> {
        let Some(began_s) = writer.state.began_s else { return Ok(()) };
        let is_full = writer.bytes >= self.segment_bytes_max;
        if is_full || began_s.div_euclid(DAY_S) != at_s.div_euclid(DAY_S) {
            self.begin_next(writer)?;
        }
        Ok(())
    }

    fn begin_next(&self, writer: &mut Writer) -> io::Result<()> {
        let next = next_path(&self.path);
        let head = writer.state.head();
        replace(&next, &head)?;
        fs::rename(&self.path, old_path(&self.path, first_of(&self.path)?))?;
        fs::rename(&next, &self.path)?;
        sync_folder(&self.path)?;
        writer.file = options().open(&self.path)?;
        writer.file.lock()?;
        (writer.bytes, writer.torn, writer.state.began_s) = (head.len() as u64, false, None);
        Ok(())
    }

    /// Removes the files whose entries are all older than `before_s`. That is said and signed
    /// first: a crash between the two leaves more than was promised, never less.
    fn let_go(&self, writer: &mut Writer, (before_s, now_s): (i64, i64)) -> io::Result<()> {
        // Where nothing happens any more, what is written to is as old as the others.
        if writer.state.began_s.is_some() && writer.state.newest_s < before_s {
            self.begin_next(writer)?;
        }
        let (mut old, mut pruned) = (Vec::new(), None);
        for path in old_files(&self.path)? {
            // Later ones are younger; a damaged one stays as evidence.
            let Ok(walked) = walk(&fs::read(&path)?, None, |_| {}) else { break };
            let State { tree, newest_s, .. } = walked.state;
            if newest_s >= before_s {
                break;
            }
            let newest_s = pruned.map_or(newest_s, |it: Pruned| it.newest_s.max(newest_s));
            pruned = Some(Pruned { entries_before: tree.size(), newest_s });
            old.push(path);
        }
        let Some(pruned) = pruned else { return Ok(()) };
        writer.append([Said::Pruned { at_s: now_s, pruned }])?;
        self.sign(writer)?;
        for path in &old {
            fs::remove_file(path)?;
            tracing::info!(path = %path.display(), "audit: kept as long as it had to be");
        }
        sync_folder(&self.path)
    }
}

/// What a line says.
enum Said<'a> {
    /// What happened.
    Entry(&'a AuditEntry),
    /// What the audit lets go of.
    Pruned { at_s: i64, pruned: Pruned },
}

impl Said<'_> {
    fn at_s(&self) -> i64 {
        match self {
            Self::Entry(entry) => entry.at_s,
            Self::Pruned { at_s, .. } => *at_s,
        }
    }

    /// Writes its line, without the end, as the entry that follows `state`.
    fn write(&self, state: &State, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let n = state.tree.size();
        match *self {
            Self::Entry(entry) => serde_json::to_writer(out, &Line::of(n, &state.previous, entry)),
            Self::Pruned { at_s, pruned } => {
                let line = PrunedLine { n, previous: hex(&state.previous), at_s, pruned };
                serde_json::to_writer(out, &line)
            }
        }
    }
}

impl AuditSink for FileAudit {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let recorded = self.alone(|writer| {
            // The entries stand whatever becomes of the file or of the checkpoint: both are tried
            // again with the next.
            let turned = entries.first().map(|entry| self.turn_over(writer, entry.at_s));
            writer.append(entries.iter().map(Said::Entry))?;
            let unsigned = writer.state.tree.size() - writer.signed.unwrap_or(0);
            let is_signed = unsigned < CHECKPOINT_ENTRIES || self.sign(writer).is_ok();
            if !is_signed || turned.is_some_and(|turned| turned.is_err()) {
                tracing::error!(path = %self.path.display(), "audit: no checkpoint or no new file");
            }
            Ok(())
        });
        recorded.map_err(|error| self.refuse(&error))
    }

    fn seal(&self) -> Result<(), AuditError> {
        self.checkpoint().map(drop)
    }

    fn entered(&self, meant: &Entered) -> Result<Vec<SubjectId>, AuditError> {
        let mut found = BTreeSet::new();
        let read = self.read(|line| found.extend(super::line::entered(line, meant)));
        read.map_err(|error| self.refuse(&error))?;
        Ok(found.into_iter().collect())
    }

    fn about(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Vec<AuditEvent>, AuditError> {
        let mut found = Vec::new();
        let read = self.read(|line| found.extend(super::line::about(line, gallery, subject)));
        read.map_err(|error| self.refuse(&error))?;
        Ok(found)
    }

    fn stand(&self) -> AuditStand {
        let writer = self.writer();
        let entries = writer.state.tree.size();
        let newest = if entries == 0 { String::new() } else { hex(&writer.state.previous) };
        AuditStand { entries, newest }
    }

    fn goes_on_from(&self, stand: &AuditStand) -> Result<bool, AuditError> {
        let now = self.stand();
        if stand.entries == 0 || *stand == now {
            return Ok(true);
        }
        if stand.entries >= now.entries {
            return Ok(false);
        }
        let mut followed = None;
        let read = self.read_since(stand.entries, |line| {
            if followed.is_none() {
                followed = followed_by(line, stand.entries);
            }
        });
        read.map_err(|error| self.refuse(&error))?;
        Ok(followed.is_some_and(|followed| followed == stand.newest))
    }

    fn erased(&self, since: u64) -> Result<Erased, AuditError> {
        let mut found = Erased::default();
        let read = self.read_since(since, |line| super::line::erased(line, since, &mut found));
        read.map_err(|error| self.refuse(&error))?;
        Ok(found)
    }

    fn prune(&self, before_s: i64, now_s: i64) -> Result<(), AuditError> {
        let pruned = self.alone(|writer| self.let_go(writer, (before_s, now_s)));
        pruned.map_err(|error| self.refuse(&error))
    }
}

impl Drop for FileAudit {
    fn drop(&mut self) {
        if let Err(error) = self.seal() {
            tracing::error!(%error, "audit: the last checkpoint");
        }
    }
}

impl Writer {
    fn append<'a>(&mut self, said: impl IntoIterator<Item = Said<'a>>) -> io::Result<()> {
        self.lines.clear();
        if self.torn {
            // The broken line stands alone, those that follow are whole; nothing that ends so is
            // JSON, also where only the end of the line is missing.
            self.lines.extend(b"~\n");
        }
        let mut state = self.state.clone();
        for said in said {
            let from = self.lines.len();
            said.write(&state, &mut self.lines)?;
            state.follow(&self.lines[from..], said.at_s());
            self.lines.push(b'\n');
        }
        self.torn = true;
        self.file.write_all(&self.lines)?;
        self.torn = false;
        self.bytes += self.lines.len() as u64;
        // They are in the file now, durable or not: the next entry follows them.
        self.state = state;
        self.file.sync_data()
    }
}

const EVIDENCE: &str = "keep the file as evidence and set audit.path to a new place; `portcullis \
                        audit verify` tells more";
const MISSING: &str = "the file is missing and older ones stand beside it: put it back, or set \
                       audit.path to a new place and keep these as evidence";

/// A change of files that a crash interrupted is finished.
fn resume(path: &Path) -> io::Result<()> {
    let next = next_path(path);
    match (path.exists(), next.exists()) {
        (false, true) => fs::rename(&next, path),
        (true, true) => fs::remove_file(&next),
        (_, false) => Ok(()),
    }
}

/// What the file says, if its newest checkpoint says the same.
fn continued(text: &[u8], signed: Option<&Checkpoint>) -> Result<(State, bool), String> {
    let mut is_borne_out = signed.is_none_or(|checkpoint| checkpoint.size == 0);
    let mut first = None;
    let walked = walk(text, None, |state| {
        first.get_or_insert(state.tree.size());
        let covers = signed.is_some_and(|checkpoint| checkpoint.size == state.tree.size());
        is_borne_out |= covers && signed.is_some_and(|it| it.root == state.tree.root());
    });
    let walked = walked.map_err(|fault| format!("{fault}; {EVIDENCE}"))?;
    let size = walked.state.tree.size();
    if signed.is_none() && size > 0 {
        return Err(format!("its checkpoint is missing, so that a cut would not show; {EVIDENCE}"));
    }
    // A checkpoint of an older file was borne out when this one was begun.
    let is_older = signed.is_some_and(|it| first.is_some_and(|first| it.size < first));
    if !is_borne_out && !is_older {
        let signed = signed.map_or(0, |checkpoint| checkpoint.size);
        return Err(format!(
            "it holds {size} entries and its checkpoint signs {signed} others: entries were \
             changed or cut off; {EVIDENCE}"
        ));
    }
    Ok((walked.state, walked.ends_torn))
}

fn newest_checkpoint(path: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, String> {
    let beside = checkpoint_path(path);
    let file = match File::open(&beside) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("its checkpoint cannot be read: {error}")),
    };
    let mut note = String::new();
    file.take(CHECKPOINT_BYTES_MAX as u64 + 1)
        .read_to_string(&mut note)
        .map_err(|error| format!("its checkpoint cannot be read: {error}"))?;
    let opened = key
        .open(&note)
        .map_err(|error| format!("the checkpoint {} does not count: {error}", beside.display()))?;
    Ok(Some(opened))
}

/// Number of an old file's first entry, from its name.
fn number_of(path: &Path) -> Option<u64> {
    path.extension()?.to_str()?.parse().ok()
}

/// Number of a file's first entry, from its head.
fn first_of(path: &Path) -> io::Result<u64> {
    let mut first = None;
    let text = fs::read(path)?;
    let end = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
    let walked = walk(&text[..end], None, |state| {
        first.get_or_insert(state.tree.size());
    });
    walked.map_err(io::Error::other)?;
    Ok(first.unwrap_or(0))
}

/// Puts `bytes` in the place of what `path` held, durably and at once.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    sync_folder(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn is_same(held: &fs::Metadata, found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn is_same(held: &fs::Metadata, found: &fs::Metadata) -> bool {
    held.len() == found.len()
}

fn not_plain(found: &fs::Metadata) -> String {
    let kind = if found.is_symlink() {
        "a symbolic link"
    } else if found.is_dir() {
        "a folder"
    } else {
        "a device, pipe or socket"
    };
    format!("it is {kind}; name a plain file")
}

/// Makes the new file's name durable as well.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
