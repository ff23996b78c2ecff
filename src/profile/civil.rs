//! Civil time: what a clock on the wall of the site shows, and when its day ends.
//!
//! A closing is an instant, found anew from the civil date each time, so that summer time moves it
//! as it moves the clock on the wall. Whoever carries duties out asks which closings lie between
//! the last one that was honoured and now ([`Hours::closings_between`]): a job that was late, a
//! machine that was off and a clock that leapt forward all find every closing that they missed.
//!
//! Invariant: pure; the time comes in as seconds, the rules of the zones are part of the program.

use jiff::{
    Timestamp,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

/// Closings that are told one by one; of more, the last ones.
const CLOSINGS_MAX: usize = 400;

/// Why hours are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// No zone of that name.
    #[error("`{zone}` is no time zone; write one of the IANA names, such as Europe/Copenhagen")]
    Zone {
        /// What was written.
        zone: String,
    },
    /// Not a time of day.
    #[error("`{time}` is no time of day; write it as 22:00")]
    Time {
        /// What was written.
        time: String,
    },
}

/// When a site is open, each day. A closing that is not after its opening lies on the next day.
#[derive(Debug, Clone)]
pub struct Hours {
    zone: TimeZone,
    opens: Time,
    closes: Time,
}

impl Hours {
    /// Hours from `opens` to `closes` (`HH:MM`) in the zone of that name.
    ///
    /// # Errors
    /// [`HoursError`].
    pub fn new(zone: &str, opens: &str, closes: &str) -> Result<Self, HoursError> {
        let held = TimeZone::get(zone).map_err(|_| HoursError::Zone { zone: zone.to_owned() })?;
        Ok(Self { zone: held, opens: time(opens)?, closes: time(closes)? })
    }

    /// Whether the site is open at `now_s`.
    #[must_use]
    pub fn is_open(&self, now_s: i64) -> bool {
        let Some(today) = self.date(now_s) else { return false };
        let days = [today.yesterday().ok(), Some(today)];
        let spans = days.into_iter().flatten().filter_map(|day| self.span(day));
        spans.into_iter().any(|(opens_s, closes_s)| (opens_s..closes_s).contains(&now_s))
    }

    /// First closing after `now_s`.
    #[must_use]
    pub fn next_closing(&self, now_s: i64) -> Option<i64> {
        let today = self.date(now_s)?;
        let days = [today.yesterday().ok()?, today, today.tomorrow().ok()?];
        let closings = days.into_iter().filter_map(|day| Some(self.span(day)?.1));
        closings.into_iter().find(|&closes_s| closes_s > now_s)
    }

    /// Closings after `since_s` and not after `now_s`, oldest first. A clock that went back finds
    /// none.
    #[must_use]
    pub fn closings_between(&self, since_s: i64, now_s: i64) -> Vec<i64> {
        let mut found = Vec::new();
        let Some(mut day) = self.date(now_s).and_then(|today| today.tomorrow().ok()) else {
            return found;
        };
        // Backwards from now: what lies furthest back matters least.
        while found.len() < CLOSINGS_MAX {
            let Some((_, closes_s)) = self.span(day) else { break };
            if closes_s <= since_s {
                break;
            }
            if closes_s <= now_s {
                found.push(closes_s);
            }
            let Ok(before) = day.yesterday() else { break };
            day = before;
        }
        found.reverse();
        found
    }

    fn date(&self, at_s: i64) -> Option<Date> {
        let at = Timestamp::from_second(at_s).ok()?;
        Some(self.zone.to_datetime(at).date())
    }

    /// Opening and closing of the day that begins with `day`'s opening.
    fn span(&self, day: Date) -> Option<(i64, i64)> {
        let last = if self.closes > self.opens { day } else { day.tomorrow().ok()? };
        Some((self.instant(day, self.opens)?, self.instant(last, self.closes)?))
    }

    /// A time that summer time leaves out is the instant after the gap as far as it lies in it; of
    /// one that comes twice it is the first: the day ends no later than the wall's clock says.
    fn instant(&self, day: Date, time: Time) -> Option<i64> {
        let civil = day.to_datetime(time);
        let instant = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some(instant.as_second())
    }
}

fn time(text: &str) -> Result<Time, HoursError> {
    let wrong = || HoursError::Time { time: text.to_owned() };
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |part: &str| {
        let is_two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| part.parse::<i8>().ok()).flatten().ok_or_else(wrong)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| wrong())
}

/// The day on which the `days`th working day after the day of `since_s` falls, as a calendar of
/// `zone` has it: the last one on which something that is due within them is in time. Monday to
/// Friday are working days; holidays are not known, so that it comes too early rather than too
/// late.
#[must_use]
pub fn due_day(zone: &str, since_s: i64, days: u32) -> Option<String> {
    let zone = TimeZone::get(zone).ok()?;
    let mut day = zone.to_datetime(Timestamp::from_second(since_s).ok()?).date();
    let mut left = days;
    while left > 0 {
        day = day.tomorrow().ok()?;
        if !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) {
            left -= 1;
        }
    }
    Some(day.to_string())
}

