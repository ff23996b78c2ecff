//! What ends when: closings, expiries, departures, the audit.
//!
//! A duty is due by the civil clock and is never forgotten: what the last honoured second was is
//! kept ([`Honoured`]), and everything between it and now is due, after a night without power as
//! after a clock that leapt. A clock that leaps forward erases too early rather than too late; only
//! the audit, which is evidence, is let go no earlier than a day of running time after a leap. A
//! clock that goes back by more than it may err is one that was wrong before, or is now: which day
//! anybody was kept for is not known, so that the day ends at once, and what follows is counted
//! from the time that it shows.

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

impl Honoured {
    /// Whether the clock went back behind it: it was honoured at a time that has not come.
    #[must_use]
    pub fn lies_ahead_of(self, now_s: i64) -> bool {
        self.until_s.saturating_sub(now_s) > LEAP_S
    }
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
    /// Forget consents that were over before: their proof has been kept for as long as it is to be.
    /// Once a day.
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
    /// Days for which the proof of a consent is kept that is over.
    consent_days: u32,
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
    /// day. Proofs of consents are kept for as long as the audit.
    #[must_use]
    pub fn new(hours: Option<Hours>, audit_days: u32, honoured: Honoured) -> Self {
        let (last, rests_until_us, forgot_on) = (None, 0, None);
        let consent_days = audit_days;
        Self { hours, audit_days, consent_days, honoured, last, rests_until_us, forgot_on }
    }

    /// The same where the proof of a consent is kept for `consent_days` once it is over.
    #[must_use]
    pub fn proving_for(self, consent_days: u32) -> Self {
        Self { consent_days, ..self }
    }

    /// What is due. The same is due again until [`Schedule::honour`] says that it was done.
    #[must_use]
    pub fn step(&mut self, now_s: i64, monotonic_us: u64) -> Vec<Due> {
        self.watch(now_s, monotonic_us);
        let mut due = Vec::new();
        if let Some(hours) = &self.hours {
            let closed_s = match self.honoured.until_s {
                // Never turned before, or at another time than it was: whatever is there is of a
                // day that nobody knows.
                0 => Some(now_s),
                _ if self.honoured.lies_ahead_of(now_s) => Some(now_s),
                until_s => hours.closings_between(until_s, now_s).last().copied(),
            };
            due.extend(closed_s.map(|closed_s| Due::Close { closed_s }));
        }
        due.push(Due::Expire);
        if monotonic_us >= self.rests_until_us {
            let ago_s = |days: u32| now_s.saturating_sub(i64::from(days) * DAY_S);
            due.push(Due::PruneAudit { before_s: ago_s(self.audit_days) });
            if self.forgot_on != Some(now_s.div_euclid(DAY_S)) {
                self.forgot_on = Some(now_s.div_euclid(DAY_S));
                due.push(Due::ForgetConsents { before_s: ago_s(self.consent_days) });
            }
        }
        due
    }

    /// Everything that was due at `now_s` was done; the answer is what must be kept.
    #[must_use]
    pub fn honour(&mut self, now_s: i64) -> Honoured {
        // Back by as little as clocks are put right by, it stays: nothing is honoured twice.
        self.honoured.until_s = match self.honoured.lies_ahead_of(now_s) {
            true => now_s,
            false => self.honoured.until_s.max(now_s),
        };
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
    fn fv_10_a_clock_that_leapt_ahead_and_is_put_right_ends_the_day_once() {
        let mut held = schedule(noon("2026-07-01"));
        // Years ahead, and whoever comes is kept for that time.
        assert!(closes(&held.step(noon("2036-01-01"), 1)));
        let kept = held.honour(noon("2036-01-01"));
        assert!(kept.lies_ahead_of(noon("2026-07-01")));
        assert!(closes(&held.step(noon("2026-07-01") + 60, 2)), "also in the middle of a day");
        assert!(closes(&held.step(noon("2026-07-01") + 60, 3)), "not honoured yet");
        let kept = held.honour(noon("2026-07-01") + 60);
        assert_eq!(kept, Honoured { until_s: noon("2026-07-01") + 60 });
        assert!(!closes(&held.step(noon("2026-07-01") + 120, 4)));
        assert!(closes(&held.step(noon("2026-07-02"), 5)), "closings are found again");
    }

    #[test]
    fn fv_10_a_clock_that_is_put_right_by_seconds_honours_nothing_twice() {
        let closing_s = noon("2026-07-01") + 9 * 3600;
        let mut held = schedule(noon("2026-07-01"));
        assert!(closes(&held.step(closing_s, 0)));
        let kept = held.honour(closing_s);
        assert!(!closes(&held.step(closing_s - LEAP_S, 1)));
        assert_eq!(held.honour(closing_s - LEAP_S), kept);
        assert!(!closes(&held.step(closing_s + 1, 2)));
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
        let mut held = schedule(noon("2026-07-01")).proving_for(31);
        let due = held.step(noon("2026-07-01"), 0);
        assert!(due.contains(&Due::ForgetConsents { before_s: noon("2026-05-31") }));
        assert!(!forgets(&held.step(noon("2026-07-01") + 60, 60_000_000)), "once a day");
    }
}
