//! What is known of one person in one gallery: the consent, those before it, the ground of an
//! entry, and the tombstone.
//!
//! Whatever happens to a person changes all of it in one transaction. An enrolment
//! ([`Register::enter`]) keeps consent and ground and takes the tombstone down, unless the
//! tombstone is younger than the question whether the enrolment is allowed: then the person was
//! erased, or took the consent back, in between, and the end wins. Where the gallery then refuses
//! the enrolment, [`Register::put_back`] restores what was known before. An erasure
//! ([`Register::end`]) ends the consent, takes the ground out and puts the tombstone up.
//!
//! A consent that is followed by another is not overwritten: it is the proof of what was done under
//! it (GDPR Art. 7(1)).

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    CONSENTS, Consent, EARLIER, Ending, GROUNDS, Ground, HEAD, Held, OWED, Place, Register,
    RegisterError, Sheet, TOMBSTONES, open, seal,
};
use crate::{
    limits::CONSENTS_MAX,
    types::{GalleryId, SubjectId},
};

type Name = [u8; 32];
type Text = Zeroizing<Vec<u8>>;

/// The name under which somebody is known.
fn name_of(gallery: &GalleryId, subject: SubjectId) -> Name {
    let named = Sha256::new().chain_update(gallery.as_str()).chain_update([b'\n']);
    named.chain_update(subject.as_bytes()).finalize().into()
}

/// What an enrolment rests on, as far as it came with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry<'a> {
    /// The person's consent; without it, the one that is kept counts.
    pub consent: Option<&'a Consent>,
    /// Why the person is put on a list.
    pub ground: Option<&'a Ground>,
}

/// What was known of a person before an entry.
#[must_use = "where nothing comes of the entry, what was known before is put back"]
pub struct Before {
    name: Name,
    consent: Option<Text>,
    /// Under which key the consent went to the earlier ones.
    earlier: Option<Vec<u8>>,
    ground: Option<Text>,
    tombstone: Option<Vec<u8>>,
}

/// Since when somebody is erased.
#[derive(Clone, Copy)]
struct Tombstone {
    /// In seconds UTC.
    at_s: i64,
    /// First generation of the register that has it.
    generation: u64,
}

impl Tombstone {
    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.at_s.to_le_bytes());
        bytes[8..].copy_from_slice(&self.generation.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Self, RegisterError> {
        let damaged = || RegisterError::Damaged { table: "tombstones" };
        let (at_s, generation) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let generation = generation.try_into().map_err(|_| damaged())?;
        let (at_s, generation) = (i64::from_le_bytes(*at_s), u64::from_le_bytes(generation));
        Ok(Self { at_s, generation })
    }
}

fn parsed<T: DeserializeOwned>(sheet: Sheet, text: &[u8]) -> Result<T, RegisterError> {
    serde_json::from_slice(text).map_err(|_| sheet.damaged())
}

