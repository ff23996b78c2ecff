// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Eight channels of one position: what a thread reads and writes at a time, sixteen bytes in half
// precision. Computed in f32.

#pragma once

#include "activation.cu"
#include "shared/job.cuh"

struct Octet {
    float at[8];
};

// Which octet of a tensor a thread computes, where there is one thread for each; octets of one
// position follow each other.
struct Place {
    // Whether there is such an octet.
    bool there;
    // Position among those of all items.
    u32 position;
    // First channel.
    u32 c;
};

INLINE Place place(u32 positions, u32 channels) {
    const u32 octets = pitch(channels) / 8;
    const u64 at = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const u64 all = static_cast<u64>(positions) * octets;
    // All octets of a tensor below 2^35 bytes are numbered in 32 bits.
    const u32 octet = static_cast<u32>(at);
    return Place{at < all, octet / octets, octet % octets * 8};
}

INLINE u32 words_of(float low, float high) {
    return static_cast<u32>(to_half(low)) | static_cast<u32>(to_half(high)) << 16;
}

INLINE void spread(u32 word, float& low, float& high) {
    low = from_half(static_cast<u16>(word & 0xffffu));
    high = from_half(static_cast<u16>(word >> 16));
}

INLINE Octet octet_of(uint4 words) {
    Octet octet;
    spread(words.x, octet.at[0], octet.at[1]);
    spread(words.y, octet.at[2], octet.at[3]);
    spread(words.z, octet.at[4], octet.at[5]);
    spread(words.w, octet.at[6], octet.at[7]);
    return octet;
}

// Eight halves from sixteen aligned bytes.
INLINE Octet read_halves(const u16* at) {
    return octet_of(*reinterpret_cast<const uint4*>(at));
}

INLINE void write_halves(u16* at, const Octet& octet) {
    *reinterpret_cast<uint4*>(at) =
        make_uint4(words_of(octet.at[0], octet.at[1]), words_of(octet.at[2], octet.at[3]),
                   words_of(octet.at[4], octet.at[5]), words_of(octet.at[6], octet.at[7]));
}

// Eight floats from thirty-two bytes that begin on sixteen.
INLINE Octet read_floats(const float* at) {
    const float4 low = *reinterpret_cast<const float4*>(at);
    const float4 high = *reinterpret_cast<const float4*>(at + 4);
    return Octet{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

INLINE void write_floats(float* at, const Octet& octet) {
    *reinterpret_cast<float4*>(at) =
        make_float4(octet.at[0], octet.at[1], octet.at[2], octet.at[3]);
    *reinterpret_cast<float4*>(at + 4) =
        make_float4(octet.at[4], octet.at[5], octet.at[6], octet.at[7]);
}

// What lies beyond the last channel is zero, whatever was computed there.
INLINE void clear_beyond(Octet& octet, u32 c, u32 channels) {
    if (c + 8 > channels) {
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            octet.at[n] = c + n < channels ? octet.at[n] : 0.0f;
        }
    }
}

// Writes an octet of the output of `job`.
INLINE void put(const Job& job, u32 position, u32 c, Octet octet) {
    if (job.wide != 0) {
        float* out = static_cast<float*>(job.out) + static_cast<u64>(position) * job.out_c + c;
        for (u32 n = 0; n < 8 && c + n < job.out_c; n++) {
            out[n] = octet.at[n];
        }
        return;
    }
    clear_beyond(octet, c, job.out_c);
    write_halves(static_cast<u16*>(job.out) + static_cast<u64>(position) * pitch(job.out_c) + c,
                 octet);
}

INLINE void bend(const Job& job, u32 c, Octet& octet) {
    Octet slopes = {};
    if (job.curve == PRELU) {
        slopes = read_floats(job.slopes + c);
    }
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        octet.at[n] = activation(octet.at[n], slopes.at[n], job.curve);
    }
}

// How convolutions and dense layers end: bias, residual, activation, and an affine that follows.
INLINE void finish(const Job& job, u32 position, u32 c, Octet sums) {
    const u64 at = static_cast<u64>(position) * pitch(job.out_c) + c;
    const Octet bias = read_floats(job.bias + c);
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        sums.at[n] += bias.at[n];
    }
    if (job.second != nullptr) {
        const Octet beside = read_halves(job.second + at);
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            sums.at[n] += beside.at[n];
        }
    }
    bend(job, c, sums);
    put(job, position, c, sums);
    if (job.after != nullptr) {
        const Octet scale = read_floats(job.after_scale + c);
        const Octet shift = read_floats(job.after_shift + c);
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            sums.at[n] = scale.at[n] * sums.at[n] + shift.at[n];
        }
        clear_beyond(sums, c, job.out_c);
        write_halves(job.after + at, sums);
    }
}

// Adds up the parts of a depth that was divided, and ends as an undivided one.
INLINE void finish_parts(const Job& job) {
    const u32 rows = job.items * job.out_h * job.out_w;
    const Place own = place(rows, job.out_c);
    if (!own.there) {
        return;
    }
    const u64 at = static_cast<u64>(own.position) * pitch(job.out_c) + own.c;
    const u64 part = static_cast<u64>(rows) * pitch(job.out_c);
    Octet sums = {};
    for (u32 split = 0; split < job.splits; split++) {
        const Octet more = read_floats(job.sums + split * part + at);
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            sums.at[n] += more.at[n];
        }
    }
    finish(job, own.position, own.c, sums);
}
