//! One tile against every waiting probe.
//!
//! ```text
//! what the tile's rows have in common ─► all eligible · none · ask the row table
//! for each block of 64 rows:  pack (unless it lies packed)
//!     for each few probes:    sums of a register block ─► one bit per row: may it reach?
//!         eligible and may:   cold values, four rows at a time ─► score ─► kept
//! ```
//!
//! A packed block stays in the first-level cache while all probes pass over it; the rows of the
//! next tile are asked for meanwhile. Bounds are integers: a row's sum begins at `-threshold -
//! SHIFT · Σ q` and ends at `hot + rest · norm - threshold`, and the row is pruned exactly where
//! that is negative.
//!
//! Invariant: eligibility is counted before the bound, and what is pruned is counted for itself, so
//! that the sum of all counts proves that every row was looked at once.

use std::array;

use bytemuck::{cast_slice, cast_slice_mut};

use super::{
    lanes::{BLOCK_ROWS, Kernel, Lanes, block_words},
    needle::Needle,
    parts::{Opened, Wiped, block_bytes},
};
use crate::{
    ops::{
        search::{Eligible, RowHit, RowHits, eligibility, eligible},
        tile::{Common, Row, TileError, TileLayout},
    },
    types::Score,
};

/// Most probes of any instruction set's register block.
pub(super) const PROBES_MAX: usize = 4;

/// A probe under way, and what it has found so far.
pub(super) struct Passenger<'a> {
    /// The probe.
    pub(super) needle: &'a Needle,
    /// Counts and best rows; subjects are filled in at the end.
    pub(super) tally: &'a mut RowHits,
}

/// Where the hot plane lies.
pub(super) enum Hot<'a> {
    /// In blocks, as the kernels read it.
    Packed(&'a [u8]),
    /// Row after row.
    Plain(Opened<'a>),
}

/// The kernel.
pub(super) struct TileScan<'a, 'p> {
    /// Sizes.
    pub(super) layout: TileLayout,
    /// Rows of this tile.
    pub(super) rows: usize,
    /// Number of its first row in the generation.
    pub(super) first: u64,
    /// What its rows have in common.
    pub(super) common: Common,
    /// The hot plane.
    pub(super) hot: Hot<'a>,
    /// The cold plane, opened for the first survivor.
    pub(super) cold: Opened<'a>,
    /// The row table, opened when rows must be asked.
    pub(super) table: Opened<'a>,
    /// Room for a packed block.
    pub(super) block: &'a mut [u8],
    /// Room for the eligibility.
    pub(super) bitmaps: &'a mut Vec<u64>,
    /// Room for who takes part: passenger, and where its bitmap begins.
    pub(super) aboard: &'a mut Vec<(usize, usize)>,
    /// Everybody in the scan.
    pub(super) passengers: &'a mut [Passenger<'p>],
    /// Which of them wait for this tile.
    pub(super) waiting: &'a [usize],
    /// Plaintext of the next tile's hot plane, where it lies in memory.
    pub(super) next: &'a [u8],
}

/// What a register block leaves behind.
struct Sieve {
    /// One bit per row that may reach the threshold.
    reached: [u64; PROBES_MAX],
    /// Bound above the threshold.
    over: [[i32; BLOCK_ROWS]; PROBES_MAX],
}