impl Register {
    /// The newest consent of that subject, one that is over included.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn consent(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Option<Consent>, RegisterError> {
        self.opened(CONSENTS, &name_of(gallery, subject))
    }

    /// The consents of that subject that another followed, oldest first.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn earlier_consents(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Vec<Consent>, RegisterError> {
        let name = name_of(gallery, subject);
        let first = [&name[..], &[0_u8; 8][..]].concat();
        let last = [&name[..], &[u8::MAX; 8][..]].concat();
        let held = self.held();
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let table = match reading.open_table(EARLIER.table) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            opened => opened.map_err(|error| self.storage(error))?,
        };
        let rows = table.range::<&[u8]>(&first[..]..=&last[..]);
        let mut found = Vec::new();
        for row in rows.map_err(|error| self.storage(error))? {
            let (key, value) = row.map_err(|error| self.storage(error))?;
            let place = Place { table: EARLIER.name, key: key.value() };
            let text = open(&held.key, place, value.value().to_vec());
            found.push(parsed(EARLIER, &text.ok_or_else(|| EARLIER.damaged())?)?);
        }
        Ok(found)
    }

    /// Why that subject is on the list.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn ground(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Option<Ground>, RegisterError> {
        self.opened(GROUNDS, &name_of(gallery, subject))
    }

    /// Every newest consent.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn consents(&self) -> Result<Vec<Consent>, RegisterError> {
        self.all(CONSENTS)
    }

    /// How many consents are held, those included that are over.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn consents_held(&self) -> Result<u64, RegisterError> {
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let mut held = 0;
        for sheet in [CONSENTS, EARLIER] {
            held += match reading.open_table(sheet.table) {
                Err(redb::TableError::TableDoesNotExist(_)) => 0,
                opened => {
                    let table = opened.map_err(|error| self.storage(error))?;
                    table.len().map_err(|error| self.storage(error))?
                }
            };
        }
        Ok(held)
    }

    /// Keeps a consent; one that the subject gave before is an earlier one from now on.
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
        self.change(|writing, held| self.follow(writing, held, &name, consent)).map(drop)
    }

    /// Keeps what an enrolment rests on and takes an old tombstone down. `asked_at` is the
    /// generation at which it was asked whether the enrolment is allowed. What was known before is
    /// for [`Self::put_back`].
    ///
    /// # Errors
    /// [`RegisterError::EndedMeanwhile`] where the person was erased, or took the consent back,
    /// after that; and [`RegisterError`]. Nothing is then changed.
    pub fn enter(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
        entry: Entry<'_>,
        asked_at: u64,
    ) -> Result<Before, RegisterError> {
        let name = name_of(gallery, subject);
        self.change(|writing, held| {
            let mut before = Before {
                name,
                consent: self.text(writing, held, CONSENTS, &name)?,
                earlier: None,
                ground: self.text(writing, held, GROUNDS, &name)?,
                tombstone: self.value(writing, TOMBSTONES, &name)?,
            };
            let stone = before.tombstone.as_deref().map(Tombstone::read).transpose()?;
            let mut is_ended = stone.is_some_and(|stone| stone.generation > asked_at);
            if let (None, Some(text)) = (entry.consent, &before.consent) {
                is_ended |= parsed::<Consent>(CONSENTS, text)?.is_over();
            }
            if is_ended {
                return Err(RegisterError::EndedMeanwhile);
            }
            if let Some(consent) = entry.consent {
                before.earlier = self.follow(writing, held, &name, consent)?;
            }
            if let Some(ground) = entry.ground {
                self.put_sealed(writing, held, (GROUNDS, &name), ground)?;
            }
            self.take_out(writing, TOMBSTONES, &name)?;
            Ok(before)
        })
    }

    /// Puts back what was known before an entry of which nothing came.
    ///
    /// # Errors
    /// [`RegisterError`]; the entry then stands, of somebody who is not enrolled.
    pub fn put_back(&self, before: &Before) -> Result<(), RegisterError> {
        let name = &before.name;
        self.change(|writing, held| {
            if let Some(key) = &before.earlier {
                self.take_out(writing, EARLIER.table, key)?;
            }
            for (sheet, text) in [(CONSENTS, &before.consent), (GROUNDS, &before.ground)] {
                let place = Place { table: sheet.name, key: name };
                match text {
                    None => {
                        if self.take_out(writing, sheet.table, name)? {
                            self.put(writing, HEAD, OWED, &[1])?;
                        }
                    }
                    Some(text) => {
                        let value = seal(&held.key, place, text.clone(), self.entropy.as_ref());
                        self.put(writing, sheet.table, name, &value)?;
                    }
                }
            }
            match &before.tombstone {
                None => Ok(()),
                Some(stone) => self.put(writing, TOMBSTONES, name, stone),
            }
        })
    }

    /// Ends what is known of subjects who are about to be erased: their consents, the grounds of
    /// their entries; and puts their tombstones up. All in one change: whoever restores a gallery
    /// finds everything or nothing of it. The proof of the past consent stays.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn end(
        &self,
        gallery: &GalleryId,
        subjects: &[SubjectId],
        how: Ending,
        now_s: i64,
    ) -> Result<(), RegisterError> {
        if subjects.is_empty() {
            return Ok(());
        }
        self.change(|writing, held| {
            let stone = Tombstone { at_s: now_s, generation: held.stand.generation + 1 };
            for &subject in subjects {
                let name = name_of(gallery, subject);
                self.end_consent(writing, held, &name, (how, now_s))?;
                if self.take_out(writing, GROUNDS.table, &name)? {
                    self.put(writing, HEAD, OWED, &[1])?;
                }
                self.put(writing, TOMBSTONES, &name, &stone.bytes())?;
            }
            Ok(())
        })
    }

    /// The day has ended for everybody: no consent outlives it. `keys_are_gone` where no copy of
    /// any gallery opens any more: nobody can be brought back, and the tombstones go.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn end_day(&self, now_s: i64, keys_are_gone: bool) -> Result<(), RegisterError> {
        self.change(|writing, held| {
            for name in self.names(writing, CONSENTS)? {
                self.end_consent(writing, held, &name, (Ending::Erased, now_s))?;
            }
            if keys_are_gone {
                writing.delete_table(TOMBSTONES).map_err(|error| self.storage(error))?;
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
        let stone = found.as_deref().map(Tombstone::read).transpose()?;
        Ok(stone.map(|stone| stone.at_s))
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
        table.len().map_err(|error| self.storage(error))
    }

    /// Puts `consent` in the place of the one before, which goes to the earlier ones; under which
    /// key, where there was one.
    fn follow(
        &self,
        writing: &WriteTransaction,
        held: &Held,
        name: &Name,
        consent: &Consent,
    ) -> Result<Option<Vec<u8>>, RegisterError> {
        if self.rows(writing, CONSENTS)? + self.rows(writing, EARLIER)? >= CONSENTS_MAX {
            return Err(RegisterError::Full);
        }
        let mut earlier = None;
        if let Some(text) = self.text(writing, held, CONSENTS, name)? {
            let mut past: Consent = parsed(CONSENTS, &text)?;
            past.end(Ending::Erased, consent.given_s);
            let number = (held.stand.generation + 1).to_be_bytes();
            let key = [&name[..], &number[..]].concat();
            self.put_sealed(writing, held, (EARLIER, &key), &past)?;
            earlier = Some(key);
        }
        self.put_sealed(writing, held, (CONSENTS, name), consent)?;
        Ok(earlier)
    }

    fn end_consent(
        &self,
        writing: &WriteTransaction,
        held: &Held,
        name: &[u8],
        (how, now_s): (Ending, i64),
    ) -> Result<(), RegisterError> {
        let text = match self.text(writing, held, CONSENTS, name) {
            // It opens for nobody and counts as withdrawn: no reason to hold an erasure up.
            Err(RegisterError::Damaged { .. }) => return Ok(()),
            text => text?,
        };
        let Some(text) = text else { return Ok(()) };
        let mut consent: Consent = parsed(CONSENTS, &text)?;
        match consent.end(how, now_s) {
            true => self.put_sealed(writing, held, (CONSENTS, name), &consent),
            false => Ok(()),
        }
    }

    fn put_sealed<T: Serialize>(
        &self,
        writing: &WriteTransaction,
        held: &Held,
        (sheet, key): (Sheet, &[u8]),
        value: &T,
    ) -> Result<(), RegisterError> {
        let sealed = self.sealed(held, Place { table: sheet.name, key }, value);
        self.put(writing, sheet.table, key, &sealed)
    }

    /// A value as the transaction sees it.
    fn value(
        &self,
        writing: &WriteTransaction,
        table: super::Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, RegisterError> {
        let table = writing.open_table(table).map_err(|error| self.storage(error))?;
        let found = table.get(key).map_err(|error| self.storage(error))?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn text(
        &self,
        writing: &WriteTransaction,
        held: &Held,
        sheet: Sheet,
        key: &[u8],
    ) -> Result<Option<Text>, RegisterError> {
        let Some(value) = self.value(writing, sheet.table, key)? else { return Ok(None) };
        let text = open(&held.key, Place { table: sheet.name, key }, value);
        text.map(Some).ok_or_else(|| sheet.damaged())
    }

    fn rows(&self, writing: &WriteTransaction, sheet: Sheet) -> Result<u64, RegisterError> {
        let table = writing.open_table(sheet.table).map_err(|error| self.storage(error))?;
        table.len().map_err(|error| self.storage(error))
    }

    fn names(
        &self,
        writing: &WriteTransaction,
        sheet: Sheet,
    ) -> Result<Vec<Vec<u8>>, RegisterError> {
        let table = writing.open_table(sheet.table).map_err(|error| self.storage(error))?;
        let mut names = Vec::new();
        for row in table.iter().map_err(|error| self.storage(error))? {
            let (name, _) = row.map_err(|error| self.storage(error))?;
            names.push(name.value().to_vec());
        }
        Ok(names)
    }
}
