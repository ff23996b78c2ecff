// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A picture and how it becomes the input of one item. The host has a twin, byte for byte.

#pragma once

#include "shared/octet.cuh"

struct Picture {
    // Packed RGB of the rows that are there.
    const u8* pixels;
    // Input of the whole batch.
    u16* out;
    u32 item;
    u32 first_row;
    u32 rows;
    // Of the frame, in pixels.
    u32 width;
    u32 height;
    // Of the input.
    u32 out_h;
    u32 out_w;
    // 1 where the network takes blue first.
    u32 blue_first;
    // fit: the plan of src/ops/fit.rs.
    u32 new_h;
    u32 new_w;
    u32 input;
    u32 frame;
    // warp: the six coefficients of `ToFrame`.
    float m0;
    float m1;
    float m2;
    float m3;
    float m4;
    float m5;
    u32 spare[4];
};

static_assert(sizeof(Picture) == 104, "the host's twin has 104 bytes");
STANDS_AT(Picture, new_h, 48);
STANDS_AT(Picture, m0, 64);

// Red, green and blue.
struct Colour {
    float at[3];
};

// Writes the input's channels at row `y` and column `x`, in the network's order.
INLINE void put_colour(const Picture& picture, u32 y, u32 x, const Colour& colour) {
    const bool swapped = picture.blue_first != 0;
    Octet octet = {};
    octet.at[0] = swapped ? colour.at[2] : colour.at[0];
    octet.at[1] = colour.at[1];
    octet.at[2] = swapped ? colour.at[0] : colour.at[2];
    const u64 row = static_cast<u64>(picture.item) * picture.out_h + y;
    write_halves(picture.out + (row * picture.out_w + x) * 8, octet);
}
