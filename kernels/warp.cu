// SPDX-License-Identifier: MIT OR Apache-2.0
//
// warp: a bilinear sample of the frame, as an embedder's input. One thread per pixel of the input.
// The position is computed in f64, as the oracle does, so that no sample near an edge falls on the
// other side of it; the colours in f32.
//
// Registers: warp 64

#include "shared/picture.cuh"

// One colour of the frame's pixel, black outside it. Rows that no sample touches were not sent.
INLINE float level(const Picture& picture, i32 row, i32 column, u32 colour) {
    const i32 held = row - static_cast<i32>(picture.first_row);
    if (held < 0 || held >= static_cast<i32>(picture.rows) || column < 0 ||
        column >= static_cast<i32>(picture.width)) {
        return 0.0f;
    }
    const u64 at = static_cast<u64>(held) * picture.width + static_cast<u32>(column);
    return static_cast<float>(picture.pixels[at * 3 + colour]);
}

extern "C" __global__ void __launch_bounds__(256) warp(const Picture picture) {
    const u32 across = blockIdx.x * blockDim.x + threadIdx.x;
    const u32 down = blockIdx.y * blockDim.y + threadIdx.y;
    if (across >= picture.out_w || down >= picture.out_h) {
        return;
    }
    const double x = across;
    const double y = down;
    const double u = static_cast<double>(picture.m0) * x + static_cast<double>(picture.m1) * y +
                     static_cast<double>(picture.m2);
    const double v = static_cast<double>(picture.m3) * x + static_cast<double>(picture.m4) * y +
                     static_cast<double>(picture.m5);
    // A position that is no number fails every comparison, and is far away.
    const bool near = u > -1.0 && u < picture.width && v > -1.0 && v < picture.height;
    if (!near) {
        put_colour(picture, down, across, Colour{});
        return;
    }
    const double left = floor(u);
    const double top = floor(v);
    const i32 column = static_cast<i32>(left);
    const i32 row = static_cast<i32>(top);
    const float fx = static_cast<float>(u - left);
    const float fy = static_cast<float>(v - top);
    Colour colour;
#pragma unroll
    for (u32 c = 0; c < 3; c++) {
        const float above = (1.0f - fx) * level(picture, row, column, c) +
                            fx * level(picture, row, column + 1, c);
        const float below = (1.0f - fx) * level(picture, row + 1, column, c) +
                            fx * level(picture, row + 1, column + 1, c);
        colour.at[c] = (1.0f - fy) * above + fy * below;
    }
    put_colour(picture, down, across, colour);
}
