//! Files that country certificates come in, told apart by what they hold: PEM bundles, single DER
//! certificates and revocation lists, ICAO master lists, LDIF as the ICAO public key directory
//! hands it out. A file's name says nothing.

use base64::{Engine, engine::general_purpose};
use der::{Tag, asn1::ObjectIdentifier};

use super::{
    Refused,
    asn1::{Element, Malformed},
    certificate::Certificate,
    profile,
    revocation::RevocationList,
    signature::PublicKey,
    signed::SignedData,
};
use crate::{
    limits::{TRUST_CERTIFICATES_MAX, TRUST_FILE_BYTES_MAX},
    types::DocumentFault,
};

const MASTER_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.136.1.1.2");
const MASTER_LIST_SIGNER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.136.1.1.3");

/// Why a file gave no certificates. The operator must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustFileError {
    /// More bytes than are read.
    #[error("{bytes} bytes; a file of country certificates has at most {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// More certificates than are held.
    #[error("more than {most} certificates; split the file or leave out what is not needed")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// None of the kinds that are read.
    #[error(
        "neither a PEM bundle, a DER certificate, a revocation list, a master list nor LDIF; \
         it begins with byte {first:#04x}"
    )]
    Unknown {
        /// Its first byte.
        first: u8,
    },
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Text between the markers of a PEM block or behind `::` in LDIF is not base64.
    #[error("line {line}: not base64")]
    Base64 {
        /// The line, from 1, where the value begins.
        line: usize,
    },
    /// A PEM block without its end.
    #[error("line {line}: a PEM block without its end")]
    PemUnfinished {
        /// The line, from 1, where it begins.
        line: usize,
    },
    /// The signature of a master list does not hold.
    #[error("the master list is not the one that its signer signed: {}", .fault.reason().0)]
    MasterListSignature {
        /// What is wrong with it.
        fault: DocumentFault,
    },
    /// A master list whose signer no country stands behind.
    #[error("the master list's signer is not a master list signer of a country in the list")]
    MasterListSigner,
    /// The list inside a master list does not parse.
    #[error("the master list: {why}")]
    MasterList {
        /// Where.
        why: Malformed,
    },
}

/// What files held, as DER; nothing of it is trusted yet.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) certificates: Vec<Box<[u8]>>,
    pub(super) lists: Vec<Box<[u8]>>,
    /// What a directory's file held and cannot be used, so far as it never got to the others.
    pub(super) refused: Refused,
}

