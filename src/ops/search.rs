//! `search`: the one search mode, 1:N. The best k rows at or above a threshold, and the exact
//! number of rows above it; exhaustive in result, not in work.
//!
//! ```text
//! for every row x that is eligible for probe q:
//!     hot = q_hot · x_hot
//!     if hot + ⌈‖q_cold‖⌉ · ⌈‖x_cold‖⌉ < threshold:  pruned     (it cannot reach the threshold)
//!     else:  rescored; score = hot + q_cold · x_cold
//!         if score ≥ threshold:  accepted, and kept if among the best k
//! ```
//!
//! Why it is exact: by Cauchy and Schwarz `q_cold · x_cold` is at most the product of the norms,
//! which are rounded up (see [`super::score`]), so a pruned row is strictly below the threshold.
//! Order: score descending, then row ascending, so that equal scores have one order.
//!
//! The k-th best score prunes nothing here: a row between the threshold and the k-th best is still
//! counted as accepted, and that number is exact. So the split of pruned and rescored depends on
//! the threshold alone. A backend may rescore more rows of a `best > 0` probe than this; hits,
//! accepted and ineligible are the same on all, and for `best == 0` the whole certificate is.
//!
//! Invariant: eligibility is counted before the bound; a tile's plaintext is wiped before the scan
//! returns, also when it fails.

use bytemuck::{Zeroable, cast_slice_mut};
use zeroize::{Zeroize, Zeroizing};

use super::{
    score::{rest_norm, score},
    tile::{
        Common, ROW_RESTRICTED, ROW_VACANT, Row, TileError, TileLayout, TilePart, TileSet,
        TileSource,
    },
};
use crate::{
    limits::CANDIDATES_MAX,
    types::{Certificate, Score, Template, TemplateError},
};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The probe's template; of the gallery's kind.
    pub template: &'a Template,
    /// Rows below are not candidates.
    pub threshold: Score,
    /// Rows kept, at most [`crate::limits::CANDIDATES_MAX`]; zero means count only.
    pub best: usize,
    /// Only rows that share at least one class bit.
    pub class_bits: u64,
    /// Only rows of this group; `None` for every group.
    pub group: Option<u32>,
    /// Now, civil seconds: rows outside their validity are not eligible.
    pub now_s: i64,
}

/// One row at or above the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHit {
    /// Row in the generation.
    pub row: u64,
    /// Its comparison score.
    pub score: Score,
    /// Whose row it is.
    pub subject: [u8; 16],
}

/// The answer to one probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowHits {
    /// Best first: score descending, then row ascending.
    pub hits: Vec<RowHit>,
    /// The counts.
    pub certificate: Certificate,
}

