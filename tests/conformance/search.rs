//! 1:N search: hits, their order and the certificate against a brute force, over awkward galleries.

use std::sync::Arc;

use portcullis::{
    backend::{Backend, BackendError, Pinned, Tiles},
    limits::{CANDIDATES_MAX, DIMS_MAX},
    ops::{
        search::RowHits,
        tile::{TileError, TileLayout, TilePart, TileSource},
    },
    types::{Hash256, Template, TemplateError, TemplateKind},
};

use crate::support::{
    dice::Dice,
    gallery::{Gallery, Query, SPREADS, Spread, Truth, brute_force, kind, template, values},
};

/// Small tiles and odd widths; one whole plane, one value hot, one value cold.
const LAYOUTS: [TileLayout; 7] = [
    TileLayout { dims: 128, hot_dims: 32, rows: 16 },
    TileLayout { dims: 128, hot_dims: 128, rows: 8 },
    TileLayout { dims: 7, hot_dims: 3, rows: 5 },
    TileLayout { dims: 33, hot_dims: 16, rows: 1 },
    TileLayout { dims: 65, hot_dims: 1, rows: 64 },
    TileLayout { dims: 512, hot_dims: 128, rows: 33 },
    TileLayout { dims: 100, hot_dims: 99, rows: 12 },
];

/// Searches both ways, from the source and pinned; the two must say the same.
fn search(backend: &dyn Backend, gallery: &Arc<Gallery>, queries: &[Query]) -> Vec<RowHits> {
    let source: Arc<dyn TileSource> = Arc::clone(gallery) as Arc<dyn TileSource>;
    let probes: Vec<_> = queries.iter().map(Query::probe).collect();
    let opened = backend.search(&probes, &Tiles::Source(Arc::clone(&source))).expect("it opens");
    let pinned = backend.pin(&source).expect("it opens");
    assert_eq!(pinned.generation(), source.set().generation);
    let resident = backend.search(&probes, &Tiles::Pinned(pinned)).expect("it is there");
    assert_eq!(opened.len(), queries.len());
    for (opened, resident) in opened.iter().zip(&resident) {
        assert_eq!(opened.hits, resident.hits, "a resident set answers as its source does");
        assert_eq!(opened.certificate.accepted, resident.certificate.accepted);
    }
    for (query, answers) in queries.iter().zip(opened.iter().zip(&resident)) {
        let truth = brute_force(gallery, query);
        assert_answer(gallery, query, answers.0, &truth);
        assert_answer(gallery, query, answers.1, &truth);
    }
    opened
}

fn assert_answer(gallery: &Gallery, query: &Query, answer: &RowHits, truth: &Truth) {
    let what = format!("{:?}, {:?}", gallery.layout(), query.probe());
    let hits: Vec<_> =
        answer.hits.iter().map(|hit| (hit.row, i64::from(hit.score.0), hit.subject)).collect();
    assert_eq!(hits, truth.hits, "{what}");
    let counts = answer.certificate;
    assert_eq!(counts.generation, gallery.set().generation, "{what}");
    assert_eq!(counts.rows_total, gallery.rows.len() as u64, "{what}");
    assert_eq!(counts.ineligible, truth.ineligible, "{what}");
    assert_eq!(counts.accepted, truth.accepted, "{what}");
    assert!(counts.holds(), "{what}: {counts:?}");
    if query.best == 0 {
        assert_eq!(counts.pruned, truth.pruned, "{what}: the split depends on the threshold alone");
    }
}

/// Thresholds from far below to far above every score, and right at scores that occur.
fn thresholds(dice: &mut Dice, gallery: &Gallery, probe: &[i8]) -> Vec<i32> {
    let mut thresholds = vec![i32::MIN, -1_000_000, 0, 1, 20_000, i32::MAX];
    if !gallery.rows.is_empty() {
        for _ in 0..2 {
            let (_, row) = &gallery.rows[dice.below(gallery.rows.len())];
            let score: i32 =
                probe.iter().zip(row).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
            thresholds.extend([score - 1, score, score + 1]);
        }
    }
    thresholds
}

