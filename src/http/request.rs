//! What callers send: the JSON bodies, and the same things as multipart forms.
//!
//! Unknown members are refused everywhere: a misspelt `purpose` must not become a default.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod keeping;
mod lane;
mod site;
mod transact;

pub use keeping::{
    EnrolHolderBody, EraseBody, IssueTokenBody, RegroupBody, ReplaceBody, RestrictBody,
};
pub(super) use keeping::{enrol_holder, erase_selected, issue_token, regroup, replace, restrict};
pub use lane::{PushFrameBody, PushFrameForm};
pub(super) use lane::{lane_id, push_frame, push_picture};
pub use site::{
    AffectedBody, AgeName, ConsentBody, EnteredBody, GiveConsentBody, GroundBody, PurposeBody,
    RelationName, VoteBody, VoteName,
};
pub(super) use site::{give_consent, list_affected, object, purpose, vote};
use site::{papers, papers_of};
pub use transact::TransactBody;
pub(super) use transact::{transact, transaction_id};

use super::{
    body::{Fields, Form, base64, json},
    problem::Problem,
};
use crate::{
    command::{
        Command, EncodedFile, EncodedImage, HOLDER_SECRET_BYTES, HolderSecret, KeptBy,
        PresentedToken, ReferenceSource, Scope, Terms,
    },
    limits::CANDIDATES_MAX,
    types::{GalleryId, Hash256, Purpose, SubjectId, Template, TemplateKind},
};

/// Candidates of a search that names no number.
const BEST_DEFAULT: usize = 10;

/// Why something is asked; there is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PurposeName {
    /// Entry to a site or a building.
    AccessControl,
    /// Passage to an aircraft.
    Boarding,
    /// Border checks on persons.
    BorderControl,
    /// Measuring the appliance itself, with people who agreed to that.
    Evaluation,
    /// A list of persons kept on a statutory basis.
    Watchlist,
}

impl From<PurposeName> for Purpose {
    fn from(name: PurposeName) -> Self {
        match name {
            PurposeName::AccessControl => Self::AccessControl,
            PurposeName::Boarding => Self::Boarding,
            PurposeName::BorderControl => Self::BorderControl,
            PurposeName::Evaluation => Self::Evaluation,
            PurposeName::Watchlist => Self::Watchlist,
        }
    }
}

impl From<Purpose> for PurposeName {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::AccessControl => Self::AccessControl,
            Purpose::Boarding => Self::Boarding,
            Purpose::BorderControl => Self::BorderControl,
            Purpose::Evaluation => Self::Evaluation,
            Purpose::Watchlist => Self::Watchlist,
        }
    }
}

impl PurposeName {
    /// Parses the API's name.
    ///
    /// # Errors
    /// Code PURPOSE_MISSING, listing the names.
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let quoted = text.map(|text| serde_json::Value::String(text.to_owned()));
        quoted.and_then(|name| serde_json::from_value(name).ok()).ok_or_else(|| {
            let detail = "name a purpose: access-control, boarding, border-control, evaluation or \
                          watchlist";
            Problem::new("PURPOSE_MISSING", detail)
        })
    }
}

/// Who keeps the keys of a gallery's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeysName {
    /// The appliance's custodian: the records can be searched.
    #[default]
    Custodian,
    /// Each record's own holder: no search is possible.
    Holders,
}

impl KeysName {
    fn parse(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("custodian") => Ok(Self::Custodian),
            Some("holders") => Ok(Self::Holders),
            Some(_) => {
                let detail = "`keys` is custodian (searchable) or holders (never searchable)";
                Err(Problem::new("FIELD_INVALID", detail))
            }
        }
    }
}

impl From<KeysName> for KeptBy {
    fn from(name: KeysName) -> Self {
        match name {
            KeysName::Custodian => Self::Custodian,
            KeysName::Holders => Self::Holders,
        }
    }
}

impl From<KeptBy> for KeysName {
    fn from(kept_by: KeptBy) -> Self {
        match kept_by {
            KeptBy::Custodian => Self::Custodian,
            KeptBy::Holders => Self::Holders,
        }
    }
}

/// One encoded photograph.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageBody<'a> {
    /// A JPEG, JPEG 2000 or PNG file as base64 (standard alphabet).
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64")]
    image: Cow<'a, str>,
}

