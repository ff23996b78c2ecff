// SPDX-License-Identifier: MIT OR Apache-2.0
//
// softmax: over the channels of each position. One thread per position: the networks of this field
// have two or three classes. Bound: bytes.
//
// Registers: softmax 40

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) softmax(const Job job) {
    const u64 position = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (position >= static_cast<u64>(job.items) * job.in_h * job.in_w) {
        return;
    }
    const u32 channels = pitch(job.in_c);
    const u16* input = static_cast<const u16*>(job.input) + position * channels;
    float largest = from_half(input[0]);
    for (u32 c = 1; c < job.in_c; c++) {
        largest = fmaxf(largest, from_half(input[c]));
    }
    float sum = 0.0f;
    for (u32 c = 0; c < job.in_c; c++) {
        sum += expf(from_half(input[c]) - largest);
    }
    for (u32 c = 0; c < channels; c += 8) {
        Octet shares;
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            shares.at[n] = expf(from_half(input[c + n]) - largest) / sum;
        }
        put(job, static_cast<u32>(position), c, shares);
    }
}
