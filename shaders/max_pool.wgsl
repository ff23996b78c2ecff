// SPDX-License-Identifier: MIT OR Apache-2.0
//
// max_pool: the largest value under the window, channel by channel; padding never wins. One lane
// per value.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// Below every value of a network.
const LOWEST: f32 = -3.40282347e+38;

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
    var largest = LOWEST;
    for (var ky = 0u; ky < job.kernel_h; ky++) {
        let y = top + i32(ky);
        if y < 0 || y >= i32(job.in_h) {
            continue;
        }
        for (var kx = 0u; kx < job.kernel_w; kx++) {
            let x = left + i32(kx);
            if x >= 0 && x < i32(job.in_w) {
                largest = max(largest, input[begin + (u32(y) * job.in_w + u32(x)) * job.in_c]);
            }
        }
    }
    out[group.z * output_values() + at] = largest;
}
