//! What a person may ask for, carried out: consent given and taken back, access, objection, and
//! what an authority may order: erasing and listing whom somebody entered.
//!
//! Order matters, and it is the same everywhere: the register first, then the gallery.
//!
//! ```text
//! an enrolment                              an end: withdrawal, objection, any erasure
//!  1 where the register stands is noted      1 the order, into the audit
//!  2 the law is asked                        2 one transaction of the register: the consent ends,
//!  3 the templates are made                    the ground goes, the tombstone is put up
//!  4 one transaction of the register:        3 the gallery erases, its epoch's key is destroyed
//!    consent and ground are kept, the        4 the result, into the audit
//!    tombstone goes; refused where it is     5 searches that hold an older generation are waited
//!    younger than 1                            for
//!  5 the audit
//!  6 the gallery; where it refuses, 4 is
//!    undone, in one transaction
//! ```
//! Steps 4 to 6 of the one and 2 to 3 of the other are under one lock ([`Appliance::alone`]), so
//! that of two that meet each is whole before the other begins; an end that came after 1 wins,
//! whatever the enrolment brought with it.
//!
//! A crash between two steps leaves the safe half: a consent of somebody who is not enrolled, or
//! somebody with a tombstone who is, whom the next start erases before anybody is searched for.
//! Where a gallery cannot tell whether it enrolled (the medium failed), the consent stands: the row
//! may.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Appliance,
    administer::{Done, Meant, done, nothing},
    execute::Errand,
    galleries::{Kept, unavailable},
    site::{Site, papers_of},
};
use crate::{
    audit::{AuditSink, Entered},
    command::{
        Answer, Command, Consent, Enrolment, Given, Papers, Refusal, SubjectExport, TakenBack,
    },
    gallery::{Gallery, GalleryError},
    keys::holder::record::RecordId,
    ops::score::score,
    register::{Ending, Entry},
    types::{GalleryId, Obligation, Reason, Selection, SubjectId, Template},
};

const SEVERAL_PERSONS: Reason = Reason {
    code: "SERIES_OF_SEVERAL_PERSONS",
    text: "The pictures do not show one and the same person.",
};

