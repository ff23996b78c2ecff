// SPDX-License-Identifier: MIT OR Apache-2.0
//
// depthwise: one filter per channel, channels do not mix. One thread per octet of channels of a
// position; neighbouring threads read neighbouring channels. Bound: bytes; the taps of neighbouring
// positions meet in the first cache.
//
// Registers: depthwise 80

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) depthwise(const Job job) {
    const u32 positions = job.out_h * job.out_w;
    const Place own = place(job.items * positions, job.out_c);
    if (!own.there) {
        return;
    }
    const u32 channels = pitch(job.in_c);
    const u32 position = own.position % positions;
    const i32 top = static_cast<i32>(position / job.out_w * job.stride_h) -
                    static_cast<i32>(job.pad_top);
    const i32 left = static_cast<i32>(position % job.out_w * job.stride_w) -
                     static_cast<i32>(job.pad_left);
    const u64 item = static_cast<u64>(own.position / positions) * job.in_h * job.in_w;
    const u16* input = static_cast<const u16*>(job.input) + item * channels + own.c;
    const float* weights = static_cast<const float*>(job.weights) + own.c;
    Octet sums = {};
    for (u32 ky = 0; ky < job.kernel_h; ky++) {
        const i32 y = top + static_cast<i32>(ky);
        if (static_cast<u32>(y) >= job.in_h) {
            continue;
        }
#pragma unroll 3
        for (u32 kx = 0; kx < job.kernel_w; kx++) {
            const i32 x = left + static_cast<i32>(kx);
            if (static_cast<u32>(x) >= job.in_w) {
                continue;
            }
            const u32 at = static_cast<u32>(y) * job.in_w + static_cast<u32>(x);
            const Octet values = read_halves(input + static_cast<u64>(at) * channels);
            const Octet taps = read_floats(weights + (ky * job.kernel_w + kx) * channels);
#pragma unroll
            for (u32 n = 0; n < 8; n++) {
                sums.at[n] += values.at[n] * taps.at[n];
            }
        }
    }
    finish(job, own.position, own.c, sums);
}
