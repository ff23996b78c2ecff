//! Resident sets: tiles in memory of their own, hot planes packed as the kernels read them.
//!
//! Each tile has one map of its own: asked never to be swapped and never to be dumped, zeroed when
//! its last holder lets go. Tiles that are equal in two generations of one gallery are shared.
//!
//! ```text
//! packed hot blocks (64 rows: words, norms) | cold plane, row after row | row table
//! ```
//!
//! The row table comes last, on a multiple of eight bytes. Of a source that lies in locked memory
//! already only the hot plane is copied: cold values and rows are read for a few survivors, and lie
//! as well where they are. The set then holds its source.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use memmap2::{Advice, MmapMut};

use super::{
    lanes::{BLOCK_ROWS, Kernel, Lanes},
    parts::{Bytes, Opened, block_bytes, wipe},
    sift::pack,
};
use crate::{
    backend::{BackendError, Pinned},
    ops::tile::{Row, TileLayout, TilePart, TileSet, TileSource},
};

/// A generation held resident.
pub(super) struct Pin {
    /// The set.
    pub(super) set: TileSet,
    /// Its gallery.
    pub(super) origin: u64,
    /// Where cold planes and row tables lie, unless they were copied, too.
    rest: Option<Arc<dyn TileSource>>,
    tiles: Vec<Arc<PinnedTile>>,
}

impl Pin {
    /// The packed hot plane of a tile.
    pub(super) fn blocks(&self, tile: usize) -> &[u8] {
        self.tiles[tile].blocks()
    }

    /// The cold plane or the row table of a tile.
    pub(super) fn part<'a>(
        &'a self,
        tile: usize,
        part: TilePart,
        scratch: &'a mut Bytes,
    ) -> Opened<'a> {
        match &self.rest {
            Some(source) => Opened::new(source.as_ref(), tile, part, scratch),
            None => Opened::Resident(self.tiles[tile].part(part)),
        }
    }
}

impl Pinned for Pin {
    fn generation(&self) -> u64 {
        self.set.generation
    }

    fn is_locked(&self) -> bool {
        self.tiles.iter().all(|tile| tile.locked)
    }
}

/// What is copied of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Extent {
    /// The hot plane: the rest lies in locked memory already.
    Hot,
    /// All of it.
    Whole,
}

/// One resident tile.
struct PinnedTile {
    map: MmapMut,
    locked: bool,
    hot: usize,
    cold: usize,
    table: usize,
    rows: usize,
}

impl PinnedTile {
    fn new(layout: TileLayout, rows: usize, extent: Extent) -> std::io::Result<Self> {
        let hot = rows.div_ceil(BLOCK_ROWS) * block_bytes(layout);
        let size = |part| match extent {
            Extent::Hot => 0,
            Extent::Whole => layout.part_bytes(part, rows),
        };
        let cold = size(TilePart::Cold);
        let table = (hot + cold).next_multiple_of(align_of::<Row>());
        let bytes = table + size(TilePart::Rows);
        let map = MmapMut::map_anon(bytes.max(1))?;
        #[cfg(target_os = "linux")]
        map.advise(Advice::DontDump)?;
        let locked = map.lock().is_ok();
        Ok(Self { map, locked, hot, cold, table, rows })
    }

    /// The packed blocks.
    fn blocks(&self) -> &[u8] {
        &self.map[..self.hot]
    }

    /// The cold plane or the row table, as a source gives it; of the hot plane, the blocks.
    fn part(&self, part: TilePart) -> &[u8] {
        match part {
            TilePart::Hot => self.blocks(),
            TilePart::Cold => &self.map[self.hot..self.hot + self.cold],
            TilePart::Rows => &self.map[self.table..][..self.rows * size_of::<Row>()],
        }
    }
}

impl Drop for PinnedTile {
    fn drop(&mut self) {
        wipe(&mut self.map[..]);
    }
}

/// Tiles that some pinned set holds, by gallery and content.
#[derive(Default)]
pub(super) struct Shelf(Mutex<HashMap<(u64, u64, Extent), Weak<PinnedTile>>>);

impl Shelf {
    /// Makes a generation resident.
    pub(super) fn pin<L: Lanes>(
        &self,
        lanes: L,
        source: &Arc<dyn TileSource>,
    ) -> Result<Pin, BackendError> {
        let (set, origin) = (source.set().clone(), source.origin());
        let is_there = !set.tiles.is_empty() && source.resident(0, TilePart::Cold).is_some();
        let (extent, rest) = match is_there {
            true => (Extent::Hot, Some(Arc::clone(source))),
            false => (Extent::Whole, None),
        };
        let mut scratch = Bytes::default();
        let mut tiles = Vec::with_capacity(set.tiles.len());
        for (number, tile) in set.tiles.iter().enumerate() {
            let key = (origin, tile.content, extent);
            let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let shared = shelf.get(&key).and_then(Weak::upgrade).filter(|_| origin != 0);
            drop(shelf);
            let held = match shared {
                Some(held) if held.rows == tile.rows => held,
                _ => Arc::new(fill(lanes, source.as_ref(), number, extent, &mut scratch)?),
            };
            if origin != 0 {
                shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                shelf.insert(key, Arc::downgrade(&held));
            }
            tiles.push(held);
        }
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, held| held.strong_count() > 0);
        Ok(Pin { set, origin, rest, tiles })
    }
}

/// Copies one tile.
fn fill<L: Lanes>(
    lanes: L,
    source: &dyn TileSource,
    number: usize,
    extent: Extent,
    scratch: &mut Bytes,
) -> Result<PinnedTile, BackendError> {
    let TileSet { layout, ref tiles, .. } = *source.set();
    let rows = tiles[number].rows;
    let mut tile = PinnedTile::new(layout, rows, extent).map_err(|error| BackendError::Lost {
        what: crate::backend::cpu::NAME,
        why: format!("no memory for a resident tile: {error}"),
    })?;
    let (hot, rest) = tile.map.split_at_mut(tile.hot);
    let mut opened = Opened::new(source, number, TilePart::Hot, scratch);
    lanes.call(Pack { layout, rows, plain: opened.bytes()?, blocks: hot });
    if extent == Extent::Hot {
        return Ok(tile);
    }
    source.open(number, TilePart::Cold, &mut rest[..tile.cold])?;
    let table = &mut rest[tile.table - tile.hot..][..rows * size_of::<Row>()];
    source.open(number, TilePart::Rows, table)?;
    Ok(tile)
}

/// Packs a whole hot plane.
struct Pack<'a> {
    layout: TileLayout,
    rows: usize,
    plain: &'a [u8],
    blocks: &'a mut [u8],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (values, norms) = self.layout.split_hot(self.plain, self.rows);
        let blocks = self.blocks.chunks_exact_mut(block_bytes(self.layout));
        for (number, block) in blocks.enumerate() {
            pack(lanes, values, norms, self.layout, number, block);
        }
    }
}
