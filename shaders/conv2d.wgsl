// SPDX-License-Identifier: MIT OR Apache-2.0
//
// conv2d: the convolution over all input channels, as a tiled product of two matrices of which the
// left one, the unrolled picture, is never written down (implicit GEMM).
//
//     rows      positions of the output (y, x)            64 per workgroup
//     columns   channels of the output                    32 per workgroup
//     depth     taps (ky, kx, i), channels fastest        16 at a time
//
// 128 lanes; each sums 4 positions by 4 channels in registers. Weights are padded with zeros to
// whole tiles by the host, four channels to an element. With POINTWISE (1 x 1, stride 1, no
// padding) a position of the output is a position of the input, and the product is a plain one.
// Bound: 2 * positions * channels * depth operations over 4 * (positions + channels) * depth bytes.

const POSITIONS: u32 = 64u;
const CHANNELS: u32 = 32u;
const DEPTH: u32 = 16u;
const WORKGROUP: u32 = 128u;
// Positions that one lane fetches for a step of the depth.
const FETCHED: u32 = 8u;
// Distance of two taps in `values`; one more than the positions, so that lanes which write
// different taps of one position do so in different banks.
const PITCH: u32 = POSITIONS + 1u;
// A row that is in no picture.
const NOWHERE: i32 = -1000000;

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> slopes: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

var<workgroup> values: array<f32, DEPTH * PITCH>;
var<workgroup> taps: array<vec4<f32>, DEPTH * CHANNELS / 4u>;

// The value of tap `k` where the window's corner lies at `corner`; zero outside the picture.
fn under_window(item: u32, corner: vec2<i32>, k: u32) -> f32 {
    let tap = k / job.in_c;
    let y = corner.x + i32(tap / job.kernel_w);
    let x = corner.y + i32(tap % job.kernel_w);
    if y < 0 || x < 0 || y >= i32(job.in_h) || x >= i32(job.in_w) {
        return 0.0;
    }
    let position = u32(y) * job.in_w + u32(x);
    return input[item * input_values() + position * job.in_c + k % job.in_c];
}

// Four channels of one position, from channel `first`.
fn finish(item: u32, position: u32, first: u32, sums: vec4<f32>) {
    if position >= job.out_h * job.out_w {
        return;
    }
    for (var n = 0u; n < 4u; n++) {
        let c = first + n;
        if c < job.out_c {
            let at = item * output_values() + position * job.out_c + c;
            var sum = bias[c] + sums[n];
            if job.residual == 1u {
                sum += residual[at];
            }
            out[at] = activation(sum, slopes[slope_at(c)]);
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let positions = job.out_h * job.out_w;
    let depth = job.kernel_h * job.kernel_w * job.in_c;
    let first = group.x * POSITIONS;
    let quads = (job.out_c + CHANNELS - 1u) / CHANNELS * CHANNELS / 4u;
    // Where the windows lie whose taps this lane fetches.
    var corners: array<vec2<i32>, FETCHED>;
    for (var n = 0u; n < FETCHED; n++) {
        let position = first + lane / DEPTH + n * (WORKGROUP / DEPTH);
        let y = i32(position / job.out_w * job.stride_h) - i32(job.pad_top);
        let x = i32(position % job.out_w * job.stride_w) - i32(job.pad_left);
        corners[n] = vec2(select(NOWHERE, y, position < positions), x);
    }
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var begin = 0u; begin < depth; begin += DEPTH) {
        let k = begin + lane % DEPTH;
        for (var n = 0u; n < FETCHED; n++) {
            let row = lane / DEPTH + n * (WORKGROUP / DEPTH);
            var value = 0.0;
            if POINTWISE {
                if k < depth && first + row < positions {
                    value = input[group.z * input_values() + (first + row) * job.in_c + k];
                }
            } else if k < depth {
                value = under_window(group.z, corners[n], k);
            }
            values[lane % DEPTH * PITCH + row] = value;
        }
        let quad = group.y * (CHANNELS / 4u) + lane % (CHANNELS / 4u);
        taps[lane] = weights[(begin + lane / (CHANNELS / 4u)) * quads + quad];
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let tap = taps[d * (CHANNELS / 4u) + lane % (CHANNELS / 4u)];
            let at = d * PITCH + lane / (CHANNELS / 4u) * 4u;
            sum0 += values[at] * tap;
            sum1 += values[at + 1u] * tap;
            sum2 += values[at + 2u] * tap;
            sum3 += values[at + 3u] * tap;
        }
        workgroupBarrier();
    }
    let position = first + lane / (CHANNELS / 4u) * 4u;
    let c = group.y * CHANNELS + lane % (CHANNELS / 4u) * 4u;
    finish(group.z, position, c, sum0);
    finish(group.z, position + 1u, c, sum1);
    finish(group.z, position + 2u, c, sum2);
    finish(group.z, position + 3u, c, sum3);
}
