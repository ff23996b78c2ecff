//! How cost grows with the gallery: ours at every size, FAISS's flat index as far as the peers'
//! rows go.

use std::sync::Arc;

use portcullis::ops::tile::TileSource;

use super::{
    Scene,
    peers::{Asked, Peers},
    plain::Plain,
    report::Report,
    rounds,
};
use crate::fail::Failure;

/// One size and batch.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) dims: usize,
    pub(super) rows: u64,
    pub(super) batch: usize,
    pub(super) threads: usize,
    pub(super) ours_ms: f64,
    /// The better of FAISS's two paths.
    pub(super) flat_ms: Option<f64>,
}

/// Measures every size, with the most threads.
pub(super) fn measure(scene: &Scene<'_>, report: &mut Report) -> Result<(), Failure> {
    let options = scene.options;
    let threads = options.threads.iter().copied().max().unwrap_or(1);
    let layout = scene.crowd.calibration.layout();
    let sizes: Vec<usize> = options.growth.iter().copied().filter(|&rows| rows > 0).collect();
    let Some(&most) = sizes.iter().max() else { return Ok(()) };
    let tiles = |rows: usize| rows.div_ceil(layout.rows);
    let whole = if tiles(most) * layout.rows > options.rows {
        Arc::new(Plain::draw(&scene.crowd, tiles(most) * layout.rows, None)?)
    } else {
        Arc::clone(&scene.plain)
    };
    for rows in sizes {
        let part = match rows == options.rows {
            true => Arc::clone(&scene.plain),
            false => Arc::new(whole.first(tiles(rows))),
        };
        let rows = part.set().rows();
        let engine = scene.locked(part, threads)?;
        let mut peers = flat(scene, rows as usize, threads)?;
        for &batch in &options.batch {
            let lanes = rounds::measure(options, batch, &engine, None, peers.as_mut())?;
            let ms = lanes.iter().map(|lane| lane.measured.median_ms());
            let flat_ms = ms.clone().skip(1).reduce(f64::min);
            let ours_ms = ms.clone().next().unwrap_or(f64::NAN);
            report.growth(Point { dims: layout.dims, rows, batch, threads, ours_ms, flat_ms });
        }
    }
    Ok(())
}

/// FAISS alone over the first rows; `None` without Python or beyond the rows that were written.
fn flat(scene: &Scene<'_>, rows: usize, threads: usize) -> Result<Option<Peers>, Failure> {
    let options = scene.options;
    let Some(python) = &options.python else { return Ok(None) };
    if rows > options.rows {
        return Ok(None);
    }
    let only = ["faiss-flat".to_owned(), "faiss-flat-blas".to_owned()];
    let (folder, best) = (&scene.folder, options.best);
    let asked = Asked { python, folder, rows, threads, best, only: &only };
    Peers::start(&asked, &scene.drawn.templates).map(Some)
}
