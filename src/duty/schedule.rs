//! What ends when: closings, expiries, departures, the audit.
//!
//! A duty is due by the civil clock and is never forgotten: what the last honoured second was is
//! kept ([`Honoured`]), and everything between it and now is due, after a night without power as
//! after a clock that leapt. A clock that goes back delays nothing that was honoured, and honours
//! nothing twice. A clock that leaps forward erases too early rather than too late; only the audit,
//! which is evidence, is let go no earlier than a day of running time after a leap.

use serde::{Deserialize, Serialize};

use crate::profile::civil::Hours;

/// Civil seconds by which the clock may differ from the monotonic one before that is a leap.
const LEAP_S: i64 = 120;
/// Running time after a leap in which the audit is not let go, in microseconds: one day.
const LEAP_REST_US: u64 = 24 * 60 * 60 * 1_000_000;
const DAY_S: i64 = 24 * 60 * 60;

/// What must outlive the process: until when everything was honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Honoured {
    /// Civil time in seconds, UTC.
    pub until_s: i64,
}

/// What is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The day has ended: destroy the daily key, remove what it sealed, begin anew.
    Close {
        /// The newest closing that was not honoured.
        closed_s: i64,
    },
    /// Erase what has expired.
    Expire,
    /// Let go of audit files whose newest entry is older.
    PruneAudit {
        /// Civil time in seconds, UTC.
        before_s: i64,
    },
    /// Forget consents that were over before: their proof has been kept as long as the audit. Once
    /// a day.
    ForgetConsents {
        /// Civil time in seconds, UTC.
        before_s: i64,
    },
}

/// What ends when, at one site.
#[derive(Debug)]
pub struct Schedule {
    hours: Option<Hours>,
    audit_days: u32,
    honoured: Honoured,
    /// Civil and monotonic time of the last turn.
    last: Option<(i64, u64)>,
    /// Monotonic time until which the audit rests after a leap.
    rests_until_us: u64,
    /// Day (UTC) on which consents were forgotten last.
    forgot_on: Option<i64>,
}

impl Schedule {
    /// A schedule that goes on from `honoured`. `hours` for a site whose galleries end with the
    /// day.
    #[must_use]
    pub fn new(hours: Option<Hours>, audit_days: u32, honoured: Honoured) -> Self {
        Self { hours, audit_days, honoured, last: None, rests_until_us: 0, forgot_on: None }
    }

    /// What is due. The same is due again until [`Schedule::honour`] says that it was done.
    #[must_use]
    pub fn step(&mut self, now_s: i64, monotonic_us: u64) -> Vec<Due> {
        self.watch(now_s, monotonic_us);
        let mut due = Vec::new();
        if let Some(hours) = &self.hours {
            let closed_s = match self.honoured.until_s {
                // Never turned before: whatever is there is of a day that nobody knows.
                0 => Some(now_s),
                until_s => hours.closings_between(until_s, now_s).last().copied(),
            };
            due.extend(closed_s.map(|closed_s| Due::Close { closed_s }));
        }
        due.push(Due::Expire);
        if monotonic_us >= self.rests_until_us {
            let kept_s = i64::from(self.audit_days) * DAY_S;
            let before_s = now_s.saturating_sub(kept_s);
            due.push(Due::PruneAudit { before_s });
            if self.forgot_on != Some(now_s.div_euclid(DAY_S)) {
                self.forgot_on = Some(now_s.div_euclid(DAY_S));
                due.push(Due::ForgetConsents { before_s });
            }
        }
        due
    }

    /// Everything that was due at `now_s` was done; the answer is what must be kept.
    #[must_use]
    pub fn honour(&mut self, now_s: i64) -> Honoured {
        // Never back: what was honoured stays so when the clock is set back.
        self.honoured.until_s = self.honoured.until_s.max(now_s);
        self.honoured
    }

    fn watch(&mut self, now_s: i64, monotonic_us: u64) {
        if let Some((last_s, last_us)) = self.last {
            let ran_s = i64::try_from(monotonic_us.saturating_sub(last_us) / 1_000_000);
            let leapt_s = now_s.saturating_sub(last_s).saturating_sub(ran_s.unwrap_or(i64::MAX));
            if leapt_s > LEAP_S {
                self.rests_until_us = monotonic_us.saturating_add(LEAP_REST_US);
            }
        }
        self.last = Some((now_s, monotonic_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::civil::date_s;

    fn noon(day: &str) -> i64 {
        date_s(day).expect("a day") + 12 * 3600
    }

    fn schedule(until_s: i64) -> Schedule {
        let hours = Hours::new("Europe/Copenhagen", "10:00", "23:00").expect("hours");
        Schedule::new(Some(hours), 184, Honoured { until_s })
    }

    fn closes(due: &[Due]) -> bool {
        due.iter().any(|due| matches!(due, Due::Close { .. }))
    }

    #[test]
    fn fv_10_a_closing_is_due_once_also_after_a_restart_and_a_leap() {
        let mut held = schedule(noon("2026-07-01"));
        assert!(!closes(&held.step(noon("2026-07-01") + 60, 0)));
        let night_s = noon("2026-07-01") + 10 * 3600;
        assert!(closes(&held.step(night_s, 1)), "23:00 in Copenhagen is 21:00 UTC");
        assert!(closes(&held.step(night_s, 2)), "not honoured yet");
        let kept = held.honour(night_s);
        assert!(!closes(&held.step(night_s + 60, 3)));
        // Off over three closings, then on again.
        let hours = Hours::new("Europe/Copenhagen", "10:00", "23:00").expect("hours");
        let mut restarted = Schedule::new(Some(hours), 184, kept);
        assert!(closes(&restarted.step(noon("2026-07-04"), 0)));
    }

    #[test]
    fn fv_10_a_clock_set_back_honours_nothing_twice_and_forgets_nothing() {
        let mut held = schedule(noon("2026-07-01"));
        let kept = held.honour(noon("2026-07-03"));
        assert_eq!(held.honour(noon("2026-06-01")), kept);
        assert!(!closes(&held.step(noon("2026-06-20"), 0)));
        assert!(closes(&held.step(noon("2026-07-04"), 1)));
        assert!(closes(&schedule(0).step(noon("2026-07-01"), 0)), "a first start begins empty");
    }

    #[test]
    fn a_leap_of_the_clock_lets_no_audit_go_for_a_day() {
        let prunes = |due: &[Due]| due.iter().any(|due| matches!(due, Due::PruneAudit { .. }));
        let mut held = schedule(noon("2026-07-01"));
        assert!(prunes(&held.step(noon("2026-07-01"), 0)));
        assert!(!prunes(&held.step(noon("2036-07-01"), 60_000_000)));
        assert!(prunes(&held.step(noon("2036-07-02"), 60_000_000 + LEAP_REST_US)));
        let forgets = |due: &[Due]| due.iter().any(|due| matches!(due, Due::ForgetConsents { .. }));
        let mut held = schedule(noon("2026-07-01"));
        assert!(forgets(&held.step(noon("2026-07-01"), 0)));
        assert!(!forgets(&held.step(noon("2026-07-01") + 60, 60_000_000)), "once a day");
    }
}
