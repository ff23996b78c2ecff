//! A comparison with a document's photograph is worth what the document is worth (Frontex best
//! practice guidelines for automated border control, 4.4: the document is checked before the face
//! counts).
//!
//! A document that failed its check never opens a gate, whatever is configured. One that was not
//! checked, or that is weak in a way that the operator has not accepted by name, does not where
//! authentication is a duty; at a border it always is.
//! References that are no document's (a picture, a template, an enrolled subject) claim nothing,
//! and this rule is silent about them beside a document. Alone they are not enough where the law
//! owes an authenticated document: whoever could leave a false one out would have passed its check.

use crate::{
    policy::guards::{DocumentRule, Finding},
    types::{Authenticity, Facts, Obligation, Outcome, Purpose, Reason, Weaknesses},
};

const NOT_AUTHENTICATED: Finding = Finding::new(
    Outcome::Refer,
    "DOCUMENT_NOT_AUTHENTICATED",
    "The document that the photograph comes from was not found to be genuine.",
);

/// The finding, and as a second one what the check itself gave as its reason.
pub(in crate::policy) fn consider(facts: &Facts, rule: DocumentRule) -> [Option<Finding>; 2] {
    let owed = facts.owed.contains(&Obligation::AuthenticateDocument)
        || facts.asked.purpose == Purpose::BorderControl;
    let rule = match rule {
        DocumentRule::NotRequired if owed => DocumentRule::Required,
        set => set,
    };
    let mut documents = facts.comparisons.iter().filter_map(|comparison| comparison.document);
    let is_left_out = facts.owed.contains(&Obligation::AuthenticateDocument)
        && !facts.comparisons.is_empty()
        && documents.clone().next().is_none();
    if is_left_out {
        return [Some(NOT_AUTHENTICATED), None];
    }
    let Some(refused) = documents.find_map(|document| refused(document, rule)) else {
        return [None, None];
    };
    let because = refused
        .reason()
        .map(|(code, text)| Finding { outcome: Outcome::Refer, reason: Reason { code, text } });
    [Some(NOT_AUTHENTICATED), because]
}

/// What of a document's verdict the rule does not take.
fn refused(document: Authenticity, rule: DocumentRule) -> Option<Authenticity> {
    let weak = |accepted| match document {
        Authenticity::Valid => None,
        Authenticity::Weak(held) => {
            let rest = held.without(accepted);
            (!rest.is_empty()).then_some(Authenticity::Weak(rest))
        }
        Authenticity::NotChecked(_) | Authenticity::Invalid(_) => Some(document),
    };
    match rule {
        DocumentRule::Required => weak(Weaknesses::NONE),
        DocumentRule::WeakAllowed(accepted) => weak(accepted),
        DocumentRule::NotRequired => Some(document).filter(|held| held.is_invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::{
        policy::{AttackRule, Guards, Policy},
        types::{Action, DocumentFault, Obligations, Unchecked, Weakness},
    };

    fn documents() -> Vec<Authenticity> {
        let faults = DocumentFault::ALL.iter().map(|&fault| Authenticity::Invalid(fault));
        let weak = Weakness::ALL.iter().map(|&weakness| Authenticity::Weak(weakness.into()));
        let unchecked = Unchecked::ALL.iter().map(|&why| Authenticity::NotChecked(why));
        faults.chain(weak).chain(unchecked).chain([Authenticity::Valid]).collect()
    }

    #[test]
    fn table() {
        use DocumentRule::{NotRequired, Required, WeakAllowed};
        let invalid = Authenticity::Invalid(DocumentFault::Dg2HashMismatch);
        let sha1 = Weaknesses::from(Weakness::Sha1Signature);
        let stale = Weaknesses::from(Weakness::CrlStale);
        let weak = Authenticity::Weak(sha1);
        let twice = Authenticity::Weak(sha1.with(Weakness::CrlStale));
        let unchecked = Authenticity::NotChecked(Unchecked::SodAbsent);
        for (document, rule, expected) in [
            (None, Required, None),
            (Some(Authenticity::Valid), Required, None),
            (Some(weak), Required, Some("SHA1_SIGNATURE")),
            (Some(weak), WeakAllowed(sha1), None),
            (Some(weak), WeakAllowed(stale), Some("SHA1_SIGNATURE")),
            (Some(twice), WeakAllowed(sha1), Some("CRL_STALE")),
            (Some(twice), WeakAllowed(stale), Some("SHA1_SIGNATURE")),
            (Some(twice), WeakAllowed(sha1.with(Weakness::CrlStale)), None),
            (Some(weak), NotRequired, None),
            (Some(unchecked), Required, Some("SOD_ABSENT")),
            (Some(unchecked), WeakAllowed(sha1), Some("SOD_ABSENT")),
            (Some(unchecked), NotRequired, None),
            (Some(invalid), Required, Some("DG2_HASH_MISMATCH")),
            (Some(invalid), WeakAllowed(sha1), Some("DG2_HASH_MISMATCH")),
            (Some(invalid), NotRequired, Some("DG2_HASH_MISMATCH")),
        ] {
            let mut facts = cases::verification(&[Some(10), Some(10)]);
            facts.asked = cases::asked(Action::Verify, Purpose::Boarding);
            facts.comparisons[1].document = document;
            let [finding, because] = consider(&facts, rule);
            assert_eq!(because.map(|held| held.reason.code), expected, "{document:?} {rule:?}");
            let expected = expected.map(|_| NOT_AUTHENTICATED);
            assert_eq!(finding, expected, "{document:?} {rule:?}");
        }
    }

    #[test]
    fn at_a_border_it_is_always_a_duty() {
        for document in documents() {
            let mut facts = cases::verification(&[Some(10)]);
            facts.comparisons[0].document = Some(document);
            let [lax, strict] =
                [DocumentRule::NotRequired, DocumentRule::Required].map(|r| consider(&facts, r));
            assert_eq!(lax, strict, "{document}");
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
    fn where_the_law_owes_a_document_none_may_be_left_out() {
        let policy = Guards::new(AttackRule::NotRequired).documents(DocumentRule::NotRequired);
        let owed: Obligations = [Obligation::AuthenticateDocument].into_iter().collect();
        for (documents, expected) in [
            ([None, None], Outcome::Refer),
            ([Some(Authenticity::Valid), None], Outcome::Admit),
            ([None, Some(Authenticity::Valid)], Outcome::Admit),
        ] {
            let mut facts = cases::verification(&[Some(10), Some(10)]);
            facts.owed = owed;
            for (comparison, document) in facts.comparisons.iter_mut().zip(documents) {
                comparison.document = document;
            }
            assert_eq!(policy.decide(&facts).outcome, expected, "{documents:?}");
            facts.comparisons.clear();
            assert_eq!(consider(&facts, DocumentRule::Required)[0], None, "nobody was compared");
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
