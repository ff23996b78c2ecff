//! What an open gallery shares with its snapshots, and the snapshots themselves.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use zeroize::Zeroizing;

use super::{
    GalleryError, Means, Residency, Settings,
    handover::Handover,
    holders::{Held, Holders},
    index::Index,
    space::Space,
    tree::{Reader, Tile},
    writer::Writer,
};
use crate::{
    keys::{KeyArena, custodian::Claim},
    limits::REFERENCES_PER_SUBJECT_MAX,
    ops::{
        residence::Residence,
        tile::{ROW_VACANT, Row, TileError, TileLayout, TilePart, TileSet, TileSource},
        transform::SignedPermutation,
    },
    types::{SubjectId, TemplateKind},
};

/// Origins are numbers of this process: a backend that serves many galleries tells them apart.
static NEXT_ORIGIN: AtomicU64 = AtomicU64::new(1);

/// How many rows there are, of which kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) vacant: u64,
    pub(super) subjects: u64,
}

/// One open gallery.
///
/// `writer` is held through a whole change, disk included, and taken before any other lock. Readers
/// do not take it, and the writer takes theirs (those of the handover) only to swap pointers:
/// nobody who reads waits for a disk.
pub(super) struct Shelf {
    pub(super) file: [u8; 16],
    pub(super) kind: TemplateKind,
    pub(super) layout: TileLayout,
    pub(super) settings: Settings,
    pub(super) means: Means,
    pub(super) space: Arc<Space>,
    pub(super) arena: KeyArena,
    pub(super) holders: Arc<Holders>,
    pub(super) origin: u64,
    pub(super) writer: Mutex<Writer>,
    /// The newest generation, and its subjects by row.
    handover: Handover<Published, Index>,
    /// What failed where it cannot be told what the medium holds: nothing more is written.
    pub(super) unknown: OnceLock<(&'static str, String)>,
    /// Nobody else has this gallery open, nor a copy of it.
    _claim: Claim,
}

/// What a shelf is made of.
pub(super) struct Parts {
    pub(super) file: [u8; 16],
    pub(super) kind: TemplateKind,
    pub(super) layout: TileLayout,
    pub(super) settings: Settings,
    pub(super) means: Means,
    pub(super) space: Arc<Space>,
    pub(super) arena: KeyArena,
    pub(super) claim: Claim,
    pub(super) writer: Writer,
    pub(super) first: Contents,
}

/// What one generation holds.
pub(super) struct Contents {
    pub(super) generation: u64,
    pub(super) tiles: Vec<Arc<Tile>>,
    pub(super) counts: Counts,
    pub(super) transform: Arc<SignedPermutation>,
    pub(super) reader: Reader,
}

impl Shelf {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { file, kind, layout, settings, means, space, arena, claim, writer, first } =
            parts;
        let holders = Arc::new(Holders::default());
        let origin = NEXT_ORIGIN.fetch_add(1, Ordering::Relaxed);
        Arc::new_cyclic(|shelf| {
            let stand = (kind, layout, origin);
            let first = Snapshot::new(stand, first, &holders, Weak::clone(shelf));
            let first = Published::new(first, settings.residency);
            Self {
                file,
                kind,
                layout,
                settings,
                means,
                space,
                arena,
                holders,
                origin,
                writer: Mutex::new(writer),
                handover: Handover::of(first),
                unknown: OnceLock::new(),
                _claim: claim,
            }
        })
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published().snapshot)
    }

    /// The newest generation as searches hold it.
    pub(super) fn published(&self) -> Arc<Published> {
        self.handover.newest()
    }

    /// Why nothing more is written to it, where that is so.
    pub(super) fn unknown(&self) -> Option<GalleryError> {
        let &(what, ref why) = self.unknown.get()?;
        Some(GalleryError::Unknown { what, why: why.clone() })
    }

    pub(super) fn is_locked(&self) -> bool {
        self.settings.residency == Residency::Locked
    }

    /// Hands over what a commit made durable; `update` brings the index along in the same step.
    pub(super) fn publish(self: &Arc<Self>, contents: Contents, update: IndexUpdate) {
        let stand = (self.kind, self.layout, self.origin);
        let next = Snapshot::new(stand, contents, &self.holders, Arc::downgrade(self));
        let next = Published::new(next, self.settings.residency);
        next.follow(&self.published()); // while what both share is there
        self.handover.publish(next, |index| update.apply(index));
    }

    /// The rows that may be `subject`'s, and the generation in which they are; makes the index
    /// first, if nobody has asked before.
    pub(super) fn candidates(
        &self,
        subject: SubjectId,
    ) -> Result<(Vec<u64>, Arc<Snapshot>), TileError> {
        let (rows, published) = self
            .handover
            .with_index(|newest| newest.snapshot.index(), |index| index.candidates(subject))?;
        Ok((rows, Arc::clone(&published.snapshot)))
    }

    /// The rows of `subject` in the newest generation, in row order.
    pub(super) fn rows_of(&self, subject: SubjectId) -> Result<Found, TileError> {
        let (candidates, newest) = self.candidates(subject)?;
        let mut rows = Vec::new();
        for row in candidates {
            let record = newest.record(row)?;
            if record.subject == *subject.as_bytes() && record.flags & ROW_VACANT == 0 {
                rows.push((row, record));
            }
        }
        rows.sort_unstable_by_key(|&(row, _)| row);
        debug_assert!(rows.len() <= REFERENCES_PER_SUBJECT_MAX, "{} references", rows.len());
        Ok((rows, newest))
    }
}

