//! `affine`: `out = activation(scale[c] · x + shift[c])`.
//!
//! Shapes: input and output h × w × c; `scale` and `shift` hold c values.
//! Source: ONNX BatchNormalization at inference with its statistics folded, and the
//! `(x - mean) / std` that heads most networks.

use super::{
    activation::Curve,
    item::{Item, ItemMut},
};

/// The op.
pub fn affine(
    input: Item<'_>,
    scale: &[f32],
    shift: &[f32],
    curve: Curve<'_>,
    out: &mut ItemMut<'_>,
) {
    out.fill_with(|y, x, c| {
        let value = f64::from(scale[c]) * f64::from(input.at(y, x, c)) + f64::from(shift[c]);
        curve.at(value, c)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn every_channel_has_its_own_line() {
        let shape = Shape { h: 2, w: 1, c: 2 };
        let input = Item::new(shape, &[1.0, 2.0, -3.0, 4.0]);
        let line = computed(shape, |mut out| {
            affine(input, &[2.0, -1.0], &[0.5, 1.0], Curve::Relu, &mut out)
        });
        assert_eq!(line, [2.5, 0.0, 0.0, 0.0]);
        let line = computed(shape, |mut out| {
            affine(input, &[2.0, -1.0], &[0.5, 1.0], Curve::Identity, &mut out);
        });
        assert_eq!(line, [2.5, -1.0, -5.5, -3.0]);
    }
}