impl Found {
    /// Adds what a file holds.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), TrustFileError> {
        if bytes.len() > TRUST_FILE_BYTES_MAX {
            let most = TRUST_FILE_BYTES_MAX;
            return Err(TrustFileError::TooLarge { bytes: bytes.len(), most });
        }
        let first = *bytes.first().ok_or(TrustFileError::Empty)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN ") => self.read_pem(text),
            Ok(text) if is_ldif(text) => self.read_ldif(text),
            Ok(_) | Err(_) => {
                self.read_der(bytes).unwrap_or(Err(TrustFileError::Unknown { first }))
            }
        }
    }

    /// `None` where the bytes are of no kind that is known.
    fn read_der(&mut self, bytes: &[u8]) -> Option<Result<(), TrustFileError>> {
        let element = Element::whole(bytes).ok()?;
        if Certificate::read(element).is_ok() {
            return Some(self.push(bytes));
        }
        if RevocationList::read(element).is_ok() {
            self.lists.push(bytes.into());
            return Some(Ok(()));
        }
        SignedData::read(element).ok().map(|signed| self.read_master_list(&signed))
    }

    fn push(&mut self, certificate: &[u8]) -> Result<(), TrustFileError> {
        if self.certificates.len() >= TRUST_CERTIFICATES_MAX {
            return Err(TrustFileError::TooMany { most: TRUST_CERTIFICATES_MAX });
        }
        self.certificates.push(certificate.into());
        Ok(())
    }

    /// `CscaMasterList`: verified, and by a signer that a country in it stands behind. That the
    /// country itself is to be trusted is what the operator says by configuring the file. The
    /// signer's dates are held against the time of signing that the list states, not against now:
    /// what it signed in time does not become false, and an appliance must start next year, too.
    fn read_master_list(&mut self, signed: &SignedData<'_>) -> Result<(), TrustFileError> {
        let fault = |fault| TrustFileError::MasterListSignature { fault };
        if signed.content_type != MASTER_LIST {
            return Err(fault(DocumentFault::WrongContentType));
        }
        let signer = signed.signer().map_err(fault)?;
        let at_s = signed.verify(&signer).map_err(fault)?.at_s;
        let validity = signer.not_before_s..=signer.not_after_s;
        if at_s.is_some_and(|at_s| !validity.contains(&at_s)) {
            return Err(fault(DocumentFault::SignedOutsideValidity));
        }
        let members = members(signed.content).map_err(|why| TrustFileError::MasterList { why })?;
        let purposes = signer.extensions.purposes.as_deref().unwrap_or_default();
        let backed = members.iter().any(|&member| stands_behind(member, &signer));
        let is_signer = purposes.contains(&MASTER_LIST_SIGNER)
            && profile::signs(&signer)
            && !signer.extensions.is_authority
            && !signer.extensions.unknown_critical;
        if !is_signer || !backed {
            return Err(TrustFileError::MasterListSigner);
        }
        members.into_iter().try_for_each(|member| self.push(member.raw))
    }

    fn read_pem(&mut self, text: &str) -> Result<(), TrustFileError> {
        let mut lines = (1..).zip(text.lines());
        while let Some((line, begin)) = lines.next() {
            let Some(label) = begin.trim().strip_prefix("-----BEGIN ") else { continue };
            let end = format!("-----END {label}");
            let mut body = String::new();
            loop {
                match lines.next() {
                    Some((_, last)) if last.trim() == end => break,
                    Some((_, row)) => body.push_str(row.trim()),
                    None => return Err(TrustFileError::PemUnfinished { line }),
                }
            }
            self.read_base64(&body, line)?;
        }
        Ok(())
    }

    fn read_base64(&mut self, text: &str, line: usize) -> Result<(), TrustFileError> {
        let decoded = general_purpose::STANDARD.decode(text);
        let bytes = decoded.map_err(|_| TrustFileError::Base64 { line })?;
        let first = bytes.first().copied().unwrap_or_default();
        self.read_der(&bytes).unwrap_or(Err(TrustFileError::Unknown { first }))
    }

    /// LDIF (RFC 2849): only the attributes that hold certificates, lists and master lists. A value
    /// that cannot be used is left out and counted, as one state's mistake must not take the
    /// others' certificates away; base64 that is none is an error.
    fn read_ldif(&mut self, text: &str) -> Result<(), TrustFileError> {
        let mut value: Option<(usize, Kind, String)> = None;
        for (line, row) in (1..).zip(text.lines()) {
            if let Some(more) = row.strip_prefix(' ') {
                if let Some((_, _, text)) = &mut value {
                    text.push_str(more.trim_end());
                }
                continue;
            }
            self.read_attribute(value.take())?;
            let Some((attribute, encoded)) = row.split_once(":: ") else { continue };
            let attribute = attribute.split(';').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(&(_, kind)) = ATTRIBUTES.iter().find(|(name, _)| *name == attribute) {
                value = Some((line, kind, encoded.trim().to_owned()));
            }
        }
        self.read_attribute(value.take())
    }

    fn read_attribute(
        &mut self,
        value: Option<(usize, Kind, String)>,
    ) -> Result<(), TrustFileError> {
        let Some((line, kind, text)) = value else { return Ok(()) };
        match self.read_base64(&text, line) {
            Err(
                TrustFileError::Unknown { .. }
                | TrustFileError::MasterListSignature { .. }
                | TrustFileError::MasterListSigner
                | TrustFileError::MasterList { .. },
            ) => {
                let refused = &mut self.refused;
                *match kind {
                    Kind::Certificate => &mut refused.unusable,
                    Kind::List => &mut refused.lists,
                    Kind::MasterList => &mut refused.master_lists,
                } += 1;
                Ok(())
            }
            other => other,
        }
    }
}

/// What an attribute of the public key directory holds.
#[derive(Clone, Copy)]
enum Kind {
    Certificate,
    List,
    MasterList,
}

/// Attributes of the public key directory that are read.
const ATTRIBUTES: [(&str, Kind); 6] = [
    ("cacertificate", Kind::Certificate),
    ("usercertificate", Kind::Certificate),
    ("certificaterevocationlist", Kind::List),
    ("authorityrevocationlist", Kind::List),
    ("pkdmasterlistcontent", Kind::MasterList),
    ("cscamasterlistdata", Kind::MasterList),
];

fn is_ldif(text: &str) -> bool {
    let rows = text.lines().map(str::trim_start);
    let mut said = rows.filter(|row| !row.is_empty() && !row.starts_with('#'));
    said.next().is_some_and(|row| row.starts_with("version:") || row.starts_with("dn:"))
}

/// `SEQUENCE { version, SET OF Certificate }`.
fn members(content: &[u8]) -> Result<Vec<Element<'_>>, Malformed> {
    let mut walk = Element::whole(content)?.walk(Tag::Sequence)?;
    walk.next()?.small()?;
    let mut set = walk.take(Tag::Set)?.walk(Tag::Set)?;
    walk.end()?;
    let mut members = Vec::new();
    while !set.is_at_end() {
        members.push(set.take(Tag::Sequence)?);
    }
    Ok(members)
}

fn stands_behind(member: Element<'_>, signer: &Certificate<'_>) -> bool {
    let Ok(certificate) = Certificate::read(member) else { return false };
    let is_issuer = certificate.extensions.is_authority
        && certificate.subject.folded() == signer.issuer.folded();
    let key = PublicKey::read(certificate.key).ok().flatten();
    is_issuer && key.is_some_and(|key| signer.is_signed_by(&key))
}
