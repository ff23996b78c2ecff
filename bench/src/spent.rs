//! Time, and what many measurements of it say.

use std::time::{Duration, Instant};

/// Nanoseconds that `work` takes.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock, and only here")]
pub(crate) fn nanoseconds(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Lets the other side's threads stop spinning before the next round.
#[expect(clippy::disallowed_methods, reason = "rounds must not run into each other")]
pub(crate) fn rest() {
    std::thread::sleep(Duration::from_millis(30));
}

/// Measurements of one thing.
#[derive(Debug, Default)]
pub(crate) struct Measured(Vec<u64>);

impl Measured {
    /// Adds some.
    pub(crate) fn extend(&mut self, nanoseconds: impl IntoIterator<Item = u64>) {
        self.0.extend(nanoseconds);
        self.0.sort_unstable();
    }

    /// The middle one, in milliseconds.
    pub(crate) fn median_ms(&self) -> f64 {
        self.0.get(self.0.len() / 2).map_or(f64::NAN, |&ns| ns as f64 / 1e6)
    }

    /// The one that so many percent do not exceed, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(at).map_or(f64::NAN, |&ns| ns as f64 / 1e6)
    }

    /// The least, in milliseconds.
    pub(crate) fn least_ms(&self) -> f64 {
        self.0.first().map_or(f64::NAN, |&ns| ns as f64 / 1e6)
    }
}
