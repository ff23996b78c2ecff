//! The register: who consented to what, who was erased, where the site stands. An embedded
//! transactional database whose values are sealed under a key of the gallery's own custodian.
//!
//! ```text
//! table        key                                        value
//! head         "file" "stand" "wrapped"                   file id; epoch, generation; wrapped key
//! consents     SHA-256 of gallery and subject             nonce ‖ tag ‖ sealed JSON
//! tombstones   SHA-256 of gallery and subject             second of the erasure, 8 bytes
//! records      a name, such as "deployment"               nonce ‖ tag ‖ sealed JSON
//! outbox       number, name of an event                   nonce ‖ tag ‖ sealed JSON
//! ```
//! A tombstone outlives what it stands for: a gallery that was restored from an older backup is
//! held against all of them before anybody is searched for. The register itself cannot be restored
//! behind the back of the tombstones: its stand is recorded with the custodian, and an older one is
//! refused by name ([`RegisterError::RolledBack`]).
//!
//! Taking a consent out for good ([`Register::forget`]) seals what is left under a new epoch's key
//! and has the custodian destroy the old one, as a gallery does: older copies of the file are
//! noise.
//!
//! Invariant: no value is in the file but sealed; no key of a table tells whom it is about to
//! whoever does not know the opaque name already; what was committed is never forgotten silently.

mod consent;
mod outbox;
mod sealed;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    keys::{Custodian, CustodyError, Key, LockError, Stand},
    limits::{CONSENTS_MAX, OUTBOX_MAX},
    random::{Entropy, random_id},
    types::{GalleryId, SubjectId},
};
pub use consent::{AgeClass, Consent, FACE, Given, RelationClass};
use outbox::OUTBOX;
pub use outbox::Ticket;
use sealed::{Place, open, seal};

type Name = [u8; 32];
type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

const HEAD: Table = TableDefinition::new("head");
const CONSENTS: Table = TableDefinition::new("consents");
const TOMBSTONES: Table = TableDefinition::new("tombstones");
const RECORDS: Table = TableDefinition::new("records");

/// Why the register did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The database refused.
    #[error("the register {path} cannot be used: {why}")]
    Storage {
        /// The file.
        path: String,
        /// What the database said.
        why: String,
    },
    /// The custodian refused.
    #[error("the register's key: {0}")]
    Custody(#[from] CustodyError),
    /// No locked memory for a key.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// An older copy was put in the register's place.
    #[error(
        "the register {path} is an older copy: it stands at generation {held}, and {committed} was \
         committed. Withdrawals and erasures since then are missing in it; put the newest back"
    )]
    RolledBack {
        /// The file.
        path: String,
        /// Where the copy stands.
        held: u64,
        /// Where the register stood.
        committed: u64,
    },
    /// A value does not open.
    #[error("a value of the register's table {table} was changed, moved or damaged")]
    Damaged {
        /// The table.
        table: &'static str,
    },
    /// As many consents as are held at most.
    #[error("the register holds {CONSENTS_MAX} consents, as many as it takes")]
    Full,
    /// As much waits to be sent as may.
    #[error(
        "the register holds {OUTBOX_MAX} events to be sent, as many as it takes; look after the \
         receiver that events.webhook names"
    )]
    OutboxFull,
}

/// How a consent was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// The person withdrew it (GDPR Art. 7(3)).
    Withdrawn,
    /// The person objected (GDPR Art. 21).
    Objected,
}

/// The register, open.
pub struct Register {
    path: String,
    database: Database,
    custodian: Arc<dyn Custodian>,
    entropy: Arc<dyn Entropy>,
    held: Mutex<Held>,
}

struct Held {
    file: [u8; 16],
    stand: Stand,
    key: Key,
}

/// The name under which somebody's consent and tombstone are kept.
fn name_of(gallery: &GalleryId, subject: SubjectId) -> Name {
    let named = Sha256::new().chain_update(gallery.as_str()).chain_update([b'\n']);
    named.chain_update(subject.as_bytes()).finalize().into()
}

impl Register {
    /// Opens the register at `path`; makes it where there is none.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn open(
        path: &Path,
        custodian: Arc<dyn Custodian>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RegisterError> {
        let shown = path.display().to_string();
        let database = Database::create(path).map_err(|error| storage(&shown, error))?;
        Self::of(shown, database, custodian, entropy)
    }

