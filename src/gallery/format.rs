//! The bytes of a gallery file. Everything is little-endian; every offset is the previous one plus
//! its size; a size is checked before anything is computed from it or allocated for it.
//!
//! ```text
//! file         0        superblock, slot 0        4,096 bytes
//!              4,096    superblock, slot 1        4,096 bytes
//!              8,192    extents: parts of tiles, leaves, roots; each begins at a multiple of 64
//!
//! superblock   0        magic "PORTCGLY"                     8   ┐ plain, so that a file can be
//!              8        version, 1                           2   │ named, and a gallery of another
//!              10       cipher suite, 1                      2   │ model refused, without any key
//!              12       zero                                 4   │
//!              16       file id, random                     16   │
//!              32       epoch                                8   │
//!              40       generation                           8   │
//!              48       SHA-256 of the model                32   │
//!              80       SHA-256 of the calibration          32   │
//!              112      dims                                 2   │
//!              114      bytes of the wrapped key             2   │
//!              116      zero                                 4   │
//!              120      root: offset                         8   │
//!              128      root: bytes, without its tag         8   │
//!              136      salt, random per superblock         32   │
//!              168      wrapped epoch key, then zero      3864   ┘
//!              4,032    HMAC of bytes 0..4,032              32     under a subkey of the epoch key
//!              4,064    SHA-256 of bytes 0..4,064           32     damage is not a wrong key,
//!                                                                  also once that key is destroyed
//!
//! extent       0        ciphertext
//!              n        tag                                 16
//!
//! root         0        dims, hot dims, rows of a tile    3 × 4
//!              12       zero                                 4
//!              16       seed of the transform               32
//!              48       epoch before this one                8     its key must be destroyed
//!              56       rows, vacant rows, subjects       3 × 8
//!              80       tiles, leaves                     2 × 8
//!              96       one entry per leaf:                 64
//!                         0   key                           32
//!                         32  offset                         8
//!                         40  epoch of writing               8
//!                         48  generation of writing          8
//!                         56  tiles                          4
//!                         60  zero                           4
//!
//! leaf         0        one entry per tile, 64 at most:    208
//!                         0   hot part: key                 32
//!                         32            offset               8
//!                         40            epoch of writing     8
//!                         48  cold part, the same           48
//!                         96  row table, the same           48
//!                         144 generation of writing          8
//!                         152 rows, vacant rows          2 × 4
//!                         160 classes of all, of any     2 × 8
//!                         176 latest begin, earliest end 2 × 8
//!                         192 group, whether it is one   2 × 4
//!                         200 flags of any                   4
//!                         204 zero                           4
//! ```
//!
//! Cipher suite 1 is AES-256-GCM, HKDF-SHA-256 and HMAC-SHA-256. Each part of a tile and each leaf
//! is sealed under a key that is drawn for that one writing and never used again; the root under
//! HKDF(epoch key, salt), with a salt that is drawn for that one writing. So no key ever meets two
//! messages, and the nonce is always zero. Bound to every ciphertext (associated data) is what it
//! is and where it belongs: see [`part_bound`], [`leaf_bound`], [`root_bound`].
//!
//! Why the root holds the leaves' keys: an unchanged leaf survives a change of epoch unwritten, and
//! yet nothing opens it without the newest root. With 64 tiles of 1,024 rows to a leaf, a change of
//! one tile in a gallery of 10 million rows writes 13 KB of leaf and 10 KB of root.
//!
//! # Assumptions about the medium
//! - After `sync` returns, everything written before it is durable; before that any part of any
//!   write may be there or not, in any order, torn at any byte.
//! - A write changes no byte outside its range, also when the power fails during it (SQLite's
//!   "powersafe overwrite"): extents begin at multiples of 64 bytes, not of a sector, because
//!   padding to sectors would cost more than everything else that is not a template.
//! - A failed `sync` leaves the disk in an unknown state. No further write is then attempted.
//! - Nobody else changes or cuts off the file while it is open; the exclusive lock asks for that.
//!   What is changed all the same is refused by its tag, at the latest when it is read.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use sha2::{Digest, Sha256};

use super::crypt;
use crate::{
    limits::{DIMS_MAX, GALLERY_ROWS_MAX},
    ops::tile::{Common, TileLayout, TilePart},
    types::{Hash256, TemplateKind},
};

// The rows of a tile are stored as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "the format is little-endian");

