//! Whom a gallery, or a file of holders' records, that was put back from an older copy brought
//! back: held against the register's tombstones before anybody is searched for, and erased again.
//! So is a gallery that is opened again in between, since it could not tell whether an erasure was
//! durable.
//!
//! The register can be put back as well, with the galleries and every key, and lacks tombstones
//! then. The audit knows of them: the register remembers up to which entry it bears the audit out,
//! and what is erased after that is held against it at each start. An audit that does not go on
//! from there is told of: in the log, in the audit and at `/readyz`. Of persons who were erased
//! together the audit knows the gallery and its generation alone: one that stands before that is
//! not served.

use super::{
    Appliance,
    galleries::Kept,
    site::{IN_MEMORY, Site},
};
use crate::{
    audit::{AuditEntry, AuditErasure, AuditSink, AuditStand, Erased, Gone},
    command::Refusal,
    keys::holder::record::RecordId,
    register::Ending,
    types::{Action, GalleryId, SubjectId},
};

/// What the register calls the stand up to which it bears the audit out.
const BORNE_OUT: &str = "audit stand";
/// The code of the entry that says that the audit is not the one that the register knows.
const DOES_NOT_GO_ON: &str = "AUDIT_DOES_NOT_GO_ON";
const OLDER: &str = "it is an older copy: the audit holds that persons were erased since who may be \
                     in it, and not who they are. Put the newest copy back, or delete the gallery";

impl Appliance {
    /// Puts up the tombstones that the audit knows of and the register does not, and serves no
    /// gallery of which it cannot tell who is missing.
    pub(super) fn recall_erasures(&self) -> Result<(), Refusal> {
        // Where keys end with the process, nothing can be put back.
        let Some(site) = self.site.as_ref().filter(|_| self.custodian() != IN_MEMORY) else {
            return Ok(());
        };
        if let Some(seen) = site.register.record::<AuditStand>(BORNE_OUT)? {
            if self.audit.goes_on_from(&seen).map_err(|_| Refusal::Audit)? {
                let erased = self.audit.erased(seen.entries).map_err(|_| Refusal::Audit)?;
                self.bury_missing(site, &erased)?;
                self.shut_older(&erased);
            } else {
                self.tell_of_gap(site, &seen);
            }
        }
        self.bear_out_the_audit(site);
        Ok(())
    }

    /// Says that the audit is another one, or lacks what came after `seen`: that nobody who was
    /// erased is back cannot be told. The erasures of another audit are not carried out: its
    /// galleries are not these.
    fn tell_of_gap(&self, site: &Site, seen: &AuditStand) {
        let why = format!(
            "the audit does not go on from entry {}, up to which the register knows it: it is \
             another one, or lacks what came after. Whoever was erased since may be back where \
             galleries, keys and register were put back; name the audit in audit.path that was \
             written here",
            seen.entries
        );
        tracing::error!("{why}");
        let transaction = self.world.new_transaction();
        self.audit.must_hold(self.of_itself(transaction, Action::ReadAudit, DOES_NOT_GO_ON));
        site.audit_gap.get_or_init(|| why);
    }

    /// Whoever was entered anew is missing, too, where the gallery stands before the erasure: what
    /// is in it was erased, and what was entered instead is not there. So is whoever was ordered to
    /// be erased when the process ended: the order counts.
    fn bury_missing(&self, site: &Site, erased: &Erased) -> Result<(), Refusal> {
        let now_s = self.world.clock.civil_s();
        for (gallery, subjects) in &erased.subjects {
            let stands_at = match self.galleries.kept(gallery) {
                Ok(Kept::Searchable(held)) => held.stats().generation,
                _ => u64::MAX,
            };
            let is_gone = |gone: &Gone| !gone.is_back || gone.generation > stands_at;
            let gone = subjects.iter().filter(|(_, gone)| is_gone(gone));
            bury_unburied(site, gallery, gone.map(|(&subject, _)| subject), now_s)?;
        }
        for (gallery, subjects) in &erased.ordered {
            bury_unburied(site, gallery, subjects.iter().copied(), now_s)?;
        }
        Ok(())
    }

    fn shut_older(&self, erased: &Erased) {
        for (name, kept) in self.galleries.all() {
            let is_older = match (&kept, erased.several.get(&name)) {
                (Kept::Searchable(gallery), Some(&without)) => gallery.stats().generation < without,
                _ => false,
            };
            if is_older || erased.galleries.contains(&name) {
                tracing::error!(gallery = %name, why = OLDER, "a gallery is not served");
                self.galleries.shut(&name, OLDER);
            }
        }
    }

    /// Remembers that the register has every tombstone of what the audit holds until now; not while
    /// a gallery is not served: the next start has to see why.
    pub(super) fn bear_out_the_audit(&self, site: &Site) {
        if !self.galleries.unavailable().is_empty() {
            return;
        }
        if let Err(error) = site.register.keep_record(BORNE_OUT, &self.audit.stand()) {
            tracing::error!(%error, "the next start reads more of the audit than it has to");
        }
    }

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

/// Puts up the tombstones of those of `gone` whose the register lacks.
fn bury_unburied(
    site: &Site,
    gallery: &GalleryId,
    gone: impl Iterator<Item = SubjectId>,
    now_s: i64,
) -> Result<(), Refusal> {
    let mut missing = Vec::new();
    for subject in gone {
        if site.register.tombstone(gallery, subject)?.is_none() {
            missing.push(subject);
        }
    }
    if !missing.is_empty() {
        let subjects = missing.len();
        tracing::warn!(%gallery, subjects, "the audit tells of erasures, the register not");
        site.register.end(gallery, &missing, Ending::Erased, now_s)?;
    }
    Ok(())
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
