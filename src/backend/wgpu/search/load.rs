//! Tiles on their way to the device: opened, packed, staged, one window of tiles at a time.
//!
//! There are two stagings: while the device copies and scans one window, the host opens the next.
//!
//! Invariant: plaintext lies in the scratch and the staging of a search only while the search
//! lasts; both are wiped before it returns.

use std::sync::Arc;

use ::wgpu::{BufferViewMut, CommandEncoder, SubmissionIndex};
use bytemuck::{Zeroable, cast_slice_mut};
use zeroize::{Zeroize, Zeroizing};

use super::{pack::SlotShape, slab::Slab};
use crate::{
    backend::{
        BackendError,
        wgpu::{device::Gpu, transfer::Staging},
    },
    ops::tile::{Row, TileError, TilePart, TileSource},
};

/// Bytes of one window: enough to hide the cost of a submission, few enough that two of them are
/// little memory.
const WINDOW_BYTES: usize = 8 << 20;

/// A tile to be loaded, and where its pieces go.
pub(super) struct Wanted<'a> {
    pub(super) tile: usize,
    /// Whether the facts of its rows are needed.
    pub(super) facts: bool,
    /// Slab and slot of each of its pieces.
    pub(super) slots: Vec<(&'a Slab, usize)>,
}

/// What opens and carries tiles.
pub(super) struct Loader {
    staging: [Staging; 2],
    scratch: Scratch,
    windows: usize,
}

/// Opened parts of one tile, and one packed piece.
#[derive(Default)]
struct Scratch {
    hot: Zeroizing<Vec<u8>>,
    cold: Zeroizing<Vec<u8>>,
    rows: Vec<Row>,
    packed: Zeroizing<Vec<u8>>,
}

impl Scratch {
    fn open(
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

    fn wipe_rows(&mut self) {
        cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.rows.clear();
    }

    fn wipe(&mut self) {
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

impl Drop for Scratch {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Tiles of one window of pieces of `shape`, `pieces` for each tile.
pub(super) fn window_tiles(shape: SlotShape, pieces: usize) -> usize {
    (WINDOW_BYTES / (shape.bytes() * pieces.max(1)).max(1)).max(1)
}

impl Loader {
    /// Empty.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        let staging = [Staging::new(gpu), Staging::new(gpu)];
        Self { staging, scratch: Scratch::default(), windows: 0 }
    }

    /// Opens a window of tiles and appends to `encoder` what brings them into their slots. The
    /// caller submits it and tells [`Loader::submitted`].
    pub(super) fn load(
        &mut self,
        encoder: &mut CommandEncoder,
        source: &dyn TileSource,
        wanted: &[Wanted<'_>],
    ) -> Result<(), BackendError> {
        let Self { staging, scratch, windows } = self;
        let staging = &mut staging[*windows % 2];
        let bytes = |wanted: &Wanted<'_>| -> usize {
            wanted.slots.iter().map(|(slab, _)| slab.shape.bytes()).sum()
        };
        let whole: usize = wanted.iter().map(bytes).sum();
        staging.write(whole as u64, |view| {
            let mut at = 0;
            for tile in wanted {
                scratch.open(source, tile.tile, tile.facts)?;
                at = stage(view, at, source, tile, scratch);
            }
            Ok(())
        })?;
        let mut at = 0;
        for tile in wanted {
            for &(slab, slot) in &tile.slots {
                slab.fill(encoder, staging, at, slot, tile.facts);
                at += slab.shape.bytes() as u64;
            }
        }
        Ok(())
    }

    /// Notes the commands of the last window.
    pub(super) fn submitted(&mut self, submission: &SubmissionIndex) {
        self.staging[self.windows % 2].submitted(submission);
        self.windows += 1;
    }

    /// Zeroes all plaintext.
    pub(super) fn wipe(&mut self) -> Result<(), BackendError> {
        self.scratch.wipe();
        self.staging.iter_mut().try_for_each(Staging::wipe)
    }
}

/// Packs the pieces of an opened tile into staging from `at` on; gives where they end.
fn stage(
    view: &mut BufferViewMut,
    mut at: usize,
    source: &dyn TileSource,
    tile: &Wanted<'_>,
    scratch: &mut Scratch,
) -> usize {
    let set = source.set();
    let rows = set.tiles[tile.tile].rows;
    let Scratch { hot, cold, rows: table, packed } = scratch;
    let (values, norms) = set.layout.split_hot(hot, rows);
    let Some((slab, _)) = tile.slots.first() else { return at };
    let shape = slab.shape;
    for stretch in shape.stretches(rows) {
        room(packed, shape.bytes());
        packed.fill(0);
        let (hot_slot, rest) = packed.split_at_mut(shape.hot_bytes());
        let (cold_slot, facts_slot) = rest.split_at_mut(shape.cold_bytes());
        shape.pack_hot(stretch, values, norms, hot_slot);
        shape.pack_cold(stretch, cold, cold_slot);
        if tile.facts {
            shape.pack_facts(stretch, table, facts_slot);
        }
        view.slice(at..at + packed.len()).copy_from_slice(packed);
        at += packed.len();
    }
    at
}
