//! The second transport: a core behind two byte streams, as the Verilated RTL is.
//!
//! Who starts the simulation is not decided here: whoever has something to read replies from and
//! something to write requests to has a card. A recording of both is a file of vectors
//! ([`Frame`] is what stands in it).
//!
//! Invariant: a reply's length is checked against what was asked before a byte of it is read; the
//! other end's silence is bounded by its own limit (one million clocks) or by its death.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    io::{Read, Write},
    ops::Range,
};

use zeroize::Zeroizing;

use super::{
    answer::ResultBeat,
    card::{Card, CardError, within},
    packet::{BEAT_BYTES, Beat},
};
use crate::backend::Plaintext;

/// Bytes of the head of a request and of a reply.
pub const HEAD_BYTES: usize = 16;
/// Most that a request counts.
pub const COUNT_MAX: u32 = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// A register's word.
    Read = 1,
    /// Writes registers.
    Write = 2,
    /// Streams beats.
    Stream = 3,
    /// The results so far.
    Results = 4,
    /// Writes card memory.
    Store = 5,
    /// Zeroes card memory.
    Erase = 6,
    /// Streams card memory.
    Play = 7,
    /// Reads card memory.
    Look = 8,
    /// Sets how often the streams pause.
    Stalls = 9,
    /// How much card memory there is.
    Memory = 10,
}

/// The head of a request or of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Number of the operation.
    pub operation: u8,
    /// Flags of a request, status of a reply.
    pub flags: u8,
    /// Words, beats or bytes, as the operation says.
    pub count: u32,
    /// Register or place of a request, clocks of a reply.
    pub address: u64,
}

impl Frame {
    /// A request.
    #[must_use]
    pub fn request(operation: Operation, count: u32, address: u64, last: bool) -> Self {
        Self { operation: operation as u8, flags: u8::from(last), count, address }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = self.operation;
        bytes[1] = self.flags;
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.address.to_le_bytes());
        bytes
    }

    /// Reads a head.
    #[must_use]
    pub fn of(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [operation, flags, _, _, a, b, c, d, address @ ..] = *bytes;
        let count = u32::from_le_bytes([a, b, c, d]);
        Self { operation, flags, count, address: u64::from_le_bytes(address) }
    }
}

/// A card behind two streams.
pub struct Pipe<R, W> {
    replies: R,
    requests: W,
    memory_beats: u32,
    clocks: u64,
    device: String,
}

impl<R: Read + Send, W: Write + Send> Pipe<R, W> {
    /// Asks the other end how much memory it has; `device` is what it is called.
    ///
    /// # Errors
    /// [`CardError`] when it does not answer.
    pub fn open(replies: R, requests: W, device: String) -> Result<Self, CardError> {
        let mut pipe = Self { replies, requests, memory_beats: 0, clocks: 0, device };
        pipe.memory_beats = pipe.ask(Operation::Memory, 0, 0, false, &[])?;
        Ok(pipe)
    }

    /// Clocks of the simulation as of the last reply.
    #[must_use]
    pub fn clocks(&self) -> u64 {
        self.clocks
    }

    /// From now on both streams pause: chances in 256 for each clock, drawn from `seed`.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn stall(&mut self, idle: u8, back_pressure: u8, seed: u64) -> Result<(), CardError> {
        let chances = u32::from_le_bytes([idle, back_pressure, 0, 0]);
        self.ask(Operation::Stalls, chances, seed, false, &[])?;
        Ok(())
    }

    /// Sends one request and reads the head of its reply; gives the reply's count.
    fn ask(
        &mut self,
        operation: Operation,
        count: u32,
        address: u64,
        last: bool,
        payload: &[u8],
    ) -> Result<u32, CardError> {
        let head = Frame::request(operation, count, address, last).bytes();
        let closed = |error: std::io::Error| CardError::Closed { why: error.to_string() };
        self.requests.write_all(&head).map_err(closed)?;
        self.requests.write_all(payload).map_err(closed)?;
        self.requests.flush().map_err(closed)?;
        let mut head = [0; HEAD_BYTES];
        self.replies.read_exact(&mut head).map_err(closed)?;
        let reply = Frame::of(&head);
        self.clocks = reply.address;
        if reply.operation != operation as u8 {
            let why = format!("operation {operation:?} was answered as {}", reply.operation);
            return Err(CardError::Foreign { why });
        }
        match reply.flags {
            0 => Ok(reply.count),
            3 => Err(CardError::Stuck { doing: "simulating" }),
            4 => Err(CardError::Refused { register: u16::try_from(address).unwrap_or(u16::MAX) }),
            status => {
                let why = format!("operation {operation:?} ended with status {status}");
                Err(CardError::Foreign { why })
            }
        }
    }

    /// As [`Pipe::ask`], for a reply without a payload.
    fn order(
        &mut self,
        operation: Operation,
        count: u32,
        address: u64,
        last: bool,
        payload: &[u8],
    ) -> Result<(), CardError> {
        let count = self.ask(operation, count, address, last, payload)?;
        expect(operation, count, 0)
    }

    fn read_payload(&mut self, bytes: &mut [u8]) -> Result<(), CardError> {
        let closed = |error: std::io::Error| CardError::Closed { why: error.to_string() };
        self.replies.read_exact(bytes).map_err(closed)
    }
}

