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
//! An estimate can be wrong, and only work corrects it. So it never stands between the engines and
//! the first request for them: with nothing ahead of it, nobody is refused, and what is measured
//! then counts. And it ages: a pace of long ago says little of now, and halves with every
//! [`PACE_HALF_LIFE_US`] in which nothing was measured. One stall, one gallery that was pinned, one
//! engine that hung, refuses a few requests for a while, and none for ever. The time in which
//! another engine takes over is no pace and is not measured (`engine_line.rs`).
//!
//! Comparing 1:1 takes microseconds and a search may take seconds, so each has a time of its own.
//!
//! Before anything was measured nobody is refused. Whoever turns out to be late all the same is
//! answered as late.
//!
//! Invariant: a claim counts from the moment it is made until it is dropped, once; one with nothing
//! ahead of it is granted.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Priority, Refused};
use crate::limits::PACE_HALF_LIFE_US;

/// Weight of what was known against what was measured: 7 of 8 parts.
const MEMORY: u64 = 7;

/// What follows when the templates are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// 1:1, or nothing at all.
    Compare,
    /// 1:N.
    Search,
}

/// A measured time, smoothed and ageing; read by any thread. Of two that measure at the same moment
/// one may be forgotten, and who reads meanwhile may see a new time with the old one's age: the
/// estimate follows all the same.
#[derive(Debug, Default)]
struct Smoothed {
    us: AtomicU64,
    /// When it was measured last.
    at_us: AtomicU64,
}

impl Smoothed {
    fn measured(&self, us: u64, now_us: u64) {
        let next = match self.us(now_us) {
            0 => us,
            known => (known.saturating_mul(MEMORY).saturating_add(us)) / (MEMORY + 1),
        };
        self.us.store(next, Ordering::Relaxed);
        self.at_us.store(now_us, Ordering::Relaxed);
    }

    /// The estimate, at its age.
    fn us(&self, now_us: u64) -> u64 {
        let age_us = now_us.saturating_sub(self.at_us.load(Ordering::Relaxed));
        let halvings = u32::try_from(age_us / PACE_HALF_LIFE_US).unwrap_or(u32::MAX);
        self.us.load(Ordering::Relaxed).checked_shr(halvings).unwrap_or(0)
    }
}

/// The pace of both lines, and what they were asked for.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Microseconds per frame of a batch that was detected, and of one that was embedded.
    detect: Smoothed,
    embed: Smoothed,
    /// Microseconds from the last template to the answer, by [`Matching`].
    matching: [Smoothed; 2],
    /// Frames that were claimed, by priority.
    claimed: [AtomicU64; Priority::ALL.len()],
}

impl Pace {
    pub(super) fn detected(&self, frames: usize, us: u64, now_us: u64) {
        self.detect.measured(us / frames.max(1) as u64, now_us);
    }

    pub(super) fn embedded(&self, frames: usize, us: u64, now_us: u64) {
        self.embed.measured(us / frames.max(1) as u64, now_us);
    }

    pub(super) fn matched(&self, matching: Matching, us: u64, now_us: u64) {
        self.matching[matching as usize].measured(us, now_us);
    }

    /// About what one frame takes from detection, or from embedding, to its answer; whichever
    /// answer takes longer, since a batch that closes too early costs less than a deadline.
    pub(super) fn rest_us(&self, detected: bool, now_us: u64) -> u64 {
        let detect_us = if detected { 0 } else { self.detect.us(now_us) };
        let [compare_us, search_us] = self.matching.each_ref().map(|held| held.us(now_us));
        let matching_us = compare_us.max(search_us);
        detect_us.saturating_add(self.embed.us(now_us)).saturating_add(matching_us)
    }

    /// Claims the engines for `frames` frames that are worth nothing from `deadline_us` on.
    pub(super) fn claim(
        self: &Arc<Self>,
        frames: u64,
        (priority, matching): (Priority, Matching),
        now_us: u64,
        deadline_us: u64,
    ) -> Result<Claim, Refused> {
        let (urgent, own) = self.claimed.split_at(priority as usize);
        // Counted first, so that of two who come together one is ahead of the other, and one only.
        let before = own[0].fetch_add(frames, Ordering::Relaxed);
        let claim = Claim { pace: Arc::clone(self), frames, priority };
        let ahead = before + urgent.iter().map(|row| row.load(Ordering::Relaxed)).sum::<u64>();
        let needed_us = self.needed_us(ahead + frames, matching, now_us);
        let left_us = deadline_us.saturating_sub(now_us);
        if ahead == 0 || needed_us <= left_us {
            return Ok(claim);
        }
        Err(Refused::TooLate {
            needed_ms: needed_us.div_ceil(1_000),
            // When as much has been worked off as there is too much of.
            retry_after_s: (needed_us - left_us).div_ceil(1_000_000).max(1),
        })
    }

