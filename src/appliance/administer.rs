//! Commands about who is enrolled, carried out.
//!
//! An erasure is told to the audit twice: that it was ordered, before anything is touched, and what
//! it destroyed, after the key is gone. Where the order cannot be written nothing is erased, and
//! the caller is told so: the audit is the evidence that it will be asked for. That does not hold
//! an erasure up for ever: the appliance is not ready until its audit can be written (which
//! `audit.path` can mend at once), and what the law erases by the calendar ([`Appliance::expire`])
//! is not held up at all. What an erasure destroyed is kept and written later where it cannot be
//! written at once ([`super::Watched`]); the erasure stands.

use std::time::Duration;

use super::{
    Appliance,
    buried::enrolled,
    execute::Errand,
    galleries::{Kept, unavailable},
    site::IN_MEMORY,
};
use crate::{
    audit::{AuditEntry, AuditErasure, SETTLED},
    command::{
        Answer, EncodedImage, Enrolment, Erased, FaceReport, GalleryDescription, KeptBy, Papers,
        Part, Refusal,
    },
    gallery::{Erasure, Gallery, GalleryError, Receipt, Residency},
    keys::holder::record::{HolderRecords, RecordId},
    types::{Action, GalleryId, Selection, SubjectId, Template, TransactionId},
};

/// Who keeps the key of a holder's record.
const HOLDER: &str = "holder";
const HOLDER_DESTROYS: &str = "the record in the file, which is overwritten and synced";
const HOLDER_LEAVES: &str = "a copy of the file made before, together with the traveller's own \
                             secret; nothing else opens it";

/// Whom an erasure concerns.
#[derive(Clone, Copy, Default)]
pub(super) struct Meant {
    pub(super) subject: Option<SubjectId>,
    pub(super) selection: Option<Selection>,
    /// Frames that take the place of what is erased.
    pub(super) frames: Option<u32>,
}

/// How many frames an enrolment brought: each that was taken is a template.
fn counted(templates: &[Template]) -> Option<u32> {
    u32::try_from(templates.len()).ok()
}

impl From<&Receipt> for AuditErasure {
    fn from(receipt: &Receipt) -> Self {
        Self {
            rows: Some(receipt.rows),
            generation: receipt.generation,
            epoch_destroyed: Some(receipt.epoch_destroyed),
            custodian: receipt.custodian.to_owned(),
            at_s: receipt.at_s,
        }
    }
}

/// What an erasure destroyed, before anybody has waited for it.
pub(super) struct Done {
    pub(super) erased: Erased,
    /// `None` where nothing could be held by a search.
    pub(super) erasure: Option<Erasure>,
}

impl Appliance {
    pub(super) fn create_gallery(
        &self,
        errand: &Errand,
        name: &GalleryId,
        kept_by: KeptBy,
    ) -> Result<Answer, Refusal> {
        let kept = self.galleries.create(name, kept_by, errand.asked.purpose)?;
        if let Err(refusal) = self.record(errand, None, vec!["GALLERY_CREATED"]) {
            self.galleries.destroy(name)?;
            return Err(refusal);
        }
        self.galleries.count(&self.world.meter);
        Ok(Answer::Gallery(self.describe(name, &kept)?))
    }

    pub(super) fn describe_gallery(
        &self,
        errand: &Errand,
        name: &GalleryId,
    ) -> Result<Answer, Refusal> {
        let kept = self.galleries.kept(name)?;
        self.record(errand, None, vec!["GALLERY_DESCRIBED"])?;
        Ok(Answer::Gallery(self.describe(name, &kept)?))
    }

