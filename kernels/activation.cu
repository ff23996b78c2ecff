// SPDX-License-Identifier: MIT OR Apache-2.0
//
// activation: the elementwise function at the end of a step; a part of the kernels that end so. A
// NaN stays a NaN: every comparison with it is false, and the value itself is what is left.

#pragma once

#include "shared/machine.cuh"

constexpr u32 IDENTITY = 0;
constexpr u32 PRELU = 1;
constexpr u32 RELU = 2;
constexpr u32 SIGMOID = 3;

INLINE float activation(float x, float slope, u32 curve) {
    switch (curve) {
    case PRELU:
        return x < 0.0f ? slope * x : x;
    case RELU:
        return x < 0.0f ? 0.0f : x;
    case SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    default:
        return x;
    }
}
