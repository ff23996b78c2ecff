//! The audit as a plain file: one JSON object per line, appended and synchronised before the reply.
//!
//! ```text
//! {"transaction":"…","at_s":1700000000,"role":"gate","client":"lane-1","action":"verify",
//!  "purpose":"border_control","outcome":"admit","reasons":["ALL_REFERENCES_MATCH"],
//!  "attack":"not_performed",
//!  "comparisons":[{"score":9000,"threshold":6860,"fmr":0.0001}]}            (one line)
//! ```
//! Each judged frame of a lane's transaction is an entry of its own, with `lane` and
//! `lane_transaction`; the entry with `end` is what the gate was told, under the gate's own name of
//! the transaction. What does not apply is left out, except `attack`: that no detector ran is a
//! fact as well.
//!
//! What is decided together is one `write` and one `fdatasync`, so a batch of answers costs what
//! the medium takes to make a line durable: some tens of microseconds on a server's SSD with
//! power-loss protection, one to ten milliseconds on a plain one.
//!
//! Invariant: whoever is told `Ok` finds the entry after a crash. Absent on purpose: an image, a
//! template, a name, a document number; there is no field for one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::{AuditEntry, AuditError, AuditSink};
use crate::types::{Attack, Outcome, Purpose, Role, Selection};

/// Room for a verification with every reference; longer entries grow the buffer once.
const LINE_BYTES: usize = 2048;

/// An append-only file of its own.
pub struct FileAudit {
    path: PathBuf,
    writer: Mutex<Writer>,
}

struct Writer {
    file: File,
    lines: Vec<u8>,
    /// The file may end in the middle of a line: after a crash, or after a write that failed.
    torn: bool,
}

impl FileAudit {
    /// Opens `path` for appending; makes it, readable by its owner only, where it is missing.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be opened, or is anything but a plain file. A symbolic link is
    /// refused: it would let whoever may write the folder send the audit somewhere else.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let refuse = |why: String| AuditError { place: path.display().to_string(), why };
        let said = |error: io::Error| refuse(error.to_string());
        let is_new = match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => return Err(refuse(not_plain(&found))),
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(said(error)),
        };
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
        let torn = ends_torn(&mut file).map_err(said)?;
        let writer = Writer { file, lines: Vec::with_capacity(LINE_BYTES), torn };
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer) })
    }
}

impl AuditSink for FileAudit {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.append(entries).map_err(|error| AuditError {
            place: self.path.display().to_string(),
            why: error.to_string(),
        })
    }
}

impl Writer {
    fn append(&mut self, entries: &[AuditEntry]) -> io::Result<()> {
        self.lines.clear();
        if self.torn {
            self.lines.push(b'\n'); // the broken line stands alone, those that follow are whole
        }
        for entry in entries {
            serde_json::to_writer(&mut self.lines, &Line::of(entry))?;
            self.lines.push(b'\n');
        }
        self.torn = true;
        self.file.write_all(&self.lines)?;
        self.torn = false;
        self.file.sync_data()
    }
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

fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[derive(Serialize)]
struct Line<'a> {
    transaction: String,
    at_s: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selection: Option<LineSelection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    reasons: &'a [&'static str],
    attack: LineAttack,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comparisons: Vec<LineComparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erasure: Option<LineErasure<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane_transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<LineEnd>,
}