    fn describe(&self, name: &GalleryId, kept: &Kept) -> Result<GalleryDescription, Refusal> {
        let place = self.galleries.place();
        let custodian = place.means.custodian.describe();
        let of = |kept_by, subjects, stand: (u64, u64), kind| GalleryDescription {
            gallery: name.clone(),
            subjects,
            rows: 0,
            vacant: 0,
            kept_by,
            generation: stand.0,
            epoch: stand.1,
            bytes: 0,
            residency: match place.residency {
                Residency::Sealed => "sealed",
                Residency::Locked => "locked",
            },
            custodian: custodian.name.to_owned(),
            destroys: custodian.covers.to_owned(),
            leaves: custodian.does_not_cover.to_owned(),
            kind,
        };
        match kept {
            Kept::Searchable(gallery) => {
                let stats = gallery.stats();
                let stand = (stats.generation, gallery.epoch());
                Ok(GalleryDescription {
                    rows: stats.rows - stats.vacant,
                    vacant: stats.vacant,
                    bytes: stats.bytes,
                    ..of(KeptBy::Custodian, stats.subjects, stand, *gallery.kind())
                })
            }
            Kept::ByHolders(records) => {
                let kind = self.calibration.kind();
                Ok(GalleryDescription {
                    residency: "sealed",
                    custodian: HOLDER.to_owned(),
                    destroys: HOLDER_DESTROYS.to_owned(),
                    leaves: HOLDER_LEAVES.to_owned(),
                    ..of(KeptBy::Holders, records.held().live, (0, 0), kind)
                })
            }
            Kept::Unavailable(why) => Err(unavailable(name, why)),
        }
    }

    pub(super) fn enrol(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: Option<SubjectId>,
        images: &[EncodedImage],
        (terms, papers): (Enrolment, Papers),
    ) -> Result<Answer, Refusal> {
        self.galleries.searchable(name)?; // before its pictures are looked at
        // Before they are, too: whoever is entered while the day ends is entered for that day.
        let terms = self.within_site(errand, (name, subject), (terms, &papers))?;
        let (templates, faces) = self.templates(errand, images)?;
        let subject = subject.unwrap_or_else(|| self.world.new_subject());
        let of_gallery = |error| Refusal::of_gallery(name, error);
        let alone = self.alone();
        let gallery = self.galleries.searchable(name)?;
        let held = match alone {
            Some(_) => gallery.references_of(subject).map_err(of_gallery)?,
            None => Vec::new(),
        };
        self.is_one_person(&held, &templates)?;
        let consents_s = papers.consent_ends_s();
        let frames = counted(&templates);
        let generation = self.with_papers(errand, (name, subject), papers, |noted| {
            // Recorded before it is searchable: an entry without its row is harmless, a row that
            // nobody recorded is not.
            let codes = [&["ENROLLED"][..], &noted].concat();
            let entry = self.entry(errand, Some(subject), codes);
            self.write(&AuditEntry { frames, ..entry })?;
            self.end_with_consent(name, (&gallery, subject), consents_s)?;
            gallery.enrol(subject, templates, terms).map_err(of_gallery)
        })?;
        drop(alone);
        self.galleries.count(&self.world.meter);
        Ok(Answer::Enrolled { transaction: errand.transaction, subject, faces, generation })
    }

    fn templates(
        &self,
        errand: &Errand,
        images: &[EncodedImage],
    ) -> Result<(Vec<Template>, Vec<FaceReport>), Refusal> {
        let most = self.images_max();
        if !(1..=most).contains(&images.len()) {
            return Err(Refusal::Images { held: images.len(), most });
        }
        let (mut templates, mut faces) = (Vec::new(), Vec::new());
        for (number, image) in images.iter().enumerate() {
            let (template, face) = self.template(errand, image, Part::Image(number))?;
            templates.push(template);
            faces.extend(face);
        }
        Ok((templates, faces))
    }

    pub(super) fn replace(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
        images: &[EncodedImage],
        (terms, papers): (Enrolment, Papers),
    ) -> Result<Answer, Refusal> {
        let gallery = self.galleries.searchable(name)?;
        // Before its pictures are looked at: who is not there cannot be replaced.
        gallery.records_of(subject).map_err(|error| Refusal::of_gallery(name, error))?;
        let terms = self.within_site(errand, (name, Some(subject)), (terms, &papers))?;
        let (templates, faces) = self.templates(errand, images)?;
        self.is_one_person(&[], &templates)?;
        let frames = counted(&templates);
        let meant = Meant { subject: Some(subject), selection: None, frames };
        let alone = self.alone();
        let gallery = self.galleries.searchable(name)?;
        let done = self.with_papers(errand, (name, subject), papers, |_| {
            self.in_audit(errand, meant, || {
                let erasure = gallery.replace(subject, templates, terms);
                let erasure = erasure.map_err(|error| Refusal::of_gallery(name, error))?;
                Ok(done(errand.transaction, name, meant, erasure))
            })
        })?;
        drop(alone);
        let erased = self.settled(errand, done)?;
        Ok(Answer::Replaced { faces, erased })
    }

