//! Holder records (EDPB Opinion 11/2024, scenario 2): a template kept here and sealed to a 256-bit
//! secret that only the traveller carries.
//!
//! ```text
//! <name>.records, little-endian
//!   0      8   magic "PCULHREC"
//!   8      4   version, 1
//!  12      2   dims
//!  14      2   zero
//!  16     16   the file's id, random
//!  32     32   hash of the model
//!  64     32   hash of the calibration
//!  96     32   SHA-256 of bytes 0 to 96
//! 4096    …    slots, each:
//!   0     16   record id, random
//!  16      8   first second (civil, UTC) at which the record is void
//!  24     12   nonce
//!  36      4   zero
//!  40    dims  the template, int8, sealed
//!   …      8   first second at which the record counts, sealed
//!   …     16   tag
//!   …     32   SHA-256 of the slot before this
//!   …          zeros up to a multiple of 64 bytes
//! ```
//! A free slot is zero. The key of a record is HKDF-SHA256 of the secret, with the file's and the
//! record's ids as salt; bound to the seal are the first 96 bytes of the file, the record's id and
//! its expiry.
//!
//! Assumptions about the medium: what was synced reads back; an unsynced slot may be there in part,
//! which its hash tells. Nothing is enrolled before its slot is synced, nothing erased before the
//! zeros are.
//!
//! **Unknown id and wrong secret are one answer.** Both cost one read of one slot and one opening;
//! for an id that is not here a slot is read that a keyed hash of the id chooses, so that the same
//! id asks for the same place again, as a known one does.
//!
//! **What erasing covers.** The slot is zeroed and synced. The appliance never had the key; a copy
//! of the file made before, *together with the traveller's own secret*, still opens the record, and
//! nothing else does. Flash and copy-on-write media are as `FileCustodian::describe` says.
//!
//! Invariant: this store can be asked about one id at a time, with its secret. It is no
//! `TileSource`: no scan can be given it, and [`IdentifyNotPossible`] is the answer to whoever
//! asks.
//! ```compile_fail
//! fn scan(records: portcullis::keys::holder::record::HolderRecords)
//!     -> Box<dyn portcullis::ops::tile::TileSource> {
//!     Box::new(records)
//! }
//! ```

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ring::hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::{
    keys::{
        aead::{self, NONCE_BYTES, TAG_BYTES, leaving_no_trace},
        custodian::vault::{Vault, VaultError},
        memory::{KEY_BYTES, Key, LockError},
    },
    limits::{DIMS_MAX, HOLDER_RECORDS_MAX},
    random::{Entropy, random_id},
    types::{SubjectId, Template, TemplateError, TemplateKind},
};

const MAGIC: &[u8; 8] = b"PCULHREC";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 128;
const BOUND_BYTES: usize = 96;
const SLOTS_AT: u64 = 4096;

const EXPIRY_AT: usize = 16;
const NONCE_AT: usize = EXPIRY_AT + 8;
const ZERO_AT: usize = NONCE_AT + NONCE_BYTES;
const SEALED_AT: usize = ZERO_AT + 4;
const NOT_BEFORE_BYTES: usize = 8;
const HASH_BYTES: usize = 32;

/// Slots that are made with one growth of the file.
const SLOTS_AHEAD: u64 = 64;
/// Slots read at once when a store is opened.
const SLOTS_AT_ONCE: usize = 256;

/// Asking who somebody is, over records that open only with their holder's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "identification is not possible over holder records: each opens only with the secret that its \
     holder carries; ask the traveller for the record's id and secret, and verify"
)]
pub struct IdentifyNotPossible;

impl IdentifyNotPossible {
    /// The stable code of this answer.
    pub const CODE: &str = "IDENTIFY_NOT_POSSIBLE";
}

/// A record: 128 opaque bits that the traveller carries beside the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId([u8; 16]);

impl RecordId {
    /// From raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The record of `subject`.
    #[must_use]
    pub const fn of(subject: SubjectId) -> Self {
        Self(*subject.as_bytes())
    }

    /// Whom audit and register know by the same bits.
    #[must_use]
    pub const fn subject(self) -> SubjectId {
        SubjectId::from_bytes(self.0)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The traveller's secret: made here once, handed over, and kept nowhere.
///
/// ```compile_fail
/// fn leak(secret: &portcullis::keys::HolderSecret) -> String {
///     format!("{secret:?}")
/// }
/// ```
/// ```compile_fail
/// fn copy(secret: &portcullis::keys::HolderSecret) -> portcullis::keys::HolderSecret {
///     secret.clone()
/// }
/// ```
pub struct HolderSecret(Key);

impl HolderSecret {
    /// A fresh secret.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn random(entropy: &dyn Entropy) -> Result<Self, LockError> {
        Key::random(entropy).map(Self)
    }

    /// What a traveller presented; `bytes` are wiped.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn from_bytes(bytes: &mut [u8; KEY_BYTES]) -> Result<Self, LockError> {
        Key::from_bytes(bytes).map(Self)
    }

