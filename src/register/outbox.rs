//! What is still to be sent: a queue that outlives the process, in the order in which it happened.
//!
//! It does not move the register's stand: an older copy of the file brings back what was sent
//! already, and whoever receives it knows that by its name; the register as a whole is refused then
//! anyway.

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata};
use serde::{Serialize, de::DeserializeOwned};

use super::{OUTBOX, Place, Register, RegisterError, open};
use crate::limits::OUTBOX_MAX;

const NUMBER_BYTES: usize = 8;
const TICKET_BYTES: usize = NUMBER_BYTES + 16;

/// A place in the queue: its number, and what lies there by its name. Numbers begin anew with an
/// empty queue; the name keeps two things apart that had the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket([u8; TICKET_BYTES]);

impl Register {
    /// Puts `value` at the end; on return it survives a crash.
    ///
    /// # Errors
    /// [`RegisterError`]; [`RegisterError::OutboxFull`] where [`OUTBOX_MAX`] wait already.
    pub fn queue<T: Serialize>(&self, name: [u8; 16], value: &T) -> Result<Ticket, RegisterError> {
        let held = self.held();
        let writing = self.database.begin_write().map_err(|error| self.storage(error))?;
        let table = writing.open_table(OUTBOX.table).map_err(|error| self.storage(error))?;
        if table.len().map_err(|error| self.storage(error))? >= OUTBOX_MAX {
            return Err(RegisterError::OutboxFull);
        }
        let last = table.last().map_err(|error| self.storage(error))?;
        let last = last.and_then(|(key, _)| key.value().first_chunk().copied());
        drop(table);
        let number = last.map_or(0, |number| u64::from_be_bytes(number).saturating_add(1));
        let mut ticket = Ticket([0; TICKET_BYTES]);
        ticket.0[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
        ticket.0[NUMBER_BYTES..].copy_from_slice(&name);
        let sealed = self.sealed(&held, Place { table: OUTBOX.name, key: &ticket.0 }, value);
        self.put(&writing, OUTBOX.table, &ticket.0, &sealed)?;
        writing.commit().map_err(|error| self.storage(error))?;
        Ok(ticket)
    }

    /// What waits, oldest first, `most` of it.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn queued<T: DeserializeOwned>(
        &self,
        most: usize,
    ) -> Result<Vec<(Ticket, T)>, RegisterError> {
        let held = self.held();
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        let table = match reading.open_table(OUTBOX.table) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            opened => opened.map_err(|error| self.storage(error))?,
        };
        let mut found = Vec::new();
        for row in table.iter().map_err(|error| self.storage(error))?.take(most) {
            let (key, value) = row.map_err(|error| self.storage(error))?;
            let damaged = || OUTBOX.damaged();
            let ticket = Ticket(key.value().try_into().map_err(|_| damaged())?);
            let place = Place { table: OUTBOX.name, key: key.value() };
            let text = open(&held.key, place, value.value().to_vec()).ok_or_else(damaged)?;
            found.push((ticket, serde_json::from_slice(&text).map_err(|_| damaged())?));
        }
        Ok(found)
    }

    /// How much waits.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn waiting(&self) -> Result<u64, RegisterError> {
        let reading = self.database.begin_read().map_err(|error| self.storage(error))?;
        match reading.open_table(OUTBOX.table) {
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
            opened => {
                let table = opened.map_err(|error| self.storage(error))?;
                table.len().map_err(|error| self.storage(error))
            }
        }
    }

    /// Takes out what was sent, or what did not happen after all.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn dequeue(&self, ticket: Ticket) -> Result<(), RegisterError> {
        let _held = self.held();
        let writing = self.database.begin_write().map_err(|error| self.storage(error))?;
        let mut table = writing.open_table(OUTBOX.table).map_err(|error| self.storage(error))?;
        table.remove(&ticket.0[..]).map_err(|error| self.storage(error))?;
        drop(table);
        writing.commit().map_err(|error| self.storage(error))
    }
}