pub(super) const SUPERBLOCK_BYTES: usize = 4096;
pub(super) const SLOTS: u64 = 2;
/// Where extents begin.
pub(super) const EXTENTS_AT: u64 = SLOTS * SUPERBLOCK_BYTES as u64;
/// Extents begin at multiples of it.
pub(super) const UNIT_BYTES: u64 = 64;
/// Tiles of a leaf.
pub(super) const LEAF_TILES: usize = 64;

const MAGIC: [u8; 8] = *b"PORTCGLY";
const VERSION: u16 = 1;
const SUITE: u16 = 1;

const VERSION_AT: usize = MAGIC.len();
const SUITE_AT: usize = VERSION_AT + 2;
const FILE_AT: usize = SUITE_AT + 2 + 4;
const EPOCH_AT: usize = FILE_AT + 16;
const GENERATION_AT: usize = EPOCH_AT + 8;
const MODEL_AT: usize = GENERATION_AT + 8;
const CALIBRATION_AT: usize = MODEL_AT + 32;
const DIMS_AT: usize = CALIBRATION_AT + 32;
const WRAPPED_BYTES_AT: usize = DIMS_AT + 2;
const ROOT_AT_AT: usize = WRAPPED_BYTES_AT + 2 + 4;
const ROOT_BYTES_AT: usize = ROOT_AT_AT + 8;
const SALT_AT: usize = ROOT_BYTES_AT + 8;
const WRAPPED_AT: usize = SALT_AT + 32;
const STAMP_AT: usize = SUPERBLOCK_BYTES - 64;
const DIGEST_AT: usize = STAMP_AT + 32;
/// Longest wrapped epoch key.
pub(super) const WRAPPED_BYTES_MAX: usize = STAMP_AT - WRAPPED_AT;

const _: () = assert!(WRAPPED_AT == 168 && DIGEST_AT == 4064, "as the picture draws it");

/// What a superblock says before any key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The gallery's own random id.
    pub file: [u8; 16],
    /// Model and calibration of every template.
    pub kind: TemplateKind,
    /// Which of the custodian's keys opens it.
    pub epoch: u64,
    /// Changes since it was created.
    pub generation: u64,
}

/// Where an extent lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: u64,
    /// Bytes of ciphertext and tag.
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) head: Head,
    pub(super) root: Place,
    pub(super) salt: [u8; 32],
    pub(super) wrapped: Vec<u8>,
}

/// What stands in one of the two slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nothing was ever written there.
    Blank,
    /// Bytes that are no superblock.
    Broken(&'static str),
    /// A superblock of a version or cipher suite that is not known here.
    Foreign {
        version: u16,
        suite: u16,
    },
    Held(Box<Superblock>),
}

/// `N` bytes from `at`. The caller has checked that they are there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the caller's record is of its full size")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(field(bytes, at))
}