    pub(super) fn restrict(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
        restricted: bool,
    ) -> Result<Answer, Refusal> {
        let gallery = self.galleries.searchable(name)?;
        gallery.records_of(subject).map_err(|error| Refusal::of_gallery(name, error))?;
        let reason = if restricted { "RESTRICTED" } else { "RESTRICTION_LIFTED" };
        self.record(errand, Some(subject), vec![reason])?;
        let changed = gallery.restrict(subject, restricted);
        let generation = changed.map_err(|error| Refusal::of_gallery(name, error))?;
        Ok(Answer::Changed { transaction: errand.transaction, subject, generation })
    }

    pub(super) fn regroup(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
        group: u32,
    ) -> Result<Answer, Refusal> {
        let gallery = self.galleries.searchable(name)?;
        gallery.records_of(subject).map_err(|error| Refusal::of_gallery(name, error))?;
        self.record(errand, Some(subject), vec!["REGROUPED"])?;
        let _alone = self.alone();
        let changed = gallery.regroup(subject, group);
        let generation = changed.map_err(|error| Refusal::of_gallery(name, error))?;
        Ok(Answer::Changed { transaction: errand.transaction, subject, generation })
    }

    pub(super) fn erase(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
    ) -> Result<Answer, Refusal> {
        let meant = Meant { subject: Some(subject), selection: None, frames: None };
        self.galleries.kept(name)?; // before anything is ordered
        let done = self.in_audit(errand, meant, || self.erase_one(errand, name, subject))?;
        self.settled(errand, done).map(Answer::Erased)
    }

    /// One subject; the audit holds the order already.
    pub(super) fn erase_one(
        &self,
        errand: &Errand,
        name: &GalleryId,
        subject: SubjectId,
    ) -> Result<Done, Refusal> {
        let meant = Meant { subject: Some(subject), selection: None, frames: None };
        let _alone = self.alone();
        match &self.galleries.kept(name)? {
            Kept::Searchable(gallery) => {
                self.bury(name, &[subject])?;
                let erasure = gallery.erase(subject);
                let erasure = erasure.map_err(|error| Refusal::of_gallery(name, error))?;
                Ok(done(errand.transaction, name, meant, erasure))
            }
            Kept::ByHolders(records) => {
                self.bury(name, &[subject])?;
                let erased = records.erase(RecordId::of(subject));
                if !erased.map_err(|error| Refusal::of_records(name, error))? {
                    let unknown = GalleryError::UnknownSubject { subject };
                    return Err(Refusal::of_gallery(name, unknown));
                }
                Ok(self.zeroed(errand.transaction, name, meant, 1))
            }
            Kept::Unavailable(why) => Err(unavailable(name, why)),
        }
    }

    pub(super) fn erase_selected(
        &self,
        errand: &Errand,
        name: &GalleryId,
        selection: Selection,
    ) -> Result<Answer, Refusal> {
        let kept = self.galleries.kept(name)?;
        let meant = Meant { subject: None, selection: Some(selection), frames: None };
        let done = self.in_audit(errand, meant, || match &kept {
            Kept::Searchable(gallery) => self.erase_rows(errand.transaction, name, gallery, meant),
            Kept::ByHolders(records) => {
                self.erase_records(errand.transaction, name, records, selection)
            }
            Kept::Unavailable(why) => Err(unavailable(name, why)),
        })?;
        self.settled(errand, done).map(Answer::Erased)
    }

