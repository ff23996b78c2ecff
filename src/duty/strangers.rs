//! Whoever is turned away at the door: told once, and then counted, so that a flood of them fills
//! neither the audit nor the disk.
//!
//! The first of a kind is told at once. Those who follow within the interval are told together when
//! it is over: there are five kinds, and so at most five entries in [`STRANGERS_INTERVAL_US`].
//!
//! Invariant: pure; nobody is dropped: what was counted adds up to who came.

use crate::limits::STRANGERS_INTERVAL_US;

/// Why somebody is a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Presented nothing.
    WithoutCredential,
    /// Presented a token that is not known.
    UnknownToken,
    /// Presented a certificate that is not known, although somebody signed it whom we trust.
    UnknownCertificate,
    /// Presented a certificate that nobody signed whom we trust, or that is not its own.
    RefusedCertificate,
    /// Was known until the credential expired.
    Expired,
}

impl Stranger {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::WithoutCredential,
        Self::UnknownToken,
        Self::UnknownCertificate,
        Self::RefusedCertificate,
        Self::Expired,
    ];

    /// Its code in the audit.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::WithoutCredential => "TOKEN_MISSING",
            Self::UnknownToken => "TOKEN_UNKNOWN",
            Self::UnknownCertificate => "CERTIFICATE_UNKNOWN",
            Self::RefusedCertificate => "CERTIFICATE_REFUSED",
            Self::Expired => "TOKEN_EXPIRED",
        }
    }
}

/// Strangers of one kind that are to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub who: Stranger,
    /// How many.
    pub count: u64,
    /// Civil time of the first of them in seconds, UTC.
    pub since_s: i64,
}

/// Strangers of one kind since the last that were told of.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    count: u64,
    since_s: i64,
    /// Monotonic time before which nothing is told.
    rests_until_us: u64,
}

/// Everybody who was turned away and not told of yet.
#[derive(Debug, Default)]
pub struct Strangers([Counted; Stranger::ALL.len()]);

impl Strangers {
    /// Counts somebody; what is to be told of now.
    pub fn came(&mut self, who: Stranger, now_s: i64, monotonic_us: u64) -> Option<Told> {
        let counted = &mut self.0[who as usize];
        if counted.count == 0 {
            counted.since_s = now_s;
        }
        counted.count = counted.count.saturating_add(1);
        counted.told(who, monotonic_us)
    }

    /// Those whose interval is over.
    pub fn over(&mut self, monotonic_us: u64) -> Vec<Told> {
        let each = Stranger::ALL.into_iter().zip(&mut self.0);
        each.filter_map(|(who, counted)| counted.told(who, monotonic_us)).collect()
    }
}

impl Counted {
    fn told(&mut self, who: Stranger, monotonic_us: u64) -> Option<Told> {
        if self.count == 0 || monotonic_us < self.rests_until_us {
            return None;
        }
        self.rests_until_us = monotonic_us.saturating_add(STRANGERS_INTERVAL_US);
        let count = std::mem::take(&mut self.count);
        Some(Told { who, count, since_s: self.since_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn se_3_a_flood_of_strangers_is_one_entry_an_interval_and_everybody_is_counted() {
        let mut strangers = Strangers::default();
        let mut entries = Vec::new();
        let (flood, step_us) = (100_000, STRANGERS_INTERVAL_US / 1_000);
        for at in 0..flood {
            let who = if at % 2 == 0 { Stranger::UnknownToken } else { Stranger::Expired };
            entries.extend(strangers.came(who, 7, at * step_us));
        }
        assert_eq!(entries[..2].iter().map(|told| told.count).collect::<Vec<_>>(), [1, 1]);
        assert!(entries.len() <= 2 * 101, "{}", entries.len());
        assert_eq!(strangers.over((flood - 1) * step_us), [], "not before the interval is over");
        entries.extend(strangers.over(u64::MAX));
        assert_eq!(entries.iter().map(|told| told.count).sum::<u64>(), flood);
        assert_eq!(strangers.over(u64::MAX), [], "told once");
    }

    #[test]
    fn the_second_of_a_kind_is_told_with_the_time_at_which_it_came() {
        let mut strangers = Strangers::default();
        let who = Stranger::WithoutCredential;
        assert_eq!(strangers.came(who, 10, 0), Some(Told { who, count: 1, since_s: 10 }));
        assert_eq!(strangers.came(who, 20, 1), None);
        assert_eq!(strangers.came(who, 30, 2), None);
        let told = strangers.over(STRANGERS_INTERVAL_US);
        assert_eq!(told, [Told { who, count: 2, since_s: 20 }]);
    }
}
