//! A consent as it is kept: who, when, what text, how; what makes it count as none, and what ends
//! it.

use serde::{Deserialize, Serialize};

use crate::types::{Age, ConsentFact, GalleryId, Hash256, Relation, SubjectId};

/// The one purpose that a consent of this register is for.
pub const FACE: &str = "face";

/// What a person (or a guardian) gave: everything but who, where and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Version of the text that was shown.
    pub text_version: String,
    /// SHA-256 of that text, as hexadecimal digits.
    pub text_hash: String,
    /// Language (ISO 639) that it was shown in.
    pub language: String,
    /// Desk, kiosk, app.
    pub channel: String,
    /// What for; exactly [`FACE`], or it counts as none.
    pub purposes: Vec<String>,
    /// The person did something: signed, pressed, said. Nothing was ticked beforehand.
    pub affirmative: bool,
    /// Another way with the same rights was offered.
    pub alternative_offered: bool,
    /// It came together with other consents.
    pub bundled: bool,
    /// A service depended on it.
    pub conditional: bool,
    /// It was a general authorisation.
    pub blanket: bool,
    /// Age class; unknown until somebody asked.
    pub age: AgeClass,
    /// In what dependence the person stands to the controller.
    pub relation: RelationClass,
    /// Reference of the guardian's own consent, where one is needed.
    pub guardian: Option<String>,
    /// Until when it holds, in seconds UTC.
    pub expiry_s: Option<i64>,
}

/// A consent with whose it is, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Who: an opaque name. The mapping to a person is kept elsewhere.
    pub subject: String,
    /// For which gallery.
    pub gallery: String,
    /// When, in seconds UTC.
    pub given_s: i64,
    /// What was given.
    pub given: Given,
    /// When it was withdrawn. The proof of the past consent stays, the template does not.
    pub withdrawn_s: Option<i64>,
    /// When the person objected (GDPR Art. 21).
    pub objected_s: Option<i64>,
    /// When it ended otherwise: with the erasure of what it was given for, with the day of a
    /// gallery of one day, or because another took its place.
    #[serde(default)]
    pub ended_s: Option<i64>,
}

/// Why somebody is on a list, and who says so (EDPB Guidelines 05/2022).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// The decision that put the person there; a reference, no narrative.
    pub reason: String,
    /// Who took it.
    pub authority: String,
}

/// How a consent was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// The person withdrew it (GDPR Art. 7(3)).
    Withdrawn,
    /// The person objected (GDPR Art. 21).
    Objected,
}

/// What ends a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The person said so.
    TakenBack(TakenBack),
    /// What it was given for was erased, whoever asked for that.
    Erased,
}

/// How old somebody is, as far as the law asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeClass {
    /// Nobody asked.
    #[default]
    Unknown,
    /// At or above the national limit.
    Adult,
    /// Below it.
    Minor,
}

impl From<AgeClass> for Age {
    fn from(class: AgeClass) -> Self {
        match class {
            AgeClass::Unknown => Self::Unknown,
            AgeClass::Adult => Self::Adult,
            AgeClass::Minor => Self::Minor,
        }
    }
}

/// A dependence in which a consent is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationClass {
    /// None.
    #[default]
    Independent,
    /// Employee of the controller.
    Employee,
    /// Citizen before an authority.
    Authority,
}

impl From<RelationClass> for Relation {
    fn from(class: RelationClass) -> Self {
        match class {
            RelationClass::Independent => Self::Independent,
            RelationClass::Employee => Self::Employee,
            RelationClass::Authority => Self::Authority,
        }
    }
}

impl Given {
    /// What the policy's texts are told of it at `now_s`, as long as nobody took it back.
    #[must_use]
    pub fn fact(&self, now_s: i64) -> ConsentFact {
        let texts = [&self.text_version, &self.language, &self.channel];
        let is_hash = self.text_hash.parse::<Hash256>().is_ok();
        ConsentFact {
            recorded: is_hash && texts.iter().all(|text| !text.trim().is_empty()),
            affirmative: self.affirmative,
            alternative_offered: self.alternative_offered,
            face_alone: self.purposes == [FACE],
            bundled: self.bundled,
            conditional: self.conditional,
            blanket: self.blanket,
            guardian: self.guardian.as_ref().is_some_and(|guardian| !guardian.trim().is_empty()),
            withdrawn: self.expiry_s.is_some_and(|expiry_s| now_s >= expiry_s),
        }
    }
}

