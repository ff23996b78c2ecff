//! One buffer of one item as the ops see it: values with their shape, NHWC (row, position, channel;
//! the channel runs fastest).
//!
//! Invariant: `values.len() == shape.len()`; both constructors hold it, so an index that is inside
//! the shape is inside the slice.

use super::program::Shape;

/// A buffer that is read.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    shape: Shape,
    values: &'a [f32],
}

impl<'a> Item<'a> {
    /// Sees `values` as `shape`.
    ///
    /// # Panics
    /// When the lengths differ; those of a program that passed `Program::check` do not.
    #[must_use]
    pub fn new(shape: Shape, values: &'a [f32]) -> Self {
        assert_eq!(values.len(), shape.len(), "a buffer holds exactly its shape");
        Self { shape, values }
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All values in NHWC order.
    #[must_use]
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// The value at row `y`, position `x`, channel `c`.
    #[must_use]
    pub fn at(&self, y: usize, x: usize, c: usize) -> f32 {
        self.values[(y * self.shape.w + x) * self.shape.c + c]
    }

    /// All channels at row `y` and position `x`, counted from the corner of the padded input; what
    /// lies in the padding is `None`.
    #[must_use]
    pub fn under_window(&self, pad: [usize; 4], y: usize, x: usize) -> Option<&'a [f32]> {
        let y = y.checked_sub(pad[0]).filter(|&y| y < self.shape.h)?;
        let x = x.checked_sub(pad[1]).filter(|&x| x < self.shape.w)?;
        Some(&self.values[(y * self.shape.w + x) * self.shape.c..][..self.shape.c])
    }
}

/// A buffer that is written.
pub struct ItemMut<'a> {
    shape: Shape,
    values: &'a mut [f32],
}

impl<'a> ItemMut<'a> {
    /// Sees `values` as `shape`.
    ///
    /// # Panics
    /// As [`Item::new`].
    #[must_use]
    pub fn new(shape: Shape, values: &'a mut [f32]) -> Self {
        assert_eq!(values.len(), shape.len(), "a buffer holds exactly its shape");
        Self { shape, values }
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Writes every value: `value(y, x, c)`.
    pub fn fill_with(&mut self, mut value: impl FnMut(usize, usize, usize) -> f32) {
        self.fill_positions_with(|y, x, channels| {
            for (c, channel) in channels.iter_mut().enumerate() {
                *channel = value(y, x, c);
            }
        });
    }

    /// Writes every position: `fill(y, x, channels)` writes all its channels.
    pub fn fill_positions_with(&mut self, mut fill: impl FnMut(usize, usize, &mut [f32])) {
        let Shape { h, w, c } = self.shape;
        for y in 0..h {
            for x in 0..w {
                fill(y, x, &mut self.values[(y * w + x) * c..][..c]);
            }
        }
    }
}

/// Shorthand for the hand-computed examples in the ops' own tests.
#[cfg(test)]
pub(super) fn computed(shape: Shape, op: impl FnOnce(ItemMut<'_>)) -> Vec<f32> {
    let mut values = vec![f32::NAN; shape.len()];
    op(ItemMut::new(shape, &mut values));
    values
}

/// A picture that other software was shown too: `(37x + 59y + 83c + 11xy) mod 256`.
#[cfg(test)]
pub(super) fn picture(w: usize, h: usize) -> Vec<u8> {
    let value = |at: usize| {
        let (y, x, c) = (at / 3 / w, at / 3 % w, at % 3);
        (37 * x + 59 * y + 83 * c + 11 * x * y) % 256
    };
    (0..w * h * 3).map(|at| value(at) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_run_fastest_and_padding_is_none() {
        let item = Item::new(Shape { h: 1, w: 2, c: 2 }, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!((item.at(0, 1, 0), item.at(0, 0, 1)), (3.0, 2.0));
        let pad = [1, 1, 0, 0];
        assert_eq!(item.under_window(pad, 0, 1), None);
        assert_eq!(item.under_window(pad, 1, 2), Some(&[3.0, 4.0][..]));
        assert_eq!(item.under_window(pad, 1, 3), None);
    }
}
