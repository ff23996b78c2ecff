// SPDX-License-Identifier: MIT OR Apache-2.0
//
// depthwise: one filter per channel, channels do not mix. A thread computes an octet of channels at
// four neighbouring positions of a row, so that it reads each weight once for four sums;
// neighbouring threads read neighbouring channels. The windows of the field, three by three, keep a
// row of the filter in registers and read each value once for up to three sums. Bound: bytes.
//
// Registers: depthwise 96

#include "shared/octet.cuh"

// Positions of a row that a thread computes.
constexpr u32 ABREAST = 4;

// Where a thread stands: its octet, its first window, and the item under it.
struct Strip {
    u32 c;
    // First position of the output, among those of all items, and how many are its own.
    u32 position;
    u32 count;
    // Corner of the first window.
    i32 top;
    i32 left;
    const u16* input;
    const float* weights;
};

INLINE void add_products(Octet& sums, const Octet& values, const Octet& taps) {
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        sums.at[n] += values.at[n] * taps.at[n];
    }
}

// The octet at row `y` and column `x` of the input; the caller has looked that it is there.
INLINE Octet under(const Job& job, const Strip& strip, i32 y, i32 x) {
    const u32 at = static_cast<u32>(y) * job.in_w + static_cast<u32>(x);
    return read_halves(strip.input + static_cast<u64>(at) * pitch(job.in_c));
}

INLINE Octet tap(const Job& job, const Strip& strip, u32 ky, u32 kx) {
    return read_floats(strip.weights + (ky * job.kernel_w + kx) * pitch(job.in_c));
}

// Any window: each weight is read once for all positions.
INLINE void any_window(const Job& job, const Strip& strip, Octet (&sums)[ABREAST]) {
    for (u32 ky = 0; ky < job.kernel_h; ky++) {
        const i32 y = strip.top + static_cast<i32>(ky);
        if (static_cast<u32>(y) >= job.in_h) {
            continue;
        }
        for (u32 kx = 0; kx < job.kernel_w; kx++) {
            const Octet taps = tap(job, strip, ky, kx);
#pragma unroll
            for (u32 n = 0; n < ABREAST; n++) {
                const i32 x = strip.left + static_cast<i32>(n * job.stride_w + kx);
                if (static_cast<u32>(x) < job.in_w) {
                    add_products(sums[n], under(job, strip, y, x), taps);
                }
            }
        }
    }
}

// Three by three: each value is read once for every window of the row that it lies in.
template <u32 STRIDE>
INLINE void three_by_three(const Job& job, const Strip& strip, Octet (&sums)[ABREAST]) {
#pragma unroll 1
    for (u32 ky = 0; ky < 3; ky++) {
        const i32 y = strip.top + static_cast<i32>(ky);
        if (static_cast<u32>(y) >= job.in_h) {
            continue;
        }
        Octet taps[3];
#pragma unroll
        for (u32 kx = 0; kx < 3; kx++) {
            taps[kx] = tap(job, strip, ky, kx);
        }
#pragma unroll
        for (u32 column = 0; column < (ABREAST - 1) * STRIDE + 3; column++) {
            const i32 x = strip.left + static_cast<i32>(column);
            if (static_cast<u32>(x) >= job.in_w) {
                continue;
            }
            const Octet values = under(job, strip, y, x);
#pragma unroll
            for (u32 n = 0; n < ABREAST; n++) {
                if (column >= n * STRIDE && column < n * STRIDE + 3) {
                    add_products(sums[n], values, taps[column - n * STRIDE]);
                }
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) depthwise(const Job job) {
    const u32 strips = (job.out_w + ABREAST - 1) / ABREAST;
    const Place own = place(job.items * job.out_h * strips, job.out_c);
    if (!own.there) {
        return;
    }
    const u32 row = own.position / strips;
    const u32 x = own.position % strips * ABREAST;
    const u32 channels = pitch(job.in_c);
    const u64 item = static_cast<u64>(row / job.out_h) * job.in_h * job.in_w;
    Strip strip;
    strip.c = own.c;
    strip.position = row * job.out_w + x;
    strip.count = min(ABREAST, job.out_w - x);
    strip.top = static_cast<i32>(row % job.out_h * job.stride_h) - static_cast<i32>(job.pad_top);
    strip.left = static_cast<i32>(x * job.stride_w) - static_cast<i32>(job.pad_left);
    strip.input = static_cast<const u16*>(job.input) + item * channels + own.c;
    strip.weights = static_cast<const float*>(job.weights) + own.c;
    Octet sums[ABREAST] = {};
    const bool is_square = job.kernel_h == 3 && job.kernel_w == 3;
    if (is_square && job.stride_w == 1) {
        three_by_three<1>(job, strip, sums);
    } else if (is_square && job.stride_w == 2) {
        three_by_three<2>(job, strip, sums);
    } else {
        any_window(job, strip, sums);
    }
#pragma unroll
    for (u32 n = 0; n < ABREAST; n++) {
        if (n < strip.count) {
            finish(job, strip.position + n, strip.c, sums[n]);
        }
    }
}
