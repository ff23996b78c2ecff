//! When a lane's failed source is opened again: a state machine without a clock.
//!
//! The first failure waits a quarter of a second, each further one in a row twice as long, up to
//! half a minute. A source that has delivered for ten seconds counts as sound, and its next failure
//! as the first. There is no last attempt: a camera that is plugged in again after a night serves
//! again.

use super::SourceFault;
use crate::limits::{LANE_FAULTS_MAX, LANE_RETRY_US_FIRST, LANE_RETRY_US_MAX, LANE_SOUND_US};

/// What is remembered of a source's failures.
#[derive(Debug, Default)]
pub(super) struct Supervision {
    /// Failures in a row.
    attempts: u32,
    opened_us: u64,
    /// Pictures in a row that were not delivered.
    faults: u32,
}

impl Supervision {
    /// The source was opened.
    pub(super) fn opened(&mut self, now_us: u64) {
        self.opened_us = now_us;
        self.faults = 0;
    }

    /// A picture came.
    pub(super) fn delivered(&mut self, now_us: u64) {
        self.faults = 0;
        if now_us.saturating_sub(self.opened_us) >= LANE_SOUND_US {
            self.attempts = 0;
        }
    }

    /// A picture did not come; whether the source itself counts as failed.
    pub(super) fn fails(&mut self, fault: &SourceFault) -> bool {
        self.faults = self.faults.saturating_add(1);
        !fault.spares_source() || self.faults >= LANE_FAULTS_MAX
    }

    /// The source failed: the number of failures in a row, and when it is opened again.
    pub(super) fn failed(&mut self, now_us: u64) -> (u32, u64) {
        let doublings = self.attempts.min(LANE_RETRY_US_MAX.ilog2());
        let wait_us = LANE_RETRY_US_FIRST.saturating_mul(1 << doublings).min(LANE_RETRY_US_MAX);
        self.attempts = self.attempts.saturating_add(1);
        (self.attempts, now_us.saturating_add(wait_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: SourceFault = SourceFault::FrameTooLarge { most: 1 };

    #[test]
    fn waits_double_up_to_half_a_minute_and_begin_anew_after_sound_delivery() {
        let mut supervision = Supervision::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            supervision.opened(1_000);
            supervision.delivered(1_000 + LANE_SOUND_US - 1);
            waits.push(supervision.failed(0).1 / 1_000);
        }
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        supervision.opened(1_000);
        supervision.delivered(1_000 + LANE_SOUND_US);
        assert_eq!(supervision.failed(7), (1, 7 + LANE_RETRY_US_FIRST));
        let mut tired = Supervision { attempts: u32::MAX, ..Supervision::default() };
        assert_eq!(tired.failed(0).1, LANE_RETRY_US_MAX);
    }

    #[test]
    fn a_bad_picture_spares_the_source_and_many_in_a_row_do_not() {
        let mut supervision = Supervision::default();
        for _ in 1..LANE_FAULTS_MAX {
            assert!(!supervision.fails(&FILE));
        }
        supervision.delivered(0);
        for _ in 1..LANE_FAULTS_MAX {
            assert!(!supervision.fails(&FILE));
        }
        assert!(supervision.fails(&FILE));
        assert!(Supervision::default().fails(&SourceFault::Over));
    }
}
