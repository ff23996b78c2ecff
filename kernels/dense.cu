// SPDX-License-Identifier: MIT OR Apache-2.0
//
// dense: every input value meets every output; a convolution whose window is the whole item. The
// depth is long and the rows are few (one per item), so it is divided among many blocks.
//
// Bound: bytes of the weights, each of which is read once for up to 64 items.
//
// Registers: dense_64x64 128, dense_sum 64

#include "shared/product.cuh"

// One position with all values as its channels; padding to eight included.
INLINE Job flattened(Job job) {
    job.in_c = job.in_h * job.in_w * pitch(job.in_c);
    job.in_h = job.in_w = job.out_h = job.out_w = 1;
    job.kernel_h = job.kernel_w = job.stride_h = job.stride_w = 1;
    job.pad_top = job.pad_left = 0;
    return job;
}

extern "C" __global__ void __launch_bounds__(128, 4) dense_64x64(const Job job) {
    product<64, 64, 32, 32>(flattened(job));
}

extern "C" __global__ void __launch_bounds__(256) dense_sum(const Job job) {
    finish_parts(flattened(job));
}
