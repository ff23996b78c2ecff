//! Galleries by name: opened at the start, made and deleted on request, one file each.
//!
//! A gallery that does not open is kept by name with the reason. The others are served: a damaged
//! list of one flight must not close the gates of all, and 1:1 verification needs no gallery. It is
//! never silently absent: every request to it is refused by name (a watchlist that cannot be
//! searched is no "not on the list"), `/readyz` and the metrics tell of it, and its name stays
//! taken until it is mended or deleted.
//!
//! With the custodian `memory` there are no files: nothing could ever open them again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::charters::Charters;
use crate::{
    command::{KeptBy, Refusal},
    gallery::{FileMedia, Gallery, Means, Media, MemoryMedia, Residency, Settings},
    keys::{
        CustodyError,
        custodian::vault::{FolderVault, MemoryVault, Vault},
        holder::record::HolderRecords,
    },
    limits::{GALLERIES_MAX, GALLERY_ROWS_MAX},
    meter::{GalleryState, Meter, RowState},
    ops::tile::TileLayout,
    types::{GalleryId, Purpose, TemplateKind},
};

/// Name ending of a gallery that can be searched.
pub(super) const GALLERY_SUFFIX: &str = "gallery";
/// Name ending of a gallery of records that only their holders open.
pub(super) const HOLDERS_SUFFIX: &str = "records";

/// Under which name of a gallery the consents to tokens are kept: there is none, since what was
/// consented to is in travellers' hands.
pub(super) const TOKENS: &str = "holder-tokens";

/// Where galleries are kept, and by what means.
#[derive(Clone)]
pub struct GalleryPlace {
    /// Folder of the files; `None` for memory.
    pub folder: Option<PathBuf>,
    /// Custodian, randomness, clock.
    pub means: Means,
    /// Where opened tiles lie.
    pub residency: Residency,
}

/// A gallery, by who keeps the keys of its records.
#[derive(Clone)]
pub(super) enum Kept {
    /// It can be searched.
    Searchable(Arc<Gallery>),
    /// It cannot.
    ByHolders(Arc<HolderRecords>),
    /// It is there, and does not open.
    Unavailable(Arc<str>),
}

/// Every gallery of the appliance.
pub(super) struct Galleries {
    place: GalleryPlace,
    kind: TemplateKind,
    layout: TileLayout,
    held: RwLock<BTreeMap<GalleryId, Kept>>,
    /// What each was made for.
    charters: Charters,
    /// Held while a gallery is made, deleted or opened again, so that each is done once. What it
    /// guards are the galleries that are to be opened again.
    changing: Mutex<BTreeSet<GalleryId>>,
}

impl Galleries {
    /// Opens every gallery of the place.
    ///
    /// # Errors
    /// When the folder cannot be made or read; a gallery that does not open is no error.
    pub(super) fn open(
        place: GalleryPlace,
        kind: TemplateKind,
        layout: TileLayout,
    ) -> io::Result<Self> {
        if let Some(folder) = &place.folder {
            private_folder(folder)?;
        }
        let charters = Charters::open(place.folder.as_deref())?;
        let (held, changing) = (RwLock::default(), Mutex::default());
        let galleries = Self { place, kind, layout, held, charters, changing };
        if let Some(folder) = &galleries.place.folder {
            let found = listed(folder)?;
            let copies = copies(&found);
            for (name, kept_by, path) in found {
                let kept = match copies.get(&name) {
                    Some(names) if kept_by == KeptBy::Custodian => {
                        Kept::Unavailable(copied(names).into())
                    }
                    _ => galleries.open_file(&name, &path, kept_by),
                };
                if let Kept::Unavailable(why) = &kept {
                    tracing::error!(gallery = %name, %why, "a gallery is not served");
                }
                let mut held = galleries.held.write().unwrap_or_else(PoisonError::into_inner);
                held.entry(name).and_modify(twice).or_insert(kept);
            }
        }
        Ok(galleries)
    }

    fn settings(&self) -> Settings {
        Settings {
            residency: self.place.residency,
            rows_max: GALLERY_ROWS_MAX,
            kind: Some(self.kind),
        }
    }