impl Superblock {
    /// The block, stamped under `epoch_key`.
    pub(super) fn encode(&self, epoch_key: &[u8; 32]) -> [u8; SUPERBLOCK_BYTES] {
        let mut block = [0; SUPERBLOCK_BYTES];
        let mut put = |at: usize, bytes: &[u8]| block[at..][..bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(VERSION_AT, &VERSION.to_le_bytes());
        put(SUITE_AT, &SUITE.to_le_bytes());
        put(FILE_AT, &self.head.file);
        put(EPOCH_AT, &self.head.epoch.to_le_bytes());
        put(GENERATION_AT, &self.head.generation.to_le_bytes());
        put(MODEL_AT, self.head.kind.model.as_bytes());
        put(CALIBRATION_AT, self.head.kind.calibration.as_bytes());
        put(DIMS_AT, &self.head.kind.dims.to_le_bytes());
        let wrapped_bytes = u16::try_from(self.wrapped.len()).expect("at most 3,864");
        put(WRAPPED_BYTES_AT, &wrapped_bytes.to_le_bytes());
        put(ROOT_AT_AT, &self.root.at.to_le_bytes());
        let root_bytes = self.root.bytes.saturating_sub(crypt::TAG_BYTES as u64);
        put(ROOT_BYTES_AT, &root_bytes.to_le_bytes());
        put(SALT_AT, &self.salt);
        put(WRAPPED_AT, &self.wrapped);
        let stamp = crypt::stamp(epoch_key, &self.salt, &block[..STAMP_AT]);
        block[STAMP_AT..DIGEST_AT].copy_from_slice(&stamp);
        let digest: [u8; 32] = Sha256::digest(&block[..DIGEST_AT]).into();
        block[DIGEST_AT..].copy_from_slice(&digest);
        block
    }

    /// The bytes that the custodian binds the wrapped key of an epoch to.
    pub(super) fn wrap_bound(file: &[u8; 16], epoch: u64) -> Vec<u8> {
        let mut bound = b"portcullis gallery epoch".to_vec();
        bound.extend(SUITE.to_le_bytes());
        bound.extend(file);
        bound.extend(epoch.to_le_bytes());
        bound
    }
}

/// Whether `block` was stamped under `epoch_key`.
pub(super) fn is_stamped(block: &[u8; SUPERBLOCK_BYTES], epoch_key: &[u8; 32]) -> bool {
    let salt = field(block, SALT_AT);
    crypt::is_stamped(epoch_key, &salt, &block[..STAMP_AT], &field(block, STAMP_AT))
}

/// What stands in a slot of a media of `len` bytes. No key is needed.
pub(super) fn decode_slot(block: &[u8; SUPERBLOCK_BYTES], len: u64) -> Slot {
    if block.iter().all(|&byte| byte == 0) {
        return Slot::Blank;
    }
    if field::<8>(block, 0) != MAGIC {
        return Slot::Broken("it does not begin as a superblock does");
    }
    if Sha256::digest(&block[..DIGEST_AT])[..] != block[DIGEST_AT..] {
        return Slot::Broken("its checksum does not fit; it is torn or damaged");
    }
    let (version, suite) = (u16_at(block, VERSION_AT), u16_at(block, SUITE_AT));
    if (version, suite) != (VERSION, SUITE) {
        return Slot::Foreign { version, suite };
    }
    let wrapped_bytes = usize::from(u16_at(block, WRAPPED_BYTES_AT));
    if wrapped_bytes > WRAPPED_BYTES_MAX {
        return Slot::Broken("its wrapped key is longer than the block");
    }
    let root = place(u64_at(block, ROOT_AT_AT), u64_at(block, ROOT_BYTES_AT), len);
    let Some(root) = root else {
        return Slot::Broken("its root lies outside the file; the file was cut off");
    };
    let kind = TemplateKind {
        model: Hash256::from_bytes(field(block, MODEL_AT)),
        calibration: Hash256::from_bytes(field(block, CALIBRATION_AT)),
        dims: u16_at(block, DIMS_AT),
    };
    let head = Head {
        file: field(block, FILE_AT),
        kind,
        epoch: u64_at(block, EPOCH_AT),
        generation: u64_at(block, GENERATION_AT),
    };
    let wrapped = block[WRAPPED_AT..].iter().copied().take(wrapped_bytes).collect();
    Slot::Held(Box::new(Superblock { head, root, salt: field(block, SALT_AT), wrapped }))
}

/// The extent at `at` of `bytes` bytes and a tag, when it lies within a media of `len` bytes.
pub(super) fn place(at: u64, bytes: u64, len: u64) -> Option<Place> {
    let bytes = bytes.checked_add(crypt::TAG_BYTES as u64)?;
    let end = at.checked_add(bytes)?;
    let lies = at >= EXTENTS_AT && at.is_multiple_of(UNIT_BYTES) && end <= len;
    lies.then_some(Place { at, bytes })
}

/// Why an opened node of the key tree is not one. Its tag was right, so this is a mistake of a
/// writer, or a fuzzer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It has not the size that its counts ask for.
    #[error("it has another size than its counts ask for")]
    Size,
    /// The layout is not one, or not the gallery's.
    #[error("its layout is not one of this gallery's templates")]
    Layout,
    /// Its counts contradict each other or a limit.
    #[error("its counts contradict each other")]
    Count,
    /// An extent lies outside the file.
    #[error("an extent lies outside the file; the file was cut off")]
    Outside,
}

const SEED_AT: usize = 16;
const RETIRED_AT: usize = SEED_AT + 32;
const ROWS_AT: usize = RETIRED_AT + 8;
const VACANT_AT: usize = ROWS_AT + 8;
const SUBJECTS_AT: usize = VACANT_AT + 8;
const TILES_AT: usize = SUBJECTS_AT + 8;
const LEAVES_AT: usize = TILES_AT + 8;
const ROOT_HEAD_BYTES: usize = LEAVES_AT + 8;
const _: () = assert!(ROOT_HEAD_BYTES == 96, "as the picture draws it");
const LEAF_ENTRY_BYTES: usize = 64;

