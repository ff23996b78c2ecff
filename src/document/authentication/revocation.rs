//! Certificate revocation lists (RFC 5280, 5), one per country, signed by its CSCA.
//!
//! A list that says less or more than "these serial numbers of this issuer" (a critical extension:
//! indirect, partial) is not understood as a whole. Whom it names is revoked all the same; whom it
//! does not name is not cleared by it, and [`crate::types::Weakness::CrlUnusable`] tells so.

use std::collections::HashSet;

use der::{Tag, asn1::ObjectIdentifier};

use super::{
    asn1::{Element, Malformed, Walk, context, malformed},
    certificate::{extension, signed},
    name::Name,
    signature::{PublicKey, Scheme},
};

/// Extensions of a list that do not change whom it names: its number, its issuer's key.
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const AUTHORITY_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// A revocation list; borrows from its bytes.
pub(super) struct RevocationList<'a> {
    signed: &'a [u8],
    algorithm: Element<'a>,
    signature: &'a [u8],
    pub(super) issuer: Name<'a>,
    pub(super) this_update_s: i64,
    pub(super) next_update_s: Option<i64>,
    /// Serial numbers of its own issuer.
    pub(super) serials: HashSet<Box<[u8]>>,
    /// Whether it is nothing but a list of all serial numbers that its issuer has revoked.
    pub(super) is_understood: bool,
}

impl<'a> RevocationList<'a> {
    pub(super) fn read(element: Element<'a>) -> Result<Self, Malformed> {
        let (to_be_signed, algorithm, signature) = signed(element)?;
        let mut walk = to_be_signed.walk(Tag::Sequence)?;
        if let Some(version) = walk.optional(Tag::Integer)?
            && version.small()? != 1
        {
            return Err(malformed("a revocation list of another version"));
        }
        if walk.take(Tag::Sequence)?.raw != algorithm.raw {
            return Err(malformed("a revocation list that names two signature algorithms"));
        }
        let issuer = Name::read(walk.take(Tag::Sequence)?)?;
        let this_update_s = walk.next()?.time_s()?;
        let mut next_update_s = None;
        for tag in [Tag::UtcTime, Tag::GeneralizedTime] {
            if let Some(time) = walk.optional(tag)? {
                next_update_s = Some(time.time_s()?);
            }
        }
        let (mut serials, mut is_understood) = (HashSet::new(), true);
        if let Some(list) = walk.optional(Tag::Sequence)? {
            let mut list = list.walk(Tag::Sequence)?;
            while !list.is_at_end() {
                let (serial, is_plain) = entry(list.sequence()?)?;
                is_understood &= is_plain;
                // An entry that names another issuer names it for those that follow, too (RFC 5280,
                // 5.3.3).
                if is_understood {
                    serials.insert(serial.into());
                }
            }
        }
        if let Some(held) = walk.optional(context(0))? {
            let mut list = Element::whole(held.value)?.walk(Tag::Sequence)?;
            while !list.is_at_end() {
                let (identifier, critical, _) = extension(&mut list)?;
                is_understood &=
                    !critical || identifier == CRL_NUMBER || identifier == AUTHORITY_KEY;
            }
        }
        walk.end()?;
        Ok(Self {
            signed: to_be_signed.raw,
            algorithm,
            signature,
            issuer,
            this_update_s,
            next_update_s,
            serials,
            is_understood,
        })
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let scheme = Scheme::read(self.algorithm, None).ok().flatten();
        scheme.is_some_and(|scheme| key.verifies(scheme, self.signed, self.signature))
    }
}

/// The serial number of one revoked certificate, and whether the entry says no more than that.
fn entry(mut walk: Walk<'_>) -> Result<(&[u8], bool), Malformed> {
    let serial = walk.next()?.integer()?;
    walk.next()?.time_s()?;
    let mut is_plain = true;
    if let Some(extensions) = walk.optional(Tag::Sequence)? {
        let mut list = extensions.walk(Tag::Sequence)?;
        while !list.is_at_end() {
            let (_, critical, _) = extension(&mut list)?;
            is_plain &= !critical;
        }
    }
    walk.end()?;
    Ok((serial, is_plain))
}
