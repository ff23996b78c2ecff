//! The guards, put together: facts against what the law said is owed.
//!
//! Each guard looks at the facts and may find something: an outcome with its reason. The
//! most cautious finding wins (Refer, then Retry, then Admit), all reasons of that outcome are
//! told, and facts about which no rule finds anything are referred. An Admit therefore needs one
//! rule that admits and none that objects.

use super::{Policy, guard};
use crate::types::{Facts, Obligation, Obligations, Outcome, Reason, Reasons, Verdict};

/// Score from which a presentation counts as a suspected attack where no other is set.
pub const ATTACK_SCORE_SUSPECTED: f32 = 0.5;

const NO_RULE_ADMITS: Reason =
    Reason { code: "NO_RULE_ADMITS", text: "No rule provides for this case; an officer decides." };

/// Whether a gate may open without a presentation-attack result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttackRule {
    /// No result, no Admit.
    Required,
    /// A missing result does not object; a bad one does.
    NotRequired,
}

/// What a document must be found to be before its photograph may open a gate. One that failed its
/// check never may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentRule {
    /// Genuine, without a reservation.
    Required,
    /// Genuine; what the check rests on may be weak.
    WeakAllowed,
    /// Not found to be false.
    NotRequired,
}

/// What one rule says about the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
}

impl Finding {
    pub(super) const fn new(outcome: Outcome, code: &'static str, text: &'static str) -> Self {
        Self { outcome, reason: Reason { code, text } }
    }
}

/// The guards. What they demand is what the site sets or the law's texts owe, whichever is
/// stricter.
#[derive(Debug, Clone, Copy)]
pub struct Guards {
    attack: AttackRule,
    attack_threshold: f32,
    documents: DocumentRule,
}

impl Guards {
    /// The rules, with or without the duty to detect presentation attacks. Documents must be
    /// genuine until [`Self::documents`] says otherwise, and an attack is suspected from
    /// [`ATTACK_SCORE_SUSPECTED`] until [`Self::attack_threshold`] does.
    #[must_use]
    pub fn new(attack: AttackRule) -> Self {
        let attack_threshold = ATTACK_SCORE_SUSPECTED;
        Self { attack, attack_threshold, documents: DocumentRule::Required }
    }

    /// The same rules with another score from which a presentation is suspected to be an attack.
    #[must_use]
    pub fn attack_threshold(self, attack_threshold: f32) -> Self {
        Self { attack_threshold, ..self }
    }

    /// The same rules with another duty about documents.
    #[must_use]
    pub fn documents(self, documents: DocumentRule) -> Self {
        Self { documents, ..self }
    }

    /// Every rule's finding, in the order in which a reader would ask.
    fn findings(self, facts: &Facts) -> [Option<Finding>; 9] {
        let [document, because] = guard::document::consider(facts, self.documents);
        [
            guard::engine::consider(facts),
            guard::attack::consider(facts, self.attack, self.attack_threshold),
            document,
            because,
            guard::capture::consider(facts),
            guard::reference::consider(facts),
            guard::verification::consider(facts),
            guard::identification::consider(facts),
            guard::template::consider(facts),
        ]
    }
}

impl Policy for Guards {
    fn decide(&self, facts: &Facts) -> Verdict {
        let findings = self.findings(facts);
        let reasons_for = |outcome: Outcome| -> Reasons {
            let of = findings.iter().flatten().filter(|finding| finding.outcome == outcome);
            of.map(|finding| finding.reason).collect()
        };
        for outcome in [Outcome::Refer, Outcome::Retry, Outcome::Admit] {
            let reasons = reasons_for(outcome);
            if !reasons.is_empty() {
                return verdict(facts, outcome, reasons);
            }
        }
        verdict(facts, Outcome::Refer, [NO_RULE_ADMITS].into_iter().collect())
    }
}

/// Every decision erases the probe and is recorded; a referral also calls an officer. What the law
/// owes falls due with the outcome that it is about.
fn verdict(facts: &Facts, outcome: Outcome, reasons: Reasons) -> Verdict {
    let mut obligations: Obligations =
        facts.owed.iter().filter(|&owed| falls_due(owed, outcome)).collect();
    obligations.push(Obligation::EraseProbe);
    obligations.push(Obligation::RecordDecision);
    match outcome {
        Outcome::Refer => obligations.push(Obligation::NotifyOfficer),
        Outcome::Admit | Outcome::Retry => {}
    }
    Verdict { outcome, reasons, obligations }
}

