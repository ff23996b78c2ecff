//! Work on a gallery's file while no appliance serves it: the same files, the same keys, and the
//! same audit.
//!
//! Whoever can read the key files (or knows the token's PIN) is the operator here; no policy is
//! asked. What was done is told to the audit all the same, in the name of the command line: an
//! order before the act, its result after it.
//!
//! Where the appliance is used as a site, law and register stand between a gallery and whoever
//! would change it, and neither is at work here: what puts references in, takes them out or hands
//! them out is then refused ([`Offline::refuse`]), and the refusal is in the audit. That holds for
//! this program. Against whoever holds the keys and brings another one, the custodian is the
//! defence.

use std::{
    fmt::{Display, Write as _},
    path::{Path, PathBuf},
    slice,
    sync::Arc,
};

use super::{
    StartError, World,
    galleries::{GALLERY_SUFFIX, GalleryPlace, path, private_folder},
    keeping::{self, KeepingError},
    models,
};
use crate::{
    audit::{AuditEntry, AuditErasure, AuditSink},
    command::KeptBy,
    config::{Config, ConfigError, CustodianName, Environment},
    gallery::{FileMedia, Gallery, GalleryError, Media, MediaError, Receipt, Residency, Settings},
    limits::GALLERY_ROWS_MAX,
    model::Calibration,
    types::{Action, Caller, ClientId, GalleryId, IdError, Role, Selection, SubjectId},
};

/// Why the work was not done. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Folders, custodian, keys.
    #[error(transparent)]
    Keeping(#[from] KeepingError),
    /// Calibration or audit.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The configuration names something impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys that end with this process would make a file that nobody opens again.
    #[error(
        "gallery.custodian = memory: its keys end with the process that made them, so that there is \
         no file to work on; set gallery.custodian to file or pkcs11"
    )]
    MemoryOnly,
    /// Not a gallery's name.
    #[error("{path}: {error}; a gallery's file is named <gallery>.{GALLERY_SUFFIX}")]
    Name {
        /// As given.
        path: String,
        /// Why not.
        error: IdError,
    },
    /// The file.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The gallery.
    #[error("{path}: {error}")]
    Gallery {
        /// The file.
        path: String,
        /// What it said.
        error: GalleryError,
    },
    /// A site's galleries are changed under its law and its register, which are at work in the
    /// appliance alone.
    #[error(
        "site.profile is set, and a site's law and its register are asked for that: nothing was \
         done; {instead}"
    )]
    AtSite {
        /// What to do instead.
        instead: &'static str,
    },
    /// The audit refused; nothing was done.
    #[error(
        "the audit could not be written, and nothing was done: set audit.path to a place that can"
    )]
    Audit,
    /// It was done, and the audit refused to hold it.
    #[error(
        "it is done, and the audit could not be told: {done}; write this down where the audit is \
         kept, and set audit.path to a place that can be written before anything more is done"
    )]
    Unaudited {
        /// What was done, as the audit would have held it.
        done: String,
    },
}

/// A gallery's file, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The gallery's name, which the audit tells.
    pub name: GalleryId,
    /// Its file.
    pub path: PathBuf,
}

/// One act, ordered in the audit.
pub struct Ordered {
    entry: AuditEntry,
}

/// The workplace: place, audit, world.
pub struct Offline {
    place: GalleryPlace,
    folder: PathBuf,
    audit: Arc<dyn AuditSink>,
    world: World,
    calibration: Calibration,
}

impl Offline {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// [`OfflineError`].
    pub fn open(
        config: &Config,
        environment: &Environment,
        world: World,
    ) -> Result<Self, OfflineError> {
        if config.gallery.custodian == CustodianName::Memory {
            return Err(OfflineError::MemoryOnly);
        }
        let place = keeping::place(config, environment, &world)?;
        let folder = keeping::gallery_folder(config, environment)?;
        private_folder(&folder).map_err(|error| KeepingError::folder(Some(&folder), &error))?;
        let audit = Arc::new(super::open_audit(config, environment, world.entropy.as_ref())?);
        let calibration = models::calibration(&config.models)?;
        Ok(Self { place, folder, audit, world, calibration })
    }

