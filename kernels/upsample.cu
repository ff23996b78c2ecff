// SPDX-License-Identifier: MIT OR Apache-2.0
//
// upsample: nearest-neighbour enlargement by the whole factor `job.extra`. One thread per octet.
// Bound: bytes.
//
// Registers: upsample 40

#include "shared/octet.cuh"

extern "C" __global__ void __launch_bounds__(256) upsample(const Job job) {
    const u32 positions = job.out_h * job.out_w;
    const Place own = place(job.items * positions, job.out_c);
    if (!own.there) {
        return;
    }
    const u32 position = own.position % positions;
    const u32 y = position / job.out_w / job.extra;
    const u32 x = position % job.out_w / job.extra;
    const u64 item = static_cast<u64>(own.position / positions) * job.in_h * job.in_w;
    const u64 at = (item + y * job.in_w + x) * pitch(job.in_c) + own.c;
    put(job, own.position, own.c, read_halves(static_cast<const u16*>(job.input) + at));
}