/// Whoever matched is erased when the gate opens; whoever did not is discarded when it does not. At
/// a list a hit is what is referred, so input of matches and confirmation belong to Refer.
fn falls_due(owed: Obligation, outcome: Outcome) -> bool {
    match owed {
        Obligation::EraseOnMatch | Obligation::SendEntryEvent => outcome == Outcome::Admit,
        Obligation::ConfirmByTwo
        | Obligation::DoubtFavoursGuest
        | Obligation::KeepMatchedInput
        | Obligation::NotifyOfficer
        | Obligation::PersonDecides => outcome == Outcome::Refer,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::guard::cases, *};
    use crate::types::{Action, Attack, CaptureFact, EngineFact, Purpose, Score};

    fn capture() -> impl Strategy<Value = CaptureFact> {
        prop_oneof![
            4 => Just(CaptureFact::Usable),
            1 => prop::sample::select(cases::UNUSABLE.to_vec()),
        ]
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let comparison =
            (capture(), prop::option::weighted(0.9, 5..20_i32)).prop_map(|(reference, score)| {
                crate::types::ComparisonFact {
                    reference,
                    document: None,
                    score: score.map(Score),
                    threshold: Score(10),
                }
            });
        let identification =
            (0..3_u32, prop::bool::weighted(0.8)).prop_map(|(candidates, current)| {
                crate::types::IdentificationFact { candidates, doubtful: 0, current }
            });
        let attack = prop_oneof![
            Just(Attack::NotPerformed),
            (-0.5_f32..1.5).prop_map(Attack::Score),
            Just(Attack::Score(f32::NAN)),
        ];
        let engine = prop_oneof![
            6 => Just(EngineFact::Sound),
            1 => Just(EngineFact::Late),
            1 => Just(EngineFact::Lost),
        ];
        (
            prop::sample::select(cases::ACTIONS.to_vec()),
            prop::sample::select(cases::PURPOSES.to_vec()),
            capture(),
            attack,
            prop::collection::vec(comparison, 0..4),
            prop::option::of(identification),
            engine,
        )
            .prop_map(
                |(action, purpose, probe, attack, comparisons, identification, engine)| Facts {
                    asked: cases::asked(action, purpose),
                    owed: Obligations::NONE,
                    probe,
                    attack,
                    comparisons,
                    identification,
                    engine,
                },
            )
    }

    /// Every way in which `facts` can fail, said without the rules.
    fn something_fails(facts: &Facts, attack: AttackRule) -> bool {
        let attack_fails = match facts.attack {
            Attack::NotPerformed => {
                let opens = matches!(facts.asked.action, Action::Identify | Action::Verify);
                opens && attack == AttackRule::Required
            }
            Attack::Score(score) => !(0.0..0.5).contains(&score),
        };
        let comparison_fails = facts.comparisons.iter().any(|comparison| {
            comparison.reference != CaptureFact::Usable
                || comparison.score.is_none_or(|score| score < comparison.threshold)
        });
        let answer_fails = match facts.asked.action {
            Action::Verify => facts.comparisons.is_empty(),
            Action::Identify => facts.identification.is_none_or(|search| {
                !search.current
                    || (search.candidates == 0) != (facts.asked.purpose == Purpose::Watchlist)
            }),
            Action::Embed | Action::Enrol | Action::IssueToken | Action::Replace => false,
            _ => true,
        };
        facts.engine != EngineFact::Sound
            || facts.probe != CaptureFact::Usable
            || attack_fails
            || comparison_fails
            || answer_fails
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_verdict_has_a_reason_and_never_admits_on_a_failing_fact(
            facts in facts(),
            required in any::<bool>(),
        ) {
            let attack = if required { AttackRule::Required } else { AttackRule::NotRequired };
            let verdict = Guards::new(attack).decide(&facts);
            prop_assert!(!verdict.reasons.is_empty());
            prop_assert!(verdict.obligations.contains(&Obligation::EraseProbe));
            prop_assert!(verdict.obligations.contains(&Obligation::RecordDecision));
            if something_fails(&facts, attack) {
                prop_assert_ne!(verdict.outcome, Outcome::Admit, "{:?}: {:?}", facts, verdict);
            }
            if facts.engine != EngineFact::Sound {
                prop_assert_eq!(verdict.outcome, Outcome::Refer);
            }
        }
    }

    #[test]
    fn what_no_rule_provides_for_is_referred() {
        let facts = cases::facts(Action::Erase, Purpose::Boarding);
        let verdict = Guards::new(AttackRule::NotRequired).decide(&facts);
        assert_eq!(verdict.outcome, Outcome::Refer);
        assert_eq!(verdict.reasons[..], [NO_RULE_ADMITS]);
    }
}
