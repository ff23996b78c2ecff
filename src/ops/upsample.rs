//! `upsample`: nearest-neighbour enlargement by a whole factor.
//!
//! ```text
//! out[y][x][c] = input[⌊y / factor⌋][⌊x / factor⌋][c]
//! ```
//!
//! Shapes: input h × w × c; output h·factor × w·factor × c. There is no border.
//! Source: ONNX Resize and Upsample, mode `nearest`, whole scales (every coordinate mode agrees
//! there).

use super::item::{Item, ItemMut};

/// The op.
pub fn upsample(input: Item<'_>, factor: usize, out: &mut ItemMut<'_>) {
    out.fill_with(|y, x, c| input.at(y / factor, x / factor, c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn every_value_becomes_a_square() {
        let input = Item::new(Shape { h: 1, w: 2, c: 1 }, &[1.0, 2.0]);
        let out = computed(Shape { h: 2, w: 4, c: 1 }, |mut out| upsample(input, 2, &mut out));
        assert_eq!(out, [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
