//! The gallery in memory: one writer at a time, readers never wait for it.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

use super::{
    Enrolment, Erasure, GalleryError, Stats,
    holders::Holders,
    planes::{Draft, Tile},
};
use crate::{
    limits::{GALLERY_ROWS_MAX, REFERENCES_PER_SUBJECT_MAX},
    ops::tile::{ROW_RESTRICTED, Row, TileError, TileLayout, TilePart, TileSet, TileSource},
    types::{SubjectId, Template, TemplateKind},
};

/// One subject with its references and what is kept about them.
pub type Newcomer = (SubjectId, Vec<Template>, Enrolment);

/// An enrolled subject.
struct Entry {
    rows: Vec<u64>,
    /// First generation that held one of them.
    since: u64,
    restricted: bool,
}

/// What only the writer needs.
#[derive(Default)]
struct Ledger {
    subjects: HashMap<SubjectId, Entry>,
    vacant: BTreeSet<u64>,
    next_content: u64,
}

struct Shelf {
    kind: TemplateKind,
    layout: TileLayout,
    rows_max: u64,
    ledger: Mutex<Ledger>,
    newest: RwLock<Arc<Snapshot>>,
    holders: Arc<Holders>,
}

impl Shelf {
    fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One generation. Holding it keeps its tiles; the last holder zeroes what no other shares.
struct Snapshot {
    set: TileSet,
    tiles: Vec<Arc<Tile>>,
    holders: Arc<Holders>,
    shelf: Weak<Shelf>,
}

impl Snapshot {
    fn new(set: TileSet, tiles: Vec<Arc<Tile>>, holders: Arc<Holders>, shelf: Weak<Shelf>) -> Self {
        holders.hold(set.generation);
        Self { set, tiles, holders, shelf }
    }

    fn row(&self, row: u64) -> (&Tile, usize) {
        let rows = self.set.layout.rows as u64;
        (&self.tiles[(row / rows) as usize], (row % rows) as usize)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        drop(mem::take(&mut self.tiles)); // zeroed before anybody is told
        self.holders.release(self.set.generation);
    }
}

impl TileSource for Snapshot {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let (generation, tiles) = (self.set.generation, self.tiles.len());
        let held = self.tiles.get(tile).ok_or(TileError::Absent { tile, generation, tiles })?;
        let needed = self.set.layout.part_bytes(part, held.rows().len());
        if scratch.len() != needed {
            return Err(TileError::Scratch { tile, part, needed, held: scratch.len() });
        }
        held.read(part, scratch);
        Ok(())
    }

    fn newer(&self) -> Option<Arc<dyn TileSource>> {
        let newest = self.shelf.upgrade()?.newest();
        (newest.set.generation > self.set.generation).then_some(newest as Arc<dyn TileSource>)
    }
}

/// Who is enrolled, searchable by the next scan.
pub struct Gallery {
    shelf: Arc<Shelf>,
}

impl Gallery {
    /// An empty gallery at generation zero.
    ///
    /// # Panics
    /// When `layout` is not one of `kind`: a mistake of the calibration's author.
    #[must_use]
    pub fn new(kind: TemplateKind, layout: TileLayout) -> Self {
        Self::bounded(kind, layout, GALLERY_ROWS_MAX)
    }

    /// The same with room for `rows_max` references.
    ///
    /// # Panics
    /// As [`Gallery::new`].
    #[must_use]
    pub fn bounded(kind: TemplateKind, layout: TileLayout, rows_max: u64) -> Self {
        assert_eq!(layout.dims, usize::from(kind.dims), "a layout of this kind");
        assert!(
            layout.hot_dims <= layout.dims && layout.rows > 0,
            "a layout with rows: {layout:?}"
        );
        let holders = Arc::new(Holders::default());
        let shelf = Arc::new_cyclic(|shelf| {
            let set = TileSet { generation: 0, kind, layout, tiles: Arc::new([]) };
            let first = Snapshot::new(set, Vec::new(), Arc::clone(&holders), Weak::clone(shelf));
            Shelf {
                kind,
                layout,
                rows_max,
                ledger: Mutex::default(),
                newest: RwLock::new(Arc::new(first)),
                holders,
            }
        });
        Self { shelf }
    }

    /// Model and calibration of every reference.
    #[must_use]
    pub fn kind(&self) -> &TemplateKind {
        &self.shelf.kind
    }

    /// The newest generation; it never changes, and searches may hold it.
    #[must_use]
    pub fn source(&self) -> Arc<dyn TileSource> {
        self.shelf.newest()
    }

