//! What happened, without a face in it. An entry is written before the reply leaves; if it cannot
//! be written, the outcome is Refer.
//!
//! [`mod@file`] keeps the entries: each names the hash of the one before it, so that a deletion, an
//! edit or another order shows. [`checkpoint`] signs how many there are and the root of the tree
//! over them, so that a tail that was cut off shows, too. [`verify`] finds all four, [`segment`]
//! lets go of what is old enough.

pub mod checkpoint;
pub mod file;
mod line;
pub mod segment;
mod tree;
pub mod verify;

pub use checkpoint::{Checkpoint, CheckpointError, Signer, VerifierKey};
pub use file::FileAudit;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::types::{
    Action, AtLane, Attack, Authenticity, Caller, ClientId, GalleryId, Hash256, Outcome, Purpose,
    Score, Selection, SubjectId, TransactionId,
};

/// One comparison, as evidence: the score, what it was held against, and what that means.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditComparison {
    /// What the document was found to be, where the reference is a document's; nothing from it.
    pub document: Option<Authenticity>,
    /// The comparison score; `None` when there was nothing to compare.
    pub score: Option<Score>,
    /// The threshold.
    pub threshold: Score,
    /// The calibrated false match rate at that threshold.
    pub fmr: f64,
}

/// An erasure, as evidence: what was there before it can be read by nobody any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditErasure {
    /// References that were erased; `None` where the gallery could not be read any more.
    pub rows: Option<u64>,
    /// First generation without them.
    pub generation: u64,
    /// Every key up to this epoch's was destroyed with them; `None` where the gallery went as a
    /// whole, with every key it ever had.
    pub epoch_destroyed: Option<u64>,
    /// Who held the key.
    pub custodian: String,
    /// Civil time of the destruction in seconds, UTC.
    pub at_s: i64,
}

/// The end of a lane's transaction, as evidence: how it ended, and on which of its frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEnd {
    /// `decided`, `timed-out`, `cancelled`, `left` or `interrupted`.
    pub ended: &'static str,
    /// Which attempt of the same traveller it was, from 1.
    pub attempt: u8,
    /// Time that it was given, in milliseconds.
    pub timeout_ms: u64,
    /// The entry of the frame that it rests on, where there is one.
    pub frame: Option<TransactionId>,
}

/// One use of remote biometric identification, as AI Act Art. 12(3) wants it recorded; its end is
/// the entry's own time, its reference database the entry's gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditUse {
    /// Civil time of its beginning in seconds, UTC.
    pub began_s: i64,
    /// Generation of the gallery that was searched.
    pub generation: u64,
    /// The threshold.
    pub threshold: Score,
    /// The calibrated false match rate at that threshold.
    pub fmr: f64,
    /// Best score at or above the threshold.
    pub best: Option<Score>,
    /// SHA-256 of the picture that was searched for; for a match alone. The picture itself, where a
    /// law has it kept, lies sealed elsewhere.
    pub matched_input: Option<Hash256>,
    /// Who verified the result, in the order in which they did.
    pub verified_by: Vec<ClientId>,
}

/// Callers without a credential that counts, of one kind: none of them asked anything, and of many
/// there is one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditStrangers {
    /// How many since.
    pub count: u64,
    /// Civil time of the first of them in seconds, UTC; the last is the entry's own.
    pub since_s: i64,
}

/// One thing that happened. Identifiers are opaque; there is no image, no template, no name.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The transaction.
    pub transaction: TransactionId,
    /// Civil time in seconds, UTC.
    pub at_s: i64,
    /// Who asked; `None` for what the appliance does by itself, such as erasing what has expired.
    pub caller: Option<Caller>,
    /// What for.
    pub action: Action,
    /// Why; `None` for what the appliance does by itself.
    pub purpose: Option<Purpose>,
    /// In which gallery.
    pub gallery: Option<GalleryId>,
    /// Whom it concerned: who was enrolled, erased, or compared as one enrolled person.
    pub subject: Option<SubjectId>,
    /// Whom it concerned, for an erasure that names no subject.
    pub selection: Option<Selection>,
    /// What was decided; `None` for an administrative act.
    pub outcome: Option<Outcome>,
    /// Reason codes.
    pub reasons: Vec<&'static str>,
    /// The presentation-attack result, `NotPerformed` included.
    pub attack: Attack,
    /// 1:1 comparisons.
    pub comparisons: Vec<AuditComparison>,
    /// Subjects at or above the threshold, for a search.
    pub candidates: Option<u32>,
    /// What an erasure destroyed, once it has.
    pub erasure: Option<AuditErasure>,
    /// The lane's transaction that it belongs to.
    pub at_lane: Option<AtLane>,
    /// That transaction's end: its outcome is the gate's.
    pub end: Option<AuditEnd>,
    /// A search, or what became of its hit.
    pub used: Option<AuditUse>,
    /// Who was turned away without being asked what for.
    pub strangers: Option<AuditStrangers>,
    /// Which person acted, where the caller acts for several; a name of the configuration, such as
    /// a badge number.
    pub person: Option<ClientId>,
    /// Frames that an enrolment brought, each of which is a reference.
    pub frames: Option<u32>,
    /// Time from the referral of a lane's traveller until a person was done, in milliseconds.
    pub by_hand_ms: Option<u64>,
}

