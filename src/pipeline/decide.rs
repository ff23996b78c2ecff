//! The decide stage: facts → verdict → audit → reply.
//!
//! Invariant: nothing leaves before its audit entry is written; when it cannot be written, nothing
//! leaves but Refer. Whatever a policy says, an engine that was late or lost never opens a gate,
//! nor does a document that failed its check.
//! Frames are zero and templates are dropped before the reply is handed over.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Comparison, Reply,
    job::{Goal, Job},
};
use crate::{
    audit::{AuditComparison, AuditEntry, AuditError, AuditSink},
    policy::Policy,
    types::{Attack, Authenticity, EngineFact, Facts, Obligation, Outcome, Reason, Verdict},
};

pub(crate) const AUDIT_UNAVAILABLE: Reason = Reason {
    code: "AUDIT_UNAVAILABLE",
    text: "What happened could not be recorded, so nothing is decided here.",
};
const POLICY_FAILED: Reason =
    Reason { code: "POLICY_FAILED", text: "The rules could not be evaluated; an officer decides." };
const ADMIT_WITHHELD: Reason = Reason {
    code: "ADMIT_WITHHELD",
    text: "The rules would admit although a stage of the appliance failed.",
};

const PREPARED: Reason = Reason {
    code: "REFERENCE_PREPARED",
    text: "A reference was made ready; nothing is decided by it.",
};
const NOT_IN_TIME: Reason =
    Reason { code: "ENGINE_LATE", text: "A reference was not made ready before its deadline." };
const NOT_PREPARED: Reason = Reason {
    code: "ENGINE_LOST",
    text: "A stage of the appliance failed while a reference was made ready.",
};
const FALSE_DOCUMENT: Reason = Reason {
    code: "DOCUMENT_NOT_AUTHENTICATED",
    text: "The rules would admit although a document failed its check.",
};
const UNTESTED: Reason = Reason {
    code: "ATTACK_DETECTION_NOT_PERFORMED",
    text: "The rules would admit although the face was not tested for a presentation attack.",
};

/// Decides and records.
pub(super) struct Decide {
    policy: Arc<dyn Policy>,
    audit: Arc<dyn AuditSink>,
}

impl Decide {
    pub(super) fn new(policy: Arc<dyn Policy>, audit: Arc<dyn AuditSink>) -> Self {
        Self { policy, audit }
    }

    /// Turns what is known into the reply. The job's frames and templates are gone afterwards,
    /// except for a template that is the answer.
    pub(super) fn step(&self, now_s: i64, job: &mut Job) -> Reply {
        job.find_facts();
        if matches!(job.goal, Goal::Reference) {
            return prepared(job);
        }
        let facts = &job.facts;
        // Unwind safety: the facts are only read, and a policy keeps no state.
        let verdict = catch_unwind(AssertUnwindSafe(|| self.policy.decide(facts))).map_or_else(
            |_| refer(POLICY_FAILED),
            |verdict| guarded(verdict, facts, job.presentation.required),
        );
        // Here the verdict is made; what follows writes it down, and may allocate.
        let reply = match self.record(&entry(job, &verdict, now_s)) {
            Ok(()) => reply(job, verdict),
            Err(_) => silent(job),
        };
        forget(job);
        reply
    }

    fn record(&self, entry: &AuditEntry) -> Result<(), AuditError> {
        // Unwind safety: a sink that panics has not promised that the entry survives.
        catch_unwind(AssertUnwindSafe(|| self.audit.record(entry))).unwrap_or_else(|_| {
            let (place, why) = ("the audit sink".into(), "it panicked".into());
            Err(AuditError { place, why })
        })
    }
}

/// Zeroes what a job still holds of anybody.
fn forget(job: &mut Job) {
    for sample in &mut job.samples {
        sample.captured = None;
        sample.template = None;
        sample.prepared = None;
        sample.blank = None;
    }
}

/// The template of a reference. Its verdict opens nothing, and says whether the machine did its
/// part.
fn prepared(job: &mut Job) -> Reply {
    let verdict = refer(match job.engine {
        EngineFact::Sound => PREPARED,
        EngineFact::Late => NOT_IN_TIME,
        EngineFact::Lost => NOT_PREPARED,
    });
    let sound = job.engine == EngineFact::Sound;
    let template = job.samples[0].template.take().filter(|_| sound);
    let reply = Reply { template, ..reply(job, verdict) };
    forget(job);
    reply
}

fn refer(reason: Reason) -> Verdict {
    let obligations =
        [Obligation::EraseProbe, Obligation::RecordDecision, Obligation::NotifyOfficer];
    Verdict {
        outcome: Outcome::Refer,
        reasons: [reason].into_iter().collect(),
        obligations: obligations.into_iter().collect(),
    }
}

/// The last word against a policy that errs, or that is not the one for a gate: it can make a
/// verdict stricter, never laxer.
fn guarded(verdict: Verdict, facts: &Facts, attack_required: bool) -> Verdict {
    let documents = facts.comparisons.iter().filter_map(|comparison| comparison.document);
    let mut false_documents = documents.filter(|held| matches!(held, Authenticity::Invalid(_)));
    let attack_required = attack_required || facts.owed.contains(&Obligation::TestForAttacks);
    match verdict.outcome {
        _ if verdict.reasons.is_empty() => refer(POLICY_FAILED),
        Outcome::Admit if facts.engine != EngineFact::Sound => refer(ADMIT_WITHHELD),
        Outcome::Admit if false_documents.next().is_some() => refer(FALSE_DOCUMENT),
        Outcome::Admit if attack_required && facts.attack == Attack::NotPerformed => {
            refer(UNTESTED)
        }
        Outcome::Admit | Outcome::Refer | Outcome::Retry => verdict,
    }
}

