//! What the site is, who consented to what, and what became of a hit.

use crate::types::{
    ClientId, Condition, GalleryId, LaneId, Provenance, Purpose, Region, Stage, SubjectId,
    TransactionId,
};
pub use crate::{
    audit::{AuditEvent, Entered},
    duty::confirmation::{Stand, Vote, VoteRefused},
    gallery::Record,
    register::{AgeClass, Consent, Given, Ground, RelationClass, TakenBack},
};

/// What is handed over with an enrolment, beside pictures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Papers {
    /// The person's consent, where it is given with the enrolment.
    pub consent: Option<Given>,
    /// Why the person is put on a list.
    pub ground: Option<Ground>,
    /// First second (UTC) at which the traveller's passport does not count any more.
    pub passport_expiry_s: Option<i64>,
}

impl Papers {
    /// When the consent among them ends, where there is one and it ends by itself.
    #[must_use]
    pub fn consent_ends_s(&self) -> Option<i64> {
        self.consent.as_ref().and_then(|given| given.expiry_s)
    }
}

/// A step of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteStep {
    /// It was assessed.
    Assess,
    /// It is put into use.
    Activate,
}

/// What the site is, as anybody may know it: also the text of its notice (GDPR Art. 13) and its row
/// in the record of processing (Art. 30).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteDescription {
    /// Name of the profile.
    pub profile: String,
    /// One sentence.
    pub title: String,
    /// Kept to show how a system worked; no basis under the GDPR.
    pub historical: bool,
    /// How far it is.
    pub stage: Stage,
    /// What was assessed is not what would be used now.
    pub is_outdated: bool,
    /// Which law.
    pub region: Region,
    /// Who answers for it, where questions go first, where complaints go.
    pub controller: [String; 3],
    /// What it is for.
    pub purpose: Purpose,
    /// Basis and condition, with what they rest on.
    pub basis: &'static str,
    /// Of Art. 9(2).
    pub condition: Condition,
    /// What they rest on.
    pub reference: String,
    /// Each step of the processing with its own purpose.
    pub steps: Vec<&'static str>,
    /// Longest that anybody is kept, in hours.
    pub kept_hours: u32,
    /// Longest that a minor is kept, in hours, where that is shorter.
    pub minor_kept_hours: Option<u32>,
    /// How long the audit is kept, in days.
    pub audit_days: u32,
    /// Days for which the proof of a consent is kept that is over.
    pub consent_days: u32,
    /// Whether proofs outlast the process; where keys are in memory alone, they do not.
    pub proofs_last: bool,
    /// FNIR measured at the gallery's size, per million, where anybody is searched for.
    pub fnir_ppm: Option<u32>,
    /// Languages of the notices.
    pub languages: Vec<String>,
    /// The text to hand out.
    pub handout: String,
    /// Ways in without a face.
    pub alternatives: Vec<String>,
    /// Who is told.
    pub recipients: Vec<String>,
    /// The operating window is open, and what is stored is sealed.
    pub sealed: bool,
    /// When the day ends next, in seconds UTC.
    pub closes_s: Option<i64>,
    /// What the profile lacks before it can be assessed.
    pub missing: Vec<String>,
    /// What is due, and until when.
    pub duties: Vec<DatedDuty>,
}

/// Something that the site owes an authority by a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedDuty {
    /// Its code, such as `FILING_REQUIRED`.
    pub code: &'static str,
    /// Since when it is owed, in seconds UTC.
    pub since_s: i64,
    /// Last day on which it is in time, as `2026-08-12`.
    pub due: String,
    /// That day has passed.
    pub is_overdue: bool,
}

/// What is held about one person (GDPR Art. 15 and 20); nobody else's data, and no template.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectExport {
    /// Its name in the audit.
    pub transaction: TransactionId,
    /// Where.
    pub gallery: GalleryId,
    /// Who.
    pub subject: SubjectId,
    /// Each reference, without its template.
    pub records: Vec<Record>,
    /// The newest consent, one that is over included.
    pub consent: Option<Consent>,
    /// Those before it.
    pub earlier: Vec<Consent>,
    /// Why the person is on a list.
    pub ground: Option<Ground>,
    /// Where the references come from.
    pub source: Provenance,
    /// What the audit knows to have happened with the person, for as long as that is kept.
    pub events: Vec<AuditEvent>,
    /// Controller, purposes, recipients, retention, rights' addresses.
    pub site: SiteDescription,
}

/// How a hit stands, as far as anybody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitStanding {
    /// Its name: of a lane's search the gate's own of the transaction, else the search's.
    pub hit: TransactionId,
    /// The entry of the list, by its opaque name; `None` where a restart ended the wait.
    pub subject: Option<SubjectId>,
    /// The lane at which it was, where it was at one.
    pub lane: Option<LaneId>,
    /// How.
    pub stand: Stand,
    /// Who verified it, once it is settled.
    pub verified_by: Vec<ClientId>,
}
