//! A suspected presentation attack goes to a person, and so does a face that was never tested where
//! testing is a duty (BSI TR-03121: an alarm must be followed by a border guard's check).
//!
//! Without a usable face there is nothing to test; the capture rule then asks for another look, and
//! this rule stays silent rather than referring everybody who blinked. Enrolling opens no gate and
//! may start from a document's photograph, so a missing test does not object to it; a bad one does.

use crate::{
    policy::{
        ATTACK_SUSPECTED,
        guards::{AttackRule, Finding},
    },
    types::{Action, Attack, CaptureFact, Facts, Obligation, Outcome},
};

const SUSPECTED: Finding = Finding::new(
    Outcome::Refer,
    ATTACK_SUSPECTED,
    "The face may be presented by a picture, a screen or a mask.",
);
const NOT_PERFORMED: Finding = Finding::new(
    Outcome::Refer,
    "ATTACK_DETECTION_NOT_PERFORMED",
    "Presentation attack detection is required here and did not run.",
);
const INVALID: Finding = Finding::new(
    Outcome::Refer,
    "ATTACK_SCORE_INVALID",
    "The presentation attack score is not a number from 0 to 1.",
);

/// `threshold` is the score from which an attack is suspected; one that is no number suspects
/// everybody.
pub(in crate::policy) fn consider(
    facts: &Facts,
    rule: AttackRule,
    threshold: f32,
) -> Option<Finding> {
    let owed = facts.owed.contains(&Obligation::TestForAttacks);
    let rule = if owed { AttackRule::Required } else { rule };
    match (facts.attack, rule) {
        (Attack::Score(score), _) if !(0.0..=1.0).contains(&score) => Some(INVALID),
        (Attack::Score(score), _) => (!(..threshold).contains(&score)).then_some(SUSPECTED),
        (Attack::NotPerformed, AttackRule::NotRequired) => None,
        (Attack::NotPerformed, AttackRule::Required) => {
            let testable = facts.probe == CaptureFact::Usable;
            (testable && opens_a_gate(facts.asked.action)).then_some(NOT_PERFORMED)
        }
    }
}

fn opens_a_gate(action: Action) -> bool {
    matches!(action, Action::Identify | Action::Verify)
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::types::Purpose;

    #[test]
    fn table() {
        use AttackRule::{NotRequired, Required};
        for (attack, rule, expected) in [
            (Attack::Score(0.0), Required, None),
            (Attack::Score(0.499), Required, None),
            (Attack::Score(0.5), Required, Some(SUSPECTED)),
            (Attack::Score(1.0), NotRequired, Some(SUSPECTED)),
            (Attack::Score(f32::NAN), NotRequired, Some(INVALID)),
            (Attack::Score(-0.1), NotRequired, Some(INVALID)),
            (Attack::Score(1.1), Required, Some(INVALID)),
            (Attack::NotPerformed, NotRequired, None),
            (Attack::NotPerformed, Required, Some(NOT_PERFORMED)),
        ] {
            let facts = Facts { attack, ..cases::verification(&[Some(10)]) };
            assert_eq!(consider(&facts, rule, 0.5), expected, "{attack:?} {rule:?}");
        }
        let blinked = Facts { probe: CaptureFact::NoFace, ..cases::verification(&[None]) };
        assert_eq!(consider(&blinked, Required, 0.5), None, "the capture rule asks to look again");
        let enrolment = cases::facts(Action::Enrol, Purpose::Boarding);
        assert_eq!(consider(&enrolment, Required, 0.5), None);
        let suspect = Facts { attack: Attack::Score(0.9), ..enrolment };
        assert_eq!(consider(&suspect, Required, 0.5), Some(SUSPECTED));
        assert_eq!(consider(&suspect, Required, 0.95), None);
        for threshold in [0.0, -1.0, f32::NAN] {
            let live = Facts { attack: Attack::Score(0.0), ..cases::verification(&[Some(10)]) };
            assert_eq!(consider(&live, NotRequired, threshold), Some(SUSPECTED), "{threshold}");
        }
    }
}
