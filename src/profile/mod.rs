//! What a site is: controller, purpose, legal basis, necessity, notices, retention, hours, other
//! ways in. A profile is text (`profiles/*.toml`); a deployer copies one and fills it in.
//!
//! [`Profile::parse`] refuses what no profile may say; [`Profile::faults`] tells what one still
//! lacks before it can be assessed; [`Profile::site`] is what the policy's texts are told. How far
//! a site is (draft, assessed, active) is [`deployment`]; when its day ends is [`civil`].
//!
//! Invariant: pure; a profile decides nothing: it is facts for the law.

mod address;
mod check;
pub mod civil;
pub mod deployment;
mod facts;
pub mod text;

use crate::types::{Hash256, Purpose};
pub use address::{Address, AddressError};
pub use check::Fault;
pub use deployment::{Approval, Deployment, StepRefused, Subject};
pub use facts::Running;
pub use text::{
    Alternatives, Assessment, Capture, Controller, Dpia, Events, Exemption, Legal, Necessity,
    Notices, Officers, Profile, Residence, Retention, Step, Watchlist, Weighed, Window,
};

/// The profiles that come with the appliance, by name.
pub const SHIPPED: [(&str, &str); 9] = [
    ("egate-passport", include_str!("../../profiles/egate-passport.toml")),
    ("egate-holder-token", include_str!("../../profiles/egate-holder-token.toml")),
    ("egate-holder-key", include_str!("../../profiles/egate-holder-key.toml")),
    ("boarding-gallery", include_str!("../../profiles/boarding-gallery.toml")),
    ("reentry-daily", include_str!("../../profiles/reentry-daily.toml")),
    ("facevault-2009", include_str!("../../profiles/facevault-2009.toml")),
    ("watchlist", include_str!("../../profiles/watchlist.toml")),
    ("residence", include_str!("../../profiles/residence.toml")),
    ("device-unlock", include_str!("../../profiles/device-unlock.toml")),
];

/// Why a text is no profile. The deployer must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It has another form.
    #[error("{path}:{line}: {why}; the profiles that come with the appliance show every key")]
    Text {
        /// The file, or the name of the profile.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// It says what no profile may say.
    #[error("{path}: {fault}")]
    Forbidden {
        /// The file, or the name of the profile.
        path: String,
        /// What.
        fault: Fault,
    },
    /// No profile of that name comes with the appliance.
    #[error("no profile is called `{name}`; there are {}", names())]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

fn names() -> String {
    SHIPPED.map(|(name, _)| name).join(", ")
}

impl Profile {
    /// The profile of that name that comes with the appliance.
    ///
    /// # Errors
    /// [`ProfileError::Unknown`].
    pub fn shipped(name: &str) -> Result<Self, ProfileError> {
        let found = SHIPPED.iter().find(|(held, _)| *held == name);
        let unknown = || ProfileError::Unknown { name: name.to_owned() };
        let (name, text) = found.ok_or_else(unknown)?;
        Self::parse(text, name)
    }

    /// Reads a profile's text; `path` is for messages.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(text: &str, path: &str) -> Result<Self, ProfileError> {
        let mut profile: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let why = error.message().trim().to_owned();
            ProfileError::Text { path: path.to_owned(), line, why }
        })?;
        profile.text_hash = Hash256::of(text.as_bytes());
        let forbidden = |fault| ProfileError::Forbidden { path: path.to_owned(), fault };
        profile.forbidden().map_or(Ok(()), |fault| Err(forbidden(fault)))?;
        Ok(profile)
    }

    /// What it is for, as requests name it.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.legal.purpose.into()
    }

    /// Whether persons need training that counts before they search, enrol or confirm: everywhere,
    /// unless the profile says otherwise, but where one holder unlocks a device.
    #[must_use]
    pub fn asks_training(&self) -> bool {
        self.officers.training_required && self.place != text::PlaceWord::Household
    }

    /// When its day ends, where it has hours.
    #[must_use]
    pub fn hours(&self) -> Option<civil::Hours> {
        let window = self.window.as_ref()?;
        civil::Hours::new(&window.zone, &window.opens, &window.closes).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A shipped profile with everything filled in that a deployer fills in.
    pub(crate) fn complete(name: &str) -> Profile {
        let mut profile = Profile::shipped(name).expect("it comes with the appliance");
        let filled = |text: &mut String| {
            if text.is_empty() {
                "reference 7".clone_into(text);
            }
        };
        let day = |text: &mut String| {
            if text.is_empty() {
                "2026-01-15".clone_into(text);
            }
        };
        let p = &mut profile;
        [&mut p.controller.name, &mut p.controller.contact, &mut p.controller.authority]
            .into_iter()
            .for_each(filled);
        [&mut p.legal.reference, &mut p.dpia.reference, &mut p.dpia.version]
            .into_iter()
            .for_each(filled);
        [&mut p.assessment.retention, &mut p.assessment.transfer, &mut p.assessment.matching]
            .into_iter()
            .for_each(filled);
        [&mut p.assessment.approver, &mut p.notices.signage_attested_by, &mut p.notices.handout]
            .into_iter()
            .for_each(filled);
        [&mut p.dpia.date, &mut p.assessment.date, &mut p.notices.signage_attested_on]
            .into_iter()
            .for_each(day);
        p.legal.consent_texts.push("ab".repeat(32));
        if p.retention.fnir_ppm_max > 0 {
            p.retention.fnir_ppm_measured = Some(p.retention.fnir_ppm_max / 2);
        }
        if let Some(list) = &mut p.watchlist {
            [&mut list.statute, &mut list.authority].into_iter().for_each(filled);
        }
        if let Some(home) = &mut p.residence {
            [&mut home.agreement, &mut home.expenses_notice].into_iter().for_each(filled);
            (home.owners, home.approving) = (100, 51);
        }
        profile
    }

    #[test]
    fn every_profile_that_comes_with_the_appliance_is_one_and_lacks_only_its_deployer() {
        for (name, text) in SHIPPED {
            let profile = Profile::parse(text, name).expect(name);
            assert_eq!(profile.name, name);
            assert!(!profile.faults(1_800_000_000).is_empty(), "{name}: nobody is responsible yet");
            let faults = complete(name).faults(1_800_000_000);
            assert_eq!(faults, [], "{name}");
            if profile.window.is_some() {
                assert!(profile.hours().is_some(), "{name}");
            }
        }
        assert!(matches!(Profile::shipped("vault"), Err(ProfileError::Unknown { .. })));
    }

    #[test]
    fn a_key_that_is_not_known_names_its_line() {
        let text = SHIPPED[0].1.replacen("[controller]", "[controller]\ncolour = 1", 1);
        let error = Profile::parse(&text, "own.toml").expect_err("no such key").to_string();
        assert!(error.contains("unknown field `colour`"), "{error}");
    }
}
