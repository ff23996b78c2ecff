// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What the kernel of a step is told. The host has a twin, byte for byte; README.md says what each
// member means, and the assertions below hold the offsets that it names.

#pragma once

#include "shared/machine.cuh"

struct Job {
    const void* input;
    const u16* second;
    const void* weights;
    const float* bias;
    const float* scale;
    const float* slopes;
    void* out;
    const float* after_scale;
    const float* after_shift;
    u16* after;
    float* sums;
    u32 items;
    u32 in_h;
    u32 in_w;
    u32 in_c;
    u32 out_h;
    u32 out_w;
    u32 out_c;
    u32 kernel_h;
    u32 kernel_w;
    u32 stride_h;
    u32 stride_w;
    u32 pad_top;
    u32 pad_left;
    u32 curve;
    u32 wide;
    u32 extra;
    u32 splits;
    u32 spare;
};

static_assert(sizeof(Job) == 160, "the host's twin has 160 bytes");
STANDS_AT(Job, sums, 80);
STANDS_AT(Job, in_h, 92);
STANDS_AT(Job, kernel_h, 116);
STANDS_AT(Job, splits, 152);

// Channels of a position as they lie in memory.
INLINE u32 pitch(u32 channels) {
    return (channels + 7) & ~7u;
}
