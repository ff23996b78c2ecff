//! Mutations by the thousand: no bytes panic a reader or take more memory than is allowed. The fuzz
//! targets look further; this runs everywhere.

use portcullis::{
    document::{com::Com, dg1, dg2::Dg2, image},
    limits::JPEG2000_PIXELS_MAX,
};
use proptest::prelude::*;

use crate::{
    dg2::{ENCODINGS, dg2, element},
    jpeg::Jpeg,
    jpeg2000::Jpeg2000,
    memory::within,
    pictures::sample,
};

/// More of everything in the long form.
fn cases(short: u32) -> ProptestConfig {
    let long = std::env::var_os("PORTCULLIS_LONG").is_some();
    let cases = if long { short.saturating_mul(100) } else { short };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn pictures() -> Vec<Vec<u8>> {
    vec![
        Jpeg::colour(24, 17).encode(sample),
        Jpeg2000::colour(24, 17).file(sample),
        Jpeg2000::grey(70, 9).codestream(sample),
    ]
}

fn files() -> Vec<Vec<u8>> {
    let pictures = pictures();
    let mut files: Vec<Vec<u8>> = ENCODINGS
        .into_iter()
        .flat_map(|encoding| pictures.iter().map(move |picture| dg2(encoding, &[picture])))
        .collect();
    let zone = b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\
                 L898902C36UTO7408122F1204159ZE184226B<<<<<10";
    files.push(element(0x61, &[&element(0x5f1f, &[zone])]));
    files.push(b"\x60\x16\x5f\x01\x040107\x5f\x36\x06040000\x5c\x04\x61\x75\x63\x6e".to_vec());
    files.extend(pictures);
    files
}

/// Everything that bytes can reach.
fn read(bytes: &[u8], slot: &mut [u8]) {
    within(|| {
        let _refused = Com::read(bytes);
        let _refused = dg1::read(bytes).map(drop);
        let _refused = image::decode_into(bytes, slot);
        if let Ok(read) = Dg2::read(bytes) {
            for portrait in &read.portraits {
                let _refused = image::decode_into(portrait.image, slot);
            }
        }
    });
}

proptest! {
    #![proptest_config(cases(6_000))]

    #[test]
    fn changed_bytes_never_panic_and_never_take_more_than_is_allowed(
        whole in prop::sample::select(files()),
        // Headers are near the beginning: half of the changes go there.
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<bool>(), any::<u8>()), 1..5),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut bytes = whole;
        for (at, early, value) in changes {
            let reach = if early { bytes.len().min(160) } else { bytes.len() };
            bytes[at.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut slot = vec![0; JPEG2000_PIXELS_MAX * 3];
        read(&bytes, &mut slot);
    }

    #[test]
    fn arbitrary_elements_never_panic(
        head in prop::sample::select(vec![0x75_u8, 0xa1, 0x60, 0x61, b'F']),
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        read(&[&[head], &tail[..]].concat(), &mut []);
    }
}

#[test]
fn every_byte_of_every_header_at_its_extremes() {
    let mut slot = vec![0; JPEG2000_PIXELS_MAX * 3];
    for file in files() {
        for at in 0..file.len().min(300) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = file.clone();
                bytes[at] = value;
                read(&bytes, &mut slot);
            }
        }
    }
}
