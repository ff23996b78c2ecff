//! No bytes make the calibration parser panic, and what it accepts can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::model::Calibration;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(calibration) = Calibration::parse(bytes) {
        let embedding = vec![1.0; calibration.layout().dims];
        calibration.template(&embedding).expect("an embedding with a direction");
    }
});
