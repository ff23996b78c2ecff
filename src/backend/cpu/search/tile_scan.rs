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
//! Invariant: eligibility is counted before the bound, and each row in one count, so that the sum
//! of a scan's counts proves that every tile of the generation was scanned once.

use std::array;

use bytemuck::{cast_slice, cast_slice_mut};

use super::{
    lanes::{BLOCK_ROWS, Kernel, Lanes, block_words},
    needle::Needle,
    parts::{Opened, Survivor},
};
use crate::{
    ops::{
        search::{Eligible, RowHit, RowHits, eligibility, eligible},
        tile::{Common, Row, TileError, TileLayout},
    },
    types::Score,
};

/// Most probes of any instruction set's register block.
pub(super) const PROBES_MAX: usize = 6;

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
    /// Room for rows to be finished.
    pub(super) survivors: &'a mut Vec<Survivor>,
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
        let room = self.block;
        let (blocks, few) = (rows.div_ceil(BLOCK_ROWS), aboard.len().div_ceil(L::PROBES));
        let mut ahead = self.next.chunks(ahead_bytes(self.next.len(), blocks * few));
        let mut sieve = Sieve { reached: [0; PROBES_MAX], over: [[0; BLOCK_ROWS]; PROBES_MAX] };
        let mut finish = Finish { layout, first, cold, survivors: self.survivors };
        for number in 0..blocks {
            let block: &[u8] = match &mut hot {
                Hot::Packed(tile) => &tile[number * room.len()..][..room.len()],
                Hot::Plain(opened) => {
                    let (values, norms) = layout.split_hot(opened.bytes()?, rows);
                    pack(lanes, values, norms, layout, number, room);
                    room
                }
            };
            let (words, norms) = split(block, layout);
            let before = finish.survivors.len();
            for few in aboard.chunks(L::PROBES) {
                lanes.prefetch(ahead.next().unwrap_or_default());
                let needles: [&Needle; PROBES_MAX] =
                    array::from_fn(|p| passengers[few[p.min(few.len() - 1)].0].needle);
                sift(lanes, words, norms, &needles[..few.len()], &mut sieve);
                for (p, &(number_aboard, bitmap)) in few.iter().enumerate() {
                    let eligible = bitmaps[bitmap + number];
                    let kept = sieve.reached[p] & eligible;
                    if kept != 0 {
                        let counts = &mut passengers[number_aboard].tally.certificate;
                        counts.pruned -= u64::from(kept.count_ones());
                        counts.rescored += u64::from(kept.count_ones());
                        let block = Block { number, over: &sieve.over[p], norms };
                        finish.note(lanes, number_aboard, needles[p], kept, &block);
                    }
                }
            }
            // One block later their cold values have arrived.
            finish.score(lanes, passengers, before)?;
        }
        finish.score(lanes, passengers, usize::MAX)
    }
}

/// Bytes asked for with each of `times` register blocks, in whole cache lines.
fn ahead_bytes(bytes: usize, times: usize) -> usize {
    bytes.div_ceil(times.max(1)).next_multiple_of(64).max(64)
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
            // Pruned, until a block says otherwise.
            passenger.tally.certificate.ineligible += self.rows as u64 - u64::from(held);
            passenger.tally.certificate.pruned += u64::from(held);
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
fn sift<L: Lanes>(lanes: L, words: &[u32], norms: &[u16], needles: &[&Needle], sieve: &mut Sieve) {
    match L::VECTORS {
        4 => sift_by::<L, 4>(lanes, words, norms, needles, sieve),
        2 => sift_by::<L, 2>(lanes, words, norms, needles, sieve),
        _ => sift_by::<L, 1>(lanes, words, norms, needles, sieve),
    }
}

/// With `R` registers of rows.
#[inline(always)]
fn sift_by<L: Lanes, const R: usize>(
    lanes: L,
    words: &[u32],
    norms: &[u16],
    needles: &[&Needle],
    sieve: &mut Sieve,
) {
    match *needles {
        [a] => sift_few::<L, 1, R>(lanes, words, norms, [a], sieve),
        [a, b] => sift_few::<L, 2, R>(lanes, words, norms, [a, b], sieve),
        [a, b, c] if L::PROBES > 2 => {
            sift_few::<L, 3, R>(lanes, words, norms, [a, b, c], sieve);
        }
        [a, b, c, d] if L::PROBES > 2 => {
            sift_few::<L, 4, R>(lanes, words, norms, [a, b, c, d], sieve);
        }
        [a, b, c, d, e] if L::PROBES > 4 => {
            sift_few::<L, 5, R>(lanes, words, norms, [a, b, c, d, e], sieve);
        }
        [a, b, c, d, e, f] if L::PROBES > 4 => {
            sift_few::<L, 6, R>(lanes, words, norms, [a, b, c, d, e, f], sieve);
        }
        _ => unreachable!("a register block has 1 to PROBES probes"),
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
        let mut sums = [[lanes.splat(0); R]; P];
        for (sums, needle) in sums.iter_mut().zip(needles) {
            *sums = [lanes.splat(needle.start); R];
        }
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
        for (p, (sums, rest)) in sums.iter_mut().zip(rests).enumerate() {
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum = lanes.rest(*sum, norms, at + r * L::COUNT, rest);
            }
            if lanes.none_reached(*sums) {
                continue;
            }
            for (r, &sum) in sums.iter().enumerate() {
                let row = at + r * L::COUNT;
                lanes.store(sum, &mut sieve.over[p], row);
                reached[p] |= lanes.reached(sum) << row;
            }
        }
    }
    sieve.reached[..P].copy_from_slice(&reached);
}

