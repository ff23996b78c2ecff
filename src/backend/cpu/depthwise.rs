//! `Depthwise` over one output row, vectorised over channels.
//!
//! Three ways, by shape: whole registers of channels under a 3 × 3 window (four pixels at a time,
//! so that every loaded value serves up to three of them); any channels at stride 1, where a row is
//! a flat array whose weights repeat; and the rest, pixel by pixel.

use super::{
    curve::{Curve, bent, period, repeated},
    memory::Lines,
    rows::Rows,
    vector::{Kernel, Simd, Stencil},
};
use crate::ops::program::{Activation, Program, WeightId, Window};

/// A depthwise convolution made ready.
#[derive(Debug)]
pub(super) struct Depthwise {
    pub(super) window: Window,
    pub(super) curve: Curve,
    /// Per tap, the channels' weights, repeated over one period.
    taps: Lines,
    bias: Lines,
    channels: usize,
    period: usize,
}

impl Depthwise {
    /// Lays the weights out for registers of `lanes`.
    pub(super) fn new(
        program: &Program,
        window: Window,
        weights: WeightId,
        bias: WeightId,
        activation: Activation,
        lanes: usize,
    ) -> Self {
        let channels = program.weight(bias).len();
        let lay = |values: &[f32]| repeated(values, lanes);
        let period = period(channels, lanes);
        let each = program.weight(weights).chunks_exact(channels);
        let mut taps = Lines::zeros(each.len() * period);
        for (to, tap) in taps.values_mut().chunks_exact_mut(period).zip(each) {
            to.copy_from_slice(&lay(tap).values()[..period]);
        }
        Self {
            window,
            curve: Curve::new(program, activation, channels, lay),
            taps,
            bias: lay(program.weight(bias)),
            channels,
            period,
        }
    }

    /// Computes one output row from the `kernel[0]` input rows that start at row `first`; where
    /// there is a `residual`, it is added before the activation.
    pub(super) fn run<S: Simd>(
        &self,
        simd: S,
        input: &Rows<'_>,
        first: usize,
        residual: Option<&[f32]>,
        out: &mut [f32],
    ) {
        let row = Row { own: self, input, first, residual, out };
        let whole = self.channels.is_multiple_of(S::LANES);
        if whole && self.window.kernel == [3, 3] && self.window.stride[1] <= 2 {
            if self.window.stride[1] == 1 {
                simd.call(Three::<1>(row));
            } else {
                simd.call(Three::<2>(row));
            }
        } else if self.window.stride[1] == 1 {
            simd.call(Flat(row));
        } else {
            simd.call(Single(row));
        }
    }
}

/// One output row of work.
struct Row<'a> {
    own: &'a Depthwise,
    input: &'a Rows<'a>,
    first: usize,
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl<'a> Row<'a> {
    /// Input row `dy` of the window, from its first padded pixel on.
    #[inline(always)]
    fn under(&self, dy: usize) -> &'a [f32] {
        self.input.padded(self.first + dy, self.own.window.pad[1])
    }

    /// Bias, whose values stand at `phase`, plus what the residual holds at `at`.
    #[inline(always)]
    fn begin<S: Simd>(&self, simd: S, phase: usize, at: usize, count: usize) -> S::V {
        let bias = simd.load(self.own.bias.values(), phase);
        match self.residual {
            None => bias,
            Some(residual) => simd.add(bias, simd.load_part(residual, at, count)),
        }
    }
}

/// Whole registers under a 3 × 3 window.
struct Three<'a, const STRIDE: usize>(Row<'a>);

impl<const STRIDE: usize> Kernel for Three<'_, STRIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row = self.0;
        let channels = row.own.channels;
        simd.stencil::<STRIDE>(Stencil {
            channels,
            pixels: row.out.len() / channels,
            rows: [0, 1, 2].map(|dy| row.under(dy)),
            taps: row.own.taps.values(),
            bias: row.own.bias.values(),
            slopes: row.own.curve.slopes(),
            residual: row.residual,
            out: row.out,
        });
    }
}

/// Any channels at stride 1: the row as a flat array.
struct Flat<'a>(Row<'a>);

impl Kernel for Flat<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row = self.0;
        let Depthwise { window, channels, period, .. } = *row.own;
        let (mut at, mut phase) = (0, 0);
        while at < row.out.len() {
            let count = S::LANES.min(row.out.len() - at);
            let mut sum = row.begin(simd, phase, at, count);
            for dy in 0..window.kernel[0] {
                let input = row.under(dy);
                for dx in 0..window.kernel[1] {
                    let tap = (dy * window.kernel[1] + dx) * period + phase;
                    let value = simd.load_part(input, at + dx * channels, count);
                    sum = simd.fma(value, simd.load(row.own.taps.values(), tap), sum);
                }
            }
            simd.store_part(bent(simd, sum, row.own.curve.slopes(), phase), row.out, at, count);
            at += count;
            phase = (phase + S::LANES) % period;
        }
    }
}

/// Pixel by pixel, register by register. Values that belong to channels repeat, so that a whole
/// register of them can always be read; the lanes beyond the last channel are not stored.
struct Single<'a>(Row<'a>);

impl Kernel for Single<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let row = self.0;
        let Depthwise { window, channels, period, .. } = *row.own;
        for x in 0..row.out.len() / channels {
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let at = x * channels + c;
                let mut sum = row.begin(simd, c, at, count);
                for dy in 0..window.kernel[0] {
                    let input = row.under(dy);
                    for dx in 0..window.kernel[1] {
                        let tap = (dy * window.kernel[1] + dx) * period + c;
                        let from = (x * window.stride[1] + dx) * channels + c;
                        let value = simd.load_part(input, from, count);
                        sum = simd.fma(value, simd.load(row.own.taps.values(), tap), sum);
                    }
                }
                simd.store_part(bent(simd, sum, row.own.curve.slopes(), c), row.out, at, count);
            }
        }
    }
}
