//! The machine must have done its part: a late or lost engine sends the traveller to a person.

use crate::{
    policy::guards::Finding,
    types::{EngineFact, Facts, Outcome},
};

const LATE: Finding =
    Finding::new(Outcome::Refer, "ENGINE_LATE", "The answer did not come before its deadline.");
const LOST: Finding =
    Finding::new(Outcome::Refer, "ENGINE_LOST", "A stage of the appliance failed.");

pub(in crate::policy) fn consider(facts: &Facts) -> Option<Finding> {
    match facts.engine {
        EngineFact::Sound => None,
        EngineFact::Late => Some(LATE),
        EngineFact::Lost => Some(LOST),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};

    #[test]
    fn table() {
        for (engine, expected) in [
            (EngineFact::Sound, None),
            (EngineFact::Late, Some(LATE)),
            (EngineFact::Lost, Some(LOST)),
        ] {
            let facts = Facts { engine, ..cases::verification(&[Some(10)]) };
            assert_eq!(consider(&facts), expected, "{engine:?}");
        }
    }
}
