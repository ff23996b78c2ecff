//! The register: who consented to what, who was erased, where the site stands. An embedded
//! transactional database whose values are sealed under a key of the gallery's own custodian.
//!
//! ```text
//! table        key                                        value
//! head         "file" "stand" "wrapped"                   file id; epoch, generation; wrapped key
//!              "owed"                                     there while a key is to be destroyed
//! consents     SHA-256 of gallery and subject             nonce ‖ tag ‖ sealed JSON
//! earlier      the same, generation                       nonce ‖ tag ‖ sealed JSON
//! grounds      SHA-256 of gallery and subject             nonce ‖ tag ‖ sealed JSON
//! tombstones   SHA-256 of gallery and subject             second of the erasure, generation
//! records      a name, such as "deployment"               nonce ‖ tag ‖ sealed JSON
//! outbox       number, name of an event                   nonce ‖ tag ‖ sealed JSON
//! ```
//! What is known of one person in one gallery (`people.rs`) changes as one: a consent, the ground
//! of an entry and the tombstone are put up or taken down in the same transaction.
//!
//! A tombstone outlives what it stands for: a gallery that was restored from an older backup is
//! held against all of them before anybody is searched for. The register itself cannot be restored
//! behind the back of the tombstones: its stand is recorded with the custodian, and an older one is
//! refused by name ([`RegisterError::RolledBack`]). Where the custodian's record went back with it,
//! the audit tells (`appliance/buried.rs`).
//!
//! Taking something out for good ([`Register::forget`]) seals what is left under a new epoch's key
//! and has the custodian destroy the old one, as a gallery does: older copies of the file, and its
//! free pages, are noise. That is how consents go whose proof has been kept long enough, and, the
//! next time it is called, the ground of an entry that was erased.
//!
//! Invariant: no value is in the file but sealed; no key of a table tells whom it is about to
//! whoever does not know the opaque name already; what was committed is never forgotten silently.

mod consent;
mod outbox;
mod people;
mod sealed;
#[cfg(test)]
mod tests;

use std::{
    ops::Bound,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    keys::{Custodian, CustodyError, Key, LockError, Stand},
    limits::{CONSENTS_MAX, OUTBOX_MAX},
    random::{Entropy, random_id},
};
pub use consent::{AgeClass, Consent, Ending, FACE, Given, Ground, RelationClass, TakenBack};
pub use outbox::Ticket;
pub use people::{Before, Entry};
use sealed::{Place, open, seal};

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table whose values are sealed, and the name that binds them to it.
#[derive(Clone, Copy)]
struct Sheet {
    name: &'static str,
    table: Table,
}

impl Sheet {
    const fn new(name: &'static str) -> Self {
        Self { name, table: TableDefinition::new(name) }
    }

    fn damaged(self) -> RegisterError {
        RegisterError::Damaged { table: self.name }
    }
}

const HEAD: Table = TableDefinition::new("head");
const TOMBSTONES: Table = TableDefinition::new("tombstones");
const CONSENTS: Sheet = Sheet::new("consents");
const EARLIER: Sheet = Sheet::new("earlier");
const GROUNDS: Sheet = Sheet::new("grounds");
const RECORDS: Sheet = Sheet::new("records");
const OUTBOX: Sheet = Sheet::new("outbox");
/// Everything that is sealed anew when the key changes.
const SHEETS: [Sheet; 5] = [CONSENTS, EARLIER, GROUNDS, RECORDS, OUTBOX];
/// Rows that are sealed anew at once: what is in memory of a register, however large it is.
const RESEALED_AT_ONCE: usize = 4_096;
/// Key of the head that is there while a value that was taken out still opens in an older copy.
const OWED: &[u8] = b"owed";

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
    #[error(
        "the register holds {CONSENTS_MAX} consents, as many as it takes; one that is over goes \
         after the profile's retention.consent_days"
    )]
    Full,
    /// Somebody was erased, or took a consent back, after the enrolment was asked for.
    #[error(
        "the person was erased, or took the consent back, while the enrolment was under way; \
         nobody was enrolled: ask the person again"
    )]
    EndedMeanwhile,
    /// As much waits to be sent as may.
    #[error(
        "the register holds {OUTBOX_MAX} events to be sent, as many as it takes; look after the \
         receiver that events.webhook names"
    )]
    OutboxFull,
}

