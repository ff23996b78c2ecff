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
//! A set that finds no room on a device costs nobody an answer either: the generation is searched
//! where it lies, and the next one asks again, since by then others may have let go.
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

/// What one engine keeps of one generation.
struct Resident {
    engine: Arc<dyn Backend>,
    set: Held,
}

enum Held {
    /// All of it.
    Set(Arc<dyn Pinned>),
    /// Nothing: it could only be kept unlocked.
    Unlocked,
    /// Nothing: there is no room for it.
    Full,
}

impl Resident {
    fn new(
        engine: &Arc<dyn Backend>,
        source: &Arc<dyn TileSource>,
    ) -> Result<Arc<Self>, BackendError> {
        let generation = source.set().generation;
        let pinned = engine.pin(source);
        let engine = Arc::clone(engine);
        let set = match pinned {
            Ok(set) => set,
            Err(error @ BackendError::Full { .. }) => {
                tracing::warn!(
                    generation, %error,
                    "a gallery is searched where it lies, more slowly, for lack of room"
                );
                return Ok(Arc::new(Self { engine, set: Held::Full }));
            }
            Err(error) => return Err(error),
        };
        if engine.describe().plaintext == Plaintext::Device || set.is_locked() {
            return Ok(Arc::new(Self { engine, set: Held::Set(set) }));
        }
        tracing::warn!(
            generation,
            "the lock limit is too low to keep a gallery in the order in which it is searched; it \
             is searched where it lies, more slowly (see `portcullis doctor`)"
        );
        Ok(Arc::new(Self { engine, set: Held::Unlocked }))
    }

    fn is_of(&self, engine: &Arc<dyn Backend>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.engine), Arc::as_ptr(engine))
    }
}

