//! 1:N. What a candidate means depends on the list: on a watchlist it calls a person, at boarding
//! or a door it opens. At a border a search alone never opens: the document is what is verified
//! there.

use crate::{
    policy::guards::Finding,
    types::{Action, CaptureFact, Facts, Obligation, Outcome, Purpose},
};

const IDENTIFIED: Finding = Finding::new(
    Outcome::Admit,
    "CANDIDATE_FOUND",
    "The traveller was found in the gallery; the best candidate counts.",
);
const NOT_LISTED: Finding =
    Finding::new(Outcome::Admit, "NOT_ON_WATCHLIST", "Nobody on the watchlist was found.");
const LISTED: Finding = Finding::new(
    Outcome::Refer,
    "WATCHLIST_CANDIDATE",
    "A search of a watchlist found a candidate; a person must confirm.",
);
const BORDER: Finding = Finding::new(
    Outcome::Refer,
    "CANDIDATE_NEEDS_OFFICER",
    "At a border a search alone does not decide; an officer does.",
);
const NOBODY: Finding =
    Finding::new(Outcome::Refer, "NO_CANDIDATE", "The traveller was not found in the gallery.");
const DOUBT: Finding = Finding::new(
    Outcome::Refer,
    "DOUBT",
    "The guest may be in the gallery; the staff may let the guest in on the guest's word.",
);
const STALE: Finding = Finding::new(
    Outcome::Refer,
    "GALLERY_CHANGED",
    "The gallery changed while it was searched; the answer may be out of date.",
);
const NOT_SEARCHED: Finding =
    Finding::new(Outcome::Refer, "NOT_SEARCHED", "The gallery could not be searched.");
const FOREIGN_ANSWER: Finding = Finding::new(
    Outcome::Refer,
    "SEARCH_NOT_ASKED_FOR",
    "A search was reported for a request that asked for none.",
);

pub(in crate::policy) fn consider(facts: &Facts) -> Option<Finding> {
    if facts.asked.action == Action::Identify {
        return identify(facts);
    }
    facts.identification.map(|_| FOREIGN_ANSWER)
}

fn identify(facts: &Facts) -> Option<Finding> {
    let Some(search) = facts.identification else {
        // An unusable probe is not searched; the capture rule says so.
        return (facts.probe == CaptureFact::Usable).then_some(NOT_SEARCHED);
    };
    if !search.current {
        return Some(STALE);
    }
    Some(match (facts.asked.purpose, search.candidates) {
        (Purpose::Watchlist, 0) => NOT_LISTED,
        (Purpose::Watchlist, _) => LISTED,
        (_, 0) if search.doubtful > 0 && facts.owed.contains(&Obligation::DoubtFavoursGuest) => {
            DOUBT
        }
        (_, 0) => NOBODY,
        (Purpose::BorderControl, _) => BORDER,
        (Purpose::AccessControl | Purpose::Boarding | Purpose::Evaluation, _) => IDENTIFIED,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};

    #[test]
    fn table() {
        for (purpose, candidates, expected) in [
            (Purpose::Boarding, 1, IDENTIFIED),
            (Purpose::Boarding, 2, IDENTIFIED),
            (Purpose::Boarding, 0, NOBODY),
            (Purpose::AccessControl, 1, IDENTIFIED),
            (Purpose::AccessControl, 0, NOBODY),
            (Purpose::Evaluation, 1, IDENTIFIED),
            (Purpose::Evaluation, 0, NOBODY),
            (Purpose::BorderControl, 1, BORDER),
            (Purpose::BorderControl, 0, NOBODY),
            (Purpose::Watchlist, 0, NOT_LISTED),
            (Purpose::Watchlist, 1, LISTED),
            (Purpose::Watchlist, 9, LISTED),
        ] {
            let facts = cases::identification(purpose, candidates);
            assert_eq!(consider(&facts), Some(expected), "{purpose:?} {candidates}");
        }
    }

    #[test]
    fn doubt_is_told_where_it_favours_the_guest() {
        let mut facts = cases::identification(Purpose::AccessControl, 0);
        facts.identification = facts.identification.map(|mut search| {
            search.doubtful = 1;
            search
        });
        assert_eq!(consider(&facts), Some(NOBODY));
        facts.owed = [Obligation::DoubtFavoursGuest].into_iter().collect();
        assert_eq!(consider(&facts), Some(DOUBT));
    }

    #[test]
    fn a_stale_or_missing_search_opens_nothing() {
        let mut facts = cases::identification(Purpose::Boarding, 1);
        facts.identification = facts.identification.map(|mut search| {
            search.current = false;
            search
        });
        assert_eq!(consider(&facts), Some(STALE));
        facts.identification = None;
        assert_eq!(consider(&facts), Some(NOT_SEARCHED));
        facts.probe = CaptureFact::NoFace;
        assert_eq!(consider(&facts), None);
    }

    #[test]
    fn a_verification_cannot_bring_a_search() {
        let mut facts = cases::verification(&[Some(10)]);
        assert_eq!(consider(&facts), None);
        facts.identification = cases::identification(Purpose::Boarding, 1).identification;
        assert_eq!(consider(&facts), Some(FOREIGN_ANSWER));
    }
}
