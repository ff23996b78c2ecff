//! What the conformance suite cannot ask of every backend: which device is opened, and what happens
//! when it is lost.
//!
//! Runs on any Vulkan device, Mesa's lavapipe included; without one each test is a counted skip.
#![cfg(feature = "wgpu")]

mod common;
#[path = "conformance/support/dice.rs"]
#[allow(dead_code, reason = "shared with the conformance suite; each uses its part")]
mod dice;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytemuck::{Zeroable, bytes_of};
use dice::Dice;
use portcullis::{
    backend::{
        Backend, BackendError, FACTORIES, Tiles, Wish,
        wgpu::{Options, Wgpu},
    },
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

const KIND: TemplateKind = TemplateKind {
    model: Hash256::from_bytes([3; 32]),
    calibration: Hash256::from_bytes([4; 32]),
    dims: 64,
};
const LAYOUT: TileLayout = TileLayout { dims: 64, hot_dims: 32, rows: 1024 };

/// The device with these options, or `None` after a counted skip.
fn device(test: &str, options: &Options) -> Option<Wgpu> {
    match Wgpu::with(options) {
        Ok(backend) => Some(backend),
        Err(unavailable) => {
            common::skip(test, "wgpu", &unavailable.to_string());
            None
        }
    }
}

/// Gives its input, enlarged.
fn program(shape: Shape) -> Program {
    let larger = Shape { h: shape.h * 2, w: shape.w * 2, ..shape };
    Program {
        name: "larger".to_owned(),
        input: BufferId(0),
        channels: ChannelOrder::Rgb,
        buffers: vec![shape, larger],
        weights: Vec::new(),
        steps: vec![Step {
            op: Op::Upsample { factor: 2 },
            inputs: vec![BufferId(0)],
            output: BufferId(1),
        }],
        outputs: vec![Output { name: "out".to_owned(), buffer: BufferId(1) }],
    }
}

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
    matches!(outcome, Err(BackendError::Lost { what: "wgpu", .. }))
}

#[test]
fn a_lost_device_is_an_answer_of_every_verb_and_a_new_one_opens() {
    let test = "a_lost_device_is_an_answer_of_every_verb_and_a_new_one_opens";
    let Some(backend) = device(test, &Options::default()) else { return };
    let dice = &mut Dice::thrown_for(test);
    let rows = Rows::drawn(dice, 3000);
    let template = rows.probe(17);
    let source: Arc<dyn TileSource> = Arc::new(rows);
    let shape = Shape { h: 4, w: 4, c: 3 };
    let program = program(shape);
    let mut network = backend.load(&program, 2).expect("it runs here");
    let frame = Frame::new(vec![200; 12], 2, 2).expect("four pixels");
    let feed = [Feed::Fit { frame: frame.view() }];
    network.run(&feed).expect("a frame is fed");
    let pinned = backend.pin(&source).expect("it opens");
    backend.forsake();
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
    let again = device(test, &Options::default()).expect("it was there before");
    let mut network = again.load(&program, 1).expect("it runs here");
    network.run(&feed).expect("a frame is fed");
    assert_eq!(network.output(0, 0)[0], 200.0);
}

#[test]
fn an_adapter_is_taken_by_a_part_of_its_name() {
    let test = "an_adapter_is_taken_by_a_part_of_its_name";
    let Some(backend) = device(test, &Options::default()) else { return };
    let name = backend.describe().device;
    let part = name.chars().take(5).collect::<String>().to_uppercase();
    let named = Options { adapter: part, ..Options::default() };
    assert_eq!(device(test, &named).expect("the same one").describe().device, name);
    let absent = Options { adapter: "Difference Engine".to_owned(), ..Options::default() };
    let unavailable = Wgpu::with(&absent).expect_err("there is none");
    assert!(unavailable.why.contains("Difference Engine") && unavailable.why.contains(&name));
}

#[test]
fn nobody_is_given_a_simulated_device_unasked() {
    let test = "nobody_is_given_a_simulated_device_unasked";
    let Some(backend) = device(test, &Options::default()) else { return };
    let factory = FACTORIES.iter().find(|factory| factory.name == "wgpu").expect("it is built");
    let unasked = (factory.make)(&Wish { threads: 1, adapter: "", by_name: false });
    if backend.describe().device.contains("llvmpipe") {
        let why = unasked.err().expect("lavapipe is a processor").why;
        assert!(why.contains("llvmpipe") && why.contains("engine.name"), "{why}");
    }
    let asked = (factory.make)(&Wish { threads: 1, adapter: "", by_name: true });
    assert!(asked.is_ok());
}

