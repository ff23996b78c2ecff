//! No bytes of a card, or of a simulation on a pipe, make their readers panic; what is believed
//! adds up.
#![no_main]

use std::io::{Cursor, sink};

use libfuzzer_sys::fuzz_target;
use portcullis::backend::fpga::{
    answer::{ResultBeat, Streamed, finish_beats, finished, survivors},
    card::Card,
    packet::BEAT_BYTES,
    pipe::Pipe,
    sizes::Sizes,
};

/// The bytes as beats, each with the mark that its number has in `marks`.
fn beats(bytes: &[u8], marks: u8) -> Vec<ResultBeat> {
    let whole = bytes.as_chunks::<BEAT_BYTES>().0;
    let marked = whole.iter().enumerate();
    marked
        .map(|(at, &bytes)| {
            let last = if marks == 0 { at + 1 == whole.len() } else { marks >> (at % 8) & 1 == 1 };
            ResultBeat { bytes, last }
        })
        .collect()
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, rows, marks, active, rest @ ..] = bytes else { return };
    match kind % 3 {
        0 => {
            let active = u16::from(*active);
            if let Ok(blocks) = survivors(&beats(rest, *marks), usize::from(*rows), active) {
                let held: u32 = blocks.iter().flatten().map(|word| word.count_ones()).sum();
                assert!(held <= u32::from(*rows) * active.count_ones());
            }
        }
        1 => {
            let sizes = Sizes { probes: 4, best: 8, probe_beats: 8, tile_rows: 32 };
            let beats = beats(rest, *marks);
            let Ok(answer) = finished(&beats, sizes) else { return };
            assert_eq!(beats.len(), finish_beats(sizes));
            let streamed = Streamed {
                hot_rows: u32::from(*rows),
                cold_rows: u32::from(*active),
                survivors: &[0, 1, 2, 3],
                thresholds: &[0; 4],
                rows_end: 100,
            };
            if answer.prove(&streamed, sizes.best).is_ok() {
                assert!(answer.tallies.iter().all(|tally| tally.places.len() <= 3));
            }
        }
        _ => {
            let Ok(mut pipe) = Pipe::open(Cursor::new(rest), sink(), String::new()) else { return };
            let _ = pipe.read(u16::from(*rows));
            let _ = pipe.write(&[(0, 0)]);
            let mut results = Vec::new();
            if pipe.results(usize::from(*active), &mut results).is_ok() {
                assert_eq!(results.len(), usize::from(*active));
            }
            let _ = pipe.play(0..u32::from(*rows), true);
            let _ = pipe.look(0..u32::from(*marks), &mut Vec::new());
        }
    }
});