impl Kernel for TileScan<'_, '_> {
    type Output = Result<(), TileError>;

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) -> Result<(), TileError> {
        self.board()?;
        if self.aboard.is_empty() {
            return Ok(());
        }
        let Self { layout, rows, first, mut hot, cold, aboard, bitmaps, passengers, .. } = self;
        let room = Wiped(&mut self.block[..block_bytes(layout)]);
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let ahead = self.next.len().div_ceil(blocks).next_multiple_of(64).max(64);
        let mut asked = self.next.chunks(ahead);
        let mut sieve = Sieve { reached: [0; PROBES_MAX], over: [[0; BLOCK_ROWS]; PROBES_MAX] };
        let mut finish = Finish { layout, first, cold };
        for number in 0..blocks {
            lanes.prefetch(asked.next().unwrap_or_default());
            let block: &[u8] = match &mut hot {
                Hot::Packed(tile) => &tile[number * room.0.len()..][..room.0.len()],
                Hot::Plain(opened) => {
                    let (values, norms) = layout.split_hot(opened.bytes()?, rows);
                    pack(lanes, values, norms, layout, number, room.0);
                    room.0
                }
            };
            let (words, norms) = split(block, layout);
            for few in aboard.chunks(L::PROBES) {
                let needles: [&Needle; PROBES_MAX] =
                    array::from_fn(|p| passengers[few[p.min(few.len() - 1)].0].needle);
                sift(lanes, words, norms, &needles[..few.len()], &mut sieve);
                for (p, &(passenger, bitmap)) in few.iter().enumerate() {
                    let eligible = bitmaps[bitmap + number];
                    let kept = sieve.reached[p] & eligible;
                    let passenger = &mut passengers[passenger];
                    let counts = &mut passenger.tally.certificate;
                    counts.pruned += u64::from((eligible & !kept).count_ones());
                    if kept != 0 {
                        counts.rescored += u64::from(kept.count_ones());
                        let block = number * BLOCK_ROWS;
                        finish.rows(lanes, passenger, kept, &sieve.over[p], norms, block)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl TileScan<'_, '_> {
    /// Decides who takes part, and writes down which rows are eligible for whom; one bitmap serves
    /// all who ask the same.
    fn board(&mut self) -> Result<(), TileError> {
        let blocks = self.rows.div_ceil(BLOCK_ROWS);
        self.aboard.clear();
        self.bitmaps.clear();
        self.bitmaps.resize(blocks, u64::MAX);
        if let (Some(last), tail @ 1..) = (self.bitmaps.last_mut(), self.rows % BLOCK_ROWS) {
            *last = (1 << tail) - 1;
        }
        let mut asked: Option<(&Needle, usize)> = None;
        for &number in self.waiting {
            let passenger = &mut self.passengers[number];
            let needle = passenger.needle;
            let bitmap = match eligibility(&needle.probe(), &self.common) {
                Eligible::All => 0,
                Eligible::None => {
                    passenger.tally.certificate.ineligible += self.rows as u64;
                    continue;
                }
                Eligible::Each => match asked.filter(|(other, _)| other.asks_as(needle)) {
                    Some((_, bitmap)) => bitmap,
                    None => {
                        let bitmap = self.bitmaps.len();
                        mark(needle, self.table.rows()?, self.bitmaps);
                        bitmap
                    }
                },
            };
            if bitmap > 0 {
                asked = Some((needle, bitmap));
            }
            let held: u32 =
                self.bitmaps[bitmap..][..blocks].iter().map(|bits| bits.count_ones()).sum();
            passenger.tally.certificate.ineligible += self.rows as u64 - u64::from(held);
            if held > 0 {
                self.aboard.push((number, bitmap));
            }
        }
        Ok(())
    }
}

/// Appends one bit per row.
fn mark(needle: &Needle, table: &[Row], bitmaps: &mut Vec<u64>) {
    let probe = needle.probe();
    for rows in table.chunks(BLOCK_ROWS) {
        let bit = |(r, row)| u64::from(eligible(&probe, row)) << r;
        bitmaps.push(rows.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit));
    }
}

/// The words and the norms of a packed block.
#[inline(always)]
fn split(block: &[u8], layout: TileLayout) -> (&[u32], &[u16]) {
    let (words, norms) = block.split_at(block_words(layout.hot_dims) * size_of::<u32>());
    (cast_slice(words), cast_slice(norms))
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
    for (to, from) in cast_slice_mut::<u8, u16>(to).iter_mut().zip(&norms[rows]) {
        *to = u16::from_le_bytes(*from);
    }
}

/// One block against up to [`Lanes::PROBES`] probes.
#[inline(always)]
fn sift<L: Lanes>(
    lanes: L,
    words: &[u32],
    norms: &[u16],
    needles: &[&Needle],
    sieve: &mut Sieve,
) {
    match (needles, L::VECTORS) {
        (&[a], 4) => sift_few::<L, 1, 4>(lanes, words, norms, [a], sieve),
        (&[a, b], 4) => sift_few::<L, 2, 4>(lanes, words, norms, [a, b], sieve),
        (&[a, b, c], 4) => sift_few::<L, 3, 4>(lanes, words, norms, [a, b, c], sieve),
        (&[a, b, c, d], 4) => sift_few::<L, 4, 4>(lanes, words, norms, [a, b, c, d], sieve),
        (&[a], 2) => sift_few::<L, 1, 2>(lanes, words, norms, [a], sieve),
        (&[a, b], 2) => sift_few::<L, 2, 2>(lanes, words, norms, [a, b], sieve),
        (&[a, b, c], 2) => sift_few::<L, 3, 2>(lanes, words, norms, [a, b, c], sieve),
        (&[a, b, c, d], 2) => sift_few::<L, 4, 2>(lanes, words, norms, [a, b, c, d], sieve),
        (&[a], _) => sift_few::<L, 1, 1>(lanes, words, norms, [a], sieve),
        (&[a, b], _) => sift_few::<L, 2, 1>(lanes, words, norms, [a, b], sieve),
        _ => unreachable!("a register block has 1 to 4 probes"),
    }
}

/// The heart: `P` probes times `R` registers of rows, over all groups of four values.
#[inline(always)]
fn sift_few<L: Lanes, const P: usize, const R: usize>(
    lanes: L,
    words: &[u32],
    norms: &[u16],
    needles: [&Needle; P],
    sieve: &mut Sieve,
) {
    let groups = words.len() / BLOCK_ROWS;
    let probes: [&[u32]; P] = array::from_fn(|p| &needles[p].words[..groups * L::SPREAD]);
    let rests: [L::V; P] = array::from_fn(|p| lanes.splat(needles[p].rest));
    let mut reached = [0; P];
    for at in (0..BLOCK_ROWS).step_by(R * L::COUNT) {
        let mut sums: [[L::V; R]; P] =
            array::from_fn(|p| [lanes.splat(needles[p].start); R]);
        for (g, group) in words.as_chunks::<BLOCK_ROWS>().0.iter().enumerate() {
            let rows: [L::V; R] = array::from_fn(|r| lanes.load(group, at + r * L::COUNT));
            for p in 0..P {
                let word = lanes.word(probes[p], g);
                for r in 0..R {
                    sums[p][r] = lanes.dot(sums[p][r], rows[r], word);
                }
            }
        }
        for p in 0..P {
            for r in 0..R {
                let row = at + r * L::COUNT;
                let sum = lanes.rest(sums[p][r], norms, row, rests[p]);
                lanes.store(sum, &mut sieve.over[p], row);
                reached[p] |= lanes.reached(sum) << row;
            }
        }
    }
    sieve.reached[..P].copy_from_slice(&reached);
}

/// What turns survivors into scores.
struct Finish<'a> {
    layout: TileLayout,
    first: u64,
    cold: Opened<'a>,
}

impl Finish<'_> {
    /// Finishes the rows of `kept`, one bit each, of the block that begins at row `block`.
    #[inline(always)]
    fn rows<L: Lanes>(
        &mut self,
        lanes: L,
        passenger: &mut Passenger<'_>,
        mut kept: u64,
        over: &[i32; BLOCK_ROWS],
        norms: &[u16],
        block: usize,
    ) -> Result<(), TileError> {
        let cold_dims = self.layout.dims - self.layout.hot_dims;
        let plane: &[i8] = if cold_dims == 0 { &[] } else { self.cold.values()? };
        let needle = passenger.needle;
        while kept != 0 {
            // Four at a time; where fewer are left, the last one stands in for the others.
            let mut held = 0;
            let mut four = [0; 4];
            while held < 4 && kept != 0 {
                four[held] = kept.trailing_zeros() as usize;
                kept &= kept - 1;
                held += 1;
            }
            for r in held..4 {
                four[r] = four[held - 1];
            }
            let cold = if cold_dims == 0 {
                [0; 4]
            } else {
                lanes.products(plane, four.map(|r| (block + r) * cold_dims), needle.cold())
            };
            for (&r, cold) in four[..held].iter().zip(cold) {
                let hot = over[r] + needle.needed - needle.rest * i32::from(norms[r]);
                let score = Score(hot + cold);
                if score >= needle.threshold() {
                    passenger.tally.certificate.accepted += 1;
                    let row = self.first + (block + r) as u64;
                    let hit = RowHit { row, score, subject: [0; 16] };
                    passenger.tally.keep(hit, needle.best);
                }
            }
        }
        Ok(())
    }
}
