//! Resident sets: pieces in slots of the device, shared by all generations that hold an equal tile.
//!
//! Invariant: a slot is zeroed when the last set that holds its tile lets go, before `drop`
//! returns. On the host only subjects stay, which are opaque numbers, to name what was found.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use super::{
    load::{Loader, Wanted, window_tiles},
    pack::SlotShape,
    slab::{Slab, Slot},
};
use crate::{
    backend::{
        BackendError, Pinned,
        wgpu::device::{Gpu, locked},
    },
    ops::tile::{Row, TilePart, TileSet, TileSource},
};

/// A generation on the device.
pub(super) struct Pin {
    pub(super) set: TileSet,
    pub(super) tiles: Vec<Arc<PinnedTile>>,
    shelf: Arc<Shelf>,
}

/// One tile on the device.
pub(super) struct PinnedTile {
    /// One per piece.
    pub(super) slots: Vec<Slot>,
    /// Whose rows they are.
    pub(super) subjects: Vec<[u8; 16]>,
}

impl Pinned for Pin {
    fn generation(&self) -> u64 {
        self.set.generation
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.tiles.clear();
        let gpu = Arc::clone(&self.shelf.gpu);
        // A lost device has no memory left to be wiped.
        let _ = gpu.guard(|| self.shelf.sweep());
    }
}

/// All slabs of one backend, and the tiles that lie in them.
pub(super) struct Shelf {
    gpu: Arc<Gpu>,
    slabs: Mutex<Vec<Arc<Slab>>>,
    /// By gallery and content.
    tiles: Mutex<HashMap<(u64, u64), Weak<PinnedTile>>>,
}

impl Shelf {
    /// Empty.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), slabs: Mutex::default(), tiles: Mutex::default() }
    }

    /// Brings a generation to the device.
    pub(super) fn pin(
        self: &Arc<Self>,
        source: &dyn TileSource,
        loader: &mut Loader,
    ) -> Result<Pin, BackendError> {
        let (set, origin) = (source.set().clone(), source.origin());
        let shape = SlotShape::of(set.layout, self.gpu.tight);
        // From here on dropping the pin sweeps what a failure leaves behind.
        let tiles = Vec::with_capacity(set.tiles.len());
        let mut pin = Pin { set, tiles, shelf: Arc::clone(self) };
        let window = window_tiles(shape, shape.stretches(pin.set.layout.rows).count());
        let many = pin.set.tiles.len();
        let mut left = many * shape.stretches(pin.set.layout.rows).count();
        for first in (0..many).step_by(window) {
            let mut fresh = Vec::new();
            for tile in first..many.min(first + window) {
                let held = pin.set.tiles[tile];
                let key = (origin, held.content);
                let shared = locked(&self.tiles).get(&key).and_then(Weak::upgrade);
                let same = |tile: &Arc<PinnedTile>| origin != 0 && tile.subjects.len() == held.rows;
                let made = match shared.filter(same) {
                    Some(made) => made,
                    None => {
                        let slots = shape.stretches(held.rows).map(|_| self.slot(shape, left));
                        let slots = slots.collect();
                        let subjects = subjects(source, tile, held.rows)?;
                        fresh.push(tile);
                        Arc::new(PinnedTile { slots, subjects })
                    }
                };
                left -= made.slots.len().min(left);
                pin.tiles.push(made);
            }
            self.carry(source, &pin, &fresh, loader)?;
            if origin != 0 {
                let mut known = locked(&self.tiles);
                for &tile in &fresh {
                    let key = (origin, pin.set.tiles[tile].content);
                    known.insert(key, Arc::downgrade(&pin.tiles[tile]));
                }
            }
        }
        locked(&self.tiles).retain(|_, tile| tile.strong_count() > 0);
        Ok(pin)
    }

    /// Loads the tiles of one window that are not there yet.
    fn carry(
        &self,
        source: &dyn TileSource,
        pin: &Pin,
        fresh: &[usize],
        loader: &mut Loader,
    ) -> Result<(), BackendError> {
        let wanted = |&tile: &usize| {
            let slots = pin.tiles[tile].slots.iter();
            let slots = slots.map(|slot| (slot.slab.as_ref(), slot.number)).collect();
            Wanted { tile, facts: true, slots }
        };
        let wanted: Vec<_> = fresh.iter().map(wanted).collect();
        let mut encoder = self.gpu.encoder();
        loader.load(&mut encoder, source, &wanted)?;
        let submission = self.gpu.submit(encoder);
        loader.submitted(&submission);
        Ok(())
    }

    /// A free slot; a new slab has room for `more` of them.
    fn slot(&self, shape: SlotShape, more: usize) -> Slot {
        let mut slabs = locked(&self.slabs);
        let fitting = slabs.iter().filter(|slab| slab.shape == shape);
        if let Some(slot) = fitting.rev().find_map(Slab::take) {
            return slot;
        }
        let slab = Arc::new(Slab::new(&self.gpu, shape, more));
        let slot = slab.take().expect("a new slab has a slot");
        slabs.push(slab);
        slot
    }

    /// Zeroes every slot that nobody holds any more, and gives back slabs that are empty.
    fn sweep(&self) -> Result<(), BackendError> {
        let slabs: Vec<_> = locked(&self.slabs).clone();
        for slab in slabs.iter().filter(|slab| slab.is_soiled()) {
            slab.sweep(&self.gpu)?;
        }
        // Slots are taken under this lock, so that none is taken of a slab that goes.
        locked(&self.slabs).retain(|slab| !slab.is_free());
        Ok(())
    }
}

/// Whose the rows of a tile are.
fn subjects(
    source: &dyn TileSource,
    tile: usize,
    rows: usize,
) -> Result<Vec<[u8; 16]>, BackendError> {
    let mut table = vec![<Row as bytemuck::Zeroable>::zeroed(); rows];
    source.open(tile, TilePart::Rows, bytemuck::cast_slice_mut(&mut table))?;
    Ok(table.iter().map(|row| row.subject).collect())
}
