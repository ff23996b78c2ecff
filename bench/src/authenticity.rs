//! Passive authentication of a document on P-256 by a country on P-256, both with the curve spelled
//! out, on one thread: EF.SOD read, two signatures verified, the data groups hashed.
//!
//! The document is the fuzzer's seed, of the tests' own state; its photograph is padded in thought
//! only: hashing 15 kB takes some tens of microseconds.

use std::{hint::black_box, io};

use portcullis::{
    document::authentication::{DocumentFiles, TrustStoreBuilder, authenticate},
    types::{Authenticity, Weakness, Weaknesses},
};

use crate::spent::{Measured, nanoseconds};

/// What the README promises on P-256.
const AUTHENTICATE_MS_MAX: f64 = 3.0;
/// A time within the seed's validity, in seconds since 1970.
const NOW_S: i64 = 1_795_392_000;
const SOD: &[u8] = include_bytes!("../../fuzz/corpus/sod/genuine");
const CSCA: &[u8] = include_bytes!("../../fuzz/csca.pem");
const DG2: &[u8] = b"\x75\x27a photograph, for all that EF.SOD knows";
/// A photograph as large as most chips'.
const PHOTOGRAPH_BYTES: usize = 15_000;

/// Runs the measurement; true when the promise holds.
///
/// # Errors
/// When the document is not found to be valid: the measurement would be of something else.
pub(crate) fn run(rounds: usize) -> io::Result<bool> {
    let mut builder = TrustStoreBuilder::default();
    builder.add(CSCA).map_err(io::Error::other)?;
    let store = builder.build();
    let files = DocumentFiles { sod: Some(SOD), dg1: None, dg2: DG2 };
    // First that it is right: genuine, without a revocation list and EF.DG1. A photograph of full
    // size is hashed, and found to be another.
    let unasked = Weaknesses::from(Weakness::CrlAbsent).with(Weakness::CountryNotCompared);
    let verdict = authenticate(files, &store, NOW_S).verdict;
    if verdict != Authenticity::Weak(unasked) {
        return Err(io::Error::other(format!("the document is {verdict}")));
    }
    let large = vec![0; PHOTOGRAPH_BYTES];
    let larger = DocumentFiles { dg2: &large, ..files };
    let (mut small, mut full) = (Measured::default(), Measured::default());
    for _ in 0..rounds {
        small.extend([nanoseconds(|| drop(black_box(authenticate(files, &store, NOW_S))))]);
        full.extend([nanoseconds(|| drop(black_box(authenticate(larger, &store, NOW_S))))]);
    }
    println!(
        "  P-256     {:>6} bytes of EF.SOD   authenticate {:>6.2} ms (least {:.2}), with {} kB to \
         hash {:>6.2} ms   promised: at most {AUTHENTICATE_MS_MAX} ms",
        SOD.len(),
        small.median_ms(),
        small.least_ms(),
        PHOTOGRAPH_BYTES / 1000,
        full.median_ms(),
    );
    Ok(full.median_ms() <= AUTHENTICATE_MS_MAX)
}
