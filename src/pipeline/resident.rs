//! What a search runs over: the generation itself, or what the engine keeps of it.
//!
//! A gallery whose plaintext may lie in memory (`locked`) is pinned by the engine that searches it:
//! on the host that is its hot planes in the order in which they are read, beside the gallery's own
//! locked memory; on a device it is a copy in the device's memory. A sealed gallery is never
//! pinned: its plaintext lies in a scan's scratch, tile by tile, and nowhere else.
//!
//! The set is kept beside the generation ([`Residence`]), not here: a change of the gallery brings
//! it to the next generation, sharing equal tiles, and gives it up with the old one.
//!
//! Invariant: templates lie in host memory that may be swapped at no time; a set that the system
//! would not lock is dropped at once, and the generation is searched where it lies. The engine is
//! then not asked again for what follows of that gallery.
//!
//! [`Residence`]: crate::ops::residence::Residence

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    backend::{Backend, BackendError, Pinned, Plaintext, Tiles},
    ops::{residence::Kept, tile::TileSource},
};

/// What one engine keeps of one generation; nothing where it could only be kept unlocked.
struct Resident {
    engine: Arc<dyn Backend>,
    set: Option<Arc<dyn Pinned>>,
}

impl Resident {
    fn new(
        engine: &Arc<dyn Backend>,
        source: &Arc<dyn TileSource>,
    ) -> Result<Arc<Self>, BackendError> {
        let set = engine.pin(source)?;
        let engine = Arc::clone(engine);
        if engine.describe().plaintext == Plaintext::Device || set.is_locked() {
            return Ok(Arc::new(Self { engine, set: Some(set) }));
        }
        tracing::warn!(
            generation = set.generation(),
            "the lock limit is too low to keep a gallery in the order in which it is searched; it \
             is searched where it lies, more slowly (see `portcullis doctor`)"
        );
        Ok(Arc::new(Self { engine, set: None }))
    }

    fn is_of(&self, engine: &Arc<dyn Backend>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.engine), Arc::as_ptr(engine))
    }
}

impl Kept for Resident {
    fn follow(&self, next: &Arc<dyn TileSource>) -> Option<Arc<dyn Kept>> {
        if self.set.is_none() {
            return Some(Arc::new(Self { engine: Arc::clone(&self.engine), set: None }));
        }
        // Unwind safety: a set that was not finished is dropped, and the gallery's change goes on.
        let followed = catch_unwind(AssertUnwindSafe(|| Self::new(&self.engine, next)));
        let why = match followed {
            Ok(Ok(kept)) => return Some(kept),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the engine panicked".to_owned(),
        };
        let generation = next.set().generation;
        tracing::error!(generation, why, "a changed gallery is pinned anew when it is searched");
        None
    }
}

/// What `engine` searches to search `source`. Holding it does not hold the generation: the caller
/// holds `source` for longer.
pub(super) fn tiles(
    engine: &Arc<dyn Backend>,
    source: &Arc<dyn TileSource>,
) -> Result<Tiles, BackendError> {
    let itself = || Tiles::Source(Arc::clone(source));
    let Some(residence) = source.residence() else { return Ok(itself()) };
    let own = |kept: &dyn Kept| {
        (kept as &dyn Any).downcast_ref::<Resident>().is_some_and(|kept| kept.is_of(engine))
    };
    let kept = residence.keep(own, |bare| Ok::<_, BackendError>(Resident::new(engine, bare)?))?;
    let resident = (kept.as_ref() as &dyn Any).downcast_ref::<Resident>();
    let set = resident.and_then(|resident| resident.set.as_ref());
    Ok(set.map_or_else(itself, |set| Tiles::Pinned(Arc::clone(set))))
}
