//! What a gallery lies on: a file that this process alone holds, or memory.
//!
//! The gallery asks for five things and no more, so that a test can stand between it and the disk,
//! write down every call, tear it, drop it or refuse it. A sixth, the memory map, is a hint: a
//! media without one is read through [`Media::read`].
//!
//! Invariant: nothing but ciphertext and the superblocks' plain heads passes through here. One
//! process writes a file: [`FileMedia`] holds an exclusive lock for as long as it lives, and names
//! the holder to whoever comes second.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use super::map::FileMap;
use crate::keys::custodian::vault::{Holder, holder};

/// A resizable run of bytes. Reads may run beside each other and beside a write to other bytes.
pub trait Media: Send + Sync {
    /// Bytes it has.
    ///
    /// # Errors
    /// What the system said.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has none.
    ///
    /// # Errors
    /// As [`Self::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes` from `at`; all of them or [`ErrorKind::UnexpectedEof`].
    ///
    /// # Errors
    /// What the system said.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `at`, within the length.
    ///
    /// # Errors
    /// What the system said; any part of `bytes` may then be written, and nothing beside it.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes it `len` bytes long; new ones are zero.
    ///
    /// # Errors
    /// What the system said; the length is then unchanged.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written before, and the length, outlives a power cut.
    ///
    /// # Errors
    /// What the system said; what is on the disk is then unknown.
    fn sync(&self) -> io::Result<()>;

    /// The bytes of now, mapped; `None` where there is nothing to map.
    ///
    /// # Errors
    /// What the system said.
    fn map(&self) -> io::Result<Option<Arc<dyn Mapped>>> {
        Ok(None)
    }
}

/// A memory map of a media. What is written later through the media shows in it.
pub trait Mapped: Send + Sync {
    /// Bytes that are mapped, from the first.
    fn len(&self) -> u64;

    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies `bytes.len()` bytes from `at`; false, and nothing copied, where they are not mapped.
    fn copy(&self, at: u64, bytes: &mut [u8]) -> bool;
}

/// Why a gallery's file was not opened. The operator must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// Another process (or another opening of this one) holds it.
    #[error(
        "{} is in use by {}; stop that process, or ask the running appliance instead",
        path.display(), Holder(*pid)
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// Who holds it, where the system tells.
        pid: Option<u32>,
    },
    /// There is something already.
    #[error("{} exists already; choose another name, or open it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing.
    #[error("{} does not exist; create the gallery first", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error(
        "{} cannot be {act}: {why}; check its folder's owner, mode and free space",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// What the system said.
        why: String,
    },
}

/// A file, locked for this process until it is dropped.
pub struct FileMedia {
    file: File,
}

impl FileMedia {
    /// Makes a new, empty file that only its owner may read, and locks it.
    ///
    /// # Errors
    /// [`MediaError`]; an existing file is never touched.
    pub fn create(path: &Path) -> Result<Self, MediaError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let media = Self::locked(&options, path, "created")?;
        // The name, too, must outlive a power cut.
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| refused(path, "created", &error))?;
        Ok(media)
    }

    /// Opens and locks an existing file.
    ///
    /// # Errors
    /// [`MediaError`].
    pub fn open(path: &Path) -> Result<Self, MediaError> {
        Self::locked(OpenOptions::new().read(true).write(true), path, "opened")
    }

    fn locked(options: &OpenOptions, path: &Path, act: &'static str) -> Result<Self, MediaError> {
        let file = options.open(path).map_err(|error| refused(path, act, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                Err(MediaError::InUse { path: path.to_owned(), pid: holder(&file) })
            }
            Err(TryLockError::Error(error)) => Err(refused(path, "locked", &error)),
        }
    }
}

fn refused(path: &Path, act: &'static str, error: &io::Error) -> MediaError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::AlreadyExists => MediaError::Exists { path },
        ErrorKind::NotFound if act == "opened" => MediaError::Missing { path },
        _ => MediaError::Io { path, act, why: error.to_string() },
    }
}

impl Media for FileMedia {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data() // fdatasync: contents, and the length that is needed to read them
    }

    fn map(&self) -> io::Result<Option<Arc<dyn Mapped>>> {
        if self.is_empty()? {
            return Ok(None);
        }
        Ok(FileMap::of(&self.file)?.map(|map| Arc::new(map) as Arc<dyn Mapped>))
    }
}

/// Bytes of one block of a [`MemoryMedia`]: growing never moves what is there.
const BLOCK_BYTES: usize = 1 << 16;

#[derive(Default)]
struct Blocks {
    blocks: Vec<Box<[u8]>>,
    len: usize,
}

/// Memory as a media: what a power cut erases. A clone is the same memory.
#[derive(Clone, Default)]
pub struct MemoryMedia {
    held: Arc<RwLock<Blocks>>,
}

impl MemoryMedia {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let media = Self::new();
        let len = bytes.len() as u64;
        media.set_len(len).and_then(|()| media.write(0, bytes)).expect("memory has room or aborts");
        media
    }

    /// A copy of everything in it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = held.blocks.concat();
        bytes.truncate(held.len);
        bytes
    }
}

