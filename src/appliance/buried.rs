//! Whom a gallery, or a file of holders' records, that was put back from an older copy brought
//! back: held against the register's tombstones before anybody is searched for, and erased again.
//! So is a gallery that is opened again in between, since it could not tell whether an erasure was
//! durable.

use super::{Appliance, galleries::Kept};
use crate::{
    audit::{AuditEntry, AuditErasure},
    command::Refusal,
    keys::holder::record::RecordId,
    types::{Action, GalleryId, SubjectId},
};

impl Appliance {
    /// Erases again whom a gallery, or a file of holders' records, that was put back from an older
    /// copy brought back.
    pub(super) fn bury_again(&self) -> Result<(), Refusal> {
        let Some(site) = &self.site else { return Ok(()) };
        let _alone = self.alone();
        if site.register.tombstones()? == 0 {
            return Ok(());
        }
        for (name, kept) in self.galleries.all() {
            for subject in enrolled(&name, &kept)? {
                if site.register.tombstone(&name, subject)?.is_none() {
                    continue;
                }
                let erasure = match &kept {
                    Kept::Searchable(gallery) => {
                        let erasure = gallery.erase(subject);
                        let erasure = erasure.map_err(|error| Refusal::of_gallery(&name, error))?;
                        AuditErasure::from(erasure.receipt())
                    }
                    Kept::ByHolders(records) => {
                        let erased = records.erase(RecordId::of(subject));
                        let erased = erased.map_err(|error| Refusal::of_records(&name, error))?;
                        self.overwritten(u64::from(erased))
                    }
                    Kept::Unavailable(_) => continue,
                };
                let transaction = self.world.new_transaction();
                self.audit.must_hold(AuditEntry {
                    gallery: Some(name.clone()),
                    subject: Some(subject),
                    erasure: Some(erasure),
                    ..self.of_itself(transaction, Action::Erase, "ERASED_AGAIN")
                });
            }
        }
        Ok(())
    }
}

/// Everybody who is in a gallery, restricted and expired ones included; nobody of one that does not
/// open.
pub(super) fn enrolled(name: &GalleryId, kept: &Kept) -> Result<Vec<SubjectId>, Refusal> {
    match kept {
        Kept::Searchable(gallery) => {
            gallery.subjects().map_err(|error| Refusal::of_gallery(name, error))
        }
        Kept::ByHolders(records) => Ok(records.ids().into_iter().map(RecordId::subject).collect()),
        Kept::Unavailable(_) => Ok(Vec::new()),
    }
}
