//! `wgpu`: 1:N search on a GPU, beside what the device can do at best and what one would write
//! first.
//!
//! The same rows lie pinned on the backend, and as plain records on a device of the benchmark's
//! own. First every answer is verified: the backend's against the scalar oracle, the naive shader's
//! against the backend's. Then all are timed in turn, each until the device is done: the search
//! with everything that belongs to it (probes up, one pass, lists merged, candidates back), the
//! copy and the naive shader as bare kernels, which favours them.
//!
//! On an adapter that only simulates a GPU the ratios say that it works; figures of speed mean
//! nothing there, and no promise is judged.

mod device;

use std::sync::Arc;

use clap::Args;
use portcullis::{
    backend::{
        Backend, Tiles,
        wgpu::{Options as DeviceOptions, Wgpu},
    },
    ops::{
        search::{RowHits, scan},
        tile::TileSource,
    },
    types::Score,
};

use self::device::{CopyKernel, Device, NaiveKernel};
use crate::{
    fail::Failure,
    search::{crowd::Crowd, plain::Plain, probes, verify::equal},
    spent::{Measured, nanoseconds, rest},
};

/// Share of the copy's bandwidth that a search with one probe must reach on a real GPU.
const OF_COPY_LEAST: f64 = 0.7;
/// Probes that the oracle answers as well.
const ORACLE_PROBES: usize = 2;
/// Candidates kept.
const BEST: usize = 10;
/// Least similarity of a candidate: about FMR 1e-4 of the default calibration.
const SIMILARITY: f64 = 0.425;
/// One number from which everybody is drawn.
const SEED: u64 = 20_261_122;

/// Options of `wgpu`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// A part of the adapter's name; the best one without it.
    #[arg(long, default_value = "")]
    adapter: String,
    /// Dimensions of a template: 128 or 512.
    #[arg(long, default_value_t = 512)]
    dims: usize,
    /// Rows of the gallery.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// One short round over few rows: proves that answers agree, measures nothing worth keeping.
    #[arg(long)]
    smoke: bool,
}

/// Everybody who is timed.
struct Contest<'a> {
    backend: &'a Wgpu,
    tiles: Tiles,
    probes: Vec<portcullis::ops::search::Probe<'a>>,
    copy: CopyKernel,
    naive: NaiveKernel,
}

/// Milliseconds of each.
#[derive(Default)]
struct Times {
    one: Measured,
    eight: Measured,
    copy: Measured,
    naive: Measured,
}

/// Runs it; true when every promise that was measured is kept, or none is asked for.
pub(crate) fn run(options: &Options) -> Result<bool, Failure> {
    let rows = if options.smoke { options.rows.min(8_192) } else { options.rows };
    let adapter = options.adapter.clone();
    let backend = Wgpu::with(&DeviceOptions { adapter, ..DeviceOptions::default() })?;
    let described = backend.describe();
    let device = Device::open(&described.device)?;
    println!("device: {}; {}", described.device, described.detail);
    let crowd = Crowd::new(options.dims, None, SEED)?;
    let source: Arc<dyn TileSource> = Arc::new(Plain::draw(&crowd, rows, None)?);
    let drawn = crowd.probes(rows, 8)?;
    let threshold = Score::at_least(SIMILARITY, crowd.calibration.scale());
    let probes = probes(&drawn.templates, threshold, BEST);
    let tiles = Tiles::Pinned(backend.pin(&source)?);
    let answers = backend.search(&probes, &tiles)?;
    let few = &probes[..ORACLE_PROBES];
    let oracle = scan(few, source.as_ref()).map_err(|error| Failure::Backend(error.into()))?;
    equal("the device and the oracle", &answers[..few.len()], &oracle, BEST)?;
    let layout = source.set().layout;
    let hot_bytes = (rows * (layout.hot_dims.next_multiple_of(16) + 2)) as u64;
    let naive = device.naive(source.as_ref(), drawn.templates[0].values())?;
    let scores = device.scores(&naive)?;
    agree(&scores, threshold, &answers[0])?;
    let contest = Contest { backend: &backend, tiles, probes, copy: device.copy(hot_bytes), naive };
    let rounds = if options.smoke { 1 } else { options.rounds };
    let times = measure(&contest, &device, rounds)?;
    let rescored = answers[0].certificate.rescored;
    let cold_bytes = rescored * (layout.dims - layout.hot_dims).next_multiple_of(16) as u64;
    let naive_bytes = (rows * options.dims + rows * size_of::<i32>()) as u64;
    let of_copy = report(rows, &times, [hot_bytes + cold_bytes, contest.copy.moved(), naive_bytes]);
    Ok(options.smoke || device.is_simulated() || of_copy >= OF_COPY_LEAST)
}