    /// A register that ends with the process, for a site whose keys do.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn in_memory(
        custodian: Arc<dyn Custodian>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RegisterError> {
        let shown = "in memory".to_owned();
        let backend = redb::backends::InMemoryBackend::new();
        let made = Database::builder().create_with_backend(backend);
        let database = made.map_err(|error| storage(&shown, error))?;
        Self::of(shown, database, custodian, entropy)
    }

    fn of(
        path: String,
        database: Database,
        custodian: Arc<dyn Custodian>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RegisterError> {
        let held = match read_head(&database).map_err(|error| storage(&path, error))? {
            Some(head) => reopen(&path, head, custodian.as_ref())?,
            None => begin(&path, &database, custodian.as_ref(), entropy.as_ref())?,
        };
        Ok(Self { path, database, custodian, entropy, held: Mutex::new(held) })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn storage(&self, error: impl Into<redb::Error>) -> RegisterError {
        storage(&self.path, error)
    }

    /// One change: `change` within a transaction, the new stand with it, then with the custodian.
    fn change<T>(
        &self,
        change: impl FnOnce(&WriteTransaction, &Held) -> Result<T, RegisterError>,
    ) -> Result<T, RegisterError> {
        let mut held = self.held();
        let writing = self.database.begin_write().map_err(|error| self.storage(error))?;
        let done = change(&writing, &held)?;
        let stand = Stand { generation: held.stand.generation + 1, ..held.stand };
        self.put(&writing, HEAD, b"stand", &stand_bytes(stand))?;
        writing.commit().map_err(|error| self.storage(error))?;
        held.stand = stand;
        self.custodian.commit(&held.file, stand)?;
        Ok(done)
    }

    fn put(
        &self,
        writing: &WriteTransaction,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), RegisterError> {
        let mut table = writing.open_table(table).map_err(|error| self.storage(error))?;
        table.insert(key, value).map_err(|error| self.storage(error))?;
        Ok(())
    }

    fn sealed<T: Serialize>(&self, held: &Held, place: Place<'_>, value: &T) -> Vec<u8> {
        let text = serde_json::to_vec(value).expect("records are plain values");
        seal(&held.key, place, text, self.entropy.as_ref())
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RegisterError> {
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let table = match reading.open_table(table) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            opened => opened.map_err(|error| self.storage(error))?,
        };
        let found = table.get(key).map_err(|error| self.storage(error))?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn opened<T: DeserializeOwned>(
        &self,
        name: &'static str,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, RegisterError> {
        // Before the value is read: a change of epoch waits until this one is opened.
        let held = self.held();
        let Some(value) = self.read(table, key)? else { return Ok(None) };
        let damaged = RegisterError::Damaged { table: name };
        let Some(text) = open(&held.key, Place { table: name, key }, value) else {
            return Err(damaged);
        };
        serde_json::from_slice(&text).map(Some).map_err(|_| damaged)
    }

    /// The consent of that subject, withdrawn ones included.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn consent(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Option<Consent>, RegisterError> {
        self.opened("consents", CONSENTS, &name_of(gallery, subject))
    }

    /// Keeps a consent, in the place of an earlier one of the same subject.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn keep(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
        consent: &Consent,
    ) -> Result<(), RegisterError> {
        let name = name_of(gallery, subject);
        self.change(|writing, held| {
            let table = writing.open_table(CONSENTS).map_err(|error| self.storage(error))?;
            let count = redb::ReadableTableMetadata::len(&table);
            let is_full = count.map_err(|error| self.storage(error))? >= CONSENTS_MAX;
            let is_there = table.get(&name[..]).map_err(|error| self.storage(error))?.is_some();
            drop(table);
            if is_full && !is_there {
                return Err(RegisterError::Full);
            }
            let value = self.sealed(held, Place { table: "consents", key: &name }, consent);
            self.put(writing, CONSENTS, &name, &value)
        })
    }

    /// Records that the consent was taken back, and puts up a tombstone, in one change: whoever
    /// restores the gallery finds both or neither. The proof of the past consent stays.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn take_back(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
        how: TakenBack,
        now_s: i64,
    ) -> Result<Option<Consent>, RegisterError> {
        let Some(mut consent) = self.consent(gallery, subject)? else {
            self.bury(gallery, &[subject], now_s)?;
            return Ok(None);
        };
        match how {
            TakenBack::Withdrawn => consent.withdrawn_s.get_or_insert(now_s),
            TakenBack::Objected => consent.objected_s.get_or_insert(now_s),
        };
        let name = name_of(gallery, subject);
        self.change(|writing, held| {
            let value = self.sealed(held, Place { table: "consents", key: &name }, &consent);
            self.put(writing, CONSENTS, &name, &value)?;
            self.put(writing, TOMBSTONES, &name, &now_s.to_le_bytes())
        })?;
        Ok(Some(consent))
    }

