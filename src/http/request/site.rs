//! What callers send about the site: consents, grounds of entries, whom somebody entered, votes.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Command, Fields, Form, GalleryId, Problem, Purpose, PurposeName, SubjectId, json};
use crate::{
    command::{AgeClass, Entered, Given, Ground, Papers, RelationClass, TakenBack, Vote},
    types::TransactionId,
};

/// How old somebody is, as far as the law asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AgeName {
    /// Nobody asked.
    #[default]
    Unknown,
    /// At or above the national limit.
    Adult,
    /// Below it: a guardian decides.
    Minor,
}

impl From<AgeName> for AgeClass {
    fn from(name: AgeName) -> Self {
        match name {
            AgeName::Unknown => Self::Unknown,
            AgeName::Adult => Self::Adult,
            AgeName::Minor => Self::Minor,
        }
    }
}

/// A dependence in which a consent is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RelationName {
    /// None.
    #[default]
    Independent,
    /// Employee of the controller.
    Employee,
    /// Citizen before an authority.
    Authority,
}

impl From<RelationName> for RelationClass {
    fn from(name: RelationName) -> Self {
        match name {
            RelationName::Independent => Self::Independent,
            RelationName::Employee => Self::Employee,
            RelationName::Authority => Self::Authority,
        }
    }
}

/// A consent, as it was given. One that is bundled, conditional or a general authorisation counts
/// as none; so does one whose purposes are others than exactly `face`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConsentBody {
    /// Version of the text that was shown.
    text_version: String,
    /// SHA-256 of that text.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    text_hash: String,
    /// Language (ISO 639) that it was shown in.
    language: String,
    /// Where: desk, kiosk, app.
    channel: String,
    /// What for: `["face"]`.
    purposes: Vec<String>,
    /// The person did something: signed, pressed, said. Nothing was ticked beforehand.
    affirmative: bool,
    /// Another way with the same rights was offered.
    alternative_offered: bool,
    /// It came together with other consents.
    #[serde(default)]
    bundled: bool,
    /// A service depended on it.
    #[serde(default)]
    conditional: bool,
    /// It was a general authorisation.
    #[serde(default)]
    blanket: bool,
    /// How old the person is.
    #[serde(default)]
    age: AgeName,
    /// In what dependence the person stands to the controller.
    #[serde(default)]
    relation: RelationName,
    /// Reference of the guardian's own consent, where one is needed.
    #[serde(default)]
    guardian: Option<String>,
    /// First second (UTC) at which it does not hold any more; without it, until it is withdrawn.
    #[serde(default)]
    expiry: Option<i64>,
}

impl From<ConsentBody> for Given {
    fn from(body: ConsentBody) -> Self {
        Self {
            text_version: body.text_version,
            text_hash: body.text_hash,
            language: body.language,
            channel: body.channel,
            purposes: body.purposes,
            affirmative: body.affirmative,
            alternative_offered: body.alternative_offered,
            bundled: body.bundled,
            conditional: body.conditional,
            blanket: body.blanket,
            age: body.age.into(),
            relation: body.relation.into(),
            guardian: body.guardian,
            expiry_s: body.expiry,
        }
    }
}

/// Why somebody is put on a list, and who says so.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroundBody {
    /// The decision that put the person there; a reference, no narrative.
    reason: String,
    /// Who took it.
    authority: String,
}

/// What stands beside pictures, from the members of a body.
pub(super) fn papers(consent: Option<ConsentBody>, ground: Option<GroundBody>) -> Papers {
    let ground = ground.map(|GroundBody { reason, authority }| Ground { reason, authority });
    Papers { consent: consent.map(Given::from), ground, passport_expiry_s: None }
}

/// The same from the fields `consent` and `ground` of a form, each a JSON object.
pub(super) fn papers_of(fields: &Fields) -> Result<Papers, Problem> {
    let consent = fields.text("consent")?.map(|text| json(text.as_bytes())).transpose()?;
    let ground = fields.text("ground")?.map(|text| json(text.as_bytes())).transpose()?;
    Ok(papers(consent, ground))
}

/// `PUT /v1/galleries/{gallery}/subjects/{subject}/consent`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveConsentBody {
    /// Why.
    purpose: PurposeName,
    /// What was given.
    consent: ConsentBody,
}

/// A request that says no more than why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurposeBody {
    /// Why.
    purpose: PurposeName,
}

/// Whom somebody entered.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnteredBody {
    /// The credential that entered them, such as an operator's; without it, any.
    #[serde(default)]
    by: Option<String>,
    /// From this second (UTC) on.
    from: i64,
    /// Before this second.
    until: i64,
}

impl EnteredBody {
    pub(super) fn decode(
        self,
        gallery: GalleryId,
        purpose: PurposeName,
    ) -> Result<Entered, Problem> {
        let invalid = |error| Problem::new("IDENTIFIER_INVALID", format!("by: {error}"));
        let by = self.by.map(|by| by.parse().map_err(invalid)).transpose()?;
        let purpose = Some(purpose.into());
        Ok(Entered { gallery, by, purpose, from_s: self.from, until_s: self.until })
    }
}

/// `POST /v1/galleries/{gallery}/affected`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AffectedBody {
    /// Why.
    purpose: PurposeName,
    /// Who.
    entered: EnteredBody,
}

/// What one person says of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VoteName {
    /// It is the person on the list.
    Confirm,
    /// It is not.
    Reject,
}

/// `POST /v1/hits/{hit}/votes`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoteBody {
    /// Why.
    purpose: PurposeName,
    /// What is said.
    vote: VoteName,
}

type Asked = Result<(Purpose, Command), Problem>;

/// The purpose and command of recording a consent.
pub(in crate::http) fn give_consent(gallery: GalleryId, subject: SubjectId, form: &Form) -> Asked {
    let GiveConsentBody { purpose, consent } = super::keeping::plain(form)?;
    Ok((purpose.into(), Command::GiveConsent { gallery, subject, given: consent.into() }))
}

/// The purpose and command of an objection.
pub(in crate::http) fn object(gallery: GalleryId, subject: SubjectId, form: &Form) -> Asked {
    let PurposeBody { purpose } = super::keeping::plain(form)?;
    let how = TakenBack::Objected;
    Ok((purpose.into(), Command::TakeBack { gallery, subject, how }))
}

/// The purpose and command of listing whom somebody entered.
pub(in crate::http) fn list_affected(gallery: GalleryId, form: &Form) -> Asked {
    let AffectedBody { purpose, entered } = super::keeping::plain(form)?;
    let entered = entered.decode(gallery, purpose)?;
    Ok((purpose.into(), Command::ListAffected { entered }))
}

/// The purpose and command of a vote.
pub(in crate::http) fn vote(hit: TransactionId, form: &Form) -> Asked {
    let VoteBody { purpose, vote } = super::keeping::plain(form)?;
    let vote = match vote {
        VoteName::Confirm => Vote::Confirm,
        VoteName::Reject => Vote::Reject,
    };
    Ok((purpose.into(), Command::Vote { hit, vote }))
}

/// The purpose of a request that says no more.
pub(in crate::http) fn purpose(form: &Form) -> Result<Purpose, Problem> {
    let PurposeBody { purpose } = super::keeping::plain(form)?;
    Ok(purpose.into())
}
