//! The CPU search against the oracle: every instruction set, one and two threads, every awkward
//! gallery, thresholds in small steps, and callers that share scans while generations change. All
//! answers must be the oracle's to the last count.

mod common;
#[path = "conformance/support/mod.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod support;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytemuck::{Zeroable, cast_slice, cast_slice_mut};
use portcullis::{
    backend::{
        Backend, Tiles,
        cpu::{Cpu, Isa},
    },
    ops::{
        search::{RowHits, scan},
        tile::{
            ROW_RESTRICTED, ROW_VACANT, Row, TileError, TileLayout, TilePart, TileSet, TileSource,
        },
    },
};
use support::{
    dice::Dice,
    gallery::{Gallery, Query, SPREADS, Spread, values},
};

/// Every instruction set that this machine has, with one and two threads.
fn machines() -> Vec<Cpu> {
    let made = |isa| [1, 2].into_iter().filter_map(move |threads| Cpu::with_isa(threads, isa).ok());
    Isa::ALL.into_iter().flat_map(made).collect()
}

/// The fastest one.
fn fastest() -> Cpu {
    Cpu::new(2).expect("two threads")
}

fn expect_oracle(cpu: &Cpu, source: &Arc<dyn TileSource>, queries: &[Query], what: &str) {
    let probes: Vec<_> = queries.iter().map(Query::probe).collect();
    let truth = scan(&probes, source.as_ref()).expect("every tile opens");
    let opened = cpu.search(&probes, &Tiles::Source(Arc::clone(source))).expect("it opens");
    let pinned = Tiles::Pinned(cpu.pin(source).expect("it opens"));
    let resident = cpu.search(&probes, &pinned).expect("it is there");
    for (at, truth) in truth.iter().enumerate() {
        let told = || format!("{what}, {}, probe {at}", cpu.search_set());
        assert_eq!(&opened[at], truth, "{}", told());
        assert_eq!(&resident[at], truth, "{}, pinned", told());
        assert!(truth.certificate.holds());
    }
}

#[test]
fn every_machine_size_and_spread_is_the_oracle() {
    let dice = &mut Dice::thrown_for("search properties");
    let machines = machines();
    let layouts = [(64, 48), (128, 96), (200, 65), (512, 128), (1024, 128)];
    for (dims, hot_dims) in layouts {
        let layout = TileLayout { dims, hot_dims, rows: 96 };
        for count in [0, 1, 95, 96, 97, 333] {
            let spread = dice.pick(&SPREADS);
            let mut gallery = Gallery::filled(dice, layout, count, spread);
            if dice.coin() {
                gallery.mix_eligibility(dice);
            }
            let source: Arc<dyn TileSource> = Arc::new(gallery);
            let queries: Vec<Query> = (0..13)
                .map(|_| {
                    let threshold = dice.pick(&[i32::MIN, -9000, 0, 500, 6000, 30_000, i32::MAX]);
                    Query {
                        class_bits: dice.pick(&[u64::MAX, 1, 2]),
                        group: dice.pick(&[None, None, Some(7)]),
                        ..Query::whole(
                            &values(dice, layout, spread),
                            threshold,
                            dice.pick(&[0, 1, 10, 256]),
                        )
                    }
                })
                .collect();
            for cpu in &machines {
                let what = format!("{layout:?}, {count} rows, {spread:?}");
                expect_oracle(cpu, &source, &queries, &what);
            }
        }
    }
}

/// Thresholds from similarity -1 to 1: what is accepted is what the oracle accepts, each time.
#[test]
fn no_threshold_dismisses_a_row_falsely() {
    let dice = &mut Dice::thrown_for("false dismissal");
    let layout = TileLayout { dims: 128, hot_dims: 96, rows: 256 };
    for spread in [Spread::Isotropic, Spread::Concentrated, Spread::Extremes] {
        let gallery = Gallery::filled(dice, layout, 700, spread);
        let probe = gallery.rows[3].1.clone();
        let whole: i32 = probe.iter().map(|&x| i32::from(x).pow(2)).sum();
        let source: Arc<dyn TileSource> = Arc::new(gallery);
        let steps: Vec<i32> = (-100..=100).map(|step| whole / 100 * step).collect();
        for (cpu, steps) in machines().iter().zip([steps.as_slice()].into_iter().cycle()) {
            let queries: Vec<Query> =
                steps.iter().map(|&threshold| Query::whole(&probe, threshold, 256)).collect();
            for (at, few) in queries.chunks(64).enumerate() {
                expect_oracle(cpu, &source, few, &format!("{spread:?}, thresholds {at}"));
            }
        }
    }
}

