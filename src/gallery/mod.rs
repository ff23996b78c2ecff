//! Galleries: who is enrolled, in immutable generations.
//!
//! Every update publishes a new generation; a scan that runs keeps the one it began with. Tiles
//! that an update does not touch are shared between generations and keep their content number. What
//! a generation held is zeroed when its last holder lets go, and [`Erasure`] tells when that is.
//!
//! [`Gallery`] keeps its tiles in the process's memory, in plaintext; the encrypted, file-backed
//! one takes its place behind the same [`crate::ops::tile::TileSource`].
//!
//! Invariant: a row is either somebody's or vacant and zero; a subject has at most
//! [`crate::limits::REFERENCES_PER_SUBJECT_MAX`] rows. Absent on purpose: a name, a document
//! number, an image, an index other than the subject's id.

mod holders;
mod memory;
mod planes;
pub mod synthetic;
#[cfg(test)]
mod tests;

pub use holders::{Erasure, StillHeld};
pub use memory::{Gallery, Newcomer};

use crate::types::{SubjectId, TemplateError};

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
}

/// Why a gallery did not do what it was asked. It is then as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GalleryError {
    /// A reference without a class would never be found.
    #[error("class_bits is zero, so that no search could find the subject; set at least one bit")]
    NoClass,
    /// Nothing to enrol.
    #[error("no template to enrol; give at least one reference")]
    NoTemplate,
    /// The validity ends before it begins.
    #[error("the reference would be valid from second {not_before_s} until before {expiry_s}")]
    Validity {
        /// Begin.
        not_before_s: i64,
        /// End.
        expiry_s: i64,
    },
    /// More references than a subject may have.
    #[error("subject {subject} has {held} references and would get {more} more; at most {most}")]
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
    #[error("the gallery holds {held} rows of at most {most}; {more} more do not fit")]
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
    #[error("subject {subject} is not enrolled in this gallery")]
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
    #[error("subject {subject} has no reference that is valid now")]
    NotValid {
        /// Asked for.
        subject: SubjectId,
    },
}
