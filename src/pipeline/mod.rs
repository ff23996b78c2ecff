//! The way of a frame, on one screen.
//!
//! ```text
//! capture ─► batch ─► detect ─► attack, embed ─► search ─► decide ─► reply
//!    │ slot, ticket        (engine thread)             │ 1:1 or 1:N      │ audit first
//!    ▼                     slot zeroed                 ▼                 ▼
//!  newest wins / busy      once embedded          candidates          gate
//! ```
//!
//! Only a ticket (u32) crosses a queue. Stages are state machines without I/O: what comes in and
//! what time it is go in, what follows comes out. Two kinds of lines string them together: one
//! engine line, and several match lines that share scans ([`crate::limits::MATCH_LINES`]).
//! `runner.rs` alone owns threads, one per line; a test turns the lines by hand, in one thread,
//! from one seed.
//!
//! | stage | file | line |
//! |---|---|---|
//! | capture | `slot.rs` | the caller's |
//! | batch | `batch.rs` | engine |
//! | detect, judge, align | `detect.rs` | engine |
//! | detect presentation attacks | `attack.rs` | engine |
//! | embed | `embed.rs` | engine |
//! | compare, search | `search.rs` | match |
//! | decide, record | `decide.rs` | match |
//! | reply | `match_line.rs` | match |
//!
//! Invariant: an accepted order is answered once; before its reply leaves, its frames are zero, no
//! network holds its pixels or embeddings, its templates are dropped (but one that is the answer)
//! and its audit entry is written. Each failure ends in Refer.
//!
//! From ticket to verdict nothing is allocated: slots, batches, scratch and the table are set aside
//! at start, and places for templates, scores and facts with the order (`tests/allocations.rs`
//! counts). Two exceptions: a search 1:N hands out lists, and what follows the verdict (the audit
//! entry, the reply) is written anew each time. Templates are wiped when they are dropped.
//!
//! `pace.rs` refuses what cannot be answered in time, `standby.rs` replaces an engine that fails,
//! `searcher.rs` holds the one that searches for all match lines and `resident.rs` what it keeps of
//! a gallery, `at_work.rs` tells who computes, `pulse.rs` notices a line that hangs. The account of
//! frames is the meter's: what makes it whole travels with each frame.
//!
//! Absent on purpose: a way to cut an engine short. A deadline is noticed between stages; a device
//! that hangs holds its batch, and a caller that cannot wait refers on its own; meanwhile the
//! appliance says that it is not ready.

mod at_work;
mod attack;
mod batch;
mod decide;
mod desk;
mod detect;
mod embed;
mod engine_line;
mod job;
mod match_line;
mod pace;
mod pulse;
mod resident;
mod runner;
mod search;
mod searcher;
pub mod slot;
mod standby;

pub use at_work::{AtWork, PassedOver};
pub use attack::{AttackDetection, Presentation};
pub(crate) use decide::{AUDIT_UNAVAILABLE, ENGINE_LATE};
pub use desk::{Desk, Refused};
pub use engine_line::EngineLine;
pub use match_line::MatchLine;
pub use pace::{Claim, Matching};
pub(crate) use runner::{Line, LineName};
pub use runner::{Pipeline, engine_loop, match_loop};
pub use standby::{Nobody, Standby, Supply};

use std::sync::{Arc, atomic::AtomicBool};

use crate::{
    audit::AuditSink,
    backend::Engine,
    face::{Detector, FaceReport, FaceRules},
    meter::{LaneKind, Meter, Shed},
    model::Calibration,
    ops::tile::TileSource,
    policy::Policy,
    time::Clock,
    types::{
        Asked, Attack, Authenticity, Candidate, CaptureFact, Certificate, Obligations, Score,
        Template, Threshold, TransactionId, Verdict,
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
        /// Scores below that and at or above this leave a doubt; `None` where the law knows none.
        doubt_from: Option<Score>,
        /// Candidates returned at most.
        best: usize,
        /// Only rows that share a class bit.
        class_bits: u64,
        /// Only rows of this group.
        group: Option<u32>,
    },
    /// The template itself, for enrolment or (where switched on) for an administrator.
    Template,
    /// The template of a reference that several probes will be compared with. Nothing is decided
    /// and nothing recorded: each comparison with it is.
    Reference,
}

impl Task {
    /// What follows when its templates are there.
    fn matching(&self) -> Matching {
        match self {
            Self::Identify { .. } => Matching::Search,
            Self::Verify { .. } | Self::Template | Self::Reference => Matching::Compare,
        }
    }
}

/// A reference that was made ready before: its template, or why there is none.
pub struct Known {
    /// What its capture gave; a template counts as usable.
    pub capture: CaptureFact,
    /// Its template, where the capture was usable.
    pub template: Option<Template>,
    /// What the document that it comes from was found to be.
    pub document: Option<Authenticity>,
}

/// One reference of a verification.
pub enum Reference {
    /// A picture in a slot of its own.
    Image(slot::Captured),
    /// A document's photograph in a slot of its own, and what the document was found to be.
    Portrait(slot::Captured, Authenticity),
    /// A template that the gallery or a token held.
    Template(Template),
    /// One that was made ready before, by [`Task::Reference`] or otherwise.
    Known(Arc<Known>),
}

/// Whom the engines serve first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody stands at a gate.
    Gate,
    /// Somebody is enrolled, or handed a template or a token.
    Enrolment,
}

