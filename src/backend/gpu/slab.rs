//! Device memory for pieces: slabs of equal slots.
//!
//! Invariant: a slot that is free is zeroed. Whoever lets go of a slot marks it, and a sweep zeroes
//! what is marked and only then gives it out again.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use super::{locked, pack::SlotShape};

/// Equal slots in the memory `held`.
pub(in crate::backend) struct Slab<M> {
    pub(in crate::backend) shape: SlotShape,
    pub(in crate::backend) held: M,
    slots: usize,
    free: Mutex<Vec<usize>>,
    /// Let go of, not yet zeroed.
    soiled: Mutex<Vec<usize>>,
}

/// A slot that somebody holds.
pub(in crate::backend) struct Slot<M> {
    pub(in crate::backend) slab: Arc<Slab<M>>,
    pub(in crate::backend) number: usize,
}

impl<M> Drop for Slot<M> {
    fn drop(&mut self) {
        locked(&self.slab.soiled).push(self.number);
    }
}

impl<M> Slab<M> {
    /// `slots` slots of `shape`, all zeroed, in `held`.
    pub(in crate::backend) fn new(shape: SlotShape, slots: usize, held: M) -> Self {
        let free = Mutex::new((0..slots).rev().collect());
        Self { shape, held, slots, free, soiled: Mutex::default() }
    }

    /// A free slot.
    pub(in crate::backend) fn take(self: &Arc<Self>) -> Option<Slot<M>> {
        let number = locked(&self.free).pop()?;
        Some(Slot { slab: Arc::clone(self), number })
    }

    /// Slots that nobody holds.
    pub(in crate::backend) fn free(&self) -> usize {
        locked(&self.free).len()
    }

    /// Whether nobody holds a slot of it.
    pub(in crate::backend) fn is_free(&self) -> bool {
        self.free() == self.slots
    }

    /// Zeroes what was let go of with `clear`, which waits until that is done; then it is free.
    pub(in crate::backend) fn sweep<E>(
        &self,
        clear: impl FnOnce(&[Range<usize>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut soiled = std::mem::take(&mut *locked(&self.soiled));
        if soiled.is_empty() {
            return Ok(());
        }
        soiled.sort_unstable();
        let runs = soiled.chunk_by(|one, other| one + 1 == *other);
        let runs: Vec<Range<usize>> = runs.map(|run| run[0]..run[0] + run.len()).collect();
        clear(&runs)?;
        locked(&self.free).extend(soiled.iter().rev());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tile::TileLayout;

    #[test]
    fn a_slot_is_given_out_again_only_when_it_was_zeroed() {
        let shape = SlotShape::of(TileLayout { dims: 2, hot_dims: 1, rows: 8 }, false);
        let slab = Arc::new(Slab::new(shape, 5, ()));
        let mut held: Vec<_> = std::iter::from_fn(|| slab.take()).collect();
        assert_eq!(held.len(), 5);
        for number in [4, 1, 0] {
            held.retain(|slot| slot.number != number);
        }
        assert!(slab.take().is_none());
        slab.sweep(|_| Err("a lost device")).expect_err("it is told on");
        assert!(slab.take().is_none(), "what was not zeroed is not given out");
        held.retain(|slot| slot.number != 3);
        let mut cleared = Vec::new();
        slab.sweep::<()>(|runs| {
            cleared = runs.to_vec();
            Ok(())
        })
        .expect("it is zeroed");
        assert_eq!((cleared.len(), cleared.first()), (1, Some(&(3..4))));
        assert_eq!(slab.take().map(|slot| slot.number), Some(3));
        assert!(!slab.is_free());
    }
}
