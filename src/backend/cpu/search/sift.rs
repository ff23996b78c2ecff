//! The register blocks: one block of 64 rows against a few probes.
//!
//! A sum begins at `-threshold - SHIFT · Σ q`, runs over the hot plane and ends, with the rest
//! term, at `hot + rest · norm - threshold`: the row is pruned where that is negative. Where many
//! rows survive, finishing each by itself costs more than the products of a few cold values for
//! all; the sums then run on over the packed cold plane and end at `score - threshold`. Either way
//! the sign of a sum is the answer.

use bytemuck::{cast_slice, cast_slice_mut};

use super::{
    lanes::{BLOCK_ROWS, Kernel, Lanes, block_words},
    needle::Needle,
};
use crate::ops::tile::TileLayout;

/// Most probes of any instruction set's register block.
pub(super) const PROBES_MAX: usize = 6;

/// What a register block leaves behind.
pub(super) struct Sieve {
    /// One bit per row that the bound does not prune.
    pub(super) reached: [u64; PROBES_MAX],
    /// One bit per row whose score reaches the threshold, after [`exact`].
    pub(super) accepted: [u64; PROBES_MAX],
    /// Bound (after [`exact`] score) less the threshold, for rows with a bit set.
    pub(super) over: [[i32; BLOCK_ROWS]; PROBES_MAX],
}

impl Sieve {
    /// Empty.
    pub(super) fn new() -> Self {
        Self {
            reached: [0; PROBES_MAX],
            accepted: [0; PROBES_MAX],
            over: [[0; BLOCK_ROWS]; PROBES_MAX],
        }
    }
}

/// The values of one block.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    /// Packed words.
    Packed(&'a [u32]),
    /// Row after row, for a single probe; and the rows after them, to be asked for.
    Straight(&'a [i8], &'a [i8]),
}

/// The words and the norms of a packed block.
#[inline(always)]
pub(super) fn split(block: &[u8], layout: TileLayout) -> (Values<'_>, &[u16]) {
    let (words, norms) = block.split_at(block_words(layout.hot_dims) * size_of::<u32>());
    (Values::Packed(cast_slice(words)), cast_slice(norms))
}

/// Makes block `number` of a plain hot plane ready: packed into `room`, or, where a probe is
/// `alone` and the block whole, as it lies with its norms beside it.
#[inline(always)]
pub(super) fn lay_out<'a, L: Lanes>(
    lanes: L,
    (values, norms): (&'a [i8], &[[u8; 2]]),
    layout: TileLayout,
    number: usize,
    alone: bool,
    room: &'a mut [u8],
) -> (Values<'a>, &'a [u16]) {
    let rows = number * BLOCK_ROWS..(number + 1) * BLOCK_ROWS;
    if L::STRAIGHT == 0 || !alone || rows.end > norms.len() {
        pack(lanes, values, norms, layout, number, room);
        return split(room, layout);
    }
    let (_, to) = room.split_at_mut(block_words(layout.hot_dims) * size_of::<u32>());
    copy_norms(&norms[rows.clone()], to);
    let (values, after) =
        values[rows.start * layout.hot_dims..].split_at(BLOCK_ROWS * layout.hot_dims);
    (Values::Straight(values, after), cast_slice(to))
}

/// Little-endian norms to the machine's own.
#[inline(always)]
fn copy_norms(from: &[[u8; 2]], to: &mut [u8]) {
    for (to, from) in cast_slice_mut::<u8, u16>(to).iter_mut().zip(from) {
        *to = u16::from_le_bytes(*from);
    }
}

/// Packs block `number` of a hot plane into `block`.
#[inline(always)]
pub(super) fn pack<L: Lanes>(
    lanes: L,
    values: &[i8],
    norms: &[[u8; 2]],
    layout: TileLayout,
    number: usize,
    block: &mut [u8],
) {
    let rows = number * BLOCK_ROWS..((number + 1) * BLOCK_ROWS).min(norms.len());
    let (words, to) = block.split_at_mut(block_words(layout.hot_dims) * size_of::<u32>());
    let values = &values[rows.start * layout.hot_dims..rows.end * layout.hot_dims];
    lanes.pack(values, layout.hot_dims, cast_slice_mut(words));
    copy_norms(&norms[rows], to);
}

