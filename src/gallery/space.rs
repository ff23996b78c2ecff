//! Which bytes of the file are in use.
//!
//! Nothing about this is on the disk: at open it is rebuilt from what the superblocks reach. An
//! extent is in use for as long as somebody holds its [`Extent`]: the newest tree, a snapshot that
//! a scan still reads, and the writer, which keeps what only the older superblock reaches until
//! that superblock has been written over. So "never write where somebody could read" is not a rule
//! to remember but what holding means.
//!
//! Best fit, with neighbours joined when they are given back: extents come in few sizes (three
//! parts of a full tile, a leaf, a root), so that what one change frees the next takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::format::{EXTENTS_AT, Place, UNIT_BYTES};

/// The free runs of a file, and its end.
pub(super) struct Space {
    free: Mutex<Free>,
}

struct Free {
    /// Bytes of the free run at an offset.
    by_place: BTreeMap<u64, u64>,
    /// The same, by size.
    by_bytes: BTreeSet<(u64, u64)>,
    /// Behind the last extent: free for ever.
    end: u64,
}

impl Free {
    fn add(&mut self, at: u64, bytes: u64) {
        if bytes > 0 {
            self.by_place.insert(at, bytes);
            self.by_bytes.insert((bytes, at));
        }
    }

    fn remove(&mut self, at: u64) -> u64 {
        let bytes = self.by_place.remove(&at).expect("a run that was just found");
        self.by_bytes.remove(&(bytes, at));
        bytes
    }

    fn take(&mut self, bytes: u64) -> u64 {
        let Some(&(held, at)) = self.by_bytes.range((bytes, 0)..).next() else {
            self.end += bytes;
            return self.end - bytes;
        };
        self.remove(at);
        self.add(at + bytes, held - bytes);
        at
    }

    fn give(&mut self, mut at: u64, mut bytes: u64) {
        if let Some((&before, &held)) = self.by_place.range(..at).next_back()
            && before + held == at
        {
            self.remove(before);
            (at, bytes) = (before, held + bytes);
        }
        if self.by_place.contains_key(&(at + bytes)) {
            bytes += self.remove(at + bytes);
        }
        if at + bytes == self.end {
            self.end = at;
        } else {
            self.add(at, bytes);
        }
    }

    /// Takes exactly `at..at + bytes`; false when some of it is in use.
    fn claim(&mut self, at: u64, bytes: u64) -> bool {
        if at >= self.end {
            let gap = at - self.end;
            self.add(self.end, gap);
            self.end = at + bytes;
            return true;
        }
        let Some((&run, &held)) = self.by_place.range(..=at).next_back() else { return false };
        if at + bytes > run + held {
            return false;
        }
        self.remove(run);
        self.add(run, at - run);
        self.add(at + bytes, run + held - at - bytes);
        true
    }
}

fn whole(bytes: u64) -> u64 {
    bytes.next_multiple_of(UNIT_BYTES)
}

impl Space {
    /// A file without any extent.
    pub(super) fn new() -> Arc<Self> {
        let free = Free { by_place: BTreeMap::new(), by_bytes: BTreeSet::new(), end: EXTENTS_AT };
        Arc::new(Self { free: Mutex::new(free) })
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An extent of `bytes` bytes that nobody holds.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Arc<Extent> {
        let at = self.lock().take(whole(bytes));
        Arc::new(Extent { place: Place { at, bytes }, space: Arc::clone(self) })
    }

    /// The extent at `place`, which the file says is in use; `None` when another has bytes of it.
    pub(super) fn claim(self: &Arc<Self>, place: Place) -> Option<Arc<Extent>> {
        self.lock()
            .claim(place.at, whole(place.bytes))
            .then(|| Arc::new(Extent { place, space: Arc::clone(self) }))
    }

    /// Bytes up to the end of the last extent.
    pub(super) fn end(&self) -> u64 {
        self.lock().end
    }

    /// Bytes before that end that nobody holds.
    pub(super) fn free_bytes(&self) -> u64 {
        self.lock().by_place.values().sum()
    }
}

/// A run of bytes in use; free again when dropped.
pub(super) struct Extent {
    pub(super) place: Place,
    space: Arc<Space>,
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.space.lock().give(self.place.at, whole(self.place.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again_and_neighbours_join() {
        let space = Space::new();
        let held: Vec<_> = [100, 64, 1, 640].map(|bytes| space.take(bytes)).into();
        let at = held.iter().map(|extent| extent.place.at - EXTENTS_AT).collect::<Vec<_>>();
        assert_eq!((at, space.end() - EXTENTS_AT), (vec![0, 128, 192, 256], 896));
        let [a, b, c, d] = <[_; 4]>::try_from(held).ok().expect("four");
        drop((a, c));
        assert_eq!(space.free_bytes(), 192);
        assert_eq!(space.take(64).place.at, EXTENTS_AT + 192, "the smallest that fits");
        drop(b);
        assert_eq!(space.take(256).place.at, EXTENTS_AT);
        drop(d);
        assert_eq!((space.end(), space.free_bytes()), (EXTENTS_AT, 0));
    }

    #[test]
    fn an_extent_of_the_file_is_claimed_once() {
        let space = Space::new();
        let place = |at, bytes| Place { at: EXTENTS_AT + at, bytes };
        let far = space.claim(place(640, 100)).expect("free");
        let near = space.claim(place(64, 64)).expect("free");
        for taken in [place(640, 1), place(704, 64), place(576, 65), place(0, 65), place(64, 64)] {
            assert!(space.claim(taken).is_none(), "{taken:?}");
        }
        assert_eq!((space.end() - EXTENTS_AT, space.free_bytes()), (768, 576));
        assert_eq!(space.take(512).place.at, EXTENTS_AT + 128);
        drop((far, near));
        assert_eq!(space.end(), EXTENTS_AT);
    }
}
