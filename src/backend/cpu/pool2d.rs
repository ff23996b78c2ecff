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
        if (height, width) == (2, 2)
            && self.window.pad == [0; 4]
            && self.window.stride[1] >= 2
            && shape.c.is_multiple_of(S::LANES)
        {
            return self.quarters(simd);
        }
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

impl MaxPoolRow<'_> {
    /// The common case: 2 × 2, no padding, whole registers.
    #[inline(always)]
    fn quarters<S: Simd>(self, simd: S) {
        let channels = self.input.layout.shape.c;
        let [above, below] = [0, 1].map(|dy| self.input.pixels(self.first + dy));
        let step = self.window.stride[1] * channels;
        let outs = self.out.chunks_exact_mut(channels);
        for ((out, above), below) in outs.zip(above.chunks(step)).zip(below.chunks(step)) {
            for c in (0..channels).step_by(S::LANES) {
                let over = simd.max(simd.load(above, c), simd.load(above, channels + c));
                let under = simd.max(simd.load(below, c), simd.load(below, channels + c));
                simd.store(simd.max(over, under), out, c);
            }
        }
    }
}
