//! Tiles on their way to a device: opened, and packed piece by piece.
//!
//! Invariant: plaintext lies here only until [`Opened::wipe`], which whoever loads calls before it
//! returns; what is dropped is wiped.

use bytemuck::{Zeroable, cast_slice_mut};
use zeroize::{Zeroize, Zeroizing};

use super::pack::{SlotShape, Stretch};
use crate::ops::{
    search::{Eligible, Probe, eligibility},
    tile::{Row, TileError, TilePart, TileSet, TileSource},
};

/// Bytes of one window of tiles: enough to hide the cost of a submission, few enough that two of
/// them are little memory.
const WINDOW_BYTES: usize = 8 << 20;

/// Opened parts of one tile, and one packed piece.
#[derive(Default)]
pub(in crate::backend) struct Opened {
    hot: Zeroizing<Vec<u8>>,
    cold: Zeroizing<Vec<u8>>,
    rows: Vec<Row>,
    packed: Zeroizing<Vec<u8>>,
}

impl Opened {
    /// Opens `tile`, its row table where its rows must be asked.
    pub(in crate::backend) fn open(
        &mut self,
        source: &dyn TileSource,
        tile: usize,
        has_facts: bool,
    ) -> Result<(), TileError> {
        let set = source.set();
        let rows = set.tiles[tile].rows;
        for (part, scratch) in [(TilePart::Hot, &mut self.hot), (TilePart::Cold, &mut self.cold)] {
            room(scratch, set.layout.part_bytes(part, rows));
            source.open(tile, part, scratch)?;
        }
        if has_facts {
            if self.rows.capacity() < rows {
                self.wipe_rows(); // what is moved leaves nothing behind
            }
            self.rows.resize(rows, Row::zeroed());
            source.open(tile, TilePart::Rows, cast_slice_mut(&mut self.rows))?;
        }
        Ok(())
    }

    /// A stretch of the tile as it lies in a slot: hot plane, cold plane, facts; without a row
    /// table zeros stand in their place.
    pub(in crate::backend) fn pack(
        &mut self,
        set: &TileSet,
        tile: usize,
        shape: SlotShape,
        stretch: Stretch,
        has_facts: bool,
    ) -> &[u8] {
        let Self { hot, cold, rows, packed } = self;
        let (values, norms) = set.layout.split_hot(hot, set.tiles[tile].rows);
        room(packed, shape.bytes());
        packed.fill(0);
        let (hot_slot, rest) = packed.split_at_mut(shape.hot_bytes());
        let (cold_slot, facts_slot) = rest.split_at_mut(shape.cold_bytes());
        shape.pack_hot(stretch, values, norms, hot_slot);
        shape.pack_cold(stretch, cold, cold_slot);
        if has_facts {
            shape.pack_facts(stretch, rows, facts_slot);
        }
        packed
    }

    fn wipe_rows(&mut self) {
        cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.rows.clear();
    }

    /// Zeroes all plaintext.
    pub(in crate::backend) fn wipe(&mut self) {
        self.wipe_rows();
        self.hot.zeroize();
        self.cold.zeroize();
        self.packed.zeroize();
    }
}

/// Makes `scratch` exactly `bytes` long without leaving a copy where it lay before.
fn room(scratch: &mut Zeroizing<Vec<u8>>, bytes: usize) {
    if scratch.capacity() < bytes {
        scratch.zeroize();
    }
    scratch.resize(bytes, 0);
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Tiles of one window of pieces of `shape`, `pieces` for each tile.
pub(in crate::backend) fn window_tiles(shape: SlotShape, pieces: usize) -> usize {
    (WINDOW_BYTES / (shape.bytes() * pieces.max(1)).max(1)).max(1)
}

/// Whether some probe must ask the rows of `tile` one by one.
pub(in crate::backend) fn must_ask(set: &TileSet, tile: usize, probes: &[Probe<'_>]) -> bool {
    let common = &set.tiles[tile].common;
    probes.iter().any(|probe| eligibility(probe, common) == Eligible::Each)
}