#[test]
fn every_spread_size_and_threshold_agrees_with_a_brute_force() {
    let Some(backend) = super::backend("search") else { return };
    let dice = &mut Dice::thrown_for("search");
    for layout in LAYOUTS {
        let tile = layout.rows;
        for count in [0, 1, tile - 1, tile, tile + 1, 3 * tile + 2] {
            for spread in SPREADS {
                let gallery = Arc::new(Gallery::filled(dice, layout, count, spread));
                let probe = match gallery.rows.first() {
                    Some((_, row)) if dice.coin() => row.clone(),
                    _ => values(dice, layout, spread),
                };
                let queries: Vec<Query> = thresholds(dice, &gallery, &probe)
                    .into_iter()
                    .flat_map(|threshold| [(threshold, 0), (threshold, 1), (threshold, 4)])
                    .map(|(threshold, best)| Query::whole(&probe, threshold, best))
                    .collect();
                search(backend.as_ref(), &gallery, &queries);
            }
        }
    }
}

#[test]
fn eligibility_is_counted_before_the_bound() {
    let Some(backend) = super::backend("eligibility") else { return };
    let dice = &mut Dice::thrown_for("eligibility");
    for layout in LAYOUTS {
        for spread in [Spread::Concentrated, Spread::Duplicates] {
            let mut gallery = Gallery::filled(dice, layout, 5 * layout.rows + 1, spread);
            gallery.mix_eligibility(dice);
            let gallery = Arc::new(gallery);
            let queries: Vec<Query> = (0..24)
                .map(|_| {
                    let probe = values(dice, layout, spread);
                    let thresholds = thresholds(dice, &gallery, &probe);
                    Query {
                        class_bits: dice.pick(&[0, 1, 2, 1 << 63, u64::MAX]),
                        group: dice.pick(&[None, None, Some(0), Some(1), Some(7), Some(8)]),
                        now_s: dice.pick(&[i64::MIN, 0, 999, 1000, 1001, i64::MAX]),
                        ..Query::whole(&probe, dice.pick(&thresholds), dice.pick(&[0, 1, 9]))
                    }
                })
                .collect();
            search(backend.as_ref(), &gallery, &queries);
        }
    }
}

/// Rows whose cold part runs along the probe's, so that the bound is met exactly, or missed by one.
#[test]
fn rows_at_the_very_edge_of_the_bound_are_not_lost() {
    let Some(backend) = super::backend("edge of the bound") else { return };
    let dice = &mut Dice::thrown_for("edge of the bound");
    for layout in LAYOUTS.into_iter().filter(|layout| layout.dims > layout.hot_dims) {
        // A norm that is whole: one value alone, so that Cauchy and Schwarz is an equality.
        let mut probe = values(dice, layout, Spread::Isotropic);
        let last = layout.dims - 1;
        probe[layout.hot_dims..].fill(0);
        probe[last] = 100;
        let rows: Vec<Vec<i8>> = (0..4 * layout.rows + 3)
            .map(|_| {
                let mut row = values(dice, layout, Spread::Isotropic);
                row[layout.hot_dims..].fill(0);
                row[last] = i8::try_from(dice.within(-127, 127)).expect("a template's value");
                row
            })
            .collect();
        let gallery = Arc::new(Gallery::of(dice, layout, rows));
        let queries: Vec<Query> = (0..40)
            .map(|_| {
                let (_, row) = &gallery.rows[dice.below(gallery.rows.len())];
                let hot = layout.hot_dims;
                let score: i32 = probe[..hot]
                    .iter()
                    .zip(row)
                    .map(|(&a, &b)| i32::from(a) * i32::from(b))
                    .sum::<i32>()
                    + 100 * i32::from(row[last].unsigned_abs());
                let threshold = score + i32::try_from(dice.within(-1, 1)).expect("small");
                Query::whole(&probe, threshold, dice.pick(&[0, 1, 3]))
            })
            .collect();
        search(backend.as_ref(), &gallery, &queries);
    }
}

