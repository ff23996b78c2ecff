//! No bytes make the model loader panic, hang or run out of memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{model, ops::program::ChannelOrder};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(program) = model::load(bytes, "fuzz.onnx", ChannelOrder::Rgb, None) {
        program.check().expect("a loaded program is sound");
    }
});
