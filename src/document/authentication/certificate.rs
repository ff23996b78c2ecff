//! X.509 certificates, read where they lie.
//!
//! Read: what passive authentication asks. Not read: policies, alternative names, the kind of a
//! distribution point. A critical extension that is not known refuses the certificate, as RFC 5280
//! demands.
//!
//! RustCrypto's `x509-cert` is not used: it decodes into owned values and encodes them anew to
//! verify, and CSCA certificates in the field (serial numbers of 21 octets, `critical FALSE`
//! written out) do not survive that; see docs/notes/passive-authentication.md.

use der::{Tag, asn1::ObjectIdentifier};

use super::{
    asn1::{Element, Malformed, Walk, context, context_primitive, malformed},
    name::Name,
    signature::{PublicKey, Scheme},
};

const KEY_PERIOD: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.16");
const DOCUMENT_TYPES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.136.1.1.6.2");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// Extensions that change nothing here and may be critical all the same: alternative names,
/// policies, distribution points, name change.
const HARMLESS: [ObjectIdentifier; 5] = [
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.18"),
    ObjectIdentifier::new_unwrap("2.5.29.31"),
    ObjectIdentifier::new_unwrap("2.5.29.32"),
    ObjectIdentifier::new_unwrap("2.23.136.1.1.6.1"),
];

/// Bits of `KeyUsage`, the first one highest.
pub(super) const DIGITAL_SIGNATURE: u16 = 0x8000;
pub(super) const KEY_CERT_SIGN: u16 = 0x0400;
pub(super) const CRL_SIGN: u16 = 0x0200;

/// A certificate; borrows from its bytes.
pub(super) struct Certificate<'a> {
    signed: &'a [u8],
    algorithm: Element<'a>,
    signature: &'a [u8],
    pub(super) serial: &'a [u8],
    pub(super) issuer: Name<'a>,
    pub(super) subject: Name<'a>,
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
    pub(super) key: Element<'a>,
    pub(super) extensions: Extensions<'a>,
}

/// What the extensions say.
#[derive(Default)]
pub(super) struct Extensions<'a> {
    pub(super) subject_key: Option<&'a [u8]>,
    pub(super) authority_key: Option<&'a [u8]>,
    pub(super) key_usage: Option<u16>,
    pub(super) is_authority: bool,
    /// Purposes that the key is restricted to; `None` is no restriction.
    pub(super) purposes: Option<Vec<ObjectIdentifier>>,
    /// Content of the private key's period, which only a document signer is held to.
    pub(super) key_period: Option<&'a [u8]>,
    /// Content of the list of document types, which only a document signer is held to.
    pub(super) document_types: Option<&'a [u8]>,
    /// A critical one is not understood: the certificate must not be used.
    pub(super) unknown_critical: bool,
}

impl<'a> Certificate<'a> {
    /// Reads the one certificate that `element` is.
    pub(super) fn read(element: Element<'a>) -> Result<Self, Malformed> {
        let (to_be_signed, algorithm, signature) = signed(element)?;
        let mut walk = to_be_signed.walk(Tag::Sequence)?;
        let version = match walk.optional(context(0))? {
            Some(version) => Element::whole(version.value)?.small()?,
            None => 0,
        };
        if version > 2 {
            return Err(malformed("a certificate of a later version"));
        }
        let serial = walk.next()?.integer()?;
        let inner = walk.take(Tag::Sequence)?;
        if inner.raw != algorithm.raw {
            return Err(malformed("a certificate that names two signature algorithms"));
        }
        let issuer = Name::read(walk.take(Tag::Sequence)?)?;
        let mut validity = walk.sequence()?;
        let (not_before_s, not_after_s) = (validity.next()?.time_s()?, validity.next()?.time_s()?);
        validity.end()?;
        let subject = Name::read(walk.take(Tag::Sequence)?)?;
        let key = walk.take(Tag::Sequence)?;
        for unique in [1, 2] {
            walk.optional(context_primitive(unique))?;
        }
        let extensions = match walk.optional(context(3))? {
            Some(held) => Extensions::read(Element::whole(held.value)?.walk(Tag::Sequence)?)?,
            None => Extensions::default(),
        };
        walk.end()?;
        Ok(Self {
            signed: to_be_signed.raw,
            algorithm,
            signature,
            serial,
            issuer,
            subject,
            not_before_s,
            not_after_s,
            key,
            extensions,
        })
    }