impl Kept for Resident {
    fn follow(&self, next: &Arc<dyn TileSource>) -> Option<Arc<dyn Kept>> {
        match self.set {
            Held::Set(_) => {}
            Held::Unlocked => {
                let engine = Arc::clone(&self.engine);
                return Some(Arc::new(Self { engine, set: Held::Unlocked }));
            }
            // Asked for anew when it is searched.
            Held::Full => return None,
        }
        // Unwind safety: a set that was not finished is dropped, and the gallery's change goes on.
        let followed = catch_unwind(AssertUnwindSafe(|| Self::new(&self.engine, next)));
        let why = match followed {
            // There may be room when the old set is gone.
            Ok(Ok(kept)) if matches!(kept.set, Held::Full) => return None,
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
    let is_own = |kept: &Arc<dyn Kept>| {
        let kept = (kept.as_ref() as &dyn Any).downcast_ref::<Resident>();
        kept.is_some_and(|kept| kept.is_of(engine))
    };
    let pin = |bare: &Arc<dyn TileSource>| -> Result<Arc<dyn Kept>, BackendError> {
        let kept: Arc<dyn Kept> = Resident::new(engine, bare)?;
        Ok(kept)
    };
    let kept = residence.keep(is_own, pin)?;
    let resident = (kept.as_ref() as &dyn Any).downcast_ref::<Resident>();
    Ok(match resident.map(|resident| &resident.set) {
        Some(Held::Set(set)) => Tiles::Pinned(Arc::clone(set)),
        Some(Held::Unlocked | Held::Full) | None => itself(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::{
        backend::{Description, Network, reference::Reference},
        gallery::{Enrolment, Gallery, Means, MemoryMedia, Residency, Settings},
        keys::custodian::MemoryCustodian,
        ops::{
            program::Program,
            search::{Probe, RowHits},
            tile::TileLayout,
        },
        random::SeededEntropy,
        time::SimulatedClock,
        types::{Hash256, SubjectId, Template, TemplateKind},
    };

    const KIND: TemplateKind = TemplateKind {
        model: Hash256::from_bytes([1; 32]),
        calibration: Hash256::from_bytes([2; 32]),
        dims: 4,
    };

    /// Counts how often it pinned, and how many of its sets are there.
    struct Counting {
        locks: bool,
        /// Whether it has no room.
        full: AtomicBool,
        pins: AtomicUsize,
        alive: Arc<AtomicUsize>,
    }

    impl Counting {
        fn new(locks: bool) -> Arc<Self> {
            let (full, pins) = (AtomicBool::new(false), AtomicUsize::new(0));
            Arc::new(Self { locks, full, pins, alive: Arc::default() })
        }

        /// Pinned so far, and still there.
        fn counts(&self) -> (usize, usize) {
            (self.pins.load(Ordering::SeqCst), self.alive.load(Ordering::SeqCst))
        }
    }

    /// A set that holds what it was made of, as a card's does.
    struct Set {
        source: Arc<dyn TileSource>,
        locked: bool,
        alive: Arc<AtomicUsize>,
    }

    impl Pinned for Set {
        fn generation(&self) -> u64 {
            self.source.set().generation
        }

        fn is_locked(&self) -> bool {
            self.locked
        }
    }

    impl Drop for Set {
        fn drop(&mut self) {
            self.alive.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Backend for Counting {
        fn describe(&self) -> Description {
            Reference.describe()
        }

        fn load(&self, program: &Program, most: usize) -> Result<Box<dyn Network>, BackendError> {
            Reference.load(program, most)
        }

        fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
            self.pins.fetch_add(1, Ordering::SeqCst);
            if self.full.load(Ordering::SeqCst) {
                return Err(BackendError::Full { what: "counting", why: "as told".to_owned() });
            }
            self.alive.fetch_add(1, Ordering::SeqCst);
            let (source, alive) = (Arc::clone(source), Arc::clone(&self.alive));
            Ok(Arc::new(Set { source, locked: self.locks, alive }))
        }

        fn search(&self, _: &[Probe<'_>], _: &Tiles) -> Result<Vec<RowHits>, BackendError> {
            Ok(Vec::new())
        }
    }

    fn gallery(residency: Residency) -> Gallery {
        let entropy = Arc::new(SeededEntropy::new(7));
        let means = Means {
            custodian: Arc::new(MemoryCustodian::new(Arc::clone(&entropy) as _)),
            entropy,
            clock: Arc::new(SimulatedClock::at(1_000)),
        };
        let layout = TileLayout { dims: 4, hot_dims: 2, rows: 2 };
        let settings = Settings { residency, ..Settings::default() };
        let media = Arc::new(MemoryMedia::new());
        Gallery::create(media, means, KIND, layout, settings).expect("a few pages can be locked")
    }

    fn subject(number: u8) -> SubjectId {
        SubjectId::from_bytes([number; 16])
    }

    fn enrol(gallery: &Gallery, number: u8) {
        let template =
            Template::new([number.cast_signed(), 1, 2, 3].into(), KIND).expect("a template");
        gallery
            .enrol(subject(number), vec![template], Enrolment::default())
            .expect("there is room");
    }

    /// The generation that is searched when `engine` searches the newest one.
    fn pinned(engine: &Arc<Counting>, gallery: &Gallery) -> Option<u64> {
        let engine = Arc::<Counting>::clone(engine) as Arc<dyn Backend>;
        match tiles(&engine, &gallery.source()).expect("it opens") {
            Tiles::Pinned(set) => Some(set.generation()),
            Tiles::Source(_) => None,
        }
    }

    #[test]
    fn a_locked_gallery_is_pinned_once_for_each_generation_and_a_sealed_one_never() {
        let engine = Counting::new(true);
        let sealed = gallery(Residency::Sealed);
        enrol(&sealed, 1);
        assert_eq!((pinned(&engine, &sealed), engine.counts()), (None, (0, 0)));
        let locked = gallery(Residency::Locked);
        enrol(&locked, 1);
        assert_eq!(engine.counts(), (0, 0), "nobody has searched it");
        for _ in 0..2 {
            assert_eq!((pinned(&engine, &locked), engine.counts()), (Some(1), (1, 1)));
        }
        enrol(&locked, 2);
        assert_eq!(
            engine.counts(),
            (2, 1),
            "it followed, and the old one went with its generation"
        );
        assert_eq!((pinned(&engine, &locked), engine.counts()), (Some(2), (2, 1)));
        drop(locked);
        assert_eq!(engine.counts(), (2, 0));
    }

    #[test]
    fn an_erasure_is_complete_when_what_was_kept_of_the_old_generation_is_gone() {
        let engine = Counting::new(true);
        let gallery = gallery(Residency::Locked);
        (1..=3).for_each(|number| enrol(&gallery, number));
        assert!(pinned(&engine, &gallery).is_some());
        let erasure = gallery.erase(subject(1)).expect("enrolled");
        assert!(erasure.is_complete(), "a set that nobody searches holds nothing up");
        assert_eq!(engine.counts(), (2, 1));
        let order = gallery.source(); // of a search that runs
        let erasure = gallery.erase(subject(2)).expect("enrolled");
        assert!(!erasure.is_complete());
        assert_eq!(engine.counts(), (3, 2));
        drop(order);
        assert!(erasure.is_complete());
        assert_eq!(engine.counts(), (3, 1));
    }

    #[test]
    fn what_could_only_be_kept_unlocked_is_not_kept_and_not_asked_for_again() {
        let engine = Counting::new(false);
        let gallery = gallery(Residency::Locked);
        for number in 1..=3 {
            enrol(&gallery, number);
            assert_eq!((pinned(&engine, &gallery), engine.counts()), (None, (1, 0)));
        }
    }

    #[test]
    fn what_finds_no_room_is_searched_where_it_lies_until_there_is_room() {
        let engine = Counting::new(true);
        engine.full.store(true, Ordering::SeqCst);
        let gallery = gallery(Residency::Locked);
        enrol(&gallery, 1);
        for _ in 0..2 {
            assert_eq!((pinned(&engine, &gallery), engine.counts()), (None, (1, 0)), "asked once");
        }
        enrol(&gallery, 2);
        assert_eq!((pinned(&engine, &gallery), engine.counts()), (None, (2, 0)), "asked again");
        engine.full.store(false, Ordering::SeqCst);
        enrol(&gallery, 3);
        assert_eq!((pinned(&engine, &gallery), engine.counts()), (Some(3), (3, 1)));
        engine.full.store(true, Ordering::SeqCst);
        enrol(&gallery, 4);
        assert_eq!(engine.counts(), (4, 0), "no room beside the old set, which is gone now");
        engine.full.store(false, Ordering::SeqCst);
        assert_eq!((pinned(&engine, &gallery), engine.counts()), (Some(4), (5, 1)));
    }

    #[test]
    fn the_engine_that_takes_over_keeps_a_set_of_its_own() {
        let (lost, next) = (Counting::new(true), Counting::new(true));
        let gallery = gallery(Residency::Locked);
        enrol(&gallery, 1);
        assert_eq!((pinned(&lost, &gallery), lost.counts()), (Some(1), (1, 1)));
        assert_eq!((pinned(&next, &gallery), next.counts()), (Some(1), (1, 1)));
        assert_eq!(lost.counts(), (1, 0), "there may be no room for both");
        enrol(&gallery, 2);
        assert_eq!((lost.counts(), next.counts()), ((1, 0), (2, 1)));
    }
}
