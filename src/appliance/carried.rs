//! Commands about what travellers carry, carried out: tokens, and records whose keys are theirs.

use std::sync::Arc;

use super::{
    Appliance,
    execute::Errand,
    galleries::{Kept, TOKENS},
};
use crate::{
    audit::AuditEntry,
    command::{
        Answer, EncodedImage, Enrolment, HolderSecret, Papers, Part, PresentedToken, Refusal,
    },
    gallery::Gallery,
    keys::holder::{
        Validity,
        record::{RecordId, RecordRefused},
        token::{self, TOKEN_NUMBER_BYTES},
    },
    policy::PASSPORT_EXPIRY_MISSING,
    types::{GalleryId, Obligation, Reason, SubjectId, Template},
};

const WITHDRAWN: Reason = Reason {
    code: "CONSENT_WITHDRAWN",
    text: "The traveller took the consent to this token back.",
};

/// Under which name the register keeps what travellers carry.
fn tokens() -> GalleryId {
    TOKENS.parse().expect("it is a name")
}

/// A token's number as the name of whom it is about.
fn subject_of(number: &[u8; TOKEN_NUMBER_BYTES]) -> SubjectId {
    let mut bytes = [0; 16];
    bytes[..TOKEN_NUMBER_BYTES].copy_from_slice(number);
    SubjectId::from_bytes(bytes)
}

impl Appliance {
    /// The gallery, where it can be searched. Records of holders cannot, by construction.
    pub(super) fn to_search(&self, name: &GalleryId) -> Result<Arc<Gallery>, Refusal> {
        match self.galleries.kept(name)? {
            Kept::ByHolders(_) => Err(Refusal::IdentifyNotPossible { gallery: name.clone() }),
            Kept::Searchable(_) | Kept::Unavailable(_) => self.galleries.searchable(name),
        }
    }

    /// A record that only its holder can open; the secret leaves with the answer, and is forgotten.
    pub(super) fn enrol_holder(
        &self,
        errand: &Errand,
        name: &GalleryId,
        image: &EncodedImage,
        (terms, papers): (Enrolment, Papers),
    ) -> Result<Answer, Refusal> {
        let terms = self.within_passport(errand, terms, &papers)?;
        let terms = self.within_site(errand, (name, None), (terms, &papers))?;
        let records = self.galleries.by_holders(name)?;
        let (template, face) = self.template(errand, image, Part::Image(0))?;
        // The file makes the id: one entry before it names the act, one after it the record.
        self.record(errand, None, vec!["HOLDER_RECORD_ORDERED"])?;
        let (id, secret) = records
            .enrol(&template, terms.not_before_s, terms.expiry_s)
            .map_err(|error| Refusal::of_records(name, error))?;
        let subject = id.subject();
        let alone = self.alone();
        let kept = self.with_papers(errand, (name, subject), papers, |noted| {
            let codes = [&["HOLDER_RECORD_KEPT"][..], &noted].concat();
            self.record(errand, Some(subject), codes)
        });
        drop(alone);
        if let Err(refusal) = kept {
            // Nobody was given the secret: the record is nobody's, and goes.
            records.erase(id).map_err(|error| Refusal::of_records(name, error))?;
            return Err(refusal);
        }
        let secret = HolderSecret(secret);
        self.galleries.count(&self.world.meter);
        Ok(Answer::HolderEnrolled { transaction: errand.transaction, subject, secret, face })
    }

    /// The times of a holder's record, which ends with the passport at the latest. Whose passport
    /// ends when is not known to anybody but whoever enrols, so that a site is told or refuses.
    fn within_passport(
        &self,
        errand: &Errand,
        terms: Enrolment,
        papers: &Papers,
    ) -> Result<Enrolment, Refusal> {
        let is_owed = self.site.is_some() && errand.owed.contains(&Obligation::ExpireWithHolder);
        match papers.passport_expiry_s {
            Some(ends_s) => Ok(Enrolment { expiry_s: terms.expiry_s.min(ends_s), ..terms }),
            None if is_owed => {
                Err(Self::forbidden(&self.standing(), None, &[PASSPORT_EXPIRY_MISSING]))
            }
            None => Ok(terms),
        }
    }

