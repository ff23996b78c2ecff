//! `depthwise`: one filter per channel, channels do not mix.
//!
//! ```text
//! out[y][x][c] = activation( bias[c] + residual[y][x][c]
//!              + Σ ky kx  input[y·sy + ky - top][x·sx + kx - left][c] · weights[ky][kx][c] )
//! ```
//!
//! Shapes: input h × w × c; weights `[kh][kw][c]`; bias c; residual, where there is one, and
//! output: [`Window::output`] × c. Borders as in [`super::conv2d`].
//! Source: ONNX Conv with as many groups as channels and dilation 1.

use super::{
    activation::Curve,
    item::{Item, ItemMut},
    program::Window,
};

/// The op.
pub fn depthwise(
    input: Item<'_>,
    window: &Window,
    weights: &[f32],
    bias: &[f32],
    residual: Option<Item<'_>>,
    curve: Curve<'_>,
    out: &mut ItemMut<'_>,
) {
    let [rows, columns] = window.kernel;
    let channels = input.shape().c;
    out.fill_with(|y, x, c| {
        let mut sum = f64::from(bias[c]) + residual.map_or(0.0, |r| f64::from(r.at(y, x, c)));
        for ky in 0..rows {
            for kx in 0..columns {
                let (iy, ix) = (y * window.stride[0] + ky, x * window.stride[1] + kx);
                if let Some(values) = input.under_window(window.pad, iy, ix) {
                    let weight = weights[(ky * columns + kx) * channels + c];
                    sum += f64::from(values[c]) * f64::from(weight);
                }
            }
        }
        curve.at(sum, c)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn every_channel_meets_its_own_filter() {
        let input =
            Item::new(Shape { h: 2, w: 2, c: 2 }, &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
        let window = Window { kernel: [2, 1], stride: [1, 1], pad: [0, 0, 1, 0] };
        let weights = [1.0, 2.0, 100.0, -1.0];
        let shape = Shape { h: 2, w: 2, c: 2 };
        let residual = Item::new(shape, &[0.25; 8]);
        let out = computed(shape, |mut out| {
            let curve = Curve::Prelu(&[1.0, 0.5]);
            depthwise(input, &window, &weights, &[0.5, -0.25], Some(residual), curve, &mut out);
        });
        assert_eq!(out, [301.75, -5.0, 402.75, 0.0, 3.75, 60.0, 4.75, 80.0]);
    }
}