/// The naive scores, counted and sorted by the definition, are what the search answered.
fn agree(scores: &[i32], threshold: Score, answer: &RowHits) -> Result<(), Failure> {
    let mut found: Vec<(i32, u64)> = (0..)
        .zip(scores)
        .filter(|&(_, &score)| score >= threshold.0)
        .map(|(row, &score)| (score, row))
        .collect();
    let accepted = found.len() as u64;
    found.sort_by_key(|&(score, row)| (-score, row));
    found.truncate(BEST);
    let held: Vec<(i32, u64)> = answer.hits.iter().map(|hit| (hit.score.0, hit.row)).collect();
    if held == found && accepted == answer.certificate.accepted {
        return Ok(());
    }
    Err(Failure::Differs("the naive shader and the search differ".to_owned()))
}

fn measure(contest: &Contest<'_>, device: &Device, rounds: usize) -> Result<Times, Failure> {
    let mut times = Times::default();
    // The first turn of each is not counted: buffers grow, clocks wake up.
    for round in 0..=rounds {
        let mut outcome = Ok(Vec::new());
        let mut turn = [0; 4];
        turn[0] = nanoseconds(|| {
            outcome = contest.backend.search(&contest.probes[..1], &contest.tiles);
        });
        std::mem::replace(&mut outcome, Ok(Vec::new()))?;
        turn[1] = nanoseconds(|| {
            outcome = contest.backend.search(&contest.probes, &contest.tiles);
        });
        outcome?;
        let mut done = Ok(());
        turn[2] = nanoseconds(|| done = device.run_copy(&contest.copy));
        done?;
        done = Ok(());
        turn[3] = nanoseconds(|| done = device.run_naive(&contest.naive));
        done?;
        if round > 0 {
            let all = [&mut times.one, &mut times.eight, &mut times.copy, &mut times.naive];
            all.into_iter().zip(turn).for_each(|(measured, spent)| measured.extend([spent]));
        }
        rest();
    }
    Ok(times)
}

/// Prints the table; gives the share of the copy's bandwidth that one probe reaches.
fn report(rows: usize, times: &Times, [searched, copied, naive]: [u64; 3]) -> f64 {
    let rate = |bytes: u64, ms: f64| bytes as f64 / ms / 1e6;
    let copy_rate = rate(copied, times.copy.median_ms());
    println!("\n{rows} rows");
    println!("| what | ms | bytes moved | GB/s | of the copy |");
    println!("|---|---|---|---|---|");
    for (what, measured, bytes) in [
        ("search, one probe", &times.one, searched),
        ("copy kernel", &times.copy, copied),
        ("one lane per record, every score to memory", &times.naive, naive),
    ] {
        let ms = measured.median_ms();
        let share = 100.0 * rate(bytes, ms) / copy_rate;
        println!("| {what} | {ms:.3} | {bytes} | {:.2} | {share:.0} % |", rate(bytes, ms));
    }
    let (one, eight) = (times.one.median_ms(), times.eight.median_ms());
    println!("\n- one probe against the naive shader: {:.2} times", times.naive.median_ms() / one);
    println!("- eight probes together: {eight:.3} ms, {:.2} of eight alone", eight / (8.0 * one));
    rate(searched, one) / copy_rate
}
