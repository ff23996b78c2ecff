//! What a calibration turned out to be, in figures.

use std::path::Path;

use serde_json::json;

use super::source::{Turned, some_pairs};
use crate::{
    cli::{
        Failure,
        tell::{Ink, Tell},
    },
    model::{Calibration, Split},
    ops::score::score,
    types::Template,
};

/// How far int8 scores lie from the cosines that they stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct QuantisationError {
    pub(super) most: f64,
    pub(super) mean: f64,
    pub(super) pairs: usize,
}

/// Two calibrations of one embedder, over the same faces.
pub(super) struct Difference {
    pub(super) path: String,
    /// Between the two published scores of one pair.
    pub(super) most: f64,
    pub(super) mean: f64,
    /// The other one's own.
    pub(super) error: QuantisationError,
    pub(super) scale: f32,
    pub(super) hot_dims: usize,
    /// Rate, similarity here, similarity there.
    pub(super) thresholds: Vec<(f64, Option<f32>, Option<f32>)>,
}

/// Everything that is said.
pub(super) struct Told<'a> {
    pub(super) calibration: &'a Calibration,
    /// Usable faces; `None` for a statistics file.
    pub(super) faces: Option<usize>,
    pub(super) table: String,
    pub(super) expected_saturated: f64,
    pub(super) saturated: f64,
    pub(super) operating: f64,
    pub(super) splits: &'a [Split],
    pub(super) best: Split,
    pub(super) error: QuantisationError,
    pub(super) compared: Option<Difference>,
    pub(super) path: &'a Path,
}

/// The error of `calibration` over pairs of `turned`.
pub(super) fn error_of(
    turned: &Turned,
    calibration: &Calibration,
) -> Result<QuantisationError, Failure> {
    let templates = turned.templates(calibration)?;
    Ok(error_between(turned, &templates, calibration.scale()))
}

/// The error of `templates`, one of each face.
pub(super) fn error_between(
    turned: &Turned,
    templates: &[Template],
    scale: f32,
) -> QuantisationError {
    let pairs = some_pairs(templates.len());
    let (mut most, mut sum) = (0.0_f64, 0.0);
    for &(a, b) in &pairs {
        let cosine = super::source::cosine(&turned.faces, a, b);
        let off = (published(templates, a, b, scale) - cosine).abs();
        most = most.max(off);
        sum += off;
    }
    QuantisationError { most, mean: sum / pairs.len().max(1) as f64, pairs: pairs.len() }
}

/// Score over S², in double precision.
pub(super) fn published(templates: &[Template], a: usize, b: usize, scale: f32) -> f64 {
    let score = score(templates[a].values(), templates[b].values());
    f64::from(score.0) / f64::from(scale).powi(2)
}

/// The thresholds of both, rate by rate.
pub(super) fn thresholds_beside(
    own: &Calibration,
    other: &Calibration,
) -> Vec<(f64, Option<f32>, Option<f32>)> {
    let of = |calibration: &Calibration, fmr: f64| {
        calibration.thresholds().iter().find(|row| row.fmr == fmr).map(|row| row.similarity)
    };
    let mut rates: Vec<f64> =
        own.thresholds().iter().chain(other.thresholds()).map(|row| row.fmr).collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    rates.dedup();
    rates.into_iter().map(|fmr| (fmr, of(own, fmr), of(other, fmr))).collect()
}

