//! The site that the appliance is used as: its profile, its register of consents, its people, what
//! it remembers, and what the law is told of all that.
//!
//! Without a profile there is none: an evaluation desk, with nobody enrolled for longer than a
//! measurement. With one, every request is asked about under the facts of this moment, and the
//! day's closing is honoured before the first request after it.

mod bounds;
mod record;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{
    Appliance, World,
    execute::Errand,
    galleries::Kept,
    lawful::{has_second, is_card, is_carried, is_one_claim, is_third_country},
};
use crate::{
    audit::{AuditEntry, AuditSink},
    command::{
        Against, Answer, Command, DatedDuty, KeptBy, LaneCommand, Papers, ReferenceSource, Refusal,
        Request, SiteDescription, SiteStep,
    },
    config::PersonKeys,
    duty::{
        confirmation::{Confirmations, Voter},
        schedule::{Due, Schedule},
    },
    gallery::Enrolment,
    model::{Calibration, ThresholdError},
    policy::{Law, LawError, Standing},
    profile::{
        Address, Profile, ProfileError, Running, Step, Subject,
        civil::{date_s, day_at, due_day},
    },
    register::{Register, RegisterError},
    types::{
        Action, Caller, CallerFact, Circumstances, ConsentFact, GalleryFact, GalleryId, PersonFact,
        Role, Score, Selection, SiteFacts, Storage, SubjectId, TemplateKind, TransactionId,
    },
    webhook::{Receiver, ReceiverError, Sender, Surroundings},
};
use record::Record;
pub use record::RecordError;

/// Names of what the custodian of a daily gallery is called.
pub(super) const IN_MEMORY: &str = "memory";
const HOUR_S: i64 = 3600;
/// Whose calendar a filing follows, and within how many of its working days it is made (CAC and
/// MPS, Measures on facial recognition, 2025).
const FILING_ZONE: &str = "Asia/Shanghai";
const FILING_WORKING_DAYS: u32 = 30;

