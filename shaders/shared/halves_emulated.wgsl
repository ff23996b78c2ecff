// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The two numbers of half precision in a word, the lower one first, where the device does not
// unpack them. Exact for all that are finite: every one of them is a normal number of 32 bits.

fn halves(word: u32) -> vec2<f32> {
    let bits = vec2(word & 0xffffu, word >> 16u);
    let sign = (bits & vec2(0x8000u)) << vec2(16u);
    let exponent = (bits >> vec2(10u)) & vec2(31u);
    let fraction = bits & vec2(1023u);
    let normal = ((exponent + vec2(112u)) << vec2(23u)) | (fraction << vec2(13u));
    // Those below the smallest normal one count in units of 2^-24.
    let small = bitcast<vec2<u32>>(vec2<f32>(fraction) * 0x1p-24);
    return bitcast<vec2<f32>>(sign | select(normal, small, exponent == vec2(0u)));
}
