//! The core's bit-exact twin: the same registers, the same packets, the same results, as plain
//! loops. It is what the RTL is compared with, beat for beat and fault for fault, and itself is
//! compared with [`crate::ops::search::scan`].
//!
//! Written to be read beside `hw/PROTOCOL.md`, not to be fast. What is the clock's is not the RTL's
//! here: `CYCLES` counts one clock a beat, and nothing ever stalls.

use std::collections::VecDeque;

use zeroize::Zeroize;

use super::{
    answer::{DONE, NO_ROW, NO_SCORE, ResultBeat},
    packet::{
        BEAT_BYTES, BLOCK_ROWS, Beat, FACTS_BYTES, FACTS_ROWS, KIND_COLD, KIND_FINISH, KIND_HOT,
        PROBES_MAX,
    },
    regs,
    sizes::Sizes,
};
use crate::ops::tile::{ROW_RESTRICTED, ROW_VACANT};

/// An access that the core answers with `SLVERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlaveError;

/// A probe as it lies in the core.
#[derive(Default)]
struct Resident {
    /// The words of the eight facts.
    facts: [u32; 8],
    /// `probe_beats` beats.
    values: Vec<Beat>,
}

impl Resident {
    fn fact(&self, offset: u16) -> u32 {
        self.facts[usize::from(offset / 4)]
    }

    fn long(&self, low: u16, high: u16) -> u64 {
        u64::from(self.fact(low)) | u64::from(self.fact(high)) << 32
    }

    fn threshold(&self) -> i64 {
        i64::from(self.fact(regs::THRESHOLD).cast_signed())
    }

    /// Whether the row whose facts these are may be found.
    fn may_find(&self, facts: &[u8]) -> bool {
        let long = |at: usize| u64::from_le_bytes(facts[at..at + 8].try_into().expect("8 bytes"));
        let word = |at: usize| u32::from_le_bytes(facts[at..at + 4].try_into().expect("4 bytes"));
        let now = self.long(regs::NOW_LOW, regs::NOW_HIGH).cast_signed();
        let class = self.long(regs::CLASS_LOW, regs::CLASS_HIGH);
        let any_group = self.fact(regs::GROUP_ANY) & 1 == 1;
        word(28) & (ROW_RESTRICTED | ROW_VACANT) == 0
            && long(0) & class != 0
            && (any_group || word(24) == self.fact(regs::GROUP))
            && long(8).cast_signed() <= now
            && now < long(16).cast_signed()
    }

    /// The sum over one beat of a row.
    fn product(&self, beat: usize, row: &Beat) -> i32 {
        let pairs = self.values[beat].iter().zip(row);
        pairs.map(|(&q, &x)| i32::from(q.cast_signed()) * i32::from(x.cast_signed())).sum()
    }
}

/// What is counted and kept for a probe since `CLEAR`.
#[derive(Clone, Default)]
struct Tally {
    ineligible: u32,
    pruned: u32,
    rescored: u32,
    accepted: u32,
    /// Score and row, best first.
    list: Vec<(i32, u32)>,
}

/// A hot packet under way.
struct Hot {
    rows: u32,
    all: u16,
    each: u16,
    facts_left: u32,
    /// Probes that may find each row.
    eligible: Vec<u16>,
    row: u32,
    beat: usize,
    /// The block's norms, once they came.
    norms: Option<Beat>,
    sums: [i32; PROBES_MAX],
    survivors: [u32; PROBES_MAX],
}

/// A cold packet under way.
struct Cold {
    row: u32,
    want: u16,
    beat: usize,
    sums: [i32; PROBES_MAX],
}

/// Where the stream stands.
enum Packet {
    /// The next beat is a header.
    Between,
    Hot(Box<Hot>),
    Cold(Cold),
    /// A faulty packet, passed over to its end.
    Skip,
}

