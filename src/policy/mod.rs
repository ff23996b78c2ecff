//! Facts in, verdict out. Pure and total.
//!
//! Invariant: knows only layer 0; nothing here opens a gate on an error.

use crate::types::{Asked, Facts, Permission, Verdict};

/// A set of rules.
pub trait Policy: Send + Sync {
    /// May this be done at all? Asked before anything is computed. Deny by default.
    fn authorise(&self, asked: &Asked) -> Permission;

    /// What happens now? Asked once everything is known. A verdict always has a reason.
    fn decide(&self, facts: &Facts) -> Verdict;
}
