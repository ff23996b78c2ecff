// SPDX-License-Identifier: MIT OR Apache-2.0
//
// warp: a bilinear sample of the frame, as an embedder's input. One lane per pixel of the input.

// The frame's pixel, black outside it. Rows that no sample touches were not sent.
fn sampled(row: i32, column: i32) -> vec3<f32> {
    let first = i32(picture.first_row);
    let inside = row >= first && row < first + i32(picture.rows);
    if !inside || column < 0 || column >= i32(picture.width) {
        return vec3<f32>();
    }
    return vec3<f32>(pixel(u32(row), u32(column)));
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    if at.x >= picture.out_w || at.y >= picture.out_h {
        return;
    }
    let x = f32(at.x);
    let y = f32(at.y);
    let u = picture.m0 * x + picture.m1 * y + picture.m2;
    let v = picture.m3 * x + picture.m4 * y + picture.m5;
    // A position that is no number fails every comparison, and is far away.
    let near = u > -1.0 && u < f32(picture.width) && v > -1.0 && v < f32(picture.height);
    if !near {
        put(at.y, at.x, vec3<f32>());
        return;
    }
    let row = i32(floor(v));
    let column = i32(floor(u));
    let fx = u - floor(u);
    let fy = v - floor(v);
    let above = (1.0 - fx) * sampled(row, column) + fx * sampled(row, column + 1);
    let below = (1.0 - fx) * sampled(row + 1, column) + fx * sampled(row + 1, column + 1);
    put(at.y, at.x, (1.0 - fy) * above + fy * below);
}
