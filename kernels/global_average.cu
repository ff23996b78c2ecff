// SPDX-License-Identifier: MIT OR Apache-2.0
//
// global_average: the mean of a channel over all positions. One warp per octet of channels of an
// item; its lanes divide the positions among them. Bound: bytes.
//
// Registers: global_average 48

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) global_average(const Job job) {
    const u32 octets = pitch(job.in_c) / 8;
    const u32 warp = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const u32 lane = threadIdx.x % 32;
    // Whole warps leave: the sums below are asked for by all lanes.
    if (warp >= job.items * octets) {
        return;
    }
    const u32 item = warp / octets;
    const u32 c = warp % octets * 8;
    const u32 positions = job.in_h * job.in_w;
    const u16* input = static_cast<const u16*>(job.input) +
                       static_cast<u64>(item) * positions * (octets * 8) + c;
    Octet sums = {};
    for (u32 position = lane; position < positions; position += 32) {
        const Octet values = read_halves(input + static_cast<u64>(position) * (octets * 8));
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            sums.at[n] += values.at[n];
        }
    }
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        sums.at[n] = warp_sum(sums.at[n]) / static_cast<float>(positions);
    }
    if (lane == 0) {
        put(job, item, c, sums);
    }
}
