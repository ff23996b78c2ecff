//! The place beside a generation for what an engine keeps of it: a copy in a device's memory, or
//! its planes in the order in which it reads them.
//!
//! ```text
//! generation ─► Residence ─► Kept (one engine's) ─► memory of its own
//!     │             └──────► the bare generation, which what is kept may hold
//!     └ published anew: the next one's residence follows, equal tiles are shared; this one's goes
//! ```
//!
//! Why beside the generation, and not with the engine: what is kept then lives as long as the
//! generation does, and no longer. Whoever holds the generation (an order, a scan) holds it, too;
//! when the last of them lets go, it is given up first, and only then is the generation released.
//! So an erasure that waits for the generations that held a row has waited for every copy of it.
//!
//! Invariant: what is kept is given up before the bare generation is. A generation whose plaintext
//! may lie nowhere but in a scan's scratch has no residence.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::tile::TileSource;

/// What an engine keeps of one generation.
pub trait Kept: Any + Send + Sync {
    /// The same of `next`, made while this is still there, so that equal tiles are shared. `None`
    /// where that did not work: whoever searches `next` first tries again, and is told why.
    fn follow(&self, next: &Arc<dyn TileSource>) -> Option<Arc<dyn Kept>>;
}

/// The place. It holds what one engine keeps; another one's takes its place.
pub struct Residence {
    // Dropped in this order.
    kept: Mutex<Option<Arc<dyn Kept>>>,
    bare: Arc<dyn TileSource>,
}

impl Residence {
    /// An empty place beside `bare`, which must have none itself: what is kept may hold it.
    #[must_use]
    pub fn beside(bare: Arc<dyn TileSource>) -> Self {
        Self { kept: Mutex::new(None), bare }
    }

    /// What is kept, where it `serves` whoever asks; else what `make` makes of the bare generation,
    /// and is kept from now on. Who asks meanwhile waits, so that it is made once.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub fn keep<E>(
        &self,
        serves: impl FnOnce(&Arc<dyn Kept>) -> bool,
        make: impl FnOnce(&Arc<dyn TileSource>) -> Result<Arc<dyn Kept>, E>,
    ) -> Result<Arc<dyn Kept>, E> {
        let mut kept = self.held();
        if let Some(held) = kept.as_ref()
            && serves(held)
        {
            return Ok(Arc::clone(held));
        }
        *kept = None; // before another is made: there may be no room for both
        Ok(Arc::clone(kept.insert(make(&self.bare)?)))
    }

    /// Takes over what is kept of the generation before, brought to this one.
    pub fn follow(&self, before: &Self) {
        let held = before.held().clone();
        if let Some(next) = held.and_then(|held| held.follow(&self.bare)) {
            *self.held() = Some(next);
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<dyn Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
