//! What stands between a gallery and a backend: an immutable set of tiles, and a source that opens
//! one part of one tile at a time into the caller's scratch.
//!
//! A tile is [`TileLayout::rows`] rows (the last may hold fewer) in three parts:
//! - `Hot`: the first `hot_dims` int8 values of each row, row after row, then the norm of each
//!   row's cold values as a little-endian u16: all that the bound needs;
//! - `Cold`: the other `dims - hot_dims` values of each row;
//! - `Rows`: one [`Row`] per row.
//!
//! What the rows of a tile have in common stands in its [`TileRef`], so that a scan opens the row
//! table only where it must ask each row.
//!
//! An update publishes a **new** set; a tile that is equal in both keeps its [`TileRef::content`],
//! so a backend that holds it resident shares it. A running scan keeps its set alive by holding it.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::{residence::Residence, transform::SignedPermutation};
use crate::types::TemplateKind;

/// Present, but left out of every search (GDPR Art. 18).
pub const ROW_RESTRICTED: u32 = 1;
/// The row holds nobody any more; its planes are zero.
pub const ROW_VACANT: u32 = 2;

/// What is kept about one reference, beside its template. No name, no document number, no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    /// The subject's 128 opaque bits.
    pub subject: [u8; 16],
    /// Membership in up to 64 classes; zero is in none and is never found.
    pub class_bits: u64,
    /// First second (civil, UTC) at which the row may be found.
    pub not_before_s: i64,
    /// First second at which it may not be found any more.
    pub expiry_s: i64,
    /// A group such as a flight; matched by equality. Zero is no group.
    pub group: u32,
    /// `ROW_RESTRICTED`, `ROW_VACANT`.
    pub flags: u32,
}

/// What the rows of a tile have in common: enough to tell, for most tiles and probes, that every
/// row is eligible or that none is ([`super::search::eligibility`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Common {
    /// Classes that every row is in.
    pub class_bits_all: u64,
    /// Classes that some row is in.
    pub class_bits_any: u64,
    /// Latest begin of a row's validity.
    pub not_before_s_max: i64,
    /// Earliest end of a row's validity.
    pub expiry_s_min: i64,
    /// The group of all rows, if they are of one.
    pub group: Option<u32>,
    /// Flags that some row has.
    pub flags_any: u32,
}

impl Common {
    /// Sums `rows` up. A vacant row is in nobody's way only by its flag; what else it says counts.
    #[must_use]
    pub fn of(rows: &[Row]) -> Self {
        let group = rows.first().map_or(0, |row| row.group);
        Self {
            class_bits_all: rows.iter().fold(u64::MAX, |all, row| all & row.class_bits),
            class_bits_any: rows.iter().fold(0, |any, row| any | row.class_bits),
            not_before_s_max: rows.iter().map(|row| row.not_before_s).max().unwrap_or(i64::MIN),
            expiry_s_min: rows.iter().map(|row| row.expiry_s).min().unwrap_or(i64::MAX),
            group: rows.iter().all(|row| row.group == group).then_some(group),
            flags_any: rows.iter().fold(0, |any, row| any | row.flags),
        }
    }
}

/// Sizes of one tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileLayout {
    /// int8 values of a template.
    pub dims: usize,
    /// How many of them stand in the hot plane, at most `dims`.
    pub hot_dims: usize,
    /// Rows of a full tile.
    pub rows: usize,
}

impl TileLayout {
    /// Bytes of `part` of a tile with `rows` rows.
    #[must_use]
    pub fn part_bytes(&self, part: TilePart, rows: usize) -> usize {
        match part {
            TilePart::Hot => rows * (self.hot_dims + size_of::<u16>()),
            TilePart::Cold => rows * (self.dims - self.hot_dims),
            TilePart::Rows => rows * size_of::<Row>(),
        }
    }
}

