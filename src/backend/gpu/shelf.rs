//! Resident sets: pieces in slots of a device, shared by all generations that hold an equal tile.
//!
//! Invariant: a slot is zeroed when the last set that holds its tile lets go, before `drop`
//! returns. On the host only subjects stay, which are opaque numbers, to name what was found.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, Weak},
};

use super::{
    answers::subjects,
    locked,
    opened::window_tiles,
    pack::SlotShape,
    slab::{Slab, Slot},
};
use crate::{
    backend::{BackendError, Pinned},
    ops::tile::{TileSet, TileSource},
};

/// Slots of a slab at least, where they fit: a set that grows by one tile needs no memory of its
/// own.
const SLOTS_MIN: usize = 16;

/// What a shelf asks of a device.
pub(in crate::backend) trait Board: Send + Sync + Sized + 'static {
    /// The memory of a slab.
    type Memory: Send + Sync;
    /// What opens and carries tiles.
    type Loader;
    /// What the device is told of a whole set, once.
    type Table: Send + Sync;

    /// The slots of a layout.
    fn shape(&self, set: &TileSet) -> SlotShape;

    /// Slots that one slab may have.
    fn slots_max(&self, shape: SlotShape) -> usize;

    /// Memory of zeros for `slots` slots.
    fn memory(&self, shape: SlotShape, slots: usize) -> Result<Self::Memory, BackendError>;

    /// Zeroes runs of slots, and waits for that.
    fn clear(&self, slab: &Slab<Self::Memory>, runs: &[Range<usize>]) -> Result<(), BackendError>;

    /// Brings the tiles `fresh` of `source` into their slots, with the facts of their rows.
    fn carry(
        &self,
        loader: &mut Self::Loader,
        source: &dyn TileSource,
        fresh: &[(usize, &PinnedTile<Self::Memory>)],
    ) -> Result<(), BackendError>;

    /// Tells the device of a set that lies there, and waits until all of it does.
    fn table(
        &self,
        loader: &mut Self::Loader,
        set: &TileSet,
        tiles: &[Arc<PinnedTile<Self::Memory>>],
    ) -> Result<Self::Table, BackendError>;

    /// Does `work` unless the device is lost.
    fn guarded(&self, work: &mut dyn FnMut() -> Result<(), BackendError>);
}

/// One tile on the device.
pub(in crate::backend) struct PinnedTile<M> {
    /// One per piece.
    pub(in crate::backend) slots: Vec<Slot<M>>,
    /// Whose rows they are.
    pub(in crate::backend) subjects: Vec<[u8; 16]>,
}

/// A generation on the device.
pub(in crate::backend) struct Pin<B: Board> {
    pub(in crate::backend) set: TileSet,
    pub(in crate::backend) tiles: Vec<Arc<PinnedTile<B::Memory>>>,
    table: Option<B::Table>,
    shelf: Arc<Shelf<B>>,
}

impl<B: Board> Pin<B> {
    /// What the device was told of the set.
    pub(in crate::backend) fn table(&self) -> &B::Table {
        self.table.as_ref().expect("a set that is given out has its table")
    }
}

impl<B: Board> Pinned for Pin<B> {
    fn generation(&self) -> u64 {
        self.set.generation
    }
}

impl<B: Board> Drop for Pin<B> {
    fn drop(&mut self) {
        self.tiles.clear();
        self.table = None;
        // A lost device has no memory left to be wiped.
        self.shelf.board.guarded(&mut || self.shelf.sweep());
    }
}

/// All slabs of one backend, and the tiles that lie in them.
pub(in crate::backend) struct Shelf<B: Board> {
    board: Arc<B>,
    slabs: Mutex<Vec<Arc<Slab<B::Memory>>>>,
    /// By gallery and content.
    tiles: Mutex<HashMap<(u64, u64), Weak<PinnedTile<B::Memory>>>>,
}

