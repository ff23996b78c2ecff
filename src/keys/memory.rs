//! Memory for secrets: locked into RAM, left out of core dumps and of forks, zero before it is
//! given back.
//!
//! Why not a `Box` and the wiping allocator: a page of the heap can be swapped out, dumped with the
//! process and copied into a child. These pages cannot.
//!
//! Invariant: a secret of this module is readable only through a borrow of its owner, and the owner
//! can be neither copied, nor printed, nor serialised. Nothing here needs unsafe code of ours:
//! `memmap2` offers locking and the two advices as safe calls.
//!
//! What is absent: registers, and copies that a cipher makes of a key while it works
//! ([`super::aead`] wipes the stack that it used). A hypervisor and a debugger with privilege read
//! everything.

use std::{
    cell::Cell,
    io,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    thread,
};

use memmap2::{Advice, MmapMut};
use rustix::process::{Resource, getrlimit};
use zeroize::Zeroize;

use crate::random::Entropy;

/// Bytes of a key: 256 bits.
pub const KEY_BYTES: usize = 32;
/// Bytes of a page; memory is locked by the page.
const PAGE_BYTES: usize = 4096;
/// Bytes of an arena's largest region: 8,192 keys.
const CHUNK_BYTES_MAX: usize = 64 * PAGE_BYTES;

/// Why memory for secrets could not be had. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The process may not lock as much as it needs.
    #[error(
        "{need_bytes} more bytes of memory must be locked and this process may lock {limit_bytes} \
         in all: raise the limit (`ulimit -l unlimited` in the shell that starts it, \
         `LimitMEMLOCK=infinity` in its systemd unit, `--ulimit memlock=-1` for a container)"
    )]
    Limit {
        /// Bytes of the region that did not fit.
        need_bytes: usize,
        /// The soft limit `RLIMIT_MEMLOCK`.
        limit_bytes: u64,
    },
    /// The system has no memory to give, or knows no locking.
    #[error("{need_bytes} bytes of locked memory cannot be had: {why}")]
    Unavailable {
        /// Bytes of the region.
        need_bytes: usize,
        /// What the system said.
        why: io::Error,
    },
}

/// Zeroed bytes in locked, non-dumpable memory; zero again before the pages go back.
///
/// It cannot be printed or copied:
/// ```compile_fail
/// fn leak(bytes: &portcullis::keys::memory::LockedBytes) -> String {
///     format!("{bytes:?}")
/// }
/// ```
/// ```compile_fail
/// use portcullis::keys::memory::LockedBytes;
/// fn copy(bytes: &LockedBytes) -> LockedBytes {
///     bytes.clone()
/// }
/// ```
pub struct LockedBytes {
    map: MmapMut,
    bytes: usize,
}

impl LockedBytes {
    /// `bytes` zero bytes. Whole pages are locked.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn zeroed(bytes: usize) -> Result<Self, LockError> {
        let need_bytes = bytes.max(1).next_multiple_of(PAGE_BYTES);
        let unavailable = |why| LockError::Unavailable { need_bytes, why };
        let map = MmapMut::map_anon(need_bytes).map_err(unavailable)?;
        // Before the lock, which brings the pages in: no page is ever there and dumpable.
        map.advise(Advice::DontDump).map_err(unavailable)?;
        map.advise(Advice::DontFork).map_err(unavailable)?;
        map.lock().map_err(|why| refused(need_bytes, why))?;
        Ok(Self { map, bytes })
    }
}

/// `mlock` answers ENOMEM or EPERM where the limit is in the way.
fn refused(need_bytes: usize, why: io::Error) -> LockError {
    let limit = getrlimit(Resource::Memlock).current;
    let limits = [io::ErrorKind::OutOfMemory, io::ErrorKind::PermissionDenied];
    match limit {
        Some(limit_bytes) if limits.contains(&why.kind()) => {
            LockError::Limit { need_bytes, limit_bytes }
        }
        _ => LockError::Unavailable { need_bytes, why },
    }
}

impl Deref for LockedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.bytes]
    }
}