/// Why the site is not at hand. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Its file.
    #[error("the profile {path} cannot be read: {why}; set site.profile")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// What is remembered of it.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The register of consents.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A household is no site as well.
    #[error("the profile is a household's, and {key} is a site's: {why}")]
    Household {
        /// The configuration's key.
        key: &'static str,
        /// What to change.
        why: &'static str,
    },
    /// The audit is kept for a shorter time than the profile says.
    #[error("audit.retention_days = {held}: the profile keeps the audit for {needed} days")]
    AuditDays {
        /// As configured.
        held: u32,
        /// As the profile has it.
        needed: u32,
    },
    /// The calibration does not reach the rate at which a doubt begins.
    #[error("capture.doubt_fmr: {0}")]
    Doubt(#[from] ThresholdError),
    /// Nobody can be told of entries.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// The system has no thread that tells of them.
    #[error("no thread to send entry events: {0}")]
    Sender(std::io::Error),
    /// The law does not take the site's facts.
    #[error(transparent)]
    Law(#[from] LawError),
}

/// What a site is made of.
pub struct SitePlace {
    /// The profile.
    pub profile: Profile,
    /// Where its steps are remembered; `None` for memory.
    pub record: Option<PathBuf>,
    /// Consents and tombstones.
    pub register: Register,
    /// Whose credentials there are.
    pub people: Vec<PersonKeys>,
    /// Who signs the certificate of whoever is told of entries; `None` where that is this machine.
    pub webhook_ca: Option<PathBuf>,
}

/// The profile that `named` means: one that comes with the appliance, or a file.
///
/// # Errors
/// [`SiteError::Profile`] or [`SiteError::Unreadable`].
pub fn profile(named: &Path) -> Result<Profile, SiteError> {
    let name = named.to_str().filter(|name| !name.contains(['/', '.']));
    if let Some(name) = name {
        return Ok(Profile::shipped(name)?);
    }
    let path = named.display().to_string();
    let refuse = |why: String| SiteError::Unreadable { path: path.clone(), why };
    let held = std::fs::metadata(named).map_err(|error| refuse(error.to_string()))?;
    if held.len() > crate::limits::PROFILE_BYTES_MAX {
        return Err(refuse("it is longer than any profile".to_owned()));
    }
    let text = std::fs::read_to_string(named).map_err(|error| refuse(error.to_string()))?;
    Ok(Profile::parse(&text, &path)?)
}

/// The site, at work.
pub(super) struct Site {
    pub(super) profile: Profile,
    pub(super) register: Arc<Register>,
    pub(super) hits: Mutex<Confirmations>,
    /// Tells of entries, where the profile says whom.
    pub(super) sender: Option<Sender>,
    people: Vec<PersonKeys>,
    kept: record::Kept,
    record: Mutex<Record>,
    kind: TemplateKind,
    fmr: f64,
    /// Scores from here on leave a doubt.
    doubt_from: Option<Score>,
    /// What the law was told last.
    told: Mutex<Option<SiteFacts>>,
    /// Held while somebody is enrolled or erased, from the register to the gallery.
    pub(super) keeping: Mutex<()>,
    /// Why it cannot be told that nobody who was erased is back, where it cannot.
    pub(super) audit_gap: OnceLock<String>,
}

impl Site {
    pub(super) fn open(
        place: SitePlace,
        calibration: &Calibration,
        fmr: f64,
        world: &World,
    ) -> Result<Self, SiteError> {
        let register = Arc::new(place.register);
        let webhook_ca = place.webhook_ca.as_deref();
        let sender = sender(&place.profile, webhook_ca, &register, world)?;
        let doubt_fmr = place.profile.capture.doubt_fmr;
        let doubt_from = doubt_fmr.map(|fmr| calibration.threshold(fmr)).transpose()?;
        let (kept, record) = record::Kept::open(place.record)?;
        let mut hits = Confirmations::default();
        // What is no name of a hit was put there by hand, and means none.
        let waited = record.waiting.iter().filter_map(|name| name.parse().ok());
        waited.for_each(|hit| hits.interrupted(hit));
        Ok(Self {
            profile: place.profile,
            register,
            hits: Mutex::new(hits),
            sender,
            people: place.people,
            kept,
            record: Mutex::new(record),
            kind: calibration.kind(),
            fmr,
            doubt_from: doubt_from.map(|threshold| threshold.score),
            told: Mutex::default(),
            keeping: Mutex::default(),
            audit_gap: OnceLock::new(),
        })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hits(&self) -> MutexGuard<'_, Confirmations> {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers which of `hits` wait, for the next start.
    pub(super) fn remember(&self, hits: &Confirmations, now_s: i64) -> Result<(), RecordError> {
        let mut record = self.record();
        record.waiting = hits.waiting(now_s).map(|hit| hit.to_string()).collect();
        self.kept.keep(&record)
    }

    fn subject(&self) -> Subject<'_> {
        let (profile, purpose) = (&self.profile, self.profile.purpose());
        Subject { profile, purpose, kind: self.kind, fmr: self.fmr }
    }

    /// What the law is told of the site at `now_s`.
    pub(super) fn facts(&self, now_s: i64) -> SiteFacts {
        let (record, subject) = (self.record(), self.subject());
        let running = Running { deployment: &record.deployment, subject: &subject, now_s };
        self.profile.site(running)
    }

    /// When everything that ends with the day ends, and until when that was honoured.
    ///
    /// # Errors
    /// [`SiteError::AuditDays`].
    fn schedule(&self, audit_days: u32) -> Result<Schedule, SiteError> {
        let needed = self.profile.retention.audit_days;
        if audit_days < needed {
            return Err(SiteError::AuditDays { held: audit_days, needed });
        }
        let daily = self.profile.hours().filter(|_| self.is_daily());
        let schedule = Schedule::new(daily, audit_days, self.record().honoured);
        Ok(schedule.proving_for(self.profile.retention.proof_days()))
    }

    /// The law as it stands here at the start, and what is due when.
    pub(super) fn begin(
        &self,
        law: &Arc<Law>,
        audit_days: u32,
        now_s: i64,
    ) -> Result<(Standing, Schedule), SiteError> {
        let standing = Standing::new(Arc::clone(law), &self.facts(now_s))?;
        Ok((standing, self.schedule(audit_days)?))
    }

    pub(super) fn is_daily(&self) -> bool {
        use crate::profile::text::StorageWord;
        self.profile.retention.storage == Some(StorageWord::MemoryKeyDaily)
    }

    /// Who is behind a credential, and until when the training counts.
    pub(super) fn voter(&self, caller: &Caller) -> Option<Voter> {
        let keys = self.people.iter().find(|keys| keys.client == caller.client.as_str())?;
        let person = keys.person.parse().ok()?;
        Some(Voter { person, trained_until_s: date_s(&keys.trained_until) })
    }

    fn is_trained(&self, caller: &Caller, now_s: i64) -> bool {
        if caller.role == Role::Gate || !self.profile.asks_training() {
            return true;
        }
        let until_s = self.voter(caller).and_then(|voter| voter.trained_until_s);
        until_s.is_some_and(|until_s| now_s < until_s)
    }

    /// The times of an enrolment, within what the profile allows: nobody is kept for longer, and
    /// nobody beyond the closing of a day that ends everything; a minor for the shortest.
    pub(super) fn within(&self, terms: Enrolment, is_minor: bool, now_s: i64) -> Enrolment {
        let kept_hours = self.profile.retention.kept_hours;
        let mut expiry_s = terms.expiry_s.min(self.kept_until_s(kept_hours, is_minor, now_s));
        if let Some(hours) = self.profile.hours().filter(|_| self.is_daily()) {
            expiry_s = hours.next_closing(now_s).map_or(expiry_s, |end_s| expiry_s.min(end_s));
        }
        Enrolment { expiry_s, ..terms }
    }

    /// Until when a token counts at most that is issued at `now_s`.
    pub(super) fn token_until_s(&self, is_minor: bool, now_s: i64) -> i64 {
        let kept = &self.profile.retention;
        self.kept_until_s(kept.token_hours.unwrap_or(kept.kept_hours), is_minor, now_s)
    }

    /// The end of so many hours from `now_s` on; of a minor nothing is kept for longer than the
    /// profile says of minors.
    fn kept_until_s(&self, hours: u32, is_minor: bool, now_s: i64) -> i64 {
        let of_minors = self.profile.retention.minor_kept_hours.filter(|_| is_minor);
        let hours = of_minors.map_or(hours, |of_minors| of_minors.min(hours));
        now_s.saturating_add(i64::from(hours) * HOUR_S)
    }

    pub(super) fn describe(&self, now_s: i64) -> SiteDescription {
        let (held, facts) = (&self.profile, self.facts(now_s));
        // Both ask the record, one after the other: within one expression the first would still
        // hold it.
        let is_outdated = self.record().deployment.is_outdated(&self.subject());
        let duties = self.filing(now_s).into_iter().collect();
        let step = |step: &Step| match step {
            Step::Capture => "capture",
            Step::Template => "template",
            Step::Match => "match",
        };
        let who = &held.controller;
        let webhook = held.events.as_ref().map(|events| events.webhook.clone());
        SiteDescription {
            profile: held.name.clone(),
            title: held.title.clone(),
            historical: held.historical,
            stage: facts.stage,
            is_outdated,
            region: facts.region,
            controller: [who.name.clone(), who.contact.clone(), who.authority.clone()],
            purpose: held.purpose(),
            basis: held.legal.basis.name(),
            condition: facts.condition,
            reference: held.legal.reference.clone(),
            steps: held.legal.steps.iter().map(step).collect(),
            kept_hours: held.retention.kept_hours,
            minor_kept_hours: held.retention.minor_kept_hours,
            audit_days: held.retention.audit_days,
            consent_days: held.retention.proof_days(),
            proofs_last: self.register.lasts(),
            fnir_ppm: held.retention.fnir_ppm_measured,
            languages: held.notices.languages.clone(),
            handout: held.notices.handout.clone(),
            alternatives: held.alternatives.routes.clone(),
            recipients: webhook.filter(|webhook| !webhook.is_empty()).into_iter().collect(),
            sealed: facts.sealed,
            closes_s: held.hours().and_then(|hours| hours.next_closing(now_s)),
            missing: held.faults(now_s).iter().map(ToString::to_string).collect(),
            duties,
        }
    }

    /// The filing that falls due when a site holds as many persons as the measures of CAC and MPS
    /// name; made, it stands in the profile.
    fn filing(&self, now_s: i64) -> Option<DatedDuty> {
        let since_s = self.record().filing_since_s?;
        if !self.profile.legal.filing.trim().is_empty() {
            return None;
        }
        let due = due_day(FILING_ZONE, since_s, FILING_WORKING_DAYS)?;
        let is_overdue = day_at(FILING_ZONE, now_s).is_none_or(|today| today > due);
        Some(DatedDuty { code: "FILING_REQUIRED", since_s, due, is_overdue })
    }

    /// Remembers since when the filing is owed; a site that shrinks again owes it all the same.
    pub(super) fn owes_filing(&self, now_s: i64) -> Result<(), RecordError> {
        let mut held = self.record();
        if held.filing_since_s.is_some() {
            return Ok(());
        }
        let record = Record { filing_since_s: Some(now_s), ..held.clone() };
        self.kept.keep(&record)?;
        *held = record;
        Ok(())
    }

    fn consent_fact(&self, gallery: &GalleryId, subject: SubjectId, now_s: i64) -> ConsentLooked {
        match self.register.consent(gallery, subject) {
            Ok(None) => ConsentLooked::default(),
            Ok(Some(held)) => ConsentLooked {
                fact: Some(self.judged(held.fact(now_s), &held.given)),
                person: Some((held.given.age.into(), held.given.relation.into())),
            },
            Err(error) => {
                // What cannot be read was withdrawn, for all that anybody can tell.
                tracing::error!(%error, "the register of consents");
                let fact = ConsentFact {
                    recorded: false,
                    affirmative: false,
                    alternative_offered: false,
                    face_alone: false,
                    bundled: false,
                    conditional: false,
                    blanket: false,
                    guardian: false,
                    withdrawn: true,
                };
                ConsentLooked { fact: Some(fact), person: None }
            }
        }
    }
}

/// What tells of entries, where the profile says whom.
fn sender(
    profile: &Profile,
    ca: Option<&Path>,
    register: &Arc<Register>,
    world: &World,
) -> Result<Option<Sender>, SiteError> {
    let webhook = profile.events.as_ref().map_or("", |events| events.webhook.as_str());
    // An address that is none was refused with its profile.
    let Ok(address) = Address::parse(webhook) else { return Ok(None) };
    let around = Surroundings {
        register: Arc::clone(register),
        receiver: Receiver::new(address, ca)?,
        clock: Arc::clone(&world.clock),
        meter: Arc::clone(&world.meter),
    };
    Sender::start(around).map(Some).map_err(SiteError::Sender)
}

/// What the register, or the request itself, says of a consent.
#[derive(Default)]
struct ConsentLooked {
    fact: Option<ConsentFact>,
    person: Option<(crate::types::Age, crate::types::Relation)>,
}

/// Papers and subject of a command that makes a template of somebody, or records a consent.
pub(super) fn papers_of(command: &Command) -> Option<(Option<SubjectId>, Option<&Papers>)> {
    match command {
        Command::Enrol { subject, papers, .. } => Some((*subject, Some(papers))),
        Command::Replace { subject, papers, .. } => Some((Some(*subject), Some(papers))),
        Command::EnrolHolder { papers, .. } | Command::IssueToken { papers, .. } => {
            Some((None, Some(papers)))
        }
        _ => None,
    }
}

pub(super) fn references_of(command: &Command) -> Option<&[ReferenceSource]> {
    match command {
        Command::Verify { references, .. }
        | Command::Lane {
            command: LaneCommand::Open { against: Against::References(references), .. },
            ..
        } => Some(references),
        _ => None,
    }
}

impl Appliance {
    /// The law at this moment: remade where a stage, an hour or an attestation has changed.
    pub(super) fn standing_now(&self) -> Arc<Standing> {
        if let Some(site) = &self.site {
            let facts = site.facts(self.world.clock.civil_s());
            let mut told = site.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.as_ref() != Some(&facts) {
                match self.site_is(&facts) {
                    Ok(()) => *told = Some(facts),
                    // The last facts that it took stand; they fitted the same schema.
                    Err(error) => tracing::error!(%error, "the law does not take the site"),
                }
            }
        }
        self.standing()
    }

    /// What the law asks about a request, but for its caller.
    pub(super) fn circumstances_at(&self, site: &Site, request: &Request) -> Circumstances {
        let now_s = self.world.clock.civil_s();
        let consent = self.consent_of(site, &request.command, now_s);
        Circumstances {
            gallery: self.gallery_fact_at(site, request),
            person: self.person_fact(site, &request.command, &consent, now_s),
            consent: consent.fact,
            exemption: site.profile.exemption_fact(now_s),
            ..Circumstances::default()
        }
    }

    /// What the law asks about a caller, beyond its role.
    pub(super) fn caller_fact(&self, command: &Command, caller: &Caller) -> CallerFact {
        let Some(site) = &self.site else { return CallerFact::default() };
        let now_s = self.world.clock.civil_s();
        let confirmed_before = match command {
            Command::Vote { hit, .. } => {
                let voter = site.voter(caller);
                voter.is_some_and(|voter| site.hits().has_voted(*hit, &voter.person))
            }
            _ => false,
        };
        CallerFact { registered: true, trained: site.is_trained(caller, now_s), confirmed_before }
    }

    fn gallery_fact_at(&self, site: &Site, request: &Request) -> Option<GalleryFact> {
        let name = request.command.gallery()?;
        let custodied = || {
            let custodian = self.galleries.place().means.custodian.describe().name;
            match site.is_daily() && custodian == IN_MEMORY {
                true => Storage::MemoryKeyDaily,
                false => Storage::OperatorKey,
            }
        };
        let (mut purpose, kept) = (self.galleries.purpose(name), self.galleries.kept(name));
        if matches!(request.command, Command::CreateGallery { .. }) {
            purpose = Some(request.purpose);
        }
        let (storage, subjects) = match (kept, &request.command) {
            (Ok(Kept::Searchable(gallery)), _) => (custodied(), gallery.stats().subjects),
            (Ok(Kept::ByHolders(records)), _) => (Storage::HolderKey, records.held().live),
            (_, Command::CreateGallery { kept_by: KeptBy::Custodian, .. }) => (custodied(), 0),
            (_, Command::CreateGallery { kept_by: KeptBy::Holders, .. }) => (Storage::HolderKey, 0),
            (Ok(Kept::Unavailable(_)) | Err(_), _) => return None,
        };
        let grounded = papers_of(&request.command).and_then(|(_, papers)| papers?.ground.as_ref());
        let expires = match &request.command {
            Command::Enrol { terms, .. } | Command::Replace { terms, .. } => {
                terms.expiry_s < i64::MAX
            }
            _ => false,
        };
        let is_filled = |text: &str| !text.trim().is_empty();
        Some(GalleryFact {
            purpose,
            storage,
            provenance: site.profile.provenance_of(purpose),
            subjects: (
                u32::try_from(subjects).unwrap_or(u32::MAX),
                site.profile.retention.subjects_max,
            ),
            entry_grounded: expires
                && grounded
                    .is_some_and(|held| is_filled(&held.reason) && is_filled(&held.authority)),
        })
    }

    fn consent_of(&self, site: &Site, command: &Command, now_s: i64) -> ConsentLooked {
        if let Command::GiveConsent { given, .. } = command {
            let person = Some((given.age.into(), given.relation.into()));
            return ConsentLooked { fact: Some(site.judged(given.fact(now_s), given)), person };
        }
        if let Some((subject, papers)) = papers_of(command) {
            if let Some(given) = papers.and_then(|papers| papers.consent.as_ref()) {
                let person = Some((given.age.into(), given.relation.into()));
                return ConsentLooked { fact: Some(site.judged(given.fact(now_s), given)), person };
            }
            return match (command.gallery(), subject) {
                (Some(gallery), Some(subject)) => site.consent_fact(gallery, subject, now_s),
                _ => ConsentLooked::default(),
            };
        }
        let enrolled = references_of(command).into_iter().flatten().find_map(|held| match held {
            ReferenceSource::Subject { gallery, subject }
            | ReferenceSource::Holder { gallery, subject, .. } => Some((gallery, *subject)),
            _ => None,
        });
        match enrolled {
            Some((gallery, subject)) => site.consent_fact(gallery, subject, now_s),
            None => ConsentLooked::default(),
        }
    }

    fn person_fact(
        &self,
        site: &Site,
        command: &Command,
        consent: &ConsentLooked,
        now_s: i64,
    ) -> Option<PersonFact> {
        let references = references_of(command);
        let is_entered =
            papers_of(command).is_some() || matches!(command, Command::GiveConsent { .. });
        if references.is_none() && !is_entered {
            return None;
        }
        let (age, relation) = consent
            .person
            .unwrap_or((crate::types::Age::Unknown, crate::types::Relation::Independent));
        let others = &site.profile.alternatives;
        let consented = consent.fact.is_some_and(|fact| fact.recorded);
        Some(PersonFact {
            age,
            relation,
            informed: consented || site.facts(now_s).notices.signage_attested,
            alternative_live: !others.routes.is_empty() && others.same_rights,
            card: references.is_some_and(is_card),
            carried: references.is_some_and(is_carried),
            // Whether several pictures show one person is seen when they are compared.
            one_person: true,
            third_country: is_third_country(command),
            second_reference: references.is_some_and(has_second),
            one_claim: references.is_none_or(is_one_claim),
        })
    }

    /// Where a doubt begins that is in the guest's favour, where the site knows one.
    pub(super) fn doubt_from(&self) -> Option<Score> {
        self.site.as_ref().and_then(|site| site.doubt_from)
    }

    /// The site, or that there is none.
    pub(super) fn at_site(&self) -> Result<&Site, Refusal> {
        self.site.as_ref().ok_or(Refusal::NoSite)
    }

    /// Takes a step of the deployment, once the audit holds it.
    pub(super) fn step(&self, errand: &Errand, step: SiteStep) -> Result<Answer, Refusal> {
        let (site, now_s) = (self.at_site()?, self.world.clock.civil_s());
        let mut held = site.record();
        let mut record = held.clone();
        let by = errand.asked.caller.client.as_str();
        let (done, code) = match step {
            SiteStep::Assess => {
                (record.deployment.assess(&site.subject(), by, now_s), "SITE_ASSESSED")
            }
            SiteStep::Activate => {
                (record.deployment.activate(&site.subject(), by, now_s), "SITE_ACTIVATED")
            }
        };
        done?;
        self.record(errand, None, vec![code])?;
        let kept = site.kept.keep(&record);
        kept.map_err(|error| {
            tracing::error!(%error, "the site's step");
            Refusal::Fault { what: "the record of the site cannot be written" }
        })?;
        *held = record;
        drop(held);
        Ok(Answer::Site(Box::new(site.describe(now_s))))
    }

    /// Does what is due by the civil clock: at the start, about once a minute, and before the first
    /// request after a closing.
    pub(super) fn honour_duties(&self) {
        self.tell_of_lapsed_hits();
        let (now_s, now_us) = (self.world.clock.civil_s(), self.world.clock.monotonic_us());
        let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_done = true;
        for due in schedule.step(now_s, now_us) {
            match due {
                Due::Close { closed_s } => is_done &= self.close_day(closed_s),
                Due::Expire => self.expire(),
                Due::PruneAudit { before_s } => {
                    if let Err(error) = self.audit.prune(before_s, now_s) {
                        tracing::error!(%error, "audit: what is old enough stays");
                    }
                }
                Due::ForgetConsents { before_s } => self.forget_consents(before_s),
            }
        }
        if !is_done {
            return; // due again
        }
        let honoured = schedule.honour(now_s);
        let Some(site) = &self.site else { return };
        let mut record = site.record();
        record.honoured = honoured;
        if let Err(error) = site.kept.keep(&record) {
            tracing::error!(%error, "what was honoured is not remembered");
        }
    }

    /// The proof of a consent is kept for as long as the profile says, from the day on which it was
    /// over; for as long as the audit where it says nothing.
    fn forget_consents(&self, before_s: i64) {
        let Some(site) = &self.site else { return };
        let forgotten = site.register.forget(|consent| consent.ended_before(before_s));
        match forgotten {
            Ok(0) => {}
            Ok(consents) => tracing::info!(consents, "consents that were over are forgotten"),
            Err(error) => tracing::error!(%error, "consents that are over are not forgotten"),
        }
        self.bear_out_the_audit(site);
    }

    /// Whether a closing has come since the last one was honoured, or the clock went back behind
    /// it; then that is honoured first.
    pub(super) fn close_in_time(&self) {
        let Some(site) = self.site.as_ref().filter(|site| site.is_daily()) else { return };
        let Some(hours) = site.profile.hours() else { return };
        let (honoured, now_s) = (site.record().honoured, self.world.clock.civil_s());
        let is_due = !hours.closings_between(honoured.until_s, now_s).is_empty();
        if is_due || honoured.lies_ahead_of(now_s) {
            self.honour_duties();
        }
    }

    /// The day has ended: everybody goes, and the key of everything that was kept.
    fn close_day(&self, closed_s: i64) -> bool {
        let mut is_done = true;
        let _alone = self.alone();
        for (name, kept) in self.galleries.all() {
            let Kept::Searchable(gallery) = &kept else { continue };
            let transaction = self.world.new_transaction();
            match gallery.erase_all() {
                Ok(erasure) => {
                    tracing::info!(gallery = %name, closed_s, "the day has ended");
                    let entry = self.closing_entry(transaction, &name, erasure.receipt());
                    self.audit.must_hold(entry);
                }
                Err(error) => {
                    tracing::error!(gallery = %name, %error, "the day has ended, erasing has not");
                    is_done = false;
                }
            }
        }
        if let Some(site) = self.site.as_ref().filter(|_| is_done) {
            let keys_are_gone = self.custodian() == IN_MEMORY;
            let ended = site.register.end_day(self.world.clock.civil_s(), keys_are_gone);
            if let Err(error) = ended {
                tracing::error!(%error, "the day has ended, its consents have not");
                is_done = false;
            }
        }
        is_done
    }

    fn closing_entry(
        &self,
        transaction: TransactionId,
        name: &GalleryId,
        receipt: &crate::gallery::Receipt,
    ) -> AuditEntry {
        AuditEntry {
            gallery: Some(name.clone()),
            selection: Some(Selection::Everybody),
            erasure: Some(receipt.into()),
            ..self.of_itself(transaction, Action::Erase, "ERASED_AT_CLOSING")
        }
    }

    /// An entry about what the appliance does of itself.
    pub(super) fn of_itself(
        &self,
        transaction: TransactionId,
        action: Action,
        reason: &'static str,
    ) -> AuditEntry {
        AuditEntry::of(transaction, self.world.clock.civil_s(), action, vec![reason])
    }
}

#[cfg(test)]
mod tests;
