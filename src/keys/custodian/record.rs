//! How a standing is written down, and which standing may follow which.
//!
//! ```text
//! one slot of a standing, little-endian, 128 bytes
//!   0   8  magic "PCULSTND"
//!   8   4  version, 1
//!  12   4  which stands are there: bit 0 committed, bit 1 prepared
//!  16  16  the gallery's file id
//!  32   8  sequence: the valid slot with the highest one is in force
//!  40   8  committed: epoch
//!  48   8  committed: generation
//!  56   8  prepared: epoch
//!  64   8  prepared: generation
//!  72  24  zero
//!  96  32  SHA-256 of bytes 0 to 96
//! ```
//! Assumptions about the medium: none beyond reading back what was synced. A slot that was torn, or
//! of which any bit has changed, fails its hash and does not count.
//!
//! Invariant: what was committed never goes back; a new epoch is committed only after
//! it was prepared; within an epoch a later generation may be committed at once.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use sha2::{Digest, Sha256};

use super::{CustodyError, Stand, Standing, hex};

const MAGIC: &[u8; 8] = b"PCULSTND";
const VERSION: u32 = 1;

const VERSION_AT: usize = MAGIC.len();
const HELD_AT: usize = VERSION_AT + 4;
const FILE_AT: usize = HELD_AT + 4;
const SEQUENCE_AT: usize = FILE_AT + 16;
const COMMITTED_AT: usize = SEQUENCE_AT + 8;
const PREPARED_AT: usize = COMMITTED_AT + STAND_BYTES;
const ZERO_AT: usize = PREPARED_AT + STAND_BYTES;
const HASH_AT: usize = ZERO_AT + 24;
/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = HASH_AT + 32;
const STAND_BYTES: usize = 16;

const COMMITTED: u32 = 1;
const PREPARED: u32 = 2;

const _: () = assert!(HASH_AT == 96 && SLOT_BYTES == 128, "as the picture has it");

/// A standing with its place in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) standing: Standing,
}

impl Record {
    pub(super) fn encode(&self, file: &[u8; 16]) -> [u8; SLOT_BYTES] {
        let Standing { committed, prepared } = self.standing;
        let held = committed.map_or(0, |_| COMMITTED) | prepared.map_or(0, |_| PREPARED);
        let mut slot = [0; SLOT_BYTES];
        slot[..VERSION_AT].copy_from_slice(MAGIC);
        slot[VERSION_AT..HELD_AT].copy_from_slice(&VERSION.to_le_bytes());
        slot[HELD_AT..FILE_AT].copy_from_slice(&held.to_le_bytes());
        slot[FILE_AT..SEQUENCE_AT].copy_from_slice(file);
        slot[SEQUENCE_AT..COMMITTED_AT].copy_from_slice(&self.sequence.to_le_bytes());
        put_stand(&mut slot[COMMITTED_AT..PREPARED_AT], committed);
        put_stand(&mut slot[PREPARED_AT..ZERO_AT], prepared);
        let hash = Sha256::digest(&slot[..HASH_AT]);
        slot[HASH_AT..].copy_from_slice(&hash);
        slot
    }

    /// The record in `slot`, if it is whole and `file`'s.
    pub(super) fn decode(file: &[u8; 16], slot: &[u8]) -> Option<Self> {
        let slot: &[u8; SLOT_BYTES] = slot.try_into().ok()?;
        let whole = Sha256::digest(&slot[..HASH_AT])[..] == slot[HASH_AT..];
        let ours = slot.starts_with(MAGIC)
            && word32(slot, VERSION_AT) == VERSION
            && slot[FILE_AT..SEQUENCE_AT] == file[..]
            && slot[ZERO_AT..HASH_AT].iter().all(|&byte| byte == 0);
        let held = word32(slot, HELD_AT);
        if !whole || !ours || held > COMMITTED | PREPARED {
            return None;
        }
        let stand = |bit: u32, at: usize| {
            let epoch = word64(slot, at);
            let generation = word64(&slot[8..], at);
            (held & bit != 0).then_some(Stand { epoch, generation })
        };
        let committed = stand(COMMITTED, COMMITTED_AT);
        let prepared = stand(PREPARED, PREPARED_AT);
        let standing = Standing { committed, prepared };
        Some(Self { sequence: word64(slot, SEQUENCE_AT), standing })
    }

    /// What is written next.
    pub(super) fn followed_by(&self, standing: Standing) -> Self {
        // A record per microsecond would last for half a million years.
        Self { sequence: self.sequence.saturating_add(1), standing }
    }
}

fn put_stand(place: &mut [u8], stand: Option<Stand>) {
    if let Some(Stand { epoch, generation }) = stand {
        place[..8].copy_from_slice(&epoch.to_le_bytes());
        place[8..].copy_from_slice(&generation.to_le_bytes());
    }
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    let word = bytes[at..].first_chunk().expect("every offset lies inside the slot");
    u32::from_le_bytes(*word)
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    let word = bytes[at..].first_chunk().expect("every offset lies inside the slot");
    u64::from_le_bytes(*word)
}