#[test]
fn a_loop_that_the_device_would_end_is_refused_or_whole() {
    let test = "a_loop_that_the_device_would_end_is_refused_or_whole";
    let Some(backend) = device(test, &Options::default()) else { return };
    let average = |edge| Program {
        name: "average".to_owned(),
        buffers: vec![Shape { h: edge, w: edge, c: 3 }, Shape { h: 1, w: 1, c: 3 }],
        steps: vec![Step { op: Op::GlobalAverage, inputs: vec![BufferId(0)], output: BufferId(1) }],
        ..program(Shape { h: 1, w: 1, c: 3 })
    };
    // 65,025 turns are taken everywhere; 90,000 by a GPU.
    for edge in [255, 300] {
        let mut network = match backend.load(&average(edge), 1) {
            Ok(network) => network,
            Err(BackendError::Program { step: 0, why, .. }) if edge == 300 => {
                assert!(backend.describe().device.contains("llvmpipe"), "{why}");
                assert!(why.contains("90000 turns"), "{why}");
                continue;
            }
            Err(error) => panic!("{edge}: {error}"),
        };
        // All in the last line: what an ended lane would never come to.
        let mut values = vec![0.0; edge * edge * 3];
        let last = values.len() - edge * 3;
        values[last..].fill(edge as f32);
        network.run(&[Feed::Tensor(&values)]).expect("a tensor is fed");
        assert_eq!(network.output(0, 0), [1.0; 3]);
    }
}

/// Every finite number of half precision, widened.
fn halves() -> Vec<f32> {
    let widened = |bits: u16| {
        let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
        let magnitude = match exponent {
            0 => fraction * (-24.0_f32).exp2(),
            _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
        };
        if bits & 0x8000 == 0 { magnitude } else { -magnitude }
    };
    (0..=u16::MAX).filter(|bits| bits & 0x7C00 != 0x7C00).map(widened).collect()
}

#[test]
fn weights_in_half_precision_are_exact_unpacked_or_emulated() {
    let test = "weights_in_half_precision_are_exact_unpacked_or_emulated";
    const INPUTS: usize = 67;
    let halves = halves();
    // A layer so large that its weights are halved; only the last input meets any.
    let mut weights = vec![0.0; INPUTS * halves.len()];
    weights[(INPUTS - 1) * halves.len()..].copy_from_slice(&halves);
    assert!(size_of_val(&weights[..]) >= 16 << 20);
    let dense =
        Op::Dense { weights: WeightId(0), bias: WeightId(1), activation: Activation::Identity };
    let program = Program {
        name: "halves".to_owned(),
        buffers: vec![Shape { h: 1, w: 1, c: INPUTS }, Shape { h: 1, w: 1, c: halves.len() }],
        weights: vec![Arc::from(weights), Arc::from(vec![0.0; halves.len()])],
        steps: vec![Step { op: dense, inputs: vec![BufferId(0)], output: BufferId(1) }],
        ..program(Shape { h: 1, w: 1, c: 3 })
    };
    for emulate in [false, true] {
        let Some(backend) = device(test, &Options { emulate, ..Options::default() }) else {
            return;
        };
        let mut network = backend.load(&program, 1).expect("it runs here");
        let mut input = [0.0; INPUTS];
        input[INPUTS - 1] = 1.0;
        network.run(&[Feed::Tensor(&input)]).expect("a tensor is fed");
        let detail = backend.describe().detail;
        for (held, half) in network.output(0, 0).iter().zip(&halves) {
            assert_eq!(held, half, "{detail}");
        }
    }
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
    let Some(backend) = device(test, &Options::default()) else { return };
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
fn generations_share_what_is_equal_and_an_earlier_one_may_go() {
    let test = "generations_share_what_is_equal_and_an_earlier_one_may_go";
    for options in [Options::default(), Options { tight: true, ..Options::default() }] {
        let Some(backend) = device(test, &options) else { return };
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
    let Some(backend) = device(test, &Options::default()) else { return };
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
