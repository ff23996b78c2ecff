//! Re-entry, as the Danish opinion of 2009 describes it: enrol at the exit, match on the way back,
//! erase on match, doubt in the guest's favour.
//!
//! What the machine found is turned into what is owed before anybody is told: [`after`] says whether
//! the guest comes in, whether what was stored must be erased *first*, and what the public display
//! says. Two thresholds bound the doubt: at or above the upper one it is a match, below the lower one
//! it is none, between them staff may admit.
//!
//! Invariant: an `Open` comes only with `erase_first`; nothing here raises an alarm or names a score.

use crate::types::Score;

/// Text key of the neutral, discreet answer.
pub const CONTACT_STAFF: &str = "please-contact-staff";
/// Text key of the answer to a guest who is let in.
pub const WELCOME_BACK: &str = "welcome-back";

/// Where doubt begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// At or above it: the guest.
    pub match_at: Score,
    /// Below it: nobody who went out.
    pub doubt_from: Score,
}

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Best score, where there was a candidate at all.
    pub best: Option<Score>,
    /// The capture or the presentation attack detection left a doubt.
    pub is_doubtful: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reentry {
    /// The guest comes in, once what was stored of this guest is erased.
    Open,
    /// Staff decide, and may only admit; they see no image.
    Doubt,
    /// Nobody who went out; staff are asked.
    NoMatch,
}

impl Reentry {
    /// Template and image go before the answer is committed.
    #[must_use]
    pub const fn erases_first(self) -> bool {
        matches!(self, Self::Open)
    }

    /// What the public display says; no score, no name, no alarm.
    #[must_use]
    pub const fn text_key(self) -> &'static str {
        match self {
            Self::Open => WELCOME_BACK,
            Self::Doubt | Self::NoMatch => CONTACT_STAFF,
        }
    }

    /// Whether staff may let the guest in without looking at anything.
    #[must_use]
    pub const fn staff_may_admit(self) -> bool {
        !matches!(self, Self::Open)
    }
}

/// What follows from what was found.
#[must_use]
pub fn after(found: Found, doubt: Doubt) -> Reentry {
    match found.best {
        Some(best) if best >= doubt.match_at && !found.is_doubtful => Reentry::Open,
        Some(best) if best >= doubt.doubt_from => Reentry::Doubt,
        Some(_) | None if found.is_doubtful => Reentry::Doubt,
        Some(_) | None => Reentry::NoMatch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAND: Doubt = Doubt { match_at: Score(100), doubt_from: Score(80) };

    #[test]
    fn fv_3_fv_4_fv_5_table() {
        for (best, is_doubtful, expected) in [
            (Some(100), false, Reentry::Open),
            (Some(100), true, Reentry::Doubt),
            (Some(99), false, Reentry::Doubt),
            (Some(80), false, Reentry::Doubt),
            (Some(79), false, Reentry::NoMatch),
            (Some(79), true, Reentry::Doubt),
            (None, false, Reentry::NoMatch),
            (None, true, Reentry::Doubt),
        ] {
            let found = Found { best: best.map(Score), is_doubtful };
            let held = after(found, BAND);
            assert_eq!(held, expected, "{best:?} {is_doubtful}");
            assert_eq!(held.erases_first(), expected == Reentry::Open);
            assert_eq!(held.text_key() == CONTACT_STAFF, expected != Reentry::Open);
            assert_eq!(held.staff_may_admit(), expected != Reentry::Open);
        }
    }
}
