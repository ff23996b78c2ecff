//! The first transport: the twin in this process, with memory of its own. Always there.

use std::{collections::VecDeque, ops::Range};

use zeroize::Zeroizing;

use super::{
    answer::ResultBeat,
    card::{Card, CardError, within},
    packet::{BEAT_BYTES, Beat},
    sizes::Sizes,
    twin::Twin,
};
use crate::backend::Plaintext;

/// A twin and its memory.
pub struct Soft {
    twin: Twin,
    results: VecDeque<ResultBeat>,
    memory: Zeroizing<Vec<Beat>>,
    memory_beats: u32,
}

impl Soft {
    /// A twin with `memory_beats` beats of memory, which it takes as they are first written.
    #[must_use]
    pub fn new(sizes: Sizes, memory_beats: u32) -> Self {
        Self {
            twin: Twin::new(sizes),
            results: VecDeque::new(),
            memory: Zeroizing::default(),
            memory_beats,
        }
    }

    /// The part of the memory that was ever written, in `place`.
    fn written(&mut self, place: Range<u32>) -> &mut [Beat] {
        let end = (place.end as usize).min(self.memory.len());
        &mut self.memory[(place.start as usize).min(end)..end]
    }
}

impl Card for Soft {
    fn device(&self) -> String {
        "bit-exact twin in software, no card".to_owned()
    }

    fn plaintext(&self) -> Plaintext {
        Plaintext::Host
    }

    fn read(&mut self, register: u16) -> Result<u32, CardError> {
        self.twin.read(register).map_err(|_| CardError::Refused { register })
    }

    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError> {
        for &(register, word) in words {
            self.twin.write(register, word).map_err(|_| CardError::Refused { register })?;
        }
        Ok(())
    }

    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError> {
        for (at, beat) in beats.iter().enumerate() {
            self.twin.take(beat, last && at + 1 == beats.len());
        }
        Ok(())
    }

    fn play(&mut self, place: Range<u32>, last: bool) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        for at in place.clone() {
            let zero = [0; BEAT_BYTES];
            let beat = self.memory.get(at as usize).unwrap_or(&zero);
            self.twin.take(beat, last && at + 1 == place.end);
        }
        Ok(())
    }

    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError> {
        self.results.extend(self.twin.results());
        if self.results.len() < count {
            return Err(CardError::Stuck { doing: "waiting for results" });
        }
        to.extend(self.results.drain(..count));
        Ok(())
    }

    fn memory_beats(&self) -> u32 {
        self.memory_beats
    }

    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError> {
        let count = u32::try_from(beats.len()).unwrap_or(u32::MAX);
        let place = at..at.saturating_add(count);
        within(&place, self.memory_beats)?;
        if self.memory.len() < place.end as usize {
            self.memory.resize(place.end as usize, [0; BEAT_BYTES]);
        }
        self.written(place).copy_from_slice(beats);
        Ok(())
    }

    fn erase(&mut self, place: Range<u32>) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        self.written(place).fill([0; BEAT_BYTES]);
        Ok(())
    }

    fn look(&mut self, place: Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError> {
        within(&place, self.memory_beats)?;
        let end = to.len() + place.len();
        to.extend_from_slice(self.written(place));
        to.resize(end, [0; BEAT_BYTES]);
        Ok(())
    }
}
