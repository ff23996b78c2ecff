//! No stream makes the cut into pictures panic, hang or keep more than one picture; what it cuts
//! out begins and ends as a JPEG does. The first byte is the size of the pieces in which it
//! arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::capture::mjpeg::{Cut, Splitter};

/// Small, so that the limit is met.
const PICTURE_BYTES_MAX: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, mut rest)) = bytes.split_first() else { return };
    let mut splitter = Splitter::new(PICTURE_BYTES_MAX);
    while !rest.is_empty() {
        let now = &rest[..rest.len().min(usize::from(piece) + 1)];
        let (seen, cut) = splitter.push(now);
        assert!((1..=now.len()).contains(&seen));
        if let Cut::Picture(picture) = cut {
            assert!(picture.len() <= PICTURE_BYTES_MAX);
            assert!(picture.starts_with(&[0xFF, 0xD8]) && picture.ends_with(&[0xFF, 0xD9]));
        }
        rest = &rest[seen..];
    }
});
