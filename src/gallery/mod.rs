//! Galleries: who is enrolled, in immutable generations; ciphertext on disk, in the page cache and
//! in the memory map, and true after any crash.
//!
//! A gallery is a file of sealed tiles under a two-level key tree ([`format`]), changed copy on
//! write: what a generation holds is never written over while somebody can reach it (`space.rs`). A
//! change is one pass from tiles to superblock with one sync (`writer.rs`, which has the table of
//! crashes). Every change publishes a new generation; a scan that runs keeps the one it began with.
//! Tiles that a change does not touch are shared between generations and keep their content number.
//!
//! **Erasing is destroying a key.** Each part of each tile is sealed under a key of its own, those
//! keys under the tree, the tree under the key of an epoch, and that one with a custodian. An
//! erasure rewrites the tile under fresh keys, begins a new epoch and has the custodian destroy the
//! key of the old one: every older copy of the file is noise. [`Erasure`] tells when the last
//! search that began before has let go; then nothing in memory holds the row either.
//!
//! **The transform** ([`crate::ops::transform`]) disguises templates with a secret signed
//! permutation per gallery, so that those of two galleries do not compare and a leak can be
//! answered by [`Gallery::rekey`]. It is unlinkability under encryption. It is not encryption.
//!
//! Two residencies: sealed, where each scan opens the tiles it needs into its own scratch, and
//! locked, where all of them lie opened in locked memory that is zero before it is given back.
//!
//! Invariant: a row is either somebody's or vacant and zero; a subject has at most
//! [`crate::limits::REFERENCES_PER_SUBJECT_MAX`] rows. Readers never wait for a writer's disk.
//! Absent on purpose: a name, a document number, an image; an index on disk (it would have to be
//! erased, too); recovery of a damaged file (restore it, `verify` says what is wrong).

mod carry;
mod crypt;
mod disk;
mod edit;
mod erase;
mod error;
mod format;
mod handover;
mod holders;
mod index;
mod maintain;
mod map;
mod media;
mod open;
mod plain;
mod recent;
mod shelf;
mod space;
mod store;
pub mod synthetic;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_format;
#[cfg(test)]
mod tests_open;
mod tree;
mod verify;
mod writer;

use std::sync::Arc;

pub use error::{CarryError, GalleryError, Node, OpenError};
pub use format::{Head, NodeError, survey};
pub use holders::{Erasure, Receipt, StillHeld};
pub use media::{FileMedia, Mapped, Media, MediaError, MemoryMedia};
pub use store::{Gallery, Newcomer};
pub use verify::{Fault, Report};

use crate::{
    keys::Custodian,
    limits::GALLERY_ROWS_MAX,
    ops::tile::{ROW_RESTRICTED, Row},
    random::Entropy,
    time::Clock,
    types::TemplateKind,
};

/// What a gallery needs of the world beside its medium.
#[derive(Clone)]
pub struct Means {
    /// Who keeps the keys of its epochs.
    pub custodian: Arc<dyn Custodian>,
    /// Where its keys come from. A seed is for tests.
    pub entropy: Arc<dyn Entropy>,
    /// The time of receipts.
    pub clock: Arc<dyn Clock>,
}

/// Where plaintext templates lie while a gallery is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residency {
    /// Nowhere but in a scan's scratch, one tile at a time. Needs no privilege and little memory:
    /// of the lock limit what the keys take, a hundred bytes per tile.
    #[default]
    Sealed,
    /// All of them in locked memory that is left out of core dumps. Needs a lock limit of the
    /// gallery's size.
    Locked,
}

/// How a gallery is opened.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Where plaintext lies.
    pub residency: Residency,
    /// References that it takes.
    pub rows_max: u64,
    /// Refuse, by name and before any key is asked for, what is not of this kind.
    pub kind: Option<TemplateKind>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { residency: Residency::Sealed, rows_max: GALLERY_ROWS_MAX, kind: None }
    }
}

/// What is kept about a reference beside its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolment {
    /// Membership in up to 64 classes; at least one.
    pub class_bits: u64,
    /// A group such as a flight; zero is no group.
    pub group: u32,
    /// First second (civil, UTC) at which the reference may be found.
    pub not_before_s: i64,
    /// First second at which it may not be found any more.
    pub expiry_s: i64,
}

impl Default for Enrolment {
    /// The first class, no group, valid always.
    fn default() -> Self {
        Self { class_bits: 1, group: 0, not_before_s: i64::MIN, expiry_s: i64::MAX }
    }
}

impl Enrolment {
    /// Whether anybody could ever be found on these terms.
    ///
    /// # Errors
    /// [`GalleryError::NoClass`], [`GalleryError::Validity`].
    pub fn check(&self) -> Result<(), GalleryError> {
        let &Self { class_bits, not_before_s, expiry_s, .. } = self;
        if class_bits == 0 {
            return Err(GalleryError::NoClass);
        }
        if not_before_s >= expiry_s {
            return Err(GalleryError::Validity { not_before_s, expiry_s });
        }
        Ok(())
    }
}

/// What a gallery keeps about one reference, as it tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Row in the newest generation.
    pub row: u64,
    /// What it was enrolled with.
    pub enrolment: Enrolment,
    /// Present, but neither searched nor compared.
    pub restricted: bool,
}

impl Record {
    fn of(row: u64, held: &Row) -> Self {
        let &Row { class_bits, group, not_before_s, expiry_s, flags, .. } = held;
        let enrolment = Enrolment { class_bits, group, not_before_s, expiry_s };
        Self { row, enrolment, restricted: flags & ROW_RESTRICTED != 0 }
    }
}

/// How much a gallery holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Newest generation.
    pub generation: u64,
    /// Rows in its tiles, vacant ones included.
    pub rows: u64,
    /// Rows that hold nobody.
    pub vacant: u64,
    /// Enrolled subjects.
    pub subjects: u64,
    /// Tiles.
    pub tiles: u64,
    /// Bytes of the medium up to the last extent.
    pub bytes: u64,
    /// Of those, bytes that the next changes may write to.
    pub bytes_free: u64,
    /// Whether plaintext lies in locked memory.
    pub locked: bool,
}

/// What changes wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Durable generations.
    pub commits: u64,
    /// Bytes of tile parts.
    pub tile_bytes: u64,
    /// Bytes of the key tree and superblocks.
    pub tree_bytes: u64,
}

impl Written {
    fn add(&mut self, more: Self) {
        self.commits += more.commits;
        self.tile_bytes += more.tile_bytes;
        self.tree_bytes += more.tree_bytes;
    }
}
