//! What a 1:N search answers.

use super::{Score, SubjectId};

/// One subject at or above the threshold; its best reference speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The enrolled subject.
    pub subject: SubjectId,
    /// Row of the best reference in the generation that was searched.
    pub row: u64,
    /// That reference's comparison score.
    pub score: Score,
}

/// What was done to reach an answer, so that "nobody else" can be checked.
///
/// Invariant: `pruned + rescored == rows_total - ineligible` and `accepted <= rescored`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Certificate {
    /// Generation of the tile set that was searched.
    pub generation: u64,
    /// Rows in that generation.
    pub rows_total: u64,
    /// Rows left out by class bits, group, validity or restriction; counted before the bound.
    pub ineligible: u64,
    /// Eligible rows at or above the threshold, exact, also beyond the best k.
    pub accepted: u64,
    /// Eligible rows that the bound proved to be below the threshold.
    pub pruned: u64,
    /// Eligible rows scored in full.
    pub rescored: u64,
}

impl Certificate {
    /// Whether the counts add up.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.pruned + self.rescored + self.ineligible == self.rows_total
            && self.accepted <= self.rescored
    }
}
