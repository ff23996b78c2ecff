//! An entry as one line of JSON.
//!
//! Absent on purpose: an image, a template, a name, a document number; there is no field for one.

use serde::{Deserialize, Serialize};

use super::{
    AuditEntry, AuditEvent, AuditStrangers, Entered, Erased, Gone, SETTLED,
    tree::{Hash, hex},
};
use crate::types::{
    Action, Attack, ClientId, GalleryId, Outcome, Purpose, Role, Selection, SubjectId,
};

#[derive(Serialize)]
pub(super) struct Line<'a> {
    /// Its number in the audit, from 0.
    n: u64,
    /// Hash of the entry before it, as the tree has it; zeroes for the first.
    previous: String,
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
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    used: Option<LineUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strangers: Option<LineStrangers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_hand_ms: Option<u64>,
}

#[derive(Serialize)]
struct LineStrangers {
    count: u64,
    since_s: i64,
}

/// AI Act Art. 12(3): `began_s` with the entry's `at_s`, the reference database with its
/// generation, the input of a match by its hash, and who verified it.
#[derive(Serialize)]
struct LineUse {
    began_s: i64,
    generation: u64,
    threshold: i32,
    fmr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_input: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verified_by: Vec<String>,
}

#[derive(Serialize)]
struct LineEnd {
    ended: &'static str,
    attempt: u8,
    timeout_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
}

#[derive(Serialize, Deserialize)]
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
    pub(super) fn of(n: u64, previous: &Hash, entry: &'a AuditEntry) -> Self {
        let comparisons = entry.comparisons.iter().map(|comparison| LineComparison {
            document: comparison.document.map(|document| document.to_string()),
            score: comparison.score.map(|score| score.0),
            threshold: comparison.threshold.0,
            fmr: comparison.fmr,
        });
        Self {
            n,
            previous: hex(previous),
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
            used: entry.used.as_ref().map(|used| LineUse {
                began_s: used.began_s,
                generation: used.generation,
                threshold: used.threshold.0,
                fmr: used.fmr,
                best: used.best.map(|score| score.0),
                matched_input: used.matched_input.map(|hash| hash.to_string()),
                verified_by: used.verified_by.iter().map(ToString::to_string).collect(),
            }),
            strangers: entry
                .strangers
                .map(|AuditStrangers { count, since_s }| LineStrangers { count, since_s }),
            person: entry.person.as_ref().map(ClientId::as_str),
            frames: entry.frames,
            by_hand_ms: entry.by_hand_ms,
        }
    }
}

/// What [`entered`] and [`about`] read of a line.
#[derive(Deserialize)]
struct Looked<'a> {
    at_s: i64,
    #[serde(borrow)]
    action: &'a str,
    #[serde(borrow, default)]
    client: Option<&'a str>,
    #[serde(borrow, default)]
    purpose: Option<&'a str>,
    #[serde(borrow, default)]
    gallery: Option<&'a str>,
    #[serde(borrow, default)]
    subject: Option<&'a str>,
    #[serde(borrow, default)]
    outcome: Option<&'a str>,
    #[serde(borrow, default)]
    lane: Option<&'a str>,
}

/// Codes of entries that say that somebody is kept, or carries a token, from now on.
const ENTERED: [&str; 3] = ["ENROLLED", "HOLDER_RECORD_KEPT", "TOKEN_ISSUED"];
/// The code of an entry that says that somebody is to be erased, and codes of one that says what
/// became of that.
const ORDERED: &str = "ERASURE_ORDERED";
const ENDED: [&str; 3] = ["ERASED", "ERASED_AGAIN", "NOT_ERASED"];
/// The code of an entry that says that a gallery is made.
const CREATED: &str = "GALLERY_CREATED";

impl Gone {
    /// Takes in a later entry about the same person.
    fn follow(&mut self, later: Self) {
        if later.generation > self.generation {
            *self = later;
        } else if later.generation == 0 {
            // Nobody was found, or what was there has no generations: nobody is there now.
            self.is_back = later.is_back;
        }
        // Otherwise it is the rest of an erasure that is known: whoever came back since stays.
    }
}

