//! The bytes of a file of holders' records. Everything is little-endian.
//!
//! ```text
//! file         0            superblock, even generations      4,096 bytes
//!              4,096        superblock, odd generations       4,096 bytes
//!              8,192        table, even generations           TABLE_BYTES
//!              + TABLE      table, odd generations            TABLE_BYTES
//!              RECORDS_AT   records, each at a multiple of 64: dims bytes of ciphertext, tag
//!
//! superblock   0    magic "PORTCHLD"                8   ┐
//!              8    version, 1                      2   │
//!              10   cipher suite, 1                 2   │
//!              12   entries of the table            4   │
//!              16   file id, random                16   │ head: bound to the wrapped key and to the
//!              32   epoch                           8   │ table
//!              40   generation                      8   │
//!              48   SHA-256 of the model           32   │
//!              80   SHA-256 of the calibration     32   │
//!              112  dims                            2   │
//!              114  zero                            6   │
//!              120  salt, random per superblock    32   ┘
//!              152  tag of the table               16
//!              168  wrapped epoch key              64
//!              232  SHA-256 of bytes 0..232        32   damage is told from a wrong key
//!
//! entry        0    record id                      16   all zero: vacant
//!              16   salt                           32
//!              48   first second of validity        8
//!              56   first second after it           8
//! ```
//!
//! The table is sealed under HKDF(epoch key, superblock's salt), a record under HKDF(holder's secret,
//! entry's salt). Each of these keys seals one message, so that the nonce is zero. What the medium
//! must keep to is what `gallery/format.rs` says of it.

#![warn(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::arithmetic_side_effects
)]

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::HolderError;
use crate::{
    keys::{Key, Stand, aead::NONCE_BYTES, aead::TAG_BYTES, custodian::WRAPPED_BYTES},
    limits::{DIMS_MAX, HOLDERS_MAX},
    random::{Entropy, random_id},
    types::{Hash256, SubjectId, TemplateKind},
};

const MAGIC: [u8; 8] = *b"PORTCHLD";
const VERSION: u16 = 1;
const SUITE: u16 = 1;
const HEAD_BYTES: usize = 152;
const WRITTEN_BYTES: usize = HEAD_BYTES + TAG_BYTES + WRAPPED_BYTES;
/// Bytes of a superblock's place; most of it is empty.
pub(super) const SUPERBLOCK_BYTES: usize = 4096;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 64;
/// Entries of a full table: the decoy and everybody.
const ENTRIES_MAX: usize = HOLDERS_MAX + 1;
const TABLE_BYTES: u64 = (ENTRIES_MAX * ENTRY_BYTES) as u64;
const TABLES_AT: u64 = 2 * SUPERBLOCK_BYTES as u64;
/// Where records begin.
pub(super) const RECORDS_AT: u64 = TABLES_AT + 2 * TABLE_BYTES;
/// Every key here seals one message.
pub(super) const NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

pub(super) fn superblock_at(generation: u64) -> u64 {
    if generation.is_multiple_of(2) { 0 } else { SUPERBLOCK_BYTES as u64 }
}

pub(super) fn table_at(generation: u64) -> u64 {
    if generation.is_multiple_of(2) { TABLES_AT } else { TABLES_AT + TABLE_BYTES }
}

/// Bytes from one record to the next.
pub(super) fn record_stride(dims: u16) -> u64 {
    (u64::from(dims).saturating_add(TAG_BYTES as u64)).next_multiple_of(64)
}

/// One record's row of the table. Wiped when dropped.
pub(super) struct Entry {
    pub(super) subject: SubjectId,
    pub(super) salt: [u8; 32],
    pub(super) not_before_s: i64,
    pub(super) expiry_s: i64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

/// The `N` bytes from `at`; callers have checked the length.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().expect("within a checked length")
}

impl Entry {
    /// A new id with a new salt, valid always.
    pub(super) fn random(entropy: &dyn Entropy) -> Self {
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        let subject = SubjectId::from_bytes(random_id(entropy));
        Self { subject, salt, not_before_s: i64::MIN, expiry_s: i64::MAX }
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.salt == [0; 32]
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        Self {
            subject: SubjectId::from_bytes(part(bytes, 0)),
            salt: part(bytes, 16),
            not_before_s: i64::from_le_bytes(part(bytes, 48)),
            expiry_s: i64::from_le_bytes(part(bytes, 56)),
        }
    }

    pub(super) fn write(&self, bytes: &mut [u8]) {
        bytes[..16].copy_from_slice(self.subject.as_bytes());
        bytes[16..48].copy_from_slice(&self.salt);
        bytes[48..56].copy_from_slice(&self.not_before_s.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.expiry_s.to_le_bytes());
    }
}

/// What a file says of itself.
pub(super) struct Superblock {
    pub(super) file: [u8; 16],
    pub(super) kind: TemplateKind,
    pub(super) stand: Stand,
    pub(super) slots: usize,
    pub(super) salt: [u8; 32],
    pub(super) table_tag: [u8; TAG_BYTES],
    pub(super) wrapped: Vec<u8>,
}

