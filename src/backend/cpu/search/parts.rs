//! The plaintext of one tile, part by part: where it lies already, or opened into a thread's own
//! scratch when it is first asked for.
//!
//! Invariant: a thread's scratch holds the plaintext of one tile, which that of the next is written
//! over, and it is wiped before the thread scans for anybody else or sleeps, also when a scan fails
//! or panics; a part that nobody asks for is never opened.

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use zeroize::optimization_barrier;

use super::lanes::{BLOCK_ROWS, block_words};
use crate::ops::tile::{Row, TileError, TileLayout, TilePart, TileSource};

/// Zeroes `values` with wide stores; the barrier keeps the optimiser from dropping them as dead.
pub(super) fn wipe<T: Pod>(values: &mut [T]) {
    cast_slice_mut::<T, u8>(values).fill(0);
    optimization_barrier(values);
}

/// A cache line.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes on whole cache lines, wiped when dropped.
#[derive(Default)]
pub(super) struct Bytes {
    lines: Vec<Line>,
    /// How many may hold something.
    used: usize,
}

impl Bytes {
    /// The first `len` bytes, to write; they may hold what was written before.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        let lines = len.div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.wipe(); // what is moved leaves nothing behind
            self.lines.resize(lines, Line::zeroed());
        }
        self.used = self.used.max(lines);
        &mut cast_slice_mut(&mut self.lines)[..len]
    }

    /// Zeroes what may hold something.
    fn wipe(&mut self) {
        wipe(&mut self.lines[..self.used]);
        self.used = 0;
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// What one thread needs to scan a tile; kept from tile to tile.
#[derive(Default)]
pub(super) struct Scratch {
    /// Opened parts: hot, cold, rows.
    pub(super) parts: [Bytes; 3],
    /// One packed block of rows.
    pub(super) block: Bytes,
    /// One packed block of cold values.
    pub(super) cold_block: Bytes,
    /// Eligibility of a tile's rows, one bit each.
    pub(super) bitmaps: Vec<u64>,
    /// Who takes part in the scan of a tile, and with which bitmap.
    pub(super) aboard: Vec<(usize, usize)>,
    /// Who waits for a tile.
    pub(super) waiting: Vec<usize>,
    /// Rows to be finished.
    pub(super) survivors: Survivors,
}

impl Scratch {
    /// Zeroes all plaintext and every list that was made of it.
    pub(super) fn wipe(&mut self) {
        self.parts.iter_mut().for_each(Bytes::wipe);
        self.block.wipe();
        self.cold_block.wipe();
        self.survivors.wipe();
    }
}

/// The rows of a tile that the bound did not prune, one list per probe that takes part, until
/// their cold values are looked at.
#[derive(Default)]
pub(super) struct Survivors {
    /// In the tile.
    rows: Vec<u32>,
    /// Scores of their hot values.
    hot: Vec<i32>,
    counts: Vec<usize>,
    /// Places of one list: a tile's rows, and a block more so that whole blocks can be written.
    room: usize,
}

impl Survivors {
    /// Empty lists with room for all `rows` of a tile for each of `probes`.
    pub(super) fn begin(&mut self, probes: usize, rows: usize) {
        self.wipe();
        self.room = rows + BLOCK_ROWS;
        self.counts.resize(probes, 0);
        if self.rows.len() < probes * self.room {
            self.rows.resize(probes * self.room, 0);
            self.hot.resize(probes * self.room, 0);
        }
    }

    /// Where the next block of a probe's list is written; [`Survivors::grow`] tells how much of it
    /// counts.
    #[inline(always)]
    pub(super) fn next(
        &mut self,
        probe: usize,
    ) -> (&mut [u32; BLOCK_ROWS], &mut [i32; BLOCK_ROWS]) {
        let at = probe * self.room + self.counts[probe];
        let rows = self.rows[at..].first_chunk_mut().expect("room for a block");
        (rows, self.hot[at..].first_chunk_mut().expect("room for a block"))
    }

    /// Takes `more` of the block just written into the list.
    #[inline(always)]
    pub(super) fn grow(&mut self, probe: usize, more: usize) {
        self.counts[probe] += more;
    }

    /// The list of a probe: rows, and scores of their hot values.
    pub(super) fn of(&self, probe: usize) -> (&[u32], &[i32]) {
        let held = probe * self.room..probe * self.room + self.counts[probe];
        (&self.rows[held.clone()], &self.hot[held])
    }

    /// Whether nobody has any.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }

    /// Zeroes what was written.
    fn wipe(&mut self) {
        for (probe, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let at = probe * self.room;
            wipe(&mut self.rows[at..at + (count + BLOCK_ROWS).min(self.room)]);
            wipe(&mut self.hot[at..at + (count + BLOCK_ROWS).min(self.room)]);
        }
        self.counts.clear();
    }
}

impl Drop for Survivors {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// One part of one tile.
pub(super) enum Opened<'a> {
    /// Plaintext that is somebody else's.
    Resident(&'a [u8]),
    /// Opened when it is asked for.
    Scratch(Sealed<'a>),
}

/// A part that a source opens.
pub(super) struct Sealed<'a> {
    source: &'a dyn TileSource,
    tile: usize,
    part: TilePart,
    bytes: usize,
    scratch: &'a mut Bytes,
    filled: bool,
}

impl<'a> Opened<'a> {
    /// Names a part; nothing is opened yet.
    pub(super) fn new(
        source: &'a dyn TileSource,
        tile: usize,
        part: TilePart,
        scratch: &'a mut Bytes,
    ) -> Self {
        let set = source.set();
        let bytes = set.layout.part_bytes(part, set.tiles[tile].rows);
        let fits = |held: &&[u8]| {
            held.len() == bytes
                && (part != TilePart::Rows || held.as_ptr().cast::<Row>().is_aligned())
        };
        match source.resident(tile, part).filter(fits) {
            Some(held) => Self::Resident(held),
            None => Self::Scratch(Sealed { source, tile, part, bytes, scratch, filled: false }),
        }
    }

    /// The plaintext.
    pub(super) fn bytes(&mut self) -> Result<&[u8], TileError> {
        match self {
            Self::Resident(held) => Ok(held),
            Self::Scratch(sealed) => sealed.open(),
        }
    }

    /// The plaintext as int8 values.
    pub(super) fn values(&mut self) -> Result<&[i8], TileError> {
        self.bytes().map(cast_slice)
    }

    /// The plaintext as a row table.
    pub(super) fn rows(&mut self) -> Result<&[Row], TileError> {
        self.bytes().map(cast_slice)
    }
}

impl Sealed<'_> {
    fn open(&mut self) -> Result<&[u8], TileError> {
        let room = self.scratch.room(self.bytes);
        if !self.filled {
            self.source.open(self.tile, self.part, room)?;
            self.filled = true;
        }
        Ok(room)
    }
}

/// Bytes of one packed block of a layout: its words, then its norms.
pub(super) fn block_bytes(layout: TileLayout) -> usize {
    block_words(layout.hot_dims) * size_of::<u32>() + BLOCK_ROWS * size_of::<u16>()
}

/// Bytes of one packed block of a layout's cold values.
pub(super) fn cold_block_bytes(layout: TileLayout) -> usize {
    block_words(layout.dims - layout.hot_dims) * size_of::<u32>()
}