    fn erase_rows(
        &self,
        transaction: TransactionId,
        name: &GalleryId,
        gallery: &Gallery,
        meant: Meant,
    ) -> Result<Done, Refusal> {
        let now_s = self.world.clock.civil_s();
        let selection = meant.selection.unwrap_or(Selection::Everybody);
        let _alone = self.alone();
        let buried = self.bury_leaving(name, gallery, (selection, now_s));
        // What has expired goes by the calendar and is held up by nothing. In a gallery that is put
        // back it has expired as well.
        match (buried, selection) {
            (Err(refusal), Selection::Expired) => {
                tracing::error!(gallery = %name, %refusal, "expired, and without tombstones");
            }
            (buried, _) => buried?,
        }
        let erasure = match selection {
            Selection::Group(group) => gallery.erase_group(group),
            Selection::Classes(bits) => gallery.erase_class(bits),
            Selection::EnrolledBefore(at_s) => gallery.erase_begun_before(at_s),
            Selection::Expired => gallery.erase_expired(now_s),
            Selection::Everybody => gallery.erase_all().map(Some),
        };
        match erasure.map_err(|error| Refusal::of_gallery(name, error))? {
            Some(erasure) => Ok(done(transaction, name, meant, erasure)),
            None => {
                let (generation, custodian) = (gallery.stats().generation, self.custodian());
                let mut erased = nothing(transaction, name, meant, now_s, custodian);
                erased.generation = generation;
                Ok(Done { erased, erasure: None })
            }
        }
    }

    fn erase_records(
        &self,
        transaction: TransactionId,
        name: &GalleryId,
        records: &HolderRecords,
        selection: Selection,
    ) -> Result<Done, Refusal> {
        if selection != Selection::Expired {
            return Err(Refusal::GalleryKind {
                gallery: name.clone(),
                why: "holds records of holders, which are in no group and no class: erase them by id, \
                      erase what has expired, or delete the gallery",
            });
        }
        let now_s = self.world.clock.civil_s();
        let _alone = self.alone();
        let expired = records.expired(now_s).into_iter().map(RecordId::subject);
        let expired: Vec<SubjectId> = expired.collect();
        if let Err(refusal) = self.bury(name, &expired) {
            tracing::error!(gallery = %name, %refusal, "expired, and without tombstones");
        }
        let erased = records.erase_expired(now_s);
        let rows = erased.map_err(|error| Refusal::of_records(name, error))?;
        let meant = Meant { subject: None, selection: Some(selection), frames: None };
        Ok(self.zeroed(transaction, name, meant, rows))
    }

    /// Erases everybody, destroys every key, removes the file. A gallery that does not open goes as
    /// well: its keys are found by its head.
    pub(super) fn delete_gallery(
        &self,
        errand: &Errand,
        name: &GalleryId,
    ) -> Result<Answer, Refusal> {
        let kept = self.galleries.kept(name)?;
        let meant = Meant { subject: None, selection: Some(Selection::Everybody), frames: None };
        let done = self.in_audit(errand, meant, || {
            let now_s = self.world.clock.civil_s();
            let mut erased = nothing(errand.transaction, name, meant, now_s, self.custodian());
            let mut erasure = None;
            let _alone = self.alone();
            // A copy that somebody puts back under this name, with its keys, brings nobody back.
            // What cannot be listed or written does not hold the destruction of the keys up.
            if let Err(refusal) = enrolled(name, &kept).and_then(|all| self.bury_all(name, all)) {
                tracing::warn!(gallery = %name, %refusal, "deleted without tombstones");
            }
            match &kept {
                Kept::Searchable(gallery) => {
                    let stats = gallery.stats();
                    erased.rows = Some(stats.rows - stats.vacant);
                    erased.generation = stats.generation;
                    // For what searches still hold. A disk that is full cannot take a generation
                    // without anybody; the keys go all the same.
                    match gallery.erase_all() {
                        Ok(held) => erasure = Some(held),
                        Err(error) => tracing::warn!(gallery = %name, %error, "deleted unemptied"),
                    }
                }
                Kept::ByHolders(records) => {
                    erased.rows = Some(records.held().live);
                    erased.custodian = HOLDER.to_owned();
                }
                Kept::Unavailable(_) => erased.rows = None,
            }
            self.galleries.destroy(name)?;
            Ok(Done { erased, erasure })
        })?;
        self.settled(errand, done).map(Answer::Erased)
    }

