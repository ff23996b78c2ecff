//! `softmax`: over the channels of each position.
//!
//! ```text
//! out[y][x][c] = e^(input[y][x][c] - m) / Σ k e^(input[y][x][k] - m)     m = max over channels
//! ```
//!
//! Shapes: input and output h × w × c. Subtracting the maximum changes nothing but keeps every
//! exponent at or below zero, so nothing overflows.
//! Source: ONNX Softmax along the channel axis.

use super::item::{Item, ItemMut};

/// The op.
pub fn softmax(input: Item<'_>, out: &mut ItemMut<'_>) {
    let channels = input.shape().c;
    out.fill_with(|y, x, c| {
        let mut largest = f64::NEG_INFINITY;
        for k in 0..channels {
            largest = largest.max(f64::from(input.at(y, x, k)));
        }
        let mut sum = 0.0;
        for k in 0..channels {
            sum += (f64::from(input.at(y, x, k)) - largest).exp();
        }
        ((f64::from(input.at(y, x, c)) - largest).exp() / sum) as f32
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn shares_sum_to_one_at_every_position() {
        let shape = Shape { h: 1, w: 2, c: 2 };
        let values = [0.0, 3.0_f32.ln(), 1000.0, 1000.0];
        let input = Item::new(shape, &values);
        let out = computed(shape, |mut out| softmax(input, &mut out));
        assert!((out[0] - 0.25).abs() < 1e-6 && (out[1] - 0.75).abs() < 1e-6, "{out:?}");
        assert_eq!(out[2..], [0.5, 0.5]);
    }
}
