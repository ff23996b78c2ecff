//! The decide stage: facts → verdict → audit → reply.
//!
//! What is decided in one turn is recorded in one write, so that a slow medium is waited for once.
//!
//! Recording takes time, too. An Admit whose deadline has passed when it is written is taken back
//! ([`Decide::withhold`]): a gate that opens late may open for somebody else.
//!
//! Invariant: nothing leaves before its audit entry is written; when it cannot be written, nothing
//! leaves but Refer. Whatever a policy says, an engine that was late or lost never opens a gate,
//! nor does a document that failed its check, nor at a border one that was not checked.
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
    limits::SEARCH_PROBES_MAX,
    policy::Policy,
    types::{
        Attack, Authenticity, EngineFact, Facts, Obligation, Outcome, Purpose, Reason, Verdict,
    },
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

/// As the rules say it of a deadline that passed before they were asked.
pub(crate) const ENGINE_LATE: Reason =
    Reason { code: "ENGINE_LATE", text: "The answer did not come before its deadline." };
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
const UNCHECKED_DOCUMENT: Reason = Reason {
    code: "DOCUMENT_NOT_AUTHENTICATED",
    text: "The rules would admit at a border although a document was not checked.",
};
const UNTESTED: Reason = Reason {
    code: "ATTACK_DETECTION_NOT_PERFORMED",
    text: "The rules would admit although the face was not tested for a presentation attack.",
};

/// Decides and records.
pub(super) struct Decide {
    policy: Arc<dyn Policy>,
    audit: Arc<dyn AuditSink>,
    /// One per job of a turn; empty between turns.
    verdicts: Vec<Verdict>,
    entries: Vec<AuditEntry>,
}

impl Decide {
    pub(super) fn new(policy: Arc<dyn Policy>, audit: Arc<dyn AuditSink>) -> Self {
        let (verdicts, entries) =
            (Vec::with_capacity(SEARCH_PROBES_MAX), Vec::with_capacity(SEARCH_PROBES_MAX));
        Self { policy, audit, verdicts, entries }
    }