fn entry(job: &Job, verdict: &Verdict, now_s: i64) -> AuditEntry {
    let facts = &job.facts;
    let asked = &facts.asked;
    let comparisons = match &job.goal {
        Goal::Verify { threshold } => facts
            .comparisons
            .iter()
            .map(|comparison| AuditComparison {
                document: comparison.document,
                score: comparison.score,
                threshold: comparison.threshold,
                fmr: threshold.fmr,
            })
            .collect(),
        Goal::Identify { .. } | Goal::Template | Goal::Reference => Vec::new(),
    };
    // A capture that may become a template is an administrative act; only its failure is a
    // decision.
    let admits = verdict.outcome == Outcome::Admit;
    let decided = !(admits && matches!(job.goal, Goal::Template));
    AuditEntry {
        transaction: job.transaction,
        at_s: now_s,
        caller: Some(asked.caller.clone()),
        action: asked.action,
        purpose: Some(asked.purpose),
        gallery: asked.gallery.clone(),
        subject: None,
        selection: None,
        outcome: decided.then_some(verdict.outcome),
        reasons: verdict.reasons.iter().map(|reason| reason.code).collect(),
        attack: facts.attack,
        comparisons,
        candidates: facts.identification.map(|search| search.candidates),
        erasure: None,
        at_lane: asked.at_lane.clone(),
        end: None,
        used: None,
        person: None,
    }
}

fn reply(job: &mut Job, verdict: Verdict) -> Reply {
    let facts = &job.facts;
    let comparisons = job.samples[1..].iter().zip(&facts.comparisons).map(|(sample, fact)| {
        let matched = fact.score.is_some_and(|score| score >= fact.threshold);
        let (reference, document, score) = (fact.reference, fact.document, fact.score);
        Comparison { reference, document, face: sample.face, score, matched }
    });
    let comparisons = comparisons.collect();
    let found = job.found.take();
    let certificate = found.as_ref().map(|found| found.certificate);
    let gives_template = matches!(job.goal, Goal::Template) && verdict.outcome == Outcome::Admit;
    let template = job.samples[0].template.take().filter(|_| gives_template);
    Reply {
        transaction: job.transaction,
        verdict,
        probe: facts.probe,
        face: job.probe().face,
        attack: facts.attack,
        comparisons,
        candidates: found.map(|found| found.candidates).unwrap_or_default(),
        certificate,
        template,
        spent: job.spent,
        late: false,
    }
}

/// What leaves when nothing may: that an officer is needed.
fn silent(job: &Job) -> Reply {
    let facts = &job.facts;
    Reply {
        transaction: job.transaction,
        verdict: refer(AUDIT_UNAVAILABLE),
        probe: facts.probe,
        face: None,
        attack: facts.attack,
        comparisons: Vec::new(),
        candidates: Vec::new(),
        certificate: None,
        template: None,
        spent: job.spent,
        late: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        Action, Asked, Caller, CaptureFact, ComparisonFact, DocumentFault, Obligations, Purpose,
        Reasons, Role, Score,
    };

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict { outcome, ..refer(Reason { code: "ANY", text: "Any." }) }
    }

    fn facts(engine: EngineFact, document: Option<Authenticity>) -> Facts {
        let (reference, threshold) = (CaptureFact::Usable, Score(10));
        let caller = Caller { role: Role::Gate, client: "gate-1".parse().expect("a name") };
        let (action, purpose) = (Action::Verify, Purpose::BorderControl);
        Facts {
            asked: Asked { caller, action, purpose, gallery: None, at_lane: None },
            owed: Obligations::NONE,
            probe: CaptureFact::Usable,
            attack: Attack::NotPerformed,
            comparisons: vec![ComparisonFact { reference, document, score: None, threshold }],
            identification: None,
            engine,
        }
    }

    #[test]
    fn a_verdict_is_only_ever_made_stricter() {
        let sound = |document| facts(EngineFact::Sound, document);
        for outcome in [Outcome::Admit, Outcome::Retry, Outcome::Refer] {
            for document in [None, Some(Authenticity::Valid)] {
                assert_eq!(guarded(verdict(outcome), &sound(document), false), verdict(outcome));
            }
            for engine in [EngineFact::Late, EngineFact::Lost] {
                let withheld = guarded(verdict(outcome), &facts(engine, None), false);
                assert_ne!(withheld.outcome, Outcome::Admit);
            }
            let untested = guarded(verdict(outcome), &sound(None), true);
            assert_ne!(untested.outcome, Outcome::Admit);
            let tested = Facts { attack: Attack::Score(0.1), ..sound(None) };
            assert_eq!(guarded(verdict(outcome), &tested, true), verdict(outcome));
            let invalid = Authenticity::Invalid(DocumentFault::Dg2HashMismatch);
            let withheld = guarded(verdict(outcome), &sound(Some(invalid)), false);
            assert_ne!(withheld.outcome, Outcome::Admit);
        }
        let mute = Verdict { reasons: Reasons::new(), ..verdict(Outcome::Admit) };
        assert_eq!(guarded(mute, &sound(None), false), refer(POLICY_FAILED));
    }
}
