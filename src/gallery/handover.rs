//! How a new generation comes to its readers, together with the index of subjects that belongs to
//! it.
//!
//! Invariant: whoever asks the index is told of the generation that it belongs to; nobody waits
//! here for a disk, but who needs the index and finds none yet.
//! Locks, in the order in which they are taken: `making`, `index`, `newest`. Nothing is dropped
//! under one of them that takes another's lock.

use std::{
    mem,
    sync::{Arc, PoisonError},
};

use crate::sync::{Mutex, RwLock};

/// The newest generation, and an index of it from the first time that somebody asks.
pub(super) struct Handover<G, I> {
    /// Held while an index is made: two at once would be one for nothing.
    making: Mutex<()>,
    index: RwLock<Option<I>>,
    newest: RwLock<Arc<G>>,
}

impl<G, I> Handover<G, I> {
    pub(super) fn of(first: G) -> Self {
        Self {
            making: Mutex::new(()),
            index: RwLock::new(None),
            newest: RwLock::new(Arc::new(first)),
        }
    }

    pub(super) fn newest(&self) -> Arc<G> {
        Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Swaps in `next`; `update` brings the index along in the same step.
    pub(super) fn publish(&self, next: G, update: impl FnOnce(&mut Option<I>)) {
        let next = Arc::new(next);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        update(&mut index);
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        let older = mem::replace(&mut *newest, next);
        drop((newest, index));
        drop(older); // zeroes what only it held, outside the locks
    }

    /// What `ask` finds in the index, with the generation that it belongs to; `make` makes the
    /// index, if there is none, beside the locks: it reads the disk, and a change may be published
    /// meanwhile. It is then made once more.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn with_index<T, E>(
        &self,
        make: impl Fn(&G) -> Result<I, E>,
        ask: impl Fn(&I) -> T,
    ) -> Result<(T, Arc<G>), E> {
        if let Some(told) = self.told(&ask) {
            return Ok(told);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(told) = self.told(&ask) {
                return Ok(told);
            }
            let of = self.newest();
            let made = make(&of)?;
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&of, &newest) {
                *index = Some(made);
            }
        }
    }

    fn told<T>(&self, ask: impl FnOnce(&I) -> T) -> Option<(T, Arc<G>)> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let told = ask(index.as_ref()?);
        Some((told, self.newest()))
    }
}
