//! Where the file custodian and the holders' records keep their files: a folder, or memory for
//! tests that record, tear and replay every write.
//!
//! Names are flat. A file is written in place; it becomes durable with [`Vault::sync`], its name
//! with [`Vault::sync_names`].
//!
//! Invariant: [`FolderVault`] opens nothing that others can read or write, follows no link, and
//! makes files with mode 0600 whatever the process's mask is.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::OFlags;
use zeroize::Zeroize;

/// The mode of every key file.
pub const FILE_MODE: u32 = 0o600;
/// The mode of a folder that is made for them.
const FOLDER_MODE: u32 = 0o700;

/// Why a vault did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// What the system said.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another process has it, or another opening of this one.
    #[error("{} uses it: stop that one first", Holder(*pid))]
    InUse {
        /// Which, where the system tells.
        pid: Option<u32>,
    },
    /// Others could read it, or write it.
    #[error("{why}")]
    Exposed {
        /// What is wrong.
        why: String,
        /// The mode that is demanded.
        want: u32,
    },
}

/// Who holds a lock, in words.
pub(crate) struct Holder(pub(crate) Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "pid {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// The process that the kernel's own table names as the holder of a lock on `file`: unlike a pid
/// written beside the file, it cannot be stale.
pub(crate) fn holder(file: &File) -> Option<u32> {
    let held = file.metadata().ok()?;
    let device = (rustix::fs::major(held.dev()), rustix::fs::minor(held.dev()));
    named(&fs::read_to_string("/proc/locks").ok()?, device, held.ino())
}

/// Who holds a lock on a file in the kernel's table. Some file systems show another device there
/// than to whoever asks for the file's: then its number tells, if it is the only one.
fn named(locks: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let mut alike = Vec::new();
    for line in locks.lines() {
        // 1: FLOCK  ADVISORY  WRITE 3154 fd:01:1835012 0 EOF
        let mut words = line.split_whitespace().skip(4);
        let (Some(pid), Some(place)) = (words.next(), words.next()) else { continue };
        let (Ok(pid), Some((device, number))) = (pid.parse(), place.rsplit_once(':')) else {
            continue;
        };
        if number != inode.to_string() {
            continue;
        }
        if device == format!("{major:02x}:{minor:02x}") {
            return Some(pid);
        }
        alike.push(pid);
    }
    match alike[..] {
        [pid] => Some(pid),
        _ => None,
    }
}

/// What to do about a file that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contended {
    /// Refuse.
    Refuse,
    /// Wait until it is free.
    Wait,
}

/// A file of a vault that nobody else may lock while this lives.
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// The lock of a vault that is one process's alone, so that nobody could contend for it.
    #[must_use]
    pub fn uncontended() -> Self {
        Self { _file: None }
    }
}

/// A flat folder of small files.
pub trait Vault: Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// The names of all files, in order.
    ///
    /// # Errors
    /// [`VaultError`].
    fn list(&self) -> Result<Vec<String>, VaultError>;

    /// Reads a file from `at` into `bytes` and says how many were read, fewer at the file's end;
    /// none if there is no such file.
    ///
    /// # Errors
    /// [`VaultError`].
    fn read(&self, name: &str, at: u64, bytes: &mut [u8]) -> Result<Option<usize>, VaultError>;

    /// Makes an empty file. No error if it is there already.
    ///
    /// # Errors
    /// [`VaultError`].
    fn create(&self, name: &str) -> Result<(), VaultError>;

    /// Writes at an offset of a file that exists.
    ///
    /// # Errors
    /// [`VaultError`]; any part may have been written.
    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), VaultError>;

    /// Makes what was written to a file durable.
    ///
    /// # Errors
    /// [`VaultError`].
    fn sync(&self, name: &str) -> Result<(), VaultError>;

    /// Removes a file's name. No error if there is none.
    ///
    /// # Errors
    /// [`VaultError`].
    fn unlink(&self, name: &str) -> Result<(), VaultError>;

    /// Makes created and removed names durable.
    ///
    /// # Errors
    /// [`VaultError`].
    fn sync_names(&self) -> Result<(), VaultError>;

    /// Locks a file for as long as the answer lives; none if there is no such file. It keeps nobody
    /// from reading and writing it, only from locking it.
    ///
    /// # Errors
    /// [`VaultError::InUse`] where it is locked already and `contended` says to refuse that.
    fn lock(&self, name: &str, contended: Contended) -> Result<Option<Lock>, VaultError>;
}

/// A folder on disk.
pub struct FolderVault {
    folder: PathBuf,
    /// Open on the file that no other process may use, and locked.
    _lock: Option<File>,
}

impl FolderVault {
    /// Opens `folder`, and makes it with mode 0700 if it is not there.
    ///
    /// # Errors
    /// [`VaultError::Exposed`] if others could write into it, [`VaultError::Io`].
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        match fs::create_dir(folder) {
            Ok(()) => {
                fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))?;
                if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
                    File::open(above)?.sync_all()?;
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        let held = fs::metadata(folder)?;
        if !held.is_dir() {
            return Err(io::Error::from(ErrorKind::NotADirectory).into());
        }
        refuse_others(&held, 0o022, FOLDER_MODE)?;
        Ok(Self { folder: folder.to_owned(), _lock: None })
    }

    /// Opens `folder`, and `file` in it for this process alone; makes both if they are not there.
    ///
    /// # Errors
    /// As [`FolderVault::open`], and [`VaultError::InUse`].
    pub fn open_alone(folder: &Path, file: &str) -> Result<Self, VaultError> {
        let vault = Self::open(folder)?;
        vault.create(file)?;
        let lock = locked(vault.existing(file)?)?;
        Ok(Self { _lock: Some(lock), ..vault })
    }

    /// Opens a file of the vault, if it is there, and only if nobody else could have.
    fn file(&self, name: &str, writable: bool) -> Result<Option<File>, VaultError> {
        open_owned(&self.folder.join(name), writable)
    }

    fn existing(&self, name: &str) -> Result<File, VaultError> {
        self.file(name, true)?.ok_or_else(|| io::Error::from(ErrorKind::NotFound).into())
    }
}

