//! A card's shell as `hw/PROTOCOL.md` maps it, emulated around the twin: room for a few beats only
//! in both directions, so that a host that does not drain results while it streams never ends.

use std::collections::VecDeque;

use portcullis::backend::fpga::{
    answer::ResultBeat,
    mapped::{
        MEMORY, MEMORY_BEATS, PLAY_BEAT, PLAY_COUNT, PLAY_LAST, PLAY_STATUS, RESULT, RESULT_LAST,
        RESULTS_HELD, SHELL_IDENTITY, SHELL_WORD, STREAM, STREAM_LAST, STREAM_ROOM, Window,
    },
    packet::{BEAT_BYTES, Beat},
    regs,
    sizes::Sizes,
    twin::Twin,
};

/// Packet beats that may be written at once.
const ROOM: u32 = 3;
/// Result beats that stop the packet stream.
const HELD_MAX: usize = 2;

pub(crate) struct Shell {
    twin: Twin,
    memory: Vec<Beat>,
    staged: Beat,
    play_at: usize,
    /// Beats that are still to be played, and whether the last ends a packet.
    playing: (std::ops::Range<usize>, bool),
    results: VecDeque<ResultBeat>,
    /// What stands where the shell's identity should.
    pub(crate) identity: u32,
    /// Whether it has stopped taking beats.
    pub(crate) is_deaf: bool,
}

impl Shell {
    pub(crate) fn new(sizes: Sizes, memory_beats: usize) -> Self {
        Self {
            twin: Twin::new(sizes),
            memory: vec![[0; BEAT_BYTES]; memory_beats],
            staged: [0; BEAT_BYTES],
            play_at: 0,
            playing: (0..0, false),
            results: VecDeque::new(),
            identity: SHELL_WORD,
            is_deaf: false,
        }
    }

    /// Plays as long as results have room.
    fn turn(&mut self) {
        while self.results.len() < HELD_MAX && !self.playing.0.is_empty() && !self.is_deaf {
            let at = self.playing.0.start;
            self.playing.0.start += 1;
            let last = self.playing.1 && self.playing.0.is_empty();
            self.twin.take(&self.memory[at], last);
            self.results.extend(self.twin.results());
        }
    }
}

/// The word at byte `at` of a beat.
fn word_of(beat: &Beat, at: usize) -> u32 {
    u32::from_le_bytes(beat[at..at + 4].try_into().expect("four bytes"))
}

impl Window for Shell {
    fn bytes(&self) -> usize {
        MEMORY + self.memory.len() * BEAT_BYTES
    }

    fn word(&mut self, at: usize) -> u32 {
        self.turn();
        match at {
            0..0x1000 => {
                let word = self.twin.read(at as u16).unwrap_or(u32::MAX);
                let is_held = at == usize::from(regs::STATUS) && !self.results.is_empty();
                word | u32::from(is_held)
            }
            SHELL_IDENTITY => self.identity,
            MEMORY_BEATS => self.memory.len() as u32,
            STREAM_ROOM if self.results.len() >= HELD_MAX || self.is_deaf => 0,
            STREAM_ROOM => ROOM,
            RESULTS_HELD => self.results.len() as u32,
            PLAY_STATUS => u32::from(!self.playing.0.is_empty()),
            RESULT_LAST => u32::from(self.results.front().is_some_and(|beat| beat.last)),
            RESULT..0x3040 => {
                let beat = self.results.front().expect("only what is held is read");
                let word = word_of(&beat.bytes, at - RESULT);
                if at == 0x303c {
                    self.results.pop_front();
                }
                word
            }
            MEMORY.. => word_of(&self.memory[(at - MEMORY) / BEAT_BYTES], at % BEAT_BYTES),
            _ => panic!("nothing is read at {at:#x}"),
        }
    }

    fn put(&mut self, at: usize, word: u32) {
        let bytes = word.to_le_bytes();
        match at {
            0..0x1000 => self.twin.write(at as u16, word).expect("a register that may be written"),
            PLAY_BEAT => self.play_at = word as usize,
            PLAY_COUNT => {
                assert!(self.playing.0.is_empty(), "one play at a time");
                let count = (word & !PLAY_LAST) as usize;
                self.playing = (self.play_at..self.play_at + count, word & PLAY_LAST != 0);
            }
            STREAM..0x2080 => {
                let place = at % BEAT_BYTES;
                self.staged[place..place + 4].copy_from_slice(&bytes);
                if place == BEAT_BYTES - 4 {
                    self.twin.take(&self.staged, at >= STREAM_LAST);
                    self.results.extend(self.twin.results());
                }
            }
            MEMORY.. => {
                let place = at % BEAT_BYTES;
                self.memory[(at - MEMORY) / BEAT_BYTES][place..place + 4].copy_from_slice(&bytes);
            }
            _ => panic!("nothing is written at {at:#x}"),
        }
    }
}
