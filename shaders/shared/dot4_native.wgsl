// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The product of two words of four signed bytes, as the language has it.

fn dot4(a: u32, b: u32) -> i32 {
    return dot4I8Packed(a, b);
}
