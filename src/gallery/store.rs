//! The gallery as its users know it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Enrolment, Erasure, GalleryError, Head, Means, Receipt, Record, Residency, Settings, Stats,
    Written,
    edit::{self, Places, Plan},
    media::{Media, MemoryMedia},
    open::{self, Slots},
    shelf::{Found, Shelf, Snapshot},
    writer::{Committed, Forget, Writer},
};
use crate::{
    keys::custodian::MemoryCustodian,
    limits::REFERENCES_PER_SUBJECT_MAX,
    ops::tile::{ROW_RESTRICTED, ROW_VACANT, TileLayout, TileSource},
    random::SystemEntropy,
    time::SystemClock,
    types::{SubjectId, Template, TemplateKind},
};

/// One subject with its references and what is kept about them.
pub type Newcomer = (SubjectId, Vec<Template>, Enrolment);

/// Who is enrolled, searchable by the next scan; ciphertext wherever it lies.
pub struct Gallery {
    pub(super) shelf: Arc<Shelf>,
}

impl Gallery {
    /// An empty gallery at generation zero, on a medium without any bytes.
    ///
    /// # Errors
    /// [`GalleryError::Layout`], [`super::OpenError::NotEmpty`], and what the medium and the
    /// custodian answer; a medium that was written to must then be deleted.
    pub fn create(
        media: Arc<dyn Media>,
        means: Means,
        kind: TemplateKind,
        layout: TileLayout,
        settings: Settings,
    ) -> Result<Self, GalleryError> {
        Ok(Self { shelf: open::create(media, means, kind, layout, settings)? })
    }

    /// The gallery on `media`, at the generation that the custodian believes in. Finishes what was
    /// interrupted.
    ///
    /// # Errors
    /// [`super::OpenError`], one for each way to be wrong; nothing was then changed.
    pub fn open(
        media: Arc<dyn Media>,
        means: Means,
        settings: Settings,
    ) -> Result<Self, GalleryError> {
        Self::open_telling(media, means, settings, &mut |_, _| {})
    }

    /// The same, for somebody who watches: where the residency is locked, `progress` is told tiles
    /// opened and tiles in all.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_telling(
        media: Arc<dyn Media>,
        means: Means,
        settings: Settings,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, GalleryError> {
        Ok(Self { shelf: open::open(&media, means, settings, progress)? })
    }

    /// An empty gallery whose ciphertext and keys are this process's memory alone: with it they are
    /// gone.
    ///
    /// # Panics
    /// When `layout` is not one of `kind` (a mistake of the calibration's author), or the process
    /// may not lock the few pages for the keys.
    #[must_use]
    pub fn in_memory(kind: TemplateKind, layout: TileLayout) -> Self {
        let entropy = Arc::new(SystemEntropy);
        let means = Means {
            custodian: Arc::new(MemoryCustodian::new(Arc::clone(&entropy) as _)),
            entropy,
            clock: Arc::new(SystemClock::start()),
        };
        let media = Arc::new(MemoryMedia::new());
        let created = Self::create(media, means, kind, layout, Settings::default());
        created.unwrap_or_else(|error| panic!("a gallery in memory of {layout:?}: {error}"))
    }

    /// What the newest superblock on `media` says without any key: which gallery it is, of which
    /// model. It is not authenticated before the gallery is opened.
    ///
    /// # Errors
    /// [`super::OpenError`].
    pub fn head(media: &dyn Media) -> Result<Head, GalleryError> {
        Ok(Slots::read(media)?.head()?)
    }

    /// Destroys every key of the gallery; what is left on the medium is noise, and can be deleted.
    ///
    /// # Errors
    /// [`GalleryError::Custody`]: keys may be left, ask again.
    pub fn delete(self) -> Result<(), GalleryError> {
        let writer = self.shelf.writer();
        self.shelf.means.custodian.forget(&self.shelf.file)?;
        drop(writer);
        Ok(())
    }

    /// The gallery's own random id.
    #[must_use]
    pub fn file(&self) -> [u8; 16] {
        self.shelf.file
    }

    /// Model and calibration of every reference.
    #[must_use]
    pub fn kind(&self) -> &TemplateKind {
        &self.shelf.kind
    }

    /// Sizes of its tiles.
    #[must_use]
    pub fn layout(&self) -> TileLayout {
        self.shelf.layout
    }

    /// The newest generation; it never changes, and searches may hold it.
    #[must_use]
    pub fn source(&self) -> Arc<dyn TileSource> {
        self.shelf.published()
    }