impl Told<'_> {
    pub(super) fn tell(&self, tell: Tell) {
        if tell.json {
            tell.document(&self.document());
            return;
        }
        let (kind, layout) = (self.calibration.kind(), self.calibration.layout());
        tell.line(format!("{}: calibration {}", self.path.display(), kind.calibration));
        tell.line(format!("  bound to embedder {}", kind.model));
        match self.faces {
            Some(faces) => tell.line(format!("  from {faces} faces of {} dimensions", layout.dims)),
            None => tell.line(format!(
                "  from second-order statistics of {} dimensions; what follows is counted on \
                 synthetic people",
                layout.dims
            )),
        }
        tell.line(format!(
            "  scale S {}: {:.1e} of the values saturate (expected {:.1e})",
            self.calibration.scale(),
            self.saturated,
            self.expected_saturated
        ));
        let error = &self.error;
        tell.line(format!(
            "  quantisation error |score / S² − cosine|: mean {:.2e}, largest {:.2e} of {} pairs",
            error.mean, error.most, error.pairs
        ));
        tell.line(format!("  {}", self.table));
        for row in self.calibration.thresholds() {
            tell.line(format!("    FMR {:<7e} threshold {:.4}", row.fmr, row.similarity));
        }
        tell.line(format!("  plane split at threshold {:.3}:", self.operating));
        tell.line(tell.ink(Ink::Bold, "        K  energy    survivors  bytes per row"));
        for split in self.splits {
            tell.line(format!("    {}", super::split_line(split, &self.best, tell)));
        }
        if layout.hot_dims != self.best.hot_dims {
            tell.line(format!("  --hot-dims asks for {} instead", layout.hot_dims));
        }
        if let Some(other) = &self.compared {
            other.tell(tell);
        }
    }

    fn document(&self) -> serde_json::Value {
        let (kind, layout) = (self.calibration.kind(), self.calibration.layout());
        let splits: Vec<_> = self
            .splits
            .iter()
            .map(|split| {
                json!({
                    "hotDims": split.hot_dims, "energy": split.energy,
                    "survivors": split.survivors, "bytesPerRow": split.bytes,
                })
            })
            .collect();
        let rows = self.calibration.thresholds().iter();
        let thresholds: Vec<_> =
            rows.map(|row| json!({ "fmr": row.fmr, "similarity": row.similarity })).collect();
        json!({
            "file": self.path.display().to_string(),
            "calibration": kind.calibration.to_string(),
            "embedder": kind.model.to_string(),
            "dims": layout.dims, "hotDims": layout.hot_dims, "scale": self.calibration.scale(),
            "faces": self.faces, "basis": self.calibration.basis(), "table": self.table,
            "thresholds": thresholds, "operating": self.operating, "splits": splits,
            "saturated": self.saturated, "saturatedExpected": self.expected_saturated,
            "quantisationError": self.error.document(),
            "compared": self.compared.as_ref().map(Difference::document),
        })
    }
}

impl QuantisationError {
    fn document(&self) -> serde_json::Value {
        json!({ "max": self.most, "mean": self.mean, "pairs": self.pairs })
    }
}

impl Difference {
    fn tell(&self, tell: Tell) {
        tell.line(format!("  compared with {}:", self.path));
        tell.line(format!("    scale S {}, hot plane {}", self.scale, self.hot_dims));
        tell.line(format!(
            "    its quantisation error: mean {:.2e}, largest {:.2e}",
            self.error.mean, self.error.most
        ));
        tell.line(format!(
            "    scores of one pair differ by {:.2e} in the mean, {:.2e} at most",
            self.mean, self.most
        ));
        let shown = |held: Option<f32>| held.map_or("-".to_owned(), |held| format!("{held:.4}"));
        for &(fmr, own, other) in &self.thresholds {
            let (own, other) = (shown(own), shown(other));
            tell.line(format!("    FMR {fmr:<7e} threshold {own} here, {other} there"));
        }
    }

    fn document(&self) -> serde_json::Value {
        let rows = self.thresholds.iter();
        let thresholds: Vec<_> = rows
            .map(|(fmr, own, other)| json!({ "fmr": fmr, "here": own, "there": other }))
            .collect();
        json!({
            "file": self.path, "scale": self.scale, "hotDims": self.hot_dims,
            "quantisationError": self.error.document(),
            "difference": { "max": self.most, "mean": self.mean },
            "thresholds": thresholds,
        })
    }
}
