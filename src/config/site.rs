//! `[site]` and `[[person]]`: what the appliance is used as, and by whom.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::{limits::PERSONS_MAX, profile::civil::date_s, types::ClientId};

/// `[site]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteChoice {
    /// The profile's file, or the name of one that comes with the appliance; empty for none.
    pub profile: PathBuf,
    /// Where the site's steps are remembered; empty for the default place.
    pub record: PathBuf,
    /// The register of consents; empty for the default place.
    pub register: PathBuf,
    /// PEM certificates of who signs the certificate of `events.webhook`; empty for none.
    pub webhook_ca: PathBuf,
}

impl SiteChoice {
    /// Whether the appliance is used as a site, with its law and its register.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        !self.profile.as_os_str().is_empty()
    }

    /// Whether everybody who calls a site has a name.
    pub(super) fn check(&self, has_tokens: bool) -> Result<(), ConfigError> {
        if has_tokens || !self.is_chosen() {
            return Ok(());
        }
        let why = "needs server.tokens, also on loopback: without them every program of this \
                   machine is operator, gate and administrator in one, and the audit names nobody";
        let (key, value) = ("site.profile", self.profile.display().to_string());
        Err(ConfigError::Value { key, value, why: why.to_owned() })
    }
}

/// One `[[person]]`: whom a credential belongs to, and until when that person's training counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PersonKeys {
    /// The credential, as the token file names it.
    pub client: String,
    /// The person, such as a badge number; never a name.
    pub person: String,
    /// Where the training is recorded.
    pub training: String,
    /// First day on which it does not count any more, `2027-01-31`.
    pub trained_until: String,
}

impl PersonKeys {
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: &str, why: String| {
            Err(ConfigError::Value { key, value: value.to_owned(), why })
        };
        for (key, value) in [("person.client", &self.client), ("person.person", &self.person)] {
            if let Err(error) = value.parse::<ClientId>() {
                return refuse(key, value, error.to_string());
            }
        }
        if self.training.trim().is_empty() {
            return refuse("person.training", "", "the record of the training".to_owned());
        }
        if date_s(&self.trained_until).is_none() {
            let why = "a day, such as 2027-01-31".to_owned();
            return refuse("person.trained_until", &self.trained_until, why);
        }
        Ok(())
    }
}

/// Whether each credential belongs to one person.
pub(super) fn check(persons: &[PersonKeys]) -> Result<(), ConfigError> {
    for (at, keys) in persons.iter().enumerate() {
        keys.check()?;
        if persons[..at].iter().any(|held| held.client == keys.client) {
            let why = "this credential belongs to another [[person]] already".to_owned();
            return Err(ConfigError::Value {
                key: "person.client",
                value: keys.client.clone(),
                why,
            });
        }
    }
    if persons.len() > PERSONS_MAX {
        let (value, why) = (persons.len().to_string(), format!("at most {PERSONS_MAX}"));
        return Err(ConfigError::Value { key: "person", value, why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_belongs_to_one_person_with_a_day_until_which_training_counts() {
        let keys = |client: &str, until: &str| PersonKeys {
            client: client.into(),
            person: "badge-12".into(),
            training: "TR-7".into(),
            trained_until: until.into(),
        };
        let told = |persons: &[PersonKeys]| check(persons).map_err(|error| error.to_string());
        assert_eq!(told(&[keys("desk-1", "2027-01-31"), keys("desk-2", "2027-01-31")]), Ok(()));
        let twice = told(&[keys("desk-1", "2027-01-31"), keys("desk-1", "2028-01-31")]);
        assert!(twice.expect_err("twice").contains("another [[person]]"));
        let day = told(&[keys("desk-1", "soon")]).expect_err("no day");
        assert!(day.starts_with("person.trained_until"), "{day}");
    }
}
