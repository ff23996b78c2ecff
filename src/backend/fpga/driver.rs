//! The host's side of a search: probes into the core, tiles through it, and an answer that is
//! proved before it is believed.
//!
//! ```text
//! begin: CLEAR, layout, probes ─► hot packets ─► survivors ─► cold packets ─► finish ─► WIPE
//!                                  └ a tile that nobody may find is not streamed, but counted
//! ```
//!
//! Invariant: after every search, also one that failed, no probe is left in the core and no tile in
//! the scratch. A card that broke the protocol is lost for good: what it holds is unknown.

use std::ops::Range;

use bytemuck::{Zeroable, cast_slice, cast_slice_mut};
use zeroize::{Zeroize, Zeroizing};

use super::{
    answer::{
        AnswerError, Finished, ResultBeat, Streamed, Survivors, finish_beats, finished, survivors,
    },
    card::{Card, CardError},
    packet::{
        BLOCK_ROWS, Beat, Masks, Shape, cold_header, finish, hot_header, push_blocks, push_facts,
        push_values,
    },
    plan::Plan,
    regs,
    room::Room,
    sizes::Sizes,
};
use crate::{
    backend::{BackendError, Unavailable},
    ops::{
        score::rest_norm,
        search::Probe,
        tile::{Row, TileError, TileLayout, TilePart, TileSource},
    },
};

/// Hot packets that are streamed from card memory before their results are fetched.
const PACKETS_AHEAD: usize = 256;
/// Reads of `STATUS` in which the core may still be busy.
const TRIES_MAX: u32 = 1 << 20;

