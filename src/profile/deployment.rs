//! How far a site is: draft, assessed, active. A step cannot be skipped, and what was assessed is
//! what may be used: another purpose, model, class of threshold or profile opens the assessment
//! anew.
//!
//! Invariant: pure; the record is a value, its owner keeps it and has every step in the audit.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Profile;
use crate::types::{Hash256, Purpose, Stage, TemplateKind};

/// What an assessment is about. Its hash is what the record keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject<'a> {
    /// The profile's text, as it was read.
    pub profile: &'a Profile,
    /// What the site is for.
    pub purpose: Purpose,
    /// Model and calibration.
    pub kind: TemplateKind,
    /// The false match rate that thresholds follow; its power of ten is the class.
    pub fmr: f64,
}

impl Subject<'_> {
    /// The hash that an assessment is bound to.
    #[must_use]
    pub fn hash(&self) -> Hash256 {
        let class = self.fmr.log10().round();
        let hash = Sha256::new()
            .chain_update(self.profile.text_hash.as_bytes())
            .chain_update(format!("\n{:?}\n{:?}\n{class}", self.purpose, self.kind));
        Hash256::from_bytes(hash.finalize().into())
    }
}

/// What is recorded about a site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// What was assessed; `None` before the first time.
    pub assessed: Option<Approval>,
    /// What was put into use.
    pub activated: Option<Approval>,
}

/// A step, with who took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Hash of what was approved.
    pub subject: String,
    /// Who approved it; a name of the configuration.
    pub by: String,
    /// Civil time in seconds, UTC.
    pub at_s: i64,
}

/// Why a step was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepRefused {
    /// The profile is not complete.
    #[error("the profile is not complete: {}", faults.join("; "))]
    Incomplete {
        /// What is missing, one sentence each.
        faults: Vec<String>,
    },
    /// Nothing was assessed, or something else was.
    #[error(
        "what is to be used was not assessed: purpose, model, class of threshold or profile are \
         others than those of the assessment; assess the site first"
    )]
    NotAssessed,
    /// The assessment lies after its use began, or in the future.
    #[error("the assessment is dated after now: an assessment comes before use")]
    Dated,
}

impl Deployment {
    /// How far the site is, for what it would be used for now.
    #[must_use]
    pub fn stage(&self, subject: &Subject<'_>) -> Stage {
        let hash = subject.hash().to_string();
        let is_of = |step: &Option<Approval>| step.as_ref().is_some_and(|it| it.subject == hash);
        match (is_of(&self.assessed), is_of(&self.activated)) {
            (true, true) => Stage::Active,
            (true, false) => Stage::Assessed,
            (false, _) => Stage::Draft,
        }
    }

    /// Whether something was assessed once that is not what would be used now.
    #[must_use]
    pub fn is_outdated(&self, subject: &Subject<'_>) -> bool {
        self.assessed.is_some() && self.stage(subject) == Stage::Draft
    }

    /// Records that the site was assessed.
    ///
    /// # Errors
    /// [`StepRefused`].
    pub fn assess(
        &mut self,
        subject: &Subject<'_>,
        by: &str,
        now_s: i64,
    ) -> Result<(), StepRefused> {
        let faults = subject.profile.faults(now_s);
        if !faults.is_empty() {
            let faults = faults.iter().map(ToString::to_string).collect();
            return Err(StepRefused::Incomplete { faults });
        }
        self.assessed = Some(approval(subject, by, now_s));
        self.activated = None;
        Ok(())
    }

    /// Puts the site into use.
    ///
    /// # Errors
    /// [`StepRefused`].
    pub fn activate(
        &mut self,
        subject: &Subject<'_>,
        by: &str,
        now_s: i64,
    ) -> Result<(), StepRefused> {
        match (self.stage(subject), &self.assessed) {
            (Stage::Draft, _) | (_, None) => return Err(StepRefused::NotAssessed),
            (_, Some(assessed)) if assessed.at_s > now_s => return Err(StepRefused::Dated),
            (Stage::Assessed | Stage::Active, Some(_)) => {}
        }
        self.activated = Some(approval(subject, by, now_s));
        Ok(())
    }
}

fn approval(subject: &Subject<'_>, by: &str, at_s: i64) -> Approval {
    Approval { subject: subject.hash().to_string(), by: by.to_owned(), at_s }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::complete;

    fn kind(model: u8) -> TemplateKind {
        TemplateKind {
            model: Hash256::from_bytes([model; 32]),
            calibration: Hash256::from_bytes([2; 32]),
            dims: 128,
        }
    }

    #[test]
    fn se_1_se_5_no_step_is_skipped_and_another_model_opens_the_assessment_anew() {
        let profile = complete("reentry-daily");
        let now_s = 1_800_000_000;
        let subject = Subject {
            profile: &profile,
            purpose: Purpose::AccessControl,
            kind: kind(1),
            fmr: 1e-4,
        };
        let mut site = Deployment::default();
        assert_eq!(site.activate(&subject, "desk", now_s), Err(StepRefused::NotAssessed));
        site.assess(&subject, "dpo", now_s).expect("complete");
        assert_eq!(site.stage(&subject), Stage::Assessed);
        site.activate(&subject, "desk", now_s + 1).expect("assessed");
        assert_eq!(site.stage(&subject), Stage::Active);
        for changed in [
            Subject { kind: kind(9), ..subject.clone() },
            Subject { purpose: Purpose::Watchlist, ..subject.clone() },
            Subject { fmr: 1e-3, ..subject.clone() },
        ] {
            assert_eq!(site.stage(&changed), Stage::Draft);
            assert!(site.is_outdated(&changed));
            assert_eq!(
                site.clone().activate(&changed, "desk", now_s),
                Err(StepRefused::NotAssessed)
            );
        }
        let finer = Subject { fmr: 1.2e-4, ..subject.clone() };
        assert_eq!(site.stage(&finer), Stage::Active, "the same class");
        let draft = complete_without_controller();
        let subject = Subject { profile: &draft, ..subject };
        assert!(matches!(site.assess(&subject, "dpo", now_s), Err(StepRefused::Incomplete { .. })));
    }

    fn complete_without_controller() -> Profile {
        let mut profile = complete("reentry-daily");
        profile.controller.name.clear();
        profile
    }
}
