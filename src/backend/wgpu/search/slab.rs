//! Device memory for pieces: slabs of equal slots, each slab three buffers that fit a binding.
//!
//! Invariant: a slot that is free is zeroed. Whoever lets go of a slot marks it, and a sweep zeroes
//! what is marked and only then gives it out again.

use std::sync::{Arc, Mutex};

use ::wgpu::{Buffer, CommandEncoder};

use super::pack::SlotShape;
use crate::backend::{
    BackendError,
    wgpu::{
        device::{Gpu, locked},
        transfer::Staging,
    },
};

/// Slots of a slab at least, where they fit: a set that grows by one tile needs no buffers of its
/// own.
const SLOTS_MIN: usize = 16;
/// Slots of a slab at most: its buffers are then well below what drivers allocate in one piece.
const SLOTS_MAX: usize = 4096;
/// Slots of a slab where everything is divided finely.
const SLOTS_TIGHT: usize = 3;

/// Equal slots.
pub(super) struct Slab {
    pub(super) shape: SlotShape,
    pub(super) hot: Buffer,
    pub(super) cold: Buffer,
    pub(super) facts: Buffer,
    slots: usize,
    free: Mutex<Vec<usize>>,
    /// Let go of, not yet zeroed.
    soiled: Mutex<Vec<usize>>,
}

/// A slot that somebody holds.
pub(super) struct Slot {
    pub(super) slab: Arc<Slab>,
    pub(super) number: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        locked(&self.slab.soiled).push(self.number);
    }
}

/// Slots that a slab of `shape` may have on this device.
pub(super) fn slots_max(gpu: &Gpu, shape: SlotShape) -> usize {
    if gpu.tight {
        return SLOTS_TIGHT;
    }
    let fitting = gpu.binding_bytes_max() / (shape.largest_bytes() as u64).max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, SLOTS_MAX)
}

impl Slab {
    /// A slab of `slots` slots, or of a few more, as far as the device grants them.
    pub(super) fn new(gpu: &Gpu, shape: SlotShape, slots: usize) -> Self {
        Self::exactly(gpu, shape, slots.max(SLOTS_MIN).min(slots_max(gpu, shape)))
    }

    /// A slab of `slots` slots.
    pub(super) fn exactly(gpu: &Gpu, shape: SlotShape, slots: usize) -> Self {
        let room = |label, bytes: usize| gpu.storage(label, (bytes * slots) as u64);
        Self {
            shape,
            hot: room("hot", shape.hot_bytes()),
            cold: room("cold", shape.cold_bytes()),
            facts: room("facts", shape.facts_bytes()),
            slots,
            free: Mutex::new((0..slots).rev().collect()),
            soiled: Mutex::default(),
        }
    }

    /// A free slot.
    pub(super) fn take(self: &Arc<Self>) -> Option<Slot> {
        let number = locked(&self.free).pop()?;
        Some(Slot { slab: Arc::clone(self), number })
    }

    /// Whether it has `slots` slots.
    pub(super) fn holds(&self, slots: usize) -> bool {
        self.slots >= slots
    }

    /// Whether nobody holds a slot of it.
    pub(super) fn is_free(&self) -> bool {
        locked(&self.free).len() == self.slots
    }

    /// Whether a slot waits to be zeroed.
    pub(super) fn is_soiled(&self) -> bool {
        !locked(&self.soiled).is_empty()
    }

    /// Zeroes what was let go of; the slots are free when the commands have been waited for.
    pub(super) fn sweep(&self, gpu: &Gpu) -> Result<(), BackendError> {
        let mut soiled = std::mem::take(&mut *locked(&self.soiled));
        soiled.sort_unstable();
        let mut encoder = gpu.encoder();
        for run in soiled.chunk_by(|one, other| one + 1 == *other) {
            self.clear(&mut encoder, run[0], run.len());
        }
        let submission = gpu.submit(encoder);
        gpu.wait(&submission)?;
        locked(&self.free).extend(soiled.iter().rev());
        Ok(())
    }

    /// Zeroes all of it.
    pub(super) fn clear_all(&self, encoder: &mut CommandEncoder) {
        self.clear(encoder, 0, self.slots);
    }

    fn clear(&self, encoder: &mut CommandEncoder, first: usize, slots: usize) {
        for (buffer, bytes) in self.planes() {
            if bytes > 0 {
                let (at, many) = ((first * bytes) as u64, (slots * bytes) as u64);
                encoder.clear_buffer(buffer, at, Some(many));
            }
        }
    }

    fn planes(&self) -> [(&Buffer, usize); 3] {
        [
            (&self.hot, self.shape.hot_bytes()),
            (&self.cold, self.shape.cold_bytes()),
            (&self.facts, self.shape.facts_bytes()),
        ]
    }

    /// Copies a packed piece, hot, cold and facts, from `at` in `staging` into slot `number`; the
    /// facts only where they were packed.
    pub(super) fn fill(
        &self,
        encoder: &mut CommandEncoder,
        staging: &Staging,
        mut at: u64,
        number: usize,
        has_facts: bool,
    ) {
        let planes = if has_facts { 3 } else { 2 };
        for (buffer, bytes) in self.planes().into_iter().take(planes) {
            if bytes > 0 {
                staging.copy(encoder, at, buffer, (number * bytes) as u64, bytes as u64);
            }
            at += bytes as u64;
        }
    }
}