impl DerefMut for LockedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.bytes]
    }
}

impl Drop for LockedBytes {
    fn drop(&mut self) {
        self.map.zeroize();
    }
}

/// One key: 32 secret bytes in a locked page of their own, for keys that stand alone (an epoch's,
/// a root). [`KeyArena`] holds many.
///
/// It can be neither copied, nor printed, nor serialised:
/// ```compile_fail
/// fn copy(key: &portcullis::keys::Key) -> portcullis::keys::Key {
///     key.clone()
/// }
/// ```
/// ```compile_fail
/// fn leak(key: &portcullis::keys::Key) -> String {
///     format!("{key:?}")
/// }
/// ```
/// ```compile_fail
/// fn leak(key: &portcullis::keys::Key) -> String {
///     serde_json::to_string(key).unwrap()
/// }
/// ```
pub struct Key(LockedBytes);

impl Key {
    /// A fresh key.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn random(entropy: &dyn Entropy) -> Result<Self, LockError> {
        let mut region = LockedBytes::zeroed(KEY_BYTES)?;
        entropy.fill(&mut region);
        Ok(Self(region))
    }

    /// Takes `source` over and wipes it, also when no memory can be had.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn from_bytes(source: &mut [u8; KEY_BYTES]) -> Result<Self, LockError> {
        let region = LockedBytes::zeroed(KEY_BYTES);
        let region = region.map(|mut region| {
            region.copy_from_slice(source);
            region
        });
        source.zeroize();
        region.map(Self)
    }

    /// A key whose bytes `fill` writes in place.
    ///
    /// # Errors
    /// What `fill` answers, or [`LockError`]; the bytes are then wiped.
    pub fn filled<E: From<LockError>>(
        fill: impl FnOnce(&mut [u8; KEY_BYTES]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut region = LockedBytes::zeroed(KEY_BYTES)?;
        fill((&mut region[..]).try_into().expect("a region of a key's bytes"))?;
        Ok(Self(region))
    }

    /// The bytes. Hand them to a cipher; never copy them.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        (&self.0[..]).try_into().expect("a region of a key's bytes")
    }
}

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
            chunk.0.read().unwrap_or_else(PoisonError::into_inner).region.map.len()
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
        let bytes = (PAGE_BYTES << chunks.len().min(6)).min(CHUNK_BYTES_MAX);
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
        EXPOSED.set(true);
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
    debug_assert!(!EXPOSED.get() || thread::panicking(), "this thread has borrowed a key already");
}

/// A borrowed key of an arena. It stays with its thread.
pub struct Exposed<'a> {
    places: RwLockReadGuard<'a, Places>,
    at: usize,
}

impl Drop for Exposed<'_> {
    fn drop(&mut self) {
        EXPOSED.set(false);
    }
}

