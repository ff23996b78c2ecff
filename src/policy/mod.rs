//! May it be done, and what happens now? Pure.
//!
//! Two questions, and two kinds of answer. [`Standing::authorise`] is asked before anything is
//! computed, and the texts under `policies/` answer: Cedar, one file per legal source, deny by
//! default. What they grant comes with the obligations that the law attaches to it.
//! [`Policy::decide`] is asked when everything is known: guards of a few lines each hold the facts
//! against those obligations, without memory of their own. A machine refers, a person refuses.
//!
//! Invariant: knows only layer 0; nothing here opens a gate on an error. A rule that cannot be
//! evaluated refuses, for a forbid that errs would otherwise be silent.

mod case;
mod catalogue;
mod guard;
mod guards;
mod law;
mod page;
mod request;
mod source;
#[cfg(test)]
mod tests;

pub use case::{CaseFault, Covered, check_cases, covered};
pub use catalogue::{Catalogue, Language, Ruling};
pub use guards::{ATTACK_SCORE_SUSPECTED, AttackRule, DocumentRule, Guards};
pub use law::{Law, LawError, PASSPORT_EXPIRY_MISSING, Rule, Standing, ZONE_NOT_FOR_MATCHING};
pub use page::{Carried, Row, duties, page, rows, test_of};
pub use source::{SOURCES, Source};

use crate::types::{Facts, Verdict};

/// Code of the reason that a presentation is suspected to be an attack.
pub const ATTACK_SUSPECTED: &str = "ATTACK_SUSPECTED";

/// What decides at the gate: total, without memory of its own.
pub trait Policy: Send + Sync {
    /// What happens now? Asked once everything is known. A verdict always has a reason.
    fn decide(&self, facts: &Facts) -> Verdict;
}