/// Rows with their numbers, and the generation in which they are.
pub(super) type Found = (Vec<(u64, Row)>, Arc<Snapshot>);

/// How a change brings the index along.
pub(super) enum IndexUpdate {
    /// These rows were given to subjects, and these taken from them before.
    Rows { taken: Vec<(SubjectId, u64)>, given: Vec<(SubjectId, u64)> },
    /// Every row may have moved; the next who asks makes a new one.
    Anew,
}

impl IndexUpdate {
    pub(super) const NONE: Self = Self::Rows { taken: Vec::new(), given: Vec::new() };

    fn apply(self, index: &mut Option<Index>) {
        match (self, index) {
            (Self::Rows { taken, given }, Some(index)) => {
                for (subject, row) in taken {
                    index.remove(subject.as_bytes(), row);
                }
                for (subject, row) in given {
                    index.insert(subject.as_bytes(), row);
                }
            }
            (Self::Rows { .. }, None) => {}
            (Self::Anew, index) => *index = None,
        }
    }
}

/// One generation. Holding it keeps its tiles; the last holder zeroes what no other shares.
pub(super) struct Snapshot {
    pub(super) set: TileSet,
    pub(super) tiles: Held<Vec<Arc<Tile>>>,
    pub(super) counts: Counts,
    pub(super) transform: Arc<SignedPermutation>,
    pub(super) reader: Reader,
    origin: u64,
    shelf: Weak<Shelf>,
}

impl Snapshot {
    fn new(
        (kind, layout, origin): (TemplateKind, TileLayout, u64),
        contents: Contents,
        holders: &Arc<Holders>,
        shelf: Weak<Shelf>,
    ) -> Self {
        let Contents { generation, tiles, counts, transform, reader } = contents;
        let names = tiles.iter().map(|tile| tile.name()).collect();
        let set = TileSet { generation, kind, layout, tiles: names };
        let tiles = holders.hold(generation, tiles);
        Self { set, tiles, counts, transform, reader, origin, shelf }
    }

    /// Tile and place in it of a row.
    pub(super) fn locate(&self, row: u64) -> (usize, usize) {
        let rows = self.set.layout.rows as u64;
        ((row / rows) as usize, (row % rows) as usize)
    }

    /// The record of a row; opens the row table of its tile.
    pub(super) fn record(&self, row: u64) -> Result<Row, TileError> {
        let (tile, at) = self.locate(row);
        let mut table = Vec::new();
        self.table(tile, &mut table)?;
        Ok(table[at])
    }