/// What the root says beside its leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RootHead {
    pub(super) layout: TileLayout,
    pub(super) retired_epoch: u64,
    pub(super) rows: u64,
    pub(super) vacant: u64,
    pub(super) subjects: u64,
    pub(super) tiles: u64,
}

/// One leaf as the root names it; its key is handed over apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeafEntry {
    pub(super) place: Place,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) tiles: usize,
}

/// Writes the head of a root with room for `leaves` entries.
pub(super) fn encode_root(head: &RootHead, seed: &[u8; 32], leaves: usize) -> Vec<u8> {
    let entries = leaves.checked_mul(LEAF_ENTRY_BYTES).expect("at most 250,000 leaves");
    let room = entries.checked_add(ROOT_HEAD_BYTES).expect("at most 16 MB");
    let mut root = Vec::with_capacity(room.saturating_add(crypt::TAG_BYTES));
    for size in [head.layout.dims, head.layout.hot_dims, head.layout.rows] {
        root.extend(u32::try_from(size).expect("a layout is bounded").to_le_bytes());
    }
    root.extend([0; 4]);
    root.extend(seed);
    let counts = [head.retired_epoch, head.rows, head.vacant, head.subjects, head.tiles];
    root.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    root.extend((leaves as u64).to_le_bytes());
    root
}

/// Adds a leaf to a root.
pub(super) fn push_leaf(root: &mut Vec<u8>, key: &[u8; 32], leaf: &LeafEntry) {
    root.extend(key);
    for number in [leaf.place.at, leaf.epoch, leaf.generation] {
        root.extend(number.to_le_bytes());
    }
    root.extend(u32::try_from(leaf.tiles).expect("at most 64").to_le_bytes());
    root.extend([0; 4]);
}

/// Reads the head of a root of a gallery of `kind`, and checks that its size is that of its counts.
pub(super) fn decode_root(root: &[u8], kind: &TemplateKind) -> Result<RootHead, NodeError> {
    let body = root.get(ROOT_HEAD_BYTES..).ok_or(NodeError::Size)?;
    let size = |at| usize::try_from(u32_at(root, at)).map_err(|_| NodeError::Layout);
    let layout = TileLayout { dims: size(0)?, hot_dims: size(4)?, rows: size(8)? };
    if !is_layout(layout, kind) {
        return Err(NodeError::Layout);
    }
    let head = RootHead {
        layout,
        retired_epoch: u64_at(root, RETIRED_AT),
        rows: u64_at(root, ROWS_AT),
        vacant: u64_at(root, VACANT_AT),
        subjects: u64_at(root, SUBJECTS_AT),
        tiles: u64_at(root, TILES_AT),
    };
    let leaves = u64_at(root, LEAVES_AT);
    let fits = head.rows <= GALLERY_ROWS_MAX
        && head.vacant <= head.rows
        && head.subjects <= head.rows.saturating_sub(head.vacant)
        && head.tiles == head.rows.div_ceil(layout.rows as u64)
        && leaves == head.tiles.div_ceil(LEAF_TILES as u64);
    if !fits {
        return Err(NodeError::Count);
    }
    if leaves.checked_mul(LEAF_ENTRY_BYTES as u64) != Some(body.len() as u64) {
        return Err(NodeError::Size);
    }
    Ok(head)
}

/// Whether tiles of `layout` can hold templates of `kind`.
pub(super) fn is_layout(layout: TileLayout, kind: &TemplateKind) -> bool {
    layout.dims == usize::from(kind.dims)
        && (1..=DIMS_MAX).contains(&layout.dims)
        && layout.hot_dims <= layout.dims
        && (1..=ROWS_OF_TILE_MAX).contains(&layout.rows)
}

/// Rows of the largest tile: a part of it then has at most 128 MiB, and every size fits.
pub(super) const ROWS_OF_TILE_MAX: usize = 1 << 16;

/// The secret seed of the transform in a root that [`decode_root`] took.
pub(super) fn root_seed(root: &mut [u8]) -> &mut [u8; 32] {
    root[SEED_AT..].first_chunk_mut().expect("a root has a head")
}