impl Priority {
    /// All of them, the most urgent one first.
    pub const ALL: [Self; 2] = [Self::Gate, Self::Enrolment];
}

/// One transaction as it enters the pipeline.
pub struct Order {
    /// Its name in the audit.
    pub transaction: TransactionId,
    /// Who, what, why; already permitted.
    pub asked: Asked,
    /// What the permission was granted with.
    pub owed: Obligations,
    /// The live capture.
    pub probe: slot::Captured,
    /// What to do with it.
    pub task: Task,
    /// Whom it waits for, and who waits for it.
    pub priority: Priority,
    /// Where its probe comes from, for the meter.
    pub lane: LaneKind,
    /// When the answer is worth nothing any more, on the pipeline's clock.
    pub deadline_us: u64,
    /// What is known, and what is needed, about presentation attacks.
    pub presentation: Presentation,
    /// Microseconds that it has waited for slots.
    pub slots_us: u64,
    /// The engines' time that was claimed for it before; `None` to claim it when it is submitted.
    pub claim: Option<Claim>,
    /// Set when nobody waits for its answer any more: it is then let go of at the next stage, as if
    /// its deadline had passed. `None` where somebody always does.
    pub given_up: Option<Arc<AtomicBool>>,
}

impl Order {
    /// How many frames it brings.
    fn images(&self) -> u64 {
        let Task::Verify { references, .. } = &self.task else { return 1 };
        let is_image = |reference: &&Reference| {
            matches!(reference, Reference::Image(_) | Reference::Portrait(..))
        };
        1 + references.iter().filter(is_image).count() as u64
    }

    /// Gives its frames up, for `reason`.
    fn shed(self, reason: Shed) {
        let references = match self.task {
            Task::Verify { references, .. } => references,
            Task::Identify { .. } | Task::Template | Task::Reference => Vec::new(),
        };
        let frames = references.into_iter().filter_map(|reference| match reference {
            Reference::Image(captured) | Reference::Portrait(captured, _) => Some(captured),
            Reference::Template(_) | Reference::Known(_) => None,
        });
        for mut captured in frames.chain([self.probe]) {
            if let Some(offered) = captured.take_offered() {
                offered.shed(reason);
            }
        }
    }
}

/// One comparison in a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What the reference's capture gave.
    pub reference: CaptureFact,
    /// What the document was found to be, where the reference is a document's.
    pub document: Option<Authenticity>,
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
    /// Waiting for slots that the frames of others hold until an engine has seen them.
    pub slots_us: u64,
    /// Decoding into the slot.
    pub capture_us: u64,
    /// Waiting for an engine.
    pub batch_us: u64,
    /// Finding, judging, aligning.
    pub detect_us: u64,
    /// Presentation attack detection.
    pub attack_us: u64,
    /// Embedding.
    pub embed_us: u64,
    /// Waiting for the line that compares.
    pub handover_us: u64,
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
    /// For [`Task::Template`] and [`Task::Reference`], when the capture was usable.
    pub template: Option<Template>,
    /// Where the time went.
    pub spent: Spent,
    /// Whether it came after its deadline; it admits nobody then.
    pub late: bool,
}

/// What a pipeline is made of.
pub struct Parts {
    /// Who computes.
    pub engine: Engine,
    /// How the detector's outputs are read.
    pub detector: Detector,
    /// How presentation attack detection is carried out, where it is.
    pub attack: Option<AttackDetection>,
    /// How the embedder's output becomes a template.
    pub calibration: Arc<Calibration>,
    /// What a usable face is.
    pub rules: FaceRules,
    /// Who decides.
    pub policy: Arc<dyn Policy>,
    /// Where it is recorded.
    pub audit: Arc<dyn AuditSink>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it is counted.
    pub meter: Arc<Meter>,
    /// Where frames lie.
    pub slots: Arc<slot::SlotPool>,
    /// Who takes over when an engine fails.
    pub standby: Standby,
}

impl Parts {
    /// The desk, the engine line and the first match line ([`MatchLine::another`] makes the
    /// others), for whoever turns them: [`Pipeline`] with threads, a test without.
    #[must_use]
    pub fn assemble(self) -> (Arc<Desk>, EngineLine, MatchLine) {
        let Standby { engines, searches, passed_over } = self.standby;
        let (networks, search) = (self.engine.networks, self.engine.search.describe());
        let at_work = AtWork::new(Arc::clone(&self.meter), networks, search, passed_over);
        let calibration = Arc::clone(&self.calibration);
        let desk = Arc::new(Desk::new(self.clock, self.meter, at_work, calibration));
        let detect = detect::Detect::new(self.engine.detect, self.detector, self.rules);
        let embed = embed::Embed::new(self.engine.embed, self.calibration);
        let attack = attack::AttackStage::new(self.engine.attack, self.attack);
        let stages = engine_line::Stages { detect, attack, embed, supply: engines };
        let engine_line = EngineLine::new(Arc::clone(&desk), stages, self.slots.slots());
        let searcher = searcher::Searcher::new(self.engine.search, searches, Arc::clone(&desk));
        let search = search::Search::new(searcher);
        let decide = decide::Decide::new(self.policy, self.audit);
        let match_line = MatchLine::new(Arc::clone(&desk), search, decide);
        (desk, engine_line, match_line)
    }
}
