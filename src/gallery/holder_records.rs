//! Records that only their holders open (EDPB Opinion 11/2024, scenario 2).
//!
//! A template is sealed to a 256-bit secret that the traveller carries and that is forgotten here.
//! Whoever presents the record's id *and* the secret is compared 1:1; nobody, and no search, opens
//! the others: there is no [`crate::ops::tile::TileSource`] over this file.
//!
//! The secret alone does not open a record either. Each has a *salt* of its own, kept in a table that
//! is sealed under the epoch's key; the record's key is made of both. Erasing a record writes the
//! table anew without its salt, under the key of a new epoch, and destroys the old one with the
//! custodian: then the ciphertext, every copy of the file and the traveller's secret together open
//! nothing. The protocol is the gallery's own (prepare, write, sync, commit, destroy).
//!
//! An unknown id and a wrong secret are told apart by nothing: both cost one read and one AEAD open
//! (the first record of a file is a decoy that nobody's secret opens), and give one answer.
//!
//! Invariant: the table in memory is locked; a salt, a key and a secret cannot be printed. Every
//! change is all or nothing, also over a power cut. Absent on purpose: a search, a list of ids, and a
//! way back for a lost secret.

mod format;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use format::{ENTRY_BYTES, Entry, RECORDS_AT, SUPERBLOCK_BYTES, Superblock};
use zeroize::Zeroize;

use super::{Means, Media};
use crate::{
    keys::{
        CustodyError, Key, LockError, Stand,
        aead::{self, TAG_BYTES},
        memory::LockedBytes,
    },
    limits::HOLDERS_MAX,
    random::random_id,
    types::{SubjectId, Template, TemplateError, TemplateKind},
};

/// Why a file of holders' records did not do what it was asked. It is then as it was, unless
/// [`HolderError::Unsettled`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// The medium refused.
    #[error("the records could not be {act}: {why}")]
    Media {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// Something else, or too short to be anything.
    #[error("not a file of holders' records ({why})")]
    NotRecords {
        /// What gave it away.
        why: &'static str,
    },
    /// Written by a later version.
    #[error("version {version} of holders' records is not read here; update portcullis")]
    Version {
        /// The file's.
        version: u16,
    },
    /// Neither superblock, or not the table, is what was written.
    #[error("the file is damaged: {what}; put a copy back that is not older, or delete it")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// An older copy was put back.
    #[error(
        "an older copy was put back: it stands at generation {}, and the custodian has seen {}; \
         put the newest copy in its place, or delete it", held.generation, newest.generation
    )]
    RolledBack {
        /// The file's.
        held: Stand,
        /// The custodian's.
        newest: Stand,
    },
    /// A write failed on the way: what is on the disk is told by opening it again.
    #[error("a write failed before; restart the appliance (or open the file again)")]
    Unsettled,
    /// Another model or calibration.
    #[error(transparent)]
    Kind(#[from] TemplateError),
    /// The keys are not at hand.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// No locked memory.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// No room.
    #[error("{HOLDERS_MAX} records are kept, as many as one file takes")]
    Full,
    /// The validity ends before it begins.
    #[error("the record would be valid from second {not_before_s} until before {expiry_s}")]
    Validity {
        /// Begin.
        not_before_s: i64,
        /// End.
        expiry_s: i64,
    },
    /// No such record. Only who may erase is told.
    #[error("there is no record {subject}")]
    UnknownRecord {
        /// Asked for.
        subject: SubjectId,
    },
    /// No such record, or another secret: nobody is told which.
    #[error("no record with this id opens with this secret")]
    Unopened,
    /// The record opened, and is not valid now.
    #[error("the record is not valid now")]
    NotValid,
}

/// What an erasure destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destroyed {
    /// Records.
    pub rows: u64,
    /// First generation without them.
    pub generation: u64,
    /// The epoch whose key is gone; `None` where there was nothing to erase.
    pub epoch: Option<u64>,
}

/// What opening has cost so far, for the proof that a wrong secret costs what an unknown id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Reads of a record.
    pub reads: u64,
    /// AEAD opens of a record.
    pub opens: u64,
}