impl TileLayout {
    /// The values and the norms of a hot part of `rows` rows.
    ///
    /// # Panics
    /// When `hot` is not of the part's size.
    #[must_use]
    pub fn split_hot<'a>(&self, hot: &'a [u8], rows: usize) -> (&'a [i8], &'a [[u8; 2]]) {
        assert_eq!(hot.len(), self.part_bytes(TilePart::Hot, rows), "a hot part of {rows} rows");
        let (values, norms) = hot.split_at(rows * self.hot_dims);
        (bytemuck::cast_slice(values), bytemuck::cast_slice(norms))
    }
}

/// One of the three parts of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePart {
    /// First values of every row, and the norms of the others.
    Hot,
    /// The rest of the values.
    Cold,
    /// The row table.
    Rows,
}

/// A tile as a set names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileRef {
    /// Rows in use, vacant ones included.
    pub rows: usize,
    /// Equal content has an equal number, within one gallery and for as long as it is open.
    pub content: u64,
    /// What its rows have in common.
    pub common: Common,
}

/// An immutable generation of a gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileSet {
    /// Grows by one with every published update.
    pub generation: u64,
    /// Model and calibration of every row.
    pub kind: TemplateKind,
    /// Sizes.
    pub layout: TileLayout,
    /// The tiles, in row order: row `r` stands in tile `r / layout.rows`.
    pub tiles: Arc<[TileRef]>,
}

impl TileSet {
    /// Rows in all tiles, vacant ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tiles.iter().map(|tile| tile.rows as u64).sum()
    }
}

/// Why a part could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// No such tile in this generation: the caller's mistake.
    #[error("tile {tile} does not exist: generation {generation} has {tiles}")]
    Absent {
        /// Asked for.
        tile: usize,
        /// The generation.
        generation: u64,
        /// Tiles it has.
        tiles: usize,
    },
    /// The scratch is not exactly the part's size.
    #[error("part {part:?} of tile {tile} has {needed} bytes, the scratch has {held}")]
    Scratch {
        /// Tile.
        tile: usize,
        /// Part.
        part: TilePart,
        /// Bytes of the part.
        needed: usize,
        /// Bytes of the scratch.
        held: usize,
    },
    /// The part is damaged or was tampered with; the gallery must be verified.
    #[error("part {part:?} of tile {tile} does not open: run `portcullis gallery verify`")]
    Damaged {
        /// Tile.
        tile: usize,
        /// Part.
        part: TilePart,
    },
}

/// One generation of a gallery that can be read. Cheap to share, never changes.
pub trait TileSource: Send + Sync {
    /// The generation.
    fn set(&self) -> &TileSet;

    /// Writes `part` of `tile` as plaintext into `scratch`, whose length is exactly
    /// [`TileLayout::part_bytes`]. The caller wipes the scratch.
    ///
    /// # Errors
    /// [`TileError`]; the scratch may then hold anything and must be wiped all the same.
    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError>;

    /// The newest generation of the same gallery, unless that is this one: so that a scan begins
    /// with the newest set and can tell afterwards whether its answer is still current. `None` also
    /// for a source that stands alone.
    fn newer(&self) -> Option<Arc<dyn TileSource>> {
        None
    }

    /// `part` of `tile` where it lies as plaintext already, in memory that is locked and wiped by
    /// its owner; `None` where it must be opened. Either for every part of a source, or for none.
    fn resident(&self, tile: usize, part: TilePart) -> Option<&[u8]> {
        let _ = (tile, part);
        None
    }

    /// The place for what an engine keeps of this generation. `None` where plaintext may lie
    /// nowhere but in a scan's scratch, and for a source that stands alone.
    fn residence(&self) -> Option<&Residence> {
        None
    }

    /// How this gallery disguises its templates. A probe goes through it before it is searched;
    /// scans compare in the gallery's own space.
    fn transform(&self) -> Option<&SignedPermutation> {
        None
    }

    /// One number for all generations of one open gallery, so that a scan can tell that two sources
    /// belong together; zero for a source that stands alone.
    fn origin(&self) -> u64 {
        0
    }
}