    /// How it is signed; `None` in a way that is not accepted.
    pub(super) fn scheme(&self) -> Result<Option<Scheme>, Malformed> {
        Scheme::read(self.algorithm, None)
    }

    /// Whether `key` signed it.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let scheme = self.scheme().ok().flatten();
        scheme.is_some_and(|scheme| key.verifies(scheme, self.signed, self.signature))
    }
}

/// `SEQUENCE { content, algorithm, BIT STRING }`: the shape of everything that X.509 signs.
pub(super) fn signed(element: Element<'_>) -> Result<(Element<'_>, Element<'_>, &[u8]), Malformed> {
    let mut walk = element.walk(Tag::Sequence)?;
    let content = walk.take(Tag::Sequence)?;
    let algorithm = walk.take(Tag::Sequence)?;
    let signature = walk.next()?.bit_octets()?;
    walk.end()?;
    Ok((content, algorithm, signature))
}

/// One extension: identifier, whether critical, content.
pub(super) type Extension<'a> = (ObjectIdentifier, bool, &'a [u8]);

pub(super) fn extension<'a>(list: &mut Walk<'a>) -> Result<Extension<'a>, Malformed> {
    let mut walk = list.sequence()?;
    let identifier = walk.identifier()?;
    let critical = match walk.optional(Tag::Boolean)? {
        Some(critical) => critical.boolean()?,
        None => false,
    };
    let content = walk.next()?.octets()?;
    walk.end()?;
    Ok((identifier, critical, content))
}

impl<'a> Extensions<'a> {
    fn read(mut list: Walk<'a>) -> Result<Self, Malformed> {
        let mut found = Self::default();
        let mut seen = Vec::new();
        while !list.is_at_end() {
            let (identifier, critical, content) = extension(&mut list)?;
            if seen.contains(&identifier) {
                return Err(malformed("an extension that stands twice"));
            }
            seen.push(identifier);
            found.take(identifier, critical, content)?;
        }
        Ok(found)
    }

    fn take(
        &mut self,
        identifier: ObjectIdentifier,
        critical: bool,
        content: &'a [u8],
    ) -> Result<(), Malformed> {
        match identifier {
            SUBJECT_KEY_IDENTIFIER => {
                self.subject_key = Some(Element::whole(content)?.octets()?);
            }
            AUTHORITY_KEY_IDENTIFIER => {
                let mut walk = Element::whole(content)?.walk(Tag::Sequence)?;
                self.authority_key = walk.optional(context_primitive(0))?.map(|held| held.value);
            }
            KEY_USAGE => self.key_usage = Some(Element::whole(content)?.named_bits()?),
            BASIC_CONSTRAINTS => {
                let mut walk = Element::whole(content)?.walk(Tag::Sequence)?;
                let authority = walk.optional(Tag::Boolean)?;
                self.is_authority = authority.map_or(Ok(false), |held| held.boolean())?;
                walk.optional(Tag::Integer)?;
                walk.end()?;
            }
            EXTENDED_KEY_USAGE => {
                let mut walk = Element::whole(content)?.walk(Tag::Sequence)?;
                let mut purposes = Vec::new();
                while !walk.is_at_end() {
                    purposes.push(walk.identifier()?);
                }
                self.purposes = Some(purposes);
            }
            KEY_PERIOD => self.key_period = Some(content),
            DOCUMENT_TYPES => self.document_types = Some(content),
            other => self.unknown_critical |= critical && !HARMLESS.contains(&other),
        }
        Ok(())
    }

    /// Whether the key may be used so. Without the extension nothing is forbidden.
    pub(super) fn permit(&self, usage: u16) -> bool {
        self.key_usage.is_none_or(|bits| bits & usage == usage)
    }
}