    fn needed_us(&self, frames: u64, matching: Matching, now_us: u64) -> u64 {
        let frame_us = self.detect.us(now_us).saturating_add(self.embed.us(now_us));
        let engine_us = frames.saturating_mul(frame_us);
        let matching_us = self.matching[matching as usize].us(now_us);
        engine_us.saturating_add(engine_us / 8).saturating_add(matching_us)
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

    const NOW_US: u64 = 1_000;

    /// 10 ms per frame, 2 ms to compare.
    fn measured() -> Arc<Pace> {
        let pace = Arc::new(Pace::default());
        pace.detected(2, 8_000, NOW_US);
        pace.embedded(1, 6_000, NOW_US);
        pace.matched(Matching::Compare, 2_000, NOW_US);
        pace
    }

    fn claim(pace: &Arc<Pace>, priority: Priority, left_us: u64) -> Result<Claim, Refused> {
        pace.claim(2, (priority, Matching::Compare), NOW_US, NOW_US + left_us)
    }

    #[test]
    fn whoever_cannot_be_answered_in_time_is_told_at_once_and_when_to_come_back() {
        let pace = measured();
        let first = claim(&pace, Priority::Gate, 24_500).expect("2 × 10 × 9/8 + 2 = 24.5 ms");
        let refused = claim(&pace, Priority::Gate, 46_999).expect_err("4 × 10 × 9/8 + 2 = 47 ms");
        assert_eq!(refused, Refused::TooLate { needed_ms: 47, retry_after_s: 1 });
        let second = claim(&pace, Priority::Gate, 47_000).expect("the refused one left no trace");
        drop(second);
        let gate = (Priority::Gate, Matching::Compare);
        let hopeless = pace.claim(598, gate, NOW_US, NOW_US + 1_000_000);
        let expected = Refused::TooLate { needed_ms: 6_752, retry_after_s: 6 };
        assert_eq!(hopeless.expect_err("6.752 s of work"), expected);
        drop(first);
        assert!(pace.claimed.iter().all(|row| row.load(Ordering::Relaxed) == 0), "all given back");
    }

    #[test]
    fn with_nothing_ahead_nobody_is_refused_whatever_was_measured() {
        let pace = measured();
        pace.embedded(1, 120_000_000, NOW_US);
        let first = claim(&pace, Priority::Gate, 8_000_000).expect("it will tell what it takes");
        assert!(claim(&pace, Priority::Gate, 8_000_000).is_err(), "one is ahead of it");
        drop(first);
        let enrolment = claim(&pace, Priority::Enrolment, 1).expect("at rest");
        claim(&pace, Priority::Gate, 1).expect("an enrolment is not ahead of a gate");
        drop(enrolment);
    }

    #[test]
    fn what_was_measured_long_ago_counts_little() {
        let pace = measured();
        pace.detected(1, 120_000_000, NOW_US);
        let both_at = |now_us: u64| {
            let gate = (Priority::Gate, Matching::Compare);
            let deadline_us = now_us + 8_000_000;
            let _ahead = pace.claim(2, gate, now_us, deadline_us).expect("at rest");
            pace.claim(2, gate, now_us, deadline_us).is_ok()
        };
        assert!(!both_at(NOW_US), "15 s a frame");
        assert!(!both_at(NOW_US + 3 * PACE_HALF_LIFE_US), "1.9 s a frame");
        assert!(both_at(NOW_US + 4 * PACE_HALF_LIFE_US), "0.9 s a frame");
        assert_eq!(pace.rest_us(false, NOW_US + 64 * PACE_HALF_LIFE_US), 0, "forgotten");
        // What is measured next is weighed against what is left of it.
        pace.detected(1, 8_000, NOW_US + 40 * PACE_HALF_LIFE_US);
        assert!(pace.detect.us(NOW_US + 40 * PACE_HALF_LIFE_US) <= 8_000);
    }

    #[test]
    fn a_slow_search_refuses_no_comparison() {
        let pace = measured();
        pace.matched(Matching::Search, 9_000_000, NOW_US);
        let _ahead = claim(&pace, Priority::Gate, 24_500).expect("at rest");
        claim(&pace, Priority::Gate, 8_000_000).expect("it searches for nobody");
        let search = (Priority::Gate, Matching::Search);
        assert!(pace.claim(1, search, NOW_US, NOW_US + 8_000_000).is_err(), "9 s");
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
            pace.detected(8, 8_000, NOW_US);
            pace.embedded(8, 8_000, NOW_US);
        }
        let needed_us = pace.needed_us(1, Matching::Compare, NOW_US);
        assert!((2_000..2_020).contains(&needed_us.saturating_sub(2_250)), "2 ms a frame");
        assert!(pace.rest_us(true, NOW_US) < pace.rest_us(false, NOW_US));
    }
}
