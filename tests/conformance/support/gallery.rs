//! Galleries in memory, of every awkward kind, and a search written again from the definition.

use std::sync::Arc;

use bytemuck::bytes_of;
use portcullis::{
    ops::{
        search::Probe,
        tile::{
            Common, ROW_RESTRICTED, ROW_VACANT, Row, TileError, TileLayout, TilePart, TileRef,
            TileSet, TileSource,
        },
    },
    types::{Hash256, Template, TemplateKind},
};

use super::dice::Dice;

/// How the values of a gallery are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Every direction alike: the bound prunes little.
    Isotropic,
    /// Most of the energy in the hot plane, as after the calibration's rotation.
    Concentrated,
    /// A handful of templates, again and again: ties.
    Duplicates,
    /// One template only.
    Equal,
    /// Only -127 and 127: the largest sums.
    Extremes,
    /// Zeros here and there, hot or cold or both.
    Zeros,
}

pub(crate) const SPREADS: [Spread; 6] = [
    Spread::Isotropic,
    Spread::Concentrated,
    Spread::Duplicates,
    Spread::Equal,
    Spread::Extremes,
    Spread::Zeros,
];

/// A generation in memory.
pub(crate) struct Gallery {
    set: TileSet,
    pub(crate) rows: Vec<(Row, Vec<i8>)>,
    /// A part that does not open.
    pub(crate) damaged: Option<(usize, TilePart)>,
}

/// A kind of its own for each number of dimensions.
pub(crate) fn kind(dims: usize) -> TemplateKind {
    TemplateKind {
        model: Hash256::from_bytes([7; 32]),
        calibration: Hash256::from_bytes([8; 32]),
        dims: u16::try_from(dims).expect("at most 2048"),
    }
}

pub(crate) fn template(values: &[i8]) -> Template {
    Template::new(values.into(), kind(values.len())).expect("values in ±127")
}

/// The norm, rounded up, by counting.
pub(crate) fn norm_rounded_up(values: &[i8]) -> u32 {
    let squares: u64 = values.iter().map(|&x| u64::from(x.unsigned_abs()).pow(2)).sum();
    let mut norm = 0_u32;
    while u64::from(norm).pow(2) < squares {
        norm += 1;
    }
    norm
}

/// One template.
pub(crate) fn values(dice: &mut Dice, layout: TileLayout, spread: Spread) -> Vec<i8> {
    let along = |dice: &mut Dice, at: usize| -> f32 {
        match spread {
            Spread::Concentrated if at >= layout.hot_dims => dice.normal() * 3.0,
            Spread::Concentrated => dice.normal() * 30.0,
            Spread::Extremes => dice.pick(&[-127.0, 127.0]),
            Spread::Isotropic | Spread::Duplicates | Spread::Equal | Spread::Zeros => {
                dice.normal() * 20.0
            }
        }
    };
    let mut values: Vec<i8> =
        (0..layout.dims).map(|at| along(dice, at).round().clamp(-127.0, 127.0) as i8).collect();
    if spread == Spread::Zeros {
        match dice.below(4) {
            0 => values.fill(0),
            1 => values[..layout.hot_dims].fill(0),
            2 => values[layout.hot_dims..].fill(0),
            _ => {}
        }
    }
    values
}

/// A row that is eligible for [`Query::whole`].
fn row(dice: &mut Dice) -> Row {
    Row {
        subject: dice.bytes(16).try_into().expect("sixteen bytes"),
        class_bits: u64::MAX,
        not_before_s: i64::MIN,
        expiry_s: i64::MAX,
        group: 0,
        flags: 0,
    }
}

impl Gallery {
    /// `count` rows of `spread`, all eligible.
    pub(crate) fn filled(
        dice: &mut Dice,
        layout: TileLayout,
        count: usize,
        spread: Spread,
    ) -> Self {
        let few = match spread {
            Spread::Duplicates => 3,
            Spread::Equal => 1,
            Spread::Isotropic | Spread::Concentrated | Spread::Extremes | Spread::Zeros => count,
        };
        let distinct: Vec<Vec<i8>> = (0..few).map(|_| values(dice, layout, spread)).collect();
        Self::of(dice, layout, (0..count).map(|row| distinct[row % few].clone()).collect())
    }

    /// Exactly these templates, all eligible.
    pub(crate) fn of(dice: &mut Dice, layout: TileLayout, templates: Vec<Vec<i8>>) -> Self {
        let rows: Vec<(Row, Vec<i8>)> =
            templates.into_iter().map(|values| (row(dice), values)).collect();
        let tiles = tiles(layout, &rows);
        let kind = kind(layout.dims);
        let generation = 1 + dice.below(1000) as u64;
        let set = TileSet { generation, kind, layout, tiles };
        Self { set, rows, damaged: None }
    }

    /// Makes about half of the rows ineligible for one query or another.
    pub(crate) fn mix_eligibility(&mut self, dice: &mut Dice) {
        for (row, _) in &mut self.rows {
            row.group = dice.pick(&[0, 0, 1, 7]);
            row.class_bits = dice.pick(&[0, 1, 2, 3, 1 << 63, u64::MAX]);
            row.flags =
                dice.pick(&[0, 0, 0, 0, ROW_RESTRICTED, ROW_VACANT, ROW_RESTRICTED | ROW_VACANT]);
            row.not_before_s = dice.pick(&[i64::MIN, 0, 999, 1000, 1001]);
            row.expiry_s = dice.pick(&[999, 1000, 1001, 5000, i64::MAX]);
        }
        // Some tiles all of one mind, as when a flight was enrolled in one go.
        for tile in self.rows.chunks_mut(self.set.layout.rows) {
            if dice.coin() {
                let first = tile[0].0;
                tile.iter_mut().for_each(|(row, _)| *row = Row { subject: row.subject, ..first });
            }
        }
        self.settle();
    }

