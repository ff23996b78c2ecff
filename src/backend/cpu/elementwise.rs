//! Steps whose output row is made of the same row of their inputs: `Affine`, `Add`, `Scale`,
//! `Softmax`, `Upsample`.

use super::{
    curve::{Curve, bent},
    memory::Lines,
    vector::{Kernel, Simd},
};

/// `bent(scale · x + shift)`; factors repeat with the channels.
pub(super) struct AffineRow<'a> {
    pub(super) scale: &'a Lines,
    pub(super) shift: &'a Lines,
    pub(super) curve: &'a Curve,
    pub(super) period: usize,
    pub(super) input: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Kernel for AffineRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut phase = 0;
        let each = self.out.chunks_mut(S::LANES).zip(self.input.chunks(S::LANES));
        for (out, input) in each {
            let scale = simd.load(self.scale.values(), phase);
            let shift = simd.load(self.shift.values(), phase);
            let value = simd.fma(simd.load_part(input, 0, input.len()), scale, shift);
            simd.store_part(bent(simd, value, self.curve.slopes(), phase), out, 0, input.len());
            phase += S::LANES;
            if phase == self.period {
                phase = 0;
            }
        }
    }
}

/// `bent(a + b)`.
pub(super) struct AddRow<'a> {
    pub(super) curve: &'a Curve,
    pub(super) period: usize,
    pub(super) inputs: [&'a [f32]; 2],
    pub(super) out: &'a mut [f32],
}

impl Kernel for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut phase = 0;
        let [a, b] = self.inputs.map(|input| input.chunks(S::LANES));
        for (out, (a, b)) in self.out.chunks_mut(S::LANES).zip(a.zip(b)) {
            let len = out.len();
            let sum = simd.add(simd.load_part(a, 0, len), simd.load_part(b, 0, len));
            simd.store_part(bent(simd, sum, self.curve.slopes(), phase), out, 0, len);
            phase += S::LANES;
            if phase == self.period {
                phase = 0;
            }
        }
    }
}

/// `x · gate[c]`.
pub(super) struct ScaleRow<'a> {
    pub(super) gate: &'a [f32],
    pub(super) input: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Kernel for ScaleRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.gate.len();
        let pixels = self.input.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels));
        for (input, out) in pixels {
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let gate = simd.load_part(self.gate, c, count);
                let value = simd.mul(simd.load_part(input, c, count), gate);
                simd.store_part(value, out, c, count);
            }
        }
    }
}

/// `e^(x - max) / Σ` over each pixel's channels. Scalar: it stands behind a handful of values.
pub(super) fn softmax_row(input: &[f32], channels: usize, out: &mut [f32]) {
    for (input, out) in input.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        let max = input.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (to, value) in out.iter_mut().zip(input) {
            *to = (value - max).exp();
            sum += *to;
        }
        for to in out {
            *to /= sum;
        }
    }
}

/// Every pixel `factor` times.
pub(super) fn upsample_row(input: &[f32], channels: usize, factor: usize, out: &mut [f32]) {
    let targets = out.chunks_exact_mut(channels * factor);
    for (pixel, targets) in input.chunks_exact(channels).zip(targets) {
        for target in targets.chunks_exact_mut(channels) {
            target.copy_from_slice(pixel);
        }
    }
}