struct State {
    /// The table, entry after entry.
    table: LockedBytes,
    slots: usize,
    stand: Stand,
    places: HashMap<SubjectId, usize>,
    unsettled: bool,
}

impl State {
    fn entry(&self, slot: usize) -> Entry {
        Entry::read(&self.table[slot * ENTRY_BYTES..(slot + 1) * ENTRY_BYTES])
    }
}

/// Records of one file, each sealed to its holder's secret.
pub struct HolderRecords {
    media: Arc<dyn Media>,
    means: Means,
    file: [u8; 16],
    kind: TemplateKind,
    state: Mutex<State>,
    reads: AtomicU64,
    opens: AtomicU64,
}

impl HolderRecords {
    /// An empty file.
    ///
    /// # Errors
    /// [`HolderError`].
    pub fn create(
        media: Arc<dyn Media>,
        means: Means,
        kind: TemplateKind,
    ) -> Result<Self, HolderError> {
        let state = State {
            table: LockedBytes::zeroed(0)?,
            slots: 0,
            stand: Stand { epoch: 0, generation: 0 },
            places: HashMap::new(),
            unsettled: false,
        };
        let file = random_id(means.entropy.as_ref());
        let records = Self::of(media, means, file, kind, state);
        let bytes = RECORDS_AT + format::record_stride(kind.dims);
        records.media.set_len(bytes).map_err(media_error("made room for"))?;
        // The decoy: a record under a key that nobody ever has.
        let decoy = Entry::random(records.means.entropy.as_ref());
        let mut noise = vec![0; usize::from(kind.dims) + TAG_BYTES];
        records.means.entropy.fill(&mut noise);
        let mut state = records.state();
        let mut table = LockedBytes::zeroed(ENTRY_BYTES)?;
        decoy.write(&mut table);
        records.write_record(0, &noise)?;
        records.publish(&mut state, table)?;
        drop(state);
        Ok(records)
    }

    /// Opens a file at the stand that the custodian has committed, or has been told of.
    ///
    /// # Errors
    /// [`HolderError`], naming a rollback, a foreign kind, a missing key.
    pub fn open(
        media: Arc<dyn Media>,
        means: Means,
        kind: TemplateKind,
    ) -> Result<Self, HolderError> {
        let superblocks = read_superblocks(media.as_ref())?;
        let newest = newest(&superblocks)?;
        kind.accept(&newest.kind)?;
        let standing = means.custodian.newest(&newest.file)?;
        let mut refused = None;
        for stand in [standing.prepared, standing.committed].into_iter().flatten() {
            let found = superblocks.iter().flatten().find(|held| held.stand == stand);
            let Some(superblock) = found else { continue };
            match read_table(media.as_ref(), &means, superblock) {
                Ok(table) => {
                    let state = State {
                        places: places(&table, superblock.slots),
                        slots: superblock.slots,
                        table,
                        stand,
                        unsettled: false,
                    };
                    let records = Self::of(media, means, superblock.file, kind, state);
                    records.settle(stand, standing.prepared)?;
                    return Ok(records);
                }
                // What was prepared may be half written; what was committed stands beside it.
                Err(error) => refused = Some(error),
            }
        }
        let unknown = || {
            // The custodian has never heard of this file: it says so itself, in its own words.
            means.custodian.unwrap(&newest.file, newest.stand.epoch, &newest.wrapped, &newest.head())
        };
        match (refused, standing.committed) {
            (Some(error), _) => Err(error),
            (None, Some(seen)) => Err(HolderError::RolledBack { held: newest.stand, newest: seen }),
            (None, None) => Err(match unknown() {
                Err(error) => error.into(),
                Ok(_) => HolderError::Damaged { what: "no superblock of the custodian's stand" },
            }),
        }
    }

    /// The file's id, which needs no key.
    ///
    /// # Errors
    /// [`HolderError::NotRecords`] or [`HolderError::Damaged`].
    pub fn head(media: &dyn Media) -> Result<[u8; 16], HolderError> {
        Ok(newest(&read_superblocks(media)?)?.file)
    }

