//! The third transport: a card whose registers and memory are mapped into this process, as a PCIe
//! BAR or a UIO device. Written to the map of `hw/PROTOCOL.md` and tested against an emulated shell
//! and on a file; **no card has been tried**.
//!
//! Writes to a bus are not answered, so that a refused one is not seen here: the core keeps a bit
//! of `ERRORS` for it, and the answer to the search carries it.
//!
//! Invariant: waiting is bounded by a number of reads in which nothing moved; while a packet waits
//! for room, results are taken, so that the two streams never wait for each other.

use std::{collections::VecDeque, ops::Range};

use super::{
    answer::ResultBeat,
    card::{Card, CardError, within},
    packet::{BEAT_BYTES, Beat},
};
use crate::backend::Plaintext;

/// `SHEL`: what answers at [`SHELL_IDENTITY`].
pub const SHELL_WORD: u32 = u32::from_le_bytes(*b"SHEL");
/// What the shell is.
pub const SHELL_IDENTITY: usize = 0x1000;
/// Beats of card memory.
pub const MEMORY_BEATS: usize = 0x1004;
/// Packet beats that may be written now.
pub const STREAM_ROOM: usize = 0x1008;
/// Result beats that may be read now.
pub const RESULTS_HELD: usize = 0x100c;
/// First beat of card memory to play.
pub const PLAY_BEAT: usize = 0x1010;
/// How many; begins.
pub const PLAY_COUNT: usize = 0x1014;
/// In [`PLAY_COUNT`]: the last beat is a packet's last.
pub const PLAY_LAST: u32 = 1 << 31;
/// Whether it plays.
pub const PLAY_STATUS: usize = 0x1018;
/// Whether the next result beat is a packet's last.
pub const RESULT_LAST: usize = 0x101c;
/// A beat to stream.
pub const STREAM: usize = 0x2000;
/// The same, a packet's last.
pub const STREAM_LAST: usize = 0x2040;
/// A result beat.
pub const RESULT: usize = 0x3000;
/// Card memory.
pub const MEMORY: usize = 0x10_0000;

/// Reads in a row that may find nothing moved: seconds, at a microsecond each.
const TRIES_MAX: u32 = 1 << 22;

/// Mapped words.
pub trait Window: Send {
    /// Bytes that are mapped.
    fn bytes(&self) -> usize;
    /// Reads a word.
    fn word(&mut self, at: usize) -> u32;
    /// Writes a word.
    fn put(&mut self, at: usize, word: u32);
}

/// A card in a window.
pub struct Mapped<W> {
    window: W,
    device: String,
    memory_beats: u32,
    /// Packet beats that may be written before asking again.
    room: u32,
    results: VecDeque<ResultBeat>,
}

impl<W: Window> Mapped<W> {
    /// Looks for the shell; `device` is what the card is called.
    ///
    /// # Errors
    /// [`CardError::Foreign`] when something else is mapped.
    pub fn open(mut window: W, device: String) -> Result<Self, CardError> {
        if window.bytes() < MEMORY {
            let why = format!("{} bytes are mapped, {MEMORY} are needed", window.bytes());
            return Err(CardError::Foreign { why });
        }
        let said = window.word(SHELL_IDENTITY);
        if said != SHELL_WORD {
            let why = format!("{said:#010x} at {SHELL_IDENTITY:#x}, not {SHELL_WORD:#010x}");
            return Err(CardError::Foreign { why });
        }
        let mapped = u32::try_from((window.bytes() - MEMORY) / BEAT_BYTES).unwrap_or(u32::MAX);
        let memory_beats = window.word(MEMORY_BEATS).min(mapped);
        Ok(Self { window, device, memory_beats, room: 0, results: VecDeque::new() })
    }

    fn put_beat(&mut self, at: usize, beat: &Beat) {
        for (number, bytes) in beat.as_chunks().0.iter().enumerate() {
            self.window.put(at + 4 * number, u32::from_le_bytes(*bytes));
        }
    }

    fn beat(&mut self, at: usize) -> Beat {
        let mut beat = [0; BEAT_BYTES];
        for (number, bytes) in beat.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *bytes = self.window.word(at + 4 * number).to_le_bytes();
        }
        beat
    }

    /// Takes the results that are there; says whether there were any.
    fn drain(&mut self) -> bool {
        let held = self.window.word(RESULTS_HELD);
        for _ in 0..held {
            let last = self.window.word(RESULT_LAST) & 1 == 1;
            let bytes = self.beat(RESULT);
            self.results.push_back(ResultBeat { bytes, last });
        }
        held > 0
    }

    /// Drains until `is_done`, or until nothing moved for too long.
    fn until(
        &mut self,
        doing: &'static str,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), CardError> {
        let mut tries = 0;
        while !is_done(self) {
            tries = if self.drain() { 0 } else { tries + 1 };
            if tries > TRIES_MAX {
                return Err(CardError::Stuck { doing });
            }
        }
        Ok(())
    }

    fn memory_at(beat: u32) -> usize {
        MEMORY + beat as usize * BEAT_BYTES
    }
}

impl<W: Window> Card for Mapped<W> {
    fn device(&self) -> String {
        self.device.clone()
    }

    fn plaintext(&self) -> Plaintext {
        Plaintext::Device
    }

    fn read(&mut self, register: u16) -> Result<u32, CardError> {
        Ok(self.window.word(usize::from(register)))
    }

    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError> {
        for &(register, word) in words {
            self.window.put(usize::from(register), word);
        }
        Ok(())
    }

    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError> {
        for (at, beat) in beats.iter().enumerate() {
            self.until("waiting for room in the packet stream", |card| {
                if card.room == 0 {
                    card.room = card.window.word(STREAM_ROOM);
                }
                card.room > 0
            })?;
            self.room -= 1;
            let ends = last && at + 1 == beats.len();
            self.put_beat(if ends { STREAM_LAST } else { STREAM }, beat);
        }
        Ok(())
    }

    fn play(&mut self, place: Range<u32>, last: bool) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        let count = place.end - place.start;
        if count == 0 {
            return Ok(());
        }
        self.window.put(PLAY_BEAT, place.start);
        self.window.put(PLAY_COUNT, count | if last { PLAY_LAST } else { 0 });
        self.until("streaming card memory", |card| card.window.word(PLAY_STATUS) & 1 == 0)
    }

    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError> {
        self.until("waiting for results", |card| card.results.len() >= count)?;
        to.extend(self.results.drain(..count));
        Ok(())
    }

    fn memory_beats(&self) -> u32 {
        self.memory_beats
    }

    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError> {
        let count = u32::try_from(beats.len()).unwrap_or(u32::MAX);
        within(&(at..at.saturating_add(count)), self.memory_beats)?;
        for (at, beat) in (at..).zip(beats) {
            self.put_beat(Self::memory_at(at), beat);
        }
        Ok(())
    }

    fn erase(&mut self, place: Range<u32>) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        place.into_iter().for_each(|at| self.put_beat(Self::memory_at(at), &[0; BEAT_BYTES]));
        Ok(())
    }

    fn look(&mut self, place: Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        for at in place {
            let beat = self.beat(Self::memory_at(at));
            to.push(beat);
        }
        Ok(())
    }
}
