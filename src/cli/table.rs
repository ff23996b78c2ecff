//! A decision, for people.

use std::path::PathBuf;

use super::tell::{Ink, Tell};
use crate::{
    command::{Compared, Decision},
    types::{Attack, CaptureFact, Outcome, Threshold},
};

/// A threshold with where it comes from, in one line.
pub(super) fn threshold(threshold: &Threshold) -> String {
    format!(
        "threshold {:.3} for a false match rate of {:e} on {}",
        threshold.similarity, threshold.fmr, threshold.basis
    )
}

/// What a capture gave, in words.
pub(super) fn capture(fact: CaptureFact) -> &'static str {
    match fact {
        CaptureFact::Usable => "usable",
        CaptureFact::NoFace => "no face found",
        CaptureFact::SeveralFaces => "several faces of comparable size",
        CaptureFact::FaceTooSmall => "face too small",
        CaptureFact::OffCentre => "face off centre",
        CaptureFact::PoorQuality => "poor quality",
    }
}

/// Outcome and reasons.
pub(super) fn verdict(decision: &Decision, tell: Tell) {
    let ink = match decision.verdict.outcome {
        Outcome::Admit => Ink::Good,
        Outcome::Retry => Ink::Care,
        Outcome::Refer => Ink::Bad,
    };
    for (at, reason) in decision.verdict.reasons.iter().enumerate() {
        let outcome = if at == 0 { decision.verdict.outcome.to_string() } else { String::new() };
        let outcome = tell.ink(ink, format!("{outcome:<6}"));
        tell.line(format!("{outcome} {} ({})", reason.text, reason.code));
    }
}

/// What presentation attack detection said; nothing where none ran.
pub(super) fn attack(attack: Attack, tell: Tell) {
    match attack {
        Attack::NotPerformed => {}
        Attack::Score(score) => {
            tell.line(format!("presentation attack score {score:.3} (0 bona fide, 1 attack)"));
        }
    }
}

/// One line per comparison.
pub(super) fn comparisons(decision: &Decision, references: &[PathBuf], tell: Tell) {
    if decision.probe != CaptureFact::Usable {
        tell.line(format!(
            "{} the probe: {}",
            tell.ink(Ink::Care, "unusable"),
            capture(decision.probe)
        ));
    }
    for compared in &decision.comparisons {
        let name = references.get(compared.reference).map(|path| path.display().to_string());
        tell.line(format!(
            "{}  {}",
            comparison(compared, decision, tell),
            name.unwrap_or_default()
        ));
    }
}

fn comparison(compared: &Compared, decision: &Decision, tell: Tell) -> String {
    match (compared.score, compared.matched) {
        (None, _) => {
            let why = match compared.capture {
                CaptureFact::Usable => "not compared",
                other => capture(other),
            };
            tell.ink(Ink::Care, why)
        }
        (Some(score), true) => {
            let similarity = score.similarity(decision.scale);
            format!("{} {similarity:>7.4}", tell.ink(Ink::Good, "match   "))
        }
        (Some(score), false) => {
            let similarity = score.similarity(decision.scale);
            format!("{} {similarity:>7.4}", tell.ink(Ink::Bad, "no match"))
        }
    }
}
