//! The one search mode: the best k rows at or above a threshold, and the exact number above it.
//! (Meaning only: plain loops that a reader can check by eye. The oracle of every backend.)

use crate::types::{Certificate, Score, Template};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The probe's template; of the gallery's kind.
    pub template: &'a Template,
    /// Rows below are not candidates.
    pub threshold: Score,
    /// Rows kept, at most [`crate::limits::CANDIDATES_MAX`]; zero means count only.
    pub best: usize,
    /// Only rows that share at least one class bit.
    pub class_bits: u64,
    /// Only rows of this group; `None` for every group.
    pub group: Option<u32>,
    /// Now, civil seconds: rows outside their validity are not eligible.
    pub now_s: i64,
}

/// One row at or above the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHit {
    /// Row in the generation.
    pub row: u64,
    /// Its comparison score.
    pub score: Score,
    /// Whose row it is.
    pub subject: [u8; 16],
}

/// The answer to one probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowHits {
    /// Best first: score descending, then row ascending.
    pub hits: Vec<RowHit>,
    /// The counts.
    pub certificate: Certificate,
}
