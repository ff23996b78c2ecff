// SPDX-License-Identifier: MIT OR Apache-2.0
//
// score: the exact product of two templates, here sixteen values of each at a time: four words of
// four signed bytes. Sums are i32 and cannot overflow (see src/ops/score.rs). The product of two
// words is `dot4`: the device's own, or its exact emulation (shared/dot4_*.wgsl).

fn score(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4(a.x, b.x) + dot4(a.y, b.y) + dot4(a.z, b.z) + dot4(a.w, b.w);
}
