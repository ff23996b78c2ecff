// SPDX-License-Identifier: MIT OR Apache-2.0
//
// narrow: a tensor as the host has it (f32, dense) into half precision with a pitch. widen: back,
// for an output of the program that some step reads as well. One thread per octet. Bound: bytes.
//
// Registers: narrow 40, widen 40

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) narrow(const Job job) {
    const Place own = place(job.items * job.in_h * job.in_w, job.in_c);
    if (!own.there) {
        return;
    }
    const float* input =
        static_cast<const float*>(job.input) + static_cast<u64>(own.position) * job.in_c;
    Octet values = {};
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        if (own.c + n < job.in_c) {
            values.at[n] = input[own.c + n];
        }
    }
    u16* out = static_cast<u16*>(job.out);
    write_halves(out + static_cast<u64>(own.position) * pitch(job.in_c) + own.c, values);
}

extern "C" __global__ void __launch_bounds__(256) widen(const Job job) {
    const Place own = place(job.items * job.in_h * job.in_w, job.in_c);
    if (!own.there) {
        return;
    }
    const u16* input = static_cast<const u16*>(job.input);
    const u64 at = static_cast<u64>(own.position) * pitch(job.in_c) + own.c;
    const Octet values = read_halves(input + at);
    float* out = static_cast<float*>(job.out) + static_cast<u64>(own.position) * job.in_c;
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        if (own.c + n < job.in_c) {
            out[own.c + n] = values.at[n];
        }
    }
}
