// SPDX-License-Identifier: MIT OR Apache-2.0
//
// score: the exact product of sixteen values of two templates; a part of search.cu.

#pragma once

#include "shared/machine.cuh"

// sum + a . b
INLINE i32 score(uint4 a, uint4 b, i32 sum) {
    sum = __dp4a(static_cast<i32>(a.x), static_cast<i32>(b.x), sum);
    sum = __dp4a(static_cast<i32>(a.y), static_cast<i32>(b.y), sum);
    sum = __dp4a(static_cast<i32>(a.z), static_cast<i32>(b.z), sum);
    return __dp4a(static_cast<i32>(a.w), static_cast<i32>(b.w), sum);
}