/// The leaves of a root that [`decode_root`] took, each with the key that opens it. The key is lent
/// where it lies, for whoever takes it over and wipes it: a copy would be left on the stack.
pub(super) fn decode_leaves<'a>(
    root: &'a mut [u8],
    head: &RootHead,
    len: u64,
) -> impl Iterator<Item = Result<(&'a mut [u8; 32], LeafEntry), NodeError>> + use<'a> {
    let mut left = usize::try_from(head.tiles).unwrap_or(usize::MAX);
    root[ROOT_HEAD_BYTES..].chunks_exact_mut(LEAF_ENTRY_BYTES).map(move |entry| {
        let tiles = left.min(LEAF_TILES);
        left = left.saturating_sub(LEAF_TILES);
        if u32_at(entry, 56) as usize != tiles {
            return Err(NodeError::Count);
        }
        let bytes = (tiles as u64).saturating_mul(TILE_ENTRY_BYTES as u64);
        let place = place(u64_at(entry, 32), bytes, len).ok_or(NodeError::Outside)?;
        let leaf =
            LeafEntry { place, epoch: u64_at(entry, 40), generation: u64_at(entry, 48), tiles };
        Ok((entry.first_chunk_mut().expect("an entry begins with its key"), leaf))
    })
}

const TILE_ENTRY_BYTES: usize = 208;
const PART_ENTRY_BYTES: usize = 48;
/// The parts in the order of an entry.
pub(super) const PARTS: [TilePart; 3] = [TilePart::Hot, TilePart::Cold, TilePart::Rows];

/// One part as a leaf names it; its key is handed over apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartEntry {
    pub(super) place: Place,
    pub(super) epoch: u64,
}

/// One tile as a leaf names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TileEntry {
    pub(super) parts: [PartEntry; 3],
    pub(super) generation: u64,
    pub(super) rows: usize,
    pub(super) vacant: usize,
    pub(super) common: Common,
}

/// An empty leaf with room for `tiles` tiles and its tag.
pub(super) fn leaf_buffer(tiles: usize) -> Vec<u8> {
    let entries = tiles.saturating_mul(TILE_ENTRY_BYTES);
    Vec::with_capacity(entries.saturating_add(crypt::TAG_BYTES))
}

/// Adds a tile to a leaf. `push_key` adds the key of the part of that number, in [`PARTS`], and
/// borrows it for that alone: keys of an arena are borrowed one at a time.
pub(super) fn push_tile(
    leaf: &mut Vec<u8>,
    tile: &TileEntry,
    mut push_key: impl FnMut(usize, &mut Vec<u8>),
) {
    for (number, part) in tile.parts.iter().enumerate() {
        push_key(number, leaf);
        leaf.extend(part.place.at.to_le_bytes());
        leaf.extend(part.epoch.to_le_bytes());
    }
    leaf.extend(tile.generation.to_le_bytes());
    for count in [tile.rows, tile.vacant] {
        leaf.extend(u32::try_from(count).expect("rows of a tile").to_le_bytes());
    }
    let common = &tile.common;
    leaf.extend(common.class_bits_all.to_le_bytes());
    leaf.extend(common.class_bits_any.to_le_bytes());
    leaf.extend(common.not_before_s_max.to_le_bytes());
    leaf.extend(common.expiry_s_min.to_le_bytes());
    leaf.extend(common.group.unwrap_or(0).to_le_bytes());
    leaf.extend(u32::from(common.group.is_some()).to_le_bytes());
    leaf.extend(common.flags_any.to_le_bytes());
    leaf.extend([0; 4]);
}

/// The keys of a tile's parts, lent where they lie in a leaf.
pub(super) type TileKeys<'a> = [&'a mut [u8; 32]; 3];

/// The tiles of a leaf, each with its three keys, lent as those of [`decode_leaves`] are.
pub(super) fn decode_leaf(
    leaf: &mut [u8],
    layout: TileLayout,
    len: u64,
) -> impl Iterator<Item = Result<(TileKeys<'_>, TileEntry), NodeError>> {
    leaf.chunks_exact_mut(TILE_ENTRY_BYTES).map(move |entry| decode_tile(entry, layout, len))
}

