// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What the shader of a step is told: the shapes of one item, the window, and a few numbers whose
// meaning is the op's. Twin of `Job` in src/backend/wgpu/layout.rs; a test reflects both.
//
// Buffers are NHWC, item after item; the third axis of a dispatch is the item.

struct Job {
    in_h: u32,
    in_w: u32,
    in_c: u32,
    out_h: u32,
    out_w: u32,
    out_c: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_top: u32,
    pad_left: u32,
    // How the step ends: one of the constants in activation.wgsl.
    curve: u32,
    // 1 where a residual is added before the activation.
    residual: u32,
    // concat: first channel written; dense: outputs in a row of weights; upsample: the factor.
    extra: u32,
    // Items that the buffers have room for.
    items: u32,
}

@group(0) @binding(0) var<uniform> job: Job;

const LANES: u32 = 64u;

// Which value of an item a lane computes, in dispatches of one value per lane. They are laid out
// on two axes, since one axis has at most 65,535 workgroups.
fn element(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
    return (group.y * groups.x + group.x) * LANES + lane;
}

fn input_values() -> u32 {
    return job.in_h * job.in_w * job.in_c;
}

fn output_values() -> u32 {
    return job.out_h * job.out_w * job.out_c;
}
