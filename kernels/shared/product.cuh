// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A tiled product of two matrices on tensor cores, of which the left one, the unrolled picture, is
// never written down (implicit GEMM).
//
//     rows      positions of the output, of all items        TM per block, WM per warp
//     columns   channels of the output                       TN per block, WN per warp
//     depth     taps (ky, kx, i), channels fastest           32 at a time, in CONV_STAGES stages
//
// Both tiles lie in shared memory as rows of 64 bytes, four chunks of eight halves; chunk `c` of
// row `r` stands at place `c ^ (r / 2 % 4)`, so that neither the copies in nor the reads of eight
// rows out meet in a bank. A chunk never crosses a tap, because channels are padded to eight. While
// one stage is multiplied the next ones are on their way; one barrier a stage.
//
// Bound: 2 * rows * columns * depth operations over 2 * (rows + columns) * depth bytes of shared
// memory per warp: sixteen multiply-adds for a byte where a warp has 64 by 64.

#pragma once

#include "shared/octet.cuh"

constexpr u32 DEPTH = 32;
constexpr u32 ROW_BYTES = DEPTH * 2;
constexpr u32 CHUNK_BYTES = 16;
constexpr u32 CHUNKS = ROW_BYTES / CHUNK_BYTES;
constexpr u32 PRODUCT_THREADS = 128;
// A row that is in no picture.
constexpr i32 NOWHERE = -(1 << 29);

INLINE u32 chunk_at(u32 row, u32 chunk) {
    return row * ROW_BYTES + ((chunk ^ (row / 2 % CHUNKS)) * CHUNK_BYTES);
}

// Where a thread stands in the depth: the tap and the channel of its chunk.
struct Tap {
    u32 ky;
    u32 kx;
    u32 i;
    // ky * in_w + kx positions, and i: offset of the chunk from the window's corner.
    i32 offset;
};

// The unrolled picture, as one thread fetches it: the same chunk of `ROWS` rows.
template <u32 ROWS>
struct Windows {
    const u16* corner[ROWS];
    i32 y[ROWS];
    i32 x[ROWS];
    Tap tap;

    INLINE void begin(const Job& job, u32 first, u32 rows, u32 k) {
        const u32 thread = threadIdx.x;
        const u32 positions = job.out_h * job.out_w;
        const u32 channels = pitch(job.in_c);
        const u64 item_values = static_cast<u64>(job.in_h) * job.in_w * channels;
#pragma unroll
        for (u32 n = 0; n < ROWS; n++) {
            const u32 row = first + thread / CHUNKS + n * (PRODUCT_THREADS / CHUNKS);
            const u32 item = row / positions;
            const u32 position = row % positions;
            const i32 top = static_cast<i32>(position / job.out_w * job.stride_h) -
                            static_cast<i32>(job.pad_top);
            const i32 left = static_cast<i32>(position % job.out_w * job.stride_w) -
                             static_cast<i32>(job.pad_left);
            const i64 offset = (static_cast<i64>(top) * job.in_w + left) * channels;
            y[n] = row < rows ? top : NOWHERE;
            x[n] = left;
            corner[n] = static_cast<const u16*>(job.input) + (item * item_values + offset);
        }
        const u32 at = k + thread % CHUNKS * 8;
        const u32 number = at / channels;
        tap.ky = number / job.kernel_w;
        tap.kx = number % job.kernel_w;
        tap.i = at % channels;
        place_tap(job);
    }

    INLINE void place_tap(const Job& job) {
        const u32 channels = pitch(job.in_c);
        tap.offset = static_cast<i32>((tap.ky * job.in_w + tap.kx) * channels + tap.i);
    }

