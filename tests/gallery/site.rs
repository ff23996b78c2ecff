//! A gallery with everything that it stands on: a recording disk, or a real folder.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use portcullis::{
    gallery::{FileMedia, Gallery, GalleryError, Means, Media, Residency, Settings},
    keys::custodian::{
        Custodian, FileCustodian,
        vault::{Contended, Lock, Vault, VaultError},
    },
    ops::tile::TileLayout,
    random::{Entropy, SeededEntropy, SystemEntropy},
    time::SimulatedClock,
};

use super::{
    disk::{Call, Change, Disk, Files},
    people::{LAYOUT, kind_of},
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

    fn read(&self, name: &str, at: u64, bytes: &mut [u8]) -> Result<Option<usize>, VaultError> {
        Ok(self.0.look(|image| {
            let file = image.vault.get(name)?;
            let file = file.get(usize::try_from(at).expect("small")..).unwrap_or_default();
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

    /// A disk is one test's.
    fn lock(&self, name: &str, _: Contended) -> Result<Option<Lock>, VaultError> {
        Ok(self.0.look(|image| image.vault.contains_key(name).then(Lock::uncontended))?)
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
    settings: Settings,
}

impl Site {
    /// On a recording disk, with randomness of one seed: one script gives one log.
    pub fn on(disk: &Disk) -> Self {
        Self::seeded(disk, 1)
    }

    pub fn seeded(disk: &Disk, seed: u64) -> Self {
        let keys = Arc::new(SeededEntropy::new(seed.wrapping_add(1 << 32)));
        let custodian = FileCustodian::over(Arc::new(RecordedVault(disk.clone())), None, keys);
        let custodian = custodian.expect("no passphrase is set");
        let entropy = Arc::new(SeededEntropy::new(seed));
        Self::of(Ground::Disk(disk.clone()), Arc::new(custodian), entropy)
    }

    /// In a real folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self::drawing(folder, Arc::new(SystemEntropy))
    }

    /// The same, with all randomness from `entropy`.
    pub fn drawing(folder: &Path, entropy: Arc<dyn Entropy>) -> Self {
        let keys = Arc::clone(&entropy);
        let custodian = FileCustodian::open(&Self::vault_in(folder), None, keys);
        let custodian = custodian.expect("a folder of its own");
        Self::of(Ground::Folder(folder.to_owned()), Arc::new(custodian), entropy)
    }

    fn of(ground: Ground, custodian: Arc<dyn Custodian>, entropy: Arc<dyn Entropy>) -> Self {
        let means = Means { custodian, entropy, clock: Arc::new(SimulatedClock::at(1_000)) };
        Self { ground, means, settings: Settings::default() }
    }

    /// The same gallery, asked for with another custodian.
    pub fn kept_by(self, custodian: Arc<dyn Custodian>) -> Self {
        Self { means: Means { custodian, ..self.means }, ..self }
    }

    pub fn resident(self, residency: Residency) -> Self {
        Self { settings: Settings { residency, ..self.settings }, ..self }
    }

    pub fn vault_in(folder: &Path) -> PathBuf {
        folder.join("keys")
    }

    pub fn media_in(folder: &Path) -> PathBuf {
        folder.join("gallery")
    }

    pub fn create(&self) -> Result<Gallery, GalleryError> {
        self.create_of(LAYOUT)
    }

    pub fn create_of(&self, layout: TileLayout) -> Result<Gallery, GalleryError> {
        let media: Arc<dyn Media> = match &self.ground {
            Ground::Disk(disk) => Arc::new(disk.clone()),
            Ground::Folder(folder) => {
                Arc::new(FileMedia::create(&Self::media_in(folder)).expect("a new file"))
            }
        };
        let (means, settings) = (self.means.clone(), self.settings);
        Gallery::create(media, means, kind_of(layout), layout, settings)
    }

    pub fn open(&self) -> Result<Gallery, GalleryError> {
        let media: Arc<dyn Media> = match &self.ground {
            Ground::Disk(disk) => Arc::new(disk.clone()),
            Ground::Folder(folder) => {
                Arc::new(FileMedia::open(&Self::media_in(folder)).expect("nobody else has it"))
            }
        };
        Gallery::open(media, self.means.clone(), self.settings)
    }

    /// Makes the gallery of what another one exported.
    pub fn import(&self, sealed: &[u8], identity: &str) -> Result<Gallery, GalleryError> {
        let Ground::Disk(disk) = &self.ground else { panic!("only disks are imported to") };
        let media = Arc::new(disk.clone());
        let (means, settings) = (self.means.clone(), self.settings);
        Gallery::import(&mut &*sealed, identity, media, means, settings, &mut |_, _| {})
    }

    /// Whether nothing is left to be done: the custodian knows the gallery where it stands, and
    /// no key of an epoch before it exists.
    ///
    /// # Errors
    /// What is left, in words.
    pub fn settled(&self, gallery: &Gallery) -> Result<(), String> {
        let standing = self.means.custodian.newest(&gallery.file());
        let standing = standing.map_err(|error| error.to_string())?;
        let generation = gallery.stats().generation;
        match standing.committed {
            Some(stand) if stand.generation == generation => {
                no_key_before(stand.epoch, &self.vault())
            }
            _ => Err(format!("stands at generation {generation}, the custodian says {standing:?}")),
        }
    }

    /// The epoch that the custodian has committed.
    pub fn epoch(&self, gallery: &Gallery) -> u64 {
        let standing = self.means.custodian.newest(&gallery.file()).expect("a sound vault");
        standing.committed.expect("it was created").epoch
    }

    fn vault(&self) -> Files {
        match &self.ground {
            Ground::Disk(disk) => disk.image().vault,
            Ground::Folder(folder) => {
                let entries = fs::read_dir(Self::vault_in(folder)).expect("a folder");
                let file = |entry: io::Result<fs::DirEntry>| {
                    let path = entry.expect("an entry").path();
                    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                    (name, fs::read(path).expect("a file"))
                };
                entries.map(file).collect()
            }
        }
    }
}

/// Whether `vault` holds no key of an epoch before `epoch`; files that are blank hold none.
///
/// # Errors
/// The key that is there.
pub fn no_key_before(epoch: u64, vault: &Files) -> Result<(), String> {
    let number =
        |name: &str| -> Option<u64> { name.strip_suffix(".key")?.rsplit_once('.')?.1.parse().ok() };
    let mut old = vault.iter().filter(|(name, _)| number(name).is_some_and(|held| held < epoch));
    match old.find(|(_, content)| content.iter().any(|&byte| byte != 0)) {
        Some((name, _)) => Err(format!("epoch {epoch} is in force and {name} is still a key")),
        None => Ok(()),
    }
}

/// What somebody has who copied the vault when it was `then` and can read it `now`, keys apart:
/// keys are what destroying them destroys. Records and everything else are as old as he likes.
pub fn without_destroyed(then: &Files, now: &Files) -> Files {
    let is_key = |name: &&String| name.ends_with(".key");
    let keys = now.iter().filter(|(name, _)| is_key(name));
    let others = then.iter().filter(|(name, _)| !is_key(name));
    keys.chain(others).map(|(name, content)| (name.clone(), content.clone())).collect()
}
