//! CMS `SignedData` (RFC 5652), as EF.SOD and master lists use it: one content, its signer's
//! certificate beside it, signed attributes.
//!
//! RustCrypto's `cms` is not used: a release candidate, it decodes every certificate into an owned
//! value whose bytes are no longer those that were signed. Its structure is thirty lines here.
//!
//! What no signature covers is compared with what one does cover, or must be what RFC 5652 says:
//! versions, digest identifiers, the signer's name and serial. What remains free (other
//! certificates, revocation lists, unsigned attributes) is not used for anything.

use der::{Tag, asn1::ObjectIdentifier};

use super::{
    asn1::{Element, Malformed, Walk, context, context_primitive, malformed},
    certificate::Certificate,
    hash::Hash,
    name::Name,
    signature::{PublicKey, Scheme},
};
use crate::{limits::SIGNERS_MAX, types::DocumentFault};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");

/// A `SignedData`; borrows from its bytes.
pub(super) struct SignedData<'a> {
    /// What kind of content is signed.
    pub(super) content_type: ObjectIdentifier,
    /// The content.
    pub(super) content: &'a [u8],
    digests: Vec<Option<Hash>>,
    certificates: Vec<Element<'a>>,
    signer: Signer<'a>,
}

/// `SignerInfo`.
struct Signer<'a> {
    identifier: SignerIdentifier<'a>,
    digest: Option<Hash>,
    attributes: Option<Element<'a>>,
    algorithm: Element<'a>,
    signature: &'a [u8],
}

enum SignerIdentifier<'a> {
    Issued { issuer: Name<'a>, serial: &'a [u8] },
    Key(&'a [u8]),
}

/// What a signature was found to be made of.
pub(super) struct Signed {
    /// The weakest digest that it rests on is SHA-1.
    pub(super) by_sha1: bool,
    /// When it was made, where the signer says.
    pub(super) at_s: Option<i64>,
}

impl<'a> SignedData<'a> {
    /// Reads `ContentInfo`.
    pub(super) fn read(info: Element<'a>) -> Result<Self, Malformed> {
        let mut walk = info.walk(Tag::Sequence)?;
        if walk.identifier()? != SIGNED_DATA {
            return Err(malformed("another content than SignedData"));
        }
        let explicit = walk.take(context(0))?;
        walk.end()?;
        let mut walk = Element::whole(explicit.value)?.walk(Tag::Sequence)?;
        let version = walk.next()?.small()?;
        let digests = hashes(walk.take(Tag::Set)?)?;
        let (content_type, content) = content(walk.sequence()?)?;
        let certificates = match walk.optional(context(0))? {
            Some(held) => elements(held.value)?,
            None => Vec::new(),
        };
        walk.optional(context(1))?;
        let mut signers = walk.take(Tag::Set)?.walk(Tag::Set)?;
        walk.end()?;
        // RFC 5652, 5.1: a content other than id-data makes it version 3 (4 and 5 belong to
        // attribute certificates and foreign formats).
        if version != 3 {
            return Err(malformed("SignedData of another version than 3"));
        }
        let signer = Signer::read(signers.sequence()?)?;
        let mut more = 0_usize;
        while !signers.is_at_end() {
            signers.sequence()?;
            more = more.saturating_add(1);
            if more >= SIGNERS_MAX {
                return Err(malformed("more signers than anybody writes"));
            }
        }
        Ok(Self { content_type, content, digests, certificates, signer })
    }

    /// The certificate that the signer names, among those that came along.
    pub(super) fn signer(&self) -> Result<Certificate<'a>, DocumentFault> {
        let mut unread = false;
        for &element in &self.certificates {
            let Ok(certificate) = Certificate::read(element) else {
                unread = true;
                continue;
            };
            if self.signer.identifier.names(&certificate) {
                return Ok(certificate);
            }
        }
        Err(if unread { DocumentFault::MalformedDsCert } else { DocumentFault::DsCertAbsent })
    }

    /// Whether `certificate`'s key signed the content, and how.
    pub(super) fn verify(&self, certificate: &Certificate<'_>) -> Result<Signed, DocumentFault> {
        let digest = self.signer.digest.ok_or(DocumentFault::AlgorithmUnsupported)?;
        if !self.digests.contains(&Some(digest)) {
            return Err(DocumentFault::MalformedSod);
        }
        let scheme = Scheme::read(self.signer.algorithm, Some(digest));
        let scheme = scheme.map_err(|_| DocumentFault::MalformedSod)?;
        let scheme = scheme.ok_or(DocumentFault::AlgorithmUnsupported)?;
        let key = PublicKey::read(certificate.key).map_err(|_| DocumentFault::MalformedDsCert)?;
        let key = key.ok_or(DocumentFault::KeyUnsupported)?;
        let mut by_sha1 = scheme.hash() == Hash::Sha1;
        let Some(attributes) = self.signer.attributes else {
            // Allowed for id-data alone; with another content the attributes are a duty.
            return Err(DocumentFault::MalformedSod);
        };
        let held = Attributes::read(attributes).map_err(|_| DocumentFault::MalformedSod)?;
        if held.content_type != self.content_type {
            return Err(DocumentFault::WrongContentType);
        }
        if held.digest != digest.of(self.content).as_bytes() {
            return Err(DocumentFault::MessageDigestMismatch);
        }
        by_sha1 |= digest == Hash::Sha1;
        // What is signed is the attributes as a SET OF, not as the [0] that they stand under.
        let mut signed = Vec::with_capacity(attributes.raw.len());
        signed.push(SET);
        signed.extend_from_slice(&attributes.raw[1..]);
        if !key.verifies(scheme, &signed, self.signer.signature) {
            return Err(DocumentFault::SodSignatureInvalid);
        }
        Ok(Signed { by_sha1, at_s: held.at_s })
    }
}

