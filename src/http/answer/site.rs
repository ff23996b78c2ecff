//! What is answered about the site, its consents and its hits.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    command::{
        AgeClass, AuditEvent, Consent, DatedDuty, HitStanding, Record, RelationClass,
        SiteDescription, Stand, SubjectExport,
    },
    http::request::PurposeName,
    types::{Condition, Provenance, Region, Stage, SubjectId, TransactionId},
};

/// What the site is: who answers for it, on which basis, for how long, and which other ways there
/// are. The same makes the notice (GDPR Art. 13) and the record of processing (Art. 30).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteAnswer {
    /// Name of the profile.
    pub profile: String,
    /// One sentence.
    pub title: String,
    /// Kept to show how a system worked; no basis under the GDPR.
    pub historical: bool,
    /// `draft`, `assessed` or `active`.
    pub stage: &'static str,
    /// What was assessed is not what would be used now: assess anew.
    pub outdated: bool,
    /// `european-union`, `china` or `elsewhere`.
    pub region: &'static str,
    /// Who answers for it.
    pub controller: String,
    /// Where questions go first.
    pub contact: String,
    /// Where complaints go.
    pub authority: String,
    /// What it is for.
    pub purpose: PurposeName,
    /// GDPR Art. 6.
    pub basis: &'static str,
    /// GDPR Art. 9(2).
    pub condition: &'static str,
    /// What they rest on.
    pub reference: String,
    /// Each step of the processing, with a purpose of its own.
    pub steps: Vec<&'static str>,
    /// Longest that anybody is kept, in hours.
    pub kept_hours: u32,
    /// Longest that a minor is kept, in hours; null for as long as anybody.
    pub minor_kept_hours: Option<u32>,
    /// How long the audit is kept, in days.
    pub audit_days: u32,
    /// Days for which the proof of a consent is kept that is over.
    pub consent_days: u32,
    /// The register is in memory, with its keys: every proof ends with the process, before those
    /// days are over.
    pub consents_end_with_process: bool,
    /// False negative identification rate, measured at the gallery's size, per million; null where
    /// nobody is searched for.
    pub fnir_ppm: Option<u32>,
    /// Languages of the notices.
    pub languages: Vec<String>,
    /// The text to hand out.
    pub handout: String,
    /// Ways in without a face, with the same rights.
    pub alternatives: Vec<String>,
    /// Who is told of what happens.
    pub recipients: Vec<String>,
    /// The operating window is open: what is stored is sealed.
    pub sealed: bool,
    /// When the day ends next, in seconds UTC.
    pub closes: Option<i64>,
    /// What the profile still lacks.
    pub missing: Vec<String>,
    /// What the site owes an authority by a day.
    pub duties: Vec<DutyAnswer>,
}

/// Something that the site owes an authority by a day.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DutyAnswer {
    /// Its code, such as `FILING_REQUIRED`.
    pub code: &'static str,
    /// Since when it is owed, in seconds UTC.
    pub since: i64,
    /// Last day on which it is in time, as `2026-08-12`.
    pub due: String,
    /// That day has passed.
    pub overdue: bool,
}

impl From<&DatedDuty> for DutyAnswer {
    fn from(held: &DatedDuty) -> Self {
        let DatedDuty { code, since_s, due, is_overdue } = held;
        Self { code, since: *since_s, due: due.clone(), overdue: *is_overdue }
    }
}

impl From<&SiteDescription> for SiteAnswer {
    fn from(held: &SiteDescription) -> Self {
        let [controller, contact, authority] = held.controller.clone();
        Self {
            profile: held.profile.clone(),
            title: held.title.clone(),
            historical: held.historical,
            stage: match held.stage {
                Stage::Draft => "draft",
                Stage::Assessed => "assessed",
                Stage::Active => "active",
            },
            outdated: held.is_outdated,
            region: match held.region {
                Region::EuropeanUnion => "european-union",
                Region::China => "china",
                Region::Elsewhere => "elsewhere",
            },
            controller,
            contact,
            authority,
            purpose: held.purpose.into(),
            basis: held.basis,
            condition: match held.condition {
                Condition::None => "none",
                Condition::ExplicitConsent => "explicit-consent",
                Condition::PublicInterest => "public-interest",
                Condition::Permission => "permission",
            },
            reference: held.reference.clone(),
            steps: held.steps.clone(),
            kept_hours: held.kept_hours,
            minor_kept_hours: held.minor_kept_hours,
            audit_days: held.audit_days,
            consent_days: held.consent_days,
            consents_end_with_process: !held.proofs_last,
            fnir_ppm: held.fnir_ppm,
            languages: held.languages.clone(),
            handout: held.handout.clone(),
            alternatives: held.alternatives.clone(),
            recipients: held.recipients.clone(),
            sealed: held.sealed,
            closes: held.closes_s,
            missing: held.missing.clone(),
            duties: held.duties.iter().map(DutyAnswer::from).collect(),
        }
    }
}

