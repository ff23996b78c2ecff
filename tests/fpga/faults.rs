//! Cards that lie, fall silent or are something else: never a wrong answer, and never a second one.

use std::sync::Arc;

use portcullis::{
    backend::{
        Backend, BackendError, Plaintext, Tiles,
        fpga::{
            Fpga,
            answer::{ResultBeat, finish_beats},
            card::{Card, CardError},
            packet::Beat,
            regs,
            sizes::Sizes,
            soft::Soft,
        },
        reference::Reference,
    },
    ops::{
        search::scan,
        tile::{TileLayout, TileSource},
    },
};

use crate::support::{
    cards::alone,
    dice::Dice,
    gallery::{Gallery, Query, Spread},
};

const SIZES: Sizes = Sizes { probes: 2, best: 8, probe_beats: 4, tile_rows: 32 };
const LAYOUT: TileLayout = TileLayout { dims: 80, hot_dims: 48, rows: 20 };

/// What is wrong with it.
#[derive(Clone, Copy)]
enum Fault {
    /// A bit of a result beat, counted over the whole session.
    Bit { beat: usize, bit: usize },
    /// The mark of a result beat.
    Mark { beat: usize },
    /// From this result beat on none comes.
    Silence { beat: usize },
    /// A register reads as another word.
    Word { register: u16, word: u32 },
}

struct Faulty {
    soft: Soft,
    fault: Fault,
    seen: usize,
}

impl Card for Faulty {
    fn device(&self) -> String {
        "faulty".to_owned()
    }
    fn plaintext(&self) -> Plaintext {
        Plaintext::Device
    }
    fn read(&mut self, register: u16) -> Result<u32, CardError> {
        match self.fault {
            Fault::Word { register: at, word } if at == register => Ok(word),
            _ => self.soft.read(register),
        }
    }
    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError> {
        self.soft.write(words)
    }
    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError> {
        self.soft.stream(beats, last)
    }
    fn play(&mut self, place: std::ops::Range<u32>, last: bool) -> Result<(), CardError> {
        self.soft.play(place, last)
    }
    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError> {
        let from = to.len();
        self.soft.results(count, to)?;
        for beat in &mut to[from..] {
            match self.fault {
                Fault::Bit { beat: at, bit } if at == self.seen => {
                    beat.bytes[bit / 8] ^= 1 << (bit % 8);
                }
                Fault::Mark { beat: at } if at == self.seen => beat.last = !beat.last,
                Fault::Silence { beat: at } if at == self.seen => {
                    return Err(CardError::Stuck { doing: "being silent" });
                }
                _ => {}
            }
            self.seen += 1;
        }
        Ok(())
    }
    fn memory_beats(&self) -> u32 {
        self.soft.memory_beats()
    }
    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError> {
        self.soft.store(at, beats)
    }
    fn erase(&mut self, place: std::ops::Range<u32>) -> Result<(), CardError> {
        self.soft.erase(place)
    }
    fn look(&mut self, place: std::ops::Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError> {
        self.soft.look(place, to)
    }
}

fn faulty(fault: Fault) -> Faulty {
    Faulty { soft: Soft::new(SIZES, 1 << 12), fault, seen: 0 }
}

/// A gallery of 50 rows, and two probes that accept a few of them.
fn question() -> (Arc<dyn TileSource>, [Query; 2]) {
    let dice = &mut Dice::thrown_for("faults");
    let gallery = Gallery::filled(dice, LAYOUT, 50, Spread::Concentrated);
    let queries = [3, 30].map(|row| {
        let own: Vec<i8> = gallery.rows[row].1.clone();
        let whole: i32 = own.iter().map(|&x| i32::from(x).pow(2)).sum();
        Query::whole(&own, whole / 2, 8)
    });
    (Arc::new(gallery), queries)
}

/// Result beats of a search: one block in each of three tiles, then the answer.
const HOT_BEATS: usize = 3;

fn expect_lost(fault: Fault, what: &str) {
    let (source, queries) = question();
    let probes: Vec<_> = queries.iter().map(Query::probe).collect();
    let fpga = alone(faulty(fault));
    for _ in 0..2 {
        let refused = fpga.search(&probes, &Tiles::Source(Arc::clone(&source)));
        assert!(matches!(refused, Err(BackendError::Lost { what: "fpga", .. })), "{what}");
    }
    let pinned = fpga.pin(&source);
    assert!(matches!(pinned, Err(BackendError::Lost { .. })), "{what}: a lost card stays lost");
}

#[test]
fn every_bit_of_survivors_head_and_counters_is_proved() {
    let (source, queries) = question();
    let probes: Vec<_> = queries.iter().map(Query::probe).collect();
    let truth = scan(&probes, source.as_ref()).expect("it opens");
    let few = truth.iter().map(|hits| hits.certificate.accepted);
    assert!(few.into_iter().all(|count| (1..8).contains(&count)), "shorter than the lists");
    for beat in 0..HOT_BEATS {
        for bit in 0..512 {
            expect_lost(Fault::Bit { beat, bit }, &format!("bit {bit} of survivors {beat}"));
        }
    }
    for bit in 0..8 * 20 {
        expect_lost(Fault::Bit { beat: HOT_BEATS, bit }, &format!("bit {bit} of the head"));
    }
    for bit in 0..8 * 16 * SIZES.probes {
        let beat = HOT_BEATS + 1;
        expect_lost(Fault::Bit { beat, bit }, &format!("bit {bit} of the counters"));
    }
}

#[test]
fn marks_and_silence_lose_the_card() {
    for beat in 0..HOT_BEATS + finish_beats(SIZES) {
        expect_lost(Fault::Mark { beat }, &format!("mark of beat {beat}"));
        expect_lost(Fault::Silence { beat }, &format!("silence from beat {beat}"));
    }
}

#[test]
fn a_card_of_another_protocol_is_not_opened() {
    let words = [
        (regs::IDENTITY, 0xffff_ffff),
        (regs::VERSION, 2 << 16),
        (regs::SIZES, 0),
        (regs::SIZES, 17 | 16 << 16),
        (regs::SIZES, 16 | 12 << 16),
        (regs::CAPACITY, 0),
        (regs::STATUS, regs::BUSY),
    ];
    for (register, word) in words {
        let card = Box::new(faulty(Fault::Word { register, word }));
        let refused = Fpga::new(card, Arc::new(Reference)).err().expect("another protocol");
        assert_eq!(refused.what, "fpga", "{refused}");
    }
    let minor = Fault::Word { register: regs::VERSION, word: 1 << 16 | 7 };
    assert!(Fpga::new(Box::new(faulty(minor)), Arc::new(Reference)).is_ok());
}