#[derive(Serialize)]
struct LineEnd {
    ended: &'static str,
    attempt: u8,
    timeout_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineSelection {
    Everybody,
    Classes(u64),
    EnrolledBefore(i64),
    Expired,
    Group(u32),
}

#[derive(Serialize)]
struct LineErasure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch_destroyed: Option<u64>,
    custodian: &'a str,
    at_s: i64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LineAttack {
    Score(f32),
    Word(&'static str),
}

#[derive(Serialize)]
struct LineComparison {
    /// `VALID`, or the verdict with its reason: `INVALID (DG2_HASH_MISMATCH)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    score: Option<i32>,
    threshold: i32,
    fmr: f64,
}

impl<'a> Line<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        let comparisons = entry.comparisons.iter().map(|comparison| LineComparison {
            document: comparison.document.map(|document| document.to_string()),
            score: comparison.score.map(|score| score.0),
            threshold: comparison.threshold.0,
            fmr: comparison.fmr,
        });
        Self {
            transaction: entry.transaction.to_string(),
            at_s: entry.at_s,
            role: entry.caller.as_ref().map(|caller| role(caller.role)),
            client: entry.caller.as_ref().map(|caller| caller.client.as_str()),
            action: entry.action.name(),
            purpose: entry.purpose.map(Purpose::name),
            gallery: entry.gallery.as_ref().map(|gallery| gallery.as_str()),
            subject: entry.subject.map(|subject| subject.to_string()),
            selection: entry.selection.map(selection),
            outcome: entry.outcome.map(outcome),
            reasons: &entry.reasons,
            attack: attack(entry.attack),
            comparisons: comparisons.collect(),
            candidates: entry.candidates,
            erasure: entry.erasure.as_ref().map(|erasure| LineErasure {
                rows: erasure.rows,
                generation: erasure.generation,
                epoch_destroyed: erasure.epoch_destroyed,
                custodian: &erasure.custodian,
                at_s: erasure.at_s,
            }),
            lane: entry.at_lane.as_ref().map(|at| at.lane.as_str()),
            lane_transaction: entry.at_lane.as_ref().map(|at| at.transaction.to_string()),
            end: entry.end.as_ref().map(|end| LineEnd {
                ended: end.ended,
                attempt: end.attempt,
                timeout_ms: end.timeout_ms,
                frame: end.frame.map(|frame| frame.to_string()),
            }),
        }
    }
}

fn selection(selection: Selection) -> LineSelection {
    match selection {
        Selection::Everybody => LineSelection::Everybody,
        Selection::Classes(bits) => LineSelection::Classes(bits),
        Selection::EnrolledBefore(at_s) => LineSelection::EnrolledBefore(at_s),
        Selection::Expired => LineSelection::Expired,
        Selection::Group(group) => LineSelection::Group(group),
    }
}

