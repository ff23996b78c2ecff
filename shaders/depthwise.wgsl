// SPDX-License-Identifier: MIT OR Apache-2.0
//
// depthwise: one filter per channel, channels do not mix. One lane per value; neighbouring lanes
// read neighbouring channels. Bound: bytes.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> slopes: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

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
    let c = at % job.out_c;
    let position = at / job.out_c;
    let top = i32(position / job.out_w * job.stride_h) - i32(job.pad_top);
    let left = i32(position % job.out_w * job.stride_w) - i32(job.pad_left);
    let begin = group.z * input_values() + c;
    var sum = bias[c];
    if job.residual == 1u {
        sum += residual[group.z * output_values() + at];
    }
    for (var ky = 0u; ky < job.kernel_h; ky++) {
        let y = top + i32(ky);
        if y < 0 || y >= i32(job.in_h) {
            continue;
        }
        for (var kx = 0u; kx < job.kernel_w; kx++) {
            let x = left + i32(kx);
            if x >= 0 && x < i32(job.in_w) {
                let value = input[begin + (u32(y) * job.in_w + u32(x)) * job.in_c];
                sum += value * weights[(ky * job.kernel_w + kx) * job.in_c + c];
            }
        }
    }
    out[group.z * output_values() + at] = activation(sum, slopes[slope_at(c)]);
}
