// SPDX-License-Identifier: MIT OR Apache-2.0
//
// concat: the channels of one input into their place among those of all; one dispatch per input.
// `job.extra` is the first channel written. One lane per value of the input.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = element(group, groups, lane);
    if at >= input_values() {
        return;
    }
    let position = at / job.in_c;
    let c = job.extra + at % job.in_c;
    let value = input[group.z * input_values() + at];
    out[group.z * output_values() + position * job.out_c + c] = value;
}