    /// The gallery that `text` means: a name in the configured folder, or the path of a file.
    ///
    /// # Errors
    /// [`OfflineError::Name`].
    pub fn locate(&self, text: &str) -> Result<Located, OfflineError> {
        let refuse = |error| OfflineError::Name { path: text.to_owned(), error };
        let is_path = text.contains('/') || text.ends_with(&format!(".{GALLERY_SUFFIX}"));
        if !is_path {
            let name: GalleryId = text.parse().map_err(refuse)?;
            return Ok(Located { path: path(&self.folder, &name, KeptBy::Custodian), name });
        }
        let stem = Path::new(text).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        Ok(Located { name: stem.parse().map_err(refuse)?, path: PathBuf::from(text) })
    }

    fn settings(&self, residency: Option<Residency>) -> Settings {
        Settings {
            residency: residency.unwrap_or(self.place.residency),
            rows_max: GALLERY_ROWS_MAX,
            kind: Some(self.calibration.kind()),
        }
    }

    /// Makes an empty gallery.
    ///
    /// # Errors
    /// [`OfflineError`]; a file that is there is never touched.
    pub fn create(&self, located: &Located) -> Result<Gallery, OfflineError> {
        let media: Arc<dyn Media> = Arc::new(FileMedia::create(&located.path)?);
        let (kind, layout) = (self.calibration.kind(), self.calibration.layout());
        let means = self.place.means.clone();
        let made = Gallery::create(media, means, kind, layout, self.settings(None));
        made.map_err(|error| {
            // Nobody is in it; a file that stayed behind would only take the name.
            let _left = std::fs::remove_file(&located.path);
            OfflineError::Gallery { path: located.path.display().to_string(), error }
        })
    }

