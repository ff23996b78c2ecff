//! Clocks. The real one is the only reader of the system's time; everything else is handed one.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Time as the appliance sees it.
pub trait Clock: Send + Sync {
    /// Microseconds since the clock was made; never goes back.
    fn monotonic_us(&self) -> u64;
    /// Seconds since 1970-01-01 UTC; may jump.
    fn civil_s(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts counting now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn civil_s(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves when it is told to.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    monotonic_us: AtomicU64,
    civil_s: AtomicI64,
}

impl SimulatedClock {
    /// Stands at zero and at `civil_s`.
    #[must_use]
    pub fn at(civil_s: i64) -> Self {
        Self { monotonic_us: AtomicU64::new(0), civil_s: AtomicI64::new(civil_s) }
    }

    /// Moves both clocks forward.
    pub fn advance_us(&self, us: u64) {
        let before = self.monotonic_us.fetch_add(us, Ordering::SeqCst);
        let seconds = (before + us) / 1_000_000 - before / 1_000_000;
        self.civil_s.fetch_add(i64::try_from(seconds).unwrap_or(0), Ordering::SeqCst);
    }

    /// Makes the civil clock jump, as an operator or a time server can.
    pub fn set_civil_s(&self, civil_s: i64) {
        self.civil_s.store(civil_s, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }

    fn civil_s(&self) -> i64 {
        self.civil_s.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_moves_only_when_told() {
        let clock = SimulatedClock::at(1_000);
        clock.advance_us(1_500_000);
        clock.advance_us(500_000);
        assert_eq!((clock.monotonic_us(), clock.civil_s()), (2_000_000, 1_002));
        clock.set_civil_s(5);
        assert_eq!((clock.monotonic_us(), clock.civil_s()), (2_000_000, 5));
    }

    #[test]
    fn the_system_clock_does_not_go_back() {
        let clock = SystemClock::start();
        let first = clock.monotonic_us();
        assert!(clock.monotonic_us() >= first && clock.civil_s() > 1_600_000_000);
    }
}