/// Why a scan gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    /// The gallery's fault; the card is well.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The card's.
    #[error(transparent)]
    Card(#[from] CardError),
    /// What it answered.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// What a search found, before rows have names.
pub(super) struct Found {
    /// As the card counted and kept it.
    pub(super) finished: Finished,
    /// Rows that were not streamed, because no probe may find them.
    pub(super) spared: u64,
}

/// The card, its memory, and scratch.
pub(super) struct Driver {
    card: Box<dyn Card>,
    pub(super) sizes: Sizes,
    pub(super) room: Room,
    lost: Option<String>,
    scratch: Scratch,
}

impl Driver {
    /// Asks the core who it is, and empties it.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not a core of this protocol.
    pub(super) fn open(mut card: Box<dyn Card>) -> Result<Self, Unavailable> {
        let unavailable = |why: String| Unavailable { what: super::NAME, why };
        let sizes = identify(card.as_mut()).map_err(|error| unavailable(error.to_string()))?;
        let room = Room::new(card.memory_beats());
        let mut driver = Self { card, sizes, room, lost: None, scratch: Scratch::default() };
        driver.order(regs::RESET).map_err(|error| unavailable(error.to_string()))?;
        Ok(driver)
    }

    /// The card, unless it is lost.
    pub(super) fn card(&mut self) -> Result<&mut dyn Card, BackendError> {
        match &self.lost {
            Some(why) => Err(BackendError::Lost { what: super::NAME, why: why.clone() }),
            None => Ok(self.card.as_mut()),
        }
    }

    /// From now on the card is lost.
    pub(super) fn lose(&mut self, why: String) -> BackendError {
        tracing::error!(%why, "the search engine in hardware is lost");
        let why = self.lost.get_or_insert(why).clone();
        BackendError::Lost { what: super::NAME, why }
    }

    /// Gives an order to the core and waits until it is idle.
    fn order(&mut self, order: u32) -> Result<(), CardError> {
        self.card.write(&[(regs::CONTROL, order)])?;
        for _ in 0..TRIES_MAX {
            if self.card.read(regs::STATUS)? & regs::BUSY == 0 {
                return Ok(());
            }
        }
        Err(CardError::Stuck { doing: "waiting for the core to be idle" })
    }

    /// Searches a source, tile by tile: hot, then cold, then the tile is wiped.
    pub(super) fn search_source(
        &mut self,
        probes: &[Probe<'_>],
        source: &dyn TileSource,
    ) -> Result<Found, BackendError> {
        self.guarded(probes, source.set().layout, |search| search.source(source))
    }

    /// Searches tiles in the card's memory: all hot, then all cold.
    pub(super) fn search_memory(
        &mut self,
        probes: &[Probe<'_>],
        layout: TileLayout,
        tiles: &[MemoryTile],
    ) -> Result<Found, BackendError> {
        self.guarded(probes, layout, |search| search.memory(tiles))
    }

    /// A search between a beginning and an end that leaves nothing behind.
    fn guarded(
        &mut self,
        probes: &[Probe<'_>],
        layout: TileLayout,
        body: impl FnOnce(&mut Search<'_>) -> Result<(), ScanError>,
    ) -> Result<Found, BackendError> {
        self.card()?;
        let mut search = Search {
            card: self.card.as_mut(),
            scratch: &mut self.scratch,
            sizes: self.sizes,
            probes,
            shape: Shape::of(layout),
            hot_rows: 0,
            cold_rows: 0,
            spared: 0,
            rows_end: 0,
            survivors: vec![0; probes.len()],
        };
        let outcome = search.begin().map_err(ScanError::Card);
        let outcome = outcome.and_then(|()| body(&mut search)).and_then(|()| search.finish());
        self.scratch.wipe();
        let order = if outcome.is_ok() { regs::WIPE } else { regs::RESET };
        let emptied = self.order(order);
        match (outcome, emptied) {
            (Ok(found), Ok(())) => Ok(found),
            (Err(ScanError::Tile(error)), Ok(())) => Err(BackendError::Tile(error)),
            (Err(error), _) => Err(self.lose(error.to_string())),
            (Ok(_), Err(error)) => Err(self.lose(error.to_string())),
        }
    }
}

/// A tile in the card's memory.
pub(super) struct MemoryTile {
    /// First beat.
    pub(super) at: u32,
    /// What lies where from there.
    pub(super) plan: Plan,
    /// Which probes may find its rows.
    pub(super) masks: Masks,
    /// Row number of its first row.
    pub(super) first: u32,
}

/// Reads identity, version and parameters.
fn identify(card: &mut dyn Card) -> Result<Sizes, CardError> {
    let foreign = |why: String| Err(CardError::Foreign { why });
    let identity = card.read(regs::IDENTITY)?;
    if identity != regs::IDENTITY_WORD {
        return foreign(format!("its identity is {identity:#010x}"));
    }
    let version = card.read(regs::VERSION)?;
    if version >> 16 != regs::MAJOR {
        return foreign(format!("its protocol is {}.{}", version >> 16, version & 0xffff));
    }
    let (sizes, capacity) = (card.read(regs::SIZES)?, card.read(regs::CAPACITY)?);
    let unsound = || foreign(format!("no core has the sizes {sizes:#010x}, {capacity:#010x}"));
    Sizes::of_registers(sizes, capacity).map_or_else(unsound, Ok)
}

/// Memory of the searches, wiped after each.
#[derive(Default)]
struct Scratch {
    hot: Zeroizing<Vec<u8>>,
    cold: Zeroizing<Vec<u8>>,
    rows: Vec<Row>,
    beats: Zeroizing<Vec<Beat>>,
    results: Vec<ResultBeat>,
}

impl Scratch {
    fn wipe(&mut self) {
        self.hot.zeroize();
        self.cold.zeroize();
        cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.rows.clear();
        self.beats.zeroize();
        self.results.clear();
    }
}

/// One search under way.
struct Search<'a> {
    card: &'a mut dyn Card,
    scratch: &'a mut Scratch,
    sizes: Sizes,
    probes: &'a [Probe<'a>],
    shape: Shape,
    hot_rows: u32,
    cold_rows: u32,
    spared: u64,
    rows_end: u32,
    /// Of each probe.
    survivors: Vec<u32>,
}

impl Search<'_> {
    fn active(&self) -> u16 {
        u16::MAX >> (16 - self.probes.len())
    }

    fn begin(&mut self) -> Result<(), CardError> {
        let layout = self.shape.hot_beats() | self.shape.cold_beats() << 8;
        let mut words = Zeroizing::new(vec![
            (regs::CONTROL, regs::CLEAR),
            (regs::LAYOUT, layout as u32),
            (regs::ACTIVE, u32::from(self.active())),
        ]);
        for (number, probe) in (0..).zip(self.probes) {
            let (hot, cold) = probe.template.values().split_at(self.shape.hot_dims);
            words.extend(facts(number, probe, cold));
            words.push((regs::PROBE_ADDRESS, u32::from(number) << 8));
            let beats = &mut self.scratch.beats;
            beats.zeroize();
            push_values(hot, beats);
            push_values(cold, beats);
            let bytes = beats.as_flattened().as_chunks().0;
            words.extend(bytes.iter().map(|&four| (regs::PROBE_DATA, u32::from_le_bytes(four))));
        }
        self.card.write(&words)
    }

    fn source(&mut self, source: &dyn TileSource) -> Result<(), ScanError> {
        let set = source.set();
        for (number, tile) in set.tiles.iter().enumerate() {
            let masks = Masks::of(self.probes, &tile.common);
            let first = (number * set.layout.rows) as u32;
            self.rows_end = first + tile.rows as u32;
            if masks.is_none() {
                self.spared += tile.rows as u64;
                continue;
            }
            self.open(source, number, TilePart::Hot)?;
            if masks.each != 0 {
                self.open(source, number, TilePart::Rows)?;
            }
            let mut is_cold_open = false;
            for from in (0..tile.rows).step_by(self.sizes.tile_rows) {
                let rows = from..(from + self.sizes.tile_rows).min(tile.rows);
                let blocks = self.hot_packet(set.layout, tile.rows, rows.clone(), masks)?;
                if !is_cold_open && blocks.iter().flatten().any(|&word| word != 0) {
                    self.open(source, number, TilePart::Cold)?;
                    is_cold_open = true;
                }
                self.cold_packets(set.layout, tile.rows, rows.start, first, &blocks)?;
            }
            self.scratch.wipe();
        }
        Ok(())
    }

    fn open(
        &mut self,
        source: &dyn TileSource,
        tile: usize,
        part: TilePart,
    ) -> Result<(), TileError> {
        let set = source.set();
        let rows = set.tiles[tile].rows;
        let bytes = set.layout.part_bytes(part, rows);
        let to = match part {
            TilePart::Hot => &mut self.scratch.hot,
            TilePart::Cold => &mut self.scratch.cold,
            TilePart::Rows => {
                self.scratch.rows.resize(rows, Row::zeroed());
                return source.open(tile, part, cast_slice_mut(&mut self.scratch.rows));
            }
        };
        to.resize(bytes, 0);
        source.open(tile, part, to)
    }

    /// Streams rows `rows` of the open tile's hot part; gives the survivors.
    fn hot_packet(
        &mut self,
        layout: TileLayout,
        tile_rows: usize,
        rows: Range<usize>,
        masks: Masks,
    ) -> Result<Vec<Survivors>, ScanError> {
        let Scratch { hot, rows: table, beats, results, .. } = &mut *self.scratch;
        let (values, norms) = layout.split_hot(hot, tile_rows);
        beats.clear();
        beats.push(hot_header(rows.len() as u32, masks));
        if masks.each != 0 {
            push_facts(&table[rows.clone()], beats);
        }
        let own = &values[rows.start * layout.hot_dims..rows.end * layout.hot_dims];
        push_blocks(own, &norms[rows.clone()], self.shape, beats);
        self.card.stream(beats, true)?;
        results.clear();
        self.card.results(rows.len().div_ceil(BLOCK_ROWS), results)?;
        self.counted(0, rows.len())
    }

    /// Reads the survivors of a packet of `rows` rows from the results, and counts.
    fn counted(&mut self, from: usize, rows: usize) -> Result<Vec<Survivors>, ScanError> {
        let results = &self.scratch.results[from..][..rows.div_ceil(BLOCK_ROWS)];
        let blocks = survivors(results, rows, self.active())?;
        self.hot_rows += rows as u32;
        for words in &blocks {
            for (count, word) in self.survivors.iter_mut().zip(words) {
                *count += word.count_ones();
            }
        }
        Ok(blocks)
    }

    /// Streams the survivors among the open tile's rows from row `from` on.
    fn cold_packets(
        &mut self,
        layout: TileLayout,
        tile_rows: usize,
        from: usize,
        first: u32,
        blocks: &[Survivors],
    ) -> Result<(), ScanError> {
        let Scratch { hot, cold, beats, .. } = &mut *self.scratch;
        let (values, _) = layout.split_hot(hot, tile_rows);
        let cold = cast_slice::<u8, i8>(cold);
        let Shape { hot_dims, cold_dims } = self.shape;
        for (row, want) in wanted(blocks) {
            let row = from + row;
            beats.clear();
            beats.push(cold_header(first + row as u32, want));
            push_values(&values[row * hot_dims..][..hot_dims], beats);
            push_values(&cold[row * cold_dims..][..cold_dims], beats);
            self.card.stream(beats, true)?;
            self.cold_rows += 1;
        }
        Ok(())
    }

    fn memory(&mut self, tiles: &[MemoryTile]) -> Result<(), ScanError> {
        // Which tile, row of the tile, and the probes that want it.
        let mut wanted_rows: Vec<(usize, usize, u16)> = Vec::new();
        let mut ahead = Vec::with_capacity(PACKETS_AHEAD);
        for (number, tile) in tiles.iter().enumerate() {
            self.rows_end = tile.first + tile.plan.rows as u32;
            if tile.masks.is_none() {
                self.spared += tile.plan.rows as u64;
                continue;
            }
            for packet in tile.plan.packets() {
                let with_facts = tile.masks.each != 0;
                let beats = tile.plan.packet_beats(packet.clone(), with_facts);
                self.card.stream(&[hot_header(packet.len() as u32, tile.masks)], false)?;
                self.card.play(tile.at + beats.start..tile.at + beats.end, true)?;
                ahead.push((number, packet));
                if ahead.len() == PACKETS_AHEAD {
                    self.fetch(&mut ahead, &mut wanted_rows)?;
                }
            }
        }
        self.fetch(&mut ahead, &mut wanted_rows)?;
        for (number, row, want) in wanted_rows {
            let MemoryTile { at, plan, first, .. } = &tiles[number];
            let (hot, cold) = plan.row_beats(row);
            self.card.stream(&[cold_header(first + row as u32, want)], false)?;
            self.card.play(at + hot.start..at + hot.end, cold.is_empty())?;
            if !cold.is_empty() {
                self.card.play(at + cold.start..at + cold.end, true)?;
            }
            self.cold_rows += 1;
        }
        Ok(())
    }

    /// Fetches the results of the packets that were streamed ahead.
    fn fetch(
        &mut self,
        ahead: &mut Vec<(usize, Range<usize>)>,
        wanted_rows: &mut Vec<(usize, usize, u16)>,
    ) -> Result<(), ScanError> {
        let beats = ahead.iter().map(|(_, rows)| rows.len().div_ceil(BLOCK_ROWS)).sum();
        self.scratch.results.clear();
        self.card.results(beats, &mut self.scratch.results)?;
        let mut from = 0;
        for (number, rows) in ahead.drain(..) {
            let blocks = self.counted(from, rows.len())?;
            from += blocks.len();
            let own = wanted(&blocks).map(|(row, want)| (number, rows.start + row, want));
            wanted_rows.extend(own);
        }
        Ok(())
    }

    /// Asks for the answer, and proves it.
    fn finish(&mut self) -> Result<Found, ScanError> {
        self.card.stream(&[finish()], true)?;
        let results = &mut self.scratch.results;
        results.clear();
        self.card.results(finish_beats(self.sizes), results)?;
        let finished = finished(results, self.sizes)?;
        let thresholds: Vec<i32> = self.probes.iter().map(|probe| probe.threshold.0).collect();
        let streamed = Streamed {
            hot_rows: self.hot_rows,
            cold_rows: self.cold_rows,
            survivors: &self.survivors,
            thresholds: &thresholds,
            rows_end: self.rows_end,
        };
        finished.prove(&streamed, self.sizes.best)?;
        Ok(Found { finished, spared: self.spared })
    }
}

/// The eight facts of a probe, as register writes.
fn facts(number: u16, probe: &Probe<'_>, cold: &[i8]) -> [(u16, u32); 8] {
    let at = regs::PROBE + number * regs::PROBE_STRIDE;
    let half = |value: u64, upper: bool| if upper { value >> 32 } else { value } as u32;
    let now = probe.now_s.cast_unsigned();
    [
        (regs::THRESHOLD, probe.threshold.0.cast_unsigned()),
        (regs::NORM, rest_norm(cold)),
        (regs::CLASS_LOW, half(probe.class_bits, false)),
        (regs::CLASS_HIGH, half(probe.class_bits, true)),
        (regs::GROUP, probe.group.unwrap_or(0)),
        (regs::GROUP_ANY, u32::from(probe.group.is_none())),
        (regs::NOW_LOW, half(now, false)),
        (regs::NOW_HIGH, half(now, true)),
    ]
    .map(|(fact, word)| (at + fact, word))
}

/// Rows that some probe wants finished, with those probes; ascending.
fn wanted(blocks: &[Survivors]) -> impl Iterator<Item = (usize, u16)> + '_ {
    blocks.iter().enumerate().flat_map(|(block, words)| {
        (0..BLOCK_ROWS).filter_map(move |row| {
            let bits = words.iter().enumerate();
            let want: u16 = bits.map(|(probe, word)| ((word >> row & 1) as u16) << probe).sum();
            (want != 0).then_some((block * BLOCK_ROWS + row, want))
        })
    })
}