fn expect(operation: Operation, held: u32, needed: u32) -> Result<(), CardError> {
    if held != needed {
        let why = format!("operation {operation:?} was answered with {held}, {needed} were due");
        return Err(CardError::Foreign { why });
    }
    Ok(())
}

/// Parts of `place` that one request may count.
fn parts(place: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let end = place.end;
    let step = usize::try_from(COUNT_MAX).unwrap_or(usize::MAX);
    place.step_by(step).map(move |from| from..end.min(from.saturating_add(COUNT_MAX)))
}

fn address(beat: u32) -> u64 {
    u64::from(beat).saturating_mul(64)
}

impl<R: Read + Send, W: Write + Send> Card for Pipe<R, W> {
    fn device(&self) -> String {
        self.device.clone()
    }

    fn plaintext(&self) -> Plaintext {
        Plaintext::Device
    }

    fn read(&mut self, register: u16) -> Result<u32, CardError> {
        let count = self.ask(Operation::Read, 1, u64::from(register), false, &[])?;
        expect(Operation::Read, count, 4)?;
        let mut word = [0; 4];
        self.read_payload(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError> {
        for few in words.chunks(1 << 16) {
            let pairs = few.iter().flat_map(|&(register, word)| [u32::from(register), word]);
            let payload: Zeroizing<Vec<u8>> =
                Zeroizing::new(pairs.flat_map(u32::to_le_bytes).collect());
            let count = u32::try_from(few.len()).unwrap_or(u32::MAX);
            self.order(Operation::Write, count, 0, false, &payload)?;
        }
        Ok(())
    }

    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError> {
        let mut left = beats;
        while !left.is_empty() {
            let most = usize::try_from(COUNT_MAX).unwrap_or(usize::MAX).min(left.len());
            let (few, rest) = left.split_at(most);
            let count = u32::try_from(few.len()).unwrap_or(u32::MAX);
            let ends = last && rest.is_empty();
            self.order(Operation::Stream, count, 0, ends, few.as_flattened())?;
            left = rest;
        }
        Ok(())
    }

    fn play(&mut self, place: Range<u32>, last: bool) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        let end = place.end;
        for part in parts(place) {
            let count = part.end.saturating_sub(part.start);
            let ends = last && part.end == end;
            self.order(Operation::Play, count, address(part.start), ends, &[])?;
        }
        Ok(())
    }

    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError> {
        let needed = u32::try_from(count).unwrap_or(u32::MAX);
        let held = self.ask(Operation::Results, 0, 0, false, &[])?;
        expect(Operation::Results, held, needed)?;
        let mut beats = vec![[0; BEAT_BYTES]; count];
        self.read_payload(beats.as_flattened_mut())?;
        let mut marks = vec![0; count];
        self.read_payload(&mut marks)?;
        let marked = beats.into_iter().zip(marks);
        to.extend(marked.map(|(bytes, mark)| ResultBeat { bytes, last: mark == 1 }));
        Ok(())
    }

    fn memory_beats(&self) -> u32 {
        self.memory_beats
    }

    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError> {
        let count = u32::try_from(beats.len()).unwrap_or(u32::MAX);
        let place = at..at.saturating_add(count);
        within(&place, self.memory_beats)?;
        let mut left = beats;
        for part in parts(place) {
            let count = part.end.saturating_sub(part.start);
            let (few, rest) = left.split_at(part.len().min(left.len()));
            let at = address(part.start);
            self.order(Operation::Store, count, at, false, few.as_flattened())?;
            left = rest;
        }
        Ok(())
    }

    fn erase(&mut self, place: Range<u32>) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        for part in parts(place) {
            let count = part.end.saturating_sub(part.start);
            self.order(Operation::Erase, count, address(part.start), false, &[])?;
        }
        Ok(())
    }

    fn look(&mut self, place: Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        for part in parts(place) {
            let count = part.end.saturating_sub(part.start);
            let held = self.ask(Operation::Look, count, address(part.start), false, &[])?;
            expect(Operation::Look, held, count)?;
            let mut beats = vec![[0; BEAT_BYTES]; part.len()];
            self.read_payload(beats.as_flattened_mut())?;
            to.append(&mut beats);
        }
        Ok(())
    }
}