    /// The values of a row, hot then cold, as they are stored.
    pub(super) fn values(
        &self,
        tile: usize,
        at: usize,
        values: &mut [i8],
    ) -> Result<(), TileError> {
        let (hot, cold) = values.split_at_mut(self.set.layout.hot_dims);
        for (part, values) in [(TilePart::Hot, hot), (TilePart::Cold, cold)] {
            let bytes = self.set.layout.part_bytes(part, self.tiles[tile].rows);
            let mut plain = Zeroizing::new(vec![0_u8; bytes]);
            self.open(tile, part, &mut plain)?;
            values
                .copy_from_slice(bytemuck::cast_slice(&plain[at * values.len()..][..values.len()]));
        }
        Ok(())
    }

    /// The row table of a tile, into `rows`.
    pub(super) fn table(&self, tile: usize, rows: &mut Vec<Row>) -> Result<(), TileError> {
        rows.clear();
        rows.resize(self.tiles[tile].rows, bytemuck::Zeroable::zeroed());
        self.open(tile, TilePart::Rows, bytemuck::cast_slice_mut(rows))
    }

    /// An index of its rows.
    fn index(&self) -> Result<Index, TileError> {
        let mut index = Index::with_room(self.counts.rows as usize);
        let mut rows = Vec::with_capacity(self.set.layout.rows);
        for tile in 0..self.tiles.len() {
            self.table(tile, &mut rows)?;
            let first = tile as u64 * self.set.layout.rows as u64;
            for (row, record) in (first..).zip(&rows) {
                if record.flags & ROW_VACANT == 0 {
                    index.insert(&record.subject, row);
                }
            }
        }
        Ok(index)
    }
}

impl TileSource for Snapshot {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let (generation, tiles) = (self.set.generation, self.tiles.len());
        let held = self.tiles.get(tile).ok_or(TileError::Absent { tile, generation, tiles })?;
        self.reader.tile_part(self.set.layout, tile, part, held, scratch)
    }

    fn newer(&self) -> Option<Arc<dyn TileSource>> {
        let newest = self.shelf.upgrade()?.published();
        let is_newer = newest.set().generation > self.set.generation;
        is_newer.then_some(newest as Arc<dyn TileSource>)
    }

    fn resident(&self, tile: usize, part: TilePart) -> Option<&[u8]> {
        self.tiles.get(tile)?.part(part).plain.as_deref()
    }

    fn transform(&self) -> Option<&SignedPermutation> {
        Some(&self.transform)
    }

    fn origin(&self) -> u64 {
        self.origin
    }
}

/// A generation as it is handed out: with the place for what an engine keeps of it, where plaintext
/// may lie in memory.
pub(super) struct Published {
    // Dropped in this order: what is kept goes before the generation is released.
    residence: Option<Residence>,
    snapshot: Arc<Snapshot>,
}

impl Published {
    fn new(snapshot: Snapshot, residency: Residency) -> Self {
        let snapshot = Arc::new(snapshot);
        let residence = match residency {
            Residency::Locked => Some(Residence::beside(Arc::<Snapshot>::clone(&snapshot))),
            Residency::Sealed => None,
        };
        Self { residence, snapshot }
    }

    /// Has the engine that keeps something of `before` keep the same of this one.
    fn follow(&self, before: &Self) {
        if let (Some(own), Some(before)) = (&self.residence, &before.residence) {
            own.follow(before);
        }
    }
}

impl TileSource for Published {
    fn set(&self) -> &TileSet {
        self.snapshot.set()
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.snapshot.open(tile, part, scratch)
    }

    fn newer(&self) -> Option<Arc<dyn TileSource>> {
        self.snapshot.newer()
    }

    fn resident(&self, tile: usize, part: TilePart) -> Option<&[u8]> {
        self.snapshot.resident(tile, part)
    }

    fn residence(&self) -> Option<&Residence> {
        self.residence.as_ref()
    }

    fn transform(&self) -> Option<&SignedPermutation> {
        self.snapshot.transform()
    }

    fn origin(&self) -> u64 {
        self.snapshot.origin()
    }
}