    fn open_file(&self, name: &GalleryId, path: &Path, kept_by: KeptBy) -> Kept {
        let opened = match kept_by {
            KeptBy::Custodian => FileMedia::open(path)
                .map_err(|error| error.to_string())
                .and_then(|media| {
                    let (means, settings) = (self.place.means.clone(), self.settings());
                    let opened = Gallery::open(Arc::new(media), means, settings);
                    opened.map_err(|error| error.to_string())
                })
                .map(|gallery| Kept::Searchable(Arc::new(gallery))),
            KeptBy::Holders => self.records(name).map_err(|error| error.to_string()),
        };
        opened.unwrap_or_else(|why| Kept::Unavailable(why.into()))
    }

    /// Opens the file of holders' records, or makes it.
    fn records(&self, name: &GalleryId) -> Result<Kept, Refusal> {
        let fault = |why: String| Refusal::GalleryFault { gallery: name.clone(), why };
        let vault: Arc<dyn Vault> = match &self.place.folder {
            Some(folder) => {
                let file = HolderRecords::file_name(name.as_str());
                let opened = FolderVault::open_alone(folder, &file);
                Arc::new(opened.map_err(|error| fault(format!("{file}: {error}")))?)
            }
            None => Arc::new(MemoryVault::default()),
        };
        let entropy = Arc::clone(&self.place.means.entropy);
        let records = HolderRecords::open(vault, name.as_str(), self.kind, entropy);
        let records = records.map_err(|error| Refusal::of_records(name, error))?;
        Ok(Kept::ByHolders(Arc::new(records)))
    }

    fn searchable_anew(&self, name: &GalleryId) -> Result<Kept, Refusal> {
        let path = self.path(name, KeptBy::Custodian);
        let fault = |why: String| Refusal::GalleryFault { gallery: name.clone(), why };
        let media: Arc<dyn Media> = match &path {
            Some(path) => {
                Arc::new(FileMedia::create(path).map_err(|error| fault(error.to_string()))?)
            }
            None => Arc::new(MemoryMedia::new()),
        };
        let means = self.place.means.clone();
        let made = Gallery::create(media, means, self.kind, self.layout, self.settings());
        let gallery = made.map_err(|error| {
            if let Some(path) = &path {
                // Nobody was enrolled; a file that stayed behind would only take the name.
                let _left = fs::remove_file(path);
            }
            Refusal::of_gallery(name, error)
        })?;
        Ok(Kept::Searchable(Arc::new(gallery)))
    }