    /// Destroys what could not be destroyed when its rows were erased, everywhere, and tells the
    /// audit: until then it holds that the rows were gone and their key was not.
    pub(super) fn settle(&self) {
        for (name, kept) in self.galleries.all() {
            let Kept::Searchable(gallery) = kept else { continue };
            let receipts = match gallery.settle() {
                Ok(receipts) => receipts,
                Err(error) => {
                    tracing::error!(gallery = %name, %error, "an erasure is not complete");
                    continue;
                }
            };
            for receipt in receipts {
                let subject = match receipt.subjects[..] {
                    [subject] => Some(subject),
                    _ => None,
                };
                let meant = Meant { subject, selection: None, frames: None };
                let transaction = self.world.new_transaction();
                let erased = receipted(transaction, &name, meant, &receipt);
                let entry = self.erasure_entry(None, meant, &erased);
                self.audit.must_hold(AuditEntry { reasons: vec!["ERASED", SETTLED], ..entry });
            }
        }
    }

    /// Makes the galleries that the profile of a site names whose day ends everything, where they
    /// are not there: their keys ended with the last process, and guests go on going out and coming
    /// back while the window is open, in which nobody makes a gallery.
    pub(super) fn make_daily_galleries(&self) {
        let Some(site) = self.site.as_ref().filter(|site| site.is_daily()) else { return };
        if self.custodian() != IN_MEMORY {
            tracing::error!("galleries that end with the day need gallery.custodian = memory");
            return;
        }
        let names = site.profile.retention.galleries.iter();
        for name in names.filter_map(|name| name.parse::<GalleryId>().ok()) {
            if self.galleries.kept(&name).is_ok() {
                continue;
            }
            let purpose = site.profile.purpose();
            if let Err(refusal) = self.galleries.create(&name, KeptBy::Custodian, purpose) {
                tracing::error!(gallery = %name, %refusal, "the gallery of the day");
                continue;
            }
            let transaction = self.world.new_transaction();
            self.audit.must_hold(AuditEntry {
                gallery: Some(name),
                purpose: Some(purpose),
                ..self.of_itself(transaction, Action::CreateGallery, "GALLERY_CREATED")
            });
        }
        self.galleries.count(&self.world.meter);
    }

    /// Erases what has expired, everywhere. Nobody asked, so that nothing is answered; the audit
    /// holds it, and does not hold it up.
    pub(super) fn expire(&self) {
        let now_s = self.world.clock.civil_s();
        for (name, kept) in self.galleries.all() {
            let meant = Meant { subject: None, selection: Some(Selection::Expired), frames: None };
            let transaction = self.world.new_transaction();
            let done = match &kept {
                Kept::Searchable(gallery) => {
                    let source = gallery.source();
                    if !source.set().tiles.iter().any(|tile| tile.common.expiry_s_min <= now_s) {
                        continue;
                    }
                    self.erase_rows(transaction, &name, gallery, meant)
                }
                Kept::ByHolders(records) => {
                    self.erase_records(transaction, &name, records, Selection::Expired)
                }
                Kept::Unavailable(_) => continue,
            };
            match done {
                Ok(Done { erased, .. }) if erased.rows == Some(0) => {}
                Ok(Done { erased, .. }) => {
                    tracing::info!(gallery = %name, rows = erased.rows, "erased what has expired");
                    self.audit.must_hold(self.erasure_entry(None, meant, &erased));
                }
                Err(refusal) => tracing::error!(gallery = %name, %refusal, "expiry"),
            }
        }
    }

    /// The order into the audit, the act, its result into the audit.
    pub(super) fn in_audit(
        &self,
        errand: &Errand,
        meant: Meant,
        act: impl FnOnce() -> Result<Done, Refusal>,
    ) -> Result<Done, Refusal> {
        let mut ordered = self.entry(errand, meant.subject, vec!["ERASURE_ORDERED"]);
        (ordered.selection, ordered.frames) = (meant.selection, meant.frames);
        self.write(&ordered)?;
        match act() {
            Ok(done) => {
                self.audit.must_hold(self.erasure_entry(Some(errand), meant, &done.erased));
                self.galleries.count(&self.world.meter);
                Ok(done)
            }
            Err(refusal) => {
                self.audit.must_hold(AuditEntry {
                    reasons: vec!["NOT_ERASED", refusal.code()],
                    erasure: self.pending(&refusal),
                    ..ordered
                });
                Err(refusal)
            }
        }
    }

