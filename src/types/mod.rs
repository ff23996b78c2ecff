//! Words of the house: values that every layer may hold. No I/O, no threads, no clock.
//!
//! Invariant: nothing here prints a pixel, a template value or a key.

mod candidate;
mod circumstances;
mod document;
mod facts;
mod frame;
mod ids;
mod obligation;
mod score;
mod template;
mod verdict;

pub use candidate::{Candidate, Certificate};
pub use circumstances::{
    Age, Assessment, Basis, CallerFact, Circumstances, Condition, ConsentFact, EventImages,
    ExemptionFact, GalleryFact, Necessity, Notices, PersonFact, Place, Provenance, Region,
    Relation, Residents, SiteFacts, Stage, Storage, UseOf,
};
pub use document::{Authenticity, DocumentFault, Unchecked, Weakness};
pub use facts::{
    Action, Asked, AtLane, Attack, Caller, CaptureFact, ComparisonFact, EngineFact, Facts,
    IdentificationFact, Permission, Purpose, Role, Selection,
};
pub use frame::{Frame, FrameError, FrameView};
pub use ids::{ClientId, GalleryId, Hash256, IdError, LaneId, SubjectId, TransactionId};
pub use obligation::{Obligation, Obligations};
pub use score::{Score, Threshold};
pub use template::{Template, TemplateError, TemplateKind};
pub use verdict::{Outcome, Reason, Reasons, Verdict};