    /// Makes an empty gallery for a purpose; its files where there is a folder.
    pub(super) fn create(
        &self,
        name: &GalleryId,
        kept_by: KeptBy,
        purpose: Purpose,
    ) -> Result<Kept, Refusal> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_taken(name)?;
        self.charters.record(name, purpose).map_err(|error| Refusal::GalleryFault {
            gallery: name.clone(),
            why: format!("its charter cannot be written: {error}"),
        })?;
        let made = match kept_by {
            KeptBy::Custodian => self.searchable_anew(name),
            KeptBy::Holders => self.records(name),
        };
        let kept = made.inspect_err(|_| self.charters.forget(name))?;
        self.insert(name.clone(), kept.clone());
        Ok(kept)
    }

    /// What the gallery was made for, where that is recorded.
    pub(super) fn purpose(&self, name: &GalleryId) -> Option<Purpose> {
        self.charters.purpose(name)
    }

    fn refuse_taken(&self, name: &GalleryId) -> Result<(), Refusal> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(name) || name.as_str() == TOKENS {
            return Err(Refusal::GalleryExists { gallery: name.clone() });
        }
        if held.len() >= GALLERIES_MAX {
            return Err(Refusal::GalleriesFull { most: GALLERIES_MAX });
        }
        Ok(())
    }

    /// Puts a gallery under its name that was filled elsewhere.
    pub(super) fn install(&self, name: GalleryId, gallery: Gallery) -> Result<(), Refusal> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_taken(&name)?;
        self.insert(name, Kept::Searchable(Arc::new(gallery)));
        Ok(())
    }

    fn insert(&self, name: GalleryId, kept: Kept) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).insert(name, kept);
    }

    fn path(&self, name: &GalleryId, kept_by: KeptBy) -> Option<PathBuf> {
        self.place.folder.as_ref().map(|folder| path(folder, name, kept_by))
    }

    /// The gallery, as it is kept; one that does not open is found, too.
    pub(super) fn kept(&self, name: &GalleryId) -> Result<Kept, Refusal> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(name).cloned().ok_or_else(|| Refusal::UnknownGallery { gallery: name.clone() })
    }

    /// The same, or `None` for the tokens that travellers carry.
    pub(super) fn kept_here(&self, name: &GalleryId) -> Result<Option<Kept>, Refusal> {
        match self.kept(name) {
            Err(_) if name.as_str() == TOKENS => Ok(None),
            kept => kept.map(Some),
        }
    }

    /// The gallery, where it can be searched.
    pub(super) fn searchable(&self, name: &GalleryId) -> Result<Arc<Gallery>, Refusal> {
        match self.kept(name)? {
            Kept::Searchable(gallery) => Ok(gallery),
            Kept::ByHolders(_) => Err(Refusal::GalleryKind {
                gallery: name.clone(),
                why: "holds records that only their holders can open: enrol with POST \
                      /v1/galleries/{gallery}/holders, verify with the record's id and secret",
            }),
            Kept::Unavailable(why) => Err(unavailable(name, &why)),
        }
    }

    /// The gallery, where its holders keep the keys of its records.
    pub(super) fn by_holders(&self, name: &GalleryId) -> Result<Arc<HolderRecords>, Refusal> {
        match self.kept(name)? {
            Kept::ByHolders(records) => Ok(records),
            Kept::Searchable(_) => Err(Refusal::GalleryKind {
                gallery: name.clone(),
                why: "was not made for records of holders: make one with \"keys\": \"holders\"",
            }),
            Kept::Unavailable(why) => Err(unavailable(name, &why)),
        }
    }

    /// Takes the gallery off the list, destroys every key of it, and its file. What a running
    /// search still holds is its caller's to wait for.
    pub(super) fn destroy(&self, name: &GalleryId) -> Result<(), Refusal> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.kept(name)?;
        let fault = |why: String| Refusal::GalleryFault { gallery: name.clone(), why };
        let (file, paths) = match &kept {
            Kept::Searchable(gallery) => (Some(gallery.file()), vec![KeptBy::Custodian]),
            // Their keys are not here: the file is all there is.
            Kept::ByHolders(_) => (None, vec![KeptBy::Holders]),
            Kept::Unavailable(_) => (None, vec![KeptBy::Custodian, KeptBy::Holders]),
        };
        if let Some(file) = &file {
            self.forget(name, file)?;
        }
        for path in paths.into_iter().filter_map(|kept_by| self.path(name, kept_by)) {
            if matches!(kept, Kept::Unavailable(_)) {
                self.forget_unread(name, &path)?;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(fault(format!("{} cannot be removed: {error}", path.display())));
                }
                Ok(()) | Err(_) => {}
            }
        }
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.charters.forget(name);
        Ok(())
    }

    fn forget(&self, name: &GalleryId, file: &[u8; 16]) -> Result<(), Refusal> {
        let forgotten = self.place.means.custodian.forget(file);
        forgotten.map_err(|error| Refusal::GalleryFault {
            gallery: name.clone(),
            why: format!("its keys could not be destroyed: {error}"),
        })
    }

    /// The keys of a file that does not open are found by its head, which needs none. Where the
    /// head is gone as well, nobody can tell which keys were its own; they open nothing that is
    /// left. The keys of a copy are those of the gallery that it is a copy of: they stay.
    fn forget_unread(&self, name: &GalleryId, path: &Path) -> Result<(), Refusal> {
        let Ok(media) = FileMedia::open(path) else { return Ok(()) };
        match Gallery::head(&media) {
            Ok(head) if self.is_elsewhere(&head.file, path) => {
                tracing::warn!(path = %path.display(), "a copy; the keys stay with the gallery");
                Ok(())
            }
            Ok(head) => self.forget(name, &head.file),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "its keys cannot be told apart; they stay");
                Ok(())
            }
        }
    }

    /// Whether the gallery of that file id is open, here or in another process, or lies in another
    /// file of the folder.
    fn is_elsewhere(&self, file: &[u8; 16], path: &Path) -> bool {
        let claim = self.place.means.custodian.claim(file);
        if matches!(claim, Err(CustodyError::InUse { .. })) {
            return true;
        }
        let listed = self.place.folder.as_deref().map(listed).transpose();
        // A folder that cannot be read may hold it: keys that are not destroyed can be, later.
        let Ok(listed) = listed else { return true };
        let mut others = listed.into_iter().flatten().filter(|(_, _, other)| other != path);
        others.any(|(_, kept_by, other)| {
            kept_by == KeptBy::Custodian && file_id(&other).is_some_and(|held| held == *file)
        })
    }

    /// Opens again what takes no changes any more, because a disk or a custodian failed where it
    /// cannot be told which generation is durable. Searches that run hold the file: where there are
    /// any, the gallery is refused by name until the next call finds it free. Whether one was
    /// opened.
    pub(super) fn reopen(&self) -> bool {
        let mut has_opened = false;
        let mut waiting = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, kept) in self.all() {
            let Kept::Searchable(gallery) = &kept else { continue };
            if let Some(why) = gallery.unknown().filter(|_| self.place.folder.is_some()) {
                tracing::error!(gallery = %name, %why, "it is opened again");
                let why = format!("{why}; the appliance is opening it again");
                self.insert(name.clone(), Kept::Unavailable(why.into()));
                waiting.insert(name);
            }
        }
        waiting.retain(|name| match (self.kept(name), self.path(name, KeptBy::Custodian)) {
            (Ok(Kept::Unavailable(_)), Some(path)) => {
                let kept = self.open_file(name, &path, KeptBy::Custodian);
                let is_open = matches!(kept, Kept::Searchable(_));
                self.insert(name.clone(), kept);
                if is_open {
                    has_opened = true;
                    tracing::info!(gallery = %name, "it is open again");
                }
                !is_open
            }
            _ => false, // deleted meanwhile
        });
        has_opened
    }

    /// Names and reasons of what is not served, or not as it should be.
    pub(super) fn unavailable(&self) -> Vec<String> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let told = |(name, kept): (&GalleryId, &Kept)| match kept {
            Kept::Unavailable(why) => Some(format!("gallery {name} is not served: {why}")),
            Kept::Searchable(gallery) => {
                gallery.unknown().map(|why| format!("gallery {name} takes no changes: {why}"))
            }
            Kept::ByHolders(_) => None,
        };
        held.iter().filter_map(told).collect()
    }

    /// Tells the meter how much there is.
    pub(super) fn count(&self, meter: &Meter) {
        let (mut searchable, mut vacant, mut holders) = (0, 0, 0);
        let (mut bytes, mut served, mut unavailable) = (0, 0, 0);
        for (_, kept) in self.all() {
            match kept {
                Kept::Searchable(gallery) => {
                    let stats = gallery.stats();
                    searchable += stats.rows - stats.vacant;
                    vacant += stats.vacant;
                    bytes += stats.bytes;
                    match gallery.unknown() {
                        None => served += 1,
                        Some(_) => unavailable += 1,
                    }
                }
                Kept::ByHolders(records) => {
                    holders += records.held().live;
                    served += 1;
                }
                Kept::Unavailable(_) => unavailable += 1,
            }
        }
        meter.gallery_rows(RowState::Searchable, searchable);
        meter.gallery_rows(RowState::Vacant, vacant);
        meter.gallery_rows(RowState::Holders, holders);
        meter.gallery_bytes(bytes);
        meter.galleries(GalleryState::Served, served);
        meter.galleries(GalleryState::Unavailable, unavailable);
    }

    /// Serves a gallery no more; its file stays as it is.
    pub(super) fn shut(&self, name: &GalleryId, why: &str) {
        self.insert(name.clone(), Kept::Unavailable(why.into()));
    }

    /// A copy of the list, so that the lock is not held while a gallery works.
    pub(super) fn all(&self) -> Vec<(GalleryId, Kept)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(name, kept)| (name.clone(), kept.clone())).collect()
    }

    /// Lets go of every gallery: the keys of each are zeroed when the last search that holds it has
    /// ended. Nothing is erased; the files are there for the next start.
    pub(super) fn close(&self) {
        let held = std::mem::take(&mut *self.held.write().unwrap_or_else(PoisonError::into_inner));
        drop(held); // outside the lock: zeroing takes its time
    }

    pub(super) fn place(&self) -> &GalleryPlace {
        &self.place
    }
}

