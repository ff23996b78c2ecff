// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The two numbers of half precision in a word, the lower one first, as the language unpacks them.

fn halves(word: u32) -> vec2<f32> {
    return unpack2x16float(word);
}
