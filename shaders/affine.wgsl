// SPDX-License-Identifier: MIT OR Apache-2.0
//
// affine: out = activation(scale[c] * x + shift[c]). One lane per value.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read> slopes: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

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
    let i = group.z * output_values() + at;
    let c = at % job.out_c;
    out[i] = activation(scale[c] * input[i] + shift[c], slopes[slope_at(c)]);
}
