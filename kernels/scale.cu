// SPDX-License-Identifier: MIT OR Apache-2.0
//
// scale: a channel's value times that channel's gate. One thread per octet. Bound: bytes.
//
// Registers: scale 40

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) scale(const Job job) {
    const u32 positions = job.out_h * job.out_w;
    const Place own = place(job.items * positions, job.out_c);
    if (!own.there) {
        return;
    }
    const u32 channels = pitch(job.out_c);
    const u64 at = static_cast<u64>(own.position) * channels + own.c;
    Octet values = read_halves(static_cast<const u16*>(job.input) + at);
    const u64 item = own.position / positions;
    const Octet gate = read_halves(job.second + item * channels + own.c);
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        values.at[n] *= gate.at[n];
    }
    put(job, own.position, own.c, values);
}
