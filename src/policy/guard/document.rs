//! A comparison with a document's photograph is worth what the document is worth (Frontex best
//! practice guidelines for automated border control, 4.4: the document is checked before the face
//! counts).
//!
//! A document that failed its check never opens a gate, whatever is configured. One that was not
//! checked, or whose check rests on something weak, does not where authentication is a duty.
//! References that are no document's (a picture, a template, an enrolled subject) claim nothing,
//! and this rule is silent about them.

use crate::{
    policy::guards::{DocumentRule, Finding},
    types::{Authenticity, Facts, Obligation, Outcome, Reason},
};

const NOT_AUTHENTICATED: Finding = Finding::new(
    Outcome::Refer,
    "DOCUMENT_NOT_AUTHENTICATED",
    "The document that the photograph comes from was not found to be genuine.",
);

/// The finding, and as a second one what the check itself gave as its reason.
pub(in crate::policy) fn consider(facts: &Facts, rule: DocumentRule) -> [Option<Finding>; 2] {
    let owed = facts.owed.contains(&Obligation::AuthenticateDocument);
    let rule = match rule {
        DocumentRule::NotRequired if owed => DocumentRule::Required,
        set => set,
    };
    let documents = facts.comparisons.iter().filter_map(|comparison| comparison.document);
    let mut refused = documents.filter(|&document| !suffices(document, rule));
    let Some(document) = refused.next() else { return [None, None] };
    let because = document
        .reason()
        .map(|(code, text)| Finding { outcome: Outcome::Refer, reason: Reason { code, text } });
    [Some(NOT_AUTHENTICATED), because]
}

fn suffices(document: Authenticity, rule: DocumentRule) -> bool {
    match document {
        Authenticity::Valid => true,
        Authenticity::Weak(_) => rule != DocumentRule::Required,
        Authenticity::NotChecked(_) => rule == DocumentRule::NotRequired,
        Authenticity::Invalid(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::{
        policy::{AttackRule, Guards, Policy},
        types::{DocumentFault, Unchecked, Weakness},
    };

    fn documents() -> Vec<Authenticity> {
        let faults = DocumentFault::ALL.iter().map(|&fault| Authenticity::Invalid(fault));
        let weak = Weakness::ALL.iter().map(|&weakness| Authenticity::Weak(weakness));
        let unchecked = Unchecked::ALL.iter().map(|&why| Authenticity::NotChecked(why));
        faults.chain(weak).chain(unchecked).chain([Authenticity::Valid]).collect()
    }

    #[test]
    fn table() {
        use DocumentRule::{NotRequired, Required, WeakAllowed};
        let invalid = Authenticity::Invalid(DocumentFault::Dg2HashMismatch);
        let weak = Authenticity::Weak(Weakness::Sha1Signature);
        let unchecked = Authenticity::NotChecked(Unchecked::SodAbsent);
        for (document, rule, expected) in [
            (None, Required, None),
            (Some(Authenticity::Valid), Required, None),
            (Some(weak), Required, Some("SHA1_SIGNATURE")),
            (Some(weak), WeakAllowed, None),
            (Some(weak), NotRequired, None),
            (Some(unchecked), Required, Some("SOD_ABSENT")),
            (Some(unchecked), WeakAllowed, Some("SOD_ABSENT")),
            (Some(unchecked), NotRequired, None),
            (Some(invalid), Required, Some("DG2_HASH_MISMATCH")),
            (Some(invalid), WeakAllowed, Some("DG2_HASH_MISMATCH")),
            (Some(invalid), NotRequired, Some("DG2_HASH_MISMATCH")),
        ] {
            let mut facts = cases::verification(&[Some(10), Some(10)]);
            facts.comparisons[1].document = document;
            let [finding, because] = consider(&facts, rule);
            assert_eq!(because.map(|held| held.reason.code), expected, "{document:?} {rule:?}");
            let expected = expected.map(|_| NOT_AUTHENTICATED);
            assert_eq!(finding, expected, "{document:?} {rule:?}");
        }
    }

    #[test]
    fn where_it_is_a_duty_only_a_genuine_document_opens_a_gate() {
        let policy = Guards::new(AttackRule::NotRequired);
        for document in documents() {
            let mut facts = cases::verification(&[Some(10)]);
            facts.comparisons[0].document = Some(document);
            let verdict = policy.decide(&facts);
            let opens = verdict.outcome == Outcome::Admit;
            assert_eq!(opens, document == Authenticity::Valid, "{document}: {verdict:?}");
            let told = |code| verdict.reasons.iter().any(|reason| reason.code == code);
            assert!(opens || told("DOCUMENT_NOT_AUTHENTICATED"), "{verdict:?}");
            assert!(document.code().is_none_or(told), "{document}: {verdict:?}");
        }
    }

    #[test]
    fn a_document_that_failed_opens_no_gate_under_any_rule() {
        let lax = Guards::new(AttackRule::NotRequired).documents(DocumentRule::NotRequired);
        for &fault in DocumentFault::ALL {
            let mut facts = cases::verification(&[Some(10)]);
            facts.comparisons[0].document = Some(Authenticity::Invalid(fault));
            assert_eq!(lax.decide(&facts).outcome, Outcome::Refer, "{fault:?}");
        }
    }
}
