//! `global_average`: the mean of a channel over all positions.
//!
//! ```text
//! out[c] = Σ y x  input[y][x][c] / (h · w)
//! ```
//!
//! Shapes: input h × w × c; output 1 × 1 × c. There is no border.
//! Source: ONNX GlobalAveragePool; ReduceMean over both spatial axes.

use super::item::{Item, ItemMut};

/// The op.
pub fn global_average(input: Item<'_>, out: &mut ItemMut<'_>) {
    let (h, w) = (input.shape().h, input.shape().w);
    out.fill_with(|_, _, c| {
        let mut sum = 0.0;
        for y in 0..h {
            for x in 0..w {
                sum += f64::from(input.at(y, x, c));
            }
        }
        (sum / (h * w) as f64) as f32
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn the_mean_of_each_channel() {
        let input =
            Item::new(Shape { h: 2, w: 2, c: 2 }, &[1.0, 0.0, 2.0, 0.0, 3.0, 1.0, 4.0, -4.0]);
        let out = computed(Shape { h: 1, w: 1, c: 2 }, |mut out| global_average(input, &mut out));
        assert_eq!(out, [2.5, -0.75]);
    }
}
