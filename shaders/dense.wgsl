// SPDX-License-Identifier: MIT OR Apache-2.0
//
// dense: every input value meets every output. It reads each weight once for up to four items, so
// its bound is bytes. A workgroup sums 8 outputs; 32 lanes divide the inputs of each among them.
//
// `job.extra` is the number of outputs in a row of weights, a multiple of 8 (the host pads with
// zeros). With HALVED two weights in half precision stand in one element (shared/halves_*.wgsl).

const OUTPUTS: u32 = 8u;
const SHARES: u32 = 32u;

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> slopes: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

// One sum per item of four.
var<workgroup> sums: array<vec4<f32>, OUTPUTS * SHARES>;

fn weight(i: u32, o: u32) -> f32 {
    let at = i * job.extra + o;
    if HALVED {
        let pair = halves(weights[at / 2u]);
        return select(pair.x, pair.y, at % 2u == 1u);
    }
    return bitcast<f32>(weights[at]);
}

@compute @workgroup_size(OUTPUTS * SHARES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let inputs = input_values();
    let o = group.x * OUTPUTS + lane % OUTPUTS;
    // Lanes without an item of their own repeat the last one and write nothing.
    let items = min(group.z * 4u + vec4(0u, 1u, 2u, 3u), vec4(job.items - 1u)) * inputs;
    var sum = vec4<f32>();
    for (var i = lane / OUTPUTS; i < inputs; i += SHARES) {
        let first = vec2(input[items.x + i], input[items.y + i]);
        let second = vec2(input[items.z + i], input[items.w + i]);
        sum += vec4(first, second) * weight(i, o);
    }
    sums[lane] = sum;
    for (var reach = SHARES / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if lane / OUTPUTS < reach {
            sums[lane] += sums[lane + reach * OUTPUTS];
        }
    }
    workgroupBarrier();
    let item = group.z * 4u + lane / OUTPUTS;
    if lane / OUTPUTS < 4u && item < job.items && o < job.out_c {
        let whole = sums[lane % OUTPUTS][lane / OUTPUTS] + bias[o];
        out[item * job.out_c + o] = activation(whole, slopes[slope_at(o)]);
    }
}
