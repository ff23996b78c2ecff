//! No bytes make the parser of holder templates panic, neither as they come nor once they were
//! sealed with a gate's own key; and none of them is accepted.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis::{
    keys::{IssuerKey, ReaderKey, holder::token},
    random::SeededEntropy,
    types::{Hash256, Purpose, TemplateKind},
};

static READER: LazyLock<[ReaderKey; 1]> = LazyLock::new(|| {
    let issuer = IssuerKey::random(&SeededEntropy::new(1)).expect("locked memory for a key");
    [issuer.reader().expect("locked memory for a key")]
});

fuzz_target!(|bytes: &[u8]| {
    let (model, calibration) = (Hash256::from_bytes([1; 32]), Hash256::from_bytes([2; 32]));
    let kind = TemplateKind { model, calibration, dims: 128 };
    let open = |token: &[u8]| token::open(token, &*READER, &kind, Purpose::Boarding, 1_900_000_100);
    assert!(open(bytes).is_err(), "nobody signed it");
    let sealed = READER[0].seal_unsigned(bytes, &SeededEntropy::new(2));
    assert!(open(&sealed).is_err(), "sealed, and nobody signed it");
});