/// What a block's hot plane gave for one probe.
struct Block<'a> {
    number: usize,
    /// How far each row's bound is over what is needed.
    over: &'a [i32; BLOCK_ROWS],
    norms: &'a [u16],
}

/// What turns survivors into scores.
struct Finish<'a> {
    layout: TileLayout,
    first: u64,
    cold: Opened<'a>,
    survivors: &'a mut Vec<Survivor>,
}

impl Finish<'_> {
    /// Writes down the rows of `kept`, one bit each, of `block`, and asks for their cold
    /// values where they lie in memory.
    #[inline(always)]
    fn note<L: Lanes>(
        &mut self,
        lanes: L,
        passenger: usize,
        needle: &Needle,
        mut kept: u64,
        block: &Block<'_>,
    ) {
        let cold_dims = self.layout.dims - self.layout.hot_dims;
        while kept != 0 {
            let r = kept.trailing_zeros() as usize;
            kept &= kept - 1;
            let row = block.number * BLOCK_ROWS + r;
            if let Opened::Resident(plane) = &self.cold {
                lanes.prefetch(&plane[row * cold_dims..][..cold_dims]);
            }
            let hot = block.over[r] + needle.needed - needle.rest * i32::from(block.norms[r]);
            self.survivors.push(Survivor { passenger: passenger as u32, row: row as u32, hot });
        }
    }

    /// Finishes the first `count` survivors.
    #[inline(always)]
    fn score<L: Lanes>(
        &mut self,
        lanes: L,
        passengers: &mut [Passenger<'_>],
        count: usize,
    ) -> Result<(), TileError> {
        let count = count.min(self.survivors.len());
        if count == 0 {
            return Ok(());
        }
        let cold_dims = self.layout.dims - self.layout.hot_dims;
        let plane: &[i8] = if cold_dims == 0 { &[] } else { self.cold.values()? };
        let start = |survivor: &Survivor| survivor.row as usize * cold_dims;
        for same in self.survivors[..count].chunk_by(|one, next| one.passenger == next.passenger) {
            let passenger = &mut passengers[same[0].passenger as usize];
            let probe = passenger.needle.cold();
            let mut fours = same.chunks_exact(4);
            for four in &mut fours {
                let cold = lanes.products(plane, array::from_fn(|r| start(&four[r])), probe);
                for (survivor, cold) in four.iter().zip(cold) {
                    accept(passenger, self.first, survivor, cold);
                }
            }
            for survivor in fours.remainder() {
                let cold = lanes.product(&plane[start(survivor)..][..cold_dims], probe);
                accept(passenger, self.first, survivor, cold);
            }
        }
        self.survivors.drain(..count);
        Ok(())
    }
}

/// Counts and keeps a row whose score reaches the threshold.
#[inline(always)]
fn accept(passenger: &mut Passenger<'_>, first: u64, survivor: &Survivor, cold: i32) {
    let score = Score(survivor.hot + cold);
    if score >= passenger.needle.threshold() {
        passenger.tally.certificate.accepted += 1;
        let hit = RowHit { row: first + u64::from(survivor.row), score, subject: [0; 16] };
        passenger.tally.keep(hit, passenger.needle.best);
    }
}
