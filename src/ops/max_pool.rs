//! `max_pool`: the largest value under the window, channel by channel.
//!
//! ```text
//! out[y][x][c] = max over ky kx of  input[y·sy + ky - top][x·sx + kx - left][c]
//! ```
//!
//! Shapes: input h × w × c; output [`Window::output`] × c. Padding never wins: it counts as minus
//! infinity, and because every pad is smaller than the kernel each window holds at least one value.
//! Source: ONNX MaxPool with dilation 1 and `ceil_mode` 0.

use super::{
    item::{Item, ItemMut},
    program::Window,
};

/// The op.
pub fn max_pool(input: Item<'_>, window: &Window, out: &mut ItemMut<'_>) {
    out.fill_with(|y, x, c| {
        let mut largest = f32::NEG_INFINITY;
        for ky in 0..window.kernel[0] {
            for kx in 0..window.kernel[1] {
                let (iy, ix) = (y * window.stride[0] + ky, x * window.stride[1] + kx);
                if let Some(values) = input.under_window(window.pad, iy, ix) {
                    largest = largest.max(values[c]);
                }
            }
        }
        largest
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn the_largest_wins_and_padding_never_does() {
        let input = Item::new(Shape { h: 2, w: 3, c: 1 }, &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]);
        let window = Window { kernel: [2, 2], stride: [1, 2], pad: [1, 1, 0, 0] };
        let out =
            computed(Shape { h: 2, w: 2, c: 1 }, |mut out| max_pool(input, &window, &mut out));
        assert_eq!(out, [-1.0, -2.0, -1.0, -2.0]);
    }
}