impl ImageBody<'_> {
    fn decode(&self, field: &str) -> Result<EncodedImage, Problem> {
        base64(field, &self.image).map(EncodedImage::new)
    }
}

/// A template as `POST /v1/embed` hands it out.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateBody<'a> {
    /// The int8 values as base64, one byte each; -128 does not occur.
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64")]
    pub values: Cow<'a, str>,
    /// SHA-256 of the embedder's model file.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub model: Cow<'a, str>,
    /// SHA-256 of the calibration.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub calibration: Cow<'a, str>,
}

impl TemplateBody<'_> {
    fn decode(&self, at: usize) -> Result<Template, Problem> {
        let field = format!("references[{at}].template");
        let hash = |text: &str| {
            let parsed: Result<Hash256, _> = text.parse();
            parsed.map_err(|error| Problem::new("IDENTIFIER_INVALID", format!("{field}: {error}")))
        };
        let (model, calibration) = (hash(&self.model)?, hash(&self.calibration)?);
        let bytes = base64(&format!("{field}.values"), &self.values)?;
        let values: Box<[i8]> = bytes.iter().map(|&byte| byte.cast_signed()).collect();
        let dims = u16::try_from(values.len()).map_err(|_| {
            let detail = format!("{field}.values: {} values are no template", values.len());
            Problem::new("TEMPLATE_LENGTH", detail)
        })?;
        Template::new(values, TemplateKind { model, calibration, dims }).map_err(|error| {
            Problem::new("TEMPLATE_OUT_OF_RANGE", format!("{field}.values: {error}"))
        })
    }
}

/// One reference: exactly one of `image`, `template`, `gallery` with `subject` (and, for a holder's
/// record, with `secret`), `dg2`, `holderToken`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceBody<'a> {
    /// A JPEG, JPEG 2000 or PNG file as base64.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    image: Option<Cow<'a, str>>,
    /// A template that the caller kept.
    #[serde(borrow, default)]
    template: Option<TemplateBody<'a>>,
    /// The gallery of an enrolled subject.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    gallery: Option<Cow<'a, str>>,
    /// The enrolled subject, all of whose references are compared.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    subject: Option<Cow<'a, str>>,
    /// The secret of a holder's record, base64: the record is named by `gallery` and `subject`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    secret: Option<Cow<'a, str>>,
    /// Data group 2 of a passport chip as base64: EF.DG2, or a bare record of ISO/IEC 19794-5 or
    /// 39794-5. Each of its photographs counts as a reference.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    dg2: Option<Cow<'a, str>>,
    /// With `dg2`: EF.SOD of the same chip as base64. Without it the document is not authenticated.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    sod: Option<Cow<'a, str>>,
    /// With `dg2`: EF.DG1 of the same chip as base64. Its issuing state is compared with the state
    /// that signed; nothing else of it is read, and nothing of it is kept.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    dg1: Option<Cow<'a, str>>,
    /// A token that the traveller carries, base64, as `POST /v1/holder-tokens` made it.
    #[serde(borrow, default, rename = "holderToken")]
    #[schema(value_type = Option<String>, content_encoding = "base64")]
    holder_token: Option<Cow<'a, str>>,
}

impl ReferenceBody<'_> {
    fn decode(&self, at: usize) -> Result<ReferenceSource, Problem> {
        let kinds = [
            self.image.is_some(),
            self.template.is_some(),
            self.gallery.is_some() || self.subject.is_some() || self.secret.is_some(),
            self.dg2.is_some(),
            self.holder_token.is_some(),
        ];
        if kinds.iter().filter(|&&present| present).count() != 1 {
            let detail = format!(
                "references[{at}] must hold exactly one of image, template, gallery with subject, \
                 holderToken, dg2"
            );
            return Err(Problem::new("REFERENCE_INVALID", detail));
        }
        if self.dg2.is_none() && (self.sod.is_some() || self.dg1.is_some()) {
            let detail = format!("references[{at}]: sod and dg1 belong to a dg2");
            return Err(Problem::new("REFERENCE_INVALID", detail));
        }
        if let Some(image) = &self.image {
            let image = base64(&format!("references[{at}].image"), image)?;
            return Ok(ReferenceSource::Image(EncodedImage::new(image)));
        }
        if let Some(template) = &self.template {
            return template.decode(at).map(ReferenceSource::Template);
        }
        if let Some(dg2) = &self.dg2 {
            let file = |name: &str, text: &str| {
                base64(&format!("references[{at}].{name}"), text).map(EncodedFile::new)
            };
            let sod = self.sod.as_deref().map(|sod| file("sod", sod)).transpose()?;
            let dg1 = self.dg1.as_deref().map(|dg1| file("dg1", dg1)).transpose()?;
            return Ok(ReferenceSource::Dg2 { file: file("dg2", dg2)?, sod, dg1 });
        }
        if let Some(token) = &self.holder_token {
            let token = base64(&format!("references[{at}].holderToken"), token)?;
            return Ok(ReferenceSource::HolderToken(PresentedToken::new(token)));
        }
        let (Some(gallery), Some(subject)) = (&self.gallery, &self.subject) else {
            let detail = format!("references[{at}]: gallery and subject belong together");
            return Err(Problem::new("REFERENCE_INVALID", detail));
        };
        let (gallery, subject) = (gallery_id(gallery)?, subject_id(subject)?);
        match &self.secret {
            None => Ok(ReferenceSource::Subject { gallery, subject }),
            Some(secret) => {
                let field = format!("references[{at}].secret");
                let secret = holder_secret(&field, secret)?;
                Ok(ReferenceSource::Holder { gallery, subject, secret })
            }
        }
    }
}

