//! What holds on any device with memory of its own. The module that mounts this names the device.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytemuck::{Zeroable, bytes_of};
use portcullis::{
    backend::{Backend, BackendError, Network, Tiles},
    limits::CANDIDATES_MAX,
    ops::{
        program::{
            Activation, BufferId, ChannelOrder, Feed, Op, Output, Program, Shape, Step, WeightId,
        },
        score::rest_norm,
        search::{Probe, RowHits, scan},
        tile::{Common, Row, TileError, TileLayout, TilePart, TileRef, TileSet, TileSource},
    },
    types::{Frame, Hash256, Score, Template, TemplateKind},
};

use super::{NAME, compiled, device, forsake, made};
use crate::{dice::Dice, enlarging::enlarging};

const KIND: TemplateKind = TemplateKind {
    model: Hash256::from_bytes([3; 32]),
    calibration: Hash256::from_bytes([4; 32]),
    dims: 64,
};
const LAYOUT: TileLayout = TileLayout { dims: 64, hot_dims: 32, rows: 1024 };

/// Rows of one gallery; generations of it share the tiles that are equal.
struct Rows {
    set: TileSet,
    rows: Arc<Vec<[i8; 64]>>,
    origin: u64,
    opened: AtomicUsize,
}

impl Rows {
    fn drawn(dice: &mut Dice, count: usize) -> Self {
        let row = |dice: &mut Dice| {
            let mut row = [0; 64];
            row.fill_with(|| (dice.normal() * 20.0).round().clamp(-127.0, 127.0) as i8);
            row
        };
        // A thousand different ones, turned a little further each time around.
        let drawn: Vec<[i8; 64]> = (0..count.min(1000)).map(|_| row(dice)).collect();
        let turned = |at: usize| {
            let mut row = drawn[at % 1000];
            row.rotate_left(at / 1000 % 64);
            row
        };
        let rows = Arc::new((0..count).map(turned).collect());
        Self { set: set(1, count, 0), rows, origin: 7, opened: AtomicUsize::new(0) }
    }

    /// The next generation, in which tiles from `changed` on are others.
    fn next(&self, changed: usize) -> Self {
        let mut rows = self.rows.to_vec();
        rows[changed * LAYOUT.rows..].iter_mut().for_each(|row| row.reverse());
        let set = set(2, rows.len(), changed);
        Self { set, rows: Arc::new(rows), origin: 7, opened: AtomicUsize::new(0) }
    }

    fn probe(&self, row: usize) -> Template {
        Template::new(self.rows[row].into(), KIND).expect("values in ±127")
    }
}

fn row(number: usize) -> Row {
    let mut subject = [0; 16];
    subject[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Row { subject, class_bits: 1, expiry_s: i64::MAX, ..Row::zeroed() }
}

fn set(generation: u64, rows: usize, changed: usize) -> TileSet {
    let tile = |number: usize| TileRef {
        rows: LAYOUT.rows.min(rows - number * LAYOUT.rows),
        content: if generation == 1 || number < changed {
            number as u64
        } else {
            number as u64 + 1000 * generation
        },
        common: Common::of(&[row(0)]),
    };
    let tiles = (0..rows.div_ceil(LAYOUT.rows)).map(tile).collect();
    TileSet { generation, kind: KIND, layout: LAYOUT, tiles }
}

impl TileSource for Rows {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let first = tile * LAYOUT.rows;
        let rows = &self.rows[first..][..self.set.tiles[tile].rows];
        let norm = |row: &[i8; 64]| u16::try_from(rest_norm(&row[32..])).expect("it fits");
        let bytes: Vec<u8> = match part {
            TilePart::Hot => {
                let norms = rows.iter().flat_map(|row| norm(row).to_le_bytes());
                rows.iter().flat_map(|x| &x[..32]).map(|x| x.cast_unsigned()).chain(norms).collect()
            }
            TilePart::Cold => {
                rows.iter().flat_map(|x| &x[32..]).map(|x| x.cast_unsigned()).collect()
            }
            TilePart::Rows => {
                let rows = (0..rows.len()).map(|at| row(first + at));
                rows.flat_map(|row| bytes_of(&row).to_vec()).collect()
            }
        };
        scratch.copy_from_slice(&bytes);
        Ok(())
    }

    fn origin(&self) -> u64 {
        self.origin
    }
}

fn probe(template: &Template) -> Probe<'_> {
    Probe { template, threshold: Score(8_000), best: 20, class_bits: 1, group: None, now_s: 5 }
}

