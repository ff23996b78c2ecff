//! Enrolment, replacement, tokens and embedding: a usable capture may become a template. Opens no
//! gate; the act itself was permitted before, by role.

use crate::{
    policy::guards::Finding,
    types::{Action, CaptureFact, Facts, Outcome},
};

const FORMED: Finding =
    Finding::new(Outcome::Admit, "CAPTURE_USABLE", "The capture may become a template.");

pub(in crate::policy) fn consider(facts: &Facts) -> Option<Finding> {
    let forms = matches!(
        facts.asked.action,
        Action::Embed | Action::Enrol | Action::IssueToken | Action::Replace
    );
    (forms && facts.probe == CaptureFact::Usable).then_some(FORMED)
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::types::Purpose;

    #[test]
    fn table() {
        for &action in cases::ACTIONS {
            let facts = cases::facts(action, Purpose::Boarding);
            let forms = matches!(
                action,
                Action::Embed | Action::Enrol | Action::IssueToken | Action::Replace
            );
            assert_eq!(consider(&facts), forms.then_some(FORMED), "{action:?}");
            for probe in cases::UNUSABLE {
                assert_eq!(consider(&Facts { probe, ..facts.clone() }), None, "{action:?}");
            }
        }
    }
}
