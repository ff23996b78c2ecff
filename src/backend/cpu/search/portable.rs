//! Any processor: registers are arrays of eight sums, which the compiler maps to what the target
//! has.

use super::lanes::{Kernel, Lanes};
use crate::ops::score::score;

/// Needs no proof: plain Rust.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

const COUNT: usize = 8;

/// `f` per lane.
#[inline(always)]
fn lanes(f: impl FnMut(usize) -> i32) -> [i32; COUNT] {
    std::array::from_fn(f)
}

impl Lanes for Portable {
    type V = [i32; COUNT];
    type Word = [i32; 4];
    const COUNT: usize = COUNT;
    const VECTORS: usize = 1;
    const PROBES: usize = 2;
    const SHIFT: i32 = 0;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: i32) -> Self::V {
        [value; COUNT]
    }

    #[inline(always)]
    fn load(self, from: &[u32], at: usize) -> Self::V {
        let from = &from[at..at + COUNT];
        lanes(|i| from[i].cast_signed())
    }

    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [i32], at: usize) {
        to[at..at + COUNT].copy_from_slice(&value);
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn word(self, words: &[u32], group: usize) -> Self::Word {
        words[group].to_le_bytes().map(|byte| i32::from(byte.cast_signed()))
    }

    #[inline(always)]
    fn dot(self, sum: Self::V, rows: Self::V, probe: Self::Word) -> Self::V {
        // Shifts, not bytes: the compiler then keeps whole registers. Each brings one value to the
        // top of its lane and back down with its sign.
        let value = |x: i32, place: u32| (x << (24 - 8 * place)) >> 24;
        lanes(|i| {
            let x = rows[i];
            sum[i]
                + (value(x, 0) * probe[0] + value(x, 1) * probe[1])
                + (value(x, 2) * probe[2] + value(x, 3) * probe[3])
        })
    }

    #[inline(always)]
    fn rest(self, sum: Self::V, norms: &[u16], at: usize, rest: Self::V) -> Self::V {
        let norms = &norms[at..at + COUNT];
        lanes(|i| sum[i] + i32::from(norms[i]) * rest[i])
    }

    #[inline(always)]
    fn reached(self, sum: Self::V) -> u64 {
        (0..COUNT).fold(0, |bits, i| bits | u64::from(sum[i] >= 0) << i)
    }

    #[inline(always)]
    fn product(self, a: &[i8], b: &[i8]) -> i32 {
        score(a, b).0
    }

    #[inline(always)]
    fn prefetch(self, _bytes: &[u8]) {}
}
