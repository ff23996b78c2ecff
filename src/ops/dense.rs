//! `dense`: every input value meets every output.
//!
//! ```text
//! out[o] = activation( bias[o] + Σ i  input[i] · weights[i][o] )
//! ```
//!
//! Shapes: input h × w × c, read as h · w · c values in NHWC order; weights `[in][out]`; bias and
//! output 1 × 1 × out. The lowering permutes the rows of the weights to NHWC order once. A backend
//! may keep the weights of a large layer in half precision; tests/conformance names the tolerance.
//! Source: ONNX Gemm and MatMul with a constant second operand.

use super::{
    activation::Curve,
    item::{Item, ItemMut},
};

/// The op.
pub fn dense(
    input: Item<'_>,
    weights: &[f32],
    bias: &[f32],
    curve: Curve<'_>,
    out: &mut ItemMut<'_>,
) {
    let outputs = out.shape().c;
    out.fill_with(|_, _, o| {
        let mut sum = f64::from(bias[o]);
        for (i, &value) in input.values().iter().enumerate() {
            sum += f64::from(value) * f64::from(weights[i * outputs + o]);
        }
        curve.at(sum, o)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn the_input_is_flattened_with_channels_fastest() {
        let input = Item::new(Shape { h: 1, w: 2, c: 2 }, &[1.0, 2.0, 3.0, 4.0]);
        let weights = [1.0, 0.1, 10.0, 0.2, 100.0, 0.3, 1000.0, -8.0];
        let out = computed(Shape { h: 1, w: 1, c: 2 }, |mut out| {
            dense(input, &weights, &[0.5, 0.0], Curve::Relu, &mut out);
        });
        assert_eq!(out, [4321.5, 0.0]);
    }
}