    /// Opens a gallery that no appliance holds; `progress` is told tiles opened and tiles in all,
    /// where plaintext is locked.
    ///
    /// # Errors
    /// [`OfflineError`], naming the process that holds it.
    pub fn gallery(
        &self,
        located: &Located,
        residency: Option<Residency>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Gallery, OfflineError> {
        let media: Arc<dyn Media> = Arc::new(FileMedia::open(&located.path)?);
        let (means, settings) = (self.place.means.clone(), self.settings(residency));
        let opened = Gallery::open_telling(media, means, settings, progress);
        opened.map_err(|error| self.failed(located, error))
    }

    /// Takes a gallery in that another appliance exported.
    ///
    /// # Errors
    /// [`OfflineError`]; the file is then not there.
    pub fn import(
        &self,
        located: &Located,
        from: &mut dyn std::io::Read,
        identity: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Gallery, OfflineError> {
        let media: Arc<dyn Media> = Arc::new(FileMedia::create(&located.path)?);
        let (means, settings) = (self.place.means.clone(), self.settings(None));
        let made = Gallery::import(from, identity, media, means, settings, progress);
        made.map_err(|error| {
            let _left = std::fs::remove_file(&located.path);
            self.failed(located, error)
        })
    }

    /// `error` with the file it happened in.
    #[must_use]
    pub fn failed(&self, located: &Located, error: GalleryError) -> OfflineError {
        OfflineError::Gallery { path: located.path.display().to_string(), error }
    }

    /// Who keeps the keys.
    #[must_use]
    pub fn place(&self) -> &GalleryPlace {
        &self.place
    }

    /// How templates are made here.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Civil time now.
    #[must_use]
    pub fn now_s(&self) -> i64 {
        self.world.clock.civil_s()
    }

    /// A new random subject id.
    #[must_use]
    pub fn subject(&self) -> SubjectId {
        self.world.new_subject()
    }

    /// Refuses an act that a site does in its appliance alone, and tells the audit so; `instead` is
    /// told to whoever asked. Why the audit could not be told, where it could not.
    #[must_use]
    pub fn refuse(&self, located: &Located, action: Action, instead: &'static str) -> OfflineError {
        let entry = self.entry(located, action, (None, None), "OFFLINE_REFUSED");
        match self.audit.record(&[entry]) {
            Ok(()) => OfflineError::AtSite { instead },
            Err(_) => OfflineError::Audit,
        }
    }

    /// Tells the audit what is about to be done.
    ///
    /// # Errors
    /// [`OfflineError::Audit`]: then it must not be done.
    pub fn ordered(
        &self,
        located: &Located,
        action: Action,
        meant: (Option<SubjectId>, Option<Selection>),
    ) -> Result<Ordered, OfflineError> {
        let entry = self.entry(located, action, meant, "OFFLINE_ORDERED");
        self.audit.record(slice::from_ref(&entry)).map_err(|_| OfflineError::Audit)?;
        Ok(Ordered { entry })
    }

    fn entry(
        &self,
        located: &Located,
        action: Action,
        (subject, selection): (Option<SubjectId>, Option<Selection>),
        reason: &'static str,
    ) -> AuditEntry {
        let client: ClientId = "command-line".parse().expect("a constant name");
        let transaction = self.world.new_transaction();
        AuditEntry {
            caller: Some(Caller { role: Role::Operator, client }),
            gallery: Some(located.name.clone()),
            subject,
            selection,
            ..AuditEntry::of(transaction, self.now_s(), action, vec![reason])
        }
    }

    /// Tells the audit that it was done, with the receipt where something was erased.
    ///
    /// # Errors
    /// [`OfflineError::Unaudited`]; what was done stays done.
    pub fn done(&self, ordered: Ordered, receipt: Option<&Receipt>) -> Result<(), OfflineError> {
        let erasure = receipt.map(AuditErasure::from);
        let entry = AuditEntry {
            at_s: self.now_s(),
            reasons: vec!["OFFLINE_DONE"],
            erasure,
            ..ordered.entry
        };
        let told = self.audit.record(slice::from_ref(&entry));
        told.map_err(|_| OfflineError::Unaudited { done: in_words(&entry) })
    }

    /// Tells the audit that it was not done, or not to its end; `error` says why. An erasure whose
    /// rows are gone and whose key is not is told with its generation. Nothing is refused any more,
    /// so that an audit that cannot be written is only told in the log.
    pub fn not_done(&self, ordered: Ordered, error: &GalleryError) {
        let pending = match error {
            GalleryError::NotDestroyed { generation, .. } => Some(*generation),
            _ => None,
        };
        self.tell_not_done(ordered, error, pending);
    }

    /// The same of an act that erases nothing; `why` is for the log alone.
    pub fn stopped(&self, ordered: Ordered, why: &str) {
        self.tell_not_done(ordered, &why, None);
    }

    fn tell_not_done(&self, ordered: Ordered, error: &dyn Display, pending: Option<u64>) {
        let entry = AuditEntry {
            at_s: self.now_s(),
            reasons: match pending {
                Some(_) => vec!["OFFLINE_NOT_DONE", "ERASURE_PENDING"],
                None => vec!["OFFLINE_NOT_DONE"],
            },
            erasure: pending.map(|generation| AuditErasure {
                rows: None,
                generation,
                epoch_destroyed: None,
                custodian: self.place.means.custodian.describe().name.to_owned(),
                at_s: self.now_s(),
            }),
            ..ordered.entry
        };
        if let Err(why) = self.audit.record(&[entry]) {
            tracing::error!(%why, %error, "not done, and not in the audit");
        }
    }
}

/// An entry as a person keeps it.
fn in_words(entry: &AuditEntry) -> String {
    let gallery = entry.gallery.as_ref().map_or("", GalleryId::as_str);
    let mut told = format!(
        "transaction {}, gallery {gallery}, {:?}, second {}",
        entry.transaction, entry.action, entry.at_s
    );
    if let Some(subject) = entry.subject {
        let _infallible = write!(told, ", subject {subject}");
    }
    if let Some(erasure) = &entry.erasure {
        let _infallible = write!(
            told,
            ", {} references, generation {}, key of epoch {} destroyed by the {} custodian",
            erasure.rows.unwrap_or_default(),
            erasure.generation,
            erasure.epoch_destroyed.unwrap_or_default(),
            erasure.custodian
        );
    }
    told
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        audit::AuditError,
        gallery::Means,
        keys::{CustodyError, custodian::MemoryCustodian},
        meter::Meter,
        random::SystemEntropy,
        time::SimulatedClock,
    };

    /// An audit with room for so many entries; what it took.
    struct Filling(usize, Mutex<Vec<AuditEntry>>);

    impl AuditSink for Filling {
        fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
            let mut held = self.1.lock().expect("no panic");
            if held.len() + entries.len() > self.0 {
                return Err(AuditError { place: "disk".into(), why: "full".into() });
            }
            held.extend_from_slice(entries);
            Ok(())
        }
    }

