//! Any processor: registers are arrays of eight values, which the compiler maps to what the target
//! has (two SSE registers on baseline x86-64).

use super::curve::bent;
use super::vector::{Kernel, Pixels, Simd, Stencil};

/// Needs no proof: plain Rust.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

/// Values in a register.
const LANES: usize = 8;

impl Portable {
    /// Always there.
    pub(super) fn detect() -> Option<Self> {
        Some(Self)
    }
}

/// `f` per lane.
#[inline(always)]
fn lanes(f: impl FnMut(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

/// A half-precision value, widened: exponent and mantissa moved into place and rescaled by 2^112,
/// which is right for subnormals too. Infinities do not occur in packed weights.
#[inline(always)]
fn widened(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | u32::from(half & 0x8000) << 16)
}

/// [`Simd::fma_block`] over weights that `load` reads.
#[inline(always)]
fn block<W, const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(
    pixels: Pixels<'_>,
    weights: &[W],
    load: impl Fn(&[W], usize) -> [f32; LANES],
) -> [[[f32; LANES]; COLUMNS]; ROWS] {
    let mut sums = [[[0.0; LANES]; COLUMNS]; ROWS];
    let mut weights = weights.chunks_exact(COLUMNS * LANES);
    let mut number = 0;
    while let Some((run, depth)) = pixels.run(number, ROWS, PITCH) {
        number += 1;
        for (k, weights) in weights.by_ref().take(depth).enumerate() {
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = Portable.splat(run[i * PITCH + k]);
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = Portable.fma(x, load(weights, j * LANES), *sum);
                }
            }
        }
    }
    sums
}

impl Simd for Portable {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    const ROWS: usize = 2;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32], at: usize) -> Self::V {
        let from = &from[at..at + LANES];
        lanes(|i| from[i])
    }

    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [f32], at: usize) {
        to[at..at + LANES].copy_from_slice(&value);
    }

    #[inline(always)]
    fn load_half(self, from: &[u16], at: usize) -> Self::V {
        let from = &from[at..at + LANES];
        lanes(|i| widened(from[i]))
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] / b[i])
    }

    // Not `f32::mul_add`: without the instruction that is a function call per lane.
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanes(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn where_negative(self, x: Self::V, below: Self::V) -> Self::V {
        lanes(|i| if x[i] < 0.0 { below[i] } else { x[i] })
    }

    // Adding and taking away 1.5 · 2^23 leaves the nearest whole number; |x| stays below 2^22.
    #[inline(always)]
    fn round(self, x: Self::V) -> Self::V {
        const SHIFT: f32 = 12_582_912.0;
        lanes(|i| (x[i] + SHIFT) - SHIFT)
    }

    #[inline(always)]
    fn power_of_two(self, n: Self::V) -> Self::V {
        lanes(|i| f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn fma_block<const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(
        self,
        pixels: Pixels<'_>,
        weights: &[f32],
    ) -> [[Self::V; COLUMNS]; ROWS] {
        let load = |weights: &[f32], at| self.load(weights, at);
        block::<f32, ROWS, COLUMNS, PITCH>(pixels, weights, load)
    }

    #[inline(always)]
    fn fma_block_half<const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(
        self,
        pixels: Pixels<'_>,
        weights: &[u16],
    ) -> [[Self::V; COLUMNS]; ROWS] {
        let load = |weights: &[u16], at| self.load_half(weights, at);
        block::<u16, ROWS, COLUMNS, PITCH>(pixels, weights, load)
    }

    #[inline(always)]
    fn store_block<const ROWS: usize, const COLUMNS: usize>(
        self,
        sums: [[Self::V; COLUMNS]; ROWS],
        bias: &[f32],
        slopes: Option<&[f32]>,
        out: &mut [f32],
        step: usize,
    ) {
        for (i, row) in sums.into_iter().enumerate() {
            for (j, sum) in row.into_iter().enumerate() {
                let value =
                    bent(self, self.add(sum, self.load(bias, j * LANES)), slopes, j * LANES);
                self.store(value, out, i * step + j * LANES);
            }
        }
    }

    #[inline(always)]
    fn stencil<const STRIDE: usize>(self, work: Stencil<'_>) {
        work.check(LANES, STRIDE);
        let Stencil { channels, pixels, rows, taps, bias, slopes, residual, out } = work;
        for x in 0..pixels {
            for c in (0..channels).step_by(LANES) {
                let mut sum = self.load(bias, c);
                for (dy, row) in rows.iter().enumerate() {
                    for dx in 0..3 {
                        let tap = self.load(taps, (dy * 3 + dx) * channels + c);
                        let value = self.load(row, (x * STRIDE + dx) * channels + c);
                        sum = self.fma(value, tap, sum);
                    }
                }
                let at = x * channels + c;
                let sum = residual.map_or(sum, |residual| self.add(sum, self.load(residual, at)));
                let bent = slopes.map(|slopes| self.mul(sum, self.load(slopes, c)));
                self.store(bent.map_or(sum, |bent| self.where_negative(sum, bent)), out, at);
            }
        }
    }
}
