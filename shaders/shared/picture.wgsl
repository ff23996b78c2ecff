// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A picture among those of a batch, and how it becomes the input of one item. Twin of `Picture` in
// src/backend/wgpu/layout.rs; a test reflects both. Pictures are packed RGB bytes, each beginning
// at a whole word; of a crop only the rows that it touches are there.

struct Picture {
    // Word at which its first row begins.
    begin: u32,
    // Row of the frame that is its first, and rows that are there.
    first_row: u32,
    rows: u32,
    // Of the frame, in pixels.
    width: u32,
    height: u32,
    // Of the input.
    out_h: u32,
    out_w: u32,
    // Which item.
    item: u32,
    // 1 where the network takes blue first.
    blue_first: u32,
    // fit: the plan of src/ops/fit.rs.
    new_h: u32,
    new_w: u32,
    input: u32,
    frame: u32,
    // warp: the six coefficients of `ToFrame`.
    m0: f32,
    m1: f32,
    m2: f32,
    m3: f32,
    m4: f32,
    m5: f32,
    spare: u32,
}

@group(0) @binding(0) var<uniform> picture: Picture;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// One byte of the picture, counted from its first row.
fn level(byte: u32) -> u32 {
    return (pixels[picture.begin + byte / 4u] >> (8u * (byte % 4u))) & 0xffu;
}

// Red, green and blue at a row and column of the frame.
fn pixel(row: u32, column: u32) -> vec3<u32> {
    let byte = ((row - picture.first_row) * picture.width + column) * 3u;
    return vec3(level(byte), level(byte + 1u), level(byte + 2u));
}

// Writes the input's channels at row `y` and column `x`, in the network's order.
fn put(y: u32, x: u32, rgb: vec3<f32>) {
    let at = ((picture.item * picture.out_h + y) * picture.out_w + x) * 3u;
    let swapped = picture.blue_first == 1u;
    out[at] = select(rgb.x, rgb.z, swapped);
    out[at + 1u] = rgb.y;
    out[at + 2u] = select(rgb.z, rgb.x, swapped);
}