impl Consent {
    /// `given`, of that person, at `now_s`.
    #[must_use]
    pub fn new(gallery: &GalleryId, subject: SubjectId, given: Given, now_s: i64) -> Self {
        let (subject, gallery) = (subject.to_string(), gallery.to_string());
        let (withdrawn_s, objected_s, ended_s) = (None, None, None);
        Self { subject, gallery, given_s: now_s, given, withdrawn_s, objected_s, ended_s }
    }

    /// Whether something ended it; that it has an expiry of its own is not asked.
    #[must_use]
    pub fn is_over(&self) -> bool {
        [self.withdrawn_s, self.objected_s, self.ended_s].iter().any(Option::is_some)
    }

    /// Ends it at `now_s`. What ended it first stays on record. False where nothing changes.
    pub(super) fn end(&mut self, how: Ending, now_s: i64) -> bool {
        let is_over = self.is_over();
        let ended_s = match how {
            Ending::TakenBack(TakenBack::Withdrawn) => &mut self.withdrawn_s,
            Ending::TakenBack(TakenBack::Objected) => &mut self.objected_s,
            Ending::Erased if is_over => return false,
            Ending::Erased => &mut self.ended_s,
        };
        let is_new = ended_s.is_none();
        ended_s.get_or_insert(now_s);
        is_new
    }

    /// Whether it was over before `second`.
    #[must_use]
    pub fn ended_before(&self, second: i64) -> bool {
        let ends = [self.withdrawn_s, self.objected_s, self.ended_s, self.given.expiry_s];
        ends.into_iter().flatten().min().is_some_and(|end_s| end_s < second)
    }

    /// What the policy's texts are told of it at `now_s`.
    #[must_use]
    pub fn fact(&self, now_s: i64) -> ConsentFact {
        let fact = self.given.fact(now_s);
        ConsentFact { withdrawn: fact.withdrawn || self.is_over(), ..fact }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            text_version: "3".into(),
            text_hash: "ab".repeat(32),
            language: "da".into(),
            channel: "desk".into(),
            purposes: vec![FACE.into()],
            affirmative: true,
            alternative_offered: true,
            bundled: false,
            conditional: false,
            blanket: false,
            age: AgeClass::Adult,
            relation: RelationClass::Independent,
            guardian: None,
            expiry_s: None,
        }
    }

    pub(in crate::register) fn consent(subject: u8) -> Consent {
        let gallery = "tivoli".parse().expect("a name");
        Consent::new(&gallery, SubjectId::from_bytes([subject; 16]), given(), 1_000)
    }

    #[test]
    fn nl_7_cn_2_cn_3_what_is_missing_or_wrong_is_told() {
        let fact = |change: fn(&mut Given)| {
            let mut held = given();
            change(&mut held);
            held.fact(2_000)
        };
        let whole = fact(|_| {});
        assert!(whole.recorded && whole.affirmative && whole.face_alone && !whole.withdrawn);
        assert!(!fact(|held| held.language.clear()).recorded);
        assert!(!fact(|held| held.text_hash = "ab".into()).recorded);
        assert!(!fact(|held| held.purposes.push("marketing".into())).face_alone);
        assert!(!fact(|held| held.purposes.clear()).face_alone);
        assert!(fact(|held| held.expiry_s = Some(2_000)).withdrawn);
        assert!(!fact(|held| held.expiry_s = Some(2_001)).withdrawn);
        assert!(!fact(|held| held.guardian = Some(" ".into())).guardian);
        let withdrawn = Consent { withdrawn_s: Some(1_500), ..consent(1) };
        assert!(withdrawn.fact(2_000).withdrawn && !consent(1).fact(2_000).withdrawn);
        assert!(Consent { objected_s: Some(1_500), ..consent(1) }.fact(2_000).withdrawn);
        assert!(withdrawn.ended_before(1_501) && !withdrawn.ended_before(1_500));
        assert!(!consent(1).ended_before(i64::MAX), "one that holds is never over");
    }

    #[test]
    fn gdpr_7_what_ended_a_consent_first_stays_on_record_and_any_end_ends_it() {
        let mut held = consent(1);
        assert!(held.end(Ending::Erased, 1_500) && !held.end(Ending::Erased, 1_600));
        assert!(held.fact(1_500).withdrawn && held.ended_before(1_501));
        assert!(held.end(Ending::TakenBack(TakenBack::Withdrawn), 1_700));
        assert_eq!((held.ended_s, held.withdrawn_s), (Some(1_500), Some(1_700)));
        assert!(!held.end(Ending::TakenBack(TakenBack::Withdrawn), 1_800));
    }
}