fn locked(file: File) -> Result<File, VaultError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(VaultError::InUse { pid: holder(&file) }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Opens a secret's file, if it is there, and only if nobody but this user could read it.
pub(in crate::keys) fn open_owned(path: &Path, writable: bool) -> Result<Option<File>, VaultError> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
    let opened = File::options().read(true).write(writable).custom_flags(flags).open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let held = file.metadata()?;
    if !held.is_file() {
        let why = "is not a plain file".to_owned();
        return Err(VaultError::Exposed { why, want: FILE_MODE });
    }
    refuse_others(&held, 0o077, FILE_MODE)?;
    Ok(Some(file))
}

/// Refuses what belongs to somebody else, or has one of the mode bits `forbidden`.
fn refuse_others(held: &fs::Metadata, forbidden: u32, want: u32) -> Result<(), VaultError> {
    let mode = held.mode() & 0o7777;
    let why = if held.uid() != user() {
        format!("belongs to user {}", held.uid())
    } else if mode & forbidden != 0 {
        format!("has mode {mode:04o}")
    } else {
        return Ok(());
    };
    Err(VaultError::Exposed { why, want })
}

/// The user whom files must belong to.
pub(in crate::keys) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a new file of mode 0600, whatever the process's mask is; an error if it exists.
pub(in crate::keys) fn create_owned(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

impl Vault for FolderVault {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn list(&self) -> Result<Vec<String>, VaultError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str, at: u64, bytes: &mut [u8]) -> Result<Option<usize>, VaultError> {
        let Some(file) = self.file(name, false)? else { return Ok(None) };
        let mut held = 0;
        while held < bytes.len() {
            match file.read_at(&mut bytes[held..], at.saturating_add(held as u64)) {
                Ok(0) => break,
                Ok(more) => held += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(held))
    }

    fn create(&self, name: &str) -> Result<(), VaultError> {
        match create_owned(&self.folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => Ok(made.map(drop)?),
        }
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), VaultError> {
        Ok(self.existing(name)?.write_all_at(bytes, at)?)
    }

    fn sync(&self, name: &str) -> Result<(), VaultError> {
        Ok(self.existing(name)?.sync_data()?)
    }

    fn unlink(&self, name: &str) -> Result<(), VaultError> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        }
    }

    fn sync_names(&self) -> Result<(), VaultError> {
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    fn lock(&self, name: &str, contended: Contended) -> Result<Option<Lock>, VaultError> {
        let Some(file) = self.file(name, true)? else { return Ok(None) };
        let file = match contended {
            Contended::Refuse => locked(file)?,
            Contended::Wait => {
                file.lock()?;
                file
            }
        };
        Ok(Some(Lock { _file: Some(file) }))
    }
}

/// Files in memory, for tests: an image can be taken out, changed and put back.
#[derive(Default)]
pub struct MemoryVault(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryVault {
    /// A vault that holds `image`.
    #[must_use]
    pub fn of(image: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Mutex::new(image))
    }

    /// Every file as it is now.
    #[must_use]
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        self.files().clone()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MemoryVault {
    fn drop(&mut self) {
        self.files().values_mut().for_each(Zeroize::zeroize);
    }
}

impl Vault for MemoryVault {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> Result<Vec<String>, VaultError> {
        Ok(self.files().keys().cloned().collect())
    }

    fn read(&self, name: &str, at: u64, bytes: &mut [u8]) -> Result<Option<usize>, VaultError> {
        let files = self.files();
        let Some(file) = files.get(name) else { return Ok(None) };
        let rest = usize::try_from(at).ok().and_then(|at| file.get(at..)).unwrap_or_default();
        let held = rest.len().min(bytes.len());
        bytes[..held].copy_from_slice(&rest[..held]);
        Ok(Some(held))
    }

    fn create(&self, name: &str) -> Result<(), VaultError> {
        self.files().entry(name.to_owned()).or_default();
        Ok(())
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), VaultError> {
        let mut files = self.files();
        let file = files.get_mut(name).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let at = usize::try_from(at).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        let end = at.saturating_add(bytes.len());
        if file.len() < end {
            file.resize(end, 0);
        }
        file[at..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, name: &str) -> Result<(), VaultError> {
        let exists = self.files().contains_key(name);
        exists.then_some(()).ok_or_else(|| io::Error::from(ErrorKind::NotFound).into())
    }

    fn unlink(&self, name: &str) -> Result<(), VaultError> {
        if let Some(mut file) = self.files().remove(name) {
            file.zeroize();
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<(), VaultError> {
        Ok(())
    }

    fn lock(&self, name: &str, _: Contended) -> Result<Option<Lock>, VaultError> {
        Ok(self.files().contains_key(name).then(Lock::uncontended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_told_by_device_and_number() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11 fd:01:77 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 12 08:12:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 13 08:12:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 14 fd:01:78 0 EOF\n";
        assert_eq!(named(locks, (0xfd, 1), 77), Some(11));
        assert_eq!(named(locks, (8, 0x12), 77), Some(12), "another disk's file of that number");
        assert_eq!(named(locks, (0, 0x1c), 77), None, "which of them, nobody can tell");
        assert_eq!(
            named(locks, (0, 0x1c), 78),
            Some(14),
            "a file system that tells another device"
        );
        assert_eq!(named(locks, (0xfd, 1), 7), None);
    }
}