    /// How much the newest generation holds. Waits for no writer.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let newest = self.shelf.newest();
        Stats {
            generation: newest.set.generation,
            rows: newest.counts.rows,
            vacant: newest.counts.vacant,
            subjects: newest.counts.subjects,
            tiles: newest.tiles.len() as u64,
            bytes: self.shelf.space.end(),
            bytes_free: self.shelf.space.free_bytes(),
            locked: self.shelf.settings.residency == Residency::Locked,
        }
    }

    /// Why the gallery takes no changes any more, where that is so: the generation before the one
    /// that failed is served until the gallery is opened again. Waits for no writer.
    #[must_use]
    pub fn unknown(&self) -> Option<GalleryError> {
        self.shelf.unknown()
    }

    /// Destroys the key that an erasure could not destroy ([`GalleryError::NotDestroyed`]), if
    /// there is one, and hands over the receipts that became due by that since the last call.
    ///
    /// # Errors
    /// [`GalleryError::NotDestroyed`]: it still exists.
    pub fn settle(&self) -> Result<Vec<Receipt>, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        Ok(std::mem::take(&mut writer.settled))
    }

    /// What every erasure begins with, whomever it is meant for: asking again is how a key that
    /// could not be destroyed is destroyed.
    pub(super) fn settle_by(&self, writer: &mut Writer) -> Result<(), GalleryError> {
        let generation = self.shelf.newest().set.generation;
        writer.destroy_left_over(&self.shelf, generation)
    }

    /// The epoch whose key opens the newest generation. Waits for a running change.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shelf.writer().epoch.number
    }

    /// What was written since the gallery was opened. Waits for a running change.
    #[must_use]
    pub fn written(&self) -> Written {
        self.shelf.writer().written
    }

    /// Adds references of `subject`, to those it has. Returns the generation that holds them.
    ///
    /// # Errors
    /// [`GalleryError`]; nothing is then enrolled.
    pub fn enrol(
        &self,
        subject: SubjectId,
        templates: Vec<Template>,
        enrolment: Enrolment,
    ) -> Result<u64, GalleryError> {
        self.enrol_all(&[(subject, templates, enrolment)])
    }

    /// Adds many in one durable generation: all of them, or none.
    ///
    /// # Errors
    /// The first [`GalleryError`] found.
    pub fn enrol_all(&self, newcomers: &[Newcomer]) -> Result<u64, GalleryError> {
        self.enrol_batch(newcomers, &HashSet::new())
    }

    /// The same, with some of them restricted from the begin.
    pub(super) fn enrol_batch(
        &self,
        newcomers: &[Newcomer],
        restricted: &HashSet<SubjectId>,
    ) -> Result<u64, GalleryError> {
        let mut writer = self.shelf.writer();
        let newest = self.shelf.newest();
        let held = self.check(&newest, newcomers)?;
        let needed = newcomers.iter().map(|(_, templates, _)| templates.len() as u64).sum();
        let mut places = Places::new(&newest, needed, self.shelf.settings.rows_max);
        let mut plan = Plan::new(&self.shelf);
        for (subject, templates, enrolment) in newcomers {
            let flags = if restricted.contains(subject) { ROW_RESTRICTED } else { 0 };
            let flags = held[subject].flags | flags;
            for template in templates {
                let record = edit::record(*subject, enrolment, flags);
                plan.write(places.take()?, record, template);
            }
        }
        let new = held.values().filter(|held| held.before == 0).count() as u64;
        let subjects = newest.counts.subjects + new;
        drop(newest);
        let done = plan.carry_out(&self.shelf, &mut writer, Forget::Nothing, subjects)?;
        Ok(done.0.generation)
    }

    /// Puts `templates` in the place of every reference of `subject`. That is an erasure too: the
    /// old references cannot be recovered. A restriction stays.
    ///
    /// # Errors
    /// [`GalleryError`]; the old references then stay.
    pub fn replace(
        &self,
        subject: SubjectId,
        templates: Vec<Template>,
        enrolment: Enrolment,
    ) -> Result<Erasure, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        let (old, newest) = self.rows_of(subject)?;
        self.check_templates(subject, 0, &templates, &enrolment)?;
        let freed = old.len() as u64;
        self.check_room(&newest, (templates.len() as u64).saturating_sub(freed))?;
        let mut plan = Plan::new(&self.shelf);
        for &(row, _) in &old {
            plan.vacate(subject, row);
        }
        let record = edit::record(subject, &enrolment, old[0].1.flags & ROW_RESTRICTED);
        let more = (templates.len() as u64).saturating_sub(freed);
        let mut places = Places::new(&newest, more, self.shelf.settings.rows_max);
        for (at, template) in templates.iter().enumerate() {
            let row = match old.get(at) {
                Some(&(row, _)) => row,
                None => places.take()?,
            };
            plan.write(row, record, template);
        }
        let subjects = newest.counts.subjects;
        drop(newest);
        self.erased(&mut writer, plan, subjects, Vec::new())
    }

    /// Keeps `subject`, but leaves it out of every search and comparison, or lifts that again.
    /// Returns the generation in which it holds.
    ///
    /// # Errors
    /// [`GalleryError`]; nothing is then changed.
    pub fn restrict(&self, subject: SubjectId, restricted: bool) -> Result<u64, GalleryError> {
        self.amend(subject, |plan, row| plan.restrict(row, restricted))
    }

    /// Moves `subject` to another group (a flight), or to none with zero. Returns the generation in
    /// which it holds.
    ///
    /// # Errors
    /// [`GalleryError`]; nothing is then changed.
    pub fn regroup(&self, subject: SubjectId, group: u32) -> Result<u64, GalleryError> {
        self.amend(subject, |plan, row| plan.regroup(row, group))
    }

    /// Has every reference of `subject` end at `second`, where it would not before. Returns the
    /// generation in which it holds.
    ///
    /// # Errors
    /// [`GalleryError`]; nothing is then changed.
    pub fn end_by(&self, subject: SubjectId, second: i64) -> Result<u64, GalleryError> {
        self.amend(subject, |plan, row| plan.end_by(row, second))
    }

    fn amend(
        &self,
        subject: SubjectId,
        edit: impl Fn(&mut Plan<'_>, u64),
    ) -> Result<u64, GalleryError> {
        let mut writer = self.shelf.writer();
        let (rows, newest) = self.rows_of(subject)?;
        let subjects = newest.counts.subjects;
        drop(newest);
        let mut plan = Plan::new(&self.shelf);
        for (row, _) in rows {
            edit(&mut plan, row);
        }
        let done = plan.carry_out(&self.shelf, &mut writer, Forget::Nothing, subjects)?;
        Ok(done.0.generation)
    }

    /// What is kept about `subject`, beside its templates.
    ///
    /// # Errors
    /// [`GalleryError::UnknownSubject`], [`GalleryError::Tile`].
    pub fn records_of(&self, subject: SubjectId) -> Result<Vec<Record>, GalleryError> {
        let (rows, _) = self.rows_of(subject)?;
        Ok(rows.iter().map(|(row, held)| Record::of(*row, held)).collect())
    }

    /// The references of `subject` that are valid at `now_s`, for a 1:1 comparison, as they were
    /// enrolled: the gallery's transform is undone.
    ///
    /// # Errors
    /// [`GalleryError::UnknownSubject`], [`GalleryError::Restricted`], [`GalleryError::NotValid`],
    /// [`GalleryError::Tile`].
    pub fn templates_of(
        &self,
        subject: SubjectId,
        now_s: i64,
    ) -> Result<Vec<Template>, GalleryError> {
        let (rows, newest) = self.rows_of(subject)?;
        if rows.iter().any(|(_, record)| record.flags & ROW_RESTRICTED != 0) {
            return Err(GalleryError::Restricted { subject });
        }
        let mut templates = Vec::with_capacity(rows.len());
        for (row, record) in rows {
            if (record.not_before_s..record.expiry_s).contains(&now_s) {
                templates.push(self.template(&newest, row)?);
            }
        }
        if templates.is_empty() {
            return Err(GalleryError::NotValid { subject });
        }
        Ok(templates)
    }

    /// Every reference of `subject`, restricted ones and those outside their validity included;
    /// none of somebody who is not there.
    ///
    /// # Errors
    /// [`GalleryError::Tile`].
    pub fn references_of(&self, subject: SubjectId) -> Result<Vec<Template>, GalleryError> {
        let (rows, newest) = self.shelf.rows_of(subject)?;
        rows.into_iter().map(|(row, _)| self.template(&newest, row)).collect()
    }

    fn template(&self, newest: &Snapshot, row: u64) -> Result<Template, GalleryError> {
        let (tile, at) = newest.locate(row);
        let mut disguised = Zeroizing::new(vec![0; self.shelf.layout.dims]);
        newest.values(tile, at, &mut disguised)?;
        let mut values = vec![0; self.shelf.layout.dims].into_boxed_slice();
        newest.transform.undo(&disguised, &mut values);
        Ok(Template::new(values, self.shelf.kind)?)
    }

    /// The rows of `subject`, at least one.
    pub(super) fn rows_of(&self, subject: SubjectId) -> Result<Found, GalleryError> {
        let found = self.shelf.rows_of(subject)?;
        if found.0.is_empty() { Err(GalleryError::UnknownSubject { subject }) } else { Ok(found) }
    }

    /// Everything that can be wrong, before anything is touched; and what the gallery holds of each
    /// newcomer already.
    fn check(
        &self,
        newest: &Snapshot,
        newcomers: &[Newcomer],
    ) -> Result<HashMap<SubjectId, HeldBefore>, GalleryError> {
        let mut held: HashMap<SubjectId, HeldBefore> = HashMap::with_capacity(newcomers.len());
        let mut more = 0;
        for (subject, templates, enrolment) in newcomers {
            let known = match held.get_mut(subject) {
                Some(known) => known,
                None => {
                    let (rows, _) = self.shelf.rows_of(*subject)?;
                    let flags = rows.first().map_or(0, |(_, row)| row.flags & ROW_RESTRICTED);
                    let before = rows.len();
                    held.entry(*subject).or_insert(HeldBefore { before, count: before, flags })
                }
            };
            self.check_templates(*subject, known.count, templates, enrolment)?;
            known.count += templates.len();
            more += templates.len() as u64;
        }
        self.check_room(newest, more)?;
        Ok(held)
    }

    fn check_templates(
        &self,
        subject: SubjectId,
        held: usize,
        templates: &[Template],
        enrolment: &Enrolment,
    ) -> Result<(), GalleryError> {
        let (more, most) = (templates.len(), REFERENCES_PER_SUBJECT_MAX);
        if templates.is_empty() {
            return Err(GalleryError::NoTemplate);
        }
        enrolment.check()?;
        for template in templates {
            self.shelf.kind.accept(template.kind())?;
        }
        if held + more > most {
            return Err(GalleryError::References { subject, held, more, most });
        }
        Ok(())
    }

    fn check_room(&self, newest: &Snapshot, more: u64) -> Result<(), GalleryError> {
        let held = newest.counts.rows - newest.counts.vacant;
        let most = self.shelf.settings.rows_max;
        if held + more > most {
            return Err(GalleryError::Full { held, more, most });
        }
        Ok(())
    }

    /// Carries out a plan that takes rows away, and writes the receipt.
    pub(super) fn erased(
        &self,
        writer: &mut Writer,
        plan: Plan<'_>,
        subjects: u64,
        gone: Vec<SubjectId>,
    ) -> Result<Erasure, GalleryError> {
        let whose: Vec<SubjectId> = plan.taken().iter().map(|&(subject, _)| subject).collect();
        let rows = whose.len() as u64;
        let done = plan.carry_out(&self.shelf, writer, Forget::Before, subjects);
        self.erasure(writer, done, rows, [whose, gone])
    }

    /// The receipt of a change that took rows away, with the first generation that held one of
    /// them. Where the change is durable and the key is not destroyed, the receipt is kept until
    /// it is. `whose` rows they were, and who of them has none any more, in any order.
    pub(super) fn erasure(
        &self,
        writer: &mut Writer,
        done: Result<(Committed, u64), GalleryError>,
        rows: u64,
        mut whose: [Vec<SubjectId>; 2],
    ) -> Result<Erasure, GalleryError> {
        for subjects in &mut whose {
            subjects.sort_unstable();
            subjects.dedup();
        }
        let [subjects, gone] = whose;
        let receipt = |generation, epoch_destroyed| Receipt {
            subjects,
            gone,
            rows,
            generation,
            epoch_destroyed,
            custodian: self.shelf.means.custodian.describe().name,
            at_s: self.shelf.means.clock.civil_s(),
        };
        match done {
            Ok((done, since)) => {
                let receipt = receipt(done.generation, done.epoch_destroyed);
                Ok(self.held_by(since, receipt))
            }
            Err(error) => {
                // Only of this change: whoever erases has settled what was left of those before.
                if let GalleryError::NotDestroyed { epoch, generation, .. } = error {
                    writer.owed = Some(receipt(generation, epoch));
                }
                Err(error)
            }
        }
    }

    pub(super) fn held_by(&self, since: u64, receipt: Receipt) -> Erasure {
        Erasure { holders: Arc::clone(&self.shelf.holders), since, receipt }
    }

    /// Of `subjects`, who lose `taken`, those who have no other row.
    pub(super) fn gone(&self, taken: &[(SubjectId, u64)]) -> Result<Vec<SubjectId>, GalleryError> {
        let rows: HashSet<u64> = taken.iter().map(|&(_, row)| row).collect();
        let subjects: HashSet<SubjectId> = taken.iter().map(|&(subject, _)| subject).collect();
        let mut gone = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let (candidates, newest) = self.shelf.candidates(subject)?;
            let mut keeps = false;
            for row in candidates.into_iter().filter(|row| !rows.contains(row)) {
                let record = newest.record(row)?;
                keeps |= record.subject == *subject.as_bytes() && record.flags & ROW_VACANT == 0;
            }
            if !keeps {
                gone.push(subject);
            }
        }
        Ok(gone)
    }
}

/// What the gallery holds of a newcomer.
struct HeldBefore {
    /// References in the newest generation.
    before: usize,
    /// With those of this batch so far.
    count: usize,
    /// Whether what is added is restricted too.
    flags: u32,
}