    fn offline(audit: Arc<Filling>) -> Offline {
        let (clock, entropy) = (Arc::new(SimulatedClock::at(1)), Arc::new(SystemEntropy));
        let custodian = Arc::new(MemoryCustodian::new(Arc::clone(&entropy) as _));
        let means = Means { custodian, entropy: entropy.clone(), clock: clock.clone() };
        Offline {
            place: GalleryPlace { folder: None, means, residency: Residency::Sealed },
            folder: PathBuf::new(),
            audit,
            world: World { clock, entropy, meter: Arc::new(Meter::new()) },
            calibration: Calibration::sface_128(),
        }
    }

    fn located() -> Located {
        Located { name: "staff".parse().expect("a name"), path: PathBuf::from("staff.gallery") }
    }

    fn meant() -> (Option<SubjectId>, Option<Selection>) {
        (Some(SubjectId::from_bytes([7; 16])), None)
    }

    #[test]
    fn what_was_done_is_told_when_the_audit_cannot_hold_it() {
        let work = offline(Arc::new(Filling(1, Mutex::default())));
        let ordered = work.ordered(&located(), Action::Erase, meant()).expect("room for the order");
        let receipt = Receipt {
            subjects: vec![SubjectId::from_bytes([7; 16])],
            gone: vec![SubjectId::from_bytes([7; 16])],
            rows: 2,
            generation: 41,
            epoch_destroyed: 13,
            custodian: "file",
            at_s: 1,
        };
        let told = work.done(ordered, Some(&receipt)).expect_err("no room for the result");
        let told = told.to_string();
        for word in ["it is done", "staff", "generation 41", "epoch 13", "0707", "audit.path"] {
            assert!(told.contains(word), "{word} in {told}");
        }
        assert!(!told.contains("nothing was done"), "{told}");
    }

    #[test]
    fn what_was_not_done_to_its_end_is_in_the_audit_with_its_generation() {
        let audit = Arc::new(Filling(2, Mutex::default()));
        let work = offline(Arc::clone(&audit));
        let ordered = work.ordered(&located(), Action::Erase, meant()).expect("room");
        let why = CustodyError::NotWrapped { bytes: 0 };
        work.not_done(ordered, &GalleryError::NotDestroyed { epoch: 3, generation: 9, why });
        let entries = audit.1.lock().expect("no panic");
        assert_eq!(entries[1].reasons, ["OFFLINE_NOT_DONE", "ERASURE_PENDING"]);
        assert_eq!(entries[1].transaction, entries[0].transaction);
        let left = entries[1].erasure.as_ref().expect("the generation");
        assert_eq!((left.generation, left.epoch_destroyed), (9, None));
    }
}
