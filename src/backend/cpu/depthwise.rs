//! `Depthwise` over one output row, vectorised over channels.
//!
//! Three ways, by shape: whole registers of channels under a 3 × 3 window (four pixels at a time, so
//! that every loaded value serves up to three of them); any channels at stride 1, where a row is a
//! flat array whose weights repeat; and the rest, pixel by pixel.

use super::{
    curve::{Curve, bent, period, repeated},
    memory::Lines,
    rows::Rows,
    vector::{Kernel, Simd},
};
use crate::ops::program::{Activation, Program, WeightId, Window};

/// Output pixels computed together.
const PIXELS: usize = 4;

/// A depthwise convolution made ready.
#[derive(Debug)]
pub(super) struct Depthwise {
    pub(super) window: Window,
    pub(super) curve: Curve,
    /// Per tap, the channels' weights, repeated.
    taps: Vec<Lines>,
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
        Self {
            window,
            curve: Curve::new(program, activation, channels, lay),
            taps: program.weight(weights).chunks_exact(channels).map(lay).collect(),
            bias: lay(program.weight(bias)),
            channels,
            period: period(channels, lanes),
        }
    }

    /// Computes one output row from the `kernel[0]` input rows that start at row `first`.
    pub(super) fn run<S: Simd>(&self, simd: S, input: &Rows<'_>, first: usize, out: &mut [f32]) {
        let whole = self.channels.is_multiple_of(S::LANES);
        if whole && self.window.kernel == [3, 3] && self.window.stride[1] <= 2 {
            let rows = [0, 1, 2].map(|i| input.padded(first + i, self.window.pad[1]));
            if self.window.stride[1] == 1 {
                simd.call(Three::<1> { own: self, rows, out });
            } else {
                simd.call(Three::<2> { own: self, rows, out });
            }
        } else if self.window.stride[1] == 1 {
            simd.call(Flat { own: self, input, first, out });
        } else {
            simd.call(Single { own: self, input, first, out });
        }
    }
}

/// Whole registers under a 3 × 3 window.
struct Three<'a, const STRIDE: usize> {
    own: &'a Depthwise,
    rows: [&'a [f32]; 3],
    out: &'a mut [f32],
}

impl<const STRIDE: usize> Three<'_, STRIDE> {
    /// `COUNT` pixels from pixel `x` on.
    #[inline(always)]
    fn pixels<S: Simd, const COUNT: usize>(&mut self, simd: S, x: usize) {
        let channels = self.own.channels;
        let taps: [&[f32]; 9] = std::array::from_fn(|tap| &self.own.taps[tap].values()[..channels]);
        let span = ((COUNT - 1) * STRIDE + 3) * channels;
        let rows = self.rows.map(|row| &row[x * STRIDE * channels..][..span]);
        let out = &mut self.out[x * channels..][..COUNT * channels];
        for c in (0..channels).step_by(S::LANES) {
            let mut acc = [simd.load(self.own.bias.values(), c); COUNT];
            for (y, row) in rows.iter().enumerate() {
                for dx in 0..3 {
                    let weight = simd.load(taps[y * 3 + dx], c);
                    for (i, sum) in acc.iter_mut().enumerate() {
                        let value = simd.load(row, (i * STRIDE + dx) * channels + c);
                        *sum = simd.fma(value, weight, *sum);
                    }
                }
            }
            for (i, &sum) in acc.iter().enumerate() {
                let value = bent(simd, sum, self.own.curve.slopes(), c);
                simd.store(value, out, i * channels + c);
            }
        }
    }
}

impl<const STRIDE: usize> Kernel for Three<'_, STRIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let width = self.out.len() / self.own.channels;
        let mut x = 0;
        while x + PIXELS <= width {
            self.pixels::<S, PIXELS>(simd, x);
            x += PIXELS;
        }
        while x < width {
            self.pixels::<S, 1>(simd, x);
            x += 1;
        }
    }
}

/// Any channels at stride 1: the row as a flat array.
struct Flat<'a> {
    own: &'a Depthwise,
    input: &'a Rows<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Flat<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Depthwise { window, channels, period, .. } = *self.own;
        let (mut at, mut phase) = (0, 0);
        while at < self.out.len() {
            let count = S::LANES.min(self.out.len() - at);
            let mut sum = simd.load(self.own.bias.values(), phase);
            for dy in 0..window.kernel[0] {
                let row = self.input.padded(self.first + dy, window.pad[1]);
                for dx in 0..window.kernel[1] {
                    let weight = simd.load(self.own.taps[dy * window.kernel[1] + dx].values(), phase);
                    let value = simd.load_part(row, at + dx * channels, count);
                    sum = simd.fma(value, weight, sum);
                }
            }
            let value = bent(simd, sum, self.own.curve.slopes(), phase);
            simd.store_part(value, self.out, at, count);
            at += count;
            phase = (phase + S::LANES) % period;
        }
    }
}

/// Pixel by pixel, register by register.
struct Single<'a> {
    own: &'a Depthwise,
    input: &'a Rows<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Single<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Depthwise { window, channels, .. } = *self.own;
        for (x, out) in self.out.chunks_exact_mut(channels).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let mut sum = simd.load_part(self.own.bias.values(), c, count);
                for dy in 0..window.kernel[0] {
                    let row = self.input.padded(self.first + dy, window.pad[1]);
                    for dx in 0..window.kernel[1] {
                        let taps = self.own.taps[dy * window.kernel[1] + dx].values();
                        let at = (x * window.stride[1] + dx) * channels + c;
                        let weight = simd.load_part(taps, c, count);
                        sum = simd.fma(simd.load_part(row, at, count), weight, sum);
                    }
                }
                let value = match self.own.curve.slopes() {
                    None => sum,
                    Some(slopes) => {
                        let slope = simd.load_part(slopes, c, count);
                        simd.where_negative(sum, simd.mul(sum, slope))
                    }
                };
                simd.store_part(value, out, c, count);
            }
        }
    }
}
