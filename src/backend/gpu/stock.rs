//! What a search of a device runs over: a set of its own, or a source.

use std::{any::Any, sync::Arc};

use super::{
    answers::{by_tile, from_source},
    shelf::{Board, Pin},
};
use crate::{
    backend::{BackendError, Tiles},
    ops::{
        search::RowHits,
        tile::{TileSet, TileSource},
    },
};

/// What is searched.
pub(in crate::backend) enum Stock<B: Board> {
    Pinned(Arc<Pin<B>>),
    Source(Arc<dyn TileSource>),
}

impl<B: Board> Stock<B> {
    /// `tiles`, if they are the backend's own, whose name is `what`.
    pub(in crate::backend) fn of(tiles: &Tiles, what: &'static str) -> Result<Self, BackendError> {
        let set = match tiles {
            Tiles::Source(source) => return Ok(Self::Source(Arc::clone(source))),
            Tiles::Pinned(set) => Arc::clone(set),
        };
        let generation = set.generation();
        let any: Arc<dyn Any + Send + Sync> = set;
        let own = any.downcast::<Pin<B>>();
        own.map(Self::Pinned).map_err(|_| BackendError::ForeignSet { what, generation })
    }

    /// The generation.
    pub(in crate::backend) fn set(&self) -> &TileSet {
        match self {
            Self::Pinned(pin) => &pin.set,
            Self::Source(source) => source.set(),
        }
    }

    /// Fills in whose rows were found; a tile's row table is opened once.
    pub(in crate::backend) fn name(&self, found: &mut [RowHits]) -> Result<(), BackendError> {
        by_tile(found, self.set().layout.rows, |tile, hits| match self {
            Self::Pinned(pin) => {
                for (row, hit) in hits {
                    hit.subject = pin.tiles[tile].subjects[*row];
                }
                Ok(())
            }
            Self::Source(source) => Ok(from_source(source.as_ref(), tile, hits)?),
        })
    }
}
