//! Country certificates (CSCA) that are trusted, and their revocation lists.
//!
//! The operator names the files; what they hold is trusted after it was checked against itself. A
//! self-signed certificate is an anchor when its own signature holds. A link certificate, by which
//! a country's old key vouches for its new one, is an anchor when a certificate of the same country
//! that is one already has signed it: no country vouches for another. What nothing stands behind is
//! not used, and counted.
//!
//! Two anchors may have the same name and different keys; which one signed is found by trying, the
//! one whose key identifier the signed certificate names first.

use std::collections::{HashMap, HashSet};

use super::{
    asn1::Element,
    certificate::{CRL_SIGN, Certificate, KEY_CERT_SIGN},
    revocation::RevocationList,
    signature::PublicKey,
    trust_file::{Found, TrustFileError},
};
use crate::limits::{CRL_AGE_S_MAX, TRUST_TRIES_MAX};

/// Gathers files until all are there: a link certificate may precede what stands behind it.
#[derive(Debug, Default)]
pub struct TrustStoreBuilder {
    found: Found,
}

impl TrustStoreBuilder {
    /// Takes what a file holds, in whatever form.
    ///
    /// # Errors
    /// [`TrustFileError`]; what the file held before the fault stays.
    pub fn add(&mut self, file: &[u8]) -> Result<(), TrustFileError> {
        self.found.read(file)
    }

    /// Checks everything against everything else.
    #[must_use]
    pub fn build(mut self) -> TrustStore {
        self.found.certificates.sort_unstable();
        self.found.certificates.dedup();
        let mut store = TrustStore { refused: self.found.refused, ..TrustStore::default() };
        let mut waiting = Vec::new();
        for bytes in &self.found.certificates {
            match candidate(bytes) {
                Some((certificate, _)) if !certificate.extensions.is_authority => {
                    store.refused.not_authorities += 1;
                }
                Some((certificate, key)) if certificate.is_signed_by(&key) => {
                    store.trust(&certificate, key);
                }
                Some(linked) => waiting.push(linked),
                None => store.refused.unusable += 1,
            }
        }
        store.follow_links(waiting);
        store.take_lists(&self.found.lists);
        store
    }
}

/// A certificate that may become an anchor, with its key.
fn candidate(bytes: &[u8]) -> Option<(Certificate<'_>, PublicKey)> {
    let certificate = Certificate::read(Element::whole(bytes).ok()?).ok()?;
    let key = PublicKey::read(certificate.key).ok()??;
    let extensions = &certificate.extensions;
    let usable = !extensions.unknown_critical
        && (!extensions.is_authority || extensions.permit(KEY_CERT_SIGN));
    usable.then_some((certificate, key))
}

/// Country certificates and revocation lists, checked.
#[derive(Default)]
pub struct TrustStore {
    anchors: Vec<Anchor>,
    by_subject: HashMap<Box<[u8]>, Vec<usize>>,
    by_key: HashMap<Box<[u8]>, Vec<usize>>,
    lists: HashMap<Box<[u8]>, List>,
    refused: Refused,
}

/// One trusted certificate.
pub(super) struct Anchor {
    pub(super) key: PublicKey,
    pub(super) country: Option<[u8; 2]>,
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
    subject: Box<[u8]>,
    issuer: Box<[u8]>,
    serial: Box<[u8]>,
    signs_lists: bool,
}

/// The newest revocation list of one issuer.
struct List {
    serials: HashSet<Box<[u8]>>,
    is_understood: bool,
    this_update_s: i64,
    next_update_s: i64,
}

/// What came with the files and is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Certificates of document signers and others that are no authority.
    pub not_authorities: usize,
    /// Certificates that do not parse, whose key is of no accepted kind, or that are not for
    /// signing certificates.
    pub unusable: usize,
    /// Certificates that nothing trusted has signed.
    pub unlinked: usize,
    /// Revocation lists that do not parse or that no anchor has signed.
    pub lists: usize,
    /// Master lists inside a directory's file that do not parse, whose signature does not hold or
    /// is of no accepted kind, or whose signer is none.
    pub master_lists: usize,
}

/// Whether a serial number stands on its issuer's revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// There is no list of that issuer.
    Unknown,
    /// A list that is in force does not name it.
    NotRevoked,
    /// A list does not name it, but is past its next update.
    NotRevokedStale,
    /// The newest list does not name it, but says more than is understood here.
    Unusable,
    /// It was revoked.
    Revoked,
}

/// What a store holds, for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSummary {
    /// Trusted certificates.
    pub anchors: usize,
    /// Countries that they belong to.
    pub countries: usize,
    /// Of the trusted certificates, those that have expired.
    pub expired: usize,
    /// When the next of the others expires, in seconds since 1970.
    pub next_expiry_s: Option<i64>,
    /// Revocation lists in use.
    pub lists: usize,
    /// Of those, the ones past their next update.
    pub lists_stale: usize,
    /// Of those, the ones that clear nobody, as they say more than is understood here.
    pub lists_unusable: usize,
    /// When the oldest of them was made, in seconds since 1970.
    pub oldest_list_s: Option<i64>,
    /// What is not used.
    pub refused: Refused,
}

impl TrustStore {
    /// Whether it trusts nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// What it holds, as of `now_s`.
    #[must_use]
    pub fn summary(&self, now_s: i64) -> StoreSummary {
        let countries: HashSet<_> = self.anchors.iter().filter_map(|held| held.country).collect();
        let ends = || self.anchors.iter().map(|held| held.not_after_s);
        StoreSummary {
            anchors: self.anchors.len(),
            countries: countries.len(),
            expired: ends().filter(|&end_s| end_s < now_s).count(),
            next_expiry_s: ends().filter(|&end_s| end_s >= now_s).min(),
            lists: self.lists.len(),
            lists_stale: self.lists.values().filter(|list| list.is_stale(now_s)).count(),
            lists_unusable: self.lists.values().filter(|list| !list.is_understood).count(),
            oldest_list_s: self.lists.values().map(|list| list.this_update_s).min(),
            refused: self.refused,
        }
    }