/// A consent was recorded.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsentAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// Whose.
    pub subject: String,
}

impl ConsentAnswer {
    /// The document of a consent that is kept.
    #[must_use]
    pub fn new(transaction: TransactionId, subject: SubjectId) -> Self {
        Self { transaction: transaction.to_string(), subject: subject.to_string() }
    }
}

/// One reference of an enrolled person, without its template.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordAnswer {
    /// Classes, 0 to 63.
    pub classes: Vec<u8>,
    /// Group, such as a flight; 0 for none.
    pub group: u32,
    /// First second (UTC) at which it may be found; null for since ever.
    pub not_before: Option<i64>,
    /// First second (UTC) at which it may not be found any more; null for never.
    pub expiry: Option<i64>,
    /// Kept, and not used.
    pub restricted: bool,
}

impl From<&Record> for RecordAnswer {
    fn from(held: &Record) -> Self {
        let terms = held.enrolment;
        Self {
            classes: (0..64).filter(|class| terms.class_bits & (1 << class) != 0).collect(),
            group: terms.group,
            not_before: (terms.not_before_s != i64::MIN).then_some(terms.not_before_s),
            expiry: (terms.expiry_s != i64::MAX).then_some(terms.expiry_s),
            restricted: held.restricted,
        }
    }
}

/// A consent as the register holds it: what the person gave, and what became of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentHeldAnswer {
    /// When it was given, in seconds UTC.
    pub given: i64,
    /// Version of the text that was shown.
    pub text_version: String,
    /// SHA-256 of that text.
    pub text_hash: String,
    /// Language that it was shown in.
    pub language: String,
    /// Where.
    pub channel: String,
    /// What for.
    pub purposes: Vec<String>,
    /// The person did something: signed, pressed, said.
    pub affirmative: bool,
    /// Another way with the same rights was offered.
    pub alternative_offered: bool,
    /// It came together with other consents.
    pub bundled: bool,
    /// A service depended on it.
    pub conditional: bool,
    /// It was a general authorisation.
    pub blanket: bool,
    /// `unknown`, `adult` or `minor`.
    pub age: &'static str,
    /// Dependence on the controller: `independent`, `employee` or `authority`.
    pub relation: &'static str,
    /// Reference of the guardian's consent.
    pub guardian: Option<String>,
    /// When it was withdrawn.
    pub withdrawn: Option<i64>,
    /// When the person objected.
    pub objected: Option<i64>,
    /// When it ended otherwise: with an erasure, with the day, or because another followed.
    pub ended: Option<i64>,
    /// Until when it holds.
    pub expiry: Option<i64>,
}

impl From<&Consent> for ConsentHeldAnswer {
    fn from(held: &Consent) -> Self {
        let given = &held.given;
        Self {
            given: held.given_s,
            text_version: given.text_version.clone(),
            text_hash: given.text_hash.clone(),
            language: given.language.clone(),
            channel: given.channel.clone(),
            purposes: given.purposes.clone(),
            affirmative: given.affirmative,
            alternative_offered: given.alternative_offered,
            bundled: given.bundled,
            conditional: given.conditional,
            blanket: given.blanket,
            age: match given.age {
                AgeClass::Unknown => "unknown",
                AgeClass::Adult => "adult",
                AgeClass::Minor => "minor",
            },
            relation: match given.relation {
                RelationClass::Independent => "independent",
                RelationClass::Employee => "employee",
                RelationClass::Authority => "authority",
            },
            guardian: given.guardian.clone(),
            withdrawn: held.withdrawn_s,
            objected: held.objected_s,
            ended: held.ended_s,
            expiry: given.expiry_s,
        }
    }
}

/// Something that happened with a person.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventAnswer {
    /// When, in seconds UTC.
    pub at: i64,
    /// What was done, such as `verify`.
    pub action: String,
    /// What was decided, where anything was.
    pub outcome: Option<String>,
    /// At which lane, where it was at one.
    pub lane: Option<String>,
}