#[test]
fn the_longest_and_loudest_templates_do_not_overflow() {
    let Some(backend) = super::backend("extremes") else { return };
    let dice = &mut Dice::thrown_for("extremes");
    for hot_dims in [DIMS_MAX, 512] {
        let layout = TileLayout { dims: DIMS_MAX, hot_dims, rows: 4 };
        let rows = vec![vec![127; DIMS_MAX], vec![-127; DIMS_MAX], vec![0; DIMS_MAX]];
        let gallery = Arc::new(Gallery::of(dice, layout, rows));
        let whole = 127 * 127 * i32::try_from(DIMS_MAX).expect("2048");
        let queries: Vec<Query> = [i32::MIN, -whole, 1 - whole, 0, whole, whole + 1, i32::MAX]
            .into_iter()
            .flat_map(|threshold| [127, -127].map(|x| (threshold, x)))
            .map(|(threshold, x)| Query::whole(&vec![x; DIMS_MAX], threshold, 3))
            .collect();
        let answers = search(backend.as_ref(), &gallery, &queries);
        assert_eq!(answers[0].hits[0].score.0, whole);
        assert_eq!(answers[0].hits[2].score.0, -whole);
    }
}

#[test]
fn lists_hold_up_to_the_limit_and_longer_ones_are_refused() {
    let Some(backend) = super::backend("candidates") else { return };
    let dice = &mut Dice::thrown_for("candidates");
    let layout = TileLayout { dims: 16, hot_dims: 8, rows: 50 };
    for spread in [Spread::Isotropic, Spread::Equal] {
        let gallery = Arc::new(Gallery::filled(dice, layout, 400, spread));
        let probe = values(dice, layout, spread);
        let bests = [0, 1, 2, 255, CANDIDATES_MAX];
        let queries: Vec<Query> =
            bests.iter().map(|&best| Query::whole(&probe, i32::MIN, best)).collect();
        let answers = search(backend.as_ref(), &gallery, &queries);
        let lengths: Vec<usize> = answers.iter().map(|answer| answer.hits.len()).collect();
        assert_eq!(lengths, bests);
        let queries = [Query::whole(&probe, 0, 1), Query::whole(&probe, 0, CANDIDATES_MAX + 1)];
        let probes: Vec<_> = queries.iter().map(Query::probe).collect();
        let refused = backend.search(&probes, &Tiles::Source(gallery));
        assert_eq!(refused, Err(BackendError::Candidates { held: 257, most: 256 }));
    }
}

#[test]
fn probes_of_another_kind_are_refused_by_name() {
    let Some(backend) = super::backend("kinds") else { return };
    let dice = &mut Dice::thrown_for("kinds");
    let layout = TileLayout { dims: 16, hot_dims: 8, rows: 4 };
    let source: Arc<dyn TileSource> = Arc::new(Gallery::filled(dice, layout, 9, Spread::Isotropic));
    let pinned = Tiles::Pinned(backend.pin(&source).expect("it opens"));
    let own = kind(16);
    let other = Hash256::from_bytes([99; 32]);
    let foreign = |kind: TemplateKind| {
        let dims = usize::from(kind.dims);
        let template = Template::new(vec![1; dims].into(), kind).expect("values in ±127");
        let own = Query::whole(&[1; 16], 0, 1);
        let query = Query { template, ..Query::whole(&[1; 16], 0, 1) };
        let probes = [own.probe(), query.probe()];
        let refused = backend.search(&probes, &Tiles::Source(Arc::clone(&source)));
        assert_eq!(refused, backend.search(&probes, &pinned));
        refused.expect_err("a foreign probe")
    };
    assert_eq!(
        foreign(TemplateKind { model: other, ..own }),
        BackendError::Kind(TemplateError::ForeignModel { expected: own.model, held: other })
    );
    assert_eq!(
        foreign(TemplateKind { calibration: other, ..own }),
        BackendError::Kind(TemplateError::ForeignCalibration {
            expected: own.calibration,
            held: other
        })
    );
    assert_eq!(
        foreign(TemplateKind { dims: 15, ..own }),
        BackendError::Kind(TemplateError::Length { expected: 16, held: 15 })
    );
}

