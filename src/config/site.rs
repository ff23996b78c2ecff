//! `[site]` and `[[person]]`: what the appliance is used as, and by whom.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Server};
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
    /// Without a profile: whether lanes may be tried, with people who agreed to that.
    pub evaluation_lanes: bool,
}

impl SiteChoice {
    /// Whether the appliance is used as anything but a trial.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        !self.profile.as_os_str().is_empty()
    }

    /// A site knows by name who calls. What is no site has no basis, no notice and no retention: it
    /// is for evaluation, on its own machine, and opens a gate only where somebody said so.
    pub(super) fn check(&self, server: &Server, lanes: usize) -> Result<(), ConfigError> {
        let refuse = |key, value: String, why: &str| {
            Err(ConfigError::Value { key, value, why: why.to_owned() })
        };
        if self.is_chosen() {
            let profile = self.profile.display().to_string();
            if server.tokens.as_os_str().is_empty() {
                let why = "a site knows who calls, on loopback as well: set server.tokens, with a \
                           line per caller";
                return refuse("site.profile", profile, why);
            }
            if self.evaluation_lanes {
                let why =
                    "belongs to an appliance without a profile; lanes of a site need no leave";
                return refuse("site.evaluation_lanes", "true".to_owned(), why);
            }
            return Ok(());
        }
        if !server.listen.ip().is_loopback() {
            let why = "without site.profile the appliance is for evaluation, and serves its own \
                       machine alone: choose a profile, or listen on 127.0.0.1";
            return refuse("server.listen", server.listen.to_string(), why);
        }
        if lanes > 0 && !self.evaluation_lanes {
            let why = "without site.profile no gate is opened: choose a profile, or set \
                       site.evaluation_lanes for a trial with people who agreed to it";
            return refuse("lane", format!("[{lanes} lanes]"), why);
        }
        Ok(())
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
    use crate::config::Config;

    #[test]
    fn nl_5_se_3_without_a_profile_it_is_a_trial_on_this_machine_and_a_site_knows_its_callers() {
        let told = |text: &str| {
            let checked = Config::parse(text, "a.toml").expect("known keys").check();
            checked.map_err(|error| error.to_string())
        };
        let open = "listen = \"0.0.0.0:1\"\ntls_certificate = \"a\"\ntls_key = \"b\"\n\
                    tokens = \"c\"\n";
        let (lane, site) =
            ("[[lane]]\nname = \"a\"\nsource = \"http\"\n", "profile = \"watchlist\"");
        for text in [
            String::new(),
            format!("[site]\nevaluation_lanes = true\n{lane}"),
            format!("[server]\ntokens = \"c\"\n[site]\n{site}\n{lane}"),
            format!("[server]\n{open}[site]\n{site}\n"),
        ] {
            assert_eq!(told(&text), Ok(()), "{text}");
        }
        for (text, expected) in [
            (format!("[server]\n{open}"), "serves its own machine alone"),
            (lane.to_owned(), "site.evaluation_lanes for a trial"),
            (format!("[site]\n{site}\n"), "set server.tokens"),
            (
                format!("[server]\ntokens = \"c\"\n[site]\n{site}\nevaluation_lanes = true\n"),
                "lanes of a site need no leave",
            ),
        ] {
            let refused = told(&text).expect_err("refused");
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

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