/// `POST /v1/verify`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody<'a> {
    /// The live capture.
    #[serde(borrow)]
    probe: ImageBody<'a>,
    /// What it is compared with, 1 to 8.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 8)]
    references: Vec<ReferenceBody<'a>>,
    /// Why.
    purpose: PurposeName,
    /// At a border: the traveller is a third-country national. A second reference beside the chip's
    /// must then be among `references`.
    #[serde(default, rename = "thirdCountryNational")]
    third_country_national: bool,
    /// Another false match rate than the configured one; administrators only.
    #[serde(default)]
    fmr: Option<f64>,
}

/// `POST /v1/galleries/{gallery}/identify`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifyBody<'a> {
    /// The live capture.
    #[serde(borrow)]
    probe: ImageBody<'a>,
    /// Why.
    purpose: PurposeName,
    /// Candidates returned at most.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 256, default = 10)]
    best: Option<usize>,
    /// Only subjects in at least one of these classes, 0 to 63; without it, in any.
    #[serde(default)]
    classes: Option<Vec<u8>>,
    /// Only subjects of this group, such as a flight.
    #[serde(default)]
    group: Option<u32>,
    /// Another false match rate than the configured one; administrators only.
    #[serde(default)]
    fmr: Option<f64>,
}

/// `POST /v1/galleries/{gallery}/subjects`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolBody<'a> {
    /// Photographs of one person, 1 to 4.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 4)]
    images: Vec<ImageBody<'a>>,
    /// Why.
    purpose: PurposeName,
    /// 32 hexadecimal digits of the caller's choosing; without it, a random id.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    subject: Option<Cow<'a, str>>,
    /// Classes the subject is in, 0 to 63; without it, class 0.
    #[serde(default)]
    classes: Option<Vec<u8>>,
    /// A group such as a flight.
    #[serde(default)]
    group: Option<u32>,
    /// First second (UTC) at which the subject may be found; without it, now.
    #[serde(default, rename = "notBefore")]
    not_before: Option<i64>,
    /// First second (UTC) at which it may not be found any more; without it, never.
    #[serde(default)]
    expiry: Option<i64>,
    /// The person's consent, where it is given with the enrolment.
    #[serde(default)]
    consent: Option<ConsentBody>,
    /// Why the person is put on a list, where it is one.
    #[serde(default)]
    ground: Option<GroundBody>,
}

/// `POST /v1/galleries`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGalleryBody<'a> {
    /// Its name: a-z, 0-9, '-' and '_', at most 63.
    #[serde(borrow)]
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    gallery: Cow<'a, str>,
    /// Why.
    purpose: PurposeName,
    /// Who keeps the keys of its records; it cannot be changed later.
    #[serde(default)]
    keys: KeysName,
}

/// `POST /v1/embed`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedBody<'a> {
    /// A JPEG, JPEG 2000 or PNG file as base64.
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64")]
    image: Cow<'a, str>,
    /// Why.
    purpose: PurposeName,
}

