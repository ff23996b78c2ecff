//! `start`: from the start of the release binary's process to its first "ready", with cached
//! models; and the size of the binary. The file system's cache is warm: what is measured is the
//! program.

use std::{fs, io, path::PathBuf};

use clap::Args;

use crate::served::{Served, median_us, release_binary};

/// What the README promises.
const READY_US_MAX: u64 = 1_000_000;
const BINARY_BYTES_MAX: u64 = 40_000_000;

/// Options of `start`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often it is started.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// The binary; without it, the `portcullis` beside this program.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Compute threads; 0 for one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// One run, not held to the promises: proves that the measurement works.
    #[arg(long)]
    smoke: bool,
}

/// Runs the measurement; true when both promises hold, or none is asked for.
///
/// # Errors
/// When the appliance does not become ready.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    let binary = options.binary.clone().map_or_else(release_binary, Ok)?;
    let bytes = fs::metadata(&binary)?.len();
    let mut ready_us = Vec::new();
    let runs = if options.smoke { 1 } else { options.runs.max(1) };
    for _ in 0..runs {
        ready_us.push(Served::start(&binary, options.threads)?.ready_us);
    }
    let p50 = median_us(&mut ready_us);
    let worst = ready_us.last().copied().unwrap_or(0);
    let ms = |us: u64| us as f64 / 1e3;
    println!("start, {} runs of {}", ready_us.len(), binary.display());
    println!(
        "  ready    p50 {:.0} ms   worst {:.0} ms   (promised: at most {:.0} ms)",
        ms(p50),
        ms(worst),
        ms(READY_US_MAX)
    );
    println!(
        "  binary   {:.1} MB   (promised: at most {:.0} MB)",
        bytes as f64 / 1e6,
        BINARY_BYTES_MAX as f64 / 1e6
    );
    Ok(options.smoke || (worst <= READY_US_MAX && bytes <= BINARY_BYTES_MAX))
}
