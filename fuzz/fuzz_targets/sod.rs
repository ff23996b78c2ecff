//! Any bytes as EF.SOD: a verdict, and VALID for none but the signed one.
//!
//! The signer's country is `fuzz/csca.pem`; the seed `genuine` is the one document that it signed.
//! What may differ from it and still be valid is what no signature covers and nothing uses, so a
//! valid input must hold the signed parts unchanged: the data group hashes and the signature.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis::{
    document::authentication::{DocumentFiles, TrustStore, TrustStoreBuilder, authenticate},
    types::Authenticity,
};

/// Within the seed's validity.
const NOW_S: i64 = 1_795_392_000;
/// What the seed signs as data group 2, with its head.
const DG2: &[u8] = b"\x75\x27a photograph, for all that EF.SOD knows";

/// SHA-256 of `DG2`, as the seed lists it.
const DG2_SHA256: [u8; 32] = [
    0x0f, 0x46, 0x8a, 0x69, 0x0f, 0xe8, 0x3b, 0xf3, 0x44, 0x05, 0x58, 0xab,
    0x08, 0x9b, 0x50, 0xa3, 0xc6, 0x41, 0xca, 0x49, 0x14, 0x18, 0x38, 0x06,
    0xf1, 0x73, 0x3a, 0x0d, 0x3a, 0x4d, 0xcc, 0x0c,
];

static STORE: LazyLock<TrustStore> = LazyLock::new(|| {
    let mut builder = TrustStoreBuilder::default();
    builder.add(include_bytes!("../csca.pem")).expect("a certificate");
    builder.build()
});

fuzz_target!(|bytes: &[u8]| {
    let files = DocumentFiles { sod: Some(bytes), dg1: None, dg2: DG2 };
    let found = authenticate(files, &STORE, NOW_S);
    let listed = bytes.windows(32).any(|window| window == DG2_SHA256);
    assert!(found.verdict != Authenticity::Valid || listed);
});