/// JSON has no NaN: it would read as `null`, as if no detector had run.
fn attack(attack: Attack) -> LineAttack {
    match attack {
        Attack::NotPerformed => LineAttack::Word("not_performed"),
        Attack::Score(score) if score.is_finite() => LineAttack::Score(score),
        Attack::Score(_) => LineAttack::Word("invalid"),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Administrator => "administrator",
        Role::Auditor => "auditor",
        Role::DataProtectionOfficer => "data_protection_officer",
        Role::Gate => "gate",
        Role::Officer => "officer",
        Role::Operator => "operator",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Admit => "admit",
        Outcome::Retry => "retry",
        Outcome::Refer => "refer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{AuditComparison, AuditEnd, AuditErasure},
        types::{
            Action, AtLane, Authenticity, Caller, DocumentFault, Score, SubjectId, TransactionId,
        },
    };

    fn entry() -> AuditEntry {
        AuditEntry {
            transaction: TransactionId::from_bytes([7; 16]),
            at_s: 1_700_000_000,
            caller: Some(Caller { role: Role::Gate, client: "lane-1".parse().expect("a name") }),
            action: Action::Verify,
            purpose: Some(Purpose::BorderControl),
            gallery: Some("kl-0893".parse().expect("a name")),
            subject: Some(SubjectId::from_bytes([9; 16])),
            selection: Some(Selection::Group(7)),
            outcome: Some(Outcome::Refer),
            reasons: vec!["SCORE_BELOW_THRESHOLD"],
            attack: Attack::NotPerformed,
            comparisons: vec![AuditComparison {
                document: Some(Authenticity::Invalid(DocumentFault::Dg2HashMismatch)),
                score: Some(Score(41)),
                threshold: Score(6860),
                fmr: 1e-4,
            }],
            candidates: Some(0),
            erasure: Some(AuditErasure {
                rows: Some(2),
                generation: 4,
                epoch_destroyed: Some(3),
                custodian: "file".to_owned(),
                at_s: 1_700_000_000,
            }),
            at_lane: Some(AtLane {
                lane: "gate-1".parse().expect("a name"),
                transaction: TransactionId::from_bytes([8; 16]),
            }),
            end: Some(AuditEnd {
                ended: "decided",
                attempt: 1,
                timeout_ms: 8_000,
                frame: Some(TransactionId::from_bytes([7; 16])),
            }),
        }
    }

    fn lines(path: &Path) -> Vec<Result<serde_json::Value, String>> {
        let text = fs::read_to_string(path).expect("the audit");
        text.lines().map(|line| serde_json::from_str(line).map_err(|_| line.to_owned())).collect()
    }

    #[test]
    fn an_entry_is_one_line_and_reopening_appends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        for _ in 0..2 {
            let audit = FileAudit::open(&path).expect("a plain file");
            audit.record(&[entry()]).expect("room");
        }
        let lines = lines(&path);
        assert_eq!(lines.len(), 2);
        let line = lines[1].as_ref().expect("JSON");
        assert_eq!(line["outcome"], "refer");
        assert_eq!(line["comparisons"][0]["score"], 41);
        assert_eq!(line["attack"], "not_performed");
        assert_eq!(line["comparisons"][0]["document"], "INVALID (DG2_HASH_MISMATCH)");
    }

    #[test]
    fn an_attack_score_is_told_apart_from_none_at_all() {
        let told = |attack| {
            let entry = AuditEntry { attack, ..entry() };
            serde_json::to_value(Line::of(&entry)).expect("JSON")["attack"].to_string()
        };
        assert_eq!(told(Attack::Score(0.25)), "0.25");
        assert_eq!(told(Attack::Score(f32::NAN)), "\"invalid\"");
        assert_eq!(told(Attack::NotPerformed), "\"not_performed\"");
    }

    #[test]
    fn no_key_could_hold_a_face_or_a_name() {
        let line = serde_json::to_value(Line::of(&entry())).expect("JSON");
        let keys: Vec<&str> =
            line.as_object().expect("an object").keys().map(String::as_str).collect();
        let known = [
            "action",
            "at_s",
            "attack",
            "candidates",
            "client",
            "comparisons",
            "end",
            "erasure",
            "gallery",
            "lane",
            "lane_transaction",
            "outcome",
            "purpose",
            "reasons",
            "role",
            "selection",
            "subject",
            "transaction",
        ];
        let mut sorted = keys;
        sorted.sort_unstable();
        assert_eq!(sorted, known, "a new key needs a look: the audit holds no biometric data");
        let comparison = line["comparisons"][0].as_object().expect("an object");
        assert_eq!(comparison.len(), 4, "document, score, threshold, fmr");
        let end = line["end"].as_object().expect("an object");
        assert_eq!(end.len(), 4, "ended, attempt, timeout_ms, frame");
    }

    #[test]
    fn a_torn_line_stands_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "{\"transaction\":\"07").expect("a torn file");
        FileAudit::open(&path).expect("a plain file").record(&[entry()]).expect("room");
        let lines = lines(&path);
        assert_eq!(lines[0], Err("{\"transaction\":\"07".to_owned()));
        assert_eq!((lines.len(), lines[1].is_ok()), (2, true));
    }

    #[test]
    fn a_folder_or_a_missing_place_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = FileAudit::open(folder.path()).err().expect("a refusal");
        assert_eq!(refused.place, folder.path().display().to_string());
        assert_eq!(refused.why, "it is a folder; name a plain file");
        let missing = folder.path().join("none/audit.jsonl");
        assert!(FileAudit::open(&missing).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused_and_a_new_file_is_the_owners_alone() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("audit.jsonl"), folder.path().join("link"));
        FileAudit::open(&path).expect("a plain file");
        let mode = fs::metadata(&path).expect("the audit").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        symlink(&path, &link).expect("a link");
        let refused = FileAudit::open(&link).err().expect("a refusal");
        assert_eq!(refused.why, "it is a symbolic link; name a plain file");
        symlink(folder.path().join("elsewhere"), folder.path().join("dangling")).expect("a link");
        assert!(FileAudit::open(&folder.path().join("dangling")).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_medium_is_an_error_with_its_place() {
        let refused = FileAudit::open(Path::new("/dev/full")).err().expect("a refusal");
        assert_eq!(refused.why, "it is a device, pipe or socket; name a plain file");

        let file = OpenOptions::new().append(true).open("/dev/full").expect("the device");
        let writer = Writer { file, lines: Vec::new(), torn: false };
        let audit = FileAudit { path: "/dev/full".into(), writer: Mutex::new(writer) };
        let refused = audit.record(&[entry()]).unwrap_err();
        assert_eq!(refused.place, "/dev/full");
        assert!(refused.to_string().contains("nothing is answered until it can"), "{refused}");
    }
}
