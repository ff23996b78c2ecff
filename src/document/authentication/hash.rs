//! Digest algorithms that documents use, by object identifier.

use der::asn1::ObjectIdentifier;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::asn1::{Element, Malformed, Walk};

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// A digest of at most 64 bytes, without an allocation.
#[derive(Clone, Copy)]
pub(super) struct Digested {
    bytes: [u8; 64],
    length: usize,
}

impl Digested {
    fn of(digest: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..digest.len()].copy_from_slice(digest);
        Self { bytes, length: digest.len() }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

const TABLE: [(ObjectIdentifier, Hash); 5] = [
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.26"), Hash::Sha1),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4"), Hash::Sha224),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), Hash::Sha256),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), Hash::Sha384),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), Hash::Sha512),
];

impl Hash {
    pub(super) fn by_identifier(identifier: ObjectIdentifier) -> Option<Self> {
        TABLE.iter().find(|(held, _)| *held == identifier).map(|&(_, hash)| hash)
    }

    /// Reads an `AlgorithmIdentifier`; `None` is an algorithm that is not known. Parameters are
    /// absent or NULL, both are in use.
    pub(super) fn read(algorithm: Element<'_>) -> Result<Option<Self>, Malformed> {
        let mut walk = algorithm.walk(der::Tag::Sequence)?;
        let identifier = walk.identifier()?;
        end_after_null(walk)?;
        Ok(Self::by_identifier(identifier))
    }

    pub(super) fn of(self, bytes: &[u8]) -> Digested {
        match self {
            Self::Sha1 => Digested::of(&sha1::Sha1::digest(bytes)),
            Self::Sha224 => Digested::of(&Sha224::digest(bytes)),
            Self::Sha256 => Digested::of(&Sha256::digest(bytes)),
            Self::Sha384 => Digested::of(&Sha384::digest(bytes)),
            Self::Sha512 => Digested::of(&Sha512::digest(bytes)),
        }
    }
}

/// The end of an `AlgorithmIdentifier` whose parameters are absent or NULL.
pub(super) fn end_after_null(mut walk: Walk<'_>) -> Result<(), Malformed> {
    if let Some(parameters) = walk.optional(der::Tag::Null)?
        && !parameters.value.is_empty()
    {
        return Err(parameters.malformed("a NULL with content"));
    }
    walk.end()
}
