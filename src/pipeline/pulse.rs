//! Whether the lines go on: since when each is in one turn.
//!
//! Nothing can cut a device short, and whoever is stuck in one notices no deadline, not even those
//! of the orders that wait behind it. So each line notes when a turn begins and when it ends, and
//! others read how long the longest one has taken: `/readyz` and a gauge.
//!
//! Invariant: writing takes no lock. Absent on purpose: what to do about it; a line that hangs is
//! left to whoever restarts the appliance.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Between turns.
const AT_REST: u64 = u64::MAX;

/// One line's.
pub(super) struct Pulse {
    since_us: AtomicU64,
}

impl Pulse {
    pub(super) fn begins(&self, now_us: u64) {
        self.since_us.store(now_us, Ordering::Relaxed);
    }

    pub(super) fn ends(&self) {
        self.since_us.store(AT_REST, Ordering::Relaxed);
    }
}

/// Those of all lines.
#[derive(Default)]
pub(super) struct Pulses(Mutex<Vec<Arc<Pulse>>>);

impl Pulses {
    /// For one more line.
    pub(super) fn another(&self) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse { since_us: AtomicU64::new(AT_REST) });
        self.held().push(Arc::clone(&pulse));
        pulse
    }

    /// What the longest turn under way has taken by now.
    pub(super) fn longest_us(&self, now_us: u64) -> u64 {
        let held = self.held();
        let since_us = held.iter().map(|pulse| pulse.since_us.load(Ordering::Relaxed)).min();
        now_us.saturating_sub(since_us.unwrap_or(AT_REST))
    }

    fn held(&self) -> MutexGuard<'_, Vec<Arc<Pulse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_under_way_counts_and_no_other() {
        let pulses = Pulses::default();
        assert_eq!(pulses.longest_us(1_000), 0, "no line yet");
        let (one, other) = (pulses.another(), pulses.another());
        assert_eq!(pulses.longest_us(1_000), 0, "both rest");
        one.begins(1_000);
        other.begins(1_500);
        assert_eq!(pulses.longest_us(4_000), 3_000);
        one.ends();
        assert_eq!(pulses.longest_us(4_000), 2_500);
        other.ends();
        assert_eq!(pulses.longest_us(4_000), 0);
    }
}
