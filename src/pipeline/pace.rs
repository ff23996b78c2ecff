//! How fast the pipeline is, how much lies ahead of a newcomer, and so whether its deadline can be
//! met.
//!
//! ```text
//! needed = (frames ahead of it + its own) × µs per frame × 9/8 + µs from the last template to the
//!          answer
//! ```
//!
//! What lies ahead is every frame that was claimed before at its own priority or a more urgent one.
//! The times are measured: each batch tells what a frame of it took, and the estimate moves an
//! eighth of the way. The ninth eighth is for the variance of what lies ahead: a request that is
//! let in and then times out has cost an engine what the next one needed.
//!
//! Before anything was measured nobody is refused. Whoever turns out to be late all the same is
//! answered as late.
//!
//! Invariant: a claim counts from the moment it is made until it is dropped, once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Priority, Refused};

/// Weight of what was known against what was measured: 7 of 8 parts.
const MEMORY: u64 = 7;

/// A measured time, smoothed; read by any thread. Of two that measure at the same moment one may
/// be forgotten: the estimate follows all the same.
#[derive(Debug, Default)]
struct Smoothed {
    us: AtomicU64,
}

impl Smoothed {
    fn measured(&self, us: u64) {
        let known = self.us.load(Ordering::Relaxed);
        let next = match known {
            0 => us,
            known => (known.saturating_mul(MEMORY).saturating_add(us)) / (MEMORY + 1),
        };
        self.us.store(next, Ordering::Relaxed);
    }

    fn us(&self) -> u64 {
        self.us.load(Ordering::Relaxed)
    }
}

/// The pace of both lines, and what they were asked for.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Microseconds per frame of a batch that was detected, and of one that was embedded.
    detect: Smoothed,
    embed: Smoothed,
    /// Microseconds from the last template to the answer.
    matching: Smoothed,
    /// Frames that were claimed, by priority.
    claimed: [AtomicU64; Priority::ALL.len()],
}

impl Pace {
    pub(super) fn detected(&self, frames: usize, us: u64) {
        self.detect.measured(us / frames.max(1) as u64);
    }

    pub(super) fn embedded(&self, frames: usize, us: u64) {
        self.embed.measured(us / frames.max(1) as u64);
    }

    pub(super) fn matched(&self, us: u64) {
        self.matching.measured(us);
    }

    /// About what one frame takes from detection, or from embedding, to its answer.
    pub(super) fn rest_us(&self, detected: bool) -> u64 {
        let detect_us = if detected { 0 } else { self.detect.us() };
        detect_us.saturating_add(self.embed.us()).saturating_add(self.matching.us())
    }

    /// Claims the engines for `frames` frames that are worth nothing from `deadline_us` on.
    pub(super) fn claim(
        self: &Arc<Self>,
        frames: u64,
        priority: Priority,
        now_us: u64,
        deadline_us: u64,
    ) -> Result<Claim, Refused> {
        // Counted first, so that two who come together see one another.
        self.claimed[priority as usize].fetch_add(frames, Ordering::Relaxed);
        let claim = Claim { pace: Arc::clone(self), frames, priority };
        let rows = &self.claimed[..=priority as usize];
        let ahead: u64 = rows.iter().map(|row| row.load(Ordering::Relaxed)).sum();
        let needed_us = self.needed_us(ahead);
        let left_us = deadline_us.saturating_sub(now_us);
        if needed_us <= left_us {
            return Ok(claim);
        }
        Err(Refused::TooLate {
            needed_ms: needed_us.div_ceil(1_000),
            // When as much has been worked off as there is too much of.
            retry_after_s: (needed_us - left_us).div_ceil(1_000_000).max(1),
        })
    }

    fn needed_us(&self, frames: u64) -> u64 {
        let frame_us = self.detect.us().saturating_add(self.embed.us());
        let engine_us = frames.saturating_mul(frame_us);
        engine_us.saturating_add(engine_us / 8).saturating_add(self.matching.us())
    }
}

/// Frames that the engines are expected to work on. Dropping it gives the time back.
pub struct Claim {
    pace: Arc<Pace>,
    frames: u64,
    priority: Priority,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.pace.claimed[self.priority as usize].fetch_sub(self.frames, Ordering::Relaxed);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({} frames, {:?})", self.frames, self.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 ms per frame, 2 ms to match.
    fn measured() -> Arc<Pace> {
        let pace = Arc::new(Pace::default());
        pace.detected(2, 8_000);
        pace.embedded(1, 6_000);
        pace.matched(2_000);
        pace
    }

    fn claim(pace: &Arc<Pace>, priority: Priority, left_us: u64) -> Result<Claim, Refused> {
        pace.claim(2, priority, 1_000, 1_000 + left_us)
    }

    #[test]
    fn whoever_cannot_be_answered_in_time_is_told_at_once_and_when_to_come_back() {
        let unknown = Arc::new(Pace::default());
        assert!(claim(&unknown, Priority::Gate, 1).is_ok(), "nothing is known of the pace yet");
        let pace = measured();
        let first = claim(&pace, Priority::Gate, 24_500).expect("2 × 10 × 9/8 + 2 = 24.5 ms");
        let refused = claim(&pace, Priority::Gate, 46_999).expect_err("4 × 10 × 9/8 + 2 = 47 ms");
        assert_eq!(refused, Refused::TooLate { needed_ms: 47, retry_after_s: 1 });
        let second = claim(&pace, Priority::Gate, 47_000).expect("the refused one left no trace");
        drop((first, second));
        assert!(claim(&pace, Priority::Gate, 24_500).is_ok(), "all is given back");
        let hopeless = pace.claim(600, Priority::Gate, 0, 1_000_000);
        let expected = Refused::TooLate { needed_ms: 6_752, retry_after_s: 6 };
        assert_eq!(hopeless.expect_err("6.752 s of work"), expected);
    }

    #[test]
    fn an_enrolment_waits_for_gates_and_a_gate_for_no_enrolment() {
        let pace = measured();
        let enrolment = claim(&pace, Priority::Enrolment, 24_500).expect("alone");
        let gate = claim(&pace, Priority::Gate, 24_500).expect("it goes first");
        assert!(claim(&pace, Priority::Enrolment, 60_000).is_err(), "6 × 10 × 9/8 + 2 = 69.5 ms");
        drop((enrolment, gate));
    }

    #[test]
    fn the_estimate_follows_what_is_measured() {
        let pace = measured();
        for _ in 0..60 {
            pace.detected(8, 8_000);
            pace.embedded(8, 8_000);
        }
        assert!((2_000..2_020).contains(&pace.needed_us(1).saturating_sub(2_250)), "2 ms a frame");
        assert!(pace.rest_us(true) < pace.rest_us(false));
    }
}