#[test]
fn a_damaged_part_fails_the_search_and_the_next_one_answers() {
    let Some(backend) = super::backend("damage") else { return };
    let dice = &mut Dice::thrown_for("damage");
    let layout = TileLayout { dims: 16, hot_dims: 8, rows: 4 };
    for part in [TilePart::Hot, TilePart::Cold, TilePart::Rows] {
        for tile in 0..3 {
            let mut gallery = Gallery::filled(dice, layout, 11, Spread::Isotropic);
            gallery.damaged = Some((tile, part));
            let source: Arc<dyn TileSource> = Arc::new(gallery);
            let damaged = BackendError::Tile(TileError::Damaged { tile, part });
            // Every row is accepted and kept, so that every part is needed.
            let query = Query::whole(&[1; 16], i32::MIN, 11);
            let refused = backend.search(&[query.probe()], &Tiles::Source(Arc::clone(&source)));
            assert_eq!(refused, Err(damaged.clone()));
            assert_eq!(backend.pin(&source).err(), Some(damaged));
        }
    }
    let gallery = Arc::new(Gallery::filled(dice, layout, 11, Spread::Isotropic));
    search(backend.as_ref(), &gallery, &[Query::whole(&[1; 16], 0, 5)]);
}

/// A set that no backend made.
struct Stranger;

impl Pinned for Stranger {
    fn generation(&self) -> u64 {
        42
    }
}

#[test]
fn a_set_pinned_elsewhere_is_refused() {
    let Some(backend) = super::backend("foreign set") else { return };
    let template = template(&[1; 16]);
    let query = Query { template, ..Query::whole(&[1; 16], 0, 1) };
    let refused = backend.search(&[query.probe()], &Tiles::Pinned(Arc::new(Stranger)));
    assert!(matches!(refused, Err(BackendError::ForeignSet { generation: 42, .. })), "{refused:?}");
}

#[test]
fn no_probes_ask_nothing_and_many_are_answered_in_order() {
    let Some(backend) = super::backend("many probes") else { return };
    let dice = &mut Dice::thrown_for("many probes");
    let layout = TileLayout { dims: 48, hot_dims: 16, rows: 20 };
    let gallery = Arc::new(Gallery::filled(dice, layout, 90, Spread::Concentrated));
    assert_eq!(search(backend.as_ref(), &gallery, &[]), []);
    for count in [1, 2, 3, 7, 8, 9, 31, 64] {
        let queries: Vec<Query> = (0..count)
            .map(|_| {
                let (_, row) = &gallery.rows[dice.below(gallery.rows.len())];
                Query::whole(row, dice.pick(&[-5000, 0, 3000, 9000]), dice.below(5))
            })
            .collect();
        search(backend.as_ref(), &gallery, &queries);
    }
}

#[test]
fn a_scan_keeps_its_set_and_a_pinned_one_outlives_its_source() {
    let Some(backend) = super::backend("lifetimes") else { return };
    let dice = &mut Dice::thrown_for("lifetimes");
    let layout = TileLayout { dims: 24, hot_dims: 8, rows: 6 };
    let gallery = Arc::new(Gallery::filled(dice, layout, 20, Spread::Isotropic));
    let query = Query::whole(&values(dice, layout, Spread::Isotropic), i32::MIN, 20);
    let truth = brute_force(&gallery, &query);
    let source: Arc<dyn TileSource> = Arc::new(Gallery::of(
        dice,
        layout,
        gallery.rows.iter().map(|(_, values)| values.clone()).collect(),
    ));
    let generation = source.set().generation;
    let pinned = backend.pin(&source).expect("it opens");
    drop(source);
    let answer = backend.search(&[query.probe()], &Tiles::Pinned(pinned)).expect("resident");
    let rows = |hits: &[portcullis::ops::search::RowHit]| -> Vec<u64> {
        hits.iter().map(|hit| hit.row).collect()
    };
    let expected: Vec<u64> = truth.hits.iter().map(|hit| hit.0).collect();
    assert_eq!(rows(&answer[0].hits), expected);
    assert_eq!(answer[0].certificate.generation, generation);
}