    fn of(
        media: Arc<dyn Media>,
        means: Means,
        file: [u8; 16],
        kind: TemplateKind,
        state: State,
    ) -> Self {
        let (state, reads, opens) = (Mutex::new(state), AtomicU64::new(0), AtomicU64::new(0));
        Self { media, means, file, kind, state, reads, opens }
    }

    /// Ends what a power cut interrupted: the stand that opened is the file's, other keys go.
    fn settle(&self, stand: Stand, prepared: Option<Stand>) -> Result<(), HolderError> {
        let custodian = &self.means.custodian;
        if prepared == Some(stand) {
            custodian.commit(&self.file, stand)?;
            custodian.destroy(&self.file, stand.epoch.saturating_sub(1))?;
        } else if let Some(abandoned) = prepared {
            custodian.destroy(&self.file, abandoned.epoch)?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's id, as the custodian knows it.
    #[must_use]
    pub fn file(&self) -> [u8; 16] {
        self.file
    }

    /// Model and calibration of every record.
    #[must_use]
    pub fn kind(&self) -> &TemplateKind {
        &self.kind
    }

    /// Records, without the decoy.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.state().places.len() as u64
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where it stands.
    #[must_use]
    pub fn stand(&self) -> Stand {
        self.state().stand
    }

    /// Bytes of the medium; 0 where it does not tell.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.media.len().unwrap_or(0)
    }

    /// Reads and opens so far.
    #[must_use]
    pub fn work(&self) -> Work {
        let count = |held: &AtomicU64| held.load(Ordering::Relaxed);
        Work { reads: count(&self.reads), opens: count(&self.opens) }
    }

    /// Keeps `template`, sealed to `secret`, under a new random id.
    ///
    /// # Errors
    /// [`HolderError`]; nothing is then kept.
    pub fn enrol(
        &self,
        template: &Template,
        secret: &[u8; 32],
        (not_before_s, expiry_s): (i64, i64),
    ) -> Result<(SubjectId, u64), HolderError> {
        self.kind.accept(template.kind())?;
        if expiry_s <= not_before_s {
            return Err(HolderError::Validity { not_before_s, expiry_s });
        }
        let mut state = self.state();
        let vacant = (1..state.slots).find(|&slot| state.entry(slot).is_vacant());
        let slot = vacant.unwrap_or(state.slots);
        if slot > HOLDERS_MAX {
            return Err(HolderError::Full);
        }
        let mut entry = Entry::random(self.means.entropy.as_ref());
        (entry.not_before_s, entry.expiry_s) = (not_before_s, expiry_s);
        let mut sealed: Vec<u8> = template.values().iter().map(|v| v.cast_unsigned()).collect();
        let key = format::record_key(secret, &entry.salt);
        let bound = format::record_bound(&self.file, &self.kind, slot, &entry);
        let tag = aead::seal(&key, &format::NONCE, &bound, &mut sealed);
        sealed.extend(tag);
        let end = RECORDS_AT + (slot as u64 + 1) * format::record_stride(self.kind.dims);
        if end > self.media.len().map_err(media_error("measured"))? {
            self.media.set_len(end).map_err(media_error("made room for"))?;
        }
        self.write_record(slot, &sealed)?;
        let slots = state.slots.max(slot + 1);
        let mut table = LockedBytes::zeroed(slots * ENTRY_BYTES)?;
        table[..state.table.len()].copy_from_slice(&state.table);
        entry.write(&mut table[slot * ENTRY_BYTES..(slot + 1) * ENTRY_BYTES]);
        self.publish(&mut state, table)?;
        Ok((entry.subject, state.stand.generation))
    }

    /// The template of `subject`, where `secret` opens it and `now_s` is within its validity. Costs
    /// one read and one AEAD open, whatever comes of it.
    ///
    /// # Errors
    /// [`HolderError::Unopened`] for an unknown id as for a wrong secret;
    /// [`HolderError::NotValid`] is told only to who could open it.
    pub fn open_record(
        &self,
        subject: SubjectId,
        secret: &[u8; 32],
        now_s: i64,
    ) -> Result<Template, HolderError> {
        let (slot, entry, is_known) = {
            let state = self.state();
            let found = state.places.get(&subject);
            let slot = found.copied().unwrap_or(0); // the decoy
            (slot, state.entry(slot), found.is_some())
        };
        let mut sealed = vec![0; usize::from(self.kind.dims) + TAG_BYTES];
        self.reads.fetch_add(1, Ordering::Relaxed);
        let at = RECORDS_AT + slot as u64 * format::record_stride(self.kind.dims);
        self.media.read(at, &mut sealed).map_err(media_error("read"))?;
        let (values, tag) = sealed.split_at_mut(usize::from(self.kind.dims));
        let tag: [u8; TAG_BYTES] = (&*tag).try_into().expect("a record ends with its tag");
        let key = format::record_key(secret, &entry.salt);
        let bound = format::record_bound(&self.file, &self.kind, slot, &entry);
        self.opens.fetch_add(1, Ordering::Relaxed);
        let opened = aead::open(&key, &format::NONCE, &bound, values, &tag).is_ok();
        if !(opened && is_known) {
            sealed.zeroize();
            return Err(HolderError::Unopened);
        }
        let template: Box<[i8]> = values.iter().map(|value| value.cast_signed()).collect();
        sealed.zeroize();
        let template = Template::new(template, self.kind)?;
        if (entry.not_before_s..entry.expiry_s).contains(&now_s) {
            Ok(template)
        } else {
            Err(HolderError::NotValid)
        }
    }

    /// Destroys the record of `subject`.
    ///
    /// # Errors
    /// [`HolderError::UnknownRecord`], or what the medium or the custodian answer.
    pub fn erase(&self, subject: SubjectId) -> Result<Destroyed, HolderError> {
        let mut state = self.state();
        let slot = *state.places.get(&subject).ok_or(HolderError::UnknownRecord { subject })?;
        self.destroy(&mut state, &[slot])
    }

    /// Destroys every record whose begin and end of validity `is_meant` says are meant.
    ///
    /// # Errors
    /// What the medium or the custodian answer.
    pub fn erase_where(
        &self,
        is_meant: impl Fn(i64, i64) -> bool,
    ) -> Result<Destroyed, HolderError> {
        let mut state = self.state();
        let mut slots: Vec<usize> = state.places.values().copied().collect();
        slots.retain(|&slot| {
            let entry = state.entry(slot);
            is_meant(entry.not_before_s, entry.expiry_s)
        });
        if slots.is_empty() {
            let generation = state.stand.generation;
            return Ok(Destroyed { rows: 0, generation, epoch: None });
        }
        self.destroy(&mut state, &slots)
    }

    fn destroy(&self, state: &mut State, slots: &[usize]) -> Result<Destroyed, HolderError> {
        let epoch = state.stand.epoch;
        let mut table = LockedBytes::zeroed(state.table.len())?;
        table.copy_from_slice(&state.table);
        for slot in slots {
            table[slot * ENTRY_BYTES..(slot + 1) * ENTRY_BYTES].zeroize();
        }
        self.publish(state, table)?;
        let (rows, generation) = (slots.len() as u64, state.stand.generation);
        Ok(Destroyed { rows, generation, epoch: Some(epoch) })
    }

    fn write_record(&self, slot: usize, sealed: &[u8]) -> Result<(), HolderError> {
        let at = RECORDS_AT + slot as u64 * format::record_stride(self.kind.dims);
        self.media.write(at, sealed).map_err(media_error("written"))
    }

    /// Makes `table` the newest one, under the key of a new epoch; the old epoch's key is destroyed.
    fn publish(&self, state: &mut State, table: LockedBytes) -> Result<(), HolderError> {
        if state.unsettled {
            return Err(HolderError::Unsettled);
        }
        let old = state.stand;
        let stand = Stand { epoch: old.epoch + 1, generation: old.generation + 1 };
        let custodian = &self.means.custodian;
        custodian.prepare(&self.file, stand)?;
        let key = Key::random(self.means.entropy.as_ref())?;
        let mut superblock = Superblock::new(self.file, self.kind, stand, table.len() / ENTRY_BYTES);
        self.means.entropy.fill(&mut superblock.salt);
        let head = superblock.head();
        superblock.wrapped = custodian.wrap(&self.file, stand.epoch, &key, &head)?;
        let mut sealed = table.to_vec();
        superblock.table_tag =
            aead::seal(&format::table_key(&key, &superblock.salt), &format::NONCE, &head, &mut sealed);
        // From here on a failure leaves the disk unknown; only opening it again tells.
        state.unsettled = true;
        let write = |at, bytes: &[u8]| self.media.write(at, bytes).map_err(media_error("written"));
        write(format::table_at(stand.generation), &sealed)?;
        self.media.sync().map_err(media_error("synced"))?;
        write(format::superblock_at(stand.generation), &superblock.write())?;
        self.media.sync().map_err(media_error("synced"))?;
        custodian.commit(&self.file, stand)?;
        if old.epoch > 0 {
            custodian.destroy(&self.file, old.epoch)?;
        }
        state.places = places(&table, superblock.slots);
        (state.slots, state.table, state.stand) = (superblock.slots, table, stand);
        state.unsettled = false;
        Ok(())
    }
}

fn media_error(act: &'static str) -> impl Fn(io::Error) -> HolderError {
    move |why| HolderError::Media { act, why }
}

/// Where each record lies; the decoy and vacant places are nobody's.
fn places(table: &[u8], slots: usize) -> HashMap<SubjectId, usize> {
    let entry = |slot: usize| Entry::read(&table[slot * ENTRY_BYTES..(slot + 1) * ENTRY_BYTES]);
    let held = (1..slots).map(|slot| (entry(slot), slot)).filter(|(entry, _)| !entry.is_vacant());
    held.map(|(entry, slot)| (entry.subject, slot)).collect()
}

type Superblocks = [Result<Superblock, HolderError>; 2];

fn read_superblocks(media: &dyn Media) -> Result<Superblocks, HolderError> {
    let bytes = media.len().map_err(media_error("measured"))?;
    if bytes < RECORDS_AT {
        return Err(HolderError::NotRecords { why: "it is too short" });
    }
    let read = |generation| {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        let read = media.read(format::superblock_at(generation), &mut bytes);
        read.map_err(media_error("read")).and_then(|()| Superblock::read(&bytes))
    };
    Ok([read(0), read(1)])
}

/// The newest superblock that is whole; else why the first is not.
fn newest(superblocks: &Superblocks) -> Result<&Superblock, HolderError> {
    let whole = superblocks.iter().flatten().max_by_key(|held| held.stand.generation);
    whole.ok_or_else(|| match &superblocks[0] {
        Err(HolderError::NotRecords { why }) => HolderError::NotRecords { why },
        Err(HolderError::Version { version }) => HolderError::Version { version: *version },
        _ => HolderError::Damaged { what: "both superblocks" },
    })
}

fn read_table(
    media: &dyn Media,
    means: &Means,
    superblock: &Superblock,
) -> Result<LockedBytes, HolderError> {
    let head = superblock.head();
    let (file, epoch) = (&superblock.file, superblock.stand.epoch);
    let key = means.custodian.unwrap(file, epoch, &superblock.wrapped, &head)?;
    let mut table = LockedBytes::zeroed(superblock.slots * ENTRY_BYTES)?;
    let at = format::table_at(superblock.stand.generation);
    media.read(at, &mut table).map_err(media_error("read"))?;
    let key = format::table_key(&key, &superblock.salt);
    aead::open(&key, &format::NONCE, &head, &mut table, &superblock.table_tag)
        .map_err(|_| HolderError::Damaged { what: "the table of records" })?;
    Ok(table)
}

#[cfg(test)]
mod tests;
