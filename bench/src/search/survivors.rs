//! How many rows survive the bound: of strangers, at two thresholds, beside what photographs give.

use std::sync::Arc;

use portcullis::{
    backend::{Backend, Tiles, cpu::Cpu},
    ops::tile::TileSource,
    types::Score,
};

use super::{Engine, Scene, probes, report::Report};
use crate::fail::Failure;

/// Thresholds at which photographs were counted.
const THRESHOLDS: [f64; 2] = [0.36, 0.40];
/// Dimensions, hot dimensions, and the shares of non-mated rows that survive at those thresholds:
/// 13,233 photographs, 500 probes.
const PHOTOGRAPHS: [(usize, usize, [f64; 2]); 3] =
    [(128, 96, [6.0e-2, 2.2e-2]), (512, 96, [1.4e-2, 0.54e-2]), (512, 128, [0.18e-2, 0.10e-2])];

/// Counts them and says both.
pub(super) fn print(scene: &Scene<'_>, report: &mut Report) -> Result<(), Failure> {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::new(1)?);
    let plain = Arc::clone(&scene.plain) as Arc<dyn TileSource>;
    let engine = Engine { backend, tiles: Tiles::Source(plain), probes: Vec::new() };
    let layout = scene.crowd.calibration.layout();
    let known = PHOTOGRAPHS.iter().find(|row| (row.0, row.1) == (layout.dims, layout.hot_dims));
    let own = scene.options.threshold;
    for (at, threshold) in THRESHOLDS.into_iter().chain([own]).enumerate() {
        let share = share(scene, &engine, threshold)?;
        let photographs = known.and_then(|(_, _, shares)| shares.get(at).copied());
        report.survivors(layout, threshold, share, photographs);
    }
    Ok(())
}

/// Share of eligible rows that a stranger's probe rescores when only counting.
fn share(scene: &Scene<'_>, engine: &Engine<'_>, threshold: f64) -> Result<f64, Failure> {
    let threshold = Score::at_least(threshold, scene.crowd.calibration.scale());
    let all = probes(&scene.drawn.templates, threshold, 0);
    let strangers: Vec<_> = all
        .iter()
        .zip(&scene.drawn.mates)
        .filter(|(_, mate)| mate.is_none())
        .map(|(p, _)| *p)
        .collect();
    if strangers.is_empty() {
        return Ok(f64::NAN);
    }
    let answers = engine.backend.search(&strangers, &engine.tiles)?;
    let sum = |of: &dyn Fn(&portcullis::types::Certificate) -> u64| -> f64 {
        answers.iter().map(|answer| of(&answer.certificate) as f64).sum()
    };
    let eligible = sum(&|held| held.rows_total - held.ineligible);
    Ok(sum(&|held| held.rescored) / eligible)
}
