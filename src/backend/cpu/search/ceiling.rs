//! The two ceilings that a scan runs under: products from registers, and bytes from memory. Only
//! the bench asks; it holds every figure against them.

use super::{
    Set,
    lanes::{BLOCK_ROWS, Kernel, Lanes},
};
use crate::backend::cpu::pool::Pool;

/// Independent sums of the register-only loop: those of a scan's register block.
const fn sums_of<L: Lanes>() -> usize {
    L::PROBES * L::VECTORS
}

/// Most sums of any set.
const SUMS_MAX: usize = 24;

/// `rounds` rounds of the multiply-adds of a scan, from registers alone.
struct Products {
    rounds: u64,
}

impl Kernel for Products {
    type Output = i32;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> i32 {
        let words = std::hint::black_box([0x0101_0101; BLOCK_ROWS]);
        let (rows, word) = (lanes.load(&words, 0), lanes.word(&words, 0));
        let mut sums = [lanes.splat(0); SUMS_MAX];
        for _ in 0..self.rounds {
            for sum in sums.iter_mut().take(const { sums_of::<L>() }) {
                *sum = lanes.dot(*sum, rows, word);
            }
        }
        let mut out = [0; BLOCK_ROWS];
        let total = sums.into_iter().fold(lanes.splat(0), |total, sum| lanes.add(total, sum));
        lanes.store(total, &mut out, 0);
        out[0]
    }
}

/// Reads every byte once.
struct Read<'a>(&'a [u32]);

impl Kernel for Read<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> i32 {
        let mut sums = [lanes.splat(0); 4];
        for stretch in self.0.as_chunks::<BLOCK_ROWS>().0 {
            for at in (0..BLOCK_ROWS).step_by(L::COUNT) {
                let sum = &mut sums[at / L::COUNT % 4];
                *sum = lanes.add(*sum, lanes.load(stretch, at));
            }
        }
        let mut out = [0; BLOCK_ROWS];
        let total = sums.into_iter().fold(lanes.splat(0), |total, sum| lanes.add(total, sum));
        lanes.store(total, &mut out, 0);
        out[0]
    }
}

/// Runs `rounds` rounds on every thread; gives the products of two bytes in all.
pub(super) fn products(set: Set, pool: &Pool, rounds: u64) -> u64 {
    super::with_lanes!(set, lanes => {
        pool.each(|_| {
            std::hint::black_box(lanes.call(Products { rounds }));
        });
        products_of(lanes) * rounds * pool.threads() as u64
    })
}

/// Products of one round.
fn products_of<L: Lanes>(_: L) -> u64 {
    (sums_of::<L>() * L::COUNT * 4) as u64
}

/// Reads `words` once, a part on every thread.
pub(super) fn read(set: Set, pool: &Pool, words: &[u32]) {
    let part = words.len().div_ceil(pool.threads()).next_multiple_of(BLOCK_ROWS);
    super::with_lanes!(set, lanes => pool.each(|thread| {
        let from = (thread * part).min(words.len());
        let to = (from + part).min(words.len());
        std::hint::black_box(lanes.call(Read(&words[from..to])));
    }));
}