    /// Takes a tombstone down: its subject is enrolled anew.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn unbury(&self, gallery: &GalleryId, subject: SubjectId) -> Result<(), RegisterError> {
        if self.tombstone(gallery, subject)?.is_none() {
            return Ok(());
        }
        let name = name_of(gallery, subject);
        self.change(|writing, _| {
            let mut table = writing.open_table(TOMBSTONES).map_err(|error| self.storage(error))?;
            table.remove(&name[..]).map_err(|error| self.storage(error))?;
            Ok(())
        })
    }

    /// Puts up tombstones for subjects that were erased.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn bury(
        &self,
        gallery: &GalleryId,
        subjects: &[SubjectId],
        now_s: i64,
    ) -> Result<(), RegisterError> {
        if subjects.is_empty() {
            return Ok(());
        }
        self.change(|writing, _| {
            for subject in subjects {
                let name = name_of(gallery, *subject);
                self.put(writing, TOMBSTONES, &name, &now_s.to_le_bytes())?;
            }
            Ok(())
        })
    }

    /// When that subject was erased; `None` for somebody who was not, or was enrolled anew since.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn tombstone(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Option<i64>, RegisterError> {
        let found = self.read(TOMBSTONES, &name_of(gallery, subject))?;
        let Some(bytes) = found else { return Ok(None) };
        let damaged = RegisterError::Damaged { table: "tombstones" };
        Ok(Some(i64::from_le_bytes(bytes.try_into().map_err(|_| damaged)?)))
    }

    /// How many tombstones there are.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn tombstones(&self) -> Result<u64, RegisterError> {
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let table = match reading.open_table(TOMBSTONES) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
            opened => opened.map_err(|error| self.storage(error))?,
        };
        redb::ReadableTableMetadata::len(&table).map_err(|error| self.storage(error))
    }

    /// A record of the site's own, such as where it stands.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn record<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RegisterError> {
        self.opened("records", RECORDS, name.as_bytes())
    }

    /// Keeps a record of the site's own.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn keep_record<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RegisterError> {
        let key = name.as_bytes();
        self.change(|writing, held| {
            let sealed = self.sealed(held, Place { table: "records", key }, value);
            self.put(writing, RECORDS, key, &sealed)
        })
    }

    /// Every consent, for a data-protection officer's lists.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn consents(&self) -> Result<Vec<Consent>, RegisterError> {
        let held = self.held();
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let table = match reading.open_table(CONSENTS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            opened => opened.map_err(|error| self.storage(error))?,
        };
        let mut found = Vec::new();
        for row in table.iter().map_err(|error| self.storage(error))? {
            let (key, value) = row.map_err(|error| self.storage(error))?;
            let place = Place { table: "consents", key: key.value() };
            let damaged = || RegisterError::Damaged { table: "consents" };
            let text = open(&held.key, place, value.value().to_vec()).ok_or_else(damaged)?;
            found.push(serde_json::from_slice(&text).map_err(|_| damaged())?);
        }
        Ok(found)
    }

    /// Takes consents out for good, withdrawn proofs included: what is left is sealed under a new
    /// epoch's key, and the old one is destroyed. Tombstones stay.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn forget(&self, meant: impl Fn(&Consent) -> bool) -> Result<u64, RegisterError> {
        if !self.consents()?.iter().any(&meant) {
            return Ok(0);
        }
        let mut held = self.held();
        let old = held.stand;
        let stand = Stand { epoch: old.epoch + 1, generation: old.generation + 1 };
        self.custodian.prepare(&held.file, stand)?;
        let key = Key::random(self.entropy.as_ref())?;
        let wrapped = self.custodian.wrap(&held.file, stand.epoch, &key, &held.file)?;
        let writing = self.database.begin_write().map_err(|error| self.storage(error))?;
        let gone = self.reseal(&writing, "consents", CONSENTS, (&held.key, &key), |text| {
            serde_json::from_slice(text).is_ok_and(|consent| meant(&consent))
        })?;
        self.reseal(&writing, "records", RECORDS, (&held.key, &key), |_| false)?;
        self.reseal(&writing, outbox::NAME, OUTBOX, (&held.key, &key), |_| false)?;
        self.put(&writing, HEAD, b"stand", &stand_bytes(stand))?;
        self.put(&writing, HEAD, b"wrapped", &wrapped)?;
        writing.commit().map_err(|error| self.storage(error))?;
        (held.stand, held.key) = (stand, key);
        self.custodian.commit(&held.file, stand)?;
        self.custodian.destroy(&held.file, old.epoch)?;
        Ok(gone)
    }

    fn reseal(
        &self,
        writing: &WriteTransaction,
        name: &'static str,
        table: Table,
        (old, new): (&Key, &Key),
        meant: impl Fn(&[u8]) -> bool,
    ) -> Result<u64, RegisterError> {
        let mut table = writing.open_table(table).map_err(|error| self.storage(error))?;
        let mut rows = Vec::new();
        for row in table.iter().map_err(|error| self.storage(error))? {
            let (key, value) = row.map_err(|error| self.storage(error))?;
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        let mut gone = 0;
        for (key, value) in rows {
            let place = Place { table: name, key: &key };
            let text = open(old, place, value).ok_or(RegisterError::Damaged { table: name })?;
            if meant(&text) {
                table.remove(&key[..]).map_err(|error| self.storage(error))?;
                gone += 1;
                continue;
            }
            let sealed = seal(new, place, text, self.entropy.as_ref());
            table.insert(&key[..], &sealed[..]).map_err(|error| self.storage(error))?;
        }
        Ok(gone)
    }
}