    /// The template of a holder's record, for the one verification that asks.
    pub(super) fn opened(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
        secret: &HolderSecret,
    ) -> Result<Template, Refusal> {
        let records = self.galleries.by_holders(name)?;
        let now_s = self.world.clock.civil_s();
        let id = RecordId::of(subject);
        records.reference(id, &secret.0, now_s).or_else(|error| {
            if matches!(error, RecordRefused::NotOpened) {
                // Somebody may be trying secrets; an id that may not exist is not written.
                self.record(errand, None, vec!["HOLDER_UNOPENED"])?;
            }
            Err(Refusal::HolderRecord { gallery: name.clone(), error })
        })
    }

    /// A token, for the traveller alone; the consent to it is kept under the token's number, and
    /// whoever takes it back makes the token worth nothing here.
    pub(super) fn issue_token(
        &self,
        errand: &Errand,
        image: &EncodedImage,
        (not_before_s, expiry_s): (Option<i64>, i64),
        mut papers: Papers,
    ) -> Result<Answer, Refusal> {
        let issuer = self.holder_keys.issuer.as_ref().ok_or(Refusal::TokensDisabled)?;
        let not_before_s = not_before_s.unwrap_or_else(|| self.world.clock.civil_s());
        let refuse = |error| Refusal::HolderToken { part: Part::Image(0), error };
        let purpose = errand.asked.purpose;
        let expiry_s = self.token_until(errand, expiry_s, &papers);
        if let Some(given) = &mut papers.consent {
            // It is to this token alone, and over with it: nothing is erased then that would end
            // it.
            given.expiry_s = Some(expiry_s);
        }
        let validity = Validity { not_before_s, expiry_s, purpose };
        let (template, face) = self.template(errand, image, Part::Image(0))?;
        let token = issuer.issue(&template, validity, self.world.entropy.as_ref());
        let token = token.map_err(refuse)?;
        let subject = subject_of(&token::number(&token).map_err(refuse)?);
        let _alone = self.alone();
        self.with_papers(errand, (&tokens(), subject), papers, |noted| {
            let codes = [&["TOKEN_ISSUED"][..], &noted].concat();
            self.record_of_token(errand, subject, codes)
        })?;
        Ok(Answer::TokenIssued { transaction: errand.transaction, subject, token, face })
    }

    /// Writes what is about one token under the name that its consent is kept under, so that
    /// whoever asks what is known of it is told. That a gate took it stands under no token's name:
    /// nobody follows a traveller by one.
    fn record_of_token(
        &self,
        errand: &Errand,
        subject: SubjectId,
        codes: Vec<&'static str>,
    ) -> Result<(), Refusal> {
        let entry = self.entry(errand, Some(subject), codes);
        self.write(&AuditEntry { gallery: Some(tokens()), ..entry })
    }

    /// Until when a token counts that was asked for until `expiry_s`: within what the site's
    /// profile and the consent allow.
    fn token_until(&self, errand: &Errand, expiry_s: i64, papers: &Papers) -> i64 {
        let Some(site) = &self.site else { return expiry_s };
        let is_minor = errand.owed.contains(&Obligation::ProtectMinor);
        let until_s = site.token_until_s(is_minor, self.world.clock.civil_s());
        expiry_s.min(until_s).min(papers.consent_ends_s().unwrap_or(i64::MAX))
    }

    /// Refuses a token whose traveller took the consent to it back.
    fn is_still_wanted(&self, errand: &Errand, subject: SubjectId) -> Result<(), Refusal> {
        let Some(site) = &self.site else { return Ok(()) };
        if site.register.tombstone(&tokens(), subject)?.is_none() {
            return Ok(());
        }
        let codes = vec!["HOLDER_TOKEN_REFUSED", WITHDRAWN.code];
        self.record_of_token(errand, subject, codes)?;
        Err(Self::forbidden(&self.standing(), None, &[WITHDRAWN]))
    }

    /// The template in a token; seal, signature, model, time and purpose are checked before
    /// anything of it is believed.
    pub(super) fn presented(
        &self,
        errand: &Errand,
        part: Part,
        token: &PresentedToken,
    ) -> Result<Template, Refusal> {
        let readers = &self.holder_keys.readers;
        if readers.is_empty() {
            return Err(Refusal::TokensDisabled);
        }
        let (kind, now_s) = (self.calibration.kind(), self.world.clock.civil_s());
        match token::open(token.bytes(), readers, &kind, errand.asked.purpose, now_s) {
            Ok(held) => {
                self.is_still_wanted(errand, subject_of(&held.token))?;
                Ok(held.template)
            }
            Err(error) => {
                self.record(errand, None, vec!["HOLDER_TOKEN_REFUSED"])?;
                Err(Refusal::HolderToken { part, error })
            }
        }
    }
}
