//! Bytes that are wrong: cut off, changed, absurd. A typed verdict, no panic, never VALID.

use portcullis::{
    document::authentication::{DocumentFiles, TrustStore, TrustStoreBuilder, authenticate},
    types::{Authenticity, DocumentFault},
};

use crate::{
    issuer::{NOW_S, State, sequence, tlv},
    memory::within,
    verdicts::store,
};

struct Document {
    sod: Vec<u8>,
    dg1: Vec<u8>,
    dg2: Vec<u8>,
    store: TrustStore,
}

impl Document {
    fn genuine() -> Self {
        let mut state = State::p256();
        let trusted = [state.write_csca(), state.write_list()];
        let (sod, store) = (state.write_sod(), store(&trusted.each_ref().map(Vec::as_slice)));
        let document = Self { sod, dg1: state.dg1, dg2: state.dg2, store };
        assert_eq!(document.verdict(&document.sod), Authenticity::Valid);
        document
    }

    fn verdict(&self, sod: &[u8]) -> Authenticity {
        let files = DocumentFiles { sod: Some(sod), dg1: Some(&self.dg1), dg2: &self.dg2 };
        within(|| authenticate(files, &self.store, NOW_S).verdict)
    }
}

#[test]
fn every_truncation_is_malformed() {
    let document = Document::genuine();
    for length in 0..document.sod.len() {
        let verdict = document.verdict(&document.sod[..length]);
        assert_eq!(verdict, Authenticity::Invalid(DocumentFault::MalformedSod), "{length} octets");
    }
    let longer = [&document.sod[..], &[0]].concat();
    assert_eq!(document.verdict(&longer), Authenticity::Invalid(DocumentFault::MalformedSod));
}

#[test]
fn no_changed_bit_is_valid() {
    let document = Document::genuine();
    let mut changed = document.sod.clone();
    for at in 0..changed.len() {
        for bit in 0..8 {
            changed[at] ^= 1 << bit;
            let verdict = document.verdict(&changed);
            assert!(matches!(verdict, Authenticity::Invalid(_)), "octet {at} bit {bit}: {verdict}");
            changed[at] ^= 1 << bit;
        }
    }
}

#[test]
fn lengths_that_lie_are_malformed() {
    let document = Document::genuine();
    let malformed = Authenticity::Invalid(DocumentFault::MalformedSod);
    // Every element of the way down: length 0, 1, indefinite, the largest of each size.
    for length in [
        &[0][..],
        &[1],
        &[0x80],
        &[0x81, 0xff],
        &[0x82, 0xff, 0xff],
        &[0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xff],
    ] {
        for at in [0, 4, 8, 19, 23] {
            let stated = 2 + usize::from(document.sod[at + 1] & 0x7f).min(3);
            let stated = if document.sod[at + 1] < 0x80 { 2 } else { stated };
            let (head, tail) = (&document.sod[..=at], &document.sod[at + stated..]);
            let changed = [head, length, tail].concat();
            assert_eq!(document.verdict(&changed), malformed, "octet {at}, {length:02x?}");
        }
    }
}

#[test]
fn depth_costs_nothing() {
    let document = Document::genuine();
    let mut bomb = Vec::new();
    while bomb.len() < 60_000 {
        bomb = tlv(0x30, &bomb);
    }
    for file in [tlv(0x77, &bomb), bomb.clone(), sequence(&[&bomb])] {
        assert!(matches!(document.verdict(&file), Authenticity::Invalid(_)));
        assert!(within(|| TrustStoreBuilder::default().add(&file)).is_err());
    }
    let indefinite = [0x30, 0x80].repeat(30_000);
    assert!(matches!(document.verdict(&indefinite), Authenticity::Invalid(_)));
    assert!(within(|| TrustStoreBuilder::default().add(&indefinite)).is_err());
}

#[test]
fn a_file_too_large_is_not_read() {
    let document = Document::genuine();
    let huge = tlv(0x77, &document.sod).into_iter().chain(vec![0; 70_000]).collect::<Vec<_>>();
    let malformed = Authenticity::Invalid(DocumentFault::MalformedSod);
    assert_eq!(document.verdict(&huge), malformed);
}

#[test]
fn a_cut_or_changed_certificate_is_no_anchor() {
    let csca = State::p256().write_csca();
    for length in 1..csca.len() {
        assert!(TrustStoreBuilder::default().add(&csca[..length]).is_err(), "{length} octets");
    }
    let mut changed = csca.clone();
    for at in 0..changed.len() {
        let bit = 1 << (at % 8);
        changed[at] ^= bit;
        let mut builder = TrustStoreBuilder::default();
        let read = builder.add(&changed);
        assert!(read.is_err() || builder.build().is_empty(), "octet {at}");
        changed[at] ^= bit;
    }
}