struct Head {
    file: [u8; 16],
    stand: Stand,
    wrapped: Vec<u8>,
}

fn storage(path: &str, error: impl Into<redb::Error>) -> RegisterError {
    RegisterError::Storage { path: path.to_owned(), why: error.into().to_string() }
}

fn stand_bytes(stand: Stand) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&stand.epoch.to_le_bytes());
    bytes[8..].copy_from_slice(&stand.generation.to_le_bytes());
    bytes
}

fn read_head(database: &Database) -> Result<Option<Head>, redb::Error> {
    let reading = database.begin_read()?;
    let table = match reading.open_table(HEAD) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    let value = |key: &[u8]| -> Result<Vec<u8>, redb::Error> {
        Ok(table.get(key)?.map(|held| held.value().to_vec()).unwrap_or_default())
    };
    let (file, stand, wrapped) = (value(b"file")?, value(b"stand")?, value(b"wrapped")?);
    let damaged = || redb::Error::Corrupted("the register's head".to_owned());
    let file = file.try_into().map_err(|_| damaged())?;
    let (epoch, generation) = stand.split_first_chunk().ok_or_else(damaged)?;
    let generation = generation.try_into().map_err(|_| damaged())?;
    let stand =
        Stand { epoch: u64::from_le_bytes(*epoch), generation: u64::from_le_bytes(generation) };
    Ok(Some(Head { file, stand, wrapped }))
}

fn begin(
    path: &str,
    database: &Database,
    custodian: &dyn Custodian,
    entropy: &dyn Entropy,
) -> Result<Held, RegisterError> {
    let (file, stand) = (random_id(entropy), Stand { epoch: 1, generation: 1 });
    custodian.prepare(&file, stand)?;
    let key = Key::random(entropy)?;
    let wrapped = custodian.wrap(&file, stand.epoch, &key, &file)?;
    let write = || -> Result<(), redb::Error> {
        let writing = database.begin_write()?;
        {
            let mut head = writing.open_table(HEAD)?;
            head.insert(&b"file"[..], &file[..])?;
            head.insert(&b"stand"[..], &stand_bytes(stand)[..])?;
            head.insert(&b"wrapped"[..], &wrapped[..])?;
        }
        Ok(writing.commit()?)
    };
    write().map_err(|error| storage(path, error))?;
    custodian.commit(&file, stand)?;
    Ok(Held { file, stand, key })
}

fn reopen(path: &str, head: Head, custodian: &dyn Custodian) -> Result<Held, RegisterError> {
    let Head { file, stand, wrapped } = head;
    let standing = custodian.newest(&file)?;
    let is_prepared = standing.prepared == Some(stand);
    let follows = standing.committed.is_some_and(|committed| {
        committed.epoch == stand.epoch && stand.generation >= committed.generation
    });
    if !is_prepared && !follows {
        let committed = standing.committed.map_or(0, |committed| committed.generation);
        let (path, held) = (path.to_owned(), stand.generation);
        return Err(RegisterError::RolledBack { path, held, committed });
    }
    let key = custodian.unwrap(&file, stand.epoch, &wrapped, &file)?;
    custodian.commit(&file, stand)?;
    if stand.epoch > 1 {
        custodian.destroy(&file, stand.epoch - 1)?; // a crash may have left it
    }
    Ok(Held { file, stand, key })
}