impl Superblock {
    pub(super) fn new(file: [u8; 16], kind: TemplateKind, stand: Stand, slots: usize) -> Self {
        let (salt, table_tag, wrapped) = ([0; 32], [0; TAG_BYTES], Vec::new());
        Self { file, kind, stand, slots, salt, table_tag, wrapped }
    }

    /// What the wrapped key and the table are bound to.
    pub(super) fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..10].copy_from_slice(&VERSION.to_le_bytes());
        head[10..12].copy_from_slice(&SUITE.to_le_bytes());
        let slots = u32::try_from(self.slots).expect("a table has at most ENTRIES_MAX entries");
        head[12..16].copy_from_slice(&slots.to_le_bytes());
        head[16..32].copy_from_slice(&self.file);
        head[32..40].copy_from_slice(&self.stand.epoch.to_le_bytes());
        head[40..48].copy_from_slice(&self.stand.generation.to_le_bytes());
        head[48..80].copy_from_slice(self.kind.model.as_bytes());
        head[80..112].copy_from_slice(self.kind.calibration.as_bytes());
        head[112..114].copy_from_slice(&self.kind.dims.to_le_bytes());
        head[120..152].copy_from_slice(&self.salt);
        head
    }

    /// The whole superblock, with its checksum.
    pub(super) fn write(&self) -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        bytes[..HEAD_BYTES].copy_from_slice(&self.head());
        bytes[HEAD_BYTES..168].copy_from_slice(&self.table_tag);
        bytes[168..WRITTEN_BYTES].copy_from_slice(&self.wrapped);
        let sum = Sha256::digest(&bytes[..WRITTEN_BYTES]);
        bytes[WRITTEN_BYTES..264].copy_from_slice(&sum);
        bytes
    }

    pub(super) fn read(bytes: &[u8; SUPERBLOCK_BYTES]) -> Result<Self, HolderError> {
        if part::<8>(bytes, 0) != MAGIC {
            return Err(HolderError::NotRecords { why: "it does not begin as one" });
        }
        let version = u16::from_le_bytes(part(bytes, 8));
        if version != VERSION || u16::from_le_bytes(part(bytes, 10)) != SUITE {
            return Err(HolderError::Version { version });
        }
        let sum: [u8; 32] = Sha256::digest(&bytes[..WRITTEN_BYTES]).into();
        if sum != part::<32>(bytes, WRITTEN_BYTES) {
            return Err(HolderError::Damaged { what: "a superblock" });
        }
        let dims = u16::from_le_bytes(part(bytes, 112));
        let slots = u32::from_le_bytes(part(bytes, 12)) as usize;
        if usize::from(dims) > DIMS_MAX || dims == 0 || !(1..=ENTRIES_MAX).contains(&slots) {
            return Err(HolderError::Damaged { what: "the sizes in a superblock" });
        }
        Ok(Self {
            file: part(bytes, 16),
            kind: TemplateKind {
                model: Hash256::from_bytes(part(bytes, 48)),
                calibration: Hash256::from_bytes(part(bytes, 80)),
                dims,
            },
            stand: Stand {
                epoch: u64::from_le_bytes(part(bytes, 32)),
                generation: u64::from_le_bytes(part(bytes, 40)),
            },
            slots,
            salt: part(bytes, 120),
            table_tag: part(bytes, HEAD_BYTES),
            wrapped: bytes[168..WRITTEN_BYTES].to_vec(),
        })
    }
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

#[inline(never)]
fn derive(key: &[u8; 32], salt: &[u8; 32], purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut subkey = Zeroizing::new([0; 32]);
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(key);
    let filled =
        pseudorandom.expand(&[purpose], KeyBytes).and_then(|key| key.fill(subkey.as_mut_slice()));
    filled.expect("HKDF gives up to 255 blocks");
    subkey
}

/// The key that seals the table written with `salt`.
pub(super) fn table_key(epoch_key: &Key, salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    derive(epoch_key.expose(), salt, b"portcullis holders' table")
}

/// The key that seals a record: neither the secret nor the salt makes it alone.
pub(super) fn record_key(secret: &[u8; 32], salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    derive(secret, salt, b"portcullis holder's record")
}

/// What a record is bound to: its file, its place, its id, its validity, its kind.
pub(super) fn record_bound(
    file: &[u8; 16],
    kind: &TemplateKind,
    slot: usize,
    entry: &Entry,
) -> Vec<u8> {
    let mut bound = Vec::with_capacity(128);
    bound.extend(file);
    bound.extend((slot as u64).to_le_bytes());
    bound.extend(entry.subject.as_bytes());
    bound.extend(entry.not_before_s.to_le_bytes());
    bound.extend(entry.expiry_s.to_le_bytes());
    bound.extend(kind.model.as_bytes());
    bound.extend(kind.calibration.as_bytes());
    bound
}
