//! Who still holds which generation, and a receipt that tells when the erased is gone.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, PoisonError},
    time::Duration,
};

use crate::{
    sync::{Condvar, Mutex, MutexGuard},
    types::SubjectId,
};

/// Generations that somebody holds: the gallery itself, an order on its way, a scan.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Snapshots alive per generation.
    alive: Mutex<BTreeMap<u64, usize>>,
    released: Condvar,
}

impl Holders {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest generation that somebody holds.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.lock().keys().next().copied()
    }

    /// Notes one holder more of a generation, and lends it `content` until it is dropped.
    pub(super) fn hold<T>(self: &Arc<Self>, generation: u64, content: T) -> Held<T> {
        *self.lock().entry(generation).or_default() += 1;
        Held { content, _hold: Hold { holders: Arc::clone(self), generation } }
    }

    fn release(&self, generation: u64) {
        let mut alive = self.lock();
        if let Some(count) = alive.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                alive.remove(&generation);
            }
        }
        drop(alive);
        self.released.notify_all();
    }
}

/// What a generation holds.
pub(super) struct Held<T> {
    // Dropped in this order: zeroed before anybody is told.
    content: T,
    _hold: Hold,
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

struct Hold {
    holders: Arc<Holders>,
    generation: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holders.release(self.generation);
    }
}

/// What the audit keeps of an erasure: from this generation on the rows are neither in the file nor
/// in any earlier copy of it, because the key of the epoch that could open them is destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Whose rows were erased, in order; of a new transform, which erases nobody, none.
    pub subjects: Vec<SubjectId>,
    /// Those of them who have no row in the gallery any more, in order.
    pub gone: Vec<SubjectId>,
    /// Rows that were vacated, or written anew.
    pub rows: u64,
    /// First generation without them.
    pub generation: u64,
    /// The epoch whose key was destroyed.
    pub epoch_destroyed: u64,
    /// Who destroyed it; [`crate::keys::Custodian::describe`] says what that covers.
    pub custodian: &'static str,
    /// When, civil seconds.
    pub at_s: i64,
}

/// An erasure that is durable. New searches do not find the erased any more; this tells whether
/// older generations that held it are still in somebody's hands.
#[must_use = "an erasure is complete only once nobody holds the older generations"]
#[derive(Clone)]
pub struct Erasure {
    pub(super) holders: Arc<Holders>,
    /// First generation that held an erased row.
    pub(super) since: u64,
    pub(super) receipt: Receipt,
}

/// An erasure that is not complete yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{holders} running searches still hold a generation from before the erasure; \
     nothing new finds the subject, ask again when they have ended"
)]
pub struct StillHeld {
    /// Generations still held.
    pub holders: usize,
}

impl Erasure {
    /// Rows that were vacated.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.receipt.rows
    }

    /// First generation without them.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.receipt.generation
    }

    /// What the audit keeps.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Whether every copy that held an erased row has been zeroed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.held(&self.holders.lock()) == 0
    }

    /// Waits until it is complete, but not longer than `timeout`.
    ///
    /// # Errors
    /// [`StillHeld`] when the time is over; waiting again is possible.
    pub fn wait(&self, timeout: Duration) -> Result<(), StillHeld> {
        let (alive, _) = self
            .holders
            .released
            .wait_timeout_while(self.holders.lock(), timeout, |alive| self.held(alive) > 0)
            .unwrap_or_else(PoisonError::into_inner);
        match self.held(&alive) {
            0 => Ok(()),
            holders => Err(StillHeld { holders }),
        }
    }

    fn held(&self, alive: &BTreeMap<u64, usize>) -> usize {
        alive.range(self.since..self.receipt.generation).map(|(_, count)| count).sum()
    }
}

impl fmt::Debug for Erasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Erasure({} rows, generation {})", self.rows(), self.generation())
    }
}
