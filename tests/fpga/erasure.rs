//! What lies in a card's memory: templates while a set is pinned, zeros when it is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis::{
    backend::{
        Backend, BackendError, Plaintext, Tiles,
        fpga::{
            answer::ResultBeat,
            card::{Card, CardError},
            packet::Beat,
            soft::Soft,
        },
    },
    ops::tile::{TileError, TileLayout, TilePart, TileSet, TileSource},
};

use crate::support::{
    cards::{LONG_LISTS, alone},
    dice::Dice,
    gallery::{Gallery, Query, Spread},
};

/// Beats of memory.
const BEATS: u32 = 1 << 12;

/// A card that the test can look into, and that can be told to keep what it should erase.
#[derive(Clone)]
pub(crate) struct Watched(Arc<Mutex<(Soft, bool)>>);

impl Watched {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new((Soft::new(LONG_LISTS, BEATS), false))))
    }

    fn held(&self) -> MutexGuard<'_, (Soft, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Beats of memory that are not zero.
    fn written(&self) -> usize {
        let mut beats = Vec::new();
        self.held().0.look(0..BEATS, &mut beats).expect("its memory");
        beats.iter().filter(|beat| beat.iter().any(|&byte| byte != 0)).count()
    }

    /// From now on it erases nothing.
    fn refuse_erasure(&self) {
        self.held().1 = true;
    }
}

impl Card for Watched {
    fn device(&self) -> String {
        self.held().0.device()
    }
    fn plaintext(&self) -> Plaintext {
        Plaintext::Device
    }
    fn read(&mut self, register: u16) -> Result<u32, CardError> {
        self.held().0.read(register)
    }
    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError> {
        self.held().0.write(words)
    }
    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError> {
        self.held().0.stream(beats, last)
    }
    fn play(&mut self, place: std::ops::Range<u32>, last: bool) -> Result<(), CardError> {
        self.held().0.play(place, last)
    }
    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError> {
        self.held().0.results(count, to)
    }
    fn memory_beats(&self) -> u32 {
        BEATS
    }
    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError> {
        self.held().0.store(at, beats)
    }
    fn erase(&mut self, place: std::ops::Range<u32>) -> Result<(), CardError> {
        let mut held = self.held();
        if held.1 {
            return Err(CardError::Stuck { doing: "erasing" });
        }
        held.0.erase(place)
    }
    fn look(&mut self, place: std::ops::Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError> {
        self.held().0.look(place, to)
    }
}

const LAYOUT: TileLayout = TileLayout { dims: 100, hot_dims: 64, rows: 16 };

/// A generation of one gallery: tiles with equal content are shared.
struct Generation {
    gallery: Gallery,
    set: TileSet,
}

impl Generation {
    /// `gallery` as generation `number`, its last tile of content of its own.
    fn new(gallery: Gallery, number: u64) -> Self {
        let mut set = gallery.set().clone();
        let mut tiles = set.tiles.to_vec();
        if let Some(last) = tiles.last_mut() {
            last.content = 1000 + number;
        }
        set.tiles = tiles.into();
        set.generation = number;
        Self { gallery, set }
    }
}

impl TileSource for Generation {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.gallery.open(tile, part, scratch)
    }

    fn origin(&self) -> u64 {
        5
    }
}

#[test]
fn a_dropped_set_leaves_zeros_and_its_place() {
    let dice = &mut Dice::thrown_for("erasure");
    let card = Watched::new();
    let fpga = alone(card.clone());
    for _ in 0..50 {
        // Would not fit twice.
        let rows = 500 + dice.below(100);
        let source: Arc<dyn TileSource> =
            Arc::new(Gallery::filled(dice, LAYOUT, rows, Spread::Isotropic));
        let pinned = fpga.pin(&source).expect("it opens");
        assert!(card.written() > 1000, "templates lie in the card's memory");
        assert!(pinned.is_locked());
        drop(pinned);
        assert_eq!(card.written(), 0, "nothing lies there any more");
    }
}

#[test]
fn equal_tiles_are_shared_until_the_last_generation_lets_go() {
    let dice = &mut Dice::thrown_for("shared regions");
    let card = Watched::new();
    let fpga = alone(card.clone());
    let rows: Vec<Vec<i8>> = (0..160).map(|row| vec![row as i8 % 100 + 1; LAYOUT.dims]).collect();
    let first = Generation::new(Gallery::of(dice, LAYOUT, rows.clone()), 1);
    let mut second = Generation::new(Gallery::of(dice, LAYOUT, rows), 2);
    for (row, old) in second.gallery.rows.iter_mut().zip(&first.gallery.rows) {
        row.0 = old.0;
    }
    let (first, second): (Arc<dyn TileSource>, Arc<dyn TileSource>) =
        (Arc::new(first), Arc::new(second));
    let old = fpga.pin(&first).expect("it opens");
    let alone = card.written();
    let new = fpga.pin(&second).expect("it opens");
    let both = card.written();
    assert!(both > alone && both < alone + alone / 5, "one tile of ten is new: {alone}, {both}");
    drop(old);
    assert_eq!(card.written(), alone, "the tile that only the old one held is gone");
    let query = Query::whole(&[1; LAYOUT.dims], i32::MIN, 256);
    let hits = fpga.search(&[query.probe()], &Tiles::Pinned(Arc::clone(&new)));
    assert_eq!(hits.expect("it is there")[0].certificate.accepted, 160);
    drop(new);
    assert_eq!(card.written(), 0);
}

#[test]
fn neither_a_search_nor_a_set_that_does_not_open_leaves_anything() {
    let dice = &mut Dice::thrown_for("nothing left");
    let card = Watched::new();
    let fpga = alone(card.clone());
    let mut gallery = Gallery::filled(dice, LAYOUT, 160, Spread::Isotropic);
    gallery.damaged = Some((7, TilePart::Cold));
    let source: Arc<dyn TileSource> = Arc::new(gallery);
    assert!(matches!(fpga.pin(&source), Err(BackendError::Tile(_))));
    assert_eq!(card.written(), 0, "tiles that came before the damaged one");
    let query = Query::whole(&[1; LAYOUT.dims], i32::MIN, 3);
    let refused = fpga.search(&[query.probe()], &Tiles::Source(source));
    assert!(matches!(refused, Err(BackendError::Tile(_))));
    assert_eq!(card.written(), 0, "a source is streamed, not stored");
    let probe_at = portcullis::backend::fpga::regs::PROBE;
    assert_eq!(card.held().0.read(probe_at), Ok(0), "no probe stays in the core");
}

#[test]
fn a_card_that_does_not_erase_is_lost_and_says_why() {
    let dice = &mut Dice::thrown_for("kept");
    let card = Watched::new();
    let fpga = alone(card.clone());
    let source: Arc<dyn TileSource> =
        Arc::new(Gallery::filled(dice, LAYOUT, 20, Spread::Isotropic));
    let pinned = fpga.pin(&source).expect("it opens");
    card.refuse_erasure();
    drop(pinned);
    let query = Query::whole(&[1; LAYOUT.dims], 0, 3);
    let lost = fpga.search(&[query.probe()], &Tiles::Source(source)).expect_err("lost");
    assert!(lost.to_string().contains("may still hold templates"), "{lost}");
}
