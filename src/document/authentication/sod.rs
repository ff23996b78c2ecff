//! EF.SOD: `77 L <SignedData>` around the LDS security object, the hashes of the data groups (ICAO
//! Doc 9303-10).

use der::{Tag, asn1::ObjectIdentifier};

use super::{
    asn1::{Element, Malformed, application, malformed},
    hash::Hash,
    signed::SignedData,
};
use crate::{
    limits::{DATA_GROUPS_MAX, SOD_BYTES_MAX},
    types::DocumentFault,
};

const SECURITY_OBJECT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.136.1.1.1");

/// EF.SOD; borrows from its bytes.
pub(super) struct SecurityObject<'a> {
    pub(super) signed: SignedData<'a>,
}

impl<'a> SecurityObject<'a> {
    /// Reads EF.SOD without verifying anything.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > SOD_BYTES_MAX {
            return Err(malformed("more bytes than EF.SOD has"));
        }
        let file = Element::whole(bytes)?;
        if file.tag != application(23) {
            return Err(malformed("a file without tag 77"));
        }
        Ok(Self { signed: SignedData::read(Element::whole(file.value)?)? })
    }

    /// The hashes that it lists. Called before the signature is trusted or after; the bytes are the
    /// same.
    pub(super) fn hashes(&self) -> Result<Hashes<'a>, DocumentFault> {
        if self.signed.content_type != SECURITY_OBJECT {
            return Err(DocumentFault::WrongContentType);
        }
        let hashes = Hashes::read(self.signed.content).map_err(|_| DocumentFault::MalformedSod)?;
        hashes.ok_or(DocumentFault::AlgorithmUnsupported)
    }
}

/// The hashes of the data groups.
pub(super) struct Hashes<'a> {
    pub(super) hash: Hash,
    groups: Vec<(u8, &'a [u8])>,
}

impl<'a> Hashes<'a> {
    /// `LDSSecurityObject`, version 0 or 1; `None` where its digest is not known.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut walk = Element::whole(bytes)?.walk(Tag::Sequence)?;
        let version = walk.next()?.small()?;
        let hash = Hash::read(walk.take(Tag::Sequence)?)?;
        let mut list = walk.sequence()?;
        let mut groups = Vec::with_capacity(DATA_GROUPS_MAX);
        while !list.is_at_end() {
            let mut group = list.sequence()?;
            let (number, digest) = (group.next()?.small()?, group.next()?.octets()?);
            group.end()?;
            let listed = groups.iter().any(|&(held, _)| held == number);
            if listed || !(1..=16).contains(&number) {
                return Err(malformed("a data group that stands twice or does not exist"));
            }
            groups.push((number, digest));
        }
        // Version 1 adds the versions of the structure and of its characters.
        match (version, walk.optional(Tag::Sequence)?) {
            (0, None) | (1, Some(_)) => {}
            _ => return Err(malformed("a security object of an unknown version")),
        }
        walk.end()?;
        Ok(hash.map(|hash| Self { hash, groups }))
    }

    /// The hash of a data group, where it is listed.
    pub(super) fn group(&self, number: u8) -> Option<&'a [u8]> {
        self.groups.iter().find(|(held, _)| *held == number).map(|&(_, digest)| digest)
    }

    /// Numbers of the data groups that are listed.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u8> {
        self.groups.iter().map(|&(number, _)| number)
    }
}
