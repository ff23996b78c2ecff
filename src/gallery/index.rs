//! Which rows may be a subject's: a compact, keyed index over the rows.
//!
//! Eight bytes per slot, at most two slots per row: 32 bits of a keyed hash of the subject and the
//! row's number. That is 16 MB for a million rows where a map by subject takes ten times as much,
//! and it holds no subject. The price is that an answer is a candidate: whoever asks confirms it
//! against the row table, and a row of somebody else with an equal fingerprint is told apart there.
//!
//! Open addressing with linear probing; a removed slot is filled by moving its followers back, so
//! that there are no tombstones. The place of a slot follows from its fingerprint alone, which is
//! what makes growing possible without the subjects.

use std::hash::{BuildHasher, RandomState};

use crate::types::SubjectId;

/// No row. Rows are counted in 32 bits: the limit of a gallery is far below.
const EMPTY: u64 = u64::MAX;
const SLOTS_MIN: usize = 16;

pub(super) struct Index {
    /// Fingerprint in the upper half, row in the lower.
    slots: Vec<u64>,
    used: usize,
    /// A secret of this opening: who chooses subjects cannot choose collisions.
    hasher: RandomState,
}

impl Index {
    /// An empty index with room for `rows`.
    pub(super) fn with_room(rows: usize) -> Self {
        Self { slots: vec![EMPTY; Self::slots_for(rows)], used: 0, hasher: RandomState::new() }
    }

    /// At most three of four slots are used.
    fn slots_for(rows: usize) -> usize {
        (rows + rows / 3 + 1).max(SLOTS_MIN)
    }

    fn fingerprint(&self, subject: &[u8; 16]) -> u32 {
        (self.hasher.hash_one(subject) >> 32) as u32
    }

    /// Where a fingerprint would stand: the hash scaled to the table.
    fn place(&self, fingerprint: u32) -> usize {
        ((u64::from(fingerprint) * self.slots.len() as u64) >> 32) as usize
    }

    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    /// The rows that may be `subject`'s, in no order.
    pub(super) fn candidates(&self, subject: SubjectId) -> Vec<u64> {
        let fingerprint = self.fingerprint(subject.as_bytes());
        let mut rows = Vec::new();
        let mut slot = self.place(fingerprint);
        while self.slots[slot] != EMPTY {
            let held = self.slots[slot];
            if (held >> 32) as u32 == fingerprint {
                rows.push(held & u64::from(u32::MAX));
            }
            slot = self.next(slot);
        }
        rows
    }

    /// Notes that `row` is `subject`'s.
    pub(super) fn insert(&mut self, subject: &[u8; 16], row: u64) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let row = u32::try_from(row).expect("a gallery has fewer than 2^32 rows");
        self.put((u64::from(self.fingerprint(subject)) << 32) | u64::from(row));
    }

    fn put(&mut self, entry: u64) {
        let mut slot = self.place((entry >> 32) as u32);
        while self.slots[slot] != EMPTY {
            slot = self.next(slot);
        }
        self.slots[slot] = entry;
        self.used += 1;
    }

    fn grow(&mut self) {
        let room = Self::slots_for(self.used + self.used / 4 + SLOTS_MIN);
        let held = std::mem::replace(&mut self.slots, vec![EMPTY; room]);
        self.used = 0;
        for entry in held {
            if entry != EMPTY {
                self.put(entry);
            }
        }
    }

    /// Forgets that `row` is `subject`'s.
    pub(super) fn remove(&mut self, subject: &[u8; 16], row: u64) {
        let entry = (u64::from(self.fingerprint(subject)) << 32) | row;
        let mut hole = self.place((entry >> 32) as u32);
        while self.slots[hole] != entry {
            if self.slots[hole] == EMPTY {
                return;
            }
            hole = self.next(hole);
        }
        self.used -= 1;
        // Followers move back into the hole, unless they would come to stand before their place.
        let mut slot = self.next(hole);
        while self.slots[slot] != EMPTY {
            let home = self.place((self.slots[slot] >> 32) as u32);
            let stays = if hole <= slot {
                hole < home && home <= slot
            } else {
                hole < home || home <= slot
            };
            if !stays {
                self.slots[hole] = self.slots[slot];
                hole = slot;
            }
            slot = self.next(slot);
        }
        self.slots[hole] = EMPTY;
    }

    /// Bytes that it takes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn subject(number: u16) -> SubjectId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        SubjectId::from_bytes(bytes)
    }

    proptest! {
        #[test]
        fn every_row_is_among_the_candidates(
            acts in prop::collection::vec((0..40_u16, 0..4_u64, any::<bool>()), 1..400)
        ) {
            let mut index = Index::with_room(0);
            let mut held = BTreeSet::new();
            for (number, row, is_added) in acts {
                let row = u64::from(number) * 4 + row;
                if is_added && held.insert((number, row)) {
                    index.insert(subject(number).as_bytes(), row);
                } else if !is_added && held.remove(&(number, row)) {
                    index.remove(subject(number).as_bytes(), row);
                }
                for number in 0..40 {
                    let mut found = index.candidates(subject(number));
                    found.sort_unstable();
                    let rows = held.range((number, 0)..(number + 1, 0)).map(|&(_, row)| row);
                    prop_assert_eq!(found, rows.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_million_rows_take_at_most_sixteen_bytes_each() {
        let mut index = Index::with_room(0);
        for row in 0..1_000_000_u64 {
            index.insert(&u128::from(row).to_le_bytes(), row);
        }
        assert!(index.bytes() <= 16_000_000, "{} bytes", index.bytes());
        let found = index.candidates(SubjectId::from_bytes(77_u128.to_le_bytes()));
        assert!(found.contains(&77) && found.len() < 4, "{found:?}");
    }
}
