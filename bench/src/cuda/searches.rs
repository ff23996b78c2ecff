//! Searches: whole templates in the hot plane, and the calibrated split; one probe and many; the
//! smaller gallery and the larger.

use std::sync::Arc;

use portcullis::{
    backend::{Backend, Tiles, cuda::Cuda},
    ops::{
        search::scan,
        tile::{TileError, TilePart, TileRef, TileSet, TileSource},
    },
    types::Score,
};

use super::Figure;
use crate::{
    fail::Failure,
    search::{crowd::Crowd, plain::Plain, probes, verify::equal},
};

/// Dimensions of a template.
const DIMS: usize = 512;
/// Candidates kept.
pub(super) const BEST: usize = 10;
/// Least similarity of a candidate: about FMR 1e-4 of the default calibration.
pub(super) const SIMILARITY: f64 = 0.425;
/// One number from which everybody is drawn.
pub(super) const SEED: u64 = 20_261_122;
/// Probes that the oracle answers as well.
const ORACLE_PROBES: usize = 2;
/// Rows that the oracle, a plain loop, goes through.
const ORACLE_ROWS: usize = 20_000;
/// Copies of a gallery that are searched in turn.
const COPIES: usize = 3;
/// How many times the larger gallery holds the smaller.
const TIMES: usize = 10;
/// Probes of a search, a measurement each.
const PROBES: [usize; 5] = [1, 4, 64, 256, 1024];

/// A gallery again and again, as rows of one that is larger.
struct Repeated {
    set: TileSet,
    base: Arc<dyn TileSource>,
    tiles: usize,
}

impl Repeated {
    fn new(base: &Arc<dyn TileSource>, times: usize) -> Self {
        let once = base.set();
        // Rows are numbered by whole tiles: of a repetition the last one must be as full.
        let full = once.tiles.iter().take_while(|tile| tile.rows == once.layout.rows).count();
        let tiles = (0..full * times)
            .map(|at| TileRef { content: at as u64, ..once.tiles[at % full] })
            .collect();
        let set = TileSet { tiles, ..once.clone() };
        Self { set, base: Arc::clone(base), tiles: full }
    }
}

impl TileSource for Repeated {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.base.open(tile % self.tiles, part, scratch)
    }
}

/// Checks and times every variant; `rows` in the smaller gallery.
pub(super) fn run(
    cuda: &Cuda,
    rows: usize,
    rounds: usize,
    checks: &mut Vec<String>,
    figures: &mut Vec<Figure>,
) -> Result<(), Failure> {
    for (name, hot_dims) in [("whole", Some(DIMS)), ("split", None)] {
        let crowd = Crowd::new(DIMS, hot_dims, SEED)?;
        let few: Arc<dyn TileSource> = Arc::new(Plain::draw(&crowd, ORACLE_ROWS.min(rows), None)?);
        check(cuda, &crowd, &few, (name, ORACLE_ROWS.min(rows)), checks)?;
        let drawn = crowd.probes(rows, PROBES[PROBES.len() - 1])?;
        let threshold = Score::at_least(SIMILARITY, crowd.calibration.scale());
        let probes = probes(&drawn.templates, threshold, BEST);
        let base: Arc<dyn TileSource> = Arc::new(Plain::draw(&crowd, rows, None)?);
        for (times, sets) in [(1, COPIES), (TIMES, 1)] {
            let source: Arc<dyn TileSource> = Arc::new(Repeated::new(&base, times));
            // A source that stands alone shares nothing: each pin has memory of its own.
            let pin = |_| -> Result<Tiles, Failure> { Ok(Tiles::Pinned(cuda.pin(&source)?)) };
            let sets: Vec<Tiles> = (0..sets).map(pin).collect::<Result<_, _>>()?;
            let set = source.set();
            let hot_bytes = set.rows() as f64 * (set.layout.hot_dims + 2) as f64;
            for many in PROBES {
                let taken = cuda.scans_ms(&probes[..many], &sets, rounds)?;
                let what = format!("search {name}, {} rows, {many} probes", set.rows());
                let comparisons = set.rows() as f64 * many as f64;
                figures.push(match many {
                    1 => Figure::of(what, taken, hot_bytes, "bytes"),
                    _ => Figure::of(what, taken, comparisons, "comparisons"),
                });
            }
        }
    }
    Ok(())
}

/// Every number of probes gives the oracle's answers, pinned and from the source.
fn check(
    cuda: &Cuda,
    crowd: &Crowd,
    source: &Arc<dyn TileSource>,
    (name, rows): (&str, usize),
    checks: &mut Vec<String>,
) -> Result<(), Failure> {
    let most = PROBES[PROBES.len() - 1];
    let drawn = crowd.probes(rows, most)?;
    let threshold = Score::at_least(SIMILARITY, crowd.calibration.scale());
    let probes = probes(&drawn.templates, threshold, BEST);
    let few = &probes[..ORACLE_PROBES];
    let oracle = scan(few, source.as_ref()).map_err(|error| Failure::Backend(error.into()))?;
    let pinned = Tiles::Pinned(cuda.pin(source)?);
    let all = cuda.search(&probes, &pinned)?;
    equal("the GPU and the oracle", &all[..ORACLE_PROBES], &oracle, BEST)?;
    for tiles in [&pinned, &Tiles::Source(Arc::clone(source))] {
        for many in PROBES {
            let answers = cuda.search(&probes[..many], tiles)?;
            equal("batches of the GPU", &answers, &all[..many], BEST)?;
        }
    }
    checks.push(format!("search {name}: {rows} rows, the oracle's answers for {PROBES:?} probes"));
    Ok(())
}
