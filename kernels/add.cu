// SPDX-License-Identifier: MIT OR Apache-2.0
//
// add: out = activation(a + b), elementwise. One thread per octet. Bound: bytes.
//
// Registers: add 40

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) add(const Job job) {
    const Place own = place(job.items * job.out_h * job.out_w, job.out_c);
    if (!own.there) {
        return;
    }
    const u64 at = static_cast<u64>(own.position) * pitch(job.out_c) + own.c;
    Octet sums = read_halves(static_cast<const u16*>(job.input) + at);
    const Octet other = read_halves(job.second + at);
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        sums.at[n] += other.at[n];
    }
    bend(job, own.c, sums);
    put(job, own.position, own.c, sums);
}
