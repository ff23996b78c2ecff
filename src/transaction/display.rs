//! What a passenger's display says: a stable key, and its text in several languages.
//!
//! A display shows its own text for a key, or the one that ships here. The keys are the contract;
//! texts may be improved. None tells a score, an attack result or why an officer is asked: those
//! are not for the traveller, nor for whoever stands behind.

use serde::Deserialize;

use crate::types::{CaptureFact, Outcome};

/// The texts, as shipped.
pub const TEXTS: &str = include_str!("display.toml");

macro_rules! displays {
    ($($(#[$what:meta])* $variant:ident = $key:literal,)+) => {
        /// One thing that a display can say.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Display { $($(#[$what])* $variant,)+ }

        impl Display {
            /// All of them.
            pub const ALL: [Self; [$($key),+].len()] = [$(Self::$variant),+];

            /// The stable key.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)+ }
            }
        }
    };
}

displays! {
    /// No face is seen yet.
    LookAtCamera = "look-at-camera",
    /// Several people stand there.
    OnePerson = "one-person",
    /// Too far away.
    ComeCloser = "come-closer",
    /// Beside the middle.
    StandInMiddle = "stand-in-middle",
    /// Blurred, badly lit, turned away; or more frames are being compared.
    HoldStill = "hold-still",
    /// Admitted.
    GoAhead = "go-ahead",
    /// Referred, for whatever reason.
    AskOfficer = "ask-officer",
}

impl Display {
    /// The display of a key.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|display| display.key() == key)
    }

    /// What a traveller can do about a capture.
    #[must_use]
    pub fn of_capture(capture: CaptureFact) -> Self {
        match capture {
            CaptureFact::NoFace => Self::LookAtCamera,
            CaptureFact::SeveralFaces => Self::OnePerson,
            CaptureFact::FaceTooSmall => Self::ComeCloser,
            CaptureFact::OffCentre => Self::StandInMiddle,
            CaptureFact::PoorQuality | CaptureFact::Usable => Self::HoldStill,
        }
    }

    /// What is shown at the end; `trouble` is for Retry.
    #[must_use]
    pub fn of_outcome(outcome: Outcome, trouble: Self) -> Self {
        match outcome {
            Outcome::Admit => Self::GoAhead,
            Outcome::Retry => trouble,
            Outcome::Refer => Self::AskOfficer,
        }
    }
}

/// One row of the shipped table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DisplayText {
    /// The key.
    pub key: String,
    /// Text by language (BCP 47).
    #[serde(flatten)]
    pub texts: std::collections::BTreeMap<String, String>,
}

/// The shipped table.
///
/// # Panics
/// Never: a test reads the same constant.
#[must_use]
pub fn texts() -> Vec<DisplayText> {
    #[derive(Deserialize)]
    struct Table {
        display: Vec<DisplayText>,
    }
    toml::from_str::<Table>(TEXTS).expect("the shipped table is read by a test").display
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGUAGES: [&str; 7] = ["de", "en", "es", "fr", "it", "nl", "pt"];

    #[test]
    fn every_key_has_a_text_in_every_language_and_no_text_tells_too_much() {
        let table = texts();
        let keys: Vec<&str> = table.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, Display::ALL.map(Display::key), "one row per key, in their order");
        for row in &table {
            let languages: Vec<&str> = row.texts.keys().map(String::as_str).collect();
            assert_eq!(languages, LANGUAGES, "{}", row.key);
            for text in row.texts.values() {
                assert!((1..=60).contains(&text.chars().count()), "{text}: fits one line");
                assert!(!text.contains(|c: char| c.is_ascii_digit()), "{text}: no number");
            }
        }
    }

    #[test]
    fn keys_are_found_again() {
        for display in Display::ALL {
            assert_eq!(Display::of_key(display.key()), Some(display));
        }
        assert_eq!(Display::of_key("score-too-low"), None);
    }

    #[test]
    fn a_referral_looks_the_same_whatever_led_to_it() {
        for trouble in Display::ALL {
            assert_eq!(Display::of_outcome(Outcome::Refer, trouble), Display::AskOfficer);
        }
    }
}
