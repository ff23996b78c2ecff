//! Why a gallery did not do what it was asked, each with what to do next.

use std::{fmt, io};

use crate::{
    keys::{CustodyError, LockError, Stand},
    ops::tile::TileError,
    types::{SubjectId, TemplateError},
};

/// Why a gallery did not do what it was asked. Unless the message says otherwise it is then as it
/// was, on the medium too.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError {
    /// A reference without a class would never be found.
    #[error("class_bits is zero, so that no search could find the subject; set at least one bit")]
    NoClass,
    /// Nothing to enrol.
    #[error("no template to enrol; give at least one reference")]
    NoTemplate,
    /// The validity ends before it begins.
    #[error(
        "the reference would be valid from second {not_before_s} until before {expiry_s}; give an \
         end after the begin"
    )]
    Validity {
        /// Begin.
        not_before_s: i64,
        /// End.
        expiry_s: i64,
    },
    /// More references than a subject may have.
    #[error(
        "subject {subject} has {held} references and would get {more} more; at most {most}: replace \
         the references instead of adding to them"
    )]
    References {
        /// Whose.
        subject: SubjectId,
        /// References now.
        held: usize,
        /// References to add.
        more: usize,
        /// The limit.
        most: usize,
    },
    /// No room.
    #[error(
        "the gallery holds {held} rows of at most {most}; {more} more do not fit: erase who is no \
         longer needed, or make a second gallery"
    )]
    Full {
        /// Rows in use.
        held: u64,
        /// Rows to add.
        more: u64,
        /// The limit.
        most: u64,
    },
    /// A template of another model or calibration.
    #[error(transparent)]
    Kind(#[from] TemplateError),
    /// Nobody of that name.
    #[error(
        "subject {subject} is not enrolled in this gallery; check the id and the gallery's name"
    )]
    UnknownSubject {
        /// Asked for.
        subject: SubjectId,
    },
    /// The subject's records may be kept, but not used (GDPR Art. 18).
    #[error("subject {subject} is restricted; lift the restriction before comparing with it")]
    Restricted {
        /// Asked for.
        subject: SubjectId,
    },
    /// Every reference is outside its validity.
    #[error(
        "subject {subject} has no reference that is valid now; replace its references with one that \
         is, or wait for its begin"
    )]
    NotValid {
        /// Asked for.
        subject: SubjectId,
    },
    /// Sizes that no tile can have.
    #[error(
        "tiles of {rows} rows with {hot_dims} of {dims} values in the hot plane cannot hold \
         templates of {kind_dims} values; the layout comes with the calibration"
    )]
    Layout {
        /// Values of a row.
        dims: usize,
        /// In the hot plane.
        hot_dims: usize,
        /// Rows of a tile.
        rows: usize,
        /// Values of a template.
        kind_dims: u16,
    },
    /// The medium refused before anything that counts was written.
    #[error(
        "the gallery's medium refused to {act}: {why}; the gallery is as it was: make room on it, \
         and ask again"
    )]
    Medium {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// The medium or the custodian failed at the point where the new generation may or may not be
    /// durable.
    #[error(
        "what stands on the medium is not known since {what} failed ({why}): the generation before \
         is still served; close the gallery and open it again before changing anything"
    )]
    Unknown {
        /// What failed.
        what: &'static str,
        /// What was said then.
        why: String,
    },
    /// The change is durable and published, but the key of the epoch before it still exists.
    #[error(
        "generation {generation} is durable, but the key of epoch {epoch} is not destroyed yet: \
         {why}; older copies of the file open until it is; every further change, and opening the \
         gallery, tries again first"
    )]
    NotDestroyed {
        /// The epoch whose key is left.
        epoch: u64,
        /// The generation that is durable.
        generation: u64,
        /// What the custodian said.
        why: CustodyError,
    },
    /// The custodian refused.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// No locked memory.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// A tile did not open.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// It could not be opened at all.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be carried to or from another appliance.
    #[error(transparent)]
    Carry(#[from] CarryError),
}

/// A node of the key tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The root.
    Root,
    /// A leaf, by number.
    Leaf(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the root of the key tree"),
            Self::Leaf(number) => write!(f, "leaf {number} of the key tree"),
        }
    }
}

struct At(Stand);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, generation {}", self.0.epoch, self.0.generation)
    }
}

