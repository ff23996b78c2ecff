//! 1:1. Every reference must match: where the law asks for a second one (third-country nationals
//! are also compared with the image of the central system), one match of two opens nothing.

use crate::{
    policy::guards::Finding,
    types::{Action, CaptureFact, Facts, Obligation, Outcome},
};

const MATCHED: Finding = Finding::new(
    Outcome::Admit,
    "ALL_REFERENCES_MATCH",
    "Every comparison score reaches the threshold.",
);
const BELOW: Finding = Finding::new(
    Outcome::Refer,
    "SCORE_BELOW_THRESHOLD",
    "A comparison score is below the threshold.",
);
const NOT_COMPARED: Finding =
    Finding::new(Outcome::Refer, "NOT_COMPARED", "A reference could not be compared.");
const NO_REFERENCE: Finding =
    Finding::new(Outcome::Refer, "NO_REFERENCE", "There was nothing to compare with.");
const NO_SECOND_REFERENCE: Finding = Finding::new(
    Outcome::Refer,
    "SECOND_REFERENCE_MISSING",
    "The law asks for a comparison with a second reference, and there was none.",
);
const FOREIGN_ANSWER: Finding = Finding::new(
    Outcome::Refer,
    "COMPARISON_NOT_ASKED_FOR",
    "A comparison was reported for a request that asked for none.",
);

pub(in crate::policy) fn consider(facts: &Facts) -> Option<Finding> {
    if facts.asked.action == Action::Verify {
        return verify(facts);
    }
    (!facts.comparisons.is_empty()).then_some(FOREIGN_ANSWER)
}

fn verify(facts: &Facts) -> Option<Finding> {
    if facts.comparisons.is_empty() {
        return Some(NO_REFERENCE);
    }
    let usable = |fact: CaptureFact| fact == CaptureFact::Usable;
    if !usable(facts.probe) || !facts.comparisons.iter().all(|one| usable(one.reference)) {
        return None; // nothing could be compared; the capture and reference rules say why
    }
    let second = facts.owed.contains(&Obligation::CompareSecondReference);
    if second && facts.comparisons.len() < 2 {
        return Some(NO_SECOND_REFERENCE);
    }
    let mut finding = MATCHED;
    for comparison in &facts.comparisons {
        match comparison.score {
            None => return Some(NOT_COMPARED),
            Some(score) if score < comparison.threshold => finding = BELOW,
            Some(_) => {}
        }
    }
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::types::Purpose;

    #[test]
    fn table() {
        for (scores, expected) in [
            (&[Some(10)][..], MATCHED),
            (&[Some(11), Some(10)], MATCHED),
            (&[Some(9)], BELOW),
            (&[Some(400), Some(9)], BELOW),
            (&[Some(9), None], NOT_COMPARED),
            (&[None], NOT_COMPARED),
            (&[], NO_REFERENCE),
        ] {
            assert_eq!(consider(&cases::verification(scores)), Some(expected), "{scores:?}");
        }
    }

    #[test]
    fn it_is_silent_where_a_capture_explains_the_missing_score() {
        let blinked = Facts { probe: CaptureFact::NoFace, ..cases::verification(&[None]) };
        assert_eq!(consider(&blinked), None);
        let mut torn = cases::verification(&[Some(10), None]);
        torn.comparisons[1].reference = CaptureFact::NoFace;
        assert_eq!(consider(&torn), None);
    }

    #[test]
    fn a_second_reference_that_is_owed_must_match_too() {
        let owed = [Obligation::CompareSecondReference].into_iter().collect();
        for (scores, expected) in [
            (&[Some(10)][..], NO_SECOND_REFERENCE),
            (&[Some(10), Some(9)], BELOW),
            (&[Some(10), Some(10)], MATCHED),
        ] {
            let facts = Facts { owed, ..cases::verification(scores) };
            assert_eq!(consider(&facts), Some(expected), "{scores:?}");
        }
    }

    #[test]
    fn a_search_cannot_bring_comparisons() {
        let search = cases::identification(Purpose::Boarding, 1);
        assert_eq!(consider(&search), None);
        let comparisons = cases::verification(&[Some(10)]).comparisons;
        assert_eq!(consider(&Facts { comparisons, ..search }), Some(FOREIGN_ANSWER));
    }
}