impl AuditEntry {
    /// That it happened, when and why; whoever knows more puts it in.
    #[must_use]
    pub fn of(
        transaction: TransactionId,
        at_s: i64,
        action: Action,
        reasons: Vec<&'static str>,
    ) -> Self {
        Self {
            transaction,
            at_s,
            caller: None,
            action,
            purpose: None,
            gallery: None,
            subject: None,
            selection: None,
            outcome: None,
            reasons,
            attack: Attack::NotPerformed,
            comparisons: Vec::new(),
            candidates: None,
            erasure: None,
            at_lane: None,
            end: None,
            used: None,
            strangers: None,
            person: None,
            frames: None,
            by_hand_ms: None,
        }
    }
}

/// Whom somebody put into a gallery, as the audit knows it: for erasing what one operator entered
/// (IMY DI-2020-2719, measures) and for telling those concerned (GDPR Art. 34).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Into which gallery.
    pub gallery: GalleryId,
    /// By whom; `None` for anybody.
    pub by: Option<ClientId>,
    /// For which purpose; `None` for any.
    pub purpose: Option<Purpose>,
    /// From this second on, UTC.
    pub from_s: i64,
    /// Before this second.
    pub until_s: i64,
}

/// What the audit knows to have happened with one person (GDPR Art. 15): nobody else is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Civil time in seconds, UTC.
    pub at_s: i64,
    /// What was done, such as `verify`.
    pub action: String,
    /// What was decided, where anything was.
    pub outcome: Option<String>,
    /// At which lane, where it was at one.
    pub lane: Option<String>,
}

/// Somebody whom the audit knows to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// First generation of the gallery without what was erased.
    pub generation: u64,
    /// Whether the person was entered anew since.
    pub is_back: bool,
}

/// The code of an entry about an erasure that is in the audit already: the key that was left over
/// then is destroyed.
pub const SETTLED: &str = "KEY_DESTROYED_LATER";

/// What the audit knows to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// Who, and from which gallery.
    pub subjects: BTreeMap<GalleryId, BTreeMap<SubjectId, Gone>>,
    /// Who was ordered to be erased by name, where no entry says what became of it: the process
    /// ended in between, and what it had done by then nobody wrote down.
    pub ordered: BTreeMap<GalleryId, BTreeSet<SubjectId>>,
    /// Galleries from which several were erased together, with the first generation without them.
    /// Who they were the audit does not know.
    pub several: BTreeMap<GalleryId, u64>,
    /// Galleries that were erased as a whole.
    pub galleries: BTreeSet<GalleryId>,
}

/// How far an audit has come, and which one it is: another that was begun anew comes as far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditStand {
    /// How many entries there are.
    pub entries: u64,
    /// Hash of the newest, as the chain has it; empty where there is none.
    pub newest: String,
}

/// Why an entry was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit could not be written to {place}: {why}; nothing is answered until it can")]
pub struct AuditError {
    /// The file or device.
    pub place: String,
    /// What the system said.
    pub why: String,
}

/// Where entries go.
pub trait AuditSink: Send + Sync {
    /// Writes `entries`, in their order; on return all of them survive a crash. What is decided
    /// together is recorded together, so that a medium that is slow to make a line durable is
    /// waited for once.
    ///
    /// # Errors
    /// [`AuditError`]: none of them may be relied on; the caller must then answer Refer to all.
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError>;

    /// Signs what was written so far. A sink that signs nothing has nothing to do.
    ///
    /// # Errors
    /// [`AuditError`]; the entries stand all the same.
    fn seal(&self) -> Result<(), AuditError> {
        Ok(())
    }

    /// Whom the audit knows to have been entered, each once. A sink that keeps nothing knows
    /// nobody.
    ///
    /// # Errors
    /// [`AuditError`]: what was written cannot be read.
    fn entered(&self, meant: &Entered) -> Result<Vec<SubjectId>, AuditError> {
        let _nothing_kept = meant;
        Ok(Vec::new())
    }

    /// What the audit knows to have happened with `subject` of `gallery`, oldest first. A sink that
    /// keeps nothing knows nothing.
    ///
    /// # Errors
    /// [`AuditError`]: what was written cannot be read.
    fn about(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Vec<AuditEvent>, AuditError> {
        let _nothing_kept = (gallery, subject);
        Ok(Vec::new())
    }

    /// How far it has come. A sink that keeps nothing stands at its beginning.
    fn stand(&self) -> AuditStand {
        AuditStand::default()
    }

    /// Whether it went on from `stand` and still holds what it went on with. A sink that keeps
    /// nothing never went on.
    ///
    /// # Errors
    /// [`AuditError`]: what was written cannot be read.
    fn goes_on_from(&self, stand: &AuditStand) -> Result<bool, AuditError> {
        Ok(stand.entries == 0)
    }

    /// What the audit knows to be erased since its entry of number `since`. A sink that keeps
    /// nothing knows nothing.
    ///
    /// # Errors
    /// [`AuditError`]: what was written cannot be read.
    fn erased(&self, since: u64) -> Result<Erased, AuditError> {
        let _nothing_kept = since;
        Ok(Erased::default())
    }

    /// Lets go of whole files whose newest entry is older than `before_s`, and says so at `now_s`.
    ///
    /// # Errors
    /// [`AuditError`].
    fn prune(&self, before_s: i64, now_s: i64) -> Result<(), AuditError> {
        let _nothing_old = (before_s, now_s);
        Ok(())
    }
}
