//! What the core answers, read from bytes that are believed only when they add up.
//!
//! A card, its shell and the pipe of a simulation are outside: lengths, marks and counts are
//! checked against what was asked before anything is used, and an answer that contradicts itself
//! is no answer (the engine is lost, and the next one is asked).

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{
    packet::{BEAT_BYTES, BLOCK_ROWS, Beat, PROBES_MAX},
    regs,
    sizes::Sizes,
};

/// `DONE`: the first word of the answer to a finish packet.
pub const DONE: u32 = u32::from_le_bytes(*b"DONE");
/// Row of an empty place of a list.
pub const NO_ROW: u32 = u32::MAX;
/// Score of an empty place of a list.
pub const NO_SCORE: i32 = i32::MIN;
/// Counters of a probe in a beat.
const COUNTERS: usize = 4;
/// Candidates in a beat.
pub const CANDIDATES: usize = 8;

/// A beat of the result stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultBeat {
    /// Its bytes.
    pub bytes: Beat,
    /// Whether `tlast` was set.
    pub last: bool,
}

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not as many beats as were asked for.
    #[error("{held} result beats where {needed} were due")]
    Length {
        /// Due.
        needed: usize,
        /// Came.
        held: usize,
    },
    /// `tlast` not on the last beat, or not there.
    #[error("result beat {beat} of {beats} has the end mark wrong")]
    Mark {
        /// Which.
        beat: usize,
        /// Of how many.
        beats: usize,
    },
    /// A survivor that was not among the rows, or of a probe that is not searched.
    #[error("block {block} names a survivor that does not exist")]
    Survivor {
        /// Block of the packet.
        block: usize,
    },
    /// Not the head of an answer, or of another core.
    #[error("the answer does not begin as one of this core")]
    Head,
    /// The core saw a fault.
    #[error("the core reports {}", regs::error_names(*.errors))]
    Core {
        /// The bits of `ERRORS`.
        errors: u32,
    },
    /// Counts that contradict each other or what was streamed.
    #[error("the counts of probe {probe} do not add up")]
    Counts {
        /// Which probe.
        probe: usize,
    },
    /// Rows that the core says it saw are not those that it was streamed.
    #[error("the core saw {held} rows, {needed} were streamed")]
    Rows {
        /// Streamed.
        needed: u32,
        /// Seen.
        held: u32,
    },
    /// A list out of order, too long or too short, or below the threshold.
    #[error("the candidates of probe {probe} are not a list of the best")]
    List {
        /// Which probe.
        probe: usize,
    },
}

/// Survivors of one block: a word per probe, a bit per row.
pub type Survivors = [u32; PROBES_MAX];

/// Reads the answer to a hot packet of `rows` rows, for the probes of `active`.
///
/// # Errors
/// [`AnswerError`].
pub fn survivors(
    beats: &[ResultBeat],
    rows: usize,
    active: u16,
) -> Result<Vec<Survivors>, AnswerError> {
    marked(beats, rows.div_ceil(BLOCK_ROWS))?;
    let mut blocks = Vec::with_capacity(beats.len());
    for (block, beat) in beats.iter().enumerate() {
        let held = rows.saturating_sub(block.saturating_mul(BLOCK_ROWS)).min(BLOCK_ROWS);
        let beyond = u32::MAX.checked_shl(u32::try_from(held).unwrap_or(u32::MAX)).unwrap_or(0);
        let mut words = [0; PROBES_MAX];
        let places = words.iter_mut().zip(beat.bytes.as_chunks().0);
        for (probe, (word, bytes)) in (0_u32..).zip(places) {
            *word = u32::from_le_bytes(*bytes);
            let is_searched = active.rotate_right(probe) & 1 == 1;
            if *word & beyond != 0 || (*word != 0 && !is_searched) {
                return Err(AnswerError::Survivor { block });
            }
        }
        blocks.push(words);
    }
    Ok(blocks)
}

/// As many beats as are due, and the mark on the last alone.
fn marked(beats: &[ResultBeat], needed: usize) -> Result<(), AnswerError> {
    if beats.len() != needed {
        return Err(AnswerError::Length { needed, held: beats.len() });
    }
    let wrong = beats
        .iter()
        .enumerate()
        .position(|(at, beat)| beat.last != (at.checked_add(1) == Some(beats.len())));
    wrong.map_or(Ok(()), |beat| Err(AnswerError::Mark { beat, beats: beats.len() }))
}

/// What the core counted for one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows that the probe may not find.
    pub ineligible: u32,
    /// Rows that the bound keeps below the threshold.
    pub pruned: u32,
    /// Rows finished in a cold pass.
    pub rescored: u32,
    /// Rows at or above the threshold.
    pub accepted: u32,
}

/// A candidate of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its comparison score.
    pub score: i32,
    /// Its row.
    pub row: u32,
}

/// The answer to one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The counters.
    pub counts: Counts,
    /// The best, in order.
    pub places: Vec<Place>,
}

/// The answer to a finish packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Rows seen in hot packets.
    pub hot_rows: u32,
    /// Rows seen in cold packets.
    pub cold_rows: u32,
    /// One per resident probe, searched or not.
    pub tallies: Vec<Tally>,
}