/// The form of `POST /v1/verify`: one `probe`, one or more of `reference` and `dg2` (numbered in
/// that order), `purpose`, perhaps `fmr`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `Fields` reads by name")]
pub struct VerifyForm {
    /// The live capture, a JPEG, JPEG 2000 or PNG file.
    #[schema(value_type = String, format = Binary)]
    probe: Vec<u8>,
    /// What it is compared with: JPEG, JPEG 2000 or PNG files.
    #[schema(value_type = Vec<String>, format = Binary)]
    reference: Vec<Vec<u8>>,
    /// Data groups 2 of passport chips.
    #[schema(value_type = Vec<String>, format = Binary)]
    dg2: Vec<Vec<u8>>,
    /// EF.SOD of each `dg2`, in their order; without it nothing is authenticated.
    #[schema(value_type = Vec<String>, format = Binary)]
    sod: Vec<Vec<u8>>,
    /// EF.DG1 of each `dg2`, in their order.
    #[schema(value_type = Vec<String>, format = Binary)]
    dg1: Vec<Vec<u8>>,
    /// Why.
    purpose: PurposeName,
    /// At a border: the traveller is a third-country national, `true` or `false`.
    #[serde(rename = "thirdCountryNational")]
    third_country_national: Option<bool>,
    /// Administrators only.
    fmr: Option<f64>,
}

/// A gallery's name from a path or a body.
pub(super) fn gallery_id(text: &str) -> Result<GalleryId, Problem> {
    text.parse().map_err(|error| Problem::new("IDENTIFIER_INVALID", format!("{error}")))
}

/// A subject's id from a path or a body.
pub(super) fn subject_id(text: &str) -> Result<SubjectId, Problem> {
    text.parse().map_err(|error| Problem::new("IDENTIFIER_INVALID", format!("{error}")))
}

/// The secret of a holder's record. One of another length is no secret, whatever the record.
fn holder_secret(field: &str, text: &str) -> Result<HolderSecret, Problem> {
    let bytes = base64(field, text)?;
    let mut bytes: [u8; HOLDER_SECRET_BYTES] = bytes.try_into().map_err(|held: Vec<u8>| {
        let detail = format!("{field} has {} bytes, not {HOLDER_SECRET_BYTES}", held.len());
        Problem::new("FIELD_INVALID", detail)
    })?;
    HolderSecret::new(&mut bytes).map_err(|error| Problem::new("FAULT", error.to_string()))
}

/// Classes as bits; `None` as `otherwise`.
fn class_bits(classes: Option<&[u8]>, otherwise: u64) -> Result<u64, Problem> {
    let Some(classes) = classes else { return Ok(otherwise) };
    classes.iter().try_fold(0_u64, |bits, &class| match 1_u64.checked_shl(u32::from(class)) {
        Some(bit) => Ok(bits | bit),
        None => Err(Problem::new("FIELD_INVALID", format!("class {class} is not one of 0 to 63"))),
    })
}

