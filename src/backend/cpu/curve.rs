//! The function at the end of a step, and values that belong to channels, laid out for registers.
//!
//! Identity, ReLU and PReLU are one thing here: `x < 0 ? slope · x : x` with slopes 1, 0 or the
//! model's; the identity's multiplication is left out. Sigmoid is a pass of its own over the
//! finished rows: it stands only behind small outputs, and its code would otherwise be repeated in
//! every register block.

use super::{
    memory::{LINE, Lines},
    vector::{Kernel, Simd},
};
use crate::ops::program::{Activation, Program};

/// An activation, its slopes laid out like the step's bias.
#[derive(Debug)]
pub(super) struct Curve {
    slopes: Option<Lines>,
    /// Whether [`sigmoid`] follows.
    pub(super) sigmoid: bool,
}

impl Curve {
    /// Of `activation` over `channels` channels, laid out by `lay`.
    pub(super) fn new(
        program: &Program,
        activation: Activation,
        channels: usize,
        lay: impl Fn(&[f32]) -> Lines,
    ) -> Self {
        let slopes = match activation {
            Activation::Identity | Activation::Sigmoid => None,
            Activation::Prelu(slopes) => Some(lay(program.weight(slopes))),
            Activation::Relu => Some(lay(&vec![0.0; channels])),
        };
        Self { slopes, sigmoid: activation == Activation::Sigmoid }
    }

    /// The slopes; none for the identity.
    pub(super) fn slopes(&self) -> Option<&[f32]> {
        self.slopes.as_ref().map(Lines::values)
    }
}

/// `x < 0 ? slopes[at..] · x : x`.
#[inline(always)]
pub(super) fn bent<S: Simd>(simd: S, x: S::V, slopes: Option<&[f32]>, at: usize) -> S::V {
    match slopes {
        None => x,
        Some(slopes) => simd.where_negative(x, simd.mul(x, simd.load(slopes, at))),
    }
}

/// `values`, then zeros to a multiple of `multiple`.
pub(super) fn padded(values: &[f32], multiple: usize) -> Lines {
    let mut lines = Lines::zeros(values.len().next_multiple_of(multiple));
    lines.values_mut()[..values.len()].copy_from_slice(values);
    lines
}

/// `values` repeated until whole registers of `lanes` begin anew: a row of pixels can then be read
/// as a flat array, whatever the number of channels.
pub(super) fn repeated(values: &[f32], lanes: usize) -> Lines {
    let len = period(values.len(), lanes);
    let mut lines = Lines::zeros(len.next_multiple_of(LINE));
    for (to, value) in lines.values_mut().iter_mut().take(len).zip(values.iter().cycle()) {
        *to = *value;
    }
    lines
}

/// Least common multiple of a number of channels and a number of lanes.
pub(super) fn period(channels: usize, lanes: usize) -> usize {
    let mut divisor = (channels, lanes);
    while divisor.1 != 0 {
        divisor = (divisor.1, divisor.0 % divisor.1);
    }
    channels / divisor.0 * lanes
}

/// `1 / (1 + e^-x)` of every value, in place.
pub(super) struct Sigmoid<'a>(pub(super) &'a mut [f32]);

impl Kernel for Sigmoid<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let one = simd.splat(1.0);
        let mut at = 0;
        while at < self.0.len() {
            let count = S::LANES.min(self.0.len() - at);
            let x = simd.load_part(self.0, at, count);
            let decay = simd.exp(simd.mul(x, simd.splat(-1.0)));
            simd.store_part(simd.div(one, simd.add(one, decay)), self.0, at, count);
            at += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_least_common_multiples() {
        assert_eq!((period(3, 16), period(10, 8), period(64, 16), period(1, 8)), (48, 40, 64, 8));
    }

    #[test]
    fn repetition_follows_the_channels() {
        let lines = repeated(&[1.0, 2.0, 3.0], 8);
        assert!(lines.values()[..24].chunks(3).all(|pixel| pixel == [1.0, 2.0, 3.0]));
    }
}
