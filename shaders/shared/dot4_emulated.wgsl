// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The product of two words of four signed bytes where the language does not have it: each byte is
// brought to the top and shifted back down, which copies its sign.

fn bytes(word: u32) -> vec4<i32> {
    return bitcast<vec4<i32>>(vec4(word) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u);
}

fn dot4(a: u32, b: u32) -> i32 {
    let products = bytes(a) * bytes(b);
    return products.x + products.y + products.z + products.w;
}
