//! `scale`: a channel's value times that channel's gate.
//!
//! ```text
//! out[y][x][c] = input[y][x][c] · gate[c]
//! ```
//!
//! Shapes: input and output h × w × c; gate 1 × 1 × c.
//! Source: ONNX Mul of a feature map with the output of a squeeze-and-excitation branch
//! (Hu et al., 2018).

use super::item::{Item, ItemMut};

/// The op.
pub fn scale(input: Item<'_>, gate: Item<'_>, out: &mut ItemMut<'_>) {
    out.fill_with(|y, x, c| input.at(y, x, c) * gate.at(0, 0, c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn one_gate_per_channel() {
        let shape = Shape { h: 2, w: 1, c: 2 };
        let input = Item::new(shape, &[1.0, 2.0, 3.0, 4.0]);
        let gate = Item::new(Shape { h: 1, w: 1, c: 2 }, &[0.5, -1.0]);
        let out = computed(shape, |mut out| scale(input, gate, &mut out));
        assert_eq!(out, [0.5, -2.0, 1.5, -4.0]);
    }
}