    /// Brings what the tiles' rows have in common up to date with the rows.
    pub(crate) fn settle(&mut self) {
        self.set.tiles = tiles(self.set.layout, &self.rows);
    }

    pub(crate) fn layout(&self) -> TileLayout {
        self.set.layout
    }
}

/// The tiles of `rows`, each with what its rows have in common.
fn tiles(layout: TileLayout, rows: &[(Row, Vec<i8>)]) -> Arc<[TileRef]> {
    let tile = |(number, held): (usize, &[(Row, Vec<i8>)])| {
        let rows: Vec<Row> = held.iter().map(|(row, _)| *row).collect();
        TileRef { rows: rows.len(), content: number as u64, common: Common::of(&rows) }
    };
    rows.chunks(layout.rows).enumerate().map(tile).collect()
}

impl TileSource for Gallery {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let layout = self.set.layout;
        let tiles = self.set.tiles.len();
        let Some(held) = self.set.tiles.get(tile) else {
            return Err(TileError::Absent { tile, generation: self.set.generation, tiles });
        };
        if self.damaged == Some((tile, part)) {
            return Err(TileError::Damaged { tile, part });
        }
        let rows = &self.rows[tile * layout.rows..][..held.rows];
        let needed = layout.part_bytes(part, held.rows);
        if scratch.len() != needed {
            return Err(TileError::Scratch { tile, part, needed, held: scratch.len() });
        }
        let plane = |range: std::ops::Range<usize>| {
            rows.iter().flat_map(move |(_, x)| x[range.clone()].iter().map(|x| x.cast_unsigned()))
        };
        let norm = |values: &[i8]| u16::try_from(norm_rounded_up(values)).expect("at most 5,748");
        let norms = rows.iter().flat_map(|(_, x)| norm(&x[layout.hot_dims..]).to_le_bytes());
        let bytes: Vec<u8> = match part {
            TilePart::Hot => plane(0..layout.hot_dims).chain(norms).collect(),
            TilePart::Cold => plane(layout.hot_dims..layout.dims).collect(),
            TilePart::Rows => rows.iter().flat_map(|(row, _)| bytes_of(row).to_vec()).collect(),
        };
        scratch.copy_from_slice(&bytes);
        Ok(())
    }
}

/// A probe that owns its template.
pub(crate) struct Query {
    pub(crate) template: Template,
    pub(crate) threshold: i32,
    pub(crate) best: usize,
    pub(crate) class_bits: u64,
    pub(crate) group: Option<u32>,
    pub(crate) now_s: i64,
}

impl Query {
    /// Everybody who is valid at second 1000.
    pub(crate) fn whole(values: &[i8], threshold: i32, best: usize) -> Self {
        let template = template(values);
        Self { template, threshold, best, class_bits: u64::MAX, group: None, now_s: 1000 }
    }

    pub(crate) fn probe(&self) -> Probe<'_> {
        Probe {
            template: &self.template,
            threshold: portcullis::types::Score(self.threshold),
            best: self.best,
            class_bits: self.class_bits,
            group: self.group,
            now_s: self.now_s,
        }
    }
}

/// What a search must answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Row, score and subject, best first.
    pub(crate) hits: Vec<(u64, i64, [u8; 16])>,
    pub(crate) ineligible: u64,
    pub(crate) accepted: u64,
    /// Rows that the bound alone keeps below the threshold.
    pub(crate) pruned: u64,
}

/// The definition, written again: every row in full, sorted, counted.
pub(crate) fn brute_force(gallery: &Gallery, query: &Query) -> Truth {
    let probe = query.template.values();
    let hot_dims = gallery.layout().hot_dims;
    let dot = |a: &[i8], b: &[i8]| -> i64 {
        a.iter().zip(b).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
    };
    let rest = i64::from(norm_rounded_up(&probe[hot_dims..]));
    let mut truth = Truth { hits: Vec::new(), ineligible: 0, accepted: 0, pruned: 0 };
    for (number, (row, values)) in gallery.rows.iter().enumerate() {
        let hidden = row.flags == ROW_RESTRICTED || row.flags == ROW_VACANT || row.flags == 3;
        let foreign = query.group.is_some() && query.group != Some(row.group);
        let classless = (row.class_bits & query.class_bits).count_ones() == 0;
        let early = query.now_s < row.not_before_s;
        let late = query.now_s >= row.expiry_s;
        if hidden || foreign || classless || early || late {
            truth.ineligible += 1;
            continue;
        }
        let row_rest = i64::from(norm_rounded_up(&values[hot_dims..]));
        let most = dot(&probe[..hot_dims], &values[..hot_dims]) + rest * row_rest;
        let score = dot(probe, values);
        assert!(score <= most, "the bound holds");
        if most < i64::from(query.threshold) {
            truth.pruned += 1;
        }
        if score >= i64::from(query.threshold) {
            truth.accepted += 1;
            truth.hits.push((number as u64, score, row.subject));
        }
    }
    truth.hits.sort_by_key(|&(row, score, _)| (-score, row));
    truth.hits.truncate(query.best);
    truth
}
