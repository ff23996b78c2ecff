// SPDX-License-Identifier: MIT OR Apache-2.0
//
// fit: a whole frame as the input of a detector, bit for bit: whole numbers up to 255, which half
// precision holds. One thread per pixel of the input. Bound: bytes of the frame.
//
// Registers: fit 72

#include "shared/picture.cuh"

// Units that source pixel `s` and target pixel `t` share; `t` touches `s`.
INLINE u32 overlap(const Picture& picture, u32 t, u32 s) {
    const u32 end = min((t + 1) * picture.frame, (s + 1) * picture.input);
    return end - max(t * picture.frame, s * picture.input);
}

// First source pixel that target `t` touches.
INLINE u32 covered_from(const Picture& picture, u32 t) {
    return t * picture.frame / picture.input;
}

// The one after the last, of `size` in all.
INLINE u32 covered_to(const Picture& picture, u32 t, u32 size) {
    return min(((t + 1) * picture.frame + picture.input - 1) / picture.input, size);
}

// Units of target pixel `t` that lie in a picture of `size` source pixels.
INLINE u32 extent(const Picture& picture, u32 t, u32 size) {
    return min((t + 1) * picture.frame, size * picture.input) - t * picture.frame;
}

// sum / area, to the nearest; a half goes to the even neighbour.
INLINE float divided(u64 sum, u64 area) {
    const u64 quotient = sum / area;
    const u64 twice = 2 * (sum - quotient * area);
    const bool up = twice > area || (twice == area && quotient % 2 == 1);
    return static_cast<float>(quotient + (up ? 1 : 0));
}

extern "C" __global__ void __launch_bounds__(256) fit(const Picture picture) {
    const u32 x = blockIdx.x * blockDim.x + threadIdx.x;
    const u32 y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= picture.out_w || y >= picture.out_h) {
        return;
    }
    if (x >= picture.new_w || y >= picture.new_h) {
        put_colour(picture, y, x, Colour{});
        return;
    }
    u64 red = 0;
    u64 green = 0;
    u64 blue = 0;
    const u32 row_end = covered_to(picture, y, picture.height);
    const u32 column_begin = covered_from(picture, x);
    const u32 column_end = covered_to(picture, x, picture.width);
    for (u32 row = covered_from(picture, y); row < row_end; row++) {
        const u8* pixel =
            picture.pixels + (static_cast<u64>(row) * picture.width + column_begin) * 3;
        // A line of one colour is at most 255 * 16,384.
        u32 line[3] = {};
        for (u32 column = column_begin; column < column_end; column++) {
            const u32 weight = overlap(picture, x, column);
            line[0] += pixel[0] * weight;
            line[1] += pixel[1] * weight;
            line[2] += pixel[2] * weight;
            pixel += 3;
        }
        const u64 weight = overlap(picture, y, row);
        red += line[0] * weight;
        green += line[1] * weight;
        blue += line[2] * weight;
    }
    const u64 area = static_cast<u64>(extent(picture, y, picture.height)) *
                     extent(picture, x, picture.width);
    const Colour colour = {divided(red, area), divided(green, area), divided(blue, area)};
    put_colour(picture, y, x, colour);
}
