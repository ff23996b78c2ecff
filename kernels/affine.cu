// SPDX-License-Identifier: MIT OR Apache-2.0
//
// affine: out = activation(scale[c] * x + shift[c]). One thread per octet. Bound: bytes.
//
// Registers: affine 48

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) affine(const Job job) {
    const Place own = place(job.items * job.out_h * job.out_w, job.out_c);
    if (!own.there) {
        return;
    }
    const u64 at = static_cast<u64>(own.position) * pitch(job.out_c) + own.c;
    Octet values = read_halves(static_cast<const u16*>(job.input) + at);
    const Octet scale = read_floats(job.scale + own.c);
    const Octet shift = read_floats(job.bias + own.c);
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        values.at[n] = scale.at[n] * values.at[n] + shift.at[n];
    }
    bend(job, own.c, values);
    put(job, own.position, own.c, values);
}
