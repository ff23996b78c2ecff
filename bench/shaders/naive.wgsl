// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What one would write first: one lane per record, every value of it, every score to memory. What
// the search is compared with.

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> probe: array<u32>;
@group(0) @binding(2) var<storage, read_write> scores: array<i32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    let row = at.x;
    if row >= arrayLength(&scores) {
        return;
    }
    let words = arrayLength(&probe);
    var sum = 0;
    for (var word = 0u; word < words; word++) {
        sum += dot4I8Packed(rows[row * words + word], probe[word]);
    }
    scores[row] = sum;
}
