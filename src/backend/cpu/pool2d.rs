//! `MaxPool` over one output row. Padding never wins: taps outside the picture are left out.

use super::{
    rows::Rows,
    vector::{Kernel, Simd},
};
use crate::ops::program::Window;

/// One output row.
pub(super) struct MaxPoolRow<'a> {
    pub(super) window: Window,
    /// Input rows; the window's first is `first`.
    pub(super) input: &'a Rows<'a>,
    pub(super) first: usize,
    pub(super) out: &'a mut [f32],
}

impl Kernel for MaxPoolRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let shape = self.input.layout.shape;
        let [height, width] = self.window.kernel;
        for (x, out) in self.out.chunks_exact_mut(shape.c).enumerate() {
            // Tap `dx` reads pixel x · stride + dx - left; those below 0 and from w on are outside.
            let start = x * self.window.stride[1];
            let taps = self.window.pad[1].saturating_sub(start)
                ..width.min((shape.w + self.window.pad[1]).saturating_sub(start));
            for c in (0..shape.c).step_by(S::LANES) {
                let count = S::LANES.min(shape.c - c);
                let mut largest = simd.splat(f32::NEG_INFINITY);
                for dy in (0..height).filter(|dy| self.input.inside[self.first + dy]) {
                    let row = self.input.pixels(self.first + dy);
                    for dx in taps.clone() {
                        let at = (start + dx - self.window.pad[1]) * shape.c + c;
                        largest = simd.max(largest, simd.load_part(row, at, count));
                    }
                }
                simd.store_part(largest, out, c, count);
            }
        }
    }
}
