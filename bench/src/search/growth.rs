//! How cost grows with the gallery: ours at every size, FAISS's flat index as far as the peers'
//! rows go.

use super::{
    Held, Scene,
    peers::{Asked, Peers},
    report::Report,
    rounds::{self, Beside},
    sealed::Galleries,
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

impl Point {
    /// Nanoseconds of one row and one probe.
    pub(super) fn row_ns(&self) -> f64 {
        self.ours_ms * 1e6 / self.rows as f64 / self.batch as f64
    }
}

/// Measures every size, with the most threads; `galleries` has the size of the comparison.
pub(super) fn measure(
    scene: &Scene<'_>,
    galleries: &Galleries,
    report: &mut Report,
) -> Result<(), Failure> {
    let options = scene.options;
    let threads = options.threads.iter().copied().max().unwrap_or(1);
    let layout = scene.crowd.calibration.layout();
    for rows in options.growth.iter().copied().filter(|&rows| rows > 0) {
        let new = || Galleries::new(&scene.crowd, rows, options.smoke);
        let own = (rows != options.rows).then(new).transpose()?;
        let held = Held::new(scene, &own.as_ref().unwrap_or(galleries).locked)?;
        let engine = held.engine(scene, threads)?;
        let mut peers = flat(scene, rows, threads)?;
        for &batch in &options.batch {
            let beside = Beside { peers: peers.as_mut(), ..Beside::default() };
            let lanes = rounds::measure(options, batch, &engine, beside)?;
            let ms = lanes.iter().map(|lane| lane.measured.median_ms());
            let flat_ms = ms.clone().skip(1).reduce(f64::min);
            let ours_ms = ms.clone().next().unwrap_or(f64::NAN);
            let rows = rows as u64;
            report.growth(Point { dims: layout.dims, rows, batch, threads, ours_ms, flat_ms });
        }
    }
    report.grown(layout.dims);
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
