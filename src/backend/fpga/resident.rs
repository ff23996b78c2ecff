//! Sets in a card's memory: one region per tile, shared between generations that have it equal,
//! zeroed on the card when its last holder lets go.
//!
//! Why subjects stay on the host: the card compares, it need not know whom. A region's memory is
//! given back only after the card took the zeros; a card that did not is lost, and the reason says
//! that its memory may still hold templates.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytemuck::{Zeroable, cast_slice, cast_slice_mut};
use zeroize::{Zeroize, Zeroizing};

use super::{
    driver::{Driver, MemoryTile},
    packet::{Masks, Shape},
    plan::Plan,
};
use crate::{
    backend::{BackendError, Pinned, Plaintext},
    ops::{
        search::Probe,
        tile::{Row, TileError, TilePart, TileSet, TileSource},
    },
};

/// The driver, for whoever waits for it.
pub(super) type Shared = Arc<Mutex<Driver>>;

/// The driver alone. A thread that panicked with it may have left a packet half streamed: the card
/// is lost then.
pub(super) fn alone(shared: &Shared) -> MutexGuard<'_, Driver> {
    shared.lock().unwrap_or_else(|poisoned| {
        let mut driver = PoisonError::into_inner(poisoned);
        driver.lose("a search panicked and left it in the middle of a packet".to_owned());
        driver
    })
}

/// One tile in the card's memory.
pub(super) struct Region {
    shared: Shared,
    place: Range<u32>,
    plan: Plan,
    subjects: Zeroizing<Vec<[u8; 16]>>,
}

impl Region {
    /// Whose row this is.
    pub(super) fn subject(&self, row: usize) -> [u8; 16] {
        self.subjects[row]
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let mut driver = alone(&self.shared);
        let place = self.place.clone();
        let Ok(card) = driver.card() else { return };
        match card.erase(place.clone()) {
            Ok(()) => driver.room.give(place),
            Err(error) => {
                let why = format!("its memory may still hold templates: {error}");
                let _ = driver.lose(why);
            }
        }
    }
}

/// A generation in the card's memory.
pub(super) struct InMemory {
    set: TileSet,
    regions: Vec<Arc<Region>>,
}

impl InMemory {
    /// Its tiles as a search streams them.
    pub(super) fn tiles(&self, probes: &[Probe<'_>]) -> Vec<MemoryTile> {
        let tiles = self.set.tiles.iter().zip(&self.regions).enumerate();
        tiles
            .map(|(number, (tile, region))| MemoryTile {
                at: region.place.start,
                plan: region.plan,
                masks: Masks::of(probes, &tile.common),
                first: (number * self.set.layout.rows) as u32,
            })
            .collect()
    }

    /// Whose row this is.
    pub(super) fn subject(&self, row: u32) -> [u8; 16] {
        let rows = self.set.layout.rows;
        self.regions[row as usize / rows].subject(row as usize % rows)
    }
}

/// A pinned set.
pub(super) struct Resident {
    /// What was pinned: requests beyond the card's sizes are searched by another engine from here.
    pub(super) source: Arc<dyn TileSource>,
    pub(super) held: Held,
    /// Whose memory the card's is; that of the twin is this process's.
    pub(super) plaintext: Plaintext,
}

/// Where a pinned set is.
pub(super) enum Held {
    /// In the card's memory.
    Memory(InMemory),
    /// With the other engine: the card has no room for it, or not for rows as long.
    Elsewhere(Arc<dyn Pinned>),
}

impl Pinned for Resident {
    fn generation(&self) -> u64 {
        self.source.set().generation
    }

    fn is_locked(&self) -> bool {
        match &self.held {
            // With a card, templates are not in the host's memory at all: only opaque subjects are.
            Held::Memory(_) => self.plaintext == Plaintext::Device,
            Held::Elsewhere(set) => set.is_locked(),
        }
    }
}

/// Regions that some set holds, by gallery and content.
#[derive(Default)]
pub(super) struct Shelf(Mutex<HashMap<(u64, u64), Weak<Region>>>);

impl Shelf {
    /// Puts a generation into the card's memory; `None` when there is no room for all of it.
    pub(super) fn pin(
        &self,
        shared: &Shared,
        source: &dyn TileSource,
    ) -> Result<Option<InMemory>, BackendError> {
        let (set, origin) = (source.set().clone(), source.origin());
        let mut regions = Vec::with_capacity(set.tiles.len());
        let mut parts = Parts::default();
        for (number, tile) in set.tiles.iter().enumerate() {
            let key = (origin, tile.content);
            let shared_before = self.held().get(&key).and_then(Weak::upgrade);
            let equal =
                shared_before.filter(|region| origin != 0 && region.subjects.len() == tile.rows);
            let region = match equal {
                Some(region) => region,
                None => match parts.store(shared, source, number)? {
                    Some(region) => Arc::new(region),
                    None => return Ok(None),
                },
            };
            if origin != 0 {
                self.held().insert(key, Arc::downgrade(&region));
            }
            regions.push(region);
        }
        self.held().retain(|_, region| region.strong_count() > 0);
        Ok(Some(InMemory { set, regions }))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<(u64, u64), Weak<Region>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The opened parts of one tile on their way to the card.
#[derive(Default)]
struct Parts {
    hot: Zeroizing<Vec<u8>>,
    cold: Zeroizing<Vec<u8>>,
    rows: Vec<Row>,
}

impl Parts {
    /// Opens tile `number` and stores it; `None` when there is no room.
    fn store(
        &mut self,
        shared: &Shared,
        source: &dyn TileSource,
        number: usize,
    ) -> Result<Option<Region>, BackendError> {
        let set = source.set();
        let rows = set.tiles[number].rows;
        let taken = {
            let mut driver = alone(shared);
            driver.card()?;
            let packet_rows = driver.sizes.tile_rows;
            let plan = Plan { shape: Shape::of(set.layout), rows, packet_rows };
            driver.room.take(plan.beats()).map(|place| (plan, place))
        };
        let Some((plan, place)) = taken else { return Ok(None) };
        // From here on the region gives its place back, zeroed, whatever happens.
        let shared = Arc::clone(shared);
        let mut region = Region { shared, place, plan, subjects: Zeroizing::default() };
        self.open(source, number)?;
        let mut beats = Zeroizing::new(Vec::with_capacity(plan.beats() as usize));
        let hot = set.layout.split_hot(&self.hot, rows);
        plan.push(hot, cast_slice::<u8, i8>(&self.cold), &self.rows, &mut beats);
        region.subjects.extend(self.rows.iter().map(|row| row.subject));
        self.wipe();
        let stored = {
            let mut driver = alone(&region.shared);
            let stored = driver.card()?.store(region.place.start, &beats);
            stored.map_err(|error| driver.lose(error.to_string()))
        };
        stored.map(|()| Some(region))
    }

    fn open(&mut self, source: &dyn TileSource, number: usize) -> Result<(), TileError> {
        let set = source.set();
        let rows = set.tiles[number].rows;
        self.hot.resize(set.layout.part_bytes(TilePart::Hot, rows), 0);
        self.cold.resize(set.layout.part_bytes(TilePart::Cold, rows), 0);
        self.rows.resize(rows, Row::zeroed());
        source.open(number, TilePart::Hot, &mut self.hot)?;
        source.open(number, TilePart::Cold, &mut self.cold)?;
        source.open(number, TilePart::Rows, cast_slice_mut(&mut self.rows))
    }

    fn wipe(&mut self) {
        self.hot.zeroize();
        self.cold.zeroize();
        cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.rows.clear();
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.wipe();
    }
}
