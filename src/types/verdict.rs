//! A decision is a value with reasons.

use std::fmt;

use smallvec::SmallVec;

use super::Obligations;

/// What the gate does next. There is no `Deny`: a machine refers, a person refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Open.
    Admit,
    /// Look again: capture was not good enough and there is time.
    Retry,
    /// Send the traveller to an officer.
    Refer,
}

/// A stable code with the rule's plain sentence; the code is the contract, the text is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// For example `SCORE_BELOW_THRESHOLD`.
    pub code: &'static str,
    /// One English sentence for an operator; no score, no identifier.
    pub text: &'static str,
}

/// Reasons in place: as many as rules can find at once need no memory of their own.
pub type Reasons = SmallVec<[Reason; 10]>;

/// The decision, why, and what must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the gate does.
    pub outcome: Outcome,
    /// Why; never empty.
    pub reasons: Reasons,
    /// What the appliance must now do.
    pub obligations: Obligations,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admit => "Admit",
            Self::Retry => "Retry",
            Self::Refer => "Refer",
        })
    }
}
