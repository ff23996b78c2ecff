//! The memory map of a gallery's file: read-only, ciphertext only.
//!
//! Why an island: the bytes of a mapped file can change under a reader (this process writes to the
//! file), so they are never lent out as a slice; they are copied out through a raw pointer, and
//! what was copied is only ever believed after its tag has been checked.
//!
//! A page of a map that the disk does not give, or that somebody has cut off, would end the process
//! with a signal at the first touch. So the kernel is asked to bring in the pages first
//! (`MADV_POPULATE_READ`, Linux 5.14), which is an error where touching them would be a signal;
//! with a kernel that does not know how there is no map, and the file is read.

#![expect(unsafe_code, reason = "a mapped file is raw memory that somebody else may change")]

use std::{fs::File, io, ptr};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::media::Mapped;

/// A read-only, shared map of a whole file as long as it was when it was mapped.
pub(super) struct FileMap {
    map: MmapRaw,
}

impl FileMap {
    /// None with a kernel that cannot bring in pages on request.
    pub(super) fn of(file: &File) -> io::Result<Option<Self>> {
        let map = MmapOptions::new().map_raw_read_only(file)?;
        // Ciphertext has no place in a core dump either. Only a hint: not every kernel takes it.
        #[cfg(target_os = "linux")]
        let _ = map.advise(Advice::DontDump);
        let map = Self { map };
        Ok(map.are_there(0, 1).then_some(map))
    }

    /// Brings in the pages of a range; false when one of them cannot be had.
    #[cfg(target_os = "linux")]
    fn are_there(&self, at: usize, bytes: usize) -> bool {
        self.map.advise_range(Advice::PopulateRead, at, bytes).is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn are_there(&self, _: usize, _: usize) -> bool {
        false
    }
}

impl Mapped for FileMap {
    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    fn copy(&self, at: u64, bytes: &mut [u8]) -> bool {
        let Ok(at) = usize::try_from(at) else { return false };
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.map.len()) {
            return false;
        }
        if !self.are_there(at, bytes.len()) {
            return false;
        }
        // SAFETY: `at + bytes.len()` was just checked against the map's length, the map lives as
        // long as `self`, and the exclusive borrow `bytes` cannot overlap a read-only map. The
        // pages are backed: they were just brought in, the gallery holds the file's exclusive lock
        // and never cuts off what a map covers, and whoever cut it off between these two lines
        // would end the process, not make it read what is not there; the gallery does not write to
        // an extent that a reader can reach, and were another process to do so, the copy is bytes
        // of either state, of which every value is valid and none is believed before its tag.
        unsafe {
            ptr::copy_nonoverlapping(self.map.as_ptr().add(at), bytes.as_mut_ptr(), bytes.len());
        }
        true
    }
}
