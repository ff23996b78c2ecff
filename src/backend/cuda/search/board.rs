//! Pieces on the device: slots, what carries tiles into them, and the table that names them.
//!
//! Invariant: plaintext lies on the host only while tiles are carried; it is wiped before a pin or
//! a search returns. A set's table belongs to the set: what is asked of its rows stands in the
//! probes.

use std::{ops::Range, sync::Arc};

use bytemuck::cast_slice;

use crate::{
    backend::{
        BackendError,
        cuda::{
            NAME,
            device::Gpu,
            driver::{
                Driven,
                launch::Stream,
                memory::{HostMemory, Memory},
            },
            layout::Piece,
        },
        gpu::{
            opened::Opened,
            pack::{SlotShape, Stretch},
            shelf::{self, PinnedTile},
            slab::Slab,
        },
    },
    ops::tile::{TileSet, TileSource},
};

/// Bytes of a slab at most, far below what a device allocates in one piece.
const SLAB_BYTES_MAX: usize = 1 << 30;
/// Slots of a slab where everything is divided finely.
const SLOTS_TIGHT: usize = 3;

/// A device as a shelf knows it.
pub(super) struct Board(pub(super) Arc<Gpu>);

/// A resident set's pieces.
pub(super) struct Table {
    pub(super) memory: Memory,
    pub(super) pieces: usize,
}

/// What opens tiles and carries them up: two stretches of host memory, one filled while the other
/// is copied.
pub(super) struct Loader {
    stream: Arc<Stream>,
    halves: [HostMemory; 2],
    turn: usize,
    pub(super) opened: Opened,
}

impl Loader {
    /// Without room for anything; it copies in the order of `stream`.
    pub(super) fn new(stream: &Arc<Stream>) -> Driven<Self> {
        let halves = [HostMemory::new(stream, 0)?, HostMemory::new(stream, 0)?];
        Ok(Self { stream: Arc::clone(stream), halves, turn: 0, opened: Opened::default() })
    }

    /// Zeroes all plaintext.
    pub(super) fn wipe(&mut self) -> Driven<()> {
        self.opened.wipe();
        self.halves.iter_mut().try_for_each(HostMemory::wipe)
    }

    /// The next stretch of host memory, with room for `bytes` bytes.
    pub(super) fn next(&mut self, bytes: usize) -> Driven<(&mut HostMemory, &mut Opened)> {
        self.turn += 1;
        let half = &mut self.halves[self.turn % 2];
        if half.bytes() < bytes {
            *half = HostMemory::new(&self.stream, bytes.next_power_of_two())?;
        }
        Ok((half, &mut self.opened))
    }
}

/// Opens `tile` and packs its pieces, one behind the other, into `held`; gives where they end.
pub(super) fn stow(
    opened: &mut Opened,
    source: &dyn TileSource,
    (tile, shape): (usize, SlotShape),
    has_facts: bool,
    held: &mut [u8],
) -> Result<usize, BackendError> {
    let set = source.set();
    opened.open(source, tile, has_facts)?;
    let mut at = 0;
    for stretch in shape.stretches(set.tiles[tile].rows) {
        let packed = opened.pack(set, tile, shape, stretch, has_facts);
        held[at..at + packed.len()].copy_from_slice(packed);
        at += packed.len();
    }
    Ok(at)
}

/// A number of the gallery as the kernels have it.
pub(super) fn word(value: usize) -> u32 {
    u32::try_from(value).expect("galleries are bounded far below 2^32 rows")
}

/// What the kernels are told of a stretch of `tile` whose slot begins at `address`.
pub(super) fn piece(
    set: &TileSet,
    shape: SlotShape,
    (tile, stretch): (usize, Stretch),
    address: u64,
    has_facts: bool,
) -> Piece {
    let common = &set.tiles[tile].common;
    let cold = address + shape.hot_bytes() as u64;
    let facts = cold + shape.cold_bytes() as u64;
    Piece {
        hot: address,
        cold,
        facts: if has_facts { facts } else { 0 },
        class_bits_any: common.class_bits_any,
        class_bits_all: common.class_bits_all,
        not_before_s_max: common.not_before_s_max,
        expiry_s_min: common.expiry_s_min,
        rows: word(stretch.rows),
        first_row: word(tile * set.layout.rows + stretch.first),
        group: common.group.unwrap_or(0),
        has_group: u32::from(common.group.is_some()),
        flags_any: common.flags_any,
        spare: 0,
    }
}