    /// The bytes, for the traveller.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        self.0.expose()
    }
}

/// Why a record was not opened.
#[derive(Debug, thiserror::Error)]
pub enum RecordRefused {
    /// There is no such record, or the secret is another one, or the record was altered: which of
    /// them is not known here.
    #[error(
        "no record opens with this id and this secret: present both as they were handed out, or \
         enrol the traveller again"
    )]
    NotOpened,
    /// It opened, and its time has not come.
    #[error("the record counts from second {not_before_s} (UTC)")]
    NotYetValid {
        /// Begin.
        not_before_s: i64,
    },
    /// It opened, and its time is over.
    #[error("the record expired at second {expiry_s} (UTC)")]
    Expired {
        /// End.
        expiry_s: i64,
    },
    /// It could not be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a store of records did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The disk did not.
    #[error("the holder records {place} cannot be {what}: {why}")]
    Storage {
        /// The file.
        place: String,
        /// `read`, `written`, `synced`.
        what: &'static str,
        /// What the vault said.
        why: VaultError,
    },
    /// The file is not a store of records.
    #[error("{place} is no file of holder records of version {VERSION}: {why}")]
    Damaged {
        /// The file.
        place: String,
        /// What does not fit.
        why: &'static str,
    },
    /// The file is of another model or calibration, or the template is.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// No room for one more.
    #[error("the store holds {HOLDER_RECORDS_MAX} records, which is the most: erase expired ones")]
    Full,
    /// The validity ends before it begins.
    #[error("a record cannot be valid from second {not_before_s} until before {expiry_s}")]
    Validity {
        /// Begin.
        not_before_s: i64,
        /// End.
        expiry_s: i64,
    },
    /// No locked memory for a key.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// How many records a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsHeld {
    /// Records that can be opened.
    pub live: u64,
    /// Slots that are neither whole nor free: torn by a crash before anybody was told, or damaged.
    pub damaged: u64,
    /// All slots.
    pub slots: u64,
}

/// A store of holder records.
pub struct HolderRecords {
    vault: Arc<dyn Vault>,
    name: String,
    entropy: Arc<dyn Entropy>,
    kind: TemplateKind,
    bound: [u8; BOUND_BYTES],
    choice: RandomState,
    places: Mutex<Places>,
}

/// Which record lies where.
#[derive(Default)]
struct Places {
    of: HashMap<RecordId, Place>,
    free: Vec<u64>,
    damaged: Vec<u64>,
    slots: u64,
}

#[derive(Clone, Copy)]
struct Place {
    slot: u64,
    expiry_s: i64,
}

impl HolderRecords {
    /// The file of the store `name`, as [`FolderVault::open_alone`] takes it.
    ///
    /// [`FolderVault::open_alone`]: crate::keys::custodian::vault::FolderVault::open_alone
    #[must_use]
    pub fn file_name(name: &str) -> String {
        format!("{name}.records")
    }