impl Appliance {
    /// Lets nobody else change who is kept and what that rests on, where there is a register. What
    /// is computed is computed before.
    pub(super) fn alone(&self) -> Option<MutexGuard<'_, ()>> {
        let site = self.site.as_ref()?;
        Some(site.keeping.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the register stands, for a command that rests on what it holds.
    pub(super) fn register_stands_at(&self, command: &Command) -> u64 {
        let site = self.site.as_ref().filter(|_| papers_of(command).is_some());
        site.map_or(0, |site| site.register.generation())
    }

    /// The times of an enrolment, within what the site's profile and the consent allow.
    pub(super) fn within_site(
        &self,
        errand: &Errand,
        (gallery, subject): (&GalleryId, Option<SubjectId>),
        (terms, papers): (Enrolment, &Papers),
    ) -> Result<Enrolment, Refusal> {
        let Some(site) = &self.site else { return Ok(terms) };
        let now_s = self.world.clock.civil_s();
        let is_minor = errand.owed.contains(&Obligation::ProtectMinor);
        let terms = site.within(terms, is_minor, now_s);
        let ends_s = match (&papers.consent, subject) {
            (Some(given), _) => given.expiry_s,
            (None, Some(subject)) => {
                let held = site.register.consent(gallery, subject)?;
                held.and_then(|held| held.given.expiry_s)
            }
            (None, None) => None,
        };
        let expiry_s = ends_s.map_or(terms.expiry_s, |ends_s| terms.expiry_s.min(ends_s));
        Ok(Enrolment { expiry_s, ..terms })
    }

    /// Nobody is kept for longer than the newest consent holds, whoever was enrolled under another
    /// one included.
    pub(super) fn end_with_consent(
        &self,
        name: &GalleryId,
        (gallery, subject): (&Gallery, SubjectId),
        until_s: Option<i64>,
    ) -> Result<(), Refusal> {
        let of_gallery = |error| Refusal::of_gallery(name, error);
        let Some(until_s) = until_s.filter(|_| self.site.is_some()) else { return Ok(()) };
        let records = match gallery.records_of(subject) {
            Err(GalleryError::UnknownSubject { .. }) => return Ok(()),
            records => records.map_err(of_gallery)?,
        };
        if records.iter().any(|held| held.enrolment.expiry_s > until_s) {
            gallery.end_by(subject, until_s).map_err(of_gallery)?;
        }
        Ok(())
    }

    /// Refuses pictures that show somebody else than those that are `held` do, or several persons:
    /// one of them was not asked.
    pub(super) fn is_one_person(&self, held: &[Template], new: &[Template]) -> Result<(), Refusal> {
        let Some(first) = held.first().or(new.first()) else { return Ok(()) };
        let is_other = |one: &Template| score(first.values(), one.values()) < self.threshold.score;
        if self.site.is_some() && new.iter().any(is_other) {
            let standing = self.standing();
            return Err(Self::forbidden(&standing, None, &[SEVERAL_PERSONS]));
        }
        Ok(())
    }

    /// Enrols: what it rests on is kept first and an old tombstone taken down; both are as they
    /// were where nothing came of it. `enrol` is told what the audit is to note beside it. To be
    /// called while nobody else changes anything ([`Self::alone`]).
    pub(super) fn with_papers<T>(
        &self,
        errand: &Errand,
        (gallery, subject): (&GalleryId, SubjectId),
        papers: Papers,
        enrol: impl FnOnce(Vec<&'static str>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(site) = &self.site else { return enrol(Vec::new()) };
        let now_s = self.world.clock.civil_s();
        let Papers { consent, ground, passport_expiry_s: _ } = papers;
        let consent = consent.map(|given| Consent::new(gallery, subject, given, now_s));
        let entry = Entry { consent: consent.as_ref(), ground: ground.as_ref() };
        let before = site.register.enter(gallery, subject, entry, errand.asked_at)?;
        let enrolled = self.noted(errand, site, now_s).and_then(enrol);
        if enrolled.as_ref().is_err_and(is_in_vain)
            && let Err(error) = site.register.put_back(&before)
        {
            tracing::error!(%error, "the register holds what an enrolment in vain rested on");
        }
        enrolled
    }

    /// What the audit notes beside an enrolment.
    fn noted(
        &self,
        errand: &Errand,
        site: &Site,
        now_s: i64,
    ) -> Result<Vec<&'static str>, Refusal> {
        if errand.owed.contains(&Obligation::FileWithAuthority) {
            site.owes_filing(now_s).map_err(|error| {
                tracing::error!(%error, "the filing that is owed");
                Refusal::Fault { what: "the record of the site cannot be written" }
            })?;
        }
        let noted = [
            (Obligation::ProtectMinor, "MINOR"),
            (Obligation::FileWithAuthority, "FILING_REQUIRED"),
        ];
        let owed = noted.into_iter().filter(|(duty, _)| errand.owed.contains(duty));
        Ok(owed.map(|(_, code)| code).collect())
    }

    /// Ends consents and grounds of subjects who are about to be erased, and puts up their
    /// tombstones, where there is a register.
    pub(super) fn bury(&self, gallery: &GalleryId, subjects: &[SubjectId]) -> Result<(), Refusal> {
        let Some(site) = &self.site else { return Ok(()) };
        let now_s = self.world.clock.civil_s();
        Ok(site.register.end(gallery, subjects, Ending::Erased, now_s)?)
    }

    /// The same of everybody whom an erasure of that selection will leave without a row.
    pub(super) fn bury_leaving(
        &self,
        name: &GalleryId,
        gallery: &Gallery,
        (selection, now_s): (Selection, i64),
    ) -> Result<(), Refusal> {
        if self.site.is_none() {
            return Ok(());
        }
        let leaving = gallery.leaving(selection, now_s);
        self.bury(name, &leaving.map_err(|error| Refusal::of_gallery(name, error))?)
    }

    /// The same of everybody who is `enrolled` and everybody who consented to be.
    pub(super) fn bury_all(
        &self,
        name: &GalleryId,
        mut enrolled: Vec<SubjectId>,
    ) -> Result<(), Refusal> {
        let Some(site) = &self.site else { return Ok(()) };
        let consents = site.register.consents()?.into_iter();
        let of_this = consents.filter(|held| held.gallery == name.as_str() && !held.is_over());
        enrolled.extend(of_this.filter_map(|held| held.subject.parse::<SubjectId>().ok()));
        self.bury(name, &enrolled)
    }

    pub(super) fn give_consent(
        &self,
        errand: &Errand,
        gallery: &GalleryId,
        subject: SubjectId,
        given: Given,
    ) -> Result<Answer, Refusal> {
        let site = self.at_site()?;
        let kept = self.galleries.kept(gallery)?;
        let _alone = self.alone();
        self.record(errand, Some(subject), vec!["CONSENT_GIVEN"])?;
        let consent = Consent::new(gallery, subject, given, self.world.clock.civil_s());
        site.register.keep(gallery, subject, &consent)?;
        if let Kept::Searchable(held) = &kept {
            self.end_with_consent(gallery, (held, subject), consent.given.expiry_s)?;
        }
        Ok(Answer::ConsentKept { transaction: errand.transaction, subject })
    }

    /// Takes a consent back: the template goes, the proof of the past consent stays. Somebody who
    /// is enrolled without a consent, or not at all, is answered in the same way.
    pub(super) fn take_back(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
        how: TakenBack,
    ) -> Result<Answer, Refusal> {
        let site = self.at_site()?;
        let kept = self.galleries.kept_here(name)?;
        let meant = Meant { subject: Some(subject), selection: None, frames: None };
        let done = self.in_audit(errand, meant, || {
            let now_s = self.world.clock.civil_s();
            let _alone = self.alone();
            site.register.end(name, &[subject], Ending::TakenBack(how), now_s)?;
            match &kept {
                // The template is in the traveller's hands alone; no gate here takes it any more.
                None => Ok(self.zeroed(errand.transaction, name, meant, 0)),
                Some(Kept::Searchable(gallery)) => match gallery.erase(subject) {
                    Ok(erasure) => Ok(done(errand.transaction, name, meant, erasure)),
                    Err(GalleryError::UnknownSubject { .. }) => {
                        let custodian = self.custodian();
                        let erased = nothing(errand.transaction, name, meant, now_s, custodian);
                        Ok(Done { erased, erasure: None })
                    }
                    Err(error) => Err(Refusal::of_gallery(name, error)),
                },
                Some(Kept::ByHolders(records)) => {
                    let erased = records.erase(RecordId::of(subject));
                    let erased = erased.map_err(|error| Refusal::of_records(name, error))?;
                    Ok(self.zeroed(errand.transaction, name, meant, u64::from(erased)))
                }
                Some(Kept::Unavailable(why)) => Err(unavailable(name, why)),
            }
        })?;
        self.settled(errand, done).map(Answer::Erased)
    }

    pub(super) fn export_subject(
        &self,
        errand: &Errand,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Answer, Refusal> {
        let site = self.at_site()?;
        let records = match self.galleries.kept_here(gallery)? {
            Some(Kept::Searchable(held)) => match held.records_of(subject) {
                Ok(records) => records,
                Err(GalleryError::UnknownSubject { .. }) => Vec::new(),
                Err(error) => return Err(Refusal::of_gallery(gallery, error)),
            },
            // Whether a record is there is told to whoever holds its secret alone.
            Some(Kept::ByHolders(_)) | None => Vec::new(),
            Some(Kept::Unavailable(why)) => return Err(unavailable(gallery, &why)),
        };
        let consent = site.register.consent(gallery, subject)?;
        let earlier = site.register.earlier_consents(gallery, subject)?;
        let ground = site.register.ground(gallery, subject)?;
        if records.is_empty() && consent.is_none() && ground.is_none() {
            let unknown = GalleryError::UnknownSubject { subject };
            return Err(Refusal::of_gallery(gallery, unknown));
        }
        let events = self.audit.about(gallery, subject).map_err(|_| Refusal::Audit)?;
        self.record(errand, Some(subject), vec!["EXPORTED"])?;
        Ok(Answer::Export(Box::new(SubjectExport {
            transaction: errand.transaction,
            gallery: gallery.clone(),
            subject,
            records,
            consent,
            earlier,
            ground,
            source: site.profile.provenance_of(self.galleries.purpose(gallery)),
            events,
            site: site.describe(self.world.clock.civil_s()),
        })))
    }

    pub(super) fn list_affected(
        &self,
        errand: &Errand,
        entered: &Entered,
    ) -> Result<Answer, Refusal> {
        self.galleries.kept(&entered.gallery)?;
        self.record(errand, None, vec!["AFFECTED_LISTED"])?;
        let subjects = self.audit.entered(entered).map_err(|_| Refusal::Audit)?;
        Ok(Answer::Affected { transaction: errand.transaction, subjects })
    }

    /// Erases everybody whom somebody entered; the certificate counts them together.
    pub(super) fn erase_entered(
        &self,
        errand: &Errand,
        entered: &Entered,
    ) -> Result<Answer, Refusal> {
        let name = &entered.gallery;
        let gallery = self.galleries.searchable(name)?;
        let subjects = self.audit.entered(entered).map_err(|_| Refusal::Audit)?;
        let meant = Meant::default();
        let done = self.in_audit(errand, meant, || {
            let now_s = self.world.clock.civil_s();
            let mut erased = nothing(errand.transaction, name, meant, now_s, self.custodian());
            let mut rows = 0;
            for subject in subjects {
                let erasure = {
                    let _alone = self.alone();
                    self.bury(name, &[subject])?;
                    gallery.erase(subject)
                };
                let erasure = match erasure {
                    Err(GalleryError::UnknownSubject { .. }) => continue,
                    erasure => erasure.map_err(|error| Refusal::of_gallery(name, error))?,
                };
                let wait = Duration::from_millis(errand.deadline_ms);
                let waited = erasure.wait(wait);
                waited.map_err(|held| Refusal::ErasurePending { why: held.to_string() })?;
                rows += erasure.receipt().rows;
                erased = done(errand.transaction, name, meant, erasure).erased;
            }
            erased.rows = Some(rows);
            Ok(Done { erased, erasure: None })
        })?;
        Ok(Answer::Erased(done.erased))
    }
}

/// Whether nothing came of an enrolment that ended so. Where the gallery cannot tell what is
/// durable, or only the key of what was replaced is left to be destroyed, something may have.
fn is_in_vain(refusal: &Refusal) -> bool {
    let Refusal::Gallery { error, .. } = refusal else { return true };
    !matches!(error, GalleryError::Unknown { .. } | GalleryError::NotDestroyed { .. })
}