/// What [`erased`] reads of a line.
#[derive(Deserialize)]
struct Change<'a> {
    n: u64,
    #[serde(borrow)]
    action: &'a str,
    #[serde(borrow)]
    gallery: &'a str,
    #[serde(borrow, default)]
    subject: Option<&'a str>,
    #[serde(default)]
    selection: Option<LineSelection>,
    #[serde(borrow)]
    reasons: Vec<&'a str>,
    #[serde(default)]
    erasure: Option<Without>,
}

/// What [`erased`] reads of an erasure.
#[derive(Deserialize)]
struct Without {
    generation: u64,
}

/// Whom the entry on `line` put into a gallery, if it is one that is meant.
pub(super) fn entered(line: &[u8], meant: &Entered) -> Option<SubjectId> {
    let held: Looked<'_> = serde_json::from_slice(line).ok()?;
    let is_entry = [Action::Enrol, Action::Replace].iter().any(|act| act.name() == held.action);
    let is_meant = is_entry
        && held.gallery == Some(meant.gallery.as_str())
        && (meant.from_s..meant.until_s).contains(&held.at_s)
        && meant.by.as_ref().is_none_or(|by| held.client == Some(by.as_str()))
        && meant.purpose.is_none_or(|purpose| held.purpose == Some(purpose.name()));
    held.subject.filter(|_| is_meant)?.parse().ok()
}

/// What the entry on `line` says of `subject` in `gallery`, if it is about that person.
pub(super) fn about(line: &[u8], gallery: &GalleryId, subject: SubjectId) -> Option<AuditEvent> {
    let held: Looked<'_> = serde_json::from_slice(line).ok()?;
    let is_meant = held.gallery == Some(gallery.as_str())
        && held.subject.and_then(|held| held.parse().ok()) == Some(subject);
    is_meant.then(|| AuditEvent {
        at_s: held.at_s,
        action: held.action.to_owned(),
        outcome: held.outcome.map(str::to_owned),
        lane: held.lane.map(str::to_owned),
    })
}

/// Adds what the entry on `line` says of who is erased, where its number is `since` or more. To be
/// shown every line in order.
pub(super) fn erased(line: &[u8], since: u64, found: &mut Erased) {
    let Ok(held) = serde_json::from_slice::<Change<'_>>(line) else { return };
    let Ok(gallery) = held.gallery.parse::<GalleryId>() else { return };
    if held.n < since {
        return;
    }
    if held.reasons.contains(&CREATED) {
        found.several.remove(&gallery);
        found.galleries.remove(&gallery);
        // Generations are counted anew.
        let subjects = found.subjects.get_mut(&gallery).into_iter().flatten();
        subjects.for_each(|(_, gone)| gone.generation = 0);
    }
    let subject = held.subject.and_then(|subject| subject.parse::<SubjectId>().ok());
    let is = |action: Action| held.action == action.name();
    if let Some(subject) = subject {
        let codes = &held.reasons;
        // Whoever was to be replaced is there either way.
        if codes.contains(&ORDERED) && !is(Action::Replace) {
            found.ordered.entry(gallery.clone()).or_default().insert(subject);
        } else if codes.iter().any(|code| ENTERED.contains(code) || ENDED.contains(code))
            && let Some(ordered) = found.ordered.get_mut(&gallery)
        {
            ordered.remove(&subject);
        }
    }
    match (subject, &held.erasure, &held.selection) {
        (Some(subject), None, _) if held.reasons.iter().any(|code| ENTERED.contains(code)) => {
            let subjects = found.subjects.get_mut(&gallery);
            if let Some(gone) = subjects.and_then(|subjects| subjects.get_mut(&subject)) {
                gone.is_back = true;
            }
        }
        (Some(subject), Some(Without { generation }), _) => {
            // Who was erased before the key was destroyed may have been entered anew in between:
            // only the generation tells.
            let is_back = is(Action::Replace) || held.reasons.contains(&SETTLED);
            let gone = Gone { generation: *generation, is_back };
            let subjects = found.subjects.entry(gallery).or_default();
            subjects.entry(subject).and_modify(|was| was.follow(gone)).or_insert(gone);
        }
        // What has expired has expired in a copy as well.
        (None, Some(_), Some(LineSelection::Expired)) | (_, None, _) => {}
        (None, Some(_), _) if is(Action::DeleteGallery) => {
            found.galleries.insert(gallery);
        }
        (None, Some(Without { generation }), _) => {
            // One that found nobody has no generation: what it stands for is in the larger one.
            let without = found.several.entry(gallery).or_default();
            *without = (*without).max(*generation);
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