fn is_lost<T>(outcome: &Result<T, BackendError>) -> bool {
    matches!(outcome, Err(BackendError::Lost { what: NAME, .. }))
}

#[test]
fn a_lost_device_is_an_answer_of_every_verb_and_a_new_one_opens() {
    let test = "a_lost_device_is_an_answer_of_every_verb_and_a_new_one_opens";
    let Some(backend) = device(test, false) else { return };
    let dice = &mut Dice::thrown_for(test);
    let rows = Rows::drawn(dice, 3000);
    let template = rows.probe(17);
    let source: Arc<dyn TileSource> = Arc::new(rows);
    let program = enlarging(Shape { h: 4, w: 4, c: 3 }, 2);
    let mut network = backend.load(&program, 2).expect("it runs here");
    let frame = Frame::new(vec![200; 12], 2, 2).expect("four pixels");
    let feed = [Feed::Fit { frame: frame.view() }];
    network.run(&feed).expect("a frame is fed");
    let pinned = backend.pin(&source).expect("it opens");
    forsake(&backend);
    assert!(is_lost(&network.run(&feed)));
    assert!(is_lost(&backend.load(&program, 1)));
    assert!(is_lost(&backend.pin(&source)));
    for tiles in [Tiles::Pinned(Arc::clone(&pinned)), Tiles::Source(Arc::clone(&source))] {
        assert!(is_lost(&backend.search(&[probe(&template)], &tiles)));
    }
    // Nothing of it ends the process, also not what is dropped late.
    network.wipe();
    assert!(network.run(&feed).is_err());
    drop((network, pinned, backend));
    let again = device(test, false).expect("it was there before");
    let mut network = again.load(&program, 1).expect("it runs here");
    network.run(&feed).expect("a frame is fed");
    assert_eq!(network.output(0, 0)[0], 200.0);
}

fn hits(answers: &[RowHits]) -> Vec<Vec<(u64, i32, [u8; 16])>> {
    let one = |answer: &RowHits| {
        answer.hits.iter().map(|hit| (hit.row, hit.score.0, hit.subject)).collect()
    };
    answers.iter().map(one).collect()
}

#[test]
fn sets_of_many_windows_agree_with_the_oracle_from_source_and_pinned() {
    let test = "sets_of_many_windows_agree_with_the_oracle_from_source_and_pinned";
    let Some(backend) = device(test, false) else { return };
    let dice = &mut Dice::thrown_for(test);
    // Some 96 bytes and facts a row: more than two windows of 8 MiB.
    let rows = Rows::drawn(dice, 200_000);
    let templates: Vec<Template> = [0, 1023, 1024, 199_999].map(|row| rows.probe(row)).into();
    let probes: Vec<_> = templates.iter().map(probe).collect();
    let oracle = scan(&probes, &rows).expect("every tile opens");
    let source: Arc<dyn TileSource> = Arc::new(rows);
    let pinned = Tiles::Pinned(backend.pin(&source).expect("it opens"));
    for tiles in [pinned, Tiles::Source(source)] {
        let answers = backend.search(&probes, &tiles).expect("it is searched");
        assert_eq!(hits(&answers), hits(&oracle));
        for (held, expected) in answers.iter().zip(&oracle) {
            assert_eq!(held.certificate, expected.certificate);
        }
    }
}

#[test]
fn a_search_that_somebody_waits_for_meets_no_compiler() {
    let test = "a_search_that_somebody_waits_for_meets_no_compiler";
    let Some(backend) = made(test) else { return };
    let compiled_before = compiled(&backend);
    let rows = Rows::drawn(&mut Dice::thrown_for(test), 9);
    let template = rows.probe(3);
    let source: Arc<dyn TileSource> = Arc::new(rows);
    let pinned = backend.pin(&source).expect("it fits");
    for tiles in [Tiles::Source(source), Tiles::Pinned(pinned)] {
        // As many as one scan or another takes at a time, and as many again.
        for many in (1..=9).chain([33, 64, 129]) {
            for best in [1, 64, 65, CANDIDATES_MAX] {
                let one = || Probe { threshold: Score(-1_000_000), best, ..probe(&template) };
                let probes: Vec<Probe<'_>> = std::iter::repeat_with(one).take(many).collect();
                let answers = backend.search(&probes, &tiles).expect("it is searched");
                assert_eq!(answers.len(), many);
                assert!(answers.iter().all(|answer| answer.hits.len() == best.min(9)), "{best}");
            }
        }
    }
    assert_eq!(compiled(&backend), compiled_before, "a live search met a compiler");
}

