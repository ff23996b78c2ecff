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
    io,
    ops::{Deref, DerefMut},
};

use memmap2::{Advice, MmapMut};
use rustix::process::{Resource, getrlimit};
use zeroize::Zeroize;

use crate::random::Entropy;

/// Bytes of a key: 256 bits.
pub const KEY_BYTES: usize = 32;
/// Bytes of a page; memory is locked by the page.
const PAGE_BYTES: usize = 4096;

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
/// a root). [`super::KeyArena`] holds many.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{keys::KeyArena, random::SystemEntropy};

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
