//! Reason codes and what they mean to people: the sentence in five languages, and the article.
//!
//! A code is the contract; the sentence may be improved. Every code that a rule names has a
//! sentence in every language, or the appliance does not start.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::types::Reason;

/// A language that refusals are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Dutch.
    Nl,
    /// Danish.
    Da,
    /// Swedish.
    Sv,
    /// Chinese, simplified.
    Zh,
}

impl Language {
    /// Every language.
    pub const ALL: &[Self] = &[Self::En, Self::Nl, Self::Da, Self::Sv, Self::Zh];

    /// The language of a tag such as `nl` or `zh-Hans-CN`.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or(tag).trim().to_ascii_lowercase();
        Self::ALL.iter().copied().find(|language| language.tag() == primary)
    }

    /// Its tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Nl => "nl",
            Self::Da => "da",
            Self::Sv => "sv",
            Self::Zh => "zh",
        }
    }
}

/// What stands behind a reason code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// The code and its English sentence.
    pub reason: Reason,
    /// The article that asks for it; empty where no law but the machine's own state is the reason.
    pub article: &'static str,
    /// The legal source; empty likewise.
    pub source: &'static str,
    sentences: Sentences,
}

impl Ruling {
    /// A reason that no legal source asks for, in the one language that it has.
    const fn plain(reason: Reason) -> Self {
        let text = reason.text;
        let sentences = Sentences { en: text, nl: text, da: text, sv: text, zh: text };
        Self { reason, article: "", source: "", sentences }
    }

    /// The sentence in a language.
    #[must_use]
    pub const fn sentence(&self, language: Language) -> &'static str {
        match language {
            Language::En => self.sentences.en,
            Language::Nl => self.sentences.nl,
            Language::Da => self.sentences.da,
            Language::Sv => self.sentences.sv,
            Language::Zh => self.sentences.zh,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sentences {
    en: &'static str,
    nl: &'static str,
    da: &'static str,
    sv: &'static str,
    zh: &'static str,
}

/// A row of `policies/reasons.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    en: String,
    nl: String,
    da: String,
    sv: String,
    zh: String,
}

/// Every reason code with its ruling.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(BTreeMap<&'static str, Ruling>);

impl Catalogue {
    /// Reads the sentences. Which article a code stands for is told by the rules, afterwards.
    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let rows: BTreeMap<String, Row> = toml::from_str(text)?;
        let rulings = rows.into_iter().map(|(code, row)| {
            let code = kept(code);
            let [en, nl, da, sv, zh] = [row.en, row.nl, row.da, row.sv, row.zh].map(kept);
            let sentences = Sentences { en, nl, da, sv, zh };
            let reason = Reason { code, text: en };
            (code, Ruling { reason, article: "", source: "", sentences })
        });
        Ok(Self(rulings.collect()))
    }

    /// What stands behind a code.
    #[must_use]
    pub fn ruling(&self, code: &str) -> Option<&Ruling> {
        self.0.get(code)
    }

    /// What stands behind a reason; where it is in no language but its own, that one stands in for
    /// all.
    #[must_use]
    pub fn explain(&self, reason: Reason) -> Ruling {
        self.ruling(reason.code).copied().unwrap_or_else(|| Ruling::plain(reason))
    }

    /// Everything that has a sentence, by its code.
    pub fn rulings(&self) -> impl Iterator<Item = &Ruling> {
        self.0.values()
    }

    /// Says which article a code stands for. False where another rule said something else, or where
    /// the code has no sentence.
    pub(super) fn attribute(
        &mut self,
        code: &str,
        source: &'static str,
        article: &'static str,
    ) -> bool {
        let Some(ruling) = self.0.get_mut(code) else { return false };
        let free = ruling.article.is_empty();
        if free {
            (ruling.source, ruling.article) = (source, article);
        }
        free || (ruling.source, ruling.article) == (source, article)
    }

    /// A code of the deployer's own, whose one sentence stands in for every language.
    pub(super) fn add_own(&mut self, code: &'static str, sentence: &'static str) -> bool {
        let reason = Reason { code, text: sentence };
        self.0.insert(code, Ruling::plain(reason)).is_none()
    }
}

/// Texts of the law live as long as the process: they are read once, when it starts.
pub(super) fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::{super::source::REASONS, *};

    #[test]
    fn a_tag_finds_its_language() {
        for (tag, expected) in [
            ("en", Some(Language::En)),
            ("nl-NL", Some(Language::Nl)),
            ("DA", Some(Language::Da)),
            ("zh-Hans-CN", Some(Language::Zh)),
            ("fr", None),
            ("", None),
        ] {
            assert_eq!(Language::of_tag(tag), expected, "{tag}");
        }
    }

    #[test]
    fn every_sentence_is_there_once_per_language_and_no_two_are_the_same() {
        let catalogue = Catalogue::parse(REASONS).expect("the reasons are well-formed");
        for ruling in catalogue.0.values() {
            let told = Language::ALL.iter().map(|&language| ruling.sentence(language));
            let told: Vec<_> = told.collect();
            for (at, sentence) in told.iter().enumerate() {
                assert!(sentence.ends_with(['.', '。']), "{}: {sentence}", ruling.reason.code);
                assert!(!told[..at].contains(sentence), "{}: {sentence}", ruling.reason.code);
            }
        }
    }
}