    /// Opens `<name>.records` in `vault`, or makes it, for templates of `kind`. Give it a vault
    /// that holds this file for this process alone.
    ///
    /// # Errors
    /// [`RecordsError`]; a store of another model or calibration is refused by name.
    pub fn open(
        vault: Arc<dyn Vault>,
        name: &str,
        kind: TemplateKind,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RecordsError> {
        let name = Self::file_name(name);
        let (choice, places) = (RandomState::new(), Mutex::default());
        let mut store =
            Self { vault, name, entropy, kind, bound: [0; BOUND_BYTES], choice, places };
        store.bound = store.head()?;
        let places = store.survey()?;
        store.places = Mutex::new(places);
        if store.places().slots == 0 {
            store.grow(&mut store.places())?;
        }
        Ok(store)
    }

    /// Keeps `template` from `not_before_s` until before `expiry_s`; durable when this returns. The
    /// secret is the traveller's: hand it over and drop it.
    ///
    /// # Errors
    /// [`RecordsError`]; nothing is then kept.
    pub fn enrol(
        &self,
        template: &Template,
        not_before_s: i64,
        expiry_s: i64,
    ) -> Result<(RecordId, HolderSecret), RecordsError> {
        self.kind.accept(template.kind())?;
        if expiry_s <= not_before_s {
            return Err(RecordsError::Validity { not_before_s, expiry_s });
        }
        let secret = HolderSecret::random(&*self.entropy)?;
        let id = RecordId(random_id(&*self.entropy));
        let slot = self.sealed(id, &secret, template, not_before_s, expiry_s)?;
        let mut places = self.places();
        if places.free.is_empty() {
            self.grow(&mut places)?;
        }
        let place = places.free.pop().ok_or(RecordsError::Full)?;
        match self.put(place, &slot) {
            Ok(()) => {
                places.of.insert(id, Place { slot: place, expiry_s });
                Ok((id, secret))
            }
            Err(error) => {
                // It may be there in part: not given to anybody until it is cleared.
                places.damaged.push(place);
                Err(error)
            }
        }
    }

    /// Opens the record `id` with its holder's secret, for one comparison at `now_s`.
    ///
    /// # Errors
    /// [`RecordRefused`]; one answer for an unknown id and a wrong secret, after the same work.
    pub fn reference(
        &self,
        id: RecordId,
        secret: &HolderSecret,
        now_s: i64,
    ) -> Result<Template, RecordRefused> {
        let place = {
            let places = self.places();
            let elsewhere = self.choice.hash_one(id).checked_rem(places.slots).unwrap_or_default();
            places.of.get(&id).map_or(elsewhere, |place| place.slot)
        };
        let mut slot = vec![0; self.slot_bytes()];
        self.read(self.slot_at(place), &mut slot)?;
        let key = self.record_key(id, secret).map_err(RecordsError::from)?;
        // Looked at on every path, so that the work stays the same.
        let is_its_own = self.is_whole(&slot) & slot.starts_with(&id.0);
        let opened = self.unsealed(id, &key, &mut slot).filter(|_| is_its_own);
        let answer = opened.ok_or(RecordRefused::NotOpened).and_then(|(not_before_s, expiry_s)| {
            if now_s >= expiry_s {
                return Err(RecordRefused::Expired { expiry_s });
            }
            if now_s < not_before_s {
                return Err(RecordRefused::NotYetValid { not_before_s });
            }
            let values = &slot[SEALED_AT..][..usize::from(self.kind.dims)];
            let values = values.iter().map(|value| value.cast_signed()).collect();
            Template::new(values, self.kind).map_err(|error| RecordsError::from(error).into())
        });
        slot.zeroize();
        answer
    }

    /// Erases a record; durable when this returns. False if it is not there.
    ///
    /// # Errors
    /// [`RecordsError::Storage`]; the record must then be taken to exist.
    pub fn erase(&self, id: RecordId) -> Result<bool, RecordsError> {
        let mut places = self.places();
        let Some(place) = places.of.get(&id).copied() else { return Ok(false) };
        self.put(place.slot, &vec![0; self.slot_bytes()])?;
        places.of.remove(&id);
        places.free.push(place.slot);
        Ok(true)
    }

    /// The records whose time is over at `now_s`.
    #[must_use]
    pub fn expired(&self, now_s: i64) -> Vec<RecordId> {
        let places = self.places();
        let over = places.of.iter().filter(|(_, place)| now_s >= place.expiry_s);
        over.map(|(id, _)| *id).collect()
    }

    /// Erases the records whose time is over at `now_s`, and says how many.
    ///
    /// # Errors
    /// As [`HolderRecords::erase`].
    pub fn erase_expired(&self, now_s: i64) -> Result<u64, RecordsError> {
        let mut erased = 0_u64;
        for id in self.expired(now_s) {
            erased = erased.saturating_add(u64::from(self.erase(id)?));
        }
        Ok(erased)
    }

    /// Zeroes slots that are neither whole nor free, so that they can be used again, and says how
    /// many there were.
    ///
    /// # Errors
    /// As [`HolderRecords::erase`].
    pub fn clear_damaged(&self) -> Result<u64, RecordsError> {
        let mut places = self.places();
        let mut cleared = 0_u64;
        while let Some(&slot) = places.damaged.last() {
            self.put(slot, &vec![0; self.slot_bytes()])?;
            places.damaged.pop();
            places.free.push(slot);
            cleared = cleared.saturating_add(1);
        }
        Ok(cleared)
    }

    /// Every record's id, for whoever holds a list of the erased against them. An id opens nothing.
    #[must_use]
    pub fn ids(&self) -> Vec<RecordId> {
        let mut ids: Vec<RecordId> = self.places().of.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// How many records there are.
    #[must_use]
    pub fn held(&self) -> RecordsHeld {
        let places = self.places();
        RecordsHeld {
            live: places.of.len() as u64,
            damaged: places.damaged.len() as u64,
            slots: places.slots,
        }
    }

    /// Model and calibration of its templates.
    #[must_use]
    pub fn kind(&self) -> &TemplateKind {
        &self.kind
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &'static str) -> impl Fn(VaultError) -> RecordsError {
        let place = format!("{}/{}", self.vault.place(), self.name);
        move |why| RecordsError::Storage { place: place.clone(), what, why }
    }

    fn sealed_bytes(&self) -> usize {
        usize::from(self.kind.dims).saturating_add(NOT_BEFORE_BYTES)
    }

    /// Where the slot's hash begins.
    fn hash_at(&self) -> usize {
        SEALED_AT.saturating_add(self.sealed_bytes()).saturating_add(TAG_BYTES)
    }

    fn slot_bytes(&self) -> usize {
        self.hash_at().saturating_add(HASH_BYTES).next_multiple_of(64)
    }

    fn slot_at(&self, slot: u64) -> u64 {
        // At most a million slots of a few kilobytes.
        slot.saturating_mul(self.slot_bytes() as u64).saturating_add(SLOTS_AT)
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<usize, RecordsError> {
        let read = self.vault.read(&self.name, at, bytes).map_err(self.failed("read"))?;
        Ok(read.unwrap_or_default())
    }

    fn put(&self, slot: u64, bytes: &[u8]) -> Result<(), RecordsError> {
        let at = self.slot_at(slot);
        self.vault.write(&self.name, at, bytes).map_err(self.failed("written"))?;
        self.vault.sync(&self.name).map_err(self.failed("synced"))
    }

    /// Reads the file's head, or writes that of a new file; what every seal is bound to.
    fn head(&self) -> Result<[u8; BOUND_BYTES], RecordsError> {
        let place = || format!("{}/{}", self.vault.place(), self.name);
        let damaged = |why| RecordsError::Damaged { place: place(), why };
        if usize::from(self.kind.dims) > DIMS_MAX {
            return Err(damaged("no template has so many dimensions"));
        }
        let mut head = [0; HEAD_BYTES];
        self.read(0, &mut head)?;
        // Zero, or torn before the first slot was ever made: nobody was enrolled.
        let is_whole = Sha256::digest(&head[..BOUND_BYTES])[..] == head[BOUND_BYTES..];
        if !is_whole && self.read(SLOTS_AT, &mut [0])? == 0 {
            return self.write_head();
        }
        if !is_whole {
            return Err(damaged("its head is damaged"));
        }
        if !head.starts_with(MAGIC)
            || head[8..12] != VERSION.to_le_bytes()
            || head[14..16] != [0; 2]
        {
            return Err(damaged("it is of another kind or version"));
        }
        let fixed = "offsets of a head lie inside it";
        let hash = |at: usize| *head[at..].first_chunk::<32>().expect(fixed);
        let held = TemplateKind {
            model: crate::types::Hash256::from_bytes(hash(32)),
            calibration: crate::types::Hash256::from_bytes(hash(64)),
            dims: u16::from_le_bytes(*head[12..].first_chunk().expect(fixed)),
        };
        self.kind.accept(&held)?;
        Ok(*head.first_chunk().expect(fixed))
    }

    fn write_head(&self) -> Result<[u8; BOUND_BYTES], RecordsError> {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[12..14].copy_from_slice(&self.kind.dims.to_le_bytes());
        head[16..32].copy_from_slice(&random_id(&*self.entropy));
        head[32..64].copy_from_slice(self.kind.model.as_bytes());
        head[64..96].copy_from_slice(self.kind.calibration.as_bytes());
        let hash = Sha256::digest(&head[..BOUND_BYTES]);
        head[BOUND_BYTES..].copy_from_slice(&hash);
        self.vault.create(&self.name).map_err(self.failed("created"))?;
        self.vault.write(&self.name, 0, &head).map_err(self.failed("written"))?;
        self.vault.sync(&self.name).map_err(self.failed("synced"))?;
        self.vault.sync_names().map_err(self.failed("synced"))?;
        Ok(*head.first_chunk().expect("a head is longer"))
    }

    /// Appends free slots.
    fn grow(&self, places: &mut Places) -> Result<(), RecordsError> {
        let more = HOLDER_RECORDS_MAX.saturating_sub(places.slots).min(SLOTS_AHEAD);
        let last = places.slots.saturating_add(more).checked_sub(1).filter(|_| more > 0);
        let last = last.ok_or(RecordsError::Full)?;
        self.put(last, &vec![0; self.slot_bytes()])?;
        places.free.extend((places.slots..=last).rev());
        places.slots = last.saturating_add(1);
        Ok(())
    }

    /// Looks at every slot once, without any secret.
    fn survey(&self) -> Result<Places, RecordsError> {
        let bytes = self.slot_bytes();
        let mut places = Places::default();
        let mut window = vec![0; bytes.saturating_mul(SLOTS_AT_ONCE)];
        loop {
            let held = self.read(self.slot_at(places.slots), &mut window)?;
            for slot in window[..held].chunks_exact(bytes) {
                self.look_at(slot, &mut places);
            }
            if held < window.len() {
                break;
            }
        }
        Ok(places)
    }

    fn look_at(&self, slot: &[u8], places: &mut Places) {
        let at = places.slots;
        places.slots = at.saturating_add(1);
        if slot.iter().all(|&byte| byte == 0) {
            places.free.push(at);
        } else if self.is_whole(slot) && at < HOLDER_RECORDS_MAX {
            let fixed = "a slot is longer than its head";
            let id = RecordId(*slot.first_chunk().expect(fixed));
            let expiry_s = i64::from_le_bytes(*slot[EXPIRY_AT..].first_chunk().expect(fixed));
            places.of.insert(id, Place { slot: at, expiry_s });
        } else {
            places.damaged.push(at);
        }
    }

    fn is_whole(&self, slot: &[u8]) -> bool {
        let (told, rest) = slot.split_at(self.hash_at());
        Sha256::digest(told)[..] == rest[..HASH_BYTES]
    }

    fn record_key(&self, id: RecordId, secret: &HolderSecret) -> Result<Key, LockError> {
        let salt = [&self.bound[16..32], &id.0].concat();
        Key::filled(|place| {
            leaving_no_trace(|| {
                let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(secret.expose());
                derived
                    .expand(&[b"portcullis holder record 1"], hkdf::HKDF_SHA256)
                    .and_then(|derived| derived.fill(place))
                    .expect("32 bytes are one block of HKDF-SHA256");
            });
            Ok(())
        })
    }

    fn bound(&self, id: RecordId, expiry: &[u8]) -> Vec<u8> {
        [&self.bound[..], &id.0, expiry].concat()
    }

    fn sealed(
        &self,
        id: RecordId,
        secret: &HolderSecret,
        template: &Template,
        not_before_s: i64,
        expiry_s: i64,
    ) -> Result<Vec<u8>, RecordsError> {
        let expiry = expiry_s.to_le_bytes();
        let key = self.record_key(id, secret)?;
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let mut slot = vec![0; self.slot_bytes()];
        slot[..EXPIRY_AT].copy_from_slice(&id.0);
        slot[EXPIRY_AT..NONCE_AT].copy_from_slice(&expiry);
        slot[NONCE_AT..ZERO_AT].copy_from_slice(&nonce);
        let (sealed, rest) = slot[SEALED_AT..].split_at_mut(self.sealed_bytes());
        let (values, not_before) = sealed.split_at_mut(usize::from(self.kind.dims));
        for (place, value) in values.iter_mut().zip(template.values()) {
            *place = value.cast_unsigned();
        }
        not_before.copy_from_slice(&not_before_s.to_le_bytes());
        let tag = aead::seal(key.expose(), &nonce, &self.bound(id, &expiry), sealed);
        rest[..TAG_BYTES].copy_from_slice(&tag);
        let hash = Sha256::digest(&slot[..self.hash_at()]);
        slot[self.hash_at()..][..HASH_BYTES].copy_from_slice(&hash);
        Ok(slot)
    }

    /// Opens a slot in place: when it counts from, and until when.
    fn unsealed(&self, id: RecordId, key: &Key, slot: &mut [u8]) -> Option<(i64, i64)> {
        let fixed = "a slot is longer than its head";
        let expiry: [u8; 8] = *slot[EXPIRY_AT..].first_chunk().expect(fixed);
        let nonce: [u8; NONCE_BYTES] = *slot[NONCE_AT..].first_chunk().expect(fixed);
        let (sealed, rest) = slot[SEALED_AT..].split_at_mut(self.sealed_bytes());
        let tag = rest.first_chunk().expect("a tag follows what is sealed");
        aead::open(key.expose(), &nonce, &self.bound(id, &expiry), sealed, tag).ok()?;
        let not_before = *sealed.last_chunk().expect("the begin is sealed last");
        Some((i64::from_le_bytes(not_before), i64::from_le_bytes(expiry)))
    }
}
