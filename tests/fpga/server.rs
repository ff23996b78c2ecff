//! The other end of the pipe, played by the twin: what `hw/PROTOCOL.md` asks of the simulation.

use std::io::{self, Read, Write};

use portcullis::backend::fpga::{
    card::{Card, CardError},
    packet::{BEAT_BYTES, Beat},
    pipe::{COUNT_MAX, Frame, HEAD_BYTES, Operation},
    sizes::Sizes,
    soft::Soft,
    twin::Twin,
};

/// Beats of its memory.
const MEMORY_BEATS: u32 = 1 << 20;

/// Serves until the requests end.
pub(crate) fn serve(mut requests: impl Read, mut replies: impl Write, sizes: Sizes) {
    let mut card = Served { twin: Twin::new(sizes), memory: Soft::new(sizes, MEMORY_BEATS) };
    let mut head = [0; HEAD_BYTES];
    while requests.read_exact(&mut head).is_ok() {
        let request = Frame::of(&head);
        assert!(request.count <= COUNT_MAX || request.operation == Operation::Stalls as u8);
        card.turn(request, &mut requests, &mut replies).expect("the host listens");
        replies.flush().expect("the host listens");
    }
}

struct Served {
    twin: Twin,
    memory: Soft,
}

impl Served {
    fn turn(
        &mut self,
        request: Frame,
        requests: &mut impl Read,
        replies: &mut impl Write,
    ) -> io::Result<()> {
        let Frame { operation, flags, count, address } = request;
        let at = u32::try_from(address / 64).unwrap_or(u32::MAX);
        let place = at..at.saturating_add(count);
        let last = flags & 1 == 1;
        let mut reply = |status: u8, count: u32, payload: &[u8]| {
            let frame = Frame { operation, flags: status, count, address: 0 };
            replies.write_all(&frame.bytes())?;
            replies.write_all(payload)
        };
        match operation {
            1 => match self.twin.read(address as u16) {
                Ok(word) => reply(0, 4, &word.to_le_bytes()),
                Err(_) => reply(4, 0, &[]),
            },
            2 => {
                let mut pairs = vec![[0; 8]; count as usize];
                requests.read_exact(pairs.as_flattened_mut())?;
                let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("a word"));
                let written = pairs.iter().try_for_each(|pair| {
                    self.twin.write(word(&pair[..4]) as u16, word(&pair[4..]))
                });
                reply(if written.is_ok() { 0 } else { 4 }, 0, &[])
            }
            3 => {
                let beats = read_beats(requests, count)?;
                self.take(&beats, last);
                reply(0, 0, &[])
            }
            4 => {
                let results: Vec<_> = self.twin.results().collect();
                let bytes: Vec<u8> = results.iter().flat_map(|beat| beat.bytes).collect();
                let marks: Vec<u8> = results.iter().map(|beat| u8::from(beat.last)).collect();
                reply(0, results.len() as u32, &[bytes, marks].concat())
            }
            5 => {
                let beats = read_beats(requests, count)?;
                let stored = self.memory.store(at, &beats);
                reply(status(&stored), 0, &[])
            }
            6 => {
                let erased = self.memory.erase(place);
                reply(status(&erased), 0, &[])
            }
            7 => {
                let mut beats = Vec::new();
                let looked = self.memory.look(place, &mut beats);
                self.take(&beats, last);
                reply(status(&looked), 0, &[])
            }
            8 => {
                let mut beats = Vec::new();
                let looked = self.memory.look(place, &mut beats);
                reply(status(&looked), count, beats.as_flattened())
            }
            9 => reply(0, 0, &[]),
            10 => reply(0, MEMORY_BEATS, &[]),
            _ => reply(1, 0, &[]),
        }
    }

    fn take(&mut self, beats: &[Beat], last: bool) {
        for (number, beat) in beats.iter().enumerate() {
            self.twin.take(beat, last && number + 1 == beats.len());
        }
    }
}

fn status(done: &Result<(), CardError>) -> u8 {
    if done.is_ok() { 0 } else { 2 }
}

fn read_beats(requests: &mut impl Read, count: u32) -> io::Result<Vec<Beat>> {
    let mut beats = vec![[0; BEAT_BYTES]; count as usize];
    requests.read_exact(beats.as_flattened_mut())?;
    Ok(beats)
}
