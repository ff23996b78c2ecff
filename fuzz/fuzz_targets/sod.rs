//! Any bytes as EF.SOD: a verdict, and a genuine one for none but the signed one.
//!
//! The signer's country is `fuzz/csca.pem`; the seed `genuine` is the one document that it signed.
//! What may differ from it and still be genuine is what no signature covers and nothing uses, so an
//! input that is found genuine must hold all three signed parts of the seed unchanged: the list of
//! data group hashes, the signed attributes and the signature.
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
const GENUINE: &[u8] = include_bytes!("../corpus/sod/genuine");

/// Content, signed attributes and signature of the seed.
static SIGNED: [&[u8]; 3] = [
    GENUINE.split_at(159).0.split_at(57).1,
    GENUINE.split_at(929).0.split_at(823).1,
    GENUINE.split_at(1014).0.split_at(941).1,
];

static STORE: LazyLock<TrustStore> = LazyLock::new(|| {
    let mut builder = TrustStoreBuilder::default();
    builder.add(include_bytes!("../csca.pem")).expect("a certificate");
    let store = builder.build();
    // Without this the assertion below could never fail.
    assert!(is_genuine(GENUINE, &store), "the seed is no genuine document any more");
    assert_eq!(SIGNED.map(|part| part[0]), [0x04, 0xa0, 0x04], "the seed has other offsets");
    store
});

/// Weak at best: there is neither a revocation list nor EF.DG1.
fn is_genuine(sod: &[u8], store: &TrustStore) -> bool {
    let files = DocumentFiles { sod: Some(sod), dg1: None, dg2: DG2 };
    let verdict = authenticate(files, store, NOW_S).verdict;
    assert_ne!(verdict, Authenticity::Valid, "what was not asked was not answered");
    matches!(verdict, Authenticity::Weak(_))
}

fuzz_target!(|bytes: &[u8]| {
    if is_genuine(bytes, &STORE) {
        let holds = |part: &&[u8]| bytes.windows(part.len()).any(|window| window == *part);
        assert!(SIGNED.iter().all(holds), "a document that its state did not sign");
    }
});