    /// The same rules and the same audit, for another line.
    pub(super) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.policy), Arc::clone(&self.audit))
    }

    /// Turns what is known of each job into its reply, in their order, at the end of `replies`. The
    /// jobs' frames and templates are gone afterwards, except for templates that are the answer.
    pub(super) fn step(&mut self, now_s: i64, jobs: &mut [Job], replies: &mut Vec<Reply>) {
        for job in &mut *jobs {
            job.find_facts();
            self.verdicts.push(self.verdict(job));
        }
        // Here the verdicts are made; what follows writes them down, and may allocate.
        let decided = jobs.iter().zip(&self.verdicts).filter(|(job, _)| job.is_decided());
        self.entries.extend(decided.map(|(job, verdict)| entry(job, verdict, now_s)));
        let recorded = self.record();
        self.entries.clear();
        for (job, verdict) in jobs.iter_mut().zip(self.verdicts.drain(..)) {
            replies.push(match recorded {
                _ if !job.is_decided() => prepared(job, verdict),
                Ok(()) => reply(job, verdict),
                Err(_) => silent(job),
            });
            forget(job);
        }
    }

    /// Takes back every Admit that is too late at `now_us`, and records that; true when there was
    /// one. What is told is Refer, whether or not that can be written.
    pub(super) fn withhold(
        &mut self,
        (now_us, now_s): (u64, i64),
        jobs: &[Job],
        replies: &mut [Reply],
    ) -> bool {
        for (job, reply) in jobs.iter().zip(replies) {
            let admits = reply.verdict.outcome == Outcome::Admit;
            if admits && now_us >= job.deadline_us {
                reply.verdict = refer(ENGINE_LATE);
                reply.template = None;
                self.entries.push(entry(job, &reply.verdict, now_s));
            }
        }
        let withheld = !self.entries.is_empty();
        if let Err(error) = self.record() {
            tracing::error!(%error, "an Admit that came too late is Refer, which the audit lacks");
        }
        self.entries.clear();
        withheld
    }

    fn verdict(&self, job: &Job) -> Verdict {
        if !job.is_decided() {
            return refer(match job.engine {
                EngineFact::Sound => PREPARED,
                EngineFact::Late => NOT_IN_TIME,
                EngineFact::Lost => NOT_PREPARED,
            });
        }
        let facts = &job.facts;
        // Unwind safety: the facts are only read, and a policy keeps no state.
        catch_unwind(AssertUnwindSafe(|| self.policy.decide(facts))).map_or_else(
            |_| refer(POLICY_FAILED),
            |verdict| guarded(verdict, facts, job.presentation.required),
        )
    }

    fn record(&self) -> Result<(), AuditError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        // Unwind safety: a sink that panics has not promised that the entries survive.
        catch_unwind(AssertUnwindSafe(|| self.audit.record(&self.entries))).unwrap_or_else(|_| {
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
fn prepared(job: &mut Job, verdict: Verdict) -> Reply {
    let sound = job.engine == EngineFact::Sound;
    let template = job.samples[0].template.take().filter(|_| sound);
    Reply { template, ..reply(job, verdict) }
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
    let mut documents = facts.comparisons.iter().filter_map(|comparison| comparison.document);
    let is_unchecked = |held| matches!(held, Authenticity::NotChecked(_));
    let at_border = facts.asked.purpose == Purpose::BorderControl;
    let attack_required = attack_required || facts.owed.contains(&Obligation::TestForAttacks);
    match verdict.outcome {
        _ if verdict.reasons.is_empty() => refer(POLICY_FAILED),
        Outcome::Admit if facts.engine != EngineFact::Sound => refer(ADMIT_WITHHELD),
        Outcome::Admit if documents.clone().any(Authenticity::is_invalid) => refer(FALSE_DOCUMENT),
        Outcome::Admit if at_border && documents.any(is_unchecked) => refer(UNCHECKED_DOCUMENT),
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
        subject: asked.subject,
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
        strangers: None,
        person: None,
        frames: None,
        by_hand_ms: None,
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
        Action, Asked, Caller, CaptureFact, ComparisonFact, DocumentFault, Obligations, Reasons,
        Role, Score, Unchecked, Weakness,
    };

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict { outcome, ..refer(Reason { code: "ANY", text: "Any." }) }
    }

    fn facts(engine: EngineFact, document: Option<Authenticity>) -> Facts {
        let (reference, threshold) = (CaptureFact::Usable, Score(10));
        let caller = Caller { role: Role::Gate, client: "gate-1".parse().expect("a name") };
        let (action, purpose) = (Action::Verify, Purpose::BorderControl);
        Facts {
            asked: Asked { caller, action, purpose, gallery: None, at_lane: None, subject: None },
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

    #[test]
    fn no_policy_admits_an_unchecked_document_at_a_border() {
        let of = |purpose, document| {
            let mut facts = facts(EngineFact::Sound, Some(document));
            facts.asked.purpose = purpose;
            guarded(verdict(Outcome::Admit), &facts, false).outcome
        };
        for &why in Unchecked::ALL {
            let unchecked = Authenticity::NotChecked(why);
            assert_eq!(of(Purpose::BorderControl, unchecked), Outcome::Refer);
            assert_eq!(of(Purpose::Boarding, unchecked), Outcome::Admit, "the rules' business");
        }
        for &fault in DocumentFault::ALL {
            let purposes = [Purpose::BorderControl, Purpose::Boarding];
            let of = |purpose| of(purpose, Authenticity::Invalid(fault));
            assert_eq!(purposes.map(of), [Outcome::Refer; 2]);
        }
        // Which weaknesses are accepted is configured, and the rules know it.
        let weak = Authenticity::Weak(Weakness::CrlStale.into());
        assert_eq!(of(Purpose::BorderControl, weak), Outcome::Admit);
    }
}