#[test]
fn generations_share_what_is_equal_and_an_earlier_one_may_go() {
    let test = "generations_share_what_is_equal_and_an_earlier_one_may_go";
    for is_tight in [false, true] {
        let Some(backend) = device(test, is_tight) else { return };
        let dice = &mut Dice::thrown_for(test);
        let first = Arc::new(Rows::drawn(dice, 4 * LAYOUT.rows + 100));
        let second = Arc::new(first.next(3));
        let pin = |rows: &Arc<Rows>| {
            backend.pin(&(Arc::clone(rows) as Arc<dyn TileSource>)).expect("it opens")
        };
        let template = first.probe(40);
        let earlier = pin(&first);
        first.opened.store(0, Ordering::Relaxed);
        let later = pin(&second);
        let opened = second.opened.load(Ordering::Relaxed);
        assert!(
            opened < 3 * 5,
            "{opened} parts were opened: three tiles of five are there already"
        );
        let oracle = scan(&[probe(&template)], second.as_ref()).expect("every tile opens");
        drop(earlier);
        let tiles = Tiles::Pinned(later);
        let answers = backend.search(&[probe(&template)], &tiles).expect("it is searched");
        assert_eq!(hits(&answers), hits(&oracle));
        drop(tiles);
        // Memory that was given back is used again, and nothing of before shows.
        let answers = backend.search(&[probe(&template)], &Tiles::Pinned(pin(&first)));
        let oracle = scan(&[probe(&template)], first.as_ref()).expect("every tile opens");
        assert_eq!(hits(&answers.expect("it is searched")), hits(&oracle));
    }
}

#[test]
fn searches_at_the_same_time_do_not_meet() {
    let test = "searches_at_the_same_time_do_not_meet";
    let Some(backend) = device(test, false) else { return };
    let dice = &mut Dice::thrown_for(test);
    let rows = Rows::drawn(dice, 5000);
    let templates: Vec<Template> = (0..4).map(|at| rows.probe(at * 1200)).collect();
    let oracle: Vec<_> = templates
        .iter()
        .map(|template| scan(&[probe(template)], &rows).expect("every tile opens"))
        .collect();
    let source: Arc<dyn TileSource> = Arc::new(rows);
    let pinned = backend.pin(&source).expect("it opens");
    std::thread::scope(|scope| {
        for (template, expected) in templates.iter().zip(&oracle) {
            let (backend, source, pinned) = (&backend, &source, &pinned);
            scope.spawn(move || {
                for _ in 0..4 {
                    for tiles in
                        [Tiles::Pinned(Arc::clone(pinned)), Tiles::Source(Arc::clone(source))]
                    {
                        let answers = backend.search(&[probe(template)], &tiles);
                        assert_eq!(hits(&answers.expect("it is searched")), hits(expected));
                    }
                }
            });
        }
    });
}

#[test]
fn pins_at_the_same_time_share_tiles_only_when_they_lie_there() {
    let test = "pins_at_the_same_time_share_tiles_only_when_they_lie_there";
    let Some(backend) = device(test, false) else { return };
    let dice = &mut Dice::thrown_for(test);
    // More than one window of 8 MiB, so that one pin finds what another has just brought.
    let rows = Rows::drawn(dice, 70_000);
    let templates: Vec<Template> = (0..4).map(|at| rows.probe(at * 20_000 + 9_999)).collect();
    let oracle: Vec<_> = templates
        .iter()
        .map(|template| scan(&[probe(template)], &rows).expect("every tile opens"))
        .collect();
    let source: Arc<dyn TileSource> = Arc::new(rows);
    // Between two rounds nobody holds a tile: it is zeroed, and brought anew.
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for (template, expected) in templates.iter().zip(&oracle) {
                let (backend, source) = (&backend, &source);
                scope.spawn(move || {
                    let pinned = backend.pin(source).expect("it opens");
                    let answers = backend.search(&[probe(template)], &Tiles::Pinned(pinned));
                    assert_eq!(hits(&answers.expect("it is searched")), hits(expected));
                });
            }
        });
    }
}

/// A gallery of its own whose last tile does not open.
struct Damaged(Rows);

impl TileSource for Damaged {
    fn set(&self) -> &TileSet {
        self.0.set()
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        if tile + 1 == self.set().tiles.len() {
            return Err(TileError::Damaged { tile, part });
        }
        self.0.open(tile, part, scratch)
    }

    fn origin(&self) -> u64 {
        self.0.origin() + 1
    }
}

