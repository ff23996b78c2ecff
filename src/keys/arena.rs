//! Many keys in few locked regions: the data keys of an open gallery.
//!
//! Invariant: a key is readable only through a borrow of its slot; when the slot is dropped its
//! bytes are zero before its place is free. A thread holds one borrow at a time.
//! The locks are those of `crate::sync`: this file is run under every schedule
//! (`tests/shuttle_gallery.rs`).

use std::{
    cell::Cell,
    ops::Deref,
    sync::{Arc, PoisonError},
    thread,
};

use zeroize::Zeroize;

use super::memory::{KEY_BYTES, LockError, LockedBytes};
use crate::{
    random::Entropy,
    sync::{Mutex, RwLock, RwLockReadGuard, thread_local},
};

/// Bytes of an arena's first region, a page.
const CHUNK_BYTES_MIN: usize = 4096;
/// Bytes of its largest: 8,192 keys.
const CHUNK_BYTES_MAX: usize = 64 * CHUNK_BYTES_MIN;

/// Many keys, packed into few locked regions: the data keys of an open gallery.
///
/// A key is put in once, and lives as long as its [`KeySlot`]: snapshots share slots by `Arc`, and
/// when the last of them lets go the 32 bytes are zero. Regions grow from one page to 256 KiB, so
/// that a small gallery asks for little of the lock limit.
#[derive(Default)]
pub struct KeyArena {
    chunks: Mutex<Vec<Arc<Chunk>>>,
}

/// One region and which of its places are free.
struct Chunk(RwLock<Places>);

struct Places {
    region: LockedBytes,
    free: Vec<u32>,
}

impl Chunk {
    fn of(bytes: usize) -> Result<Self, LockError> {
        let region = LockedBytes::zeroed(bytes)?;
        let places = u32::try_from(bytes / KEY_BYTES).expect("a chunk has 8,192 places at most");
        Ok(Self(RwLock::new(Places { region, free: (0..places).rev().collect() })))
    }

    /// Fills a free place, or tells that there is none.
    fn put(self: &Arc<Self>, fill: impl FnOnce(&mut [u8])) -> Result<KeySlot, ()> {
        alone();
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let place = places.free.pop().ok_or(())?;
        let at = place as usize * KEY_BYTES;
        fill(&mut places.region[at..at + KEY_BYTES]);
        Ok(KeySlot { chunk: Arc::clone(self), place })
    }
}

impl KeyArena {
    /// An arena that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A fresh key.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn random(&self, entropy: &dyn Entropy) -> Result<KeySlot, LockError> {
        self.put(|place| entropy.fill(place))
    }

    /// Takes `source` over and wipes it, also when no memory can be had.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn admit(&self, source: &mut [u8; KEY_BYTES]) -> Result<KeySlot, LockError> {
        let slot = self.put(|place| place.copy_from_slice(source));
        source.zeroize();
        slot
    }

    /// Bytes that are locked now.
    #[must_use]
    pub fn locked_bytes(&self) -> usize {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |chunk: &Arc<Chunk>| {
            chunk.0.read().unwrap_or_else(PoisonError::into_inner).region.len()
        };
        chunks.iter().map(bytes).sum()
    }

    fn put(&self, mut fill: impl FnMut(&mut [u8])) -> Result<KeySlot, LockError> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest first: the older ones are mostly full.
        for chunk in chunks.iter().rev() {
            if let Ok(slot) = chunk.put(&mut fill) {
                return Ok(slot);
            }
        }
        let bytes = (CHUNK_BYTES_MIN << chunks.len().min(6)).min(CHUNK_BYTES_MAX);
        let chunk = Arc::new(Chunk::of(bytes)?);
        let slot = chunk.put(&mut fill);
        chunks.push(chunk);
        Ok(slot.unwrap_or_else(|()| unreachable!("a new region has free places")))
    }
}

/// One key of a [`KeyArena`]; zeroed, and its place free again, when dropped.
///
/// ```compile_fail
/// fn copy(slot: &portcullis::keys::KeySlot) -> portcullis::keys::KeySlot {
///     slot.clone()
/// }
/// ```
/// ```compile_fail
/// fn leak(slot: &portcullis::keys::KeySlot) -> String {
///     format!("{slot:?}")
/// }
/// ```
pub struct KeySlot {
    chunk: Arc<Chunk>,
    place: u32,
}

impl KeySlot {
    /// The key, for as long as the borrow lives. Hold it for one call of a cipher and no longer: a
    /// key that is put into or taken out of the same region waits meanwhile.
    ///
    /// A thread holds one such borrow at a time. Keys share a region's lock, and that lock lets no
    /// reader in behind a writer that waits: a second borrow would wait for the writer, and the
    /// writer for the first. Debug builds panic where it is tried.
    #[must_use]
    pub fn expose(&self) -> Exposed<'_> {
        alone();
        let places = self.chunk.0.read().unwrap_or_else(PoisonError::into_inner);
        EXPOSED.with(|exposed| exposed.set(true));
        Exposed { places, at: self.place as usize * KEY_BYTES }
    }
}

impl Drop for KeySlot {
    fn drop(&mut self) {
        alone();
        let mut places = self.chunk.0.write().unwrap_or_else(PoisonError::into_inner);
        let at = self.place as usize * KEY_BYTES;
        places.region[at..at + KEY_BYTES].zeroize();
        places.free.push(self.place);
    }
}

thread_local! {
    /// Whether this thread has borrowed a key of an arena.
    static EXPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Refuses what could wait for this very thread.
fn alone() {
    let is_alone = !EXPOSED.with(Cell::get) || thread::panicking();
    debug_assert!(is_alone, "this thread has borrowed a key already");
}

/// A borrowed key of an arena. It stays with its thread.
pub struct Exposed<'a> {
    places: RwLockReadGuard<'a, Places>,
    at: usize,
}

impl Drop for Exposed<'_> {
    fn drop(&mut self) {
        EXPOSED.with(|exposed| exposed.set(false));
    }
}

impl Deref for Exposed<'_> {
    type Target = [u8; KEY_BYTES];

    fn deref(&self) -> &[u8; KEY_BYTES] {
        let key = &self.places.region[self.at..self.at + KEY_BYTES];
        key.try_into().expect("a place of a key's bytes")
    }
}
