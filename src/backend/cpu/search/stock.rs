//! What a scan runs over: a resident set of this backend, or a source.

use std::{any::Any, sync::Arc};

use super::{
    parts::{Bytes, Opened},
    pin::Pin,
    tile_scan::Hot,
};
use crate::{
    backend::{BackendError, Tiles, cpu::NAME},
    ops::tile::{TilePart, TileSet, TileSource},
};

/// One generation that is scanned.
#[derive(Clone)]
pub(super) enum Stock {
    /// Resident, hot planes packed.
    Pinned(Arc<Pin>),
    /// Opened tile by tile, or read where it lies.
    Source(Arc<dyn TileSource>),
}

/// Scans of one key are shared: generations of one gallery, or one set that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Sources of one gallery.
    Gallery(u64),
    /// Resident generations of one gallery.
    Resident(u64),
    /// One object; whoever is in the scan holds it, so that its address is its own.
    Alone(usize),
}

impl Stock {
    /// Takes what a caller handed over.
    pub(super) fn of(tiles: &Tiles) -> Result<Self, BackendError> {
        let set = match tiles {
            Tiles::Source(source) => return Ok(Self::Source(Arc::clone(source))),
            Tiles::Pinned(set) => Arc::clone(set),
        };
        let generation = set.generation();
        let any: Arc<dyn Any + Send + Sync> = set;
        let own = any.downcast::<Pin>();
        let own = own.map_err(|_| BackendError::ForeignSet { what: NAME, generation })?;
        Ok(Self::Pinned(own))
    }

    /// Whose scans are shared.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Pinned(pin) if pin.origin == 0 => Key::Alone(Arc::as_ptr(pin).addr()),
            Self::Pinned(pin) => Key::Resident(pin.origin),
            Self::Source(source) => match source.origin() {
                0 => Key::Alone(Arc::as_ptr(source).addr()),
                origin => Key::Gallery(origin),
            },
        }
    }

    /// The generation.
    pub(super) fn set(&self) -> &TileSet {
        match self {
            Self::Pinned(pin) => &pin.set,
            Self::Source(source) => source.set(),
        }
    }

    /// The hot plane of `tile`.
    pub(super) fn hot<'a>(&'a self, tile: usize, scratch: &'a mut Bytes) -> Hot<'a> {
        match self {
            Self::Pinned(pin) => Hot::Packed(pin.blocks(tile)),
            Self::Source(_) => Hot::Plain(self.part(tile, TilePart::Hot, scratch)),
        }
    }

    /// The cold plane or the row table of `tile`.
    pub(super) fn part<'a>(
        &'a self,
        tile: usize,
        part: TilePart,
        scratch: &'a mut Bytes,
    ) -> Opened<'a> {
        match self {
            Self::Pinned(pin) => pin.part(tile, part, scratch),
            Self::Source(source) => Opened::new(source.as_ref(), tile, part, scratch),
        }
    }

    /// The hot plane of `tile` where it lies as plaintext in memory, to ask for it ahead.
    pub(super) fn ahead(&self, tile: usize) -> &[u8] {
        if tile >= self.set().tiles.len() {
            return &[];
        }
        match self {
            Self::Pinned(pin) => pin.blocks(tile),
            Self::Source(source) => source.resident(tile, TilePart::Hot).unwrap_or_default(),
        }
    }
}
