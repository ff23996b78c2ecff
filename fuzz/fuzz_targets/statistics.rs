//! No bytes make the reader of statistics archives panic, and what it accepts can be calibrated
//! from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::model::Statistics;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(statistics) = Statistics::parse(bytes)
        && statistics.dims() <= 64
        && let Ok(rotated) = statistics.rotated()
    {
        let (scale, _share) = rotated.scale();
        assert!(scale >= 8.0);
    }
});
