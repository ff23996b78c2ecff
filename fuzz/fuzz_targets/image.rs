//! Any bytes: a picture of at most the limits, or an error; the header and the pixels agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::document::image;

fuzz_target!(|bytes: &[u8]| {
    let header = image::header(bytes);
    if let Ok(frame) = image::decode(bytes) {
        let header = header.expect("what decodes has a header");
        let view = frame.view();
        assert_eq!((header.width_px, header.height_px), (view.width_px(), view.height_px()));
    }
});
