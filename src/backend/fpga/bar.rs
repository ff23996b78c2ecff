//! The mapped words of a real device: a file of `/sys/bus/pci/devices/*/resource*`, `/dev/uio*`,
//! or, for a test, any file.
//!
//! Why an island: registers change by themselves and have effects when they are read, so every
//! access is one volatile word through a raw pointer; nothing is ever lent out as a slice.

#![expect(unsafe_code, reason = "device registers are raw memory with a life of their own")]

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use memmap2::{MmapOptions, MmapRaw};

use super::mapped::Window;

/// A device's words.
pub struct Bar {
    map: MmapRaw,
}

impl Bar {
    /// Maps the device or the file at `path`, all of it.
    ///
    /// # Errors
    /// As the system says; `Unsupported` on a big-endian machine, where nobody has tried it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if cfg!(target_endian = "big") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let bytes = mapped_bytes(&file, path)?;
        Ok(Self { map: MmapOptions::new().len(bytes).map_raw(&file)? })
    }

    /// A pointer to the word at `at`.
    ///
    /// # Panics
    /// When no whole word is mapped there: the caller's mistake.
    fn place(&self, at: usize) -> *mut u32 {
        let is_mapped =
            at.is_multiple_of(4) && at.checked_add(4).is_some_and(|end| end <= self.bytes());
        assert!(is_mapped, "no word is mapped at {at:#x}");
        self.map.as_mut_ptr().wrapping_add(at).cast()
    }
}

/// How much there is to map: a file's length, or what a UIO device says of its first map.
fn mapped_bytes(file: &File, path: &Path) -> io::Result<usize> {
    let length = file.metadata()?.len();
    let bytes = match (length, path.file_name().and_then(|name| name.to_str())) {
        (0, Some(name)) => {
            let said = fs::read_to_string(format!("/sys/class/uio/{name}/maps/map0/size"))?;
            u64::from_str_radix(said.trim().trim_start_matches("0x"), 16)
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
        }
        _ => length,
    };
    usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl Window for Bar {
    fn bytes(&self) -> usize {
        self.map.len()
    }

    fn word(&mut self, at: usize) -> u32 {
        let place = self.place(at);
        // SAFETY: `place` has just checked that a whole, aligned word of the map is there (a map
        // begins on a page); the map lives as long as `self`, and every value of a word is valid.
        // Nothing in this process borrows the map, and the read is volatile.
        unsafe { place.read_volatile() }
    }

    fn put(&mut self, at: usize, word: u32) {
        let place = self.place(at);
        // SAFETY: as in `word`; the map is writable, and `self` is borrowed exclusively.
        unsafe { place.write_volatile(word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_file_are_read_and_written_where_they_are() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("bar");
        fs::write(&path, [1, 2, 3, 4, 5, 6, 7, 8]).expect("a file");
        let mut bar = Bar::open(&path).expect("a file can be mapped");
        assert_eq!((bar.bytes(), bar.word(4)), (8, 0x0807_0605));
        bar.put(0, 0xa1b2_c3d4);
        assert_eq!(bar.word(0), 0xa1b2_c3d4);
        drop(bar);
        assert_eq!(fs::read(&path).expect("a file"), [0xd4, 0xc3, 0xb2, 0xa1, 5, 6, 7, 8]);
    }

    #[test]
    #[should_panic(expected = "no word is mapped at 0x6")]
    fn half_a_word_is_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("bar");
        fs::write(&path, [0; 8]).expect("a file");
        let _ = Bar::open(&path).expect("a file can be mapped").word(6);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(Bar::open(&folder.path().join("none")).is_err());
        let empty = folder.path().join("uio-of-nobody");
        fs::write(&empty, []).expect("a file");
        assert!(Bar::open(&empty).is_err());
    }
}
