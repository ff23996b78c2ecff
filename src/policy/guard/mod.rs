//! One rule per file. Deciding rules have `consider`: facts in, a finding or silence out.
//! Permitting rules have `object`: a request in, an objection or silence out. Each file ends with
//! its table of cases, allowed and refused.

pub(super) mod attack;
pub(super) mod capture;
pub(super) mod document;
pub(super) mod engine;
pub(super) mod gallery;
pub(super) mod identification;
pub(super) mod reference;
pub(super) mod template;
pub(super) mod verification;

#[cfg(test)]
pub(super) mod cases {
    //! Building blocks of the rules' tables.

    use crate::types::{
        Action, Asked, Attack, Caller, CaptureFact, ComparisonFact, EngineFact, Facts,
        IdentificationFact, Obligations, Purpose, Role, Score,
    };

    pub(in crate::policy) const UNUSABLE: [CaptureFact; 5] = [
        CaptureFact::NoFace,
        CaptureFact::SeveralFaces,
        CaptureFact::FaceTooSmall,
        CaptureFact::OffCentre,
        CaptureFact::PoorQuality,
    ];

    pub(in crate::policy) const ACTIONS: &[Action] = Action::ALL;
    pub(in crate::policy) const PURPOSES: [Purpose; 5] = [
        Purpose::AccessControl,
        Purpose::Boarding,
        Purpose::BorderControl,
        Purpose::Evaluation,
        Purpose::Watchlist,
    ];

    pub(in crate::policy) const ROLES: [Role; 6] = [
        Role::Administrator,
        Role::Auditor,
        Role::DataProtectionOfficer,
        Role::Gate,
        Role::Officer,
        Role::Operator,
    ];

    pub(in crate::policy) fn asked(action: Action, purpose: Purpose) -> Asked {
        let client = "gate-1".parse().expect("a name");
        let caller = Caller { role: Role::Gate, client };
        Asked { caller, action, purpose, gallery: None, at_lane: None, subject: None }
    }

    /// Facts of a usable probe with nothing compared yet.
    pub(in crate::policy) fn facts(action: Action, purpose: Purpose) -> Facts {
        Facts {
            asked: asked(action, purpose),
            owed: Obligations::NONE,
            probe: CaptureFact::Usable,
            attack: Attack::NotPerformed,
            comparisons: Vec::new(),
            identification: None,
            engine: EngineFact::Sound,
        }
    }

    /// A verification against references with these scores, at threshold 10.
    pub(in crate::policy) fn verification(scores: &[Option<i32>]) -> Facts {
        let compare = |score: &Option<i32>| ComparisonFact {
            reference: CaptureFact::Usable,
            document: None,
            score: score.map(Score),
            threshold: Score(10),
        };
        let comparisons = scores.iter().map(compare).collect();
        Facts { comparisons, ..facts(Action::Verify, Purpose::BorderControl) }
    }

    /// A search with that many candidates.
    pub(in crate::policy) fn identification(purpose: Purpose, candidates: u32) -> Facts {
        let found = IdentificationFact { candidates, doubtful: 0, current: true };
        Facts { identification: Some(found), ..facts(Action::Identify, purpose) }
    }
}
