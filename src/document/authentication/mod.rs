//! Passive authentication (ICAO Doc 9303-11): were these data groups written by the state that the
//! document names, and has nobody changed them since?
//!
//! ```text
//! DG1, DG2 ──hash──► LDS security object ──signed by──► document signer (DS)
//!                    └────────── EF.SOD ─────────────────────┘  │ signed by
//!                                                               ▼
//!                      trust store (CSCA, link certificates, revocation lists)
//! ```
//!
//! Everything is checked against the time that the caller hands in. The order of the checks is that
//! of the Frontex guidelines: EF.SOD and its signature, the signer's chain, validity, revocation
//! and usage, then the data groups' hashes, then the country and the type of document. The first
//! fault found is the verdict's reason. What could not be asked (no revocation list of the issuer,
//! no EF.DG1 to compare the country with) is a weakness, not silence.
//!
//! What a byte flip can change without changing the verdict, because no signature covers it and
//! nothing uses it: unsigned attributes, further certificates and further signers beside the one
//! that is used. A test flips every bit of a generated EF.SOD, which has none of these.
//!
//! Absent: active and chip authentication, which need the chip itself; defect lists.
//!
//! Invariant: pure. No file, no clock, no network: certificates that EF.SOD does not carry are not
//! fetched.

mod asn1;
mod brainpool512;
mod certificate;
mod country;
mod curve;
mod hash;
mod name;
mod profile;
mod revocation;
mod signature;
mod signed;
mod sod;
mod store;
mod trust_file;

pub use self::{
    asn1::Malformed,
    store::{Refused, Revocation, StoreSummary, TrustStore, TrustStoreBuilder},
    trust_file::TrustFileError,
};
use self::{
    certificate::Certificate,
    hash::Hash,
    sod::{Hashes, SecurityObject},
    store::Anchor,
};
use super::tlv::Elements;
use crate::{
    limits::DOCUMENT_TRAILING_BYTES_MAX,
    types::{Authenticity, DocumentFault, Unchecked, Weakness, Weaknesses},
};

/// The files of one document, as the chip holds them.
#[derive(Clone, Copy)]
pub struct DocumentFiles<'a> {
    /// EF.SOD; without it nothing can be proved.
    pub sod: Option<&'a [u8]>,
    /// EF.DG1; without it the country cannot be compared.
    pub dg1: Option<&'a [u8]>,
    /// EF.DG2.
    pub dg2: &'a [u8],
}

/// What was found out about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The verdict.
    pub verdict: Authenticity,
    /// What is known about its signer, where one was found and trusted.
    pub signer: Option<Signer>,
}

/// The document signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The country that its certificate names as its issuer's.
    pub country: Option<[u8; 2]>,
    /// When its certificate ends, in seconds since 1970.
    pub not_after_s: i64,
    /// When the document was signed, in seconds since 1970, where the signer says.
    pub signed_s: Option<i64>,
    /// What the issuer's revocation list says.
    pub revocation: Revocation,
    /// Whether the document's issuing state could be compared with the signer's country.
    pub country_compared: bool,
    /// Data groups that were signed.
    pub data_groups: Vec<u8>,
}

impl<'a> DocumentFiles<'a> {
    /// The data groups without what a chip pads them with, as their hashes are of them.
    fn unpadded(self) -> Self {
        Self { dg1: self.dg1.map(unpadded), dg2: unpadded(self.dg2), ..self }
    }
}

/// The file itself: its one element, where no more follows than the readers of data groups pass
/// over.
fn unpadded(file: &[u8]) -> &[u8] {
    let mut elements = Elements::of_file(file);
    let is_element = matches!(elements.next(), Ok(Some(_)));
    let padding = elements.left();
    if is_element && padding <= DOCUMENT_TRAILING_BYTES_MAX {
        &file[..file.len().saturating_sub(padding)]
    } else {
        file
    }
}

/// Authenticates the data groups of one document.
#[must_use]
pub fn authenticate(files: DocumentFiles<'_>, store: &TrustStore, now_s: i64) -> Authentication {
    let unchecked = |why| Authentication { verdict: Authenticity::NotChecked(why), signer: None };
    let Some(sod) = files.sod else { return unchecked(Unchecked::SodAbsent) };
    if store.is_empty() {
        return unchecked(Unchecked::TrustStoreAbsent);
    }
    let mut found = Findings::default();
    let verdict = match check(files.unpadded(), sod, store, now_s, &mut found) {
        Err(fault) => Authenticity::Invalid(fault),
        Ok(()) if found.weaknesses.is_empty() => Authenticity::Valid,
        Ok(()) => Authenticity::Weak(found.weaknesses),
    };
    Authentication { verdict, signer: found.signer }
}

/// What the checks learn on their way.
#[derive(Default)]
struct Findings {
    weaknesses: Weaknesses,
    signer: Option<Signer>,
}

impl Findings {
    fn note(&mut self, weakness: Weakness, holds: bool) {
        if holds {
            self.weaknesses = self.weaknesses.with(weakness);
        }
    }
}

