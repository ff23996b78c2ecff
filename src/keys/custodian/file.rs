//! The custodian that keeps epoch keys in files: `<file id>.<epoch>.key`, one per epoch, and a
//! record per gallery, `<file id>.standing`.
//!
//! ```text
//! a key file, little-endian, 136 bytes
//!   0   8  magic "PCULEKEY"
//!   8   4  version, 1
//!  12   4  1 if the key is sealed under the folder's guard, else 0
//!  16  16  the gallery's file id
//!  32   8  epoch
//!  40  12  nonce of the seal, or zero
//!  52   4  zero
//!  56  32  the epoch's key, plain or sealed with bytes 0 to 40 bound
//!  88  16  tag of the seal, or zero
//! 104  32  SHA-256 of bytes 0 to 104
//!
//! a standing file, 8 KiB: two slots of `record`, at 0 and at 4096 (apart, so that no sector and no
//! page of a medium holds both)
//! ```
//!
//! # What is synced, and why no more
//!
//! An erase costs this custodian three syncs, each of one file:
//! 1. `prepare`: the new epoch's key. Its *name* was made durable before: names are created eight
//!    epochs ahead, empty, with one sync of the folder.
//! 2. `prepare`: the standing. Never into the slot that is known to be durable, so that a torn
//!    write leaves the record before it.
//! 3. `destroy`: zeros over the old key. After that sync the key is nowhere; the name is then
//!    unlinked and becomes durable with the next sync of the folder. If a power cut brings the name
//!    back, there are zeros behind it.
//!
//! `commit` of a new epoch is written and not synced: until it is durable the record says
//! *prepared*, which opens as well, and once the old key is gone nothing but the new epoch can be
//! meant. `commit` within an epoch has no such witness and is synced.
//!
//! After a sync the record is written into the other slot too, unsynced: between changes both say
//! the same, and a damaged one costs nothing.
//!
//! Assumptions about the medium: what was synced reads back; a write that was not synced may be
//! there in part, whole, or not at all, in any order; bytes outside a write do not change; writing
//! over bytes of a file replaces them on the medium ([`FileCustodian::describe`] says where that is
//! not so).

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Claim, Custodian, CustodianDescription, CustodyError, Stand, Standing,
    epoch_file::{self, EPOCH_FILE_BYTES},
    guard, hex,
    record::{Record, SLOT_BYTES},
    storage,
    vault::{Contended, FolderVault, Vault},
    wrapped::{self, Context, Kind},
};
use crate::{
    keys::{
        memory::{Key, LockedBytes},
        phrase::Phrase,
    },
    random::Entropy,
};

/// Where the two slots of a standing file begin.
const SLOTS_AT: [u64; 2] = [0, 4096];
/// Bytes of a standing file that are read.
const STANDING_BYTES: usize = 4096 + SLOT_BYTES;
/// Epochs whose files' names are made with one sync of the folder.
const EPOCHS_AHEAD: u64 = 8;

/// Keeps epoch keys in files.
pub struct FileCustodian {
    vault: Arc<dyn Vault>,
    guard: Option<Key>,
    entropy: Arc<dyn Entropy>,
    galleries: Mutex<HashMap<[u8; 16], Arc<Mutex<Known>>>>,
}

/// What this process knows to be durable about one gallery.
#[derive(Default)]
struct Known {
    /// The slot that holds the newest durable record.
    slot: Option<usize>,
    /// The epochs whose files' names are durable.
    named: Option<RangeInclusive<u64>>,
}

