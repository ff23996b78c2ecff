// SPDX-License-Identifier: MIT OR Apache-2.0
//
// upsample: nearest-neighbour enlargement by the whole factor `job.extra`. One lane per value.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = element(group, groups, lane);
    if at >= output_values() {
        return;
    }
    let position = at / job.out_c;
    let y = position / job.out_w / job.extra;
    let x = position % job.out_w / job.extra;
    let from_value = group.z * input_values() + (y * job.in_w + x) * job.in_c + at % job.out_c;
    out[group.z * output_values() + at] = input[from_value];
}
