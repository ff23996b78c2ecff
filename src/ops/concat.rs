//! `concat`: the channels of all inputs, one after the other, at every position.
//!
//! ```text
//! out[y][x] = a[y][x] ++ b[y][x] ++ …
//! ```
//!
//! Shapes: every input h × w × its own c; the output h × w × the sum of them.
//! Source: ONNX Concat along the channel axis.

use super::item::{Item, ItemMut};

/// The op.
pub fn concat(inputs: &[Item<'_>], out: &mut ItemMut<'_>) {
    out.fill_with(|y, x, c| {
        let mut channel = c;
        for input in inputs {
            if channel < input.shape().c {
                return input.at(y, x, channel);
            }
            channel -= input.shape().c;
        }
        unreachable!("the output has exactly the channels of all inputs")
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    #[test]
    fn channels_follow_each_other_at_every_position() {
        let one = Item::new(Shape { h: 1, w: 2, c: 1 }, &[1.0, 2.0]);
        let two = Item::new(Shape { h: 1, w: 2, c: 2 }, &[10.0, 11.0, 20.0, 21.0]);
        let joined =
            computed(Shape { h: 1, w: 2, c: 4 }, |mut out| concat(&[one, two, one], &mut out));
        assert_eq!(joined, [1.0, 10.0, 11.0, 1.0, 2.0, 20.0, 21.0, 2.0]);
    }
}
