//! `add`: `out = activation(a + b)`, elementwise.
//!
//! Shapes: `a`, `b` and `out` are all h × w × c; nothing is broadcast.
//! Source: ONNX Add, for the shortcut of a residual block that is not fused into a convolution.

use super::{
    activation::Curve,
    item::{Item, ItemMut},
};

/// The op.
pub fn add(a: Item<'_>, b: Item<'_>, curve: Curve<'_>, out: &mut ItemMut<'_>) {
    out.fill_with(|y, x, c| curve.at(f64::from(a.at(y, x, c)) + f64::from(b.at(y, x, c)), c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn sums_stand_element_by_element() {
        let shape = Shape { h: 1, w: 2, c: 2 };
        let a = Item::new(shape, &[1.0, -2.0, 3.0, -4.0]);
        let b = Item::new(shape, &[10.0, 1.0, -30.0, 4.0]);
        let sum = computed(shape, |mut out| add(a, b, Curve::Identity, &mut out));
        assert_eq!(sum, [11.0, -1.0, -27.0, 0.0]);
        let bent = computed(shape, |mut out| add(a, b, Curve::Prelu(&[0.5, 2.0]), &mut out));
        assert_eq!(bent, [11.0, -2.0, -13.5, 0.0]);
    }
}