    /// The anchors that may have signed `certificate`: those whose key it names, then those whose
    /// name it names.
    pub(super) fn issuers<'s>(
        &'s self,
        certificate: &Certificate<'_>,
    ) -> impl Iterator<Item = &'s Anchor> + use<'s> {
        let named = certificate.extensions.authority_key.and_then(|key| self.by_key.get(key));
        let mut places = named.cloned().unwrap_or_default();
        let alike = self.by_subject.get(&certificate.issuer.folded());
        for &place in alike.into_iter().flatten() {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.into_iter().take(TRUST_TRIES_MAX).map(|place| &self.anchors[place])
    }

    /// What the issuer's list says about a certificate that `anchor` has signed. States write their
    /// own name in more than one way, so the list may be under the name that the certificate gives
    /// its issuer or under the anchor's own; a revocation on either counts.
    pub(super) fn revocation(
        &self,
        certificate: &Certificate<'_>,
        anchor: &Anchor,
        now_s: i64,
    ) -> Revocation {
        let named = self.listed(&certificate.issuer.folded(), certificate.serial, now_s);
        let own = self.listed(&anchor.subject, certificate.serial, now_s);
        match (named, own) {
            (Revocation::Unknown, own) => own,
            (_, Revocation::Revoked) => Revocation::Revoked,
            (named, _) => named,
        }
    }

    /// What the lists say about an anchor.
    pub(super) fn revocation_of(&self, anchor: &Anchor, now_s: i64) -> Revocation {
        self.listed(&anchor.issuer, &anchor.serial, now_s)
    }

    fn listed(&self, issuer: &[u8], serial: &[u8], now_s: i64) -> Revocation {
        match self.lists.get(issuer) {
            None => Revocation::Unknown,
            Some(list) if list.serials.contains(serial) => Revocation::Revoked,
            Some(list) if !list.is_understood => Revocation::Unusable,
            Some(list) if list.is_stale(now_s) => Revocation::NotRevokedStale,
            Some(_) => Revocation::NotRevoked,
        }
    }

    fn trust(&mut self, certificate: &Certificate<'_>, key: PublicKey) {
        let place = self.anchors.len();
        self.by_subject.entry(certificate.subject.folded()).or_default().push(place);
        if let Some(key) = certificate.extensions.subject_key {
            self.by_key.entry(key.into()).or_default().push(place);
        }
        self.anchors.push(Anchor {
            key,
            country: certificate.subject.country(),
            not_before_s: certificate.not_before_s,
            not_after_s: certificate.not_after_s,
            subject: certificate.subject.folded(),
            issuer: certificate.issuer.folded(),
            serial: certificate.serial.into(),
            signs_lists: certificate.extensions.permit(CRL_SIGN),
        });
    }

    /// Trusts link certificates until no further one has a trusted signer.
    fn follow_links(&mut self, mut waiting: Vec<(Certificate<'_>, PublicKey)>) {
        loop {
            let before = waiting.len();
            let mut left = Vec::new();
            for (certificate, key) in waiting {
                let country = certificate.subject.country();
                let vouches =
                    |held: &Anchor| held.country == country && certificate.is_signed_by(&held.key);
                if self.issuers(&certificate).any(vouches) {
                    self.trust(&certificate, key);
                } else {
                    left.push((certificate, key));
                }
            }
            if left.len() == before || left.is_empty() {
                self.refused.unlinked = left.len();
                return;
            }
            waiting = left;
        }
    }

    /// Takes the revocation lists that an anchor of their name has signed; of several the newest.
    fn take_lists(&mut self, lists: &[Box<[u8]>]) {
        let read = lists
            .iter()
            .filter_map(|bytes| Element::whole(bytes).and_then(RevocationList::read).ok());
        let mut signed: Vec<_> = read.filter(|list| self.is_signed(list)).collect();
        self.refused.lists += lists.len() - signed.len();
        signed.sort_by_key(|list| list.this_update_s);
        for list in signed {
            self.take_list(list);
        }
    }

    fn is_signed(&self, list: &RevocationList<'_>) -> bool {
        let signers = self.by_subject.get(&list.issuer.folded()).into_iter().flatten();
        let mut signers = signers.map(|&place| &self.anchors[place]).take(TRUST_TRIES_MAX);
        signers.any(|held| held.signs_lists && list.is_signed_by(&held.key))
    }

    /// Takes a list in the place of an older one. Whom the older one names stays revoked where the
    /// newer one may not be about everybody.
    fn take_list(&mut self, list: RevocationList<'_>) {
        let longest_s = list.this_update_s.saturating_add(CRL_AGE_S_MAX);
        let mut taken = List {
            serials: list.serials,
            is_understood: list.is_understood,
            this_update_s: list.this_update_s,
            next_update_s: list.next_update_s.unwrap_or(longest_s),
        };
        let older = self.lists.remove(&list.issuer.folded());
        if !taken.is_understood {
            taken.serials.extend(older.into_iter().flat_map(|older| older.serials));
        }
        self.lists.insert(list.issuer.folded(), taken);
    }
}

impl List {
    /// Past its next update, or from the future, which is no better.
    fn is_stale(&self, now_s: i64) -> bool {
        now_s > self.next_update_s || now_s < self.this_update_s
    }
}
