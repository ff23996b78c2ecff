//! What happened, without a face in it. An entry is written before the reply leaves; if it cannot
//! be written, the outcome is Refer.

pub mod file;

use crate::types::{
    Action, Attack, Authenticity, Caller, GalleryId, Outcome, Purpose, Score, SubjectId,
    TransactionId,
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

/// One thing that happened. Identifiers are opaque; there is no image, no template, no name.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The transaction.
    pub transaction: TransactionId,
    /// Civil time in seconds, UTC.
    pub at_s: i64,
    /// Who asked.
    pub caller: Caller,
    /// What for.
    pub action: Action,
    /// Why.
    pub purpose: Purpose,
    /// In which gallery.
    pub gallery: Option<GalleryId>,
    /// Whom it concerned, for enrolment and erasure.
    pub subject: Option<SubjectId>,
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
    /// Writes `entry`; on return it survives a crash.
    ///
    /// # Errors
    /// [`AuditError`]: the caller must then answer Refer.
    fn record(&self, entry: &AuditEntry) -> Result<(), AuditError>;
}