/// One block against up to [`Lanes::PROBES`] probes: which rows the bound does not prune.
#[inline(always)]
pub(super) fn bound<L: Lanes>(
    lanes: L,
    values: Values<'_>,
    norms: &[u16],
    needles: &[&Needle],
    sieve: &mut Sieve,
) {
    match values {
        Values::Packed(words) => pass::<L, false>(lanes, words, &[], norms, needles, sieve),
        Values::Straight(rows, after) => {
            bound_straight(lanes, rows, after, norms, needles[0], sieve);
        }
    }
}

/// The same, and over the packed cold values of the block which rows reach the threshold.
#[inline(always)]
pub(super) fn exact<L: Lanes>(
    lanes: L,
    (words, cold): (&[u32], &[u32]),
    norms: &[u16],
    needles: &[&Needle],
    sieve: &mut Sieve,
) {
    pass::<L, true>(lanes, words, cold, norms, needles, sieve);
}

#[inline(always)]
fn pass<L: Lanes, const EXACT: bool>(
    lanes: L,
    words: &[u32],
    cold: &[u32],
    norms: &[u16],
    needles: &[&Needle],
    sieve: &mut Sieve,
) {
    let few = Few { words, cold, norms, needles, sieve };
    match L::VECTORS {
        4 => few.by::<L, 4, EXACT>(lanes),
        2 => few.by::<L, 2, EXACT>(lanes),
        _ => few.by::<L, 1, EXACT>(lanes),
    }
}

/// One probe against rows as they lie, read in order.
#[inline(always)]
fn bound_straight<L: Lanes>(
    lanes: L,
    values: &[i8],
    after: &[i8],
    norms: &[u16],
    needle: &Needle,
    sieve: &mut Sieve,
) {
    let dims = needle.hot().len();
    let mut after = after.chunks((L::STRAIGHT * dims).max(1));
    let (start, rest) = (lanes.splat(needle.start), lanes.splat(needle.rest));
    let mut reached = 0;
    for at in (0..BLOCK_ROWS).step_by(L::STRAIGHT) {
        lanes.prefetch(cast_slice(after.next().unwrap_or_default()));
        let rows = &values[at * dims..(at + L::STRAIGHT) * dims];
        let sum = lanes.add(lanes.straight(rows, dims, needle.hot()), start);
        let sum = lanes.rest(sum, norms, at, rest);
        lanes.store(sum, &mut sieve.over[0], at);
        reached |= lanes.reached(sum) << at;
    }
    sieve.reached[0] = reached;
}

/// A block and a few probes.
struct Few<'a> {
    words: &'a [u32],
    cold: &'a [u32],
    norms: &'a [u16],
    needles: &'a [&'a Needle],
    sieve: &'a mut Sieve,
}

impl Few<'_> {
    /// With `R` registers of rows.
    #[inline(always)]
    fn by<L: Lanes, const R: usize, const EXACT: bool>(self, lanes: L) {
        match self.needles.len() {
            1 => lanes.call(Shape::<1, R, EXACT>(self)),
            2 => lanes.call(Shape::<2, R, EXACT>(self)),
            3 if L::PROBES > 2 => lanes.call(Shape::<3, R, EXACT>(self)),
            4 if L::PROBES > 2 => lanes.call(Shape::<4, R, EXACT>(self)),
            5 if L::PROBES > 4 => lanes.call(Shape::<5, R, EXACT>(self)),
            6 if L::PROBES > 4 => lanes.call(Shape::<6, R, EXACT>(self)),
            _ => unreachable!("a register block has 1 to PROBES probes"),
        }
    }
}