impl<B: Board> Shelf<B> {
    /// Empty.
    pub(in crate::backend) fn new(board: &Arc<B>) -> Self {
        Self { board: Arc::clone(board), slabs: Mutex::default(), tiles: Mutex::default() }
    }

    /// Brings a generation to the device.
    pub(in crate::backend) fn pin(
        self: &Arc<Self>,
        source: &dyn TileSource,
        loader: &mut B::Loader,
    ) -> Result<Pin<B>, BackendError> {
        let (set, origin) = (source.set().clone(), source.origin());
        let shape = self.board.shape(&set);
        let per_tile = shape.stretches(set.layout.rows).count();
        let many = set.tiles.len();
        // From here on dropping the pin sweeps what a failure leaves behind.
        let tiles = Vec::with_capacity(many);
        let mut pin = Pin { set, tiles, table: None, shelf: Arc::clone(self) };
        let window = window_tiles(shape, per_tile);
        for first in (0..many).step_by(window) {
            let mut fresh = Vec::new();
            for tile in first..many.min(first + window) {
                let made = match self.known(origin, &pin.set, tile) {
                    Some(made) => made,
                    None => {
                        fresh.push(tile);
                        let more = (many - tile) * per_tile;
                        let slots = shape.stretches(pin.set.tiles[tile].rows);
                        let slots = slots.map(|_| self.slot(shape, more)).collect::<Result<_, _>>();
                        let subjects = subjects(source, tile)?;
                        Arc::new(PinnedTile { slots: slots?, subjects })
                    }
                };
                pin.tiles.push(made);
            }
            let placed: Vec<_> =
                fresh.iter().map(|&tile| (tile, pin.tiles[tile].as_ref())).collect();
            self.board.carry(loader, source, &placed)?;
            if origin != 0 {
                let mut known = locked(&self.tiles);
                for &tile in &fresh {
                    let key = (origin, pin.set.tiles[tile].content);
                    known.insert(key, Arc::downgrade(&pin.tiles[tile]));
                }
            }
        }
        locked(&self.tiles).retain(|_, tile| tile.strong_count() > 0);
        pin.table = Some(self.board.table(loader, &pin.set, &pin.tiles)?);
        Ok(pin)
    }

    /// The tile that another generation of the same gallery holds already.
    fn known(&self, origin: u64, set: &TileSet, tile: usize) -> Option<Arc<PinnedTile<B::Memory>>> {
        let held = set.tiles[tile];
        let shared = locked(&self.tiles).get(&(origin, held.content)).and_then(Weak::upgrade);
        shared.filter(|tile| origin != 0 && tile.subjects.len() == held.rows)
    }

    /// A free slot; a new slab has room for `more` of them, as far as the device grants it.
    fn slot(&self, shape: SlotShape, more: usize) -> Result<Slot<B::Memory>, BackendError> {
        let mut slabs = locked(&self.slabs);
        let fitting = slabs.iter().filter(|slab| slab.shape == shape);
        if let Some(slot) = fitting.rev().find_map(Slab::take) {
            return Ok(slot);
        }
        let slots = more.max(SLOTS_MIN).min(self.board.slots_max(shape));
        let memory = self.board.memory(shape, slots)?;
        let slab = Arc::new(Slab::new(shape, slots, memory));
        let slot = slab.take().expect("a new slab has a slot");
        slabs.push(slab);
        Ok(slot)
    }

    /// Zeroes every slot that nobody holds any more, and gives back slabs that are empty.
    fn sweep(&self) -> Result<(), BackendError> {
        let slabs: Vec<_> = locked(&self.slabs).clone();
        for slab in &slabs {
            slab.sweep(|runs| self.board.clear(slab, runs))?;
        }
        drop(slabs);
        // Slots are taken under this lock, so that none is taken of a slab that goes.
        locked(&self.slabs).retain(|slab| !slab.is_free());
        Ok(())
    }
}
