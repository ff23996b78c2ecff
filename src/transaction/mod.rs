//! One traveller at one gate: from the reference that a gate controller hands over to Admit, Retry
//! or Refer.
//!
//! ```text
//! gate ── reference ──► register ── new? ──► passage ◄── frames of the lane's tap
//!   ▲                      │ same id: the       │ ▲
//!   │                      │ stored outcome     ▼ │ verdicts
//!   └── outcome ◄── audit, journal ◄── machine   pipeline
//! ```
//!
//! | file | what |
//! |---|---|
//! | `machine.rs` | when to judge a frame, when to end and how: pure |
//! | `bell.rs` | what reaches a passage from other threads |
//! | `passage.rs` | one transaction at work: tap, machine, pipeline, put together |
//! | `register.rs` | which transactions there are; the same id never decides twice |
//! | `journal.rs` | what a restart must remember |
//! | `faults.rs` | tests of both on a medium that fails |
//! | `display.rs` | what a passenger's display says, by key, in several languages |
//!
//! Invariant: a transaction ends once, and its outcome is in the audit and in the journal before
//! anybody is told; where either cannot be written, it is Refer, or nothing is told. What a
//! transaction holds (frame, references, tap) is free and zero before its outcome is told, unless
//! an engine hangs with it (`passage.rs`). Nothing in [`Standing`] is a score or an attack result:
//! it may be shown to the traveller.
//!
//! Absent on purpose: a thread of its own (whoever carries out the command turns the passage), an
//! image, a template or a name in anything that is kept, and a way to end a transaction with Admit
//! other than a frame that the policy admits.

pub mod bell;
pub mod display;
#[cfg(test)]
mod faults;
pub mod journal;
pub mod machine;
pub mod passage;
pub mod register;

pub use display::Display;
pub use machine::{Closing, Ended};
pub use register::{Opened, Opening, Register, RegisterError};

use crate::types::{LaneId, Outcome, TransactionId};

/// How a transaction stands, as the traveller may know it: no score, no attack result, no reason
/// that would tell of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The name that the gate gave it.
    pub transaction: TransactionId,
    /// Where.
    pub lane: LaneId,
    /// Which attempt of the same traveller it is, from 1.
    pub attempt: u8,
    /// The attempt before it, which no other may follow.
    pub retry_of: Option<TransactionId>,
    /// How it ended; `None` while it is open.
    pub ended: Option<Ended>,
    /// What the gate does; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// What a display shows.
    pub display: Display,
}

impl Standing {
    /// What is told where nothing else may be: an officer.
    #[must_use]
    pub fn referred(self, ended: Ended) -> Self {
        Self {
            ended: Some(ended),
            outcome: Some(Outcome::Refer),
            display: Display::AskOfficer,
            ..self
        }
    }
}