/// The day that it is at `now_s` in `zone`.
#[must_use]
pub fn day_at(zone: &str, now_s: i64) -> Option<String> {
    due_day(zone, now_s, 0)
}

/// Seconds of a civil date's beginning in UTC; `None` for what is no date, such as 2026-02-30.
#[must_use]
pub fn date_s(text: &str) -> Option<i64> {
    let date: Date = text.parse().ok()?;
    let instant = TimeZone::UTC.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
    Some(instant.compatible().ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: i64 = 3600;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("an instant").as_second()
    }

    fn tivoli() -> Hours {
        Hours::new("Europe/Copenhagen", "10:00", "23:00").expect("a zone and two times")
    }

    #[test]
    fn fv_10_a_day_has_one_closing_also_when_summer_time_begins_and_ends() {
        let hours = tivoli();
        let march = hours.closings_between(at("2026-03-28T00:00:00Z"), at("2026-03-30T00:00:00Z"));
        assert_eq!(march, [at("2026-03-28T22:00:00Z"), at("2026-03-29T21:00:00Z")]);
        let autumn = hours.closings_between(at("2026-10-24T00:00:00Z"), at("2026-10-26T00:00:00Z"));
        assert_eq!(autumn, [at("2026-10-24T21:00:00Z"), at("2026-10-25T22:00:00Z")]);
        let winter = at("2026-10-25T22:00:00Z") - at("2026-10-24T21:00:00Z");
        assert_eq!(winter, 25 * HOUR_S);
    }

    #[test]
    fn fv_10_a_closing_in_the_gap_and_in_the_fold_comes_once() {
        let night = Hours::new("Europe/Copenhagen", "18:00", "02:30").expect("hours over midnight");
        let gap = night.closings_between(at("2026-03-28T12:00:00Z"), at("2026-03-29T12:00:00Z"));
        assert_eq!(gap, [at("2026-03-29T01:30:00Z")]);
        let fold = night.closings_between(at("2026-10-24T12:00:00Z"), at("2026-10-25T12:00:00Z"));
        assert_eq!(fold, [at("2026-10-25T00:30:00Z")], "the first of the two");
        assert!(
            night.is_open(at("2026-06-01T23:00:00Z")) && !night.is_open(at("2026-06-01T01:00:00Z"))
        );
    }

    #[test]
    fn fv_10_what_was_missed_is_found_and_a_clock_that_goes_back_finds_nothing() {
        let hours = tivoli();
        let (since, now) = (at("2026-06-01T12:00:00Z"), at("2026-06-05T12:00:00Z"));
        assert_eq!(hours.closings_between(since, now).len(), 4);
        assert_eq!(hours.closings_between(now, since), [0_i64; 0]);
        assert_eq!(hours.next_closing(now), Some(at("2026-06-05T21:00:00Z")));
        assert_eq!(
            hours.next_closing(at("2026-06-05T21:00:00Z")),
            Some(at("2026-06-06T21:00:00Z"))
        );
        assert!(hours.is_open(now) && !hours.is_open(at("2026-06-05T21:00:00Z")));
        assert!(!hours.closings_between(i64::MIN, now).is_empty());
    }

    #[test]
    fn cac_1_working_days_are_counted_by_the_calendar_of_the_place() {
        let due = |text: &str, days| due_day("Asia/Shanghai", at(text), days);
        // A Wednesday in Beijing, six weeks on.
        assert_eq!(due("2026-07-01T04:00:00Z", 30).as_deref(), Some("2026-08-12"));
        assert_eq!(due("2026-07-03T04:00:00Z", 1).as_deref(), Some("2026-07-06"), "over a weekend");
        assert_eq!(due("2026-07-04T04:00:00Z", 1).as_deref(), Some("2026-07-06"), "of a Saturday");
        // Late in the evening of a Friday in Greenwich it is Saturday there.
        assert_eq!(due("2026-07-03T17:00:00Z", 0).as_deref(), Some("2026-07-04"));
        assert_eq!(due_day("Beijing", 0, 1), None);
    }

    #[test]
    fn what_is_no_time_is_told() {
        assert!(matches!(Hours::new("Tivoli", "10:00", "23:00"), Err(HoursError::Zone { .. })));
        for wrong in ["24:00", "7:00", "+1:00", "07", "07:60"] {
            assert!(matches!(Hours::new("UTC", wrong, "23:00"), Err(HoursError::Time { .. })));
        }
        assert_eq!((date_s("1970-01-02"), date_s("2026-02-30")), (Some(24 * HOUR_S), None));
    }
}