/// What a register that is in no file is called.
const IN_MEMORY: &str = "in memory";

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
        let shown = IN_MEMORY.to_owned();
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

    /// Whether it outlasts the process: what it proves is otherwise proved until the next start.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.path != IN_MEMORY
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

    /// Takes a value out; whether there was one.
    fn take_out(
        &self,
        writing: &WriteTransaction,
        table: Table,
        key: &[u8],
    ) -> Result<bool, RegisterError> {
        let mut table = writing.open_table(table).map_err(|error| self.storage(error))?;
        let taken = table.remove(key).map_err(|error| self.storage(error))?.is_some();
        Ok(taken)
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
        sheet: Sheet,
        key: &[u8],
    ) -> Result<Option<T>, RegisterError> {
        // Before the value is read: a change of epoch waits until this one is opened.
        let held = self.held();
        let Some(value) = self.read(sheet.table, key)? else { return Ok(None) };
        let Some(text) = open(&held.key, Place { table: sheet.name, key }, value) else {
            return Err(sheet.damaged());
        };
        serde_json::from_slice(&text).map(Some).map_err(|_| sheet.damaged())
    }

    /// Where the register stands: grows with every change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.held().stand.generation
    }

    /// A record of the site's own, such as where it stands.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn record<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RegisterError> {
        self.opened(RECORDS, name.as_bytes())
    }

    /// Keeps a record of the site's own.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn keep_record<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RegisterError> {
        let key = name.as_bytes();
        self.change(|writing, held| {
            let sealed = self.sealed(held, Place { table: RECORDS.name, key }, value);
            self.put(writing, RECORDS.table, key, &sealed)
        })
    }

    /// Everything that one table holds.
    fn all<T: DeserializeOwned>(&self, sheet: Sheet) -> Result<Vec<T>, RegisterError> {
        let mut found = Vec::new();
        self.each(sheet, |value| {
            found.push(value);
            true
        })?;
        Ok(found)
    }

    /// Shows what one table holds, one after the other, for as long as `goes_on`.
    fn each<T: DeserializeOwned>(
        &self,
        sheet: Sheet,
        mut goes_on: impl FnMut(T) -> bool,
    ) -> Result<(), RegisterError> {
        let held = self.held();
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let table = match reading.open_table(sheet.table) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            opened => opened.map_err(|error| self.storage(error))?,
        };
        for row in table.iter().map_err(|error| self.storage(error))? {
            let (key, value) = row.map_err(|error| self.storage(error))?;
            let place = Place { table: sheet.name, key: key.value() };
            let text = open(&held.key, place, value.value().to_vec());
            let text = text.ok_or_else(|| sheet.damaged())?;
            if !goes_on(serde_json::from_slice(&text).map_err(|_| sheet.damaged())?) {
                break;
            }
        }
        Ok(())
    }

    /// Takes consents out for good, earlier ones included: what is left is sealed under a new
    /// epoch's key, and the old one is destroyed. So is it where something was taken out already
    /// that an older copy could still open. Tombstones stay.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn forget(&self, meant: impl Fn(&Consent) -> bool) -> Result<u64, RegisterError> {
        let is_owed = self.read(HEAD, OWED)?.is_some();
        let is_there = |sheet: Sheet| {
            let mut found = false;
            self.each(sheet, |consent: Consent| {
                found = meant(&consent);
                !found
            })?;
            Ok::<_, RegisterError>(found)
        };
        if !is_owed && !is_there(CONSENTS)? && !is_there(EARLIER)? {
            return Ok(0);
        }
        let mut held = self.held();
        let old = held.stand;
        let stand = Stand { epoch: old.epoch + 1, generation: old.generation + 1 };
        self.custodian.prepare(&held.file, stand)?;
        let key = Key::random(self.entropy.as_ref())?;
        let wrapped = self.custodian.wrap(&held.file, stand.epoch, &key, &held.file)?;
        let writing = self.database.begin_write().map_err(|error| self.storage(error))?;
        let mut gone = 0;
        for sheet in SHEETS {
            let consents = sheet.name == CONSENTS.name || sheet.name == EARLIER.name;
            gone += self.reseal(&writing, sheet, (&held.key, &key), |text| {
                consents && serde_json::from_slice(text).is_ok_and(|consent| meant(&consent))
            })?;
        }
        self.take_out(&writing, HEAD, OWED)?;
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
        sheet: Sheet,
        (old, new): (&Key, &Key),
        meant: impl Fn(&[u8]) -> bool,
    ) -> Result<u64, RegisterError> {
        let mut table = writing.open_table(sheet.table).map_err(|error| self.storage(error))?;
        let (mut gone, mut after) = (0, None::<Vec<u8>>);
        loop {
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut rows = Vec::new();
            let held = table.range::<&[u8]>((from, Bound::Unbounded));
            for row in held.map_err(|error| self.storage(error))?.take(RESEALED_AT_ONCE) {
                let (key, value) = row.map_err(|error| self.storage(error))?;
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            let Some((last, _)) = rows.last() else { return Ok(gone) };
            after = Some(last.clone());
            for (key, value) in rows {
                let place = Place { table: sheet.name, key: &key };
                let text = open(old, place, value).ok_or_else(|| sheet.damaged())?;
                if meant(&text) {
                    table.remove(&key[..]).map_err(|error| self.storage(error))?;
                    gone += 1;
                    continue;
                }
                let sealed = seal(new, place, text, self.entropy.as_ref());
                table.insert(&key[..], &sealed[..]).map_err(|error| self.storage(error))?;
            }
        }
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
