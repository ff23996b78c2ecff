//! `conv2d`: the convolution over all input channels.
//!
//! ```text
//! out[y][x][o] = activation( bias[o] + residual[y][x][o]
//!              + Σ ky kx i  input[y·sy + ky - top][x·sx + kx - left][i] · weights[ky][kx][i][o] )
//! ```
//!
//! Shapes: input h × w × c_in; weights `[kh][kw][c_in][c_out]`; bias c_out; residual, where there
//! is one, and output: [`Window::output`] × c_out. What lies outside the input counts as zero; padding
//! may be larger than the kernel, and such outputs are the bias alone.
//! Source: ONNX Conv with group 1 and dilation 1 (a cross-correlation: the kernel is not flipped).

use super::{
    activation::Curve,
    item::{Item, ItemMut},
    program::Window,
};

/// Output channels that are summed together; it changes no sum, only how long one waits for it.
const BLOCK: usize = 16;

/// The op.
pub fn conv2d(
    input: Item<'_>,
    window: &Window,
    weights: &[f32],
    bias: &[f32],
    residual: Option<Item<'_>>,
    curve: Curve<'_>,
    out: &mut ItemMut<'_>,
) {
    let outputs = out.shape().c;
    out.fill_positions_with(|y, x, channels| {
        for (block, values) in channels.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut sums = [0.0; BLOCK];
            add_window(input, window, weights, outputs, [y, x, first], &mut sums[..values.len()]);
            for (value, (sum, o)) in values.iter_mut().zip(sums.into_iter().zip(first..)) {
                let beside = residual.map_or(0.0, |residual| f64::from(residual.at(y, x, o)));
                *value = curve.at(f64::from(bias[o]) + beside + sum, o);
            }
        }
    });
}

/// The sum over ky, kx and i for the output channels from `first`, one in each of `sums`.
fn add_window(
    input: Item<'_>,
    window: &Window,
    weights: &[f32],
    outputs: usize,
    [y, x, first]: [usize; 3],
    sums: &mut [f64],
) {
    let [rows, columns] = window.kernel;
    let inputs = input.shape().c;
    for ky in 0..rows {
        for kx in 0..columns {
            let (iy, ix) = (y * window.stride[0] + ky, x * window.stride[1] + kx);
            let Some(values) = input.under_window(window.pad, iy, ix) else { continue };
            for (i, &value) in values.iter().enumerate() {
                let at = ((ky * columns + kx) * inputs + i) * outputs + first;
                for (sum, &weight) in sums.iter_mut().zip(&weights[at..]) {
                    *sum += f64::from(value) * f64::from(weight);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    const IMAGE: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    #[test]
    fn a_cross_correlation_over_zeros() {
        let input = Item::new(Shape { h: 2, w: 3, c: 1 }, &IMAGE);
        let window = Window { kernel: [2, 2], stride: [1, 2], pad: [1, 0, 0, 1] };
        // Not flipped: the first weight meets the upper left value.
        let weights = [1.0, 10.0, 100.0, 1000.0];
        let out = computed(Shape { h: 2, w: 2, c: 1 }, |mut out| {
            conv2d(input, &window, &weights, &[0.5], None, Curve::Identity, &mut out);
        });
        assert_eq!(out, [2100.5, 300.5, 5421.5, 603.5]);
    }

    #[test]
    fn channels_mix_and_the_residual_is_added_before_the_activation() {
        let input = Item::new(Shape { h: 1, w: 1, c: 2 }, &[2.0, 3.0]);
        let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
        let shape = Shape { h: 1, w: 1, c: 3 };
        let residual = Item::new(shape, &[-10.0, 1.0, 0.0]);
        let weights = [1.0, 2.0, 3.0, 10.0, 20.0, -30.0];
        let out = computed(shape, |mut out| {
            conv2d(input, &window, &weights, &[0.0; 3], Some(residual), Curve::Relu, &mut out);
        });
        assert_eq!(out, [22.0, 65.0, 0.0]);
    }

    #[test]
    fn under_padding_alone_only_the_bias_is_left() {
        let input = Item::new(Shape { h: 1, w: 1, c: 1 }, &[7.0]);
        let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0, 2, 0, 0] };
        let out = computed(Shape { h: 1, w: 3, c: 1 }, |mut out| {
            conv2d(input, &window, &[2.0], &[1.0], None, Curve::Identity, &mut out);
        });
        assert_eq!(out, [1.0, 1.0, 15.0]);
    }
}