fn check(
    files: DocumentFiles<'_>,
    sod: &[u8],
    store: &TrustStore,
    now_s: i64,
    found: &mut Findings,
) -> Result<(), DocumentFault> {
    let object = SecurityObject::read(sod).map_err(|_| DocumentFault::MalformedSod)?;
    let hashes = object.hashes()?;
    let signer = object.signed.signer()?;
    let signed = object.signed.verify(&signer)?;
    found.note(Weakness::Sha1Signature, signed.by_sha1);
    let anchors = anchors(&signer, store)?;
    check_times(&signer, signed.at_s, now_s)?;
    let anchor = in_force(&anchors, &signer, now_s)?;
    let revocation = check_revocation(&signer, &anchors, anchor, store, now_s)?;
    profile::check_usage(&signer)?;
    found.note(Weakness::CrlAbsent, revocation == Revocation::Unknown);
    found.note(Weakness::CrlUnusable, revocation == Revocation::Unusable);
    found.note(Weakness::CrlStale, revocation == Revocation::NotRevokedStale);
    note_keys(&signer, anchor, found);
    found.signer = Some(Signer {
        country: signer.issuer.country(),
        not_after_s: signer.not_after_s,
        signed_s: signed.at_s,
        revocation,
        country_compared: files.dg1.is_some(),
        data_groups: hashes.numbers().collect(),
    });
    found.note(Weakness::Sha1Digest, hashes.hash == Hash::Sha1);
    found.note(Weakness::CountryNotCompared, files.dg1.is_none());
    check_groups(files, &hashes)?;
    let Some(dg1) = files.dg1 else { return Ok(()) };
    check_country(dg1, &signer)?;
    profile::check_document_type(dg1, &signer)
}

/// The anchors that signed the signer's certificate; a country may have several with one key.
fn anchors<'s>(
    signer: &Certificate<'_>,
    store: &'s TrustStore,
) -> Result<Vec<&'s Anchor>, DocumentFault> {
    let scheme = signer.scheme().map_err(|_| DocumentFault::MalformedDsCert)?;
    scheme.ok_or(DocumentFault::AlgorithmUnsupported)?;
    let signed = |held: &&Anchor| signer.is_signed_by(&held.key);
    let anchors: Vec<&Anchor> = store.issuers(signer).filter(signed).collect();
    if anchors.is_empty() { Err(DocumentFault::NoTrustAnchor) } else { Ok(anchors) }
}

/// One of `anchors` that is in force now and was when it signed; otherwise the first one's fault.
fn in_force<'s>(
    anchors: &[&'s Anchor],
    signer: &Certificate<'_>,
    now_s: i64,
) -> Result<&'s Anchor, DocumentFault> {
    let mut fault = DocumentFault::NoTrustAnchor;
    for anchor in anchors.iter().rev() {
        fault = if anchor.country != signer.issuer.country() {
            DocumentFault::CountryMismatch
        } else if anchor.not_after_s < now_s {
            DocumentFault::CscaCertExpired
        } else if signer.not_before_s < anchor.not_before_s {
            DocumentFault::CscaCertNotYetValid
        } else {
            return Ok(anchor);
        };
    }
    Err(fault)
}

fn check_times(
    signer: &Certificate<'_>,
    signed_s: Option<i64>,
    now_s: i64,
) -> Result<(), DocumentFault> {
    if now_s < signer.not_before_s {
        return Err(DocumentFault::DsCertNotYetValid);
    }
    if now_s > signer.not_after_s {
        return Err(DocumentFault::DsCertExpired);
    }
    let validity = signer.not_before_s..=signer.not_after_s;
    if signed_s.is_some_and(|signed_s| !validity.contains(&signed_s)) {
        return Err(DocumentFault::SignedOutsideValidity);
    }
    profile::check_key_period(signer, signed_s)
}

/// What the lists say about the signer. Of `anchors`, which all have the key that signed its
/// certificate, none may be revoked: whoever withdraws one of them withdraws the key.
fn check_revocation(
    signer: &Certificate<'_>,
    anchors: &[&Anchor],
    anchor: &Anchor,
    store: &TrustStore,
    now_s: i64,
) -> Result<Revocation, DocumentFault> {
    let is_revoked = |held: &&Anchor| store.revocation_of(held, now_s) == Revocation::Revoked;
    if anchors.iter().any(is_revoked) {
        return Err(DocumentFault::CscaCertRevoked);
    }
    match store.revocation(signer, anchor, now_s) {
        Revocation::Revoked => Err(DocumentFault::DsCertRevoked),
        other => Ok(other),
    }
}

/// The digest of the certificate's signature and the sizes of the keys. The anchor's own signature
/// does not count: nothing rests on it but the operator's trust.
fn note_keys(signer: &Certificate<'_>, anchor: &Anchor, found: &mut Findings) {
    let hash = signer.scheme().ok().flatten().map(signature::Scheme::hash);
    found.note(Weakness::Sha1Signature, hash == Some(Hash::Sha1));
    let key = signature::PublicKey::read(signer.key).ok().flatten();
    let short = key.is_some_and(|key| key.is_short()) || anchor.key.is_short();
    found.note(Weakness::RsaShort, short);
}

fn check_groups(files: DocumentFiles<'_>, hashes: &Hashes<'_>) -> Result<(), DocumentFault> {
    let equals = |listed: &[u8], bytes: &[u8]| listed == hashes.hash.of(bytes).as_bytes();
    let listed = hashes.group(2).ok_or(DocumentFault::Dg2NotInSod)?;
    if !equals(listed, files.dg2) {
        return Err(DocumentFault::Dg2HashMismatch);
    }
    let Some(dg1) = files.dg1 else { return Ok(()) };
    let listed = hashes.group(1).ok_or(DocumentFault::Dg1NotInSod)?;
    if equals(listed, dg1) { Ok(()) } else { Err(DocumentFault::Dg1HashMismatch) }
}

fn check_country(dg1: &[u8], signer: &Certificate<'_>) -> Result<(), DocumentFault> {
    let state = country::issuing_state(dg1).ok_or(DocumentFault::MalformedDg1)?;
    let issuer = signer.issuer.country().ok_or(DocumentFault::CountryMismatch)?;
    let own = signer.subject.country();
    if own.is_none_or(|own| own == issuer) && country::signs_for(issuer, state) {
        Ok(())
    } else {
        Err(DocumentFault::CountryMismatch)
    }
}
