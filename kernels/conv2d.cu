// SPDX-License-Identifier: MIT OR Apache-2.0
//
// conv2d: the convolution over all input channels, as an implicit product on tensor cores
// (shared/product.cuh). Three tiles: the largest where it fills the machine, the smaller ones for
// few positions or few channels. Where even those leave multiprocessors idle, the depth is divided
// among the blocks of the third axis, and conv2d_sum adds up.
//
// Bound: operations, 2 * positions * channels * taps.
//
// Registers: conv2d_128x128 255, conv2d_128x64 168, conv2d_64x64 128, conv2d_sum 64

#include "shared/product.cuh"

extern "C" __global__ void __launch_bounds__(128, 2) conv2d_128x128(const Job job) {
    product<128, 128, 64, 64>(job);
}

extern "C" __global__ void __launch_bounds__(128, 3) conv2d_128x64(const Job job) {
    product<128, 64, 64, 32>(job);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv2d_64x64(const Job job) {
    product<64, 64, 32, 32>(job);
}

extern "C" __global__ void __launch_bounds__(256) conv2d_sum(const Job job) {
    finish_parts(job);
}