    INLINE void fetch(const Job& job, u8* tile) const {
        const u32 thread = threadIdx.x;
#pragma unroll
        for (u32 n = 0; n < ROWS; n++) {
            const u32 row = thread / CHUNKS + n * (PRODUCT_THREADS / CHUNKS);
            const bool there = tap.ky < job.kernel_h &&
                               static_cast<u32>(y[n] + static_cast<i32>(tap.ky)) < job.in_h &&
                               static_cast<u32>(x[n] + static_cast<i32>(tap.kx)) < job.in_w;
            const u16* from = there ? corner[n] + tap.offset : corner[0];
            copy_sixteen(tile + chunk_at(row, thread % CHUNKS), from, there);
        }
    }

    INLINE void advance(const Job& job) {
        const u32 channels = pitch(job.in_c);
        tap.i += DEPTH;
        while (tap.i >= channels && tap.ky < job.kernel_h) {
            tap.i -= channels;
            tap.kx++;
            if (tap.kx == job.kernel_w) {
                tap.kx = 0;
                tap.ky++;
            }
        }
        place_tap(job);
    }
};

// The weights, as one thread fetches them: the same chunk of `ROWS` channels of the output.
template <u32 ROWS>
struct Filters {
    const u16* at;
    u32 stride;
    u32 channel;

    INLINE void begin(const Job& job, u32 first, u32 depth, u32 k) {
        channel = first + threadIdx.x / CHUNKS;
        stride = depth;
        at = static_cast<const u16*>(job.weights) + static_cast<u64>(channel) * depth + k +
             threadIdx.x % CHUNKS * 8;
    }

    INLINE void fetch(const Job& job, u8* tile) const {
        const u32 channels = pitch(job.out_c);
#pragma unroll
        for (u32 n = 0; n < ROWS; n++) {
            const u32 row = threadIdx.x / CHUNKS + n * (PRODUCT_THREADS / CHUNKS);
            const u32 ahead = n * (PRODUCT_THREADS / CHUNKS);
            const bool there = channel + ahead < channels;
            const u16* from = there ? at + static_cast<u64>(ahead) * stride
                                    : static_cast<const u16*>(job.weights);
            copy_sixteen(tile + chunk_at(row, threadIdx.x % CHUNKS), from, there);
        }
    }

    INLINE void advance() {
        at += DEPTH;
    }
};

// Multiplies one stage: from row `row` of tile `a` and row `column` of tile `b` on.
template <u32 MT, u32 NT>
INLINE void multiply_stage(float (&sums)[MT][NT][4], const u8* a, const u8* b, u32 row,
                           u32 column) {
    const u32 lane = threadIdx.x % 32;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 left[MT][4];
        u32 right[NT / 2][4];
#pragma unroll
        for (u32 m = 0; m < MT; m++) {
            load_matrices(left[m], a + chunk_at(row + m * 16 + lane % 16, 2 * half + lane / 16));
        }
#pragma unroll
        for (u32 n = 0; n < NT / 2; n++) {
            const u32 channel = column + n * 16 + lane % 8 + lane / 16 * 8;
            load_matrices(right[n], b + chunk_at(channel, 2 * half + lane / 8 % 2));
        }
#pragma unroll
        for (u32 m = 0; m < MT; m++) {
#pragma unroll
            for (u32 n = 0; n < NT; n++) {
                multiply_halves(sums[m][n], left[m], right[n / 2][n % 2 * 2],
                                right[n / 2][n % 2 * 2 + 1]);
            }
        }
    }
}

// Brings sixteen rows of a warp's sums into order in shared memory and ends them, eight channels a
// lane: every write is sixteen bytes.
template <u32 NT>
INLINE void end_rows(const Job& job, float* patch, const float (&sums)[NT][4], u32 first, u32 rows,
                     u32 column) {
    constexpr u32 PITCH = NT * 8 + 4;
    const u32 lane = threadIdx.x % 32;
    __syncwarp();
#pragma unroll
    for (u32 n = 0; n < NT; n++) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            float* at = patch + (lane / 4 + half * 8) * PITCH + n * 8 + lane % 4 * 2;
            at[0] = sums[n][half * 2];
            at[1] = sums[n][half * 2 + 1];
        }
    }
    __syncwarp();
    const u32 channels = pitch(job.out_c);
