//! Any bytes as a file of a passport chip: read within the limits or refused, and what is read lies
//! inside the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{
    document::{com::Com, dg1, dg2::Dg2, image},
    limits::{JPEG2000_PIXELS_MAX, PORTRAITS_MAX},
};

fuzz_target!(|bytes: &[u8]| {
    let _refused = Com::read(bytes);
    if let Ok(zone) = dg1::read(bytes) {
        let _text = (zone.document_number(), zone.names(), zone.optional(), zone.lines().count());
    }
    let Ok(read) = Dg2::read(bytes) else { return };
    assert!((1..=PORTRAITS_MAX).contains(&read.portraits.len()));
    for portrait in &read.portraits {
        assert!(bytes.as_ptr_range().contains(&portrait.image.as_ptr()));
        let small = |header: &image::ImageHeader| header.frame_bytes() <= JPEG2000_PIXELS_MAX * 3;
        if image::header(portrait.image).is_ok_and(|header| small(&header)) {
            let _refused = image::decode(portrait.image);
        }
    }
});