impl From<&AuditEvent> for EventAnswer {
    fn from(held: &AuditEvent) -> Self {
        let AuditEvent { at_s, action, outcome, lane } = held.clone();
        Self { at: at_s, action, outcome, lane }
    }
}

/// What is held about one person (GDPR Art. 15), in a form that can be taken elsewhere (Art. 20).
/// Nobody else's data are in it, and no template.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// Where.
    pub gallery: String,
    /// Who.
    pub subject: String,
    /// Each reference.
    pub references: Vec<RecordAnswer>,
    /// The newest consent, one that is over included.
    pub consent: Option<ConsentHeldAnswer>,
    /// Those before it, oldest first.
    pub earlier_consents: Vec<ConsentHeldAnswer>,
    /// The decision that put the person on a list, and who took it.
    pub ground: Option<[String; 2]>,
    /// Where the references come from: `enrolled-here`, `authority`, `scraped` or `unknown`.
    pub source: &'static str,
    /// What the audit knows to have happened with the person, entries included, oldest first.
    pub events: Vec<EventAnswer>,
    /// Controller, purpose, basis, recipients, retention.
    pub site: SiteAnswer,
}

impl From<&SubjectExport> for ExportAnswer {
    fn from(held: &SubjectExport) -> Self {
        let ground = held.ground.as_ref();
        Self {
            transaction: held.transaction.to_string(),
            gallery: held.gallery.to_string(),
            subject: held.subject.to_string(),
            references: held.records.iter().map(RecordAnswer::from).collect(),
            consent: held.consent.as_ref().map(ConsentHeldAnswer::from),
            earlier_consents: held.earlier.iter().map(ConsentHeldAnswer::from).collect(),
            ground: ground.map(|held| [held.reason.clone(), held.authority.clone()]),
            source: match held.source {
                Provenance::EnrolledHere => "enrolled-here",
                Provenance::Authority => "authority",
                Provenance::Scraped => "scraped",
                Provenance::Unknown => "unknown",
            },
            events: held.events.iter().map(EventAnswer::from).collect(),
            site: SiteAnswer::from(&held.site),
        }
    }
}

/// Whom somebody entered, by reference.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AffectedAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// Each once.
    pub subjects: Vec<String>,
}

impl AffectedAnswer {
    /// The document of a list.
    #[must_use]
    pub fn new(transaction: TransactionId, subjects: &[SubjectId]) -> Self {
        let subjects = subjects.iter().map(ToString::to_string).collect();
        Self { transaction: transaction.to_string(), subjects }
    }
}

/// How a hit stands. What one person said is not told before everybody has.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HitAnswer {
    /// Its name: of a lane's search the gate's own of the transaction, else the search's.
    pub hit: String,
    /// The entry of the list, by its opaque name; null where a restart ended the wait.
    pub subject: Option<String>,
    /// The lane at which it was, where it was at one.
    pub lane: Option<String>,
    /// `pending`, `confirmed`, `rejected` or `lapsed`.
    pub state: &'static str,
    /// Who verified it, once it is settled.
    pub verified_by: Vec<String>,
}

impl From<&HitStanding> for HitAnswer {
    fn from(held: &HitStanding) -> Self {
        Self {
            hit: held.hit.to_string(),
            subject: held.subject.map(|subject| subject.to_string()),
            lane: held.lane.as_ref().map(ToString::to_string),
            state: match held.stand {
                Stand::Pending => "pending",
                Stand::Confirmed => "confirmed",
                Stand::Rejected => "rejected",
                Stand::Lapsed => "lapsed",
            },
            verified_by: held.verified_by.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The hits that wait for somebody's answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HitsAnswer {
    /// Each, in the order of their names.
    pub hits: Vec<HitAnswer>,
}

impl HitsAnswer {
    /// The document of a list.
    #[must_use]
    pub fn new(held: &[HitStanding]) -> Self {
        Self { hits: held.iter().map(HitAnswer::from).collect() }
    }
}

/// A traveller was let in on a person's word.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverriddenAnswer {
    /// The lane's transaction.
    pub transaction_id: String,
    /// `admit`; there is no other.
    pub outcome: &'static str,
}

impl OverriddenAnswer {
    /// The document of an override.
    #[must_use]
    pub fn new(transaction: TransactionId) -> Self {
        Self { transaction_id: transaction.to_string(), outcome: "admit" }
    }
}
