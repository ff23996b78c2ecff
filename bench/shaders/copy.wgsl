// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The device's ceiling: memory to memory, sixteen bytes a lane. Twice its bytes are moved.

@group(0) @binding(0) var<storage, read> input: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    if at.x < arrayLength(&out) {
        out[at.x] = input[at.x];
    }
}