impl FileCustodian {
    /// Keeps keys in `folder`, made with mode 0700 if it is not there; under `passphrase` if one is
    /// given.
    ///
    /// # Errors
    /// [`CustodyError::Permissions`] for a folder others can write to,
    /// [`CustodyError::PassphraseWrong`], [`CustodyError::Passphrase`], [`CustodyError::Storage`].
    pub fn open(
        folder: &Path,
        passphrase: Option<&Phrase>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CustodyError> {
        let vault = FolderVault::open(folder)
            .map_err(|error| super::storage_at(folder.display().to_string(), "opened", error))?;
        Self::over(Arc::new(vault), passphrase, entropy)
    }

    /// Keeps keys in `vault`.
    ///
    /// # Errors
    /// As [`FileCustodian::open`].
    pub fn over(
        vault: Arc<dyn Vault>,
        passphrase: Option<&Phrase>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CustodyError> {
        let guard = guard::open(&*vault, passphrase, &*entropy)?;
        Ok(Self { vault, guard, entropy, galleries: Mutex::default() })
    }

    fn gallery(&self, file: &[u8; 16]) -> Arc<Mutex<Known>> {
        let mut galleries = self.galleries.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(galleries.entry(*file).or_default())
    }

    fn failed(
        &self,
        name: &str,
        what: &'static str,
    ) -> impl Fn(super::vault::VaultError) -> CustodyError {
        let (vault, name) = (Arc::clone(&self.vault), name.to_owned());
        move |error| storage(&*vault, &name, what, error)
    }

    /// Reads `name` into locked memory; what is past the file's end is zero.
    fn read(&self, name: &str, bytes: usize) -> Result<Option<LockedBytes>, CustodyError> {
        let mut held = LockedBytes::zeroed(bytes)?;
        let read = self.vault.read(name, 0, &mut held).map_err(self.failed(name, "read"))?;
        Ok(read.map(|_| held))
    }

    /// The record in force, if the gallery is known here.
    fn record(&self, file: &[u8; 16], known: &mut Known) -> Result<Option<Record>, CustodyError> {
        let name = standing_name(file);
        if known.slot.is_none() && self.read(&name, 1)?.is_some() {
            // Another process may have written and not synced what is read now.
            self.vault.sync(&name).map_err(self.failed(&name, "synced"))?;
        }
        let Some(bytes) = self.read(&name, STANDING_BYTES)? else { return Ok(None) };
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let slots = [&bytes[..SLOT_BYTES], &bytes[STANDING_BYTES - SLOT_BYTES..]];
        let records = slots.map(|slot| Record::decode(file, slot));
        let newest = (0..2).filter_map(|slot| Some((records[slot]?, slot)));
        let Some((mut record, slot)) = newest.max_by_key(|(record, _)| record.sequence) else {
            let why = "neither of its two slots is whole".to_owned();
            return Err(CustodyError::Damaged { custodian: "file", file: hex(file), why });
        };
        known.slot.get_or_insert(slot);
        record.standing = self.witnessed(file, record.standing)?;
        Ok(Some(record))
    }

    /// A change of epoch whose commit was lost with the power, and whose old key is destroyed, is
    /// committed: `destroy` comes last.
    fn witnessed(&self, file: &[u8; 16], held: Standing) -> Result<Standing, CustodyError> {
        let (Some(committed), Some(prepared)) = (held.committed, held.prepared) else {
            return Ok(held);
        };
        let is_gone = |epoch| match self.key(file, epoch) {
            Ok(key) => Ok(key.is_none()),
            // Zeros were being written over it.
            Err(CustodyError::Damaged { .. }) => Ok(true),
            Err(error) => Err(error),
        };
        if committed.epoch != prepared.epoch
            && is_gone(committed.epoch)?
            && !is_gone(prepared.epoch)?
        {
            return Ok(Standing { committed: Some(prepared), prepared: None });
        }
        Ok(held)
    }

    /// Writes `record` into the slot that may be lost.
    fn put(
        &self,
        file: &[u8; 16],
        known: &mut Known,
        record: Record,
    ) -> Result<usize, CustodyError> {
        let name = standing_name(file);
        let slot = known.slot.map_or(0, |durable| 1_usize.saturating_sub(durable));
        let bytes = record.encode(file);
        let written = self.vault.write(&name, SLOTS_AT[slot], &bytes);
        written.map_err(self.failed(&name, "written"))?;
        Ok(slot)
    }

    fn put_durably(
        &self,
        file: &[u8; 16],
        known: &mut Known,
        record: Record,
    ) -> Result<(), CustodyError> {
        let name = standing_name(file);
        let slot = self.put(file, known, record)?;
        self.vault.sync(&name).map_err(self.failed(&name, "synced"))?;
        known.slot = Some(slot);
        // The second copy is a guard against damage alone; the record is durable without it.
        let _mirrored = self.put(file, known, record);
        Ok(())
    }

    fn key(&self, file: &[u8; 16], epoch: u64) -> Result<Option<Key>, CustodyError> {
        let Some(bytes) = self.read(&key_name(file, epoch), EPOCH_FILE_BYTES)? else {
            return Ok(None);
        };
        let guard = self.guard.as_ref();
        epoch_file::decode(&bytes, file, epoch, guard, || self.vault.place())
    }

    /// The key of `epoch`, or why there is none.
    fn held_key(&self, context: Context<'_>) -> Result<Key, CustodyError> {
        if let Some(key) = self.key(context.file, context.epoch)? {
            return Ok(key);
        }
        let known = self.gallery(context.file);
        let record = self.record(context.file, &mut lock(&known))?;
        Err(record
            .map_or_else(|| super::unknown(Kind::File, context.file), |_| context.missing_key()))
    }

    /// Makes names durable: the epochs' to come, and the standing's if it is new.
    fn name(&self, file: &[u8; 16], known: &mut Known, epoch: u64) -> Result<(), CustodyError> {
        if known.named.as_ref().is_some_and(|named| named.contains(&epoch)) {
            return Ok(());
        }
        let ahead = epoch..=epoch.saturating_add(EPOCHS_AHEAD);
        let names = ahead.clone().map(|epoch| key_name(file, epoch));
        for name in names.chain([standing_name(file)]) {
            self.vault.create(&name).map_err(self.failed(&name, "created"))?;
        }
        self.vault.sync_names().map_err(self.failed("", "synced"))?;
        known.named = Some(ahead);
        Ok(())
    }

    fn make_key(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError> {
        let key = Key::random(&*self.entropy)?;
        let mut bytes = LockedBytes::zeroed(EPOCH_FILE_BYTES)?;
        epoch_file::encode(&mut bytes, file, epoch, &key, self.guard.as_ref(), &*self.entropy);
        let name = key_name(file, epoch);
        self.vault.write(&name, 0, &bytes).map_err(self.failed(&name, "written"))?;
        self.vault.sync(&name).map_err(self.failed(&name, "synced"))
    }

    /// Durably zeroes a key file. Also one that reads as zeros: an earlier destruction may have
    /// failed at its sync, and what a failed sync lost is written by the next one only if it is
    /// written again.
    fn blank(&self, name: &str) -> Result<(), CustodyError> {
        if self.read(name, 1)?.is_none() {
            return Ok(());
        }
        let written = self.vault.write(name, 0, &[0; EPOCH_FILE_BYTES]);
        written.map_err(self.failed(name, "overwritten"))?;
        self.vault.sync(name).map_err(self.failed(name, "synced"))
    }

    /// Destroys the key of a change that will not come back; its file's name stays for the next.
    fn give_up(&self, file: &[u8; 16], epoch: Option<u64>) -> Result<(), CustodyError> {
        epoch.map_or(Ok(()), |epoch| self.blank(&key_name(file, epoch)))
    }

    /// Destroys the keys of the epochs that `is_meant` names.
    fn destroy_where(
        &self,
        file: &[u8; 16],
        is_meant: impl Fn(u64) -> bool,
    ) -> Result<(), CustodyError> {
        let names = self.vault.list().map_err(self.failed("", "listed"))?;
        let prefix = format!("{}.", hex(file));
        for name in names {
            let epoch = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".key"));
            let epoch: Option<u64> = epoch.and_then(|digits| digits.parse().ok());
            if epoch.is_some_and(&is_meant) {
                self.blank(&name)?;
                self.vault.unlink(&name).map_err(self.failed(&name, "removed"))?;
            }
        }
        Ok(())
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn standing_name(file: &[u8; 16]) -> String {
    format!("{}.standing", hex(file))
}

fn key_name(file: &[u8; 16], epoch: u64) -> String {
    format!("{}.{epoch}.key", hex(file))
}

impl Custodian for FileCustodian {
    fn describe(&self) -> CustodianDescription {
        let guarded =
            if self.guard.is_some() { "under a passphrase" } else { "without passphrase" };
        CustodianDescription {
            name: Kind::File.name(),
            place: format!("{}, {guarded}", self.vault.place()),
            covers: "A destroyed key's file is overwritten with zeros, synced and unlinked: every \
                     copy of the gallery file that was sealed before is noise to whoever holds the \
                     key folder as it is afterwards.",
            does_not_cover: "Copies of key files made earlier (a backup, a snapshot of the volume, \
                             an image of the machine) still open the gallery copies of their time. \
                             Solid state disks, copy-on-write and data-journalling file systems may \
                             keep an overwritten block until it is used again: encrypt the volume, \
                             use a passphrase, or use a token. An older copy of the gallery put back \
                             by mistake is detected; an attacker with the disk can roll back both \
                             the gallery and this folder, and that is not.",
        }
    }

    /// The lock is on the gallery's standing, which is there for as long as the gallery is.
    fn claim(&self, file: &[u8; 16]) -> Result<Claim, CustodyError> {
        let name = standing_name(file);
        let lock = self.vault.lock(&name, Contended::Refuse);
        super::claimed(file, lock, self.failed(&name, "locked"))
    }

    fn newest(&self, file: &[u8; 16]) -> Result<Standing, CustodyError> {
        let known = self.gallery(file);
        let record = self.record(file, &mut lock(&known))?;
        Ok(record.map(|record| record.standing).unwrap_or_default())
    }

    fn prepare(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        let known = self.gallery(file);
        let known = &mut *lock(&known);
        let record = self.record(file, known)?.unwrap_or_default();
        let before = record.standing;
        let after = before.prepared(file, stand)?;
        let has_key = before.needs(stand.epoch) && self.key(file, stand.epoch)?.is_some();
        if !has_key && before.is_in_force(stand.epoch) {
            let context = Context { kind: Kind::File, file, epoch: stand.epoch, bound: &[] };
            return Err(context.missing_key());
        }
        if !has_key {
            self.name(file, known, stand.epoch)?;
            self.make_key(file, stand.epoch)?;
        }
        self.put_durably(file, known, record.followed_by(after))?;
        self.give_up(file, before.given_up(after))
    }

    fn commit(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        let known = self.gallery(file);
        let known = &mut *lock(&known);
        let record = self.record(file, known)?;
        let record = record.ok_or_else(|| super::unknown(Kind::File, file))?;
        let after = record.standing.committed(file, stand)?;
        if after == record.standing {
            return Ok(());
        }
        let before = record.standing.committed;
        if before.is_some_and(|before| before.epoch != stand.epoch) {
            self.put(file, known, record.followed_by(after)).map(|_| ())
        } else {
            self.put_durably(file, known, record.followed_by(after))?;
            self.give_up(file, record.standing.given_up(after))
        }
    }

    fn wrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        key: &Key,
        bound: &[u8],
    ) -> Result<Vec<u8>, CustodyError> {
        let context = Context { kind: Kind::File, file, epoch, bound };
        Ok(wrapped::wrap(context, &self.held_key(context)?, key, &*self.entropy))
    }

    fn unwrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        wrapped: &[u8],
        bound: &[u8],
    ) -> Result<Key, CustodyError> {
        wrapped::parts(Kind::File, wrapped)?;
        let context = Context { kind: Kind::File, file, epoch, bound };
        wrapped::unwrap(context, &self.held_key(context)?, wrapped)
    }

    fn destroy(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError> {
        let known = self.gallery(file);
        let known = &mut *lock(&known);
        let named = known.named.take();
        let standing = self.record(file, known)?.unwrap_or_default().standing;
        self.destroy_where(file, |held| standing.destroys(epoch, held))?;
        known.named = named.map(|named| epoch.saturating_add(1).max(*named.start())..=*named.end());
        Ok(())
    }

    fn forget(&self, file: &[u8; 16]) -> Result<(), CustodyError> {
        let known = self.gallery(file);
        let known = &mut *lock(&known);
        *known = Known::default();
        self.destroy_where(file, |_| true)?;
        let name = standing_name(file);
        self.vault.unlink(&name).map_err(self.failed(&name, "removed"))?;
        self.vault.sync_names().map_err(self.failed("", "synced"))
    }
}