/// Why a search gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// More candidates asked for than a search returns.
    #[error("{held} candidates asked for; a search returns at most {most}")]
    Candidates {
        /// Asked for.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// A probe is not of the gallery's kind.
    #[error(transparent)]
    Kind(#[from] TemplateError),
    /// A tile did not open.
    #[error(transparent)]
    Tile(#[from] TileError),
}

/// Refuses probes that do not belong in a search of `set`; every backend asks this first.
///
/// # Errors
/// [`SearchError::Kind`] or [`SearchError::Candidates`].
pub fn admit(probes: &[Probe<'_>], set: &TileSet) -> Result<(), SearchError> {
    for probe in probes {
        set.kind.accept(probe.template.kind())?;
        if probe.best > CANDIDATES_MAX {
            return Err(SearchError::Candidates { held: probe.best, most: CANDIDATES_MAX });
        }
    }
    Ok(())
}

/// Whether `row` may be found by `probe` at all.
#[must_use]
pub fn eligible(probe: &Probe<'_>, row: &Row) -> bool {
    row.flags & (ROW_RESTRICTED | ROW_VACANT) == 0
        && row.class_bits & probe.class_bits != 0
        && probe.group.is_none_or(|group| group == row.group)
        && row.not_before_s <= probe.now_s
        && probe.now_s < row.expiry_s
}

/// What a tile's [`Common`] says about its rows and a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligible {
    /// Every row may be found.
    All,
    /// No row may be found.
    None,
    /// The row table must be asked.
    Each,
}

/// Whether all rows of a tile are eligible, or none, as far as what they have in common tells. A
/// shortcut, never another answer than [`eligible`] for each row.
#[must_use]
pub fn eligibility(probe: &Probe<'_>, common: &Common) -> Eligible {
    let foreign = |group| common.group.is_some_and(|own| own != group);
    if common.class_bits_any & probe.class_bits == 0 || probe.group.is_some_and(foreign) {
        return Eligible::None;
    }
    let all = common.flags_any & (ROW_RESTRICTED | ROW_VACANT) == 0
        && common.class_bits_all & probe.class_bits != 0
        && probe.group.is_none_or(|group| common.group == Some(group))
        && common.not_before_s_max <= probe.now_s
        && probe.now_s < common.expiry_s_min;
    if all { Eligible::All } else { Eligible::Each }
}

impl RowHits {
    /// Keeps `hit` if it is among the `best` so far. Hits may come in any order.
    pub fn keep(&mut self, hit: RowHit, best: usize) {
        let better = |held: &RowHit| (held.score, hit.row) > (hit.score, held.row);
        let place = self.hits.partition_point(better);
        if place < best {
            self.hits.truncate(best - 1);
            self.hits.insert(place, hit);
        }
    }
}

/// The op: scans every row of `source` for every probe; answers stand in the order of `probes`.
///
/// # Errors
/// [`SearchError`]; there are then no partial answers.
pub fn scan(probes: &[Probe<'_>], source: &dyn TileSource) -> Result<Vec<RowHits>, SearchError> {
    let set = source.set();
    admit(probes, set)?;
    let mut answers: Vec<RowHits> = probes.iter().map(|probe| blank(probe, set)).collect();
    let mut tile = Plaintext::default();
    for (number, held) in set.tiles.iter().enumerate() {
        tile.open(source, number, held.rows)?;
        let first = number as u64 * set.layout.rows as u64;
        for (probe, answer) in probes.iter().zip(&mut answers) {
            scan_tile(probe, &tile, set.layout, first, answer);
        }
        tile.wipe();
    }
    Ok(answers)
}

fn blank(probe: &Probe<'_>, set: &TileSet) -> RowHits {
    let certificate = Certificate {
        generation: set.generation,
        rows_total: set.rows(),
        ..Certificate::default()
    };
    RowHits { hits: Vec::with_capacity(probe.best), certificate }
}

/// One probe against one tile whose first row is `first`.
fn scan_tile(
    probe: &Probe<'_>,
    tile: &Plaintext,
    layout: TileLayout,
    first: u64,
    answer: &mut RowHits,
) {
    let cold_dims = layout.dims - layout.hot_dims;
    let (probe_hot, probe_cold) = probe.template.values().split_at(layout.hot_dims);
    let probe_rest_norm = rest_norm(probe_cold);
    let (hot_values, norms) = layout.split_hot(&tile.hot, tile.rows.len());
    for (r, row) in tile.rows.iter().enumerate() {
        if !eligible(probe, row) {
            answer.certificate.ineligible += 1;
            continue;
        }
        let hot = score(probe_hot, &hot_values[r * layout.hot_dims..][..layout.hot_dims]);
        let rest = i64::from(probe_rest_norm) * i64::from(u16::from_le_bytes(norms[r]));
        let most = i64::from(hot.0) + rest;
        if most < i64::from(probe.threshold.0) {
            answer.certificate.pruned += 1;
            continue;
        }
        answer.certificate.rescored += 1;
        let cold = score(probe_cold, &tile.cold[r * cold_dims..][..cold_dims]);
        let whole = Score(hot.0 + cold.0);
        if whole >= probe.threshold {
            answer.certificate.accepted += 1;
            let hit = RowHit { row: first + r as u64, score: whole, subject: row.subject };
            answer.keep(hit, probe.best);
        }
    }
}

/// The three parts of one open tile.
#[derive(Default)]
struct Plaintext {
    rows: Vec<Row>,
    hot: Zeroizing<Vec<u8>>,
    cold: Zeroizing<Vec<i8>>,
}

impl Plaintext {
    fn open(&mut self, source: &dyn TileSource, tile: usize, rows: usize) -> Result<(), TileError> {
        let layout = source.set().layout;
        // The first tile is the largest, so later ones do not move (and leave copies behind).
        let room = layout.rows.max(rows);
        self.rows.reserve_exact(room);
        self.hot.reserve_exact(layout.part_bytes(TilePart::Hot, room));
        self.cold.reserve_exact(layout.part_bytes(TilePart::Cold, room));
        self.rows.resize(rows, Row::zeroed());
        self.hot.resize(layout.part_bytes(TilePart::Hot, rows), 0);
        self.cold.resize(layout.part_bytes(TilePart::Cold, rows), 0);
        source.open(tile, TilePart::Rows, cast_slice_mut(&mut self.rows))?;
        source.open(tile, TilePart::Hot, &mut self.hot)?;
        source.open(tile, TilePart::Cold, cast_slice_mut(&mut self.cold))
    }

    fn wipe(&mut self) {
        cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.rows.clear();
        self.hot.zeroize();
        self.cold.zeroize();
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::tile::TileRef,
        types::{Hash256, TemplateKind},
    };

    const KIND: TemplateKind = TemplateKind {
        model: Hash256::from_bytes([1; 32]),
        calibration: Hash256::from_bytes([2; 32]),
        dims: 2,
    };

    /// One hot and one cold value per row, two rows per tile.
    struct Pairs {
        set: TileSet,
        rows: Vec<(Row, [i8; 2])>,
    }

    impl Pairs {
        fn new(rows: Vec<(Row, [i8; 2])>) -> Self {
            let tiles = rows.chunks(2).map(|tile| TileRef {
                rows: tile.len(),
                content: 0,
                common: Common::of(&tile.iter().map(|(row, _)| *row).collect::<Vec<_>>()),
            });
            let layout = TileLayout { dims: 2, hot_dims: 1, rows: 2 };
            let set = TileSet { generation: 9, kind: KIND, layout, tiles: tiles.collect() };
            Self { set, rows }
        }
    }

    impl TileSource for Pairs {
        fn set(&self) -> &TileSet {
            &self.set
        }

        fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
            let rows = &self.rows[tile * 2..][..self.set.tiles[tile].rows];
            let value = |plane: usize| rows.iter().map(move |(_, x)| x[plane].cast_unsigned());
            let bytes: Vec<u8> = match part {
                TilePart::Hot => {
                    let norms = rows.iter().flat_map(|(_, x)| [x[1].unsigned_abs(), 0]);
                    value(0).chain(norms).collect()
                }
                TilePart::Cold => value(1).collect(),
                TilePart::Rows => {
                    rows.iter().flat_map(|(row, _)| bytemuck::bytes_of(row).to_vec()).collect()
                }
            };
            scratch.copy_from_slice(&bytes);
            Ok(())
        }
    }

    fn row(values: [i8; 2], change: impl FnOnce(&mut Row)) -> (Row, [i8; 2]) {
        let mut row = Row { class_bits: 0b01, expiry_s: 100, ..Row::zeroed() };
        change(&mut row);
        (row, values)
    }

    fn template(values: [i8; 2]) -> Template {
        Template::new(Box::new(values), KIND).expect("a template")
    }

    fn probe(template: &Template, threshold: i32, best: usize) -> Probe<'_> {
        let threshold = Score(threshold);
        Probe { template, threshold, best, class_bits: 0b11, group: None, now_s: 50 }
    }

    fn found(hits: &RowHits) -> Vec<(u64, i32)> {
        hits.hits.iter().map(|hit| (hit.row, hit.score.0)).collect()
    }

    #[test]
    fn the_best_rows_and_the_counts_by_hand() {
        let source = Pairs::new(vec![
            row([10, 0], |_| {}), // 100
            row([10, 5], |_| {}), // 125
            row([1, 1], |_| {}),  // bound 10 + 5 · 1 < 100: pruned
            row([10, 5], |row| row.flags = ROW_RESTRICTED),
            row([8, -4], |_| {}), // bound 80 + 20 = 100, score 60
            row([12, 1], |_| {}), // 125: later than its equal
        ]);
        let template = template([10, 5]);
        let answers = scan(&[probe(&template, 100, 2), probe(&template, 100, 0)], &source);
        let answers = answers.expect("every tile opens");
        assert_eq!(found(&answers[0]), [(1, 125), (5, 125)]);
        assert_eq!(found(&answers[1]), []);
        let counts = Certificate {
            generation: 9,
            rows_total: 6,
            ineligible: 1,
            accepted: 3,
            pruned: 1,
            rescored: 4,
        };
        assert_eq!((answers[0].certificate, answers[1].certificate), (counts, counts));
        assert!(counts.holds());
    }

    #[test]
    fn eligibility_has_five_sides() {
        let template = template([1, 0]);
        let all = Probe { group: Some(7), class_bits: 0b10, ..probe(&template, 0, 1) };
        let whole = |row: &mut Row| {
            row.class_bits = 0b10;
            row.group = 7;
            row.not_before_s = 50;
            row.expiry_s = 51;
        };
        let changed = |change: fn(&mut Row)| {
            let (mut row, _) = row([0, 0], whole);
            change(&mut row);
            // What one row has in common with itself must say the same.
            let alone = match eligibility(&all, &Common::of(&[row])) {
                Eligible::All => true,
                Eligible::None => false,
                Eligible::Each => eligible(&all, &row),
            };
            assert_eq!(alone, eligible(&all, &row));
            alone
        };
        assert!(changed(|_| {}));
        assert!(!changed(|row| row.class_bits = 0b01));
        assert!(!changed(|row| row.group = 8));
        assert!(!changed(|row| row.not_before_s = 51));
        assert!(!changed(|row| row.expiry_s = 50));
        assert!(!changed(|row| row.flags = ROW_VACANT));
    }

    #[test]
    fn foreign_probes_and_long_lists_are_refused_before_a_tile_is_opened() {
        let source = Pairs::new(vec![]);
        let kind = TemplateKind { calibration: Hash256::from_bytes([3; 32]), ..KIND };
        let foreign = Template::new(Box::new([1, 0]), kind).expect("a template");
        let refused = scan(&[probe(&foreign, 0, 1)], &source);
        assert!(matches!(
            refused,
            Err(SearchError::Kind(TemplateError::ForeignCalibration { .. }))
        ));
        let own = template([1, 0]);
        let refused = scan(&[probe(&own, 0, CANDIDATES_MAX + 1)], &source);
        assert_eq!(refused, Err(SearchError::Candidates { held: 257, most: 256 }));
    }

    #[test]
    fn hits_keep_their_order_however_they_come() {
        let hit = |row, score| RowHit { row, score: Score(score), subject: [0; 16] };
        let mut hits = RowHits::default();
        for (row, score) in [(4, 5), (2, 5), (9, 9), (3, 5), (1, 4)] {
            hits.keep(hit(row, score), 3);
        }
        assert_eq!(found(&hits), [(9, 9), (2, 5), (3, 5)]);
    }
}