/// The core.
pub struct Twin {
    sizes: Sizes,
    probes: Vec<Resident>,
    tallies: Vec<Tally>,
    layout: u32,
    active: u16,
    probe_address: u32,
    /// Words of a beat that is being written.
    words: Vec<u32>,
    errors: u32,
    beats: u64,
    beats_high: u32,
    hot_rows: u32,
    cold_rows: u32,
    /// Row of the last cold packet.
    cold_row: Option<u32>,
    packet: Packet,
    results: VecDeque<ResultBeat>,
}

impl Twin {
    /// A core with these parameters.
    ///
    /// # Panics
    /// When no core may have them.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        assert!(sizes.is_sound(), "no core of this protocol has {sizes:?}");
        let resident =
            || Resident { facts: [0; 8], values: vec![[0; BEAT_BYTES]; sizes.probe_beats] };
        Self {
            sizes,
            probes: (0..sizes.probes).map(|_| resident()).collect(),
            tallies: vec![Tally::default(); sizes.probes],
            layout: 0,
            active: 0,
            probe_address: 0,
            words: Vec::with_capacity(BEAT_BYTES / 4),
            errors: 0,
            beats: 0,
            beats_high: 0,
            hot_rows: 0,
            cold_rows: 0,
            cold_row: None,
            packet: Packet::Between,
            results: VecDeque::new(),
        }
    }

    /// Its parameters.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Reads a register.
    ///
    /// # Errors
    /// [`SlaveError`].
    pub fn read(&mut self, address: u16) -> Result<u32, SlaveError> {
        let [sizes, capacity] = self.sizes.registers();
        let word = match address {
            regs::IDENTITY => regs::IDENTITY_WORD,
            regs::VERSION => regs::MAJOR << 16 | regs::MINOR,
            regs::SIZES => sizes,
            regs::CAPACITY => capacity,
            regs::CONTROL | regs::PROBE_DATA => 0,
            regs::STATUS => {
                let faulty = if self.errors == 0 { 0 } else { regs::FAULTY };
                faulty | if self.is_busy() { regs::BUSY } else { 0 }
            }
            regs::ERRORS => self.errors,
            regs::LAYOUT => self.layout,
            regs::ACTIVE => u32::from(self.active),
            regs::PROBE_ADDRESS => self.probe_address,
            regs::CYCLES_LOW | regs::BEATS_LOW => {
                self.beats_high = (self.beats >> 32) as u32;
                self.beats as u32
            }
            regs::CYCLES_HIGH | regs::BEATS_HIGH => self.beats_high,
            regs::STALLS => 0,
            _ => match self.fact(address) {
                Some((probe, fact)) => self.probes[probe].facts[fact],
                None => return self.refuse(regs::ERROR_ADDRESS),
            },
        };
        Ok(word)
    }

    /// Writes a register.
    ///
    /// # Errors
    /// [`SlaveError`]; nothing changed then, but a bit of `ERRORS`.
    pub fn write(&mut self, address: u16, word: u32) -> Result<(), SlaveError> {
        match address {
            regs::CONTROL if word & regs::RESET != 0 => {
                self.reset();
                return Ok(());
            }
            regs::ERRORS => {
                self.errors &= !word;
                return Ok(());
            }
            _ => {}
        }
        let fact = self.fact(address);
        let is_idle_write = fact.is_some()
            || matches!(
                address,
                regs::CONTROL
                    | regs::LAYOUT
                    | regs::ACTIVE
                    | regs::PROBE_ADDRESS
                    | regs::PROBE_DATA
            );
        if !is_idle_write {
            return self.refuse(regs::ERROR_ADDRESS);
        }
        if self.is_busy() {
            return self.refuse(regs::ERROR_BUSY_WRITE);
        }
        match (address, fact) {
            (regs::CONTROL, _) => self.obey(word),
            (regs::LAYOUT, _) => self.layout = word & 0xffff,
            (regs::ACTIVE, _) => self.active = word as u16 & self.every_probe(),
            (regs::PROBE_ADDRESS, _) => {
                self.probe_address = word & 0xfff;
                self.words.zeroize();
            }
            (regs::PROBE_DATA, _) => self.push_word(word),
            (_, Some((probe, fact))) => {
                let mask = match fact as u16 * 4 {
                    regs::NORM => 0xffff,
                    regs::GROUP_ANY => 1,
                    _ => u32::MAX,
                };
                self.probes[probe].facts[fact] = word & mask;
            }
            (_, None) => {}
        }
        Ok(())
    }

    /// Takes one beat of the packet stream.
    pub fn take(&mut self, beat: &Beat, last: bool) {
        self.beats += 1;
        self.packet = match std::mem::replace(&mut self.packet, Packet::Between) {
            Packet::Between => self.header(beat, last),
            Packet::Hot(hot) => self.hot(hot, beat, last),
            Packet::Cold(cold) => self.cold(cold, beat, last),
            Packet::Skip => Self::passed_over(last),
        };
    }

    /// Hands over the results so far.
    pub fn results(&mut self) -> impl Iterator<Item = ResultBeat> + '_ {
        self.results.drain(..)
    }

    fn is_busy(&self) -> bool {
        !matches!(self.packet, Packet::Between)
    }

    fn every_probe(&self) -> u16 {
        u16::MAX >> (PROBES_MAX - self.sizes.probes)
    }

    /// The probe and the number of the fact at `address`.
    fn fact(&self, address: u16) -> Option<(usize, usize)> {
        let from = address.checked_sub(regs::PROBE).filter(|from| from % 4 == 0)?;
        let probe = usize::from(from / regs::PROBE_STRIDE);
        let fact = usize::from(from % regs::PROBE_STRIDE / 4);
        (probe < self.sizes.probes).then_some((probe, fact))
    }

    fn refuse<T>(&mut self, error: u32) -> Result<T, SlaveError> {
        self.errors |= error;
        Err(SlaveError)
    }

    fn obey(&mut self, orders: u32) {
        if orders & regs::CLEAR != 0 {
            self.tallies.fill(Tally::default());
            (self.hot_rows, self.cold_rows, self.cold_row) = (0, 0, None);
            (self.beats, self.beats_high) = (0, 0);
        }
        if orders & regs::WIPE != 0 {
            for probe in &mut self.probes {
                probe.values.iter_mut().for_each(Zeroize::zeroize);
                probe.facts = [0; 8];
            }
            self.words.zeroize();
            (self.layout, self.active, self.probe_address) = (0, 0, 0);
            self.tallies.iter_mut().for_each(|tally| tally.list.clear());
        }
    }

    fn reset(&mut self) {
        self.packet = Packet::Between;
        self.results.clear();
        self.obey(regs::CLEAR | regs::WIPE);
        self.errors = 0;
    }

    fn push_word(&mut self, word: u32) {
        self.words.push(word);
        if self.words.len() < BEAT_BYTES / 4 {
            return;
        }
        let beat = (self.probe_address & 0xff) as usize;
        let probe = (self.probe_address >> 8) as usize;
        if let Some(place) = self.probes.get_mut(probe).and_then(|held| held.values.get_mut(beat)) {
            let bytes = place.as_chunks_mut::<4>().0.iter_mut();
            bytes.zip(&self.words).for_each(|(to, word)| *to = word.to_le_bytes());
        }
        self.words.zeroize();
        self.probe_address = (self.probe_address & 0xf00) | ((self.probe_address + 1) & 0xff);
    }

    fn hot_beats(&self) -> usize {
        (self.layout & 0xff) as usize
    }

    fn row_beats(&self) -> usize {
        self.hot_beats() + (self.layout >> 8) as usize
    }

    fn fail(&mut self, error: u32, last: bool) -> Packet {
        self.errors |= error;
        Self::passed_over(last)
    }

    fn passed_over(last: bool) -> Packet {
        if last { Packet::Between } else { Packet::Skip }
    }

    fn header(&mut self, beat: &Beat, last: bool) -> Packet {
        let half = |at: usize| u16::from_le_bytes([beat[at], beat[at + 1]]);
        let number = u32::from_le_bytes([beat[4], beat[5], beat[6], beat[7]]);
        let is_sound = self.hot_beats() > 0 && self.row_beats() <= self.sizes.probe_beats;
        let fault = match beat[0] {
            KIND_HOT | KIND_COLD | KIND_FINISH if !is_sound => regs::ERROR_LAYOUT,
            KIND_HOT if number == 0 || number as usize > self.sizes.tile_rows => regs::ERROR_ROWS,
            KIND_COLD if self.cold_row.is_some_and(|before| before >= number) => regs::ERROR_ORDER,
            KIND_HOT | KIND_COLD if last => regs::ERROR_LENGTH,
            KIND_FINISH if !last => regs::ERROR_LENGTH,
            KIND_HOT | KIND_COLD | KIND_FINISH => 0,
            _ => regs::ERROR_KIND,
        };
        self.errors |= fault;
        match beat[0] {
            KIND_FINISH => {
                self.answer();
                Self::passed_over(last)
            }
            KIND_HOT if fault == 0 => {
                Packet::Hot(Box::new(self.begin_hot(number, half(2), half(8))))
            }
            KIND_COLD if fault == 0 => {
                self.cold_row = Some(number);
                let sums = [0; PROBES_MAX];
                Packet::Cold(Cold { row: number, want: half(2) & self.active, beat: 0, sums })
            }
            _ => Self::passed_over(last),
        }
    }

    fn begin_hot(&self, rows: u32, all: u16, each: u16) -> Hot {
        let facts_left = if each == 0 { 0 } else { rows.div_ceil(FACTS_ROWS as u32) };
        let eligible = if each == 0 { vec![all; rows as usize] } else { Vec::new() };
        Hot {
            rows,
            all,
            each,
            facts_left,
            eligible,
            row: 0,
            beat: 0,
            norms: None,
            sums: [0; PROBES_MAX],
            survivors: [0; PROBES_MAX],
        }
    }

    fn hot(&mut self, mut hot: Box<Hot>, beat: &Beat, last: bool) -> Packet {
        let ends = hot.facts_left == 0
            && hot.norms.is_some()
            && hot.row + 1 == hot.rows
            && hot.beat + 1 == self.hot_beats();
        if last != ends {
            if hot.norms.is_some() {
                self.end_block(&hot, true);
            }
            return self.fail(regs::ERROR_LENGTH, last);
        }
        if hot.facts_left > 0 {
            hot.facts_left -= 1;
            for facts in beat.chunks_exact(FACTS_BYTES) {
                hot.eligible.push(hot.all | hot.each & self.who_may_find(facts));
            }
        } else if hot.norms.is_none() {
            hot.norms = Some(*beat);
        } else {
            self.hot_values(&mut hot, beat);
        }
        if ends { Packet::Between } else { Packet::Hot(hot) }
    }

    fn who_may_find(&self, facts: &[u8]) -> u16 {
        let bits = self.probes.iter().enumerate();
        bits.map(|(number, probe)| u16::from(probe.may_find(facts)) << number).sum()
    }

    fn hot_values(&mut self, hot: &mut Hot, beat: &Beat) {
        for (probe, sum) in self.probes.iter().zip(&mut hot.sums) {
            *sum += probe.product(hot.beat, beat);
        }
        hot.beat += 1;
        if hot.beat < self.hot_beats() {
            return;
        }
        let in_block = hot.row as usize % BLOCK_ROWS;
        let norm = hot.norms.as_ref().map_or([0; 2], |norms| norms.as_chunks().0[in_block]);
        self.test_row(hot, u16::from_le_bytes(norm), in_block);
        (hot.beat, hot.sums) = (0, [0; PROBES_MAX]);
        hot.row += 1;
        if in_block + 1 == BLOCK_ROWS || hot.row == hot.rows {
            self.end_block(hot, hot.row == hot.rows);
            (hot.norms, hot.survivors) = (None, [0; PROBES_MAX]);
        }
    }

    /// Answers the block under way.
    fn end_block(&mut self, hot: &Hot, last: bool) {
        let mut bytes = [0; BEAT_BYTES];
        for (word, survivors) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&hot.survivors) {
            *word = survivors.to_le_bytes();
        }
        self.results.push_back(ResultBeat { bytes, last });
    }

    /// Eligibility, then the bound: the very order of `ops::search`.
    fn test_row(&mut self, hot: &mut Hot, norm: u16, in_block: usize) {
        self.hot_rows += 1;
        let eligible = hot.eligible[hot.row as usize];
        for (number, (probe, tally)) in self.probes.iter().zip(&mut self.tallies).enumerate() {
            if self.active >> number & 1 == 0 {
                continue;
            }
            let rest = i64::from(probe.fact(regs::NORM)) * i64::from(norm);
            if eligible >> number & 1 == 0 {
                tally.ineligible += 1;
            } else if i64::from(hot.sums[number]) + rest < probe.threshold() {
                tally.pruned += 1;
            } else {
                hot.survivors[number] |= 1 << in_block;
            }
        }
    }

    fn cold(&mut self, mut cold: Cold, beat: &Beat, last: bool) -> Packet {
        let ends = cold.beat + 1 == self.row_beats();
        if last != ends {
            return self.fail(regs::ERROR_LENGTH, last);
        }
        for (probe, sum) in self.probes.iter().zip(&mut cold.sums) {
            *sum += probe.product(cold.beat, beat);
        }
        cold.beat += 1;
        if !ends {
            return Packet::Cold(cold);
        }
        self.cold_rows += 1;
        let best = self.sizes.best;
        for (number, (probe, tally)) in self.probes.iter().zip(&mut self.tallies).enumerate() {
            if cold.want >> number & 1 == 0 {
                continue;
            }
            tally.rescored += 1;
            let score = cold.sums[number];
            if i64::from(score) >= probe.threshold() {
                tally.accepted += 1;
                // Rows ascend: whoever has the same score already stays ahead.
                let at = tally.list.partition_point(|&(held, _)| held >= score);
                tally.list.insert(at, (score, cold.row));
                tally.list.truncate(best);
            }
        }
        Packet::Between
    }

    /// The answer to a finish packet.
    fn answer(&mut self) {
        let mut bytes = Vec::new();
        let Sizes { probes, best, .. } = self.sizes;
        bytes.extend(DONE.to_le_bytes());
        bytes.extend([probes, best].map(|size| (size as u16).to_le_bytes()).as_flattened());
        for word in [self.hot_rows, self.cold_rows, self.errors] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(BEAT_BYTES, 0);
        for tally in &self.tallies {
            let Tally { ineligible, pruned, rescored, accepted, .. } = *tally;
            for word in [ineligible, pruned, rescored, accepted] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes.resize(bytes.len().next_multiple_of(BEAT_BYTES), 0);
        for tally in &self.tallies {
            let empty = std::iter::repeat(&(NO_SCORE, NO_ROW));
            for (score, row) in tally.list.iter().chain(empty).take(best) {
                bytes.extend(score.to_le_bytes());
                bytes.extend(row.to_le_bytes());
            }
        }
        let beats = bytes.as_chunks::<BEAT_BYTES>().0;
        let marked = beats.iter().enumerate();
        let count = beats.len();
        self.results.extend(marked.map(|(at, &bytes)| ResultBeat { bytes, last: at + 1 == count }));
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.obey(regs::WIPE);
    }
}
