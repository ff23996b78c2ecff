// SPDX-License-Identifier: MIT OR Apache-2.0
//
// global_average: the mean of a channel over all positions. One lane per channel.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = element(group, groups, lane);
    if c >= job.out_c {
        return;
    }
    let positions = job.in_h * job.in_w;
    var sum = 0.0;
    for (var position = 0u; position < positions; position++) {
        sum += input[group.z * input_values() + position * job.in_c + c];
    }
    out[group.z * job.out_c + c] = sum / f32(positions);
}