impl Deref for Exposed<'_> {
    type Target = [u8; KEY_BYTES];

    fn deref(&self) -> &[u8; KEY_BYTES] {
        let key = &self.places.region[self.at..self.at + KEY_BYTES];
        key.try_into().expect("a place of a key's bytes")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::random::SystemEntropy;

    /// The kernel's flags of the mapping that `at` lies in.
    fn flags(at: usize) -> String {
        let maps = fs::read_to_string("/proc/self/smaps").expect("Linux");
        let mut is_ours = false;
        for line in maps.lines() {
            let range = line.split_whitespace().next().and_then(|word| word.split_once('-'));
            let bounds = range.and_then(|(from, to)| {
                let parse = |text| usize::from_str_radix(text, 16).ok();
                Some(parse(from)?..parse(to)?)
            });
            if let Some(bounds) = bounds {
                is_ours = bounds.contains(&at);
            } else if let (true, Some(flags)) = (is_ours, line.strip_prefix("VmFlags:")) {
                return format!("{flags} ");
            }
        }
        panic!("no mapping at {at:x}");
    }

    #[test]
    fn keys_lie_in_memory_that_is_locked_and_neither_dumped_nor_inherited() {
        let key = Key::random(&SystemEntropy).expect("a key");
        let arena = KeyArena::new();
        let slot = arena.random(&SystemEntropy).expect("a key");
        for at in [key.expose().as_ptr().addr(), slot.expose().as_ptr().addr()] {
            let flags = flags(at);
            for flag in [" lo ", " dd ", " dc "] {
                assert!(flags.contains(flag), "{flag} in {flags}");
            }
        }
    }

    #[test]
    fn a_source_is_wiped_when_it_is_taken_over() {
        let mut source = [7; KEY_BYTES];
        let key = Key::from_bytes(&mut source).expect("a key");
        assert_eq!((key.expose(), source), (&[7; KEY_BYTES], [0; KEY_BYTES]));
        let arena = KeyArena::new();
        let mut source = [8; KEY_BYTES];
        let slot = arena.admit(&mut source).expect("a key");
        assert_eq!((*slot.expose(), source), ([8; KEY_BYTES], [0; KEY_BYTES]));
    }

    #[test]
    fn an_arena_keeps_its_keys_apart_grows_and_forgets() {
        let arena = KeyArena::new();
        let of = |at: usize| {
            let mut key = [0; KEY_BYTES];
            key[..8].copy_from_slice(&(at as u64 + 1).to_le_bytes());
            key
        };
        let slots: Vec<_> = (0..1000).map(|at| arena.admit(&mut of(at)).expect("room")).collect();
        assert!(slots.iter().enumerate().all(|(at, slot)| *slot.expose() == of(at)));
        let locked = arena.locked_bytes();
        assert!((1000 * KEY_BYTES..16 * PAGE_BYTES).contains(&locked), "{locked}");
        let chunk = Arc::clone(&slots[500].chunk);
        let place = slots[500].place as usize * KEY_BYTES;
        drop(slots);
        let places = chunk.0.read().expect("not poisoned");
        assert_eq!(places.region[place..place + KEY_BYTES], [0; KEY_BYTES]);
        assert!(places.region.iter().all(|&byte| byte == 0));
        drop(places);
        let again: Vec<_> = (0..1000).map(|at| arena.admit(&mut of(at)).expect("room")).collect();
        assert_eq!(arena.locked_bytes(), locked, "places are used again");
        assert_eq!(*again[999].expose(), of(999));
    }

    /// Two keys of one region, borrowed at once, wait for ever as soon as a third is let go between
    /// the borrows. So every test that changes a gallery would find it, whatever the schedule.
    #[test]
    #[cfg(debug_assertions)]
    fn a_thread_that_borrows_two_keys_at_once_is_told_before_it_can_hang() {
        let arena = KeyArena::new();
        let [a, b] = [(); 2].map(|()| arena.random(&SystemEntropy).expect("a key"));
        let second = |act: &dyn Fn()| {
            let held = a.expose();
            let act = std::panic::AssertUnwindSafe(act);
            let told = std::panic::catch_unwind(act).is_err();
            drop(held);
            told
        };
        assert!(second(&|| drop(b.expose())), "another borrow");
        assert!(second(&|| drop(arena.random(&SystemEntropy))), "a new key");
        assert_ne!(a.expose().to_vec(), [0; KEY_BYTES], "one after the other is the rule");
    }

    #[test]
    fn a_lock_that_is_refused_names_limit_need_and_remedy() {
        let error = refused(8192, io::ErrorKind::OutOfMemory.into());
        let told = error.to_string();
        assert!(told.contains("8192"), "{told}");
        match getrlimit(Resource::Memlock).current {
            Some(limit) => {
                for word in [&limit.to_string(), "ulimit -l", "LimitMEMLOCK"] {
                    assert!(told.contains(word), "{word} in {told}");
                }
            }
            None => assert!(matches!(error, LockError::Unavailable { .. })),
        }
        let other = refused(8192, io::ErrorKind::Unsupported.into());
        assert!(matches!(other, LockError::Unavailable { need_bytes: 8192, .. }));
        // More than there are addresses.
        assert!(LockedBytes::zeroed(1 << 60).is_err());
    }
}
