//! One tile against every waiting probe.
//!
//! ```text
//! what the tile's rows have in common ─► all eligible · none · ask the row table
//! for each block of 64 rows:  pack (unless it lies packed, or a probe is alone)
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
    parts::{Opened, Survivors},
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
    pub(super) survivors: &'a mut Survivors,
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
        self.survivors.begin(aboard.len(), rows);
        let mut finish = Finish { layout, first, cold, survivors: self.survivors };
        for number in 0..blocks {
            let (block, norms) = match &mut hot {
                Hot::Packed(tile) => split(&tile[number * room.len()..][..room.len()], layout),
                Hot::Plain(opened) => {
                    let plain = layout.split_hot(opened.bytes()?, rows);
                    lay_out(lanes, plain, layout, number, aboard.len() == 1, room)
                }
            };
            for (at, few) in aboard.chunks(L::PROBES).enumerate() {
                // A single probe waits for memory anyway, and reads it in order.
                if few.len() > 1 {
                    lanes.prefetch(ahead.next().unwrap_or_default());
                }
                let needles: [&Needle; PROBES_MAX] =
                    array::from_fn(|p| passengers[few[p.min(few.len() - 1)].0].needle);
                sift(lanes, block, norms, &needles[..few.len()], &mut sieve);
                for (p, &(number_aboard, bitmap)) in few.iter().enumerate() {
                    let eligible = bitmaps[bitmap + number];
                    let kept = sieve.reached[p] & eligible;
                    if kept != 0 {
                        let counts = &mut passengers[number_aboard].tally.certificate;
                        counts.pruned -= u64::from(kept.count_ones());
                        counts.rescored += u64::from(kept.count_ones());
                        let block = Block { number, over: &sieve.over[p], norms };
                        finish.note(lanes, at * L::PROBES + p, needles[p], kept, &block);
                    }
                }
            }
        }
        finish.score(lanes, aboard, passengers)
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

/// The hot values of one block.
#[derive(Clone, Copy)]
enum Values<'a> {
    /// Packed words.
    Packed(&'a [u32]),
    /// Row after row, for a single probe; and the rows after them, to be asked for.
    Straight(&'a [i8], &'a [i8]),
}

/// The words and the norms of a packed block.
#[inline(always)]
fn split(block: &[u8], layout: TileLayout) -> (Values<'_>, &[u16]) {
    let (words, norms) = block.split_at(block_words(layout.hot_dims) * size_of::<u32>());
    (Values::Packed(cast_slice(words)), cast_slice(norms))
}

/// Makes block `number` of a plain hot plane ready: packed into `room`, or, where a probe is
/// `alone` and the block whole, as it lies with its norms beside it.
#[inline(always)]
fn lay_out<'a, L: Lanes>(
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
    let (values, after) = values[rows.start * layout.hot_dims..].split_at(BLOCK_ROWS * layout.hot_dims);
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

/// One block against up to [`Lanes::PROBES`] probes.
#[inline(always)]
fn sift<L: Lanes>(
    lanes: L,
    values: Values<'_>,
    norms: &[u16],
    needles: &[&Needle],
    sieve: &mut Sieve,
) {
    let words = match values {
        Values::Packed(words) => words,
        Values::Straight(rows, after) => {
            return sift_straight(lanes, rows, after, norms, needles[0], sieve);
        }
    };
    match L::VECTORS {
        4 => sift_by::<L, 4>(lanes, words, norms, needles, sieve),
        2 => sift_by::<L, 2>(lanes, words, norms, needles, sieve),
        _ => sift_by::<L, 1>(lanes, words, norms, needles, sieve),
    }
}

/// One probe against rows as they lie, read in order.
#[inline(always)]
fn sift_straight<L: Lanes>(
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
    survivors: &'a mut Survivors,
}

impl Finish<'_> {
    /// Writes down the rows of `kept`, one bit each, of `block`, and asks for their cold
    /// values where they lie in memory.
    #[inline(always)]
    fn note<L: Lanes>(
        &mut self,
        lanes: L,
        probe: usize,
        needle: &Needle,
        kept: u64,
        block: &Block<'_>,
    ) {
        let (rows, hot) = self.survivors.next(probe);
        let first = (block.number * BLOCK_ROWS) as u32;
        let count = lanes.gather(kept, first, block.over, rows, hot);
        let cold_dims = self.layout.dims - self.layout.hot_dims;
        for (&row, hot) in rows.iter().zip(hot).take(count) {
            let norm = block.norms[row as usize % BLOCK_ROWS];
            *hot += needle.needed - needle.rest * i32::from(norm);
            if let Opened::Resident(plane) = &self.cold {
                lanes.prefetch(&plane[row as usize * cold_dims..][..cold_dims]);
            }
        }
        self.survivors.grow(probe, count);
    }

    /// Finishes all survivors, probe by probe: their cold values have arrived by now.
    #[inline(always)]
    fn score<L: Lanes>(
        mut self,
        lanes: L,
        aboard: &[(usize, usize)],
        passengers: &mut [Passenger<'_>],
    ) -> Result<(), TileError> {
        if self.survivors.is_empty() {
            return Ok(());
        }
        let cold_dims = self.layout.dims - self.layout.hot_dims;
        let plane: &[i8] = if cold_dims == 0 { &[] } else { self.cold.values()? };
        let start = |row: u32| row as usize * cold_dims;
        for (at, &(passenger, _)) in aboard.iter().enumerate() {
            let passenger = &mut passengers[passenger];
            let probe = passenger.needle.cold();
            let (rows, hot) = self.survivors.of(at);
            let (fours, rest) = rows.as_chunks::<4>();
            let (hot_fours, hot_rest) = hot.as_chunks::<4>();
            for (rows, hot) in fours.iter().zip(hot_fours) {
                let cold = lanes.products(plane, rows.map(start), probe);
                for r in 0..4 {
                    accept(passenger, self.first + u64::from(rows[r]), hot[r] + cold[r]);
                }
            }
            for (&row, hot) in rest.iter().zip(hot_rest) {
                let cold = lanes.product(&plane[start(row)..][..cold_dims], probe);
                accept(passenger, self.first + u64::from(row), hot + cold);
            }
        }
        Ok(())
    }
}

/// Counts and keeps a row whose score reaches the threshold.
#[inline(always)]
fn accept(passenger: &mut Passenger<'_>, row: u64, score: i32) {
    let score = Score(score);
    if score < passenger.needle.threshold() {
        return;
    }
    let RowHits { hits, certificate } = &mut *passenger.tally;
    certificate.accepted += 1;
    // A thread's rows come in any order, so that only a lower score is beyond the list for sure.
    let is_full = hits.len() == passenger.needle.best;
    if !is_full || hits.last().is_some_and(|last| last.score <= score) {
        passenger.tally.keep(RowHit { row, score, subject: [0; 16] }, passenger.needle.best);
    }
}
