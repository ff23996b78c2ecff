//! The memory of slabs: three buffers that fit a binding, one for each plane of the slots.

use std::{ops::Range, sync::Arc};

use ::wgpu::{Buffer, CommandEncoder};

use super::{
    ask::Place,
    load::{Loader, Wanted},
};
use crate::{
    backend::{
        BackendError,
        gpu::{
            pack::SlotShape,
            shelf::{Board, PinnedTile},
            slab,
        },
        wgpu::{device::Gpu, transfer::Staging},
    },
    ops::tile::{TileSet, TileSource},
};

/// Slots of a slab at most: its buffers are then well below what drivers allocate in one piece.
const SLOTS_MAX: usize = 4096;
/// Slots of a slab where everything is divided finely.
const SLOTS_TIGHT: usize = 3;

/// The buffers of one slab.
pub(super) struct Planes {
    pub(super) hot: Buffer,
    pub(super) cold: Buffer,
    pub(super) facts: Buffer,
    /// How many slots they hold.
    pub(super) slots: usize,
}

pub(super) type Slab = slab::Slab<Planes>;

/// Slots that a slab of `shape` may have on this device.
pub(super) fn slots_max(gpu: &Gpu, shape: SlotShape) -> usize {
    if gpu.tight {
        return SLOTS_TIGHT;
    }
    let largest = shape.hot_bytes().max(shape.cold_bytes()).max(shape.facts_bytes());
    let fitting = gpu.binding_bytes_max() / (largest as u64).max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, SLOTS_MAX)
}

impl Planes {
    /// For `slots` slots.
    pub(super) fn new(gpu: &Gpu, shape: SlotShape, slots: usize) -> Result<Self, BackendError> {
        let room = |label, bytes: usize| gpu.storage(label, (bytes * slots) as u64);
        Ok(Self {
            hot: room("hot", shape.hot_bytes())?,
            cold: room("cold", shape.cold_bytes())?,
            facts: room("facts", shape.facts_bytes())?,
            slots,
        })
    }

    /// Zeroes a run of slots.
    pub(super) fn clear(&self, encoder: &mut CommandEncoder, shape: SlotShape, run: &Range<usize>) {
        for (buffer, bytes) in self.with_bytes(shape) {
            if bytes > 0 {
                let (at, many) = ((run.start * bytes) as u64, (run.len() * bytes) as u64);
                encoder.clear_buffer(buffer, at, Some(many));
            }
        }
    }

    fn with_bytes(&self, shape: SlotShape) -> [(&Buffer, usize); 3] {
        [
            (&self.hot, shape.hot_bytes()),
            (&self.cold, shape.cold_bytes()),
            (&self.facts, shape.facts_bytes()),
        ]
    }

    /// Copies a packed piece, hot, cold and facts, from `at` in `staging` into slot `number`; the
    /// facts only where they were packed.
    pub(super) fn fill(
        &self,
        encoder: &mut CommandEncoder,
        (staging, mut at): (&Staging, u64),
        (shape, number): (SlotShape, usize),
        has_facts: bool,
    ) {
        let planes = if has_facts { 3 } else { 2 };
        for (buffer, bytes) in self.with_bytes(shape).into_iter().take(planes) {
            if bytes > 0 {
                staging.copy(encoder, at, buffer, (number * bytes) as u64, bytes as u64);
            }
            at += bytes as u64;
        }
    }
}

/// A device as a shelf knows it.
pub(super) struct Bench(pub(super) Arc<Gpu>);

impl Board for Bench {
    type Memory = Planes;
    type Loader = Loader;
    /// Where pieces lie, slab by slab; what is asked of them is told with every search.
    type Table = Vec<(Arc<Slab>, Vec<Place>)>;

    fn shape(&self, set: &TileSet) -> SlotShape {
        SlotShape::of(set.layout, self.0.tight)
    }

    fn slots_max(&self, shape: SlotShape) -> usize {
        slots_max(&self.0, shape)
    }

    fn memory(&self, shape: SlotShape, slots: usize) -> Result<Planes, BackendError> {
        Planes::new(&self.0, shape, slots)
    }

    fn clear(&self, slab: &Slab, runs: &[Range<usize>]) -> Result<(), BackendError> {
        let mut encoder = self.0.encoder();
        for run in runs {
            slab.held.clear(&mut encoder, slab.shape, run);
        }
        let submission = self.0.submit(encoder);
        self.0.wait(&submission)
    }

    fn carry(
        &self,
        loader: &mut Loader,
        source: &dyn TileSource,
        fresh: &[(usize, &PinnedTile<Planes>)],
    ) -> Result<(), BackendError> {
        let wanted = fresh.iter().map(|&(tile, held)| {
            let slots = places(held);
            Wanted { tile, facts: true, slots }
        });
        let wanted: Vec<_> = wanted.collect();
        let mut encoder = self.0.encoder();
        loader.load(&mut encoder, source, &wanted)?;
        let submission = self.0.submit(encoder);
        loader.submitted(&submission);
        Ok(())
    }

    fn table(
        &self,
        _loader: &mut Loader,
        set: &TileSet,
        tiles: &[Arc<PinnedTile<Planes>>],
    ) -> Result<Self::Table, BackendError> {
        let shape = self.shape(set);
        let mut slabs: Self::Table = Vec::new();
        for (tile, held) in tiles.iter().enumerate() {
            let stretches = shape.stretches(set.tiles[tile].rows);
            for (slot, stretch) in held.slots.iter().zip(stretches) {
                let place = Place { tile, stretch, slot: slot.number };
                let known = |(slab, _): &&mut (Arc<Slab>, _)| Arc::ptr_eq(slab, &slot.slab);
                match slabs.iter_mut().rev().find(known) {
                    Some((_, places)) => places.push(place),
                    None => slabs.push((Arc::clone(&slot.slab), vec![place])),
                }
            }
        }
        Ok(slabs)
    }

    fn guarded(&self, work: &mut dyn FnMut() -> Result<(), BackendError>) {
        // A lost device has nothing left to be guarded.
        let _ = self.0.guard(work);
    }
}

/// Slab and slot of each piece.
fn places(tile: &PinnedTile<Planes>) -> Vec<(&Slab, usize)> {
    tile.slots.iter().map(|slot| (slot.slab.as_ref(), slot.number)).collect()
}