impl Board {
    /// Packs `fresh` into host memory, and hands its copies over.
    fn hand_up(
        &self,
        loader: &mut Loader,
        source: &dyn TileSource,
        fresh: &[(usize, &PinnedTile<Memory>)],
    ) -> Result<(), BackendError> {
        let shape = shelf::Board::shape(self, source.set());
        let pieces: usize = fresh.iter().map(|(_, held)| held.slots.len()).sum();
        let (half, opened) = loader.next(pieces * shape.bytes())?;
        let held = half.write(pieces * shape.bytes())?;
        let mut at = 0;
        for &(tile, _) in fresh {
            at += stow(opened, source, (tile, shape), true, &mut held[at..])?;
        }
        let slots = fresh.iter().flat_map(|(_, held)| &held.slots);
        for (number, slot) in slots.enumerate() {
            let from = number * shape.bytes();
            half.up(from..from + shape.bytes(), &slot.slab.held, slot.number * shape.bytes())?;
        }
        Ok(())
    }
}

impl shelf::Board for Board {
    type Memory = Memory;
    type Loader = Loader;
    type Table = Table;

    fn shape(&self, set: &TileSet) -> SlotShape {
        SlotShape::of(set.layout, self.0.tight)
    }

    fn slots_max(&self, shape: SlotShape) -> usize {
        if self.0.tight { SLOTS_TIGHT } else { (SLAB_BYTES_MAX / shape.bytes()).max(1) }
    }

    fn memory(&self, shape: SlotShape, slots: usize) -> Result<Memory, BackendError> {
        Memory::zeroed(&self.0.context, shape.bytes() * slots).map_err(|fault| {
            match BackendError::from(fault) {
                BackendError::Full { .. } => full(&self.0, shape),
                other => other,
            }
        })
    }

    fn clear(&self, slab: &Slab<Memory>, runs: &[Range<usize>]) -> Result<(), BackendError> {
        let stream = self.0.stream()?;
        let bytes = slab.shape.bytes();
        for run in runs {
            stream.clear(&slab.held, run.start * bytes..run.end * bytes)?;
        }
        Ok(stream.wait()?)
    }

    fn carry(
        &self,
        loader: &mut Loader,
        source: &dyn TileSource,
        fresh: &[(usize, &PinnedTile<Memory>)],
    ) -> Result<(), BackendError> {
        let carried = self.hand_up(loader, source, fresh);
        // Streams know nothing of each other: another set may hold these tiles at once, and its
        // search must not come before them; a slot that is let go of must not be written after its
        // zeros. To open a window takes many times as long as this wait.
        loader.stream.wait()?;
        carried
    }

    fn table(
        &self,
        loader: &mut Loader,
        set: &TileSet,
        tiles: &[Arc<PinnedTile<Memory>>],
    ) -> Result<Table, BackendError> {
        let shape = self.shape(set);
        let mut pieces: Vec<Piece> = Vec::new();
        for (tile, held) in tiles.iter().enumerate() {
            let stretches = shape.stretches(set.tiles[tile].rows);
            pieces.extend(held.slots.iter().zip(stretches).map(|(slot, stretch)| {
                let address = slot.slab.held.address(slot.number * shape.bytes());
                piece(set, shape, (tile, stretch), address, true)
            }));
        }
        let bytes: &[u8] = cast_slice(&pieces);
        let memory = Memory::zeroed(&self.0.context, bytes.len())?;
        let (half, _) = loader.next(bytes.len())?;
        half.write(bytes.len())?.copy_from_slice(bytes);
        half.up(0..bytes.len(), &memory, 0)?;
        // As in `carry`.
        loader.stream.wait()?;
        Ok(Table { memory, pieces: pieces.len() })
    }

    fn guarded(&self, work: &mut dyn FnMut() -> Result<(), BackendError>) {
        // A lost device has nothing left to be guarded.
        let _ = self.0.guard(work);
    }
}

/// What `gpu` has left for a gallery's rows.
fn full(gpu: &Gpu, shape: SlotShape) -> BackendError {
    let (free, all) = match gpu.context.room() {
        Ok(room) => room,
        Err(fault) => return fault.into(),
    };
    let each = shape.bytes() / shape.rows;
    let (free, all) = (free >> 20, all >> 20);
    let why = format!(
        "no room for the gallery's next rows, {each} bytes for each template: {free} of {all} MiB \
         are free"
    );
    BackendError::Full { what: NAME, why }
}
