//! Any bytes as a file of country certificates: read within the limits or refused by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{document::authentication::TrustStoreBuilder, limits::TRUST_CERTIFICATES_MAX};

fuzz_target!(|bytes: &[u8]| {
    let mut builder = TrustStoreBuilder::default();
    let _refused = builder.add(bytes);
    let held = builder.build().summary(0);
    assert!(held.anchors <= TRUST_CERTIFICATES_MAX && held.lists_stale <= held.lists);
});
