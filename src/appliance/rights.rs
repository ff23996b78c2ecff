//! What a person may ask for, carried out: consent given and taken back, access, objection, and
//! what an authority may order: erasing and listing whom somebody entered.
//!
//! Order matters. A consent is kept before anything is made under it; what was taken back is marked
//! in the register before the template goes, so that a crash between the two leaves a tombstone,
//! and the next start erases again.

use std::time::Duration;

use super::{
    Appliance,
    administer::{Done, Meant, done, nothing},
    execute::Errand,
    galleries::{Kept, unavailable},
};
use crate::{
    audit::{AuditSink, Entered},
    command::{
        Answer, Consent, Enrolment, Given, Ground, Papers, Refusal, SubjectExport, TakenBack,
    },
    gallery::GalleryError,
    keys::holder::record::RecordId,
    ops::score::score,
    types::{GalleryId, Obligation, Reason, SubjectId, Template},
};

const SEVERAL_PERSONS: Reason = Reason {
    code: "SERIES_OF_SEVERAL_PERSONS",
    text: "The pictures do not show one and the same person.",
};

/// Where the ground of an entry is kept in the register.
fn ground_of(gallery: &GalleryId, subject: SubjectId) -> String {
    format!("ground/{gallery}/{subject}")
}

impl Appliance {
    /// The times of an enrolment, within what the site's profile allows.
    pub(super) fn within_site(&self, errand: &Errand, terms: Enrolment) -> Enrolment {
        let now_s = self.world.clock.civil_s();
        let is_minor = errand.owed.contains(&Obligation::ProtectMinor);
        self.site.as_ref().map_or(terms, |site| site.within(terms, is_minor, now_s))
    }

    /// Refuses a series that shows several persons: one of them was not asked.
    pub(super) fn is_one_person(&self, templates: &[Template]) -> Result<(), Refusal> {
        let Some((first, rest)) = templates.split_first() else { return Ok(()) };
        let is_other =
            |held: &Template| score(first.values(), held.values()) < self.threshold.score;
        if self.site.is_some() && rest.iter().any(is_other) {
            let standing = self.standing();
            return Err(Self::forbidden(&standing, None, &[SEVERAL_PERSONS]));
        }
        Ok(())
    }

    /// Keeps what was handed over with an enrolment, and takes an old tombstone down. What the
    /// audit is to note beside the enrolment.
    pub(super) fn enter(
        &self,
        errand: &Errand,
        gallery: &GalleryId,
        subject: SubjectId,
        papers: Papers,
    ) -> Result<Vec<&'static str>, Refusal> {
        let Some(site) = &self.site else { return Ok(Vec::new()) };
        let now_s = self.world.clock.civil_s();
        if let Some(given) = papers.consent {
            let consent = Consent::new(gallery, subject, given, now_s);
            site.register.keep(gallery, subject, &consent)?;
        }
        if let Some(ground) = papers.ground {
            site.register.keep_record(&ground_of(gallery, subject), &ground)?;
        }
        site.register.unbury(gallery, subject)?;
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

    /// Puts up tombstones, where there is a register.
    pub(super) fn bury(&self, gallery: &GalleryId, subjects: &[SubjectId]) -> Result<(), Refusal> {
        let Some(site) = &self.site else { return Ok(()) };
        Ok(site.register.bury(gallery, subjects, self.world.clock.civil_s())?)
    }

    pub(super) fn give_consent(
        &self,
        errand: &Errand,
        gallery: &GalleryId,
        subject: SubjectId,
        given: Given,
    ) -> Result<Answer, Refusal> {
        let site = self.at_site()?;
        self.galleries.kept(gallery)?;
        self.record(errand, Some(subject), vec!["CONSENT_GIVEN"])?;
        let consent = Consent::new(gallery, subject, given, self.world.clock.civil_s());
        site.register.keep(gallery, subject, &consent)?;
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
        let kept = self.galleries.kept(name)?;
        let meant = Meant { subject: Some(subject), selection: None };
        let done = self.in_audit(errand, meant, || {
            let now_s = self.world.clock.civil_s();
            site.register.take_back(name, subject, how, now_s)?;
            match &kept {
                Kept::Searchable(gallery) => match gallery.erase(subject) {
                    Ok(erasure) => Ok(done(errand.transaction, name, meant, erasure)),
                    Err(GalleryError::UnknownSubject { .. }) => {
                        let custodian = self.custodian();
                        let erased = nothing(errand.transaction, name, meant, now_s, custodian);
                        Ok(Done { erased, erasure: None })
                    }
                    Err(error) => Err(Refusal::of_gallery(name, error)),
                },
                Kept::ByHolders(records) => {
                    let erased = records.erase(RecordId::from_bytes(*subject.as_bytes()));
                    let erased = erased.map_err(|error| Refusal::of_records(name, error))?;
                    Ok(self.zeroed(errand.transaction, name, meant, u64::from(erased)))
                }
                Kept::Unavailable(why) => Err(unavailable(name, why)),
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
        let records = match self.galleries.kept(gallery)? {
            Kept::Searchable(held) => match held.records_of(subject) {
                Ok(records) => records,
                Err(GalleryError::UnknownSubject { .. }) => Vec::new(),
                Err(error) => return Err(Refusal::of_gallery(gallery, error)),
            },
            // Whether a record is there is told to whoever holds its secret alone.
            Kept::ByHolders(_) => Vec::new(),
            Kept::Unavailable(why) => return Err(unavailable(gallery, &why)),
        };
        let consent = site.register.consent(gallery, subject)?;
        let ground: Option<Ground> = site.register.record(&ground_of(gallery, subject))?;
        if records.is_empty() && consent.is_none() && ground.is_none() {
            let unknown = GalleryError::UnknownSubject { subject };
            return Err(Refusal::of_gallery(gallery, unknown));
        }
        self.record(errand, Some(subject), vec!["EXPORTED"])?;
        Ok(Answer::Export(Box::new(SubjectExport {
            transaction: errand.transaction,
            gallery: gallery.clone(),
            subject,
            records,
            consent,
            ground,
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
                self.bury(name, &[subject])?;
                let erasure = match gallery.erase(subject) {
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
