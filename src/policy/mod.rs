//! Facts in, verdict out. Pure and total.
//!
//! [`BuiltIn`] is a small set of rules, one per file in `rule/`, enough for the foundation; a
//! policy written as text takes its place behind the same [`Policy`].
//!
//! Invariant: knows only layer 0; nothing here opens a gate on an error.

mod built_in;
mod rule;

pub use built_in::{ATTACK_SCORE_SUSPECTED, AttackRule, BuiltIn, DocumentRule};

use crate::types::{Asked, Facts, Permission, Verdict};

/// Code of the reason that a presentation is suspected to be an attack.
pub const ATTACK_SUSPECTED: &str = "ATTACK_SUSPECTED";

/// A set of rules.
pub trait Policy: Send + Sync {
    /// May this be done at all? Asked before anything is computed. Deny by default.
    fn authorise(&self, asked: &Asked) -> Permission;

    /// What happens now? Asked once everything is known. A verdict always has a reason.
    fn decide(&self, facts: &Facts) -> Verdict;
}
