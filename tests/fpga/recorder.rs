//! Vectors for the full-system bench: the twin's answers beside what it was sent, in the frames of
//! the pipe (`hw/PROTOCOL.md`, "Vectors").

use std::sync::{Arc, Mutex, PoisonError};

use portcullis::backend::{
    Plaintext,
    fpga::{
        answer::ResultBeat,
        card::{Card, CardError},
        packet::Beat,
        pipe::{Frame, Operation},
        regs,
        sizes::Sizes,
        soft::Soft,
    },
};

/// A twin that writes down what passes.
pub(crate) struct Recorder {
    soft: Soft,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// A recorder, and what it will have written.
    pub(crate) fn new(sizes: Sizes) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        // As much memory as the simulation's shell has.
        (Self { soft: Soft::new(sizes, 1 << 20), bytes: Arc::clone(&bytes) }, bytes)
    }

    fn note(&self, frame: Frame, payload: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend(frame.bytes());
        bytes.extend(payload);
    }

    fn request(&self, operation: Operation, count: u32, beat: u32, last: bool, payload: &[u8]) {
        self.note(Frame::request(operation, count, u64::from(beat) * 64, last), payload);
    }

    fn note_results(&self, results: &[ResultBeat]) {
        self.request(Operation::Results, 0, 0, false, &[]);
        let bytes = results.iter().flat_map(|beat| beat.bytes);
        let marks = results.iter().map(|beat| u8::from(beat.last));
        let payload: Vec<u8> = bytes.chain(marks).collect();
        self.request(Operation::Results, results.len() as u32, 0, false, &payload);
    }
}

impl Card for Recorder {
    fn device(&self) -> String {
        self.soft.device()
    }

    fn plaintext(&self) -> Plaintext {
        Plaintext::Host
    }

    fn read(&mut self, register: u16) -> Result<u32, CardError> {
        if register == regs::STATUS {
            // The host waits until the core is idle; a bench does so by asking for no results.
            self.note_results(&[]);
        }
        self.soft.read(register)
    }

    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError> {
        for few in words.chunks(1 << 16) {
            let pairs = few.iter().flat_map(|&(register, word)| [u32::from(register), word]);
            let payload: Vec<u8> = pairs.flat_map(u32::to_le_bytes).collect();
            self.request(Operation::Write, few.len() as u32, 0, false, &payload);
        }
        self.soft.write(words)
    }

    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError> {
        self.request(Operation::Stream, beats.len() as u32, 0, last, beats.as_flattened());
        self.soft.stream(beats, last)
    }

    fn play(&mut self, place: std::ops::Range<u32>, last: bool) -> Result<(), CardError> {
        self.request(Operation::Play, place.len() as u32, place.start, last, &[]);
        self.soft.play(place, last)
    }

    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError> {
        let from = to.len();
        self.soft.results(count, to)?;
        self.note_results(&to[from..]);
        Ok(())
    }

    fn memory_beats(&self) -> u32 {
        self.soft.memory_beats()
    }

    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError> {
        self.request(Operation::Store, beats.len() as u32, at, false, beats.as_flattened());
        self.soft.store(at, beats)
    }

    fn erase(&mut self, place: std::ops::Range<u32>) -> Result<(), CardError> {
        self.request(Operation::Erase, place.len() as u32, place.start, false, &[]);
        self.soft.erase(place)
    }

    fn look(&mut self, place: std::ops::Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError> {
        self.soft.look(place, to)
    }
}