/// `P` probes times `R` registers of rows: a function of its own for each shape.
struct Shape<'a, const P: usize, const R: usize, const EXACT: bool>(Few<'a>);

impl<const P: usize, const R: usize, const EXACT: bool> Kernel for Shape<'_, P, R, EXACT> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Few { words, cold, norms, needles, sieve } = self.0;
        let needles: &[&Needle; P] = needles.try_into().expect("the shape for so many");
        let (mut reached, mut accepted) = ([0; P], [0; P]);
        for at in (0..BLOCK_ROWS).step_by(R * L::COUNT) {
            let mut sums = [[lanes.splat(0); R]; P];
            for (sums, needle) in sums.iter_mut().zip(needles) {
                *sums = [lanes.splat(needle.start); R];
            }
            multiply(lanes, words, at, needles.map(|needle| needle.words.as_slice()), &mut sums);
            for (p, (sums, needle)) in sums.iter_mut().zip(needles).enumerate() {
                let rest = lanes.splat(needle.rest);
                let mut bounds = *sums;
                for (r, bound) in bounds.iter_mut().enumerate() {
                    *bound = lanes.rest(*bound, norms, at + r * L::COUNT, rest);
                }
                if EXACT {
                    reached[p] |= bits(lanes, bounds) << at;
                } else {
                    keep(lanes, bounds, at, &mut reached[p], &mut sieve.over[p]);
                }
            }
            if EXACT {
                for (sums, needle) in sums.iter_mut().zip(needles) {
                    for sum in sums {
                        *sum = lanes.add(*sum, lanes.splat(needle.cold_start));
                    }
                }
                let probes = needles.map(|needle| needle.cold_words.as_slice());
                multiply(lanes, cold, at, probes, &mut sums);
                for (p, sums) in sums.into_iter().enumerate() {
                    keep(lanes, sums, at, &mut accepted[p], &mut sieve.over[p]);
                }
            }
        }
        sieve.reached[..P].copy_from_slice(&reached);
        sieve.accepted[..P].copy_from_slice(&accepted);
    }
}

/// The heart: onto `sums`, over all groups of four values, the products of `P` probes with `R`
/// registers of rows from `at` on.
#[inline(always)]
fn multiply<L: Lanes, const P: usize, const R: usize>(
    lanes: L,
    words: &[u32],
    at: usize,
    probes: [&[u32]; P],
    sums: &mut [[L::V; R]; P],
) {
    let groups = words.len() / BLOCK_ROWS;
    let probes = probes.map(|probe| &probe[..groups * L::SPREAD]);
    for (g, group) in words.as_chunks::<BLOCK_ROWS>().0.iter().enumerate() {
        let mut rows = [lanes.splat(0); R];
        for (r, rows) in rows.iter_mut().enumerate() {
            *rows = lanes.load(group, at + r * L::COUNT);
        }
        for (sums, words) in sums.iter_mut().zip(probes) {
            let word = lanes.word(words, g);
            for (sum, rows) in sums.iter_mut().zip(rows) {
                *sum = lanes.dot(*sum, rows, word);
            }
        }
    }
}

/// One bit per row whose sum is not negative.
#[inline(always)]
fn bits<L: Lanes, const R: usize>(lanes: L, sums: [L::V; R]) -> u64 {
    let bits = |(r, sum)| lanes.reached(sum) << (r * L::COUNT);
    sums.into_iter().enumerate().map(bits).fold(0, |all, more| all | more)
}

/// The same, and the sums themselves where there is a bit.
#[inline(always)]
fn keep<L: Lanes, const R: usize>(
    lanes: L,
    sums: [L::V; R],
    at: usize,
    held: &mut u64,
    over: &mut [i32; BLOCK_ROWS],
) {
    if lanes.none_reached(sums) {
        return;
    }
    for (r, &sum) in sums.iter().enumerate() {
        lanes.store(sum, over, at + r * L::COUNT);
    }
    *held |= bits(lanes, sums) << at;
}