impl Standing {
    /// This standing once `stand` is announced.
    pub(super) fn prepared(self, file: &[u8; 16], stand: Stand) -> Result<Standing, CustodyError> {
        let refuse = |why| CustodyError::OutOfOrder { file: hex(file), stand, why };
        if let Some(committed) = self.committed {
            if stand.epoch < committed.epoch {
                return Err(refuse("a later epoch is committed"));
            }
            if stand.generation <= committed.generation {
                return Err(refuse("this or a later generation is committed"));
            }
        }
        Ok(Standing { prepared: Some(stand), ..self })
    }

    /// This standing once `stand` is durable.
    pub(super) fn committed(self, file: &[u8; 16], stand: Stand) -> Result<Standing, CustodyError> {
        let follows =
            |before: Stand| before.epoch == stand.epoch && before.generation < stand.generation;
        if self.committed == Some(stand) {
            Ok(self)
        } else if self.prepared == Some(stand) || self.committed.is_some_and(follows) {
            Ok(Standing { committed: Some(stand), prepared: None })
        } else {
            let why = "it was not prepared, and does not follow what is committed in one epoch";
            Err(CustodyError::OutOfOrder { file: hex(file), stand, why })
        }
    }

    /// Whether destroying `asked` destroys the key of `held`: itself, and what a crash left of
    /// older ones, but never the key in force (an epoch that came to nothing is destroyed while the
    /// one before it is).
    pub(super) fn destroys(&self, asked: u64, held: u64) -> bool {
        held == asked || (held < asked && !self.is_in_force(held))
    }

    /// Whether `epoch` is the committed one.
    pub(super) fn is_in_force(&self, epoch: u64) -> bool {
        self.committed.is_some_and(|committed| committed.epoch == epoch)
    }

    /// The epoch that was prepared here and is given up in `after`: its key must not come back.
    pub(super) fn given_up(&self, after: Standing) -> Option<u64> {
        let prepared = self.prepared?.epoch;
        (!after.needs(prepared)).then_some(prepared)
    }

    /// Whether the key of `epoch` may be needed to open the gallery.
    pub(super) fn needs(&self, epoch: u64) -> bool {
        let of = |stand: Option<Stand>| stand.is_some_and(|stand| stand.epoch == epoch);
        of(self.committed) || of(self.prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: [u8; 16] = *b"a gallery's file";

    fn stand(epoch: u64, generation: u64) -> Stand {
        Stand { epoch, generation }
    }

    fn records() -> Vec<Record> {
        let (a, b) = (Some(stand(4, 9)), Some(stand(5, u64::MAX)));
        let standings = [(None, None), (a, None), (None, b), (a, b)];
        let of = |(committed, prepared)| Record {
            sequence: 77,
            standing: Standing { committed, prepared },
        };
        standings.into_iter().map(of).collect()
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for record in records() {
            assert_eq!(Record::decode(&FILE, &record.encode(&FILE)), Some(record));
            assert_eq!(Record::decode(&[0; 16], &record.encode(&FILE)), None, "another gallery's");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_no_record() {
        let whole = records()[3].encode(&FILE);
        for bit in 0..SLOT_BYTES * 8 {
            let mut slot = whole;
            slot[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&FILE, &slot), None, "bit {bit}");
        }
        for bytes in 0..SLOT_BYTES {
            assert_eq!(Record::decode(&FILE, &whole[..bytes]), None, "{bytes} bytes");
        }
        assert_eq!(Record::decode(&FILE, &[0; SLOT_BYTES]), None);
    }

    #[test]
    fn what_is_committed_never_goes_back() {
        let empty = Standing::default();
        let first = empty.prepared(&FILE, stand(1, 1)).expect("the first");
        assert!(empty.committed(&FILE, stand(1, 1)).is_err(), "never prepared");
        let first = first.committed(&FILE, stand(1, 1)).expect("as prepared");
        assert_eq!(first.committed(&FILE, stand(1, 1)).expect("said twice"), first);
        assert!(first.prepared(&FILE, stand(0, 2)).is_err(), "an older epoch");
        assert!(first.prepared(&FILE, stand(1, 1)).is_err(), "the same generation");
        assert!(first.prepared(&FILE, stand(2, 1)).is_err(), "the same generation again");
        let next = first.prepared(&FILE, stand(2, 2)).expect("the next");
        assert!(next.needs(1) && next.needs(2) && !next.needs(3));
        assert!(next.committed(&FILE, stand(2, 3)).is_err(), "another than was prepared");
        let gone: Vec<_> = (0..4).filter(|&held| next.destroys(2, held)).collect();
        assert_eq!(gone, [0, 2], "not the key in force");
        assert!(next.destroys(1, 1), "unless it is the one that is named");
        assert!(next.committed(&FILE, stand(1, 1)).is_ok_and(|same| same == next), "no news");
        let within = next.committed(&FILE, stand(1, 5)).expect("within the epoch");
        assert_eq!((within.committed, within.prepared), (Some(stand(1, 5)), None));
        assert_eq!((next.given_up(within), first.given_up(next)), (Some(2), None));
        assert!(within.committed(&FILE, stand(1, 4)).is_err(), "back");
        let again = next.prepared(&FILE, stand(1, 2)).expect("a change that was given up");
        assert_eq!(again.prepared, Some(stand(1, 2)));
    }
}