/// The pieces of `at..at + bytes` by block: block, place in it, length.
fn pieces(at: usize, bytes: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut at = at;
    let end = at + bytes;
    std::iter::from_fn(move || {
        let (block, within) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
        let piece = (BLOCK_BYTES - within).min(end - at);
        at += piece;
        (piece > 0).then_some((block, within, piece))
    })
}

/// `at` as an index, when `bytes` bytes from there lie within `len`.
fn within(at: u64, bytes: usize, len: usize) -> io::Result<usize> {
    let start = usize::try_from(at).map_err(|_| ErrorKind::UnexpectedEof)?;
    let end = start.checked_add(bytes).ok_or(ErrorKind::UnexpectedEof)?;
    if end <= len { Ok(start) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

impl Media for MemoryMedia {
    fn len(&self) -> io::Result<u64> {
        Ok(self.held.read().unwrap_or_else(PoisonError::into_inner).len as u64)
    }

    fn read(&self, at: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let at = within(at, bytes.len(), held.len)?;
        for (block, from, piece) in pieces(at, bytes.len()) {
            let (now, later) = bytes.split_at_mut(piece);
            now.copy_from_slice(&held.blocks[block][from..][..piece]);
            bytes = later;
        }
        Ok(())
    }

    fn write(&self, at: u64, mut bytes: &[u8]) -> io::Result<()> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let at = within(at, bytes.len(), held.len)?;
        for (block, from, piece) in pieces(at, bytes.len()) {
            let (now, later) = bytes.split_at(piece);
            held.blocks[block][from..][..piece].copy_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let before = held.len;
        held.blocks.resize_with(len.div_ceil(BLOCK_BYTES), || vec![0; BLOCK_BYTES].into());
        if len < before
            && let Some(last) = held.blocks.get_mut(len / BLOCK_BYTES)
        {
            last[len % BLOCK_BYTES..].fill(0);
        }
        held.len = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_what_is_written(media: &dyn Media) {
        media.set_len(200_000).expect("room");
        media.write(65_530, &[7; 70_000]).expect("within");
        let mut back = vec![1; 70_010];
        media.read(65_525, &mut back).expect("within");
        assert!(back[..5].iter().chain(&back[70_005..]).all(|&byte| byte == 0));
        assert!(back[5..70_005].iter().all(|&byte| byte == 7));
        media.set_len(65_540).expect("shorter");
        media.set_len(200_000).expect("longer");
        media.read(65_540, &mut back[..100]).expect("within");
        assert!(back[..100].iter().all(|&byte| byte == 0), "what was cut off is gone");
        let short = media.read(199_999, &mut [0; 2]).expect_err("past the end");
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
        media.sync().expect("synced");
    }

    #[test]
    fn memory_and_files_hold_what_is_written() {
        holds_what_is_written(&MemoryMedia::new());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery");
        let media = FileMedia::create(&path).expect("created");
        holds_what_is_written(&media);
        media.write(5, b"mapped").expect("within");
        let map = media.map().expect("mapped").expect("not empty");
        let mut bytes = [0; 6];
        assert!(map.copy(5, &mut bytes) && &bytes == b"mapped");
        media.write(5, b"shared").expect("within");
        assert!(map.copy(5, &mut bytes) && &bytes == b"shared");
        assert!(!map.copy(map.len() - 5, &mut bytes) && !map.copy(u64::MAX, &mut bytes));
    }

    /// Without asking first, the last copy would end this process with SIGBUS.
    #[test]
    fn what_was_cut_off_behind_a_map_is_an_error_of_the_file_and_no_signal() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery");
        let media = FileMedia::create(&path).expect("created");
        media.set_len(3 * 4096).expect("room");
        let map = media.map().expect("mapped");
        let cut = OpenOptions::new().write(true).open(&path).expect("nobody is kept from it");
        cut.set_len(4096).expect("cut off");
        let mut bytes = [1; 100];
        if let Some(map) = map {
            assert!(map.copy(4000, &mut bytes[..96]), "what is left is read");
            assert!(!map.copy(4090, &mut bytes) && !map.copy(8192, &mut bytes));
        }
        let error = media.read(8192, &mut bytes).expect_err("past the end");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_second_opening_is_told_who_holds_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gallery");
        assert!(matches!(FileMedia::open(&path), Err(MediaError::Missing { .. })));
        let first = FileMedia::create(&path).expect("created");
        assert!(matches!(FileMedia::create(&path), Err(MediaError::Exists { .. })));
        let Err(error) = FileMedia::open(&path) else { panic!("opened twice") };
        assert!(matches!(error, MediaError::InUse { .. }), "{error}");
        if std::fs::exists("/proc/locks").expect("an answer") {
            let pid = Some(std::process::id());
            assert_eq!(error, MediaError::InUse { path: path.clone(), pid });
        }
        drop(first);
        FileMedia::open(&path).expect("free again");
    }
}