fn decode_tile(
    entry: &mut [u8],
    layout: TileLayout,
    len: u64,
) -> Result<(TileKeys<'_>, TileEntry), NodeError> {
    let (rows, vacant) = (u32_at(entry, 152) as usize, u32_at(entry, 156) as usize);
    if rows == 0 || rows > layout.rows || vacant > rows {
        return Err(NodeError::Count);
    }
    let common = Common {
        class_bits_all: u64_at(entry, 160),
        class_bits_any: u64_at(entry, 168),
        not_before_s_max: i64_at(entry, 176),
        expiry_s_min: i64_at(entry, 184),
        group: (u32_at(entry, 196) != 0).then(|| u32_at(entry, 192)),
        flags_any: u32_at(entry, 200),
    };
    let mut parts = [PartEntry { place: Place { at: 0, bytes: 0 }, epoch: 0 }; 3];
    for ((bytes, part), held) in entry.chunks_exact(PART_ENTRY_BYTES).zip(PARTS).zip(&mut parts) {
        let size = layout.part_bytes(part, rows) as u64;
        let place = place(u64_at(bytes, 32), size, len).ok_or(NodeError::Outside)?;
        *held = PartEntry { place, epoch: u64_at(bytes, 40) };
    }
    let tile = TileEntry { parts, generation: u64_at(entry, 144), rows, vacant, common };
    let mut entries = entry.chunks_exact_mut(PART_ENTRY_BYTES);
    let keys = PARTS.map(|_| {
        let part = entries.next().expect("an entry has three parts");
        part.first_chunk_mut().expect("a part begins with its key")
    });
    Ok((keys, tile))
}

/// Reads `bytes` as the file of a gallery whose key tree lies open, as if every tag had been right,
/// and says how many tiles it names.
///
/// No gallery is opened this way: what stands here is how a fuzzer reaches the parsers that lie
/// behind the cipher, and which only a writer's mistake could feed with nonsense. The superblock's
/// digest is not asked for; everything else is as in opening.
///
/// # Errors
/// [`NodeError`], the first that is found.
pub fn survey(bytes: &[u8]) -> Result<u64, NodeError> {
    let len = bytes.len() as u64;
    let mut block = *bytes.first_chunk::<SUPERBLOCK_BYTES>().ok_or(NodeError::Size)?;
    let digest: [u8; 32] = Sha256::digest(&block[..DIGEST_AT]).into();
    block[DIGEST_AT..].copy_from_slice(&digest);
    let Slot::Held(superblock) = decode_slot(&block, len) else { return Err(NodeError::Outside) };
    let plain = |place: Place| -> Vec<u8> {
        let sealed = bytes.iter().skip(usize::try_from(place.at).unwrap_or(usize::MAX));
        let bytes = place.bytes.saturating_sub(crypt::TAG_BYTES as u64);
        sealed.copied().take(usize::try_from(bytes).unwrap_or(0)).collect()
    };
    let mut root = plain(superblock.root);
    let head = decode_root(&root, &superblock.head.kind)?;
    let mut tiles: u64 = 0;
    for leaf in decode_leaves(&mut root, &head, len) {
        let (_, leaf) = leaf?;
        for tile in decode_leaf(&mut plain(leaf.place), head.layout, len) {
            tile?;
            tiles = tiles.saturating_add(1);
        }
    }
    Ok(tiles)
}

/// What a part of a tile is bound to.
pub(super) fn part_bound(file: &[u8; 16], tile: usize, part: TilePart, epoch: u64) -> [u8; 40] {
    let number = match part {
        TilePart::Hot => 0,
        TilePart::Cold => 1,
        TilePart::Rows => 2,
    };
    bound(b"tilepart", file, [((tile as u64) << 2) | number, epoch])
}

/// What a leaf is bound to.
pub(super) fn leaf_bound(file: &[u8; 16], leaf: usize, epoch: u64) -> [u8; 40] {
    bound(b"treeleaf", file, [leaf as u64, epoch])
}

/// What a root is bound to.
pub(super) fn root_bound(file: &[u8; 16], generation: u64, epoch: u64) -> [u8; 40] {
    bound(b"treeroot", file, [generation, epoch])
}

fn bound(what: &[u8; 8], file: &[u8; 16], numbers: [u64; 2]) -> [u8; 40] {
    let mut bound = [0; 40];
    bound[..8].copy_from_slice(what);
    bound[8..24].copy_from_slice(file);
    bound[24..32].copy_from_slice(&numbers[0].to_le_bytes());
    bound[32..].copy_from_slice(&numbers[1].to_le_bytes());
    bound
}
