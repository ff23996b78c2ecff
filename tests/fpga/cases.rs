//! Galleries and probes that look for an engine's mistakes: scores at the threshold and one beside
//! it, bounds that are met exactly, ties, saturated values, rows of every eligibility.

use std::sync::Arc;

use portcullis::{
    backend::{Backend, Tiles, fpga::Fpga},
    ops::{
        search::scan,
        tile::{TileLayout, TileSource},
    },
};

use crate::support::{
    dice::Dice,
    gallery::{Gallery, Query, SPREADS, norm_rounded_up, values},
};

/// A gallery and what is asked of it.
pub(crate) struct Case {
    pub(crate) source: Arc<dyn TileSource>,
    pub(crate) queries: Vec<Query>,
}

fn product(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// A threshold at, or one beside, the score or the bound of some row; or far away.
fn threshold(dice: &mut Dice, gallery: &Gallery, probe: &[i8]) -> i32 {
    let far = dice.pick(&[i32::MIN, -1, 0, 1, i32::MAX]);
    if gallery.rows.is_empty() || dice.below(8) == 0 {
        return far;
    }
    let (_, row) = &gallery.rows[dice.below(gallery.rows.len())];
    let hot = gallery.layout().hot_dims;
    let at = if dice.coin() {
        product(probe, row)
    } else {
        let rest = norm_rounded_up(&probe[hot..]) * norm_rounded_up(&row[hot..]);
        product(&probe[..hot], &row[..hot]) + rest.cast_signed()
    };
    at + dice.pick(&[-1, 0, 1])
}

/// One probe's question. The values are a row's, a row's opposite, or somebody else's.
fn query(dice: &mut Dice, gallery: &Gallery, best_max: usize) -> Query {
    let stranger = values(dice, gallery.layout(), SPREADS[0]);
    let probe = match dice.below(3) {
        0 if !gallery.rows.is_empty() => gallery.rows[dice.below(gallery.rows.len())].1.clone(),
        1 if !gallery.rows.is_empty() => {
            let (_, row) = &gallery.rows[dice.below(gallery.rows.len())];
            row.iter().map(|&x| -x).collect()
        }
        _ => stranger,
    };
    let least = threshold(dice, gallery, &probe);
    Query {
        class_bits: dice.pick(&[u64::MAX, u64::MAX, 1, 2, 1 << 63, 0]),
        group: dice.pick(&[None, None, Some(0), Some(7)]),
        now_s: dice.pick(&[1000, 1000, 999, 1001, i64::MIN, i64::MAX]),
        ..Query::whole(&probe, least, dice.below(best_max + 1))
    }
}

/// `count` rows and up to `probes` probes.
pub(crate) fn case(
    dice: &mut Dice,
    layout: TileLayout,
    count: usize,
    probes: usize,
    best_max: usize,
) -> Case {
    let spread = dice.pick(&SPREADS);
    let mut gallery = Gallery::filled(dice, layout, count, spread);
    if dice.coin() {
        gallery.mix_eligibility(dice);
    }
    let queries = (0..probes).map(|_| query(dice, &gallery, best_max)).collect();
    Case { source: Arc::new(gallery), queries }
}

/// A layout of few values, so that cases are many.
pub(crate) fn layout(dice: &mut Dice) -> TileLayout {
    let hot_dims = dice.pick(&[1, 3, 16, 63, 64, 65, 100, 128]);
    let cold_dims = dice.pick(&[0, 1, 28, 64, 65, 130]);
    TileLayout { dims: hot_dims + cold_dims, hot_dims, rows: dice.pick(&[1, 7, 32, 33, 64, 100]) }
}

/// Searches from the source and from card memory; every hit and every counter is the oracle's, for
/// lists as for threshold-only searches: the core prunes by the threshold alone.
pub(crate) fn expect_oracle(fpga: &Fpga, case: &Case, what: &str) {
    let probes: Vec<_> = case.queries.iter().map(Query::probe).collect();
    let truth = scan(&probes, case.source.as_ref()).expect("every tile opens");
    let source = Tiles::Source(Arc::clone(&case.source));
    let streamed = fpga.search(&probes, &source).expect("every tile opens");
    let pinned = Tiles::Pinned(fpga.pin(&case.source).expect("every tile opens"));
    let resident = fpga.search(&probes, &pinned).expect("it is there");
    for (at, truth) in truth.iter().enumerate() {
        assert_eq!(&streamed[at], truth, "{what}, streamed, probe {at}: {:?}", probes[at]);
        assert_eq!(&resident[at], truth, "{what}, in card memory, probe {at}: {:?}", probes[at]);
    }
}
