//! The CPU search against the oracle: every instruction set, one and two threads, every awkward
//! gallery, thresholds in small steps, and callers that share scans while generations change. All
//! answers must be the oracle's to the last count.

mod common;
#[path = "conformance/support/mod.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod support;

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use portcullis::{
    backend::{
        Backend, Tiles,
        cpu::{Cpu, Isa},
    },
    ops::{
        search::{RowHits, scan},
        tile::{TileError, TileLayout, TilePart, TileSet, TileSource},
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

/// The same people but one, who is enrolled, erased or expired: only that tile's content changes.
fn next(dice: &mut Dice, layout: TileLayout, before: &Generation, number: u64) -> Generation {
    let mut templates: Vec<Vec<i8>> =
        before.gallery.rows.iter().map(|(_, values)| values.clone()).collect();
    let changed = match dice.below(3) {
        0 => {
            templates.push(values(dice, layout, Spread::Concentrated));
            templates.len() - 1
        }
        1 => {
            let at = dice.below(templates.len());
            templates[at].fill(0);
            at
        }
        _ => {
            let at = dice.below(templates.len());
            templates[at] = values(dice, layout, Spread::Concentrated);
            at
        }
    };
    // Rows of equal content must be equal: subjects are drawn anew, so they are taken over.
    let mut gallery = Gallery::of(dice, layout, templates);
    for (row, old) in gallery.rows.iter_mut().zip(&before.gallery.rows) {
        row.0 = old.0;
    }
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
            for _ in 0..20 {
                let before = current();
                let number = before.set.generation + 1;
                let after = Arc::new(next(dice, layout, &before, number));
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = after;
                thread::yield_now();
            }
        });
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
