//! What ICAO Doc 9303-12 demands of a document signer's certificate, beyond a signature and dates.
//!
//! The key usage is mandatory there, and a document signer has no extended one: no purpose exists
//! that a key could be restricted to and still sign EF.SOD, so one that is restricted to any signs
//! something else (master lists, deviation lists, mail).
//!
//! The private key's period and the types of document are optional, and checked where they stand:
//! the period against the time that the signer states, the types against the machine readable zone.

use der::{Tag, asn1::ObjectIdentifier};

use super::{
    asn1::{Element, Malformed, context_primitive, generalized_time_s},
    certificate::{Certificate, DIGITAL_SIGNATURE},
    country,
};
use crate::types::DocumentFault;

/// Any purpose: no restriction.
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

pub(super) fn check_usage(signer: &Certificate<'_>) -> Result<(), DocumentFault> {
    let extensions = &signer.extensions;
    let purposes = extensions.purposes.as_ref();
    let fits = signs(signer)
        && !extensions.is_authority
        && !extensions.unknown_critical
        && purposes.is_none_or(|held| held.contains(&ANY_PURPOSE));
    if fits { Ok(()) } else { Err(DocumentFault::DsKeyUsage) }
}

/// Whether the certificate says that its key is one for signatures; saying nothing is not enough.
pub(super) fn signs(signer: &Certificate<'_>) -> bool {
    signer.extensions.key_usage.is_some_and(|bits| bits & DIGITAL_SIGNATURE != 0)
}

/// The private key was in use when it signed, where both are known.
pub(super) fn check_key_period(
    signer: &Certificate<'_>,
    signed_s: Option<i64>,
) -> Result<(), DocumentFault> {
    let Some(period) = signer.extensions.key_period else { return Ok(()) };
    let [from_s, to_s] = key_period(period).map_err(|_| DocumentFault::MalformedDsCert)?;
    let outside = |signed_s: i64| {
        from_s.is_some_and(|from_s| signed_s < from_s) || to_s.is_some_and(|to_s| signed_s > to_s)
    };
    if signed_s.is_some_and(outside) {
        return Err(DocumentFault::SignedOutsideValidity);
    }
    Ok(())
}

/// `PrivateKeyUsagePeriod` (RFC 5280): beginning and end, each optional.
fn key_period(content: &[u8]) -> Result<[Option<i64>; 2], Malformed> {
    let mut walk = Element::whole(content)?.walk(Tag::Sequence)?;
    let mut period = [None; 2];
    for (number, bound) in (0..).zip(&mut period) {
        let held = walk.optional(context_primitive(number))?;
        *bound = held.map(|held| generalized_time_s(held.value)).transpose()?;
    }
    walk.end()?;
    Ok(period)
}

/// The signer signs documents of this type, where its certificate names types.
pub(super) fn check_document_type(
    dg1: &[u8],
    signer: &Certificate<'_>,
) -> Result<(), DocumentFault> {
    let Some(types) = signer.extensions.document_types else { return Ok(()) };
    let code = country::document_code(dg1).ok_or(DocumentFault::MalformedDg1)?;
    let fits = signs_type(types, code).map_err(|_| DocumentFault::MalformedDsCert)?;
    if fits { Ok(()) } else { Err(DocumentFault::DocumentTypeMismatch) }
}

/// `DocumentTypeList`: `SEQUENCE { version, SET OF PrintableString }`. One letter stands for every
/// type that begins with it.
fn signs_type(content: &[u8], code: [u8; 2]) -> Result<bool, Malformed> {
    let mut walk = Element::whole(content)?.walk(Tag::Sequence)?;
    walk.next()?.small()?;
    let mut types = walk.take(Tag::Set)?.walk(Tag::Set)?;
    walk.end()?;
    let mut fits = false;
    while !types.is_at_end() {
        fits |= match *types.take(Tag::PrintableString)?.value {
            [letter] | [letter, b'<'] => letter == code[0],
            [first, second] => [first, second] == code,
            _ => false,
        };
    }
    Ok(fits)
}
