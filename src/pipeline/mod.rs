//! The way of a frame, on one screen.
//!
//! ```text
//! capture ─► batch ─► detect ─► embed ─► search ─► decide ─► reply
//!    │ slot, ticket        (engine thread)     │ 1:1 or 1:N      │ audit first,
//!    ▼                                         ▼                 ▼ then the slot is zeroed
//!  newest wins / busy                     candidates          gate
//! ```
//!
//! Only a ticket (u32) crosses a queue. Stages are state machines without I/O; `runner.rs` alone
//! owns threads.

pub mod slot;

use std::sync::Arc;

use crate::{
    face::FaceReport,
    ops::tile::TileSource,
    types::{
        Asked, Attack, Candidate, CaptureFact, Certificate, Score, Template, Threshold,
        TransactionId, Verdict,
    },
};

/// What the probe is held against.
pub enum Task {
    /// 1:1, with each reference.
    Verify {
        /// 1 to [`crate::limits::REFERENCES_MAX`] references.
        references: Vec<Reference>,
        /// Scores at or above it match.
        threshold: Threshold,
    },
    /// 1:N, in one generation of a gallery.
    Identify {
        /// The generation.
        tiles: Arc<dyn TileSource>,
        /// Scores at or above it are candidates.
        threshold: Threshold,
        /// Candidates returned at most.
        best: usize,
        /// Only rows that share a class bit.
        class_bits: u64,
        /// Only rows of this group.
        group: Option<u32>,
    },
    /// The template itself, for enrolment or (where switched on) for an administrator.
    Template,
}

/// One reference of a verification.
pub enum Reference {
    /// A picture in a slot of its own.
    Image(slot::Captured),
    /// A template that the gallery or a token held.
    Template(Template),
}

/// One transaction as it enters the pipeline.
pub struct Order {
    /// Its name in the audit.
    pub transaction: TransactionId,
    /// Who, what, why; already permitted.
    pub asked: Asked,
    /// The live capture.
    pub probe: slot::Captured,
    /// What to do with it.
    pub task: Task,
    /// When the answer is worth nothing any more, on the pipeline's clock.
    pub deadline_us: u64,
}

/// One comparison in a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What the reference's capture gave.
    pub reference: CaptureFact,
    /// The face in it, where it is an image and one was found.
    pub face: Option<FaceReport>,
    /// The score, where both sides gave a template.
    pub score: Option<Score>,
    /// Whether the score reached the threshold.
    pub matched: bool,
}

/// Microseconds that each stage took for this transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Decoding into the slot.
    pub capture_us: u64,
    /// Waiting for an engine.
    pub batch_us: u64,
    /// Finding, judging, aligning.
    pub detect_us: u64,
    /// Embedding.
    pub embed_us: u64,
    /// Comparing or searching.
    pub search_us: u64,
    /// Deciding and writing the audit.
    pub decide_us: u64,
}

/// The answer.
pub struct Reply {
    /// As in the order.
    pub transaction: TransactionId,
    /// What the gate does, and why.
    pub verdict: Verdict,
    /// What the live capture gave.
    pub probe: CaptureFact,
    /// The face in it, where one was found.
    pub face: Option<FaceReport>,
    /// The presentation-attack result.
    pub attack: Attack,
    /// One per reference, in their order.
    pub comparisons: Vec<Comparison>,
    /// Subjects, best first.
    pub candidates: Vec<Candidate>,
    /// For a search.
    pub certificate: Option<Certificate>,
    /// For [`Task::Template`], when the capture was usable.
    pub template: Option<Template>,
    /// Where the time went.
    pub spent: Spent,
}