    /// How much the newest generation holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let ledger = self.ledger();
        let newest = self.shelf.newest();
        Stats {
            generation: newest.set.generation,
            rows: newest.set.rows(),
            vacant: ledger.vacant.len() as u64,
            subjects: ledger.subjects.len() as u64,
        }
    }

    /// Adds references of `subject`, to those it has. Returns the generation that holds them.
    ///
    /// # Errors
    /// [`GalleryError`]; nothing is then enrolled, and the templates are wiped.
    pub fn enrol(
        &self,
        subject: SubjectId,
        templates: Vec<Template>,
        enrolment: Enrolment,
    ) -> Result<u64, GalleryError> {
        self.enrol_all(&[(subject, templates, enrolment)])
    }

    /// Adds many in one generation: all of them, or none.
    ///
    /// # Errors
    /// The first [`GalleryError`] found.
    pub fn enrol_all(&self, newcomers: &[Newcomer]) -> Result<u64, GalleryError> {
        let mut ledger = self.ledger();
        self.check(&ledger, newcomers)?;
        let newest = self.shelf.newest();
        let mut draft = Draft::of(self.shelf.layout, &newest.tiles, ledger.next_content);
        let generation = newest.set.generation + 1;
        let mut end = draft.rows();
        for (subject, templates, enrolment) in newcomers {
            let ledger = &mut *ledger;
            let entry = ledger.subjects.entry(*subject).or_insert_with(|| Entry {
                rows: Vec::with_capacity(templates.len()),
                since: generation,
                restricted: false,
            });
            for template in templates {
                let row = ledger.vacant.pop_first().unwrap_or_else(|| {
                    end += 1;
                    end - 1
                });
                let flags = if entry.restricted { ROW_RESTRICTED } else { 0 };
                draft.write(row, template, record(*subject, enrolment, flags));
                entry.rows.push(row);
            }
        }
        Ok(self.publish(&mut ledger, draft))
    }

    /// Removes `subject`; its rows are vacated and their planes zeroed.
    ///
    /// # Errors
    /// [`GalleryError::UnknownSubject`].
    pub fn erase(&self, subject: SubjectId) -> Result<Erasure, GalleryError> {
        let mut ledger = self.ledger();
        let entry =
            ledger.subjects.remove(&subject).ok_or(GalleryError::UnknownSubject { subject })?;
        Ok(self.vacate(&mut ledger, &entry.rows, entry.since))
    }

    /// Removes everybody.
    pub fn erase_all(&self) -> Erasure {
        let mut ledger = self.ledger();
        let rows: Vec<u64> =
            mem::take(&mut ledger.subjects).into_values().flat_map(|entry| entry.rows).collect();
        self.vacate(&mut ledger, &rows, 0)
    }

    /// Removes every reference whose validity has ended at `now_s`, and subjects without any other.
    /// `None` when there is none.
    pub fn erase_expired(&self, now_s: i64) -> Option<Erasure> {
        let mut ledger = self.ledger();
        let newest = self.shelf.newest();
        let is_expired = |row: &u64| {
            let (tile, at) = newest.row(*row);
            tile.row(at).expiry_s <= now_s
        };
        let (mut rows, mut since) = (Vec::new(), u64::MAX);
        ledger.subjects.retain(|_, entry| {
            let (gone, kept): (Vec<u64>, Vec<u64>) =
                entry.rows.iter().partition(|row| is_expired(row));
            if !gone.is_empty() {
                since = since.min(entry.since);
            }
            rows.extend(gone);
            entry.rows = kept;
            !entry.rows.is_empty()
        });
        drop(newest); // it is one of the older generations now
        (!rows.is_empty()).then(|| self.vacate(&mut ledger, &rows, since))
    }

    /// Keeps `subject`, but leaves it out of every search and comparison, or lifts that again.
    /// Returns the generation in which it holds.
    ///
    /// # Errors
    /// [`GalleryError::UnknownSubject`].
    pub fn restrict(&self, subject: SubjectId, restricted: bool) -> Result<u64, GalleryError> {
        let mut ledger = self.ledger();
        let newest = self.shelf.newest();
        let mut draft = Draft::of(self.shelf.layout, &newest.tiles, ledger.next_content);
        let unknown = GalleryError::UnknownSubject { subject };
        let entry = ledger.subjects.get_mut(&subject).ok_or(unknown)?;
        entry.restricted = restricted;
        for &row in &entry.rows {
            draft.flag(row, if restricted { ROW_RESTRICTED } else { 0 });
        }
        Ok(self.publish(&mut ledger, draft))
    }

    /// The references of `subject` that are valid at `now_s`, for a 1:1 comparison.
    ///
    /// # Errors
    /// [`GalleryError::UnknownSubject`], [`GalleryError::Restricted`], [`GalleryError::NotValid`].
    pub fn templates_of(
        &self,
        subject: SubjectId,
        now_s: i64,
    ) -> Result<Vec<Template>, GalleryError> {
        let ledger = self.ledger();
        let entry =
            ledger.subjects.get(&subject).ok_or(GalleryError::UnknownSubject { subject })?;
        if entry.restricted {
            return Err(GalleryError::Restricted { subject });
        }
        let newest = self.shelf.newest();
        let mut templates = Vec::with_capacity(entry.rows.len());
        for &row in &entry.rows {
            let (tile, at) = newest.row(row);
            let record = tile.row(at);
            if (record.not_before_s..record.expiry_s).contains(&now_s) {
                templates.push(Template::new(tile.values(at), self.shelf.kind)?);
            }
        }
        if templates.is_empty() {
            return Err(GalleryError::NotValid { subject });
        }
        Ok(templates)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shelf.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that can be wrong, before anything is touched.
    fn check(&self, ledger: &Ledger, newcomers: &[Newcomer]) -> Result<(), GalleryError> {
        let most = REFERENCES_PER_SUBJECT_MAX;
        let mut more = 0;
        let mut added: HashMap<SubjectId, usize> = HashMap::with_capacity(newcomers.len());
        for (subject, templates, enrolment) in newcomers {
            check_enrolment(templates, enrolment)?;
            for template in templates {
                self.shelf.kind.accept(template.kind())?;
            }
            let before = added.entry(*subject).or_default();
            let held = ledger.subjects.get(subject).map_or(0, |entry| entry.rows.len()) + *before;
            if held + templates.len() > most {
                let (subject, more) = (*subject, templates.len());
                return Err(GalleryError::References { subject, held, more, most });
            }
            *before += templates.len();
            more += templates.len() as u64;
        }
        let held = self.shelf.newest().set.rows() - ledger.vacant.len() as u64;
        if held + more > self.shelf.rows_max {
            return Err(GalleryError::Full { held, more, most: self.shelf.rows_max });
        }
        Ok(())
    }

    fn vacate(&self, ledger: &mut Ledger, rows: &[u64], since: u64) -> Erasure {
        let newest = self.shelf.newest();
        let mut draft = Draft::of(self.shelf.layout, &newest.tiles, ledger.next_content);
        drop(newest);
        for &row in rows {
            draft.vacate(row);
            ledger.vacant.insert(row);
        }
        let generation = self.publish(ledger, draft);
        let holders = Arc::clone(&self.shelf.holders);
        Erasure { holders, since, generation, rows: rows.len() as u64 }
    }

    fn publish(&self, ledger: &mut Ledger, draft: Draft) -> u64 {
        let (tiles, next_content) = draft.finish();
        ledger.next_content = next_content;
        let mut newest = self.shelf.newest.write().unwrap_or_else(PoisonError::into_inner);
        let generation = newest.set.generation + 1;
        let set = TileSet {
            generation,
            kind: self.shelf.kind,
            layout: self.shelf.layout,
            tiles: tiles.iter().map(|tile| tile.name()).collect(),
        };
        let (holders, shelf) = (Arc::clone(&self.shelf.holders), Arc::downgrade(&self.shelf));
        let next = Arc::new(Snapshot::new(set, tiles, holders, shelf));
        let older = mem::replace(&mut *newest, next);
        drop(newest);
        drop(older); // zeroes what only it held, outside the lock
        generation
    }
}

fn check_enrolment(templates: &[Template], enrolment: &Enrolment) -> Result<(), GalleryError> {
    let Enrolment { class_bits, not_before_s, expiry_s, .. } = *enrolment;
    if templates.is_empty() {
        return Err(GalleryError::NoTemplate);
    }
    if class_bits == 0 {
        return Err(GalleryError::NoClass);
    }
    if not_before_s >= expiry_s {
        return Err(GalleryError::Validity { not_before_s, expiry_s });
    }
    Ok(())
}

fn record(subject: SubjectId, enrolment: &Enrolment, flags: u32) -> Row {
    Row {
        subject: *subject.as_bytes(),
        class_bits: enrolment.class_bits,
        not_before_s: enrolment.not_before_s,
        expiry_s: enrolment.expiry_s,
        group: enrolment.group,
        flags,
    }
}
