//! Commands about what travellers carry, carried out: tokens, and records whose keys are theirs.

use std::sync::Arc;

use super::{Appliance, execute::Errand, galleries::Kept};
use crate::{
    command::{
        Answer, EncodedImage, Enrolment, HolderSecret, Papers, Part, PresentedToken, Refusal,
    },
    gallery::Gallery,
    keys::holder::{
        Validity,
        record::{RecordId, RecordRefused},
        token,
    },
    types::{GalleryId, SubjectId, Template},
};

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
        let terms = self.within_site(errand, (name, None), (terms, &papers))?;
        let records = self.galleries.by_holders(name)?;
        let (template, face) = self.template(errand, image, Part::Image(0))?;
        // The file makes the id: one entry before it names the act, one after it the record.
        self.record(errand, None, vec!["HOLDER_RECORD_ORDERED"])?;
        let (id, secret) = records
            .enrol(&template, terms.not_before_s, terms.expiry_s)
            .map_err(|error| Refusal::of_records(name, error))?;
        let subject = SubjectId::from_bytes(*id.as_bytes());
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
        let id = RecordId::from_bytes(*subject.as_bytes());
        records.reference(id, &secret.0, now_s).or_else(|error| {
            if matches!(error, RecordRefused::NotOpened) {
                // Somebody may be trying secrets; an id that may not exist is not written.
                self.record(errand, None, vec!["HOLDER_UNOPENED"])?;
            }
            Err(Refusal::HolderRecord { gallery: name.clone(), error })
        })
    }

    pub(super) fn issue_token(
        &self,
        errand: &Errand,
        image: &EncodedImage,
        (not_before_s, expiry_s): (Option<i64>, i64),
    ) -> Result<Answer, Refusal> {
        let issuer = self.holder_keys.issuer.as_ref().ok_or(Refusal::TokensDisabled)?;
        let not_before_s = not_before_s.unwrap_or_else(|| self.world.clock.civil_s());
        let refuse = |error| Refusal::HolderToken { part: Part::Image(0), error };
        let purpose = errand.asked.purpose;
        let validity = Validity { not_before_s, expiry_s, purpose };
        let (template, face) = self.template(errand, image, Part::Image(0))?;
        let token = issuer.issue(&template, validity, self.world.entropy.as_ref());
        let token = token.map_err(refuse)?;
        self.record(errand, None, vec!["TOKEN_ISSUED"])?;
        Ok(Answer::TokenIssued { transaction: errand.transaction, token, face })
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
            Ok(held) => Ok(held.template),
            Err(error) => {
                self.record(errand, None, vec!["HOLDER_TOKEN_REFUSED"])?;
                Err(Refusal::HolderToken { part, error })
            }
        }
    }
}
