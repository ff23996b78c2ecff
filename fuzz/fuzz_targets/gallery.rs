//! No bytes make the parsers of superblocks and of the key tree panic, neither as a file that comes
//! from outside nor as nodes behind the cipher; and nothing is allocated for a size that is only
//! claimed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::gallery::{Gallery, MemoryMedia, survey};

fuzz_target!(|bytes: &[u8]| {
    let head = Gallery::head(&MemoryMedia::of(bytes));
    if let Ok(tiles) = survey(bytes) {
        // 64 tiles to a leaf, and 64 bytes in the root for each; leaves may claim the same bytes.
        assert!(tiles <= bytes.len() as u64, "{tiles} tiles in {} bytes", bytes.len());
    }
    if let Ok(head) = head {
        assert!(bytes.len() >= 8192, "{head:?} of less than two superblocks");
    }
});
