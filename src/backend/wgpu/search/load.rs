//! Tiles on their way to the device: opened, packed, staged, one window of tiles at a time.
//!
//! There are two stagings: while the device copies and scans one window, the host opens the next.
//!
//! Invariant: plaintext lies in the scratch and the staging of a search only while the search
//! lasts; both are wiped before it returns.

use std::sync::Arc;

use ::wgpu::{BufferViewMut, CommandEncoder, SubmissionIndex};

use super::slab::Slab;
use crate::{
    backend::{
        BackendError,
        gpu::opened::Opened,
        wgpu::{device::Gpu, transfer::Staging},
    },
    ops::tile::{TileSet, TileSource},
};

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
    opened: Opened,
    windows: usize,
}

impl Loader {
    /// Empty.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        let staging = [Staging::new(gpu), Staging::new(gpu)];
        Self { staging, opened: Opened::default(), windows: 0 }
    }

    /// Opens a window of tiles and appends to `encoder` what brings them into their slots. The
    /// caller submits it and tells [`Loader::submitted`].
    pub(super) fn load(
        &mut self,
        encoder: &mut CommandEncoder,
        source: &dyn TileSource,
        wanted: &[Wanted<'_>],
    ) -> Result<(), BackendError> {
        let Self { staging, opened, windows } = self;
        let staging = &mut staging[*windows % 2];
        let bytes = |wanted: &Wanted<'_>| -> usize {
            wanted.slots.iter().map(|(slab, _)| slab.shape.bytes()).sum()
        };
        let whole: usize = wanted.iter().map(bytes).sum();
        staging.write(whole as u64, |view| {
            let mut at = 0;
            for tile in wanted {
                opened.open(source, tile.tile, tile.facts)?;
                at = stage(view, at, source.set(), tile, opened);
            }
            Ok(())
        })?;
        let mut at = 0;
        for tile in wanted {
            for &(slab, slot) in &tile.slots {
                let into = (slab.shape, slot);
                slab.held.fill(encoder, (staging, at), into, tile.facts);
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
        self.opened.wipe();
        self.staging.iter_mut().try_for_each(Staging::wipe)
    }
}

/// Packs the pieces of an opened tile into staging from `at` on; gives where they end.
fn stage(
    view: &mut BufferViewMut,
    mut at: usize,
    set: &TileSet,
    wanted: &Wanted<'_>,
    opened: &mut Opened,
) -> usize {
    let Some((slab, _)) = wanted.slots.first() else { return at };
    for stretch in slab.shape.stretches(set.tiles[wanted.tile].rows) {
        let packed = opened.pack(set, wanted.tile, slab.shape, stretch, wanted.facts);
        view.slice(at..at + packed.len()).copy_from_slice(packed);
        at += packed.len();
    }
    at
}