/// Rows by the hundred thousand, on the fastest machine; the tiles are those of a real gallery.
#[test]
fn large_galleries_are_the_oracle() {
    let dice = &mut Dice::thrown_for("large galleries");
    let rows = if std::env::var_os("PORTCULLIS_LONG").is_some() { 200_000 } else { 40_000 };
    let sizes = [(64, 32, rows), (512, 128, rows / 20)];
    for (dims, hot_dims, rows) in sizes {
        let layout = TileLayout { dims, hot_dims, rows: 1024 };
        let gallery = Gallery::filled(dice, layout, rows, Spread::Concentrated);
        let probe = gallery.rows[rows / 2].1.clone();
        let whole: i32 = probe.iter().map(|&x| i32::from(x).pow(2)).sum();
        let source: Arc<dyn TileSource> = Arc::new(gallery);
        let queries = [(whole / 2, 10), (whole / 4, 0)]
            .map(|(least, best)| Query::whole(&probe, least, best));
        expect_oracle(&fastest(), &source, &queries, &format!("{rows} rows of {dims}"));
    }
}

/// One generation of a gallery that changes: a source with an origin.
struct Generation {
    gallery: Gallery,
    set: TileSet,
}

impl TileSource for Generation {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.gallery.open(tile, part, scratch)
    }

    fn origin(&self) -> u64 {
        77
    }
}

/// What happens to one reference between two generations.
#[derive(Debug, Clone, Copy)]
enum Change {
    Enrolled,
    Replaced,
    Erased,
    Expired,
    Restricted,
}

const CHANGES: [Change; 5] =
    [Change::Enrolled, Change::Replaced, Change::Erased, Change::Expired, Change::Restricted];

/// The same people but one, to whom `change` happens: only that tile's content changes.
fn next(
    dice: &mut Dice,
    layout: TileLayout,
    before: &Generation,
    (number, change): (u64, Change),
) -> Generation {
    let mut templates: Vec<Vec<i8>> =
        before.gallery.rows.iter().map(|(_, values)| values.clone()).collect();
    let mut changed = dice.below(templates.len());
    match change {
        Change::Enrolled => {
            changed = templates.len();
            templates.push(values(dice, layout, Spread::Concentrated));
        }
        Change::Replaced => templates[changed] = values(dice, layout, Spread::Concentrated),
        Change::Erased => templates[changed].fill(0),
        Change::Expired | Change::Restricted => {}
    }
    // Rows of equal content must be equal: what is kept beside templates is drawn anew, and so it
    // is taken over.
    let mut gallery = Gallery::of(dice, layout, templates);
    for (row, old) in gallery.rows.iter_mut().zip(&before.gallery.rows) {
        row.0 = old.0;
    }
    let row = &mut gallery.rows[changed].0;
    match change {
        Change::Enrolled | Change::Replaced => {}
        Change::Erased => *row = Row { flags: ROW_VACANT, ..Row::zeroed() },
        Change::Expired => row.expiry_s = 1000, // the second at which everybody asks
        Change::Restricted => row.flags |= ROW_RESTRICTED,
    }
    gallery.settle();
    let mut set = gallery.set().clone();
    set.generation = number;
    let mut tiles = set.tiles.to_vec();
    for (at, tile) in tiles.iter_mut().enumerate() {
        let held = before.set.tiles.get(at);
        let is_changed = at == changed / layout.rows;
        tile.content = match held {
            Some(held) if !is_changed => held.content,
            _ => number * 1_000_000 + at as u64,
        };
    }
    set.tiles = tiles.into();
    Generation { gallery, set }
}

/// Callers on every generation at once, on shared scans, while new ones are published.
#[test]
fn readers_that_share_scans_each_get_their_own_generation() {
    let dice = &mut Dice::thrown_for("shared scans");
    let layout = TileLayout { dims: 64, hot_dims: 32, rows: 32 };
    let gallery = Gallery::filled(dice, layout, 300, Spread::Concentrated);
    let mut set = gallery.set().clone();
    set.generation = 1;
    let newest = Mutex::new(Arc::new(Generation { gallery, set }));
    let current = || Arc::clone(&newest.lock().unwrap_or_else(PoisonError::into_inner));
    for cpu in machines() {
        thread::scope(|scope| {
            for reader in 0..4 {
                let (cpu, current) = (&cpu, &current);
                scope.spawn(move || {
                    for round in 0..12 {
                        let source = current();
                        let probe = &source.gallery.rows[(reader * 31 + round) % 300].1;
                        let queries = [Query::whole(probe, 2000, 5), Query::whole(probe, 9000, 0)];
                        let probes: Vec<_> = queries.iter().map(Query::probe).collect();
                        let as_source: Arc<dyn TileSource> = Arc::<Generation>::clone(&source);
                        let answer: Vec<RowHits> =
                            cpu.search(&probes, &Tiles::Source(as_source)).expect("it opens");
                        let truth = scan(&probes, source.as_ref()).expect("it opens");
                        assert_eq!(answer, truth, "generation {}", source.set.generation);
                    }
                });
            }
            for change in CHANGES.into_iter().cycle().take(20) {
                let before = current();
                let number = before.set.generation + 1;
                let after = Arc::new(next(dice, layout, &before, (number, change)));
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = after;
                thread::yield_now();
            }
        });
        // Each of those who were erased, have expired or are restricted was left out.
        let last = current();
        let query = Query::whole(&last.gallery.rows[0].1, 0, 5);
        let source: Arc<dyn TileSource> = Arc::<Generation>::clone(&last);
        let answer = cpu.search(&[query.probe()], &Tiles::Source(source)).expect("it opens");
        let hidden = |(row, _): &&(Row, Vec<i8>)| row.flags != 0 || row.expiry_s <= 1000;
        let hidden = last.gallery.rows.iter().filter(hidden).count() as u64;
        assert!(hidden > 0);
        assert_eq!(answer[0].certificate.ineligible, hidden);
    }
}