/// A multipart field of numbers, separated by commas.
fn classes(fields: &Fields) -> Result<Option<Vec<u8>>, Problem> {
    let Some(text) = fields.text("classes")? else { return Ok(None) };
    let invalid =
        |_| Problem::new("FIELD_INVALID", "`classes` must be numbers from 0 to 63, such as 0,3");
    text.split(',')
        .map(|class| class.trim().parse().map_err(invalid))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The purpose and command of `POST /v1/verify`.
pub(super) fn verify(form: Form) -> Result<(Purpose, Command), Problem> {
    match form {
        Form::Json(bytes) => {
            let body: VerifyBody<'_> = json(&bytes)?;
            let probe = body.probe.decode("probe.image")?;
            let decoded = body.references.iter().enumerate();
            let references: Result<Vec<_>, _> =
                decoded.map(|(at, reference)| reference.decode(at)).collect();
            let (references, third_country) = (references?, body.third_country_national);
            let command = Command::Verify { probe, references, third_country, fmr: body.fmr };
            Ok((body.purpose.into(), command))
        }
        Form::Multipart(mut fields) => {
            let known = [
                "probe",
                "reference",
                "dg2",
                "sod",
                "dg1",
                "purpose",
                "thirdCountryNational",
                "fmr",
            ];
            fields.only(&known)?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let fmr = fields.parsed("fmr", "a rate such as 1e-4")?;
            let probe = fields.image("probe")?;
            let images = fields.images("reference").into_iter().map(ReferenceSource::Image);
            let mut references: Vec<_> = images.collect();
            references.extend(documents(&mut fields)?);
            let third_country = third_country(&fields)?;
            Ok((purpose.into(), Command::Verify { probe, references, third_country, fmr }))
        }
    }
}

/// Whether a form says that the traveller is a third-country national.
fn third_country(fields: &Fields) -> Result<bool, Problem> {
    Ok(fields.parsed("thirdCountryNational", "true or false")?.unwrap_or(false))
}

/// The documents of a form: each `dg2` with the `sod` and the `dg1` of the same number.
fn documents(fields: &mut Fields) -> Result<Vec<ReferenceSource>, Problem> {
    let mut files = |name| fields.files(name).into_iter().map(EncodedFile::new);
    let (groups, mut sods, mut zones) = (files("dg2"), files("sod"), files("dg1"));
    for (name, held) in [("sod", sods.len()), ("dg1", zones.len())] {
        if held != 0 && held != groups.len() {
            let detail = format!("{held} fields `{name}` for {} `dg2`: one each", groups.len());
            return Err(Problem::new("MULTIPART_INVALID", detail));
        }
    }
    let document = |file| ReferenceSource::Dg2 { file, sod: sods.next(), dg1: zones.next() };
    Ok(groups.map(document).collect())
}

/// The purpose and command of a search in `gallery`.
pub(super) fn identify(gallery: GalleryId, form: Form) -> Result<(Purpose, Command), Problem> {
    let (purpose, probe, best, classes, group, fmr) = match form {
        Form::Json(bytes) => {
            let body: IdentifyBody<'_> = json(&bytes)?;
            let probe = body.probe.decode("probe.image")?;
            (body.purpose, probe, body.best, body.classes, body.group, body.fmr)
        }
        Form::Multipart(mut fields) => {
            fields.only(&["probe", "purpose", "best", "classes", "group", "fmr"])?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let probe = fields.image("probe")?;
            let best = fields.parsed("best", &format!("1 to {CANDIDATES_MAX}"))?;
            let group = fields.parsed("group", "a number")?;
            let fmr = fields.parsed("fmr", "a rate such as 1e-4")?;
            (purpose, probe, best, classes(&fields)?, group, fmr)
        }
    };
    let scope = Scope {
        class_bits: class_bits(classes.as_deref(), u64::MAX)?,
        group,
        best: best.unwrap_or(BEST_DEFAULT),
    };
    Ok((purpose.into(), Command::Identify { gallery, probe, scope, fmr }))
}

/// The purpose and command of an enrolment into `gallery`.
pub(super) fn enrol(gallery: GalleryId, form: Form) -> Result<(Purpose, Command), Problem> {
    let (purpose, images, subject, classes, group, (not_before, expiry), papers) = match form {
        Form::Json(bytes) => {
            let body: EnrolBody<'_> = json(&bytes)?;
            let decoded = body.images.iter().enumerate();
            let images: Result<Vec<_>, _> =
                decoded.map(|(at, image)| image.decode(&format!("images[{at}].image"))).collect();
            let subject = body.subject.as_deref().map(subject_id).transpose()?;
            let purpose = body.purpose;
            let (validity, papers) =
                ((body.not_before, body.expiry), papers(body.consent, body.ground));
            (purpose, images?, subject, body.classes, body.group, validity, papers)
        }
        Form::Multipart(mut fields) => {
            let known = [
                "image",
                "purpose",
                "subject",
                "classes",
                "group",
                "notBefore",
                "expiry",
                "consent",
                "ground",
            ];
            fields.only(&known)?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let images = fields.images("image");
            let subject = fields.text("subject")?.map(subject_id).transpose()?;
            let group = fields.parsed("group", "a number")?;
            let not_before = fields.parsed("notBefore", "seconds UTC")?;
            let expiry = fields.parsed("expiry", "seconds UTC")?;
            let (validity, papers) = ((not_before, expiry), papers_of(&fields)?);
            (purpose, images, subject, classes(&fields)?, group, validity, papers)
        }
    };
    let terms = Terms {
        class_bits: class_bits(classes.as_deref(), 1)?,
        group: group.unwrap_or(0),
        not_before_s: not_before,
        expiry_s: expiry.unwrap_or(i64::MAX),
    };
    Ok((purpose.into(), Command::Enrol { gallery, subject, images, terms, papers }))
}

/// The purpose and command of making a gallery.
pub(super) fn create_gallery(form: Form) -> Result<(Purpose, Command), Problem> {
    let (purpose, gallery, keys) = match form {
        Form::Json(bytes) => {
            let body: CreateGalleryBody<'_> = json(&bytes)?;
            (body.purpose, gallery_id(&body.gallery)?, body.keys)
        }
        Form::Multipart(fields) => {
            fields.only(&["gallery", "purpose", "keys"])?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let gallery = gallery_id(fields.text("gallery")?.unwrap_or_default())?;
            (purpose, gallery, KeysName::parse(fields.text("keys")?)?)
        }
    };
    Ok((purpose.into(), Command::CreateGallery { gallery, kept_by: keys.into() }))
}

/// The purpose and command of handing out a template.
pub(super) fn embed(form: Form) -> Result<(Purpose, Command), Problem> {
    let (purpose, image) = match form {
        Form::Json(bytes) => {
            let body: EmbedBody<'_> = json(&bytes)?;
            (body.purpose, EncodedImage::new(base64("image", &body.image)?))
        }
        Form::Multipart(mut fields) => {
            fields.only(&["image", "purpose"])?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            (purpose, fields.image("image")?)
        }
    };
    Ok((purpose.into(), Command::Embed { image }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify_json(text: &str) -> Result<(Purpose, Command), Problem> {
        verify(Form::Json(text.as_bytes().to_vec()))
    }

    #[test]
    fn references_are_exactly_one_kind() {
        let with = |reference: &str| {
            let probe = r#""probe":{"image":"AAEC"},"purpose":"evaluation""#;
            verify_json(&format!(r#"{{{probe},"references":[{reference}]}}"#))
        };
        assert!(with(r#"{"image":"AAEC"}"#).is_ok());
        assert!(with(r#"{"dg2":"dQA="}"#).is_ok(), "what it holds is not looked at here");
        assert!(with(r#"{"dg2":"dQA=","sod":"dwA=","dg1":"YQA="}"#).is_ok());
        assert!(with(r#"{"holderToken":"0oRD"}"#).is_ok(), "what it holds is not looked at here");
        let id = "00".repeat(16);
        let secret = "A".repeat(43);
        let record = format!(r#"{{"gallery":"g","subject":"{id}","secret":"{secret}"}}"#);
        assert!(with(&record).is_ok());
        assert_eq!(with(&record.replace('A', "")).expect_err("short").code(), "FIELD_INVALID");
        assert!(with(&format!(r#"{{"gallery":"g","subject":"{id}"}}"#)).is_ok());
        for (reference, code) in [
            ("{}", "REFERENCE_INVALID"),
            (r#"{"image":"AAEC","dg2":"dQA="}"#, "REFERENCE_INVALID"),
            (r#"{"dg2":{"any":"thing"}}"#, "JSON_INVALID"),
            (r#"{"dg2":"?"}"#, "BASE64_INVALID"),
            (r#"{"holderToken":{"any":"thing"}}"#, "JSON_INVALID"),
            (r#"{"gallery":"g"}"#, "REFERENCE_INVALID"),
            (r#"{"secret":"AAAA"}"#, "REFERENCE_INVALID"),
            (r#"{"picture":"AAEC"}"#, "JSON_INVALID"),
            (r#"{"image":"AAEC","sod":"dwA="}"#, "REFERENCE_INVALID"),
            (r#"{"dg2":"dQA=","sod":"?"}"#, "BASE64_INVALID"),
            (r#"{"gallery":"G","subject":"00"}"#, "IDENTIFIER_INVALID"),
        ] {
            assert_eq!(with(reference).expect_err(reference).code(), code, "{reference}");
        }
    }

    #[test]
    fn a_purpose_is_never_assumed() {
        let text = r#"{"probe":{"image":""},"references":[]}"#;
        assert_eq!(verify_json(text).expect_err("none").code(), "JSON_INVALID");
        assert_eq!(PurposeName::parse(None).expect_err("none").code(), "PURPOSE_MISSING");
        assert_eq!(PurposeName::parse(Some("boarding")).expect("known"), PurposeName::Boarding);
    }

    #[test]
    fn classes_become_bits() {
        assert_eq!(class_bits(Some(&[0, 63]), 0).expect("two"), 1 | 1 << 63);
        assert_eq!(class_bits(None, 7).expect("default"), 7);
        assert_eq!(class_bits(Some(&[64]), 0).expect_err("none").code(), "FIELD_INVALID");
    }
}