pub(super) fn unavailable(name: &GalleryId, why: &str) -> Refusal {
    Refusal::GalleryUnavailable { gallery: name.clone(), why: why.to_owned() }
}

/// Whose file it is, where that can be read.
fn file_id(path: &Path) -> Option<[u8; 16]> {
    let media = FileMedia::open(path).ok()?;
    Gallery::head(&media).ok().map(|head| head.file)
}

/// The galleries that lie in several files, each with all of their names.
fn copies(found: &[(GalleryId, KeptBy, PathBuf)]) -> BTreeMap<GalleryId, Vec<GalleryId>> {
    let mut names: BTreeMap<[u8; 16], Vec<GalleryId>> = BTreeMap::new();
    for (name, kept_by, path) in found {
        if let (KeptBy::Custodian, Some(file)) = (kept_by, file_id(path)) {
            names.entry(file).or_default().push(name.clone());
        }
    }
    let several = names.into_values().filter(|names| names.len() > 1);
    several
        .flat_map(|names| names.clone().into_iter().map(move |name| (name, names.clone())))
        .collect()
}

/// Files of one gallery: nobody can tell which of them is meant, and a change of the one would
/// destroy the others.
fn copied(names: &[GalleryId]) -> String {
    let names: Vec<&str> = names.iter().map(GalleryId::as_str).collect();
    format!(
        "the files of {} are copies of one gallery; move all but the one that is meant out of the \
         folder, and start again",
        names.join(", ")
    )
}

