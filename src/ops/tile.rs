//! What stands between a gallery and a backend: an immutable set of tiles, and a source that opens
//! one part of one tile at a time into the caller's scratch.
//!
//! A tile is [`TileLayout::rows`] rows (the last may hold fewer) in three parts:
//! - `Hot`: the first `hot_dims` int8 values of each row, row after row;
//! - `Cold`: the other `dims - hot_dims` values of each row;
//! - `Rows`: one [`Row`] per row.
//!
//! An update publishes a **new** set; a tile that is equal in both keeps its [`TileRef::content`],
//! so a backend that holds it resident shares it. A running scan keeps its set alive by holding it.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

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
    /// Norm of the row's cold values, rounded up: `ceil(sqrt(Σ x²))`.
    pub rest_norm: u32,
    /// Zero; keeps the row a multiple of eight bytes.
    pub reserved: u32,
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
            TilePart::Hot => rows * self.hot_dims,
            TilePart::Cold => rows * (self.dims - self.hot_dims),
            TilePart::Rows => rows * size_of::<Row>(),
        }
    }
}

/// One of the three parts of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePart {
    /// First values of every row.
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
}
