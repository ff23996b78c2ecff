//! Which weaknesses of a genuine document are accepted, by name.

use super::{ConfigError, DocumentAuthentication, PolicyChoice};
use crate::types::{Weakness, Weaknesses};

impl PolicyChoice {
    /// The weaknesses that are accepted by name.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for a code that no weakness has, and for a list that nothing would
    /// look at.
    pub fn weaknesses_accepted(&self) -> Result<Weaknesses, ConfigError> {
        let refuse = |value: &str, why: String| {
            let (key, value) = ("policy.document_weaknesses_accepted", value.to_owned());
            ConfigError::Value { key, value, why }
        };
        let weakness = |code: &String| {
            let mut all = Weakness::ALL.iter().copied();
            all.find(|weakness| weakness.reason().0 == code).ok_or_else(|| {
                let codes: Vec<_> = Weakness::ALL.iter().map(|held| held.reason().0).collect();
                refuse(code, format!("one of {}", codes.join(", ")))
            })
        };
        let accepted = self.document_weaknesses_accepted.iter().map(weakness);
        let accepted: Weaknesses = accepted.collect::<Result<_, _>>()?;
        if self.document_authentication == DocumentAuthentication::NotRequired
            && !accepted.is_empty()
        {
            let why = "belongs to document_authentication = \"required\", which is not chosen";
            return Err(refuse(&self.document_weaknesses_accepted.join(", "), why.to_owned()));
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(codes: &[&str]) -> PolicyChoice {
        let codes = codes.iter().map(|&code| code.to_owned()).collect();
        PolicyChoice { document_weaknesses_accepted: codes, ..PolicyChoice::default() }
    }

    #[test]
    fn weaknesses_are_accepted_by_name_alone() {
        assert_eq!(PolicyChoice::default().weaknesses_accepted(), Ok(Weaknesses::NONE));
        let codes: Vec<_> = Weakness::ALL.iter().map(|held| held.reason().0).collect();
        let all = Weakness::ALL.iter().copied().collect();
        assert_eq!(accepting(&codes).weaknesses_accepted(), Ok(all));
        for wrong in ["crl_stale", "CRL", "", "DS_CERT_EXPIRED"] {
            let error = accepting(&["CRL_STALE", wrong]).weaknesses_accepted().expect_err(wrong);
            let told = error.to_string();
            assert!(told.contains("policy.document_weaknesses_accepted"), "{told}");
            assert!(told.contains("SHA1_DIGEST"), "{told}");
        }
    }

    #[test]
    fn a_list_that_nothing_would_look_at_is_refused() {
        let document_authentication = DocumentAuthentication::NotRequired;
        let lax = |codes| PolicyChoice { document_authentication, ..accepting(codes) };
        assert_eq!(lax(&[]).weaknesses_accepted(), Ok(Weaknesses::NONE));
        assert!(lax(&["CRL_STALE"]).weaknesses_accepted().is_err());
    }
}