/// A gallery in memory that is somebody else's, as one in the `locked` residency is.
struct InMemory {
    source: Arc<dyn TileSource>,
    /// By tile: hot, cold, rows; in words, so that a row table lies as it must.
    parts: Vec<[(Vec<u64>, usize); 3]>,
    /// Times that a hot part was copied.
    copied: AtomicUsize,
}

impl InMemory {
    fn of(source: &Arc<dyn TileSource>) -> Self {
        let set = source.set();
        let part = |tile: usize, part| {
            let bytes = set.layout.part_bytes(part, set.tiles[tile].rows);
            let mut words = vec![0_u64; bytes.div_ceil(8)];
            let room = &mut cast_slice_mut::<u64, u8>(&mut words)[..bytes];
            source.open(tile, part, room).expect("it opens");
            (words, bytes)
        };
        let parts = (0..set.tiles.len())
            .map(|tile| {
                [TilePart::Hot, TilePart::Cold, TilePart::Rows].map(|name| part(tile, name))
            })
            .collect();
        Self { source: Arc::clone(source), parts, copied: AtomicUsize::new(0) }
    }
}

impl TileSource for InMemory {
    fn set(&self) -> &TileSet {
        self.source.set()
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.source.open(tile, part, scratch)
    }

    fn resident(&self, tile: usize, part: TilePart) -> Option<&[u8]> {
        if part == TilePart::Hot {
            self.copied.fetch_add(1, Ordering::Relaxed);
        }
        let (words, bytes) = &self.parts.get(tile)?[part as usize];
        Some(&cast_slice(words)[..*bytes])
    }

    fn origin(&self) -> u64 {
        self.source.origin()
    }
}

/// Of a gallery that lies in memory already the hot planes alone are copied, in the order in which
/// they are read; of the next generation only those that are not equal.
#[test]
fn a_set_is_pinned_beside_memory_that_is_there_and_shares_equal_tiles() {
    let dice = &mut Dice::thrown_for("pinned beside");
    let layout = TileLayout { dims: 96, hot_dims: 64, rows: 80 };
    let gallery = Gallery::filled(dice, layout, 500, Spread::Concentrated);
    let mut set = gallery.set().clone();
    set.generation = 1;
    let first = Generation { gallery, set };
    let second = next(dice, layout, &first, (2, Change::Erased));
    let queries: Vec<Query> =
        (0..9).map(|at| Query::whole(&first.gallery.rows[at * 50].1, 3000, 5)).collect();
    let probes: Vec<_> = queries.iter().map(Query::probe).collect();
    let [first, second] =
        [first, second].map(|one| InMemory::of(&(Arc::new(one) as Arc<dyn TileSource>)));
    let tiles = first.set().tiles.len();
    let [first, second] = [first, second].map(Arc::new);
    for cpu in machines() {
        let mut held = Vec::new();
        for (one, copies) in [(&first, tiles), (&second, 1)] {
            let source: Arc<dyn TileSource> = Arc::<InMemory>::clone(one);
            one.copied.store(0, Ordering::Relaxed);
            let pinned = cpu.pin(&source).expect("there is memory");
            assert_eq!(one.copied.load(Ordering::Relaxed), copies, "hot planes copied");
            let truth = scan(&probes, source.as_ref()).expect("it opens");
            for few in [1, 4, probes.len()] {
                let there = Tiles::Pinned(Arc::clone(&pinned));
                let answer = cpu.search(&probes[..few], &there).expect("it is there");
                assert_eq!(answer, truth[..few], "{}", cpu.search_set());
                let lies = Tiles::Source(Arc::clone(&source));
                let answer = cpu.search(&probes[..few], &lies).expect("it is there");
                assert_eq!(answer, truth[..few], "{}, where it lies", cpu.search_set());
            }
            held.push(pinned);
        }
    }
}

/// 1:1, by the same kernels.
#[test]
fn comparison_scores_are_the_oracles() {
    let dice = &mut Dice::thrown_for("comparison scores");
    let machines = machines();
    for dims in [1, 3, 15, 16, 17, 63, 64, 65, 127, 128, 512, 1000, 2048] {
        let layout = TileLayout { dims, hot_dims: 1, rows: 1 };
        for spread in SPREADS {
            let pair = [0, 1].map(|_| support::gallery::template(&values(dice, layout, spread)));
            let truth = portcullis::ops::score::score(pair[0].values(), pair[1].values());
            for cpu in &machines {
                assert_eq!(cpu.score(&pair[0], &pair[1]), truth, "{dims}, {spread:?}");
            }
        }
    }
}
