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
//! Invariant: eligibility is counted before the bound, and each row of the tile in one count: what
//! a tile adds to a scan's counts is its rows. That sum, held against the generation's rows, tells
//! a tile that was left out or scanned twice, but not one scanned in the place of another of as
//! many rows; that each tile is dealt out once is the carousel's invariant, and
//! `tests/shuttle_scan.rs` holds it.

use std::array;

use bytemuck::cast_slice_mut;

use super::{
    lanes::{BLOCK_ROWS, Kernel, Lanes},
    needle::Needle,
    parts::{Opened, Survivors},
    sift::{PROBES_MAX, Sieve, Values, bound, exact, lay_out, split},
};
use crate::{
    ops::{
        search::{Eligible, RowHit, RowHits, eligibility, eligible},
        tile::{Common, Row, TileError, TileLayout},
    },
    types::Score,
};

/// Cold values per row up to which a block is finished as a whole.
const DENSE_DIMS_MAX: usize = 64;
/// Probes that must share the packing of its cold values.
const DENSE_PROBES_LEAST: usize = 4;

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
    /// Room for a packed block of cold values.
    pub(super) cold_block: &'a mut [u8],
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
        let mut sieve = Sieve::new();
        self.survivors.begin(aboard.len(), rows);
        let (survivors, packed) = (self.survivors, self.cold_block);
        let mut finish = Finish { layout, rows, first, cold, survivors, packed, at: None };
        let few_cold = is_dense(layout, aboard.len());
        // What the block before left over foretells what this one will. One survivor for each probe
        // is where finding, gathering and finishing them costs what the whole block costs.
        let mut survived = 0;
        for number in 0..blocks {
            let dense = few_cold && std::mem::take(&mut survived) >= aboard.len();
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
                let needles = &needles[..few.len()];
                match block {
                    Values::Packed(words) if dense => {
                        let words = (words, finish.packed(lanes, number)?);
                        exact(lanes, words, norms, needles, &mut sieve);
                    }
                    // Only who is alone meets rows as they lie.
                    block => bound(lanes, block, norms, needles, &mut sieve),
                }
                if sieve.reached[..few.len()].iter().all(|&reached| reached == 0) {
                    continue;
                }
                let mut kept = [0; PROBES_MAX];
                for (p, &(passenger, bitmap)) in few.iter().enumerate() {
                    kept[p] = sieve.reached[p] & bitmaps[bitmap + number];
                    let counts = &mut passengers[passenger].tally.certificate;
                    let rescored = u64::from(kept[p].count_ones());
                    counts.pruned -= rescored;
                    counts.rescored += rescored;
                    survived += kept[p].count_ones() as usize;
                    if dense {
                        let accepted = sieve.accepted[p] & kept[p];
                        finish.take(&mut passengers[passenger], accepted, &sieve.over[p], number);
                    }
                }
                if dense {
                    continue;
                }
                for (p, kept) in kept.into_iter().enumerate().filter(|&(_, kept)| kept != 0) {
                    let block = Block { number, over: &sieve.over[p], norms };
                    finish.note(lanes, at * L::PROBES + p, needles[p], kept, &block);
                }
            }
        }
        finish.score(lanes, aboard, passengers)
    }
}

/// Whether a block's cold values may be looked at all together: where they are few, and enough
/// probes share the work of packing them.
fn is_dense(layout: TileLayout, probes: usize) -> bool {
    probes >= DENSE_PROBES_LEAST && (1..=DENSE_DIMS_MAX).contains(&(layout.dims - layout.hot_dims))
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
    rows: usize,
    first: u64,
    cold: Opened<'a>,
    survivors: &'a mut Survivors,
    packed: &'a mut [u8],
    /// The block whose cold values lie packed.
    at: Option<usize>,
}

impl Finish<'_> {
    /// The cold values of block `number`, packed when they are first asked for.
    #[inline(always)]
    fn packed<L: Lanes>(&mut self, lanes: L, number: usize) -> Result<&[u32], TileError> {
        let words: &mut [u32] = cast_slice_mut(self.packed);
        if self.at != Some(number) {
            let dims = self.layout.dims - self.layout.hot_dims;
            let rows = number * BLOCK_ROWS..((number + 1) * BLOCK_ROWS).min(self.rows);
            lanes.pack(&self.cold.values()?[rows.start * dims..rows.end * dims], dims, words);
            self.at = Some(number);
        }
        Ok(words)
    }

    /// Takes rows that reach the threshold, one bit each of block `number`.
    #[inline(always)]
    fn take(
        &self,
        passenger: &mut Passenger<'_>,
        mut reached: u64,
        over: &[i32; BLOCK_ROWS],
        number: usize,
    ) {
        while reached != 0 {
            let r = reached.trailing_zeros() as usize;
            reached &= reached - 1;
            let row = self.first + (number * BLOCK_ROWS + r) as u64;
            accept(passenger, row, over[r] + passenger.needle.needed);
        }
    }

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
