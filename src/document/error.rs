//! Why the file of a passport chip is not read.
//!
//! One enumeration for every file of the chip that is BER-TLV: data groups 1 and 2 and EF.COM. A
//! variant carries where in the file it was found, never what the file says about its holder.

use super::image::{ImageError, ImageKind};

/// Why a file of a passport chip is not read. The code is the contract, the text is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// No bytes at all.
    #[error("the file is empty; read it from the chip again")]
    Empty,
    /// More bytes than a chip's file may have.
    #[error("the file has {held} bytes, at most {most} are read; send the chip's own file")]
    BytesTooMany {
        /// Bytes given.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// The bytes begin like nothing that is known.
    #[error(
        "the file begins with byte {first:02x}, as no {expected} does; send the chip's own file"
    )]
    NotRecognised {
        /// What was to be read.
        expected: &'static str,
        /// The first byte.
        first: u8,
    },
    /// An element needs more bytes than there are.
    #[error(
        "the {what} at byte {at} needs {needed} bytes and has {held}: the file is cut off or \
         damaged; read it from the chip again"
    )]
    Truncated {
        /// Which element.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        held: usize,
    },
    /// An encoding that is not taken: an indefinite length, a length of many bytes, a long tag.
    #[error("the element at byte {at} has {encoding}, which no chip's file may have")]
    Encoding {
        /// Where it begins.
        at: usize,
        /// What is wrong with it.
        encoding: &'static str,
    },
    /// Another element stands where one is required.
    #[error("byte {at} should begin the {expected}, and begins tag {found:x}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What should be there.
        expected: &'static str,
        /// The tag that is there.
        found: u32,
    },
    /// A required element is not there.
    #[error("the {what} is missing")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// An element stands twice.
    #[error("the {what} stands twice, the second time at byte {at}")]
    Repeated {
        /// Which.
        what: &'static str,
        /// Where the second stands.
        at: usize,
    },
    /// Two statements of the file contradict each other.
    #[error("the {what} is {stated}, and {held} are there: the file contradicts itself")]
    Inconsistent {
        /// What is stated.
        what: &'static str,
        /// What it says.
        stated: u64,
        /// What is so.
        held: u64,
    },
    /// A value outside what its standard allows.
    #[error("the {what} is {found}, which its standard does not allow")]
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// What was found.
        found: u64,
    },
    /// More follows than padding explains.
    #[error("{bytes} bytes follow the {what}; at most {most} are taken as padding")]
    Trailing {
        /// After what.
        what: &'static str,
        /// How many.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A biometric of another kind, or another format, than a face in one of the two standards.
    #[error(
        "the {what} is {found:x}, which is not read; only faces of ISO/IEC 19794-5 and 39794-5 are"
    )]
    FormatUnknown {
        /// Which statement.
        what: &'static str,
        /// What it says.
        found: u32,
    },
    /// None, or more photographs than a data group may have.
    #[error("the data group states {count} photographs; it may have 1 to {most}")]
    PortraitCount {
        /// How many.
        count: u64,
        /// How many there may be.
        most: usize,
    },
    /// The photograph is none that a data group may hold, or cannot be decoded.
    #[error("photograph {portrait} of the data group: {error}")]
    Image {
        /// Which, from 0.
        portrait: usize,
        /// Why.
        error: ImageError,
    },
    /// The photograph is of a kind that data groups do not hold.
    #[error("photograph {portrait} of the data group is {kind}; JPEG and JPEG 2000 are allowed")]
    ImageKind {
        /// Which, from 0.
        portrait: usize,
        /// Its kind, by signature.
        kind: ImageKind,
    },
    /// The machine readable zone is none.
    #[error("the machine readable zone: {problem}")]
    Mrz {
        /// What is wrong.
        problem: MrzProblem,
    },
}

/// What is wrong with a machine readable zone; names fields, never their contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MrzProblem {
    /// Not the length of a format.
    #[error("{held} characters; TD1 has 90, TD2 has 72, TD3 has 88")]
    Length {
        /// Characters there are.
        held: usize,
    },
    /// A character that is none of A to Z, 0 to 9 and `<`.
    #[error("character {at} is none of A to Z, 0 to 9 and <")]
    Character {
        /// Which, from 0.
        at: usize,
    },
    /// A check digit does not belong to what it checks.
    #[error("the check digit of the {field} does not fit")]
    CheckDigit {
        /// Which field.
        field: &'static str,
    },
    /// A field holds what it may not.
    #[error("the {field} is not one")]
    Field {
        /// Which.
        field: &'static str,
    },
}

impl DocumentError {
    /// The stable code of this error, for the API and the log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "DOCUMENT_EMPTY",
            Self::BytesTooMany { .. } => "DOCUMENT_BYTES_TOO_MANY",
            Self::NotRecognised { .. } => "DOCUMENT_NOT_RECOGNISED",
            Self::Truncated { .. } => "DOCUMENT_TRUNCATED",
            Self::Encoding { .. } => "DOCUMENT_ENCODING",
            Self::Unexpected { .. }
            | Self::Missing { .. }
            | Self::Repeated { .. }
            | Self::OutOfRange { .. } => "DOCUMENT_STRUCTURE",
            Self::Inconsistent { .. } => "DOCUMENT_INCONSISTENT",
            Self::Trailing { .. } => "DOCUMENT_TRAILING",
            Self::FormatUnknown { .. } => "DOCUMENT_FORMAT_UNKNOWN",
            Self::PortraitCount { .. } => "DOCUMENT_PORTRAIT_COUNT",
            Self::Image { error, .. } => error.code(),
            Self::ImageKind { .. } => "DOCUMENT_IMAGE_KIND",
            Self::Mrz { .. } => "DOCUMENT_MRZ",
        }
    }
}
