// SPDX-License-Identifier: MIT OR Apache-2.0
//
// softmax: over the channels of each position. One lane per position.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let position = element(group, groups, lane);
    if position >= job.out_h * job.out_w {
        return;
    }
    let begin = group.z * output_values() + position * job.out_c;
    var largest = input[begin];
    for (var c = 1u; c < job.out_c; c++) {
        largest = max(largest, input[begin + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < job.out_c; c++) {
        sum += exp(input[begin + c] - largest);
    }
    for (var c = 0u; c < job.out_c; c++) {
        out[begin + c] = exp(input[begin + c] - largest) / sum;
    }
}