/// Two files of one name: neither is the one that was meant.
fn twice(kept: &mut Kept) {
    let why = "a .gallery and a .records file have this name; move one of them away";
    *kept = Kept::Unavailable(why.into());
}

/// The file of the gallery `name`.
#[must_use]
pub(super) fn path(folder: &Path, name: &GalleryId, kept_by: KeptBy) -> PathBuf {
    let suffix = match kept_by {
        KeptBy::Custodian => GALLERY_SUFFIX,
        KeptBy::Holders => HOLDERS_SUFFIX,
    };
    folder.join(format!("{name}.{suffix}"))
}

/// Makes the folder where it is missing, for its owner alone.
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let is_missing = |above: &&Path| !above.as_os_str().is_empty() && !above.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    builder.create(folder)?;
    // The names, too, must outlive a power cut.
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// The galleries of a folder, by name. Other files are not looked at.
fn listed(folder: &Path) -> io::Result<Vec<(GalleryId, KeptBy, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let kept_by = match path.extension().and_then(|name| name.to_str()) {
            Some(GALLERY_SUFFIX) => KeptBy::Custodian,
            Some(HOLDERS_SUFFIX) => KeptBy::Holders,
            Some(_) | None => continue,
        };
        let stem = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        match stem.parse() {
            Ok(name) => found.push((name, kept_by, path)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "not a gallery's name; not opened");
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::{
        gallery::GalleryError,
        keys::custodian::{FileCustodian, MemoryCustodian, refusing::Refusing},
        model::Calibration,
        random::SystemEntropy,
        time::SimulatedClock,
    };

    /// The galleries of `folder`, with its keys in a folder beside.
    fn galleries_in(folder: &Path) -> Galleries {
        let entropy = Arc::new(SystemEntropy);
        let custodian = FileCustodian::open(&folder.join("keys"), None, Arc::clone(&entropy) as _);
        let custodian = Arc::new(custodian.expect("a folder for keys"));
        let means = Means { custodian, entropy, clock: Arc::new(SimulatedClock::at(1)) };
        let folder = Some(folder.join("galleries"));
        let place = GalleryPlace { folder, means, residency: Residency::Sealed };
        let calibration = Calibration::sface_128();
        let galleries = Galleries::open(place, calibration.kind(), calibration.layout());
        galleries.expect("a folder")
    }

    fn named(name: &str) -> GalleryId {
        name.parse().expect("a name")
    }

    #[test]
    fn a_copy_in_the_folder_makes_neither_served_and_its_deletion_leaves_the_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name| path(&folder.path().join("galleries"), &named(name), KeptBy::Custodian);
        let galleries = galleries_in(folder.path());
        galleries.create(&named("staff"), KeptBy::Custodian, Purpose::Evaluation).expect("made");
        galleries.close();
        drop(galleries);
        fs::copy(path("staff"), path("copy")).expect("copied");
        let galleries = galleries_in(folder.path());
        for name in ["staff", "copy"] {
            let Err(refusal) = galleries.searchable(&named(name)) else { panic!("served") };
            assert!(refusal.to_string().contains("copies of one gallery"), "{refusal}");
        }
        galleries.destroy(&named("copy")).expect("a file less");
        assert!(!path("copy").exists() && path("staff").exists());
        drop(galleries);
        let galleries = galleries_in(folder.path());
        assert!(galleries.searchable(&named("staff")).is_ok(), "its keys are there");
    }

    #[test]
    fn a_gallery_of_unknown_state_is_told_and_opened_again_when_nobody_searches() {
        let folder = tempfile::tempdir().expect("a folder");
        let entropy = Arc::new(SystemEntropy);
        let keys = folder.path().join("keys");
        let inner = FileCustodian::open(&keys, None, Arc::clone(&entropy) as _).expect("keys");
        let custodian = Arc::new(Refusing::over(inner));
        let means = Means {
            custodian: Arc::clone(&custodian) as _,
            entropy,
            clock: Arc::new(SimulatedClock::at(1)),
        };
        let place = Some(folder.path().join("galleries"));
        let place = GalleryPlace { folder: place, means, residency: Residency::Sealed };
        let calibration = Calibration::sface_128();
        let galleries = Galleries::open(place, calibration.kind(), calibration.layout());
        let galleries = galleries.expect("a folder");
        galleries.create(&named("staff"), KeptBy::Custodian, Purpose::Evaluation).expect("made");
        let gallery = galleries.searchable(&named("staff")).expect("served");
        custodian.commits.store(true, Ordering::SeqCst);
        assert!(matches!(gallery.rotate(), Err(GalleryError::Unknown { .. })));
        custodian.commits.store(false, Ordering::SeqCst);
        let told = galleries.unavailable();
        assert!(told.len() == 1 && told[0].contains("staff takes no changes"), "{told:?}");

        // While somebody holds it, its file cannot be opened a second time.
        assert!(!galleries.reopen());
        assert!(galleries.searchable(&named("staff")).is_err(), "refused by name");
        assert_eq!(galleries.unavailable().len(), 1);
        drop(gallery);
        assert!(galleries.reopen());
        let gallery = galleries.searchable(&named("staff")).expect("served again");
        gallery.rotate().expect("it takes changes");
        assert!(galleries.unavailable().is_empty());
    }

    #[test]
    fn a_gallery_that_is_let_go_lives_as_long_as_the_search_that_holds_it() {
        let entropy = Arc::new(SystemEntropy);
        let custodian = Arc::new(MemoryCustodian::new(Arc::clone(&entropy) as _));
        let means = Means { custodian, entropy, clock: Arc::new(SimulatedClock::at(1)) };
        let place = GalleryPlace { folder: None, means, residency: Residency::Sealed };
        let calibration = Calibration::sface_128();
        let galleries = Galleries::open(place, calibration.kind(), calibration.layout());
        let galleries = galleries.expect("memory needs no folder");
        let name: GalleryId = "flight".parse().expect("a name");
        galleries.create(&name, KeptBy::Custodian, Purpose::Boarding).expect("the first");
        let searching = galleries.searchable(&name).expect("it can be searched");
        let gallery = Arc::downgrade(&searching);
        galleries.close();
        assert!(matches!(galleries.searchable(&name), Err(Refusal::UnknownGallery { .. })));
        assert!(gallery.upgrade().is_some(), "the search goes on");
        drop(searching);
        assert!(gallery.upgrade().is_none(), "its keys are zeroed with it");
    }
}