    /// Of an erasure whose rows are gone and whose key is not: the generation, by which the receipt
    /// that follows is found.
    fn pending(&self, refusal: &Refusal) -> Option<AuditErasure> {
        let Refusal::Gallery { error: GalleryError::NotDestroyed { generation, .. }, .. } = refusal
        else {
            return None;
        };
        Some(AuditErasure {
            rows: None,
            generation: *generation,
            epoch_destroyed: None,
            custodian: self.custodian(),
            at_s: self.world.clock.civil_s(),
        })
    }

    fn erasure_entry(&self, errand: Option<&Errand>, meant: Meant, erased: &Erased) -> AuditEntry {
        let asked = errand.map(|errand| &errand.asked);
        let action = asked.map_or(Action::Erase, |asked| asked.action);
        let now_s = self.world.clock.civil_s();
        AuditEntry {
            caller: asked.map(|asked| asked.caller.clone()),
            purpose: asked.map(|asked| asked.purpose),
            gallery: Some(erased.gallery.clone()),
            subject: meant.subject,
            selection: meant.selection,
            erasure: Some(AuditErasure {
                rows: erased.rows,
                generation: erased.generation,
                epoch_destroyed: erased.epoch_destroyed,
                custodian: erased.custodian.clone(),
                at_s: erased.at_s,
            }),
            ..AuditEntry::of(erased.transaction, now_s, action, vec!["ERASED"])
        }
    }

    /// Waits until no search holds what was erased.
    pub(super) fn settled(&self, errand: &Errand, done: Done) -> Result<Erased, Refusal> {
        if let Some(erasure) = done.erasure {
            let wait = Duration::from_millis(errand.deadline_ms);
            let waited = erasure.wait(wait);
            waited.map_err(|held| Refusal::ErasurePending { why: held.to_string() })?;
        }
        Ok(done.erased)
    }

    pub(super) fn custodian(&self) -> String {
        self.galleries.place().means.custodian.describe().name.to_owned()
    }

    /// The receipt of records that were overwritten: their keys were never here.
    pub(super) fn zeroed(
        &self,
        transaction: TransactionId,
        name: &GalleryId,
        meant: Meant,
        rows: u64,
    ) -> Done {
        let now_s = self.world.clock.civil_s();
        let mut erased = nothing(transaction, name, meant, now_s, HOLDER.to_owned());
        erased.rows = Some(rows);
        Done { erased, erasure: None }
    }

    /// The same for the audit, of records that nobody asked to have erased.
    pub(super) fn overwritten(&self, rows: u64) -> AuditErasure {
        AuditErasure {
            rows: Some(rows),
            generation: 0,
            epoch_destroyed: None,
            custodian: HOLDER.to_owned(),
            at_s: self.world.clock.civil_s(),
        }
    }
}

/// The receipt of an erasure that found nobody.
pub(super) fn nothing(
    transaction: TransactionId,
    name: &GalleryId,
    meant: Meant,
    at_s: i64,
    custodian: String,
) -> Erased {
    Erased {
        transaction,
        gallery: name.clone(),
        subject: meant.subject,
        rows: Some(0),
        generation: 0,
        epoch_destroyed: None,
        custodian,
        at_s,
    }
}

pub(super) fn done(
    transaction: TransactionId,
    name: &GalleryId,
    meant: Meant,
    erasure: Erasure,
) -> Done {
    let erased = receipted(transaction, name, meant, erasure.receipt());
    Done { erased, erasure: Some(erasure) }
}

fn receipted(
    transaction: TransactionId,
    name: &GalleryId,
    meant: Meant,
    receipt: &Receipt,
) -> Erased {
    Erased {
        transaction,
        gallery: name.clone(),
        subject: meant.subject,
        rows: Some(receipt.rows),
        generation: receipt.generation,
        epoch_destroyed: Some(receipt.epoch_destroyed),
        custodian: receipt.custodian.to_owned(),
        at_s: receipt.at_s,
    }
}
