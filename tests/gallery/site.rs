//! A gallery with everything that it stands on: a recording disk, or a real folder.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use portcullis::{
    gallery::{FileMedia, Gallery, GalleryError, Means, Media, Settings},
    keys::custodian::{Custodian, FileCustodian, Stand, vault::{FolderVault, Vault, VaultError}},
    random::{Entropy, SeededEntropy, SystemEntropy},
    time::SimulatedClock,
};

use super::{
    disk::{Call, Change, Disk, Files},
    people::{LAYOUT, kind},
};

/// Whether the long forms are asked for.
#[expect(clippy::disallowed_methods, reason = "tests read what `./test` exports")]
pub fn is_long() -> bool {
    env::var("PORTCULLIS_LONG").is_ok_and(|long| long == "1")
}

/// Runs `work` for every number below `count` on all cores.
pub fn spread(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(number);
                }
            });
        }
    });
}

impl Media for Disk {
    fn len(&self) -> io::Result<u64> {
        self.look(|image| image.media.len() as u64)
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.look(|image| {
            let at = usize::try_from(at).expect("small");
            let held = image.media.get(at..at.saturating_add(bytes.len()));
            let held = held.ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(held);
            Ok(())
        })?
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.call(Call::Media(Change::Write(at, bytes.into())))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Call::Media(Change::Length(len)))
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::MediaSync)
    }
}

/// The custodian's side of the same disk.
struct RecordedVault(Disk);

impl Vault for RecordedVault {
    fn place(&self) -> String {
        "a recording disk".to_owned()
    }

    fn list(&self) -> Result<Vec<String>, VaultError> {
        Ok(self.0.look(|image| image.vault.keys().cloned().collect())?)
    }

    fn read(&self, name: &str, bytes: &mut [u8]) -> Result<Option<usize>, VaultError> {
        Ok(self.0.look(|image| {
            let file = image.vault.get(name)?;
            let held = file.len().min(bytes.len());
            bytes[..held].copy_from_slice(&file[..held]);
            Some(held)
        })?)
    }

    fn create(&self, name: &str) -> Result<(), VaultError> {
        Ok(self.0.call(Call::Make(name.to_owned()))?)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), VaultError> {
        Ok(self.0.call(Call::Vault(name.to_owned(), Change::Write(at, bytes.into())))?)
    }

    fn sync(&self, name: &str) -> Result<(), VaultError> {
        Ok(self.0.call(Call::VaultSync(name.to_owned()))?)
    }

    fn unlink(&self, name: &str) -> Result<(), VaultError> {
        Ok(self.0.call(Call::Unlink(name.to_owned()))?)
    }

    fn sync_names(&self) -> Result<(), VaultError> {
        Ok(self.0.call(Call::FolderSync)?)
    }
}

enum Ground {
    Disk(Disk),
    Folder(PathBuf),
}

/// Where one gallery is, with the means to open it.
pub struct Site {
    ground: Ground,
    means: Means,
}

impl Site {
    /// On a recording disk, with randomness of one seed: one script gives one log.
    pub fn on(disk: &Disk) -> Self {
        Self::seeded(disk, 1)
    }

    pub fn seeded(disk: &Disk, seed: u64) -> Self {
        let vault = Arc::new(RecordedVault(disk.clone()));
        let keys = Arc::new(SeededEntropy::new(seed.wrapping_add(1 << 32)));
        let custodian = FileCustodian::over(vault, None, keys).map(Arc::new);
        let entropy = Arc::new(SeededEntropy::new(seed));
        Self { ground: Ground::Disk(disk.clone()), ..Self::with(custodian, entropy) }
    }

    /// In a real folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self::drawing(folder, Arc::new(SystemEntropy))
    }

    /// The same, with all randomness from `entropy`.
    pub fn drawing(folder: &Path, entropy: Arc<dyn Entropy>) -> Self {
        let custodian = FileCustodian::open(&Self::vault_in(folder), None, Arc::clone(&entropy));
        Self { ground: Ground::Folder(folder.to_owned()), ..Self::with(custodian.map(Arc::new), entropy) }
    }
}
