//! Resident sets: pieces in slots of a device, shared by all generations that hold an equal tile.
//!
//! Invariant: a slot is zeroed when the last set that holds its tile lets go, before `drop`
//! returns. On the host only subjects stay, which are opaque numbers, to name what was found. A set
//! that finds no room is refused before one of its tiles is opened.

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

    /// Brings the tiles `fresh` of `source` into their slots, with the facts of their rows. All
    /// that anybody has the device do afterwards finds them there; nothing of it is under way to a
    /// slot that is swept, after a failure neither.
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

/// Tiles that some set may hold, by gallery and content.
type Known<M> = HashMap<(u64, u64), Weak<PinnedTile<M>>>;

/// All slabs of one backend, and the tiles that lie in them.
pub(in crate::backend) struct Shelf<B: Board> {
    board: Arc<B>,
    slabs: Mutex<Vec<Arc<Slab<B::Memory>>>>,
    tiles: Mutex<Known<B::Memory>>,
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
        let mut held: Vec<_> = (0..many).map(|tile| self.known(origin, &pin.set, tile)).collect();
        self.reserve(&pin.set, shape, &held)?;
        let window = window_tiles(shape, per_tile);
        for first in (0..many).step_by(window) {
            let mut fresh = Vec::new();
            for (tile, held) in held.iter_mut().enumerate().skip(first).take(window) {
                let made = match held.take() {
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

    /// Makes slabs until all tiles of `set` that are not `held` find a slot for each of their
    /// pieces. Where the device's memory ends before, how many templates it would hold is told.
    fn reserve(
        &self,
        set: &TileSet,
        shape: SlotShape,
        held: &[Option<Arc<PinnedTile<B::Memory>>>],
    ) -> Result<(), BackendError> {
        let pieces = |tile: usize| shape.stretches(set.tiles[tile].rows);
        let fresh: Vec<usize> = (0..held.len()).filter(|&tile| held[tile].is_none()).collect();
        let wanted: usize = fresh.iter().map(|&tile| pieces(tile).count()).sum();
        let mut slabs = locked(&self.slabs);
        let fitting = slabs.iter().filter(|slab| slab.shape == shape);
        let mut free: usize = fitting.map(|slab| slab.free()).sum();
        let mut most = self.board.slots_max(shape);
        while free < wanted {
            let slots = (wanted - free).max(SLOTS_MIN).min(most);
            match self.board.memory(shape, slots) {
                Ok(memory) => {
                    slabs.push(Arc::new(Slab::new(shape, slots, memory)));
                    free += slots;
                }
                // Less may still fit.
                Err(BackendError::Full { .. }) if slots > 1 => most = slots / 2,
                Err(BackendError::Full { what, why }) => {
                    let all = set.rows();
                    let lacking = fresh.iter().flat_map(|&tile| pieces(tile)).skip(free);
                    let lacking: u64 = lacking.map(|stretch| stretch.rows as u64).sum();
                    let fit = all - lacking;
                    let why = format!("{fit} of the gallery's {all} templates would fit: {why}");
                    return Err(BackendError::Full { what, why });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A free slot; where another set has taken what was reserved, a new slab has room for `more`
    /// of them, as far as the device grants it.
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

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable, bytes_of};

    use super::*;
    use crate::{
        backend::gpu::opened::Opened,
        ops::tile::{Common, Row, TileError, TileLayout, TilePart, TileRef},
        types::{Hash256, TemplateKind},
    };

    const LAYOUT: TileLayout = TileLayout { dims: 4, hot_dims: 2, rows: 3 };

    /// A gallery whose tile `t` holds nothing but its content's number.
    struct Numbers(TileSet);

    impl Numbers {
        fn new(contents: &[u8]) -> Self {
            let common = Common::of(&[Row::zeroed()]);
            let tile = |&content: &u8| TileRef { rows: 3, content: content.into(), common };
            let kind = TemplateKind {
                model: Hash256::from_bytes([1; 32]),
                calibration: Hash256::from_bytes([2; 32]),
                dims: 4,
            };
            let tiles = contents.iter().map(tile).collect();
            Self(TileSet { generation: 1, kind, layout: LAYOUT, tiles })
        }
    }

    impl TileSource for Numbers {
        fn set(&self) -> &TileSet {
            &self.0
        }

        fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
            let content = u8::try_from(self.0.tiles[tile].content).expect("a small number");
            match part {
                TilePart::Hot | TilePart::Cold => scratch.fill(content),
                TilePart::Rows => {
                    let row = Row { subject: [content; 16], ..Row::zeroed() };
                    scratch.chunks_mut(size_of::<Row>()).for_each(|to| {
                        to.copy_from_slice(bytes_of(&row));
                    });
                }
            }
            Ok(())
        }

        fn origin(&self) -> u64 {
            5
        }
    }

    /// A device that is this process's memory, with room for so many slabs.
    #[derive(Default)]
    struct Played {
        slabs_max: usize,
        slabs: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
        carried: Mutex<Vec<usize>>,
    }

    impl Board for Played {
        type Memory = Arc<Mutex<Vec<u8>>>;
        type Loader = Opened;
        type Table = usize;

        fn shape(&self, set: &TileSet) -> SlotShape {
            SlotShape::of(set.layout, false)
        }

        fn slots_max(&self, _shape: SlotShape) -> usize {
            2
        }

        fn memory(&self, shape: SlotShape, slots: usize) -> Result<Self::Memory, BackendError> {
            let mut slabs = locked(&self.slabs);
            if slabs.len() == self.slabs_max {
                return Err(BackendError::Full { what: "played", why: String::new() });
            }
            slabs.push(Arc::new(Mutex::new(vec![0; shape.bytes() * slots])));
            Ok(Arc::clone(&slabs[slabs.len() - 1]))
        }

        fn clear(
            &self,
            slab: &Slab<Self::Memory>,
            runs: &[Range<usize>],
        ) -> Result<(), BackendError> {
            let bytes = slab.shape.bytes();
            for run in runs {
                locked(&slab.held)[run.start * bytes..run.end * bytes].fill(0);
            }
            Ok(())
        }

        fn carry(
            &self,
            opened: &mut Opened,
            source: &dyn TileSource,
            fresh: &[(usize, &PinnedTile<Self::Memory>)],
        ) -> Result<(), BackendError> {
            let shape = self.shape(source.set());
            for &(tile, held) in fresh {
                locked(&self.carried).push(tile);
                opened.open(source, tile, true)?;
                for (slot, stretch) in held.slots.iter().zip(shape.stretches(3)) {
                    let packed = opened.pack(source.set(), tile, shape, stretch, true);
                    let at = slot.number * shape.bytes();
                    let mut memory = locked(&slot.slab.held);
                    let into = &mut memory[at..at + shape.bytes()];
                    assert!(into.iter().all(|&byte| byte == 0), "a slot is given out zeroed");
                    into.copy_from_slice(packed);
                }
            }
            Ok(())
        }

        fn table(
            &self,
            _opened: &mut Opened,
            _set: &TileSet,
            tiles: &[Arc<PinnedTile<Self::Memory>>],
        ) -> Result<usize, BackendError> {
            Ok(tiles.iter().map(|tile| tile.slots.len()).sum())
        }

        fn guarded(&self, work: &mut dyn FnMut() -> Result<(), BackendError>) {
            work().expect("nothing fails here");
        }
    }

    fn shelf(slabs_max: usize) -> (Arc<Played>, Arc<Shelf<Played>>) {
        let board = Arc::new(Played { slabs_max, ..Played::default() });
        let shelf = Arc::new(Shelf::new(&board));
        (board, shelf)
    }

    fn taken(board: &Played) -> Vec<usize> {
        std::mem::take(&mut *locked(&board.carried))
    }

    #[test]
    fn generations_share_what_is_equal_and_what_nobody_holds_is_zeroed() {
        let (board, shelf) = shelf(9);
        let pin = |contents: &[u8]| shelf.pin(&Numbers::new(contents), &mut Opened::default());
        let first = pin(&[1, 2, 3]).expect("it fits");
        assert_eq!((taken(&board), *first.table()), (vec![0, 1, 2], 3));
        let second = pin(&[1, 2, 4, 5]).expect("it fits");
        assert_eq!(taken(&board), [2, 3], "what the first holds is not opened again");
        assert!(Arc::ptr_eq(&first.tiles[1], &second.tiles[1]));
        assert_eq!(second.tiles[3].subjects, [[5; 16]; 3]);
        let everywhere = || {
            let slabs = locked(&board.slabs).clone();
            slabs.iter().flat_map(|slab| locked(slab).clone()).collect::<Vec<u8>>()
        };
        drop(first);
        let left = everywhere();
        assert!(!left.contains(&3), "the third tile of the first is gone");
        assert!([1, 2, 4, 5].iter().all(|content| left.contains(content)));
        drop(second);
        assert!(everywhere().iter().all(|&byte| byte == 0));
        assert!(locked(&shelf.slabs).is_empty(), "empty slabs are given back");
    }

    #[test]
    fn a_set_that_finds_no_room_leaves_nothing_behind() {
        let (board, shelf) = shelf(1);
        let pin = |contents: &[u8]| shelf.pin(&Numbers::new(contents), &mut Opened::default());
        let refused = pin(&[1, 2, 3]).map(|_| ()).expect_err("a slab has two slots");
        let BackendError::Full { why, .. } = &refused else { panic!("{refused:?}") };
        assert!(why.contains("6 of the gallery's 9 templates would fit"), "{why}");
        assert!(taken(&board).is_empty(), "nothing is opened of what does not fit");
        assert!(locked(&shelf.slabs).is_empty());
        // The memory of before was given back; a smaller set fits.
        locked(&board.slabs).clear();
        let held = pin(&[1, 2]).expect("two tiles");
        assert_eq!(held.tiles.len(), 2);
    }
}
