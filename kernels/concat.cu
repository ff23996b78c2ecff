// SPDX-License-Identifier: MIT OR Apache-2.0
//
// concat: the channels of one input into their place among those of all; one launch per input.
// `job.extra` is the first channel written. One thread per octet of the input; what the last input
// leaves open up to the pitch becomes zero. Bound: bytes.
//
// Registers: concat 40

#include "shared/octet.cuh"

// Channels one by one, for inputs that do not begin or end on an octet.
INLINE void put_each(const Job& job, u64 position, u32 c, const Octet& octet) {
    const u32 first = job.extra + c;
    for (u32 n = 0; n < 8 && c + n < job.in_c; n++) {
        if (job.wide != 0) {
            static_cast<float*>(job.out)[position * job.out_c + first + n] = octet.at[n];
        } else {
            u16* out = static_cast<u16*>(job.out) + position * pitch(job.out_c);
            out[first + n] = to_half(octet.at[n]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) concat(const Job job) {
    const Place own = place(job.items * job.in_h * job.in_w, job.in_c);
    if (!own.there) {
        return;
    }
    const u64 position = own.position;
    const u16* input = static_cast<const u16*>(job.input) + position * pitch(job.in_c) + own.c;
    const Octet values = read_halves(input);
    const u32 channels = pitch(job.out_c);
    u16* out = static_cast<u16*>(job.out) + position * channels;
    const bool is_last = job.extra + job.in_c == job.out_c;
    if (job.wide == 0 && job.extra % 8 == 0 && (job.in_c % 8 == 0 || is_last)) {
        write_halves(out + job.extra + own.c, values);
        return;
    }
    put_each(job, position, own.c, values);
    if (job.wide == 0 && is_last && own.c + 8 >= job.in_c) {
        for (u32 c = job.out_c; c < channels; c++) {
            out[c] = 0;
        }
    }
}