#pragma unroll 1
    for (u32 unit = lane; unit < 16 * NT; unit += 32) {
        const u32 position = first + unit / NT;
        const u32 c = column + unit % NT * 8;
        if (position >= rows || c >= channels) {
            continue;
        }
        const Octet octet = read_floats(patch + unit / NT * PITCH + unit % NT * 8);
        if (job.splits > 1) {
            const u64 part = static_cast<u64>(blockIdx.z) * rows * channels;
            write_floats(job.sums + part + static_cast<u64>(position) * channels + c, octet);
        } else {
            finish(job, position, c, octet);
        }
    }
}

// The whole product of a block.
template <u32 TM, u32 TN, u32 WM, u32 WN>
INLINE void product(const Job& job) {
    static_assert(TM / WM * (TN / WN) * 32 == PRODUCT_THREADS, "four warps");
    constexpr u32 MT = WM / 16;
    constexpr u32 NT = WN / 8;
    constexpr u32 LEFT_BYTES = TM * ROW_BYTES;
    constexpr u32 STAGE_BYTES = (TM + TN) * ROW_BYTES;
    static_assert(4 * 16 * (WN + 4) * 4 <= CONV_STAGES * STAGE_BYTES, "the patches fit");
    SHARED_ARENA(arena);
    const u32 warp = threadIdx.x / 32;
    const u32 row = warp / (TN / WN) * WM;
    const u32 column = warp % (TN / WN) * WN;
    const u32 across = (pitch(job.out_c) + TN - 1) / TN;
    const u32 first_row = blockIdx.x / across * TM;
    const u32 first_column = blockIdx.x % across * TN;
    const u32 rows = job.items * job.out_h * job.out_w;
    const u32 taps = job.kernel_h * job.kernel_w * pitch(job.in_c);
    const u32 all = (taps + DEPTH - 1) / DEPTH;
    const u32 share = (all + job.splits - 1) / job.splits;
    const u32 begin = min(blockIdx.z * share, all);
    const u32 steps = min(share, all - begin);
    if (first_row >= rows) {
        return;
    }

    Windows<TM * CHUNKS / PRODUCT_THREADS> windows;
    Filters<TN * CHUNKS / PRODUCT_THREADS> filters;
    windows.begin(job, first_row, rows, begin * DEPTH);
    filters.begin(job, first_column, all * DEPTH, begin * DEPTH);
    float sums[MT][NT][4] = {};
    u32 fetched = 0;
    u32 into = 0;
    const auto fetch = [&]() {
        if (fetched < steps) {
            u8* stage = arena + into * STAGE_BYTES;
            windows.fetch(job, stage);
            filters.fetch(job, stage + LEFT_BYTES);
            windows.advance(job);
            filters.advance();
        }
        copies_commit();
        fetched++;
        into = into + 1 == CONV_STAGES ? 0 : into + 1;
    };
#pragma unroll 1
    for (u32 ahead = 0; ahead + 1 < CONV_STAGES; ahead++) {
        fetch();
    }
    u32 from = 0;
#pragma unroll 1
    for (u32 step = 0; step < steps; step++) {
        copies_wait<CONV_STAGES - 2>();
        __syncthreads();
        fetch();
        const u8* stage = arena + from * STAGE_BYTES;
        multiply_stage<MT, NT>(sums, stage, stage + LEFT_BYTES, row, column);
        from = from + 1 == CONV_STAGES ? 0 : from + 1;
    }
    copies_wait<0>();
    __syncthreads();
    float* patch = reinterpret_cast<float*>(arena) + warp * (16 * (WN + 4));
#pragma unroll
    for (u32 m = 0; m < MT; m++) {
        end_rows<NT>(job, patch, sums[m], first_row + row + m * 16, rows, first_column + column);
    }
}
