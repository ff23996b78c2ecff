//! 1:N search on the host: the oracle's own exact scan, over a source or over a set decoded once.
//!
//! A pinned set is a plaintext copy in the process's memory, zeroed when the last holder lets go.

use std::{any::Any, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    backend::{BackendError, Pinned, Tiles},
    ops::{
        search::{Probe, RowHits, scan},
        tile::{TileError, TilePart, TileSet, TileSource},
    },
};

/// A generation, decoded.
struct Resident {
    set: TileSet,
    tiles: Vec<Tile>,
}

/// The plaintext parts of one tile.
struct Tile {
    hot: Zeroizing<Vec<u8>>,
    cold: Zeroizing<Vec<u8>>,
    rows: Zeroizing<Vec<u8>>,
}

impl Tile {
    fn part(&self, part: TilePart) -> &[u8] {
        match part {
            TilePart::Hot => &self.hot,
            TilePart::Cold => &self.cold,
            TilePart::Rows => &self.rows,
        }
    }
}

/// Decodes a whole generation.
pub(super) fn pin(source: &dyn TileSource) -> Result<Arc<dyn Pinned>, BackendError> {
    let set = source.set().clone();
    let mut tiles = Vec::with_capacity(set.tiles.len());
    for (number, tile) in set.tiles.iter().enumerate() {
        let open = |part| {
            let mut bytes = Zeroizing::new(vec![0; set.layout.part_bytes(part, tile.rows)]);
            source.open(number, part, &mut bytes)?;
            Ok::<_, TileError>(bytes)
        };
        let (hot, cold) = (open(TilePart::Hot)?, open(TilePart::Cold)?);
        tiles.push(Tile { hot, cold, rows: open(TilePart::Rows)? });
    }
    Ok(Arc::new(Resident { set, tiles }))
}

/// Searches every row for every probe.
pub(super) fn search(probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
    match tiles {
        Tiles::Source(source) => Ok(scan(probes, source.as_ref())?),
        Tiles::Pinned(set) => {
            let own = (set.as_ref() as &dyn Any).downcast_ref::<Resident>();
            let generation = set.generation();
            let own = own.ok_or(BackendError::ForeignSet { what: super::NAME, generation })?;
            Ok(scan(probes, own)?)
        }
    }
}

impl TileSource for Resident {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let tiles = self.tiles.len();
        let generation = self.set.generation;
        let own = self.tiles.get(tile).ok_or(TileError::Absent { tile, generation, tiles })?;
        let bytes = own.part(part);
        if scratch.len() != bytes.len() {
            let (needed, held) = (bytes.len(), scratch.len());
            return Err(TileError::Scratch { tile, part, needed, held });
        }
        scratch.copy_from_slice(bytes);
        Ok(())
    }
}

impl Pinned for Resident {
    fn generation(&self) -> u64 {
        self.set.generation
    }
}
