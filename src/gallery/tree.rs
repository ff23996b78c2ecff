//! The key tree as an open gallery holds it, and the one way to read an extent.
//!
//! Everything is shared by `Arc`: a generation holds its tiles, and a part that two generations
//! have in common is one [`Part`]. When the last holder lets go, the key is zero, the plaintext of
//! the `locked` residency is zero, and the extent is free.

use std::{io, sync::Arc};

use zeroize::Zeroizing;

use super::{
    crypt,
    format::{self, LeafEntry, PARTS, PartEntry, Place, TileEntry},
    media::{Mapped, Media},
    space::Extent,
};
use crate::{
    keys::{KeySlot, memory::LockedBytes},
    ops::tile::{Common, TileError, TileLayout, TilePart, TileRef},
};

/// One part of one tile.
pub(super) struct Part {
    pub(super) extent: Arc<Extent>,
    pub(super) key: KeySlot,
    /// Epoch of writing.
    pub(super) epoch: u64,
    /// Where the residency is `locked`.
    pub(super) plain: Option<LockedBytes>,
}

/// One tile.
pub(super) struct Tile {
    pub(super) parts: [Arc<Part>; 3],
    /// Generation of writing.
    pub(super) generation: u64,
    pub(super) rows: usize,
    pub(super) vacant: usize,
    pub(super) common: Common,
    pub(super) content: u64,
}

impl Tile {
    pub(super) fn name(&self) -> TileRef {
        TileRef { rows: self.rows, content: self.content, common: self.common }
    }

    pub(super) fn part(&self, part: TilePart) -> &Arc<Part> {
        &self.parts[PARTS.iter().position(|&held| held == part).expect("one of three")]
    }

    pub(super) fn entry(&self) -> TileEntry {
        let parts = [0, 1, 2].map(|at: usize| {
            let part = &self.parts[at];
            PartEntry { place: part.extent.place, epoch: part.epoch }
        });
        let (generation, rows, vacant) = (self.generation, self.rows, self.vacant);
        TileEntry { parts, generation, rows, vacant, common: self.common }
    }
}

/// One leaf of the tree; what it says is in its tiles.
pub(super) struct Leaf {
    pub(super) extent: Arc<Extent>,
    pub(super) key: KeySlot,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) tiles: usize,
}

impl Leaf {
    pub(super) fn entry(&self) -> LeafEntry {
        LeafEntry {
            place: self.extent.place,
            epoch: self.epoch,
            generation: self.generation,
            tiles: self.tiles,
        }
    }
}

/// Why an extent did not open.
#[derive(Debug)]
pub(super) enum Unopened {
    /// The medium did not give the bytes.
    Io(io::Error),
    /// They are not what was sealed there.
    Tag,
}

/// Reads and opens extents of one file.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) file: [u8; 16],
    pub(super) media: Arc<dyn Media>,
    /// The map of the time the reader was made; what lies behind it is read through the media.
    pub(super) map: Option<Arc<dyn Mapped>>,
}

impl Reader {
    fn copy(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.map.as_ref().is_some_and(|map| map.copy(at, bytes)) {
            return Ok(());
        }
        self.media.read(at, bytes)
    }

    /// Reads the extent at `place` into `sealed`, which has its size without the tag, and the tag.
    fn fetch(&self, place: Place, sealed: &mut [u8]) -> Result<[u8; crypt::TAG_BYTES], Unopened> {
        let mut tag = [0; crypt::TAG_BYTES];
        self.copy(place.at, sealed).map_err(Unopened::Io)?;
        self.copy(place.at + sealed.len() as u64, &mut tag).map_err(Unopened::Io)?;
        Ok(tag)
    }

    /// Opens a whole node of the tree under a key that stands alone.
    pub(super) fn node(
        &self,
        place: Place,
        key: &[u8; 32],
        bound: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        self.opened(place, |plain, tag| crypt::open(key, bound, plain, tag))
    }

    /// Opens a whole leaf. Its key is borrowed from the arena once the bytes are there, as in
    /// [`Self::part`].
    pub(super) fn leaf(
        &self,
        place: Place,
        key: &KeySlot,
        bound: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        self.opened(place, |plain, tag| crypt::open(&key.expose(), bound, plain, tag))
    }

    fn opened(
        &self,
        place: Place,
        open: impl FnOnce(&mut [u8], &[u8; crypt::TAG_BYTES]) -> bool,
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        // Within the file, as `format::place` has checked: no more than there is.
        let bytes = (place.bytes - crypt::TAG_BYTES as u64) as usize;
        let mut plain = Zeroizing::new(vec![0; bytes]);
        let tag = self.fetch(place, &mut plain)?;
        if open(&mut plain, &tag) { Ok(plain) } else { Err(Unopened::Tag) }
    }

    /// Opens `part` of the tile at position `tile` into `plain`.
    pub(super) fn part(
        &self,
        tile: usize,
        part: TilePart,
        held: &Part,
        plain: &mut [u8],
    ) -> Result<(), Unopened> {
        let bound = format::part_bound(&self.file, tile, part, held.epoch);
        let tag = self.fetch(held.extent.place, plain)?;
        // The key is borrowed from the arena only now: who waits for a disk must not hold up the
        // writer, who adds keys to the arena, and with it every other reader.
        let opened = crypt::open(&held.key.expose(), &bound, plain, &tag);
        if opened { Ok(()) } else { Err(Unopened::Tag) }
    }

    /// The same for the readers of tiles, who are told to ask for `verify` whatever it was.
    pub(super) fn tile_part(
        &self,
        layout: TileLayout,
        tile: usize,
        part: TilePart,
        held: &Tile,
        plain: &mut [u8],
    ) -> Result<(), TileError> {
        let needed = layout.part_bytes(part, held.rows);
        if plain.len() != needed {
            return Err(TileError::Scratch { tile, part, needed, held: plain.len() });
        }
        let held = held.part(part);
        if let Some(resident) = &held.plain {
            plain.copy_from_slice(resident);
            return Ok(());
        }
        self.part(tile, part, held, plain).map_err(|_| TileError::Damaged { tile, part })
    }
}