/// Why a gallery was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Creating is for media without any bytes.
    #[error("the medium holds {bytes} bytes already; nothing was created: choose an empty one")]
    NotEmpty {
        /// Bytes it holds.
        bytes: u64,
    },
    /// The file is shorter than two superblocks.
    #[error(
        "the file has {bytes} bytes and a gallery has 8,192 at least: it was cut off, or its \
         creation was; restore it, or delete it and create it again"
    )]
    Short {
        /// Bytes it has.
        bytes: u64,
    },
    /// Creation did not come to its end.
    #[error(
        "the gallery's creation did not come to its end and nobody was ever enrolled; delete the \
         file and create it again"
    )]
    Unfinished,
    /// Neither slot holds a superblock.
    #[error(
        "no superblock: slot 0 {}, slot 1 {}; this is no gallery file, or it is damaged: \
         restore it",
        slots[0], slots[1]
    )]
    NoSuperblock {
        /// What is wrong with each.
        slots: [String; 2],
    },
    /// A later or foreign format.
    #[error(
        "the gallery is of format version {version}, cipher suite {suite}; this program reads \
         version 1, suite 1: use the program that wrote it"
    )]
    Version {
        /// Its version.
        version: u16,
        /// Its cipher suite.
        suite: u16,
    },
    /// The slots belong to different galleries.
    #[error(
        "the two superblocks belong to different galleries; the file was put together from two: \
         restore it"
    )]
    TwoGalleries,
    /// Of another model or calibration than asked for.
    #[error("the gallery is not of the model and calibration in use: {0}")]
    Kind(TemplateError),
    /// The custodian has no record of it.
    #[error(
        "the {custodian} custodian ({place}) does not know this gallery: it was created with \
         another custodian, key folder or token, or it was deleted there; name the right one in \
         gallery.custodian and its keys"
    )]
    UnknownGallery {
        /// Who was asked.
        custodian: &'static str,
        /// Which folder or token was asked.
        place: String,
    },
    /// An older copy was put back in place.
    #[error(
        "the file was rolled back: it stands at {} and the custodian knows {}; put the newest copy \
         back, an older one is refused",
        At(*held), At(*newest)
    )]
    RolledBack {
        /// The newest stand in the file.
        held: Stand,
        /// What the custodian has committed.
        newest: Stand,
    },
    /// The custodian's record is older than the file.
    #[error(
        "the custodian's record is older than the file: the file stands at {} and the custodian \
         knows {}; restore the custodian's newest state",
        At(*held), At(*newest)
    )]
    CustodianBehind {
        /// The newest stand in the file.
        held: Stand,
        /// What the custodian has committed.
        newest: Stand,
    },
    /// The superblock that should be opened is damaged.
    #[error(
        "the superblock of {} is damaged: slot {slot} {why}; restore the file", At(*newest)
    )]
    Superblock {
        /// What the custodian has committed.
        newest: Stand,
        /// The slot it should stand in.
        slot: usize,
        /// What is wrong there.
        why: String,
    },
    /// The superblock was not written under this gallery's key.
    #[error(
        "the superblock in slot {slot} does not carry the stamp of its own key: it was changed by \
         somebody who does not hold the key; restore the file"
    )]
    Stamp {
        /// The slot.
        slot: usize,
    },
    /// A node of the key tree did not open.
    #[error("{node} at byte {at} does not open: {why}; restore the file")]
    Node {
        /// Which.
        node: Node,
        /// Where it lies.
        at: u64,
        /// Why not.
        why: String,
    },
    /// Two extents of the tree share bytes.
    #[error("{node} names bytes at {at} that another extent has; the file is damaged: restore it")]
    Overlap {
        /// Whose extent.
        node: Node,
        /// Where it lies.
        at: u64,
    },
    /// The medium did not answer.
    #[error(
        "the gallery's medium cannot be {act}: {why}; nothing was given up: see to the disk, and \
         open the gallery again"
    )]
    Medium {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// The custodian refused.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// No locked memory.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// A tile did not open, where opening needs it: in the `locked` residency.
    #[error(transparent)]
    Tile(#[from] TileError),
}

/// Why a gallery was not carried to another appliance.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Not an age recipient or identity.
    #[error("{0}")]
    Identity(&'static str),
    /// The stream cannot be written, read or opened.
    #[error(
        "the exported gallery cannot be {act}: {why}; check that the file is whole and the key is \
         the recipient's, and begin again"
    )]
    Stream {
        /// `written`, `opened`, `read`.
        act: &'static str,
        /// What was said.
        why: String,
    },
    /// What was opened is not an exported gallery.
    #[error("record {record} of the exported gallery {why}; nothing was imported")]
    Record {
        /// Records read before it.
        record: u64,
        /// What is wrong with it.
        why: String,
    },
}