#[test]
fn a_pin_that_fails_after_some_windows_leaves_its_slots_to_the_next() {
    let test = "a_pin_that_fails_after_some_windows_leaves_its_slots_to_the_next";
    for is_tight in [false, true] {
        let Some(backend) = device(test, is_tight) else { return };
        let dice = &mut Dice::thrown_for(test);
        let rows = Rows::drawn(dice, if is_tight { 6_000 } else { 70_000 });
        let template = rows.probe(5_000);
        let oracle = scan(&[probe(&template)], &rows).expect("every tile opens");
        let damaged: Arc<dyn TileSource> = Arc::new(Damaged(rows.next(1)));
        let source: Arc<dyn TileSource> = Arc::new(rows);
        for _ in 0..3 {
            let refused = backend.pin(&damaged);
            assert!(refused.is_err() && !is_lost(&refused), "a damaged tile is no loss");
            let pinned = backend.pin(&source).expect("it opens");
            let answers = backend.search(&[probe(&template)], &Tiles::Pinned(pinned));
            assert_eq!(hits(&answers.expect("it is searched")), hits(&oracle));
        }
    }
}

/// A network that doubles what it is fed.
fn doubling() -> Program {
    let shape = Shape { h: 8, w: 8, c: 4 };
    Program {
        name: "doubling".to_owned(),
        input: BufferId(0),
        channels: ChannelOrder::Rgb,
        buffers: vec![shape; 2],
        weights: vec![Arc::from([2.0; 4]), Arc::from([0.0; 4])],
        steps: vec![Step {
            op: Op::Affine {
                scale: WeightId(0),
                shift: WeightId(1),
                activation: Activation::Identity,
            },
            inputs: vec![BufferId(0)],
            output: BufferId(1),
        }],
        outputs: vec![Output { name: "out".to_owned(), buffer: BufferId(1) }],
    }
}

/// What item `item` of batch `batch` is fed.
fn fed(batch: usize, item: usize) -> Vec<f32> {
    vec![(10 * batch + item) as f32; 8 * 8 * 4]
}

/// Hands batch `batch` over: one to three items, which are gone when it is read.
fn begin(network: &mut dyn Network, batch: usize) -> Result<(), BackendError> {
    let items: Vec<Vec<f32>> = (0..1 + batch % 3).map(|item| fed(batch, item)).collect();
    let feeds: Vec<Feed<'_>> = items.iter().map(|item| Feed::Tensor(item)).collect();
    network.begin(&feeds)
}

fn assert_doubled(network: &dyn Network, batch: usize) {
    for item in 0..1 + batch % 3 {
        let expected = fed(batch, item).into_iter().map(|value| 2.0 * value);
        assert!(network.output(0, item).iter().copied().eq(expected), "{batch}, {item}");
    }
}

#[test]
fn the_next_batch_goes_up_before_the_one_before_is_read() {
    let test = "the_next_batch_goes_up_before_the_one_before_is_read";
    // Divided finely a batch goes in several flights, and all the same.
    for is_tight in [false, true] {
        let Some(backend) = device(test, is_tight) else { return };
        let mut network = backend.load(&doubling(), 3).expect("it runs here");
        assert_eq!(network.depth(), 2);
        begin(network.as_mut(), 0).expect("it is handed over");
        for batch in 0..7 {
            begin(network.as_mut(), batch + 1).expect("it is handed over");
            network.finish().expect("the older one");
            assert_doubled(network.as_ref(), batch);
        }
        network.wipe();
        network.run(&[Feed::Tensor(&fed(9, 0))]).expect("what was under way is given up");
        assert_eq!(network.output(0, 0)[0], 180.0);
    }
}

#[test]
fn a_batch_that_is_refused_or_lost_takes_no_other_along_and_nobody_down() {
    let test = "a_batch_that_is_refused_or_lost_takes_no_other_along_and_nobody_down";
    for is_tight in [false, true] {
        let Some(backend) = device(test, is_tight) else { return };
        let mut network = backend.load(&doubling(), 3).expect("it runs here");
        begin(network.as_mut(), 5).expect("it is handed over");
        let one = fed(6, 0);
        let refused = network.begin(&[Feed::Tensor(&one); 4]);
        assert_eq!(refused, Err(BackendError::Batch { held: 4, most: 3 }));
        network.finish().expect("the one that is under way");
        assert_doubled(network.as_ref(), 5);
        begin(network.as_mut(), 1).expect("it is handed over");
        begin(network.as_mut(), 2).expect("it is handed over");
        forsake(&backend);
        assert!(is_lost(&network.finish()) && is_lost(&network.finish()), "both went with it");
        network.wipe();
        for _ in 0..3 {
            assert!(is_lost(&begin(network.as_mut(), 3)));
        }
    }
}