/// The tag of a SET OF.
const SET: u8 = 0x31;

fn content(mut walk: Walk<'_>) -> Result<(ObjectIdentifier, &[u8]), Malformed> {
    let content_type = walk.identifier()?;
    let content = Element::whole(walk.take(context(0))?.value)?.octets()?;
    walk.end()?;
    Ok((content_type, content))
}

fn elements(bytes: &[u8]) -> Result<Vec<Element<'_>>, Malformed> {
    let mut walk = Walk::over(bytes)?;
    let mut found = Vec::new();
    while !walk.is_at_end() {
        found.push(walk.next()?);
    }
    Ok(found)
}

fn hashes(set: Element<'_>) -> Result<Vec<Option<Hash>>, Malformed> {
    elements(set.value)?.into_iter().map(Hash::read).collect()
}

impl<'a> Signer<'a> {
    fn read(mut walk: Walk<'a>) -> Result<Self, Malformed> {
        let version = walk.next()?.small()?;
        let named = walk.next()?;
        let identifier = match (version, named.tag) {
            (1, Tag::Sequence) => {
                let mut named = named.walk(Tag::Sequence)?;
                let issuer = Name::read(named.take(Tag::Sequence)?)?;
                let serial = named.next()?.integer()?;
                named.end()?;
                SignerIdentifier::Issued { issuer, serial }
            }
            (3, tag) if tag == context_primitive(0) => SignerIdentifier::Key(named.value),
            _ => return Err(malformed("a signer of an unknown kind")),
        };
        let digest = Hash::read(walk.take(Tag::Sequence)?)?;
        let attributes = walk.optional(context(0))?;
        let algorithm = walk.take(Tag::Sequence)?;
        let signature = walk.next()?.octets()?;
        walk.optional(context(1))?;
        walk.end()?;
        Ok(Self { identifier, digest, attributes, algorithm, signature })
    }
}

impl SignerIdentifier<'_> {
    fn names(&self, certificate: &Certificate<'_>) -> bool {
        match self {
            Self::Issued { issuer, serial } => {
                *serial == certificate.serial && issuer.is(&certificate.issuer)
            }
            Self::Key(key) => certificate.extensions.subject_key == Some(key),
        }
    }
}

/// The signed attributes that matter.
struct Attributes<'a> {
    content_type: ObjectIdentifier,
    digest: &'a [u8],
    at_s: Option<i64>,
}

impl<'a> Attributes<'a> {
    fn read(set: Element<'a>) -> Result<Self, Malformed> {
        let (mut content_type, mut digest, mut at_s) = (None, None, None);
        let mut walk = Walk::over(set.value)?;
        while !walk.is_at_end() {
            let mut attribute = walk.sequence()?;
            let identifier = attribute.identifier()?;
            let values = attribute.take(Tag::Set)?;
            attribute.end()?;
            let repeated = match identifier {
                CONTENT_TYPE => {
                    content_type.replace(Element::whole(values.value)?.identifier()?).is_some()
                }
                MESSAGE_DIGEST => digest.replace(Element::whole(values.value)?.octets()?).is_some(),
                SIGNING_TIME => at_s.replace(Element::whole(values.value)?.time_s()?).is_some(),
                _ => false,
            };
            if repeated {
                return Err(malformed("a signed attribute that stands twice"));
            }
        }
        match (content_type, digest) {
            (Some(content_type), Some(digest)) => Ok(Self { content_type, digest, at_s }),
            _ => Err(malformed("signed attributes without content type and digest")),
        }
    }
}