/// Beats of the answer to a finish packet.
#[must_use]
pub fn finish_beats(sizes: Sizes) -> usize {
    let counters = sizes.probes.div_ceil(COUNTERS);
    let lists = sizes.probes.saturating_mul(sizes.best / CANDIDATES);
    1_usize.saturating_add(counters).saturating_add(lists)
}

/// Reads the answer to a finish packet; [`Finished::prove`] holds it to what was streamed.
///
/// # Errors
/// [`AnswerError`].
pub fn finished(beats: &[ResultBeat], sizes: Sizes) -> Result<Finished, AnswerError> {
    marked(beats, finish_beats(sizes))?;
    let (head, rest) = beats.split_first().ok_or(AnswerError::Head)?;
    let (counters, lists) = rest
        .split_at_checked(sizes.probes.div_ceil(COUNTERS))
        .ok_or(AnswerError::Length { needed: finish_beats(sizes), held: beats.len() })?;
    let names_core = word(&head.bytes, 0) == DONE
        && half(&head.bytes, 4) == sizes.probes
        && half(&head.bytes, 6) == sizes.best;
    if !names_core {
        return Err(AnswerError::Head);
    }
    let errors = word(&head.bytes, 16);
    if errors != 0 {
        return Err(AnswerError::Core { errors });
    }
    let counts = counters.iter().flat_map(|beat| beat.bytes.as_chunks::<16>().0);
    let lists = lists.chunks(sizes.best / CANDIDATES);
    let tallies = counts.zip(lists).enumerate().map(|(probe, (counts, list))| {
        Ok(Tally { counts: counters_of(counts), places: places(list, probe)? })
    });
    Ok(Finished {
        hot_rows: word(&head.bytes, 8),
        cold_rows: word(&head.bytes, 12),
        tallies: tallies.collect::<Result<_, _>>()?,
    })
}

fn word(bytes: &Beat, at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn half(bytes: &Beat, at: usize) -> usize {
    bytes[at..].first_chunk().map_or(0, |chunk| usize::from(u16::from_le_bytes(*chunk)))
}

fn counters_of(bytes: &[u8; 16]) -> Counts {
    let [ineligible, pruned, rescored, accepted] = [0, 4, 8, 12]
        .map(|at| bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word)));
    Counts { ineligible, pruned, rescored, accepted }
}

/// The places of a list up to the first empty one; after that all must be empty.
fn places(list: &[ResultBeat], probe: usize) -> Result<Vec<Place>, AnswerError> {
    let places = list.iter().flat_map(|beat| beat.bytes.as_chunks::<8>().0).map(|bytes| {
        let [a, b, c, d, e, f, g, h] = *bytes;
        Place { score: i32::from_le_bytes([a, b, c, d]), row: u32::from_le_bytes([e, f, g, h]) }
    });
    let empty = Place { score: NO_SCORE, row: NO_ROW };
    let mut held = Vec::with_capacity(list.len().saturating_mul(BEAT_BYTES / 8));
    let mut ended = false;
    for place in places {
        ended |= place == empty;
        if ended && place != empty {
            return Err(AnswerError::List { probe });
        }
        if !ended {
            held.push(place);
        }
    }
    Ok(held)
}

/// What was streamed for a search, against which its answer is held.
#[derive(Debug, Clone, Copy)]
pub struct Streamed<'a> {
    /// Rows in hot packets.
    pub hot_rows: u32,
    /// Rows in cold packets.
    pub cold_rows: u32,
    /// Survivors that were streamed for each probe that is searched.
    pub survivors: &'a [u32],
    /// Thresholds of the probes that are searched.
    pub thresholds: &'a [i32],
    /// One more than the highest row number.
    pub rows_end: u32,
}

impl Finished {
    /// Whether the answer adds up: every row that was streamed is counted once, every survivor was
    /// finished, the lists are in order, above the threshold and as long as they must be.
    ///
    /// # Errors
    /// [`AnswerError`], naming the probe.
    pub fn prove(&self, streamed: &Streamed<'_>, best: usize) -> Result<(), AnswerError> {
        let seen = [(streamed.hot_rows, self.hot_rows), (streamed.cold_rows, self.cold_rows)];
        for (needed, held) in seen {
            if needed != held {
                return Err(AnswerError::Rows { needed, held });
            }
        }
        let asked = streamed.survivors.iter().zip(streamed.thresholds);
        for (probe, ((&survivors, &threshold), tally)) in asked.zip(&self.tallies).enumerate() {
            let Counts { ineligible, pruned, rescored, accepted } = tally.counts;
            let sum = [ineligible, pruned, rescored].map(u64::from).iter().sum::<u64>();
            if sum != u64::from(streamed.hot_rows) || rescored != survivors || accepted > rescored {
                return Err(AnswerError::Counts { probe });
            }
            let length = usize::try_from(accepted).unwrap_or(usize::MAX).min(best);
            let ordered = tally.places.windows(2).all(|pair| is_before(pair[0], pair[1]));
            let known = |place: &Place| place.row < streamed.rows_end && place.score >= threshold;
            if tally.places.len() != length || !ordered || !tally.places.iter().all(known) {
                return Err(AnswerError::List { probe });
            }
        }
        Ok(())
    }
}

/// Score descending, then row ascending.
fn is_before(a: Place, b: Place) -> bool {
    (b.score, a.row) < (a.score, b.row)
}
