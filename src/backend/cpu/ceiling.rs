//! The two ceilings that a network runs under on this machine: multiply-adds from registers, and
//! bytes from memory. Only the bench asks; it holds every figure against them.

use super::{
    pool::Pool,
    vector::{Kernel, Simd},
};

/// Most independent sums: enough to hide the latency of a multiply-add on two ports.
const SUMS: usize = 12;

/// Independent sums of a set with `rows` rows in a register block.
const fn sums_of(rows: usize) -> usize {
    if 2 * rows < SUMS { 2 * rows } else { SUMS }
}

/// `rounds` rounds of register-only multiply-adds; gives a value so that they happen.
struct MultiplyAdds {
    rounds: u64,
}

impl Kernel for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat(std::hint::black_box(0.999));
        let mut sums = [simd.splat(std::hint::black_box(1.0)); SUMS];
        for _ in 0..self.rounds {
            // As many as a register block of this set has, so that none of them is in memory.
            for sum in sums.iter_mut().take(const { sums_of(S::ROWS) }) {
                *sum = simd.fma(*sum, factor, factor);
            }
        }
        let mut lanes = [0.0; super::vector::LANES_MAX];
        let total = sums.into_iter().fold(simd.splat(0.0), |total, sum| simd.add(total, sum));
        simd.store(total, &mut lanes, 0);
        lanes[0]
    }
}

/// Reads every value once.
struct Read<'a>(&'a [f32]);

impl Kernel for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut sums = [simd.splat(0.0); SUMS];
        for stretch in self.0.chunks_exact(SUMS * S::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = simd.add(*sum, simd.load(stretch, i * S::LANES));
            }
        }
        let mut lanes = [0.0; super::vector::LANES_MAX];
        let total = sums.into_iter().fold(simd.splat(0.0), |total, sum| simd.add(total, sum));
        simd.store(total, &mut lanes, 0);
        lanes[0]
    }
}

/// Runs `rounds` rounds on every thread; gives the multiply-adds done in all.
pub(super) fn multiply_adds<S: Simd>(simd: S, pool: &Pool, rounds: u64) -> u64 {
    pool.each(|_| {
        std::hint::black_box(simd.call(MultiplyAdds { rounds }));
    });
    rounds * (sums_of(S::ROWS) * S::LANES * pool.threads()) as u64
}

/// Reads `values` once, a part on every thread.
pub(super) fn read<S: Simd>(simd: S, pool: &Pool, values: &[f32]) {
    let part = values.len().div_ceil(pool.threads());
    pool.each(|thread| {
        let from = (thread * part).min(values.len());
        let to = (from + part).min(values.len());
        std::hint::black_box(simd.call(Read(&values[from..to])));
    });
}
