//! Signatures that OpenSSL made: `self_signed.pem`, written by `self_signed.py`.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{issuer::NOW_S, verdicts::store};

const VECTORS: &str = include_str!("self_signed.pem");

/// Name and DER of every certificate.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let entries = VECTORS.split("# ").skip(1);
    let read = |entry: &'static str| {
        let mut lines = entry.lines();
        let name = lines.next().expect("a name");
        let body: String = lines.filter(|line| !line.starts_with("-----")).collect();
        (name, STANDARD.decode(body).expect("base64"))
    };
    entries.map(read).collect()
}

#[test]
fn every_algorithm_verifies_what_openssl_signed() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 57);
    for (name, bytes) in &vectors {
        // A mask with another digest than the message's is not accepted; everything else that is
        // not said to be refused is.
        let refused = name.starts_with("refused-") || name.contains("-mgf-sha512-");
        let anchors = store(&[bytes]).summary(NOW_S).anchors;
        assert_eq!(anchors, usize::from(!refused), "{name}");
    }
}

#[test]
fn a_signature_with_a_bit_changed_does_not_verify() {
    for (name, mut bytes) in vectors() {
        // In the last octet (s, or the end of the RSA signature), in the middle of the signature,
        // and in the signed part (a letter of the subject's name).
        let letter = bytes.windows(7).rposition(|window| window == b"Vectors").expect("a subject");
        let last = bytes.len() - 1;
        for at in [last, last - 30, letter] {
            bytes[at] ^= 1;
            assert!(store(&[&bytes]).is_empty(), "{name}, octet {at}");
            bytes[at] ^= 1;
        }
    }
}
