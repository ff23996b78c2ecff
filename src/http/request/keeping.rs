//! What callers send to change who is enrolled, beside the enrolment itself.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Command, EncodedImage, Fields, Form, GalleryId, ImageBody, Problem, Purpose, PurposeName,
    SubjectId, Terms, base64, class_bits, classes, json,
    site::{ConsentBody, EnteredBody, GroundBody, papers, papers_of},
};
use crate::{command::Papers, types::Selection};

/// `POST /v1/galleries/{gallery}/erase`: exactly one of `group`, `classes`, `enrolledBefore`,
/// `expired`, `everybody` and `entered`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EraseBody {
    /// Why.
    purpose: PurposeName,
    /// Every subject of this group, such as a flight.
    #[serde(default)]
    group: Option<u32>,
    /// Every subject in at least one of these classes, 0 to 63.
    #[serde(default)]
    classes: Option<Vec<u8>>,
    /// Every reference whose validity began before this second (UTC).
    #[serde(default)]
    enrolled_before: Option<i64>,
    /// Every reference whose validity has ended; `true`.
    #[serde(default)]
    expired: Option<bool>,
    /// The whole gallery, which stays and is empty; `true`.
    #[serde(default)]
    everybody: Option<bool>,
    /// Whom somebody entered, as the audit knows it.
    #[serde(default)]
    entered: Option<EnteredBody>,
}

/// `PUT /v1/galleries/{gallery}/subjects/{subject}/restriction`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestrictBody {
    /// Why.
    purpose: PurposeName,
    /// `true` keeps the subject out of every search and comparison; `false` lifts that.
    restricted: bool,
}

/// `PUT /v1/galleries/{gallery}/subjects/{subject}/group`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegroupBody {
    /// Why.
    purpose: PurposeName,
    /// The group, such as a flight; 0 for none.
    group: u32,
}

/// `PUT /v1/galleries/{gallery}/subjects/{subject}`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceBody<'a> {
    /// Photographs of the same person, 1 to 4.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 4)]
    images: Vec<ImageBody<'a>>,
    /// Why.
    purpose: PurposeName,
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
    /// A new consent, where the one that is held does not cover the new pictures.
    #[serde(default)]
    consent: Option<ConsentBody>,
    /// Why the person is on a list, where it is one.
    #[serde(default)]
    ground: Option<GroundBody>,
}

/// `POST /v1/galleries/{gallery}/holders`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolHolderBody<'a> {
    /// A JPEG or PNG file as base64.
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64")]
    image: Cow<'a, str>,
    /// Why.
    purpose: PurposeName,
    /// First second (UTC) at which the record may be used; without it, now.
    #[serde(default, rename = "notBefore")]
    not_before: Option<i64>,
    /// First second (UTC) at which it may not be used any more; without it, never.
    #[serde(default)]
    expiry: Option<i64>,
    /// First second (UTC) at which the passport does not count any more: the record ends with it. A
    /// site that keeps such records wants it.
    #[serde(default, rename = "passportExpiry")]
    passport_expiry: Option<i64>,
    /// The holder's consent.
    #[serde(default)]
    consent: Option<ConsentBody>,
}

/// `POST /v1/holder-tokens`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueTokenBody<'a> {
    /// A JPEG or PNG file as base64.
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64")]
    image: Cow<'a, str>,
    /// Why.
    purpose: PurposeName,
    /// First second (UTC) at which the token is accepted; without it, now.
    #[serde(default, rename = "notBefore")]
    not_before: Option<i64>,
    /// First second (UTC) at which it is not accepted any more: a token cannot be called back, so
    /// it always ends.
    expiry: i64,
    /// The holder's consent.
    #[serde(default)]
    consent: Option<ConsentBody>,
}

/// A form of plain fields.
pub(super) fn plain<T: serde::de::DeserializeOwned>(form: &Form) -> Result<T, Problem> {
    match form {
        Form::Json(bytes) => json(bytes),
        Form::Multipart(_) => {
            let detail = "multipart/form-data: this endpoint takes application/json";
            Err(Problem::new("CONTENT_TYPE_UNSUPPORTED", detail))
        }
    }
}

/// The purpose and command of erasing everybody who is meant.
pub(in crate::http) fn erase_selected(
    gallery: GalleryId,
    form: &Form,
) -> Result<(Purpose, Command), Problem> {
    let mut body: EraseBody = plain(form)?;
    let entered = body.entered.take();
    let classes = body.classes.as_deref().map(|held| class_bits(Some(held), 0)).transpose()?;
    let meant = [
        body.group.map(Selection::Group),
        classes.map(Selection::Classes),
        body.enrolled_before.map(Selection::EnrolledBefore),
        (body.expired == Some(true)).then_some(Selection::Expired),
        (body.everybody == Some(true)).then_some(Selection::Everybody),
    ]
    .into_iter()
    .flatten();
    if let (Some(entered), None) = (&entered, meant.clone().next()) {
        let entered = entered.clone().decode(gallery, body.purpose)?;
        return Ok((body.purpose.into(), Command::EraseEntered { entered }));
    }
    let mut meant = meant.filter(|_| entered.is_none());
    match (meant.next(), meant.next()) {
        (Some(Selection::Classes(0)), None) => {
            Err(Problem::new("CLASSES_EMPTY", "classes names none, so that nobody is meant"))
        }
        (Some(Selection::Group(0)), None) => {
            let detail = "group 0 is no group; erase everybody, or by classes or time";
            Err(Problem::new("FIELD_INVALID", detail))
        }
        (Some(selection), None) => {
            Ok((body.purpose.into(), Command::EraseSelected { gallery, selection }))
        }
        _ => {
            let detail = "say who is meant by exactly one of group, classes, enrolledBefore, \
                          \"expired\": true, \"everybody\": true, entered";
            Err(Problem::new("FIELD_INVALID", detail))
        }
    }
}

/// The purpose and command of restricting `subject`, or of lifting that.
pub(in crate::http) fn restrict(
    gallery: GalleryId,
    subject: SubjectId,
    form: &Form,
) -> Result<(Purpose, Command), Problem> {
    let RestrictBody { purpose, restricted } = plain(form)?;
    Ok((purpose.into(), Command::Restrict { gallery, subject, restricted }))
}

/// The purpose and command of moving `subject` to another group.
pub(in crate::http) fn regroup(
    gallery: GalleryId,
    subject: SubjectId,
    form: &Form,
) -> Result<(Purpose, Command), Problem> {
    let RegroupBody { purpose, group } = plain(form)?;
    Ok((purpose.into(), Command::Regroup { gallery, subject, group }))
}

/// When something may be used, from what a caller left out or said.
fn terms(class_bits: u64, group: u32, from: Option<i64>, until: Option<i64>) -> Terms {
    Terms { class_bits, group, not_before_s: from, expiry_s: until.unwrap_or(i64::MAX) }
}

/// The purpose and command of replacing the references of `subject`.
pub(in crate::http) fn replace(
    gallery: GalleryId,
    subject: SubjectId,
    form: Form,
) -> Result<(Purpose, Command), Problem> {
    let (purpose, images, named, group, (from, until), papers) = match form {
        Form::Json(bytes) => {
            let body: ReplaceBody<'_> = json(&bytes)?;
            let decoded = body.images.iter().enumerate();
            let images: Result<Vec<_>, _> =
                decoded.map(|(at, image)| image.decode(&format!("images[{at}].image"))).collect();
            let (validity, papers) =
                ((body.not_before, body.expiry), papers(body.consent, body.ground));
            (body.purpose, images?, body.classes, body.group, validity, papers)
        }
        Form::Multipart(mut fields) => {
            let known = [
                "image",
                "purpose",
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
            let group = fields.parsed("group", "a number")?;
            let (validity, papers) = (validity(&fields)?, papers_of(&fields)?);
            (purpose, images, classes(&fields)?, group, validity, papers)
        }
    };
    let terms = terms(class_bits(named.as_deref(), 1)?, group.unwrap_or(0), from, until);
    Ok((purpose.into(), Command::Replace { gallery, subject, images, terms, papers }))
}

fn validity(fields: &Fields) -> Result<(Option<i64>, Option<i64>), Problem> {
    let seconds = "seconds UTC";
    Ok((fields.parsed("notBefore", seconds)?, fields.parsed("expiry", seconds)?))
}

/// The purpose and command of making a record that only its holder can open.
pub(in crate::http) fn enrol_holder(
    gallery: GalleryId,
    form: Form,
) -> Result<(Purpose, Command), Problem> {
    let (purpose, image, (from, until), papers, passport_expiry_s) = match form {
        Form::Json(bytes) => {
            let body: EnrolHolderBody<'_> = json(&bytes)?;
            let image = EncodedImage::new(base64("image", &body.image)?);
            let (validity, papers) = ((body.not_before, body.expiry), papers(body.consent, None));
            (body.purpose, image, validity, papers, body.passport_expiry)
        }
        Form::Multipart(mut fields) => {
            let known = ["image", "purpose", "notBefore", "expiry", "passportExpiry", "consent"];
            fields.only(&known)?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let (validity, papers) = (validity(&fields)?, papers_of(&fields)?);
            let passport_expiry_s = fields.parsed("passportExpiry", "seconds UTC")?;
            (purpose, fields.image("image")?, validity, papers, passport_expiry_s)
        }
    };
    let papers = Papers { passport_expiry_s, ..papers };
    let terms = terms(1, 0, from, until);
    Ok((purpose.into(), Command::EnrolHolder { gallery, image, terms, papers }))
}

/// The purpose and command of issuing a token.
pub(in crate::http) fn issue_token(form: Form) -> Result<(Purpose, Command), Problem> {
    let (purpose, image, from, expiry_s, papers) = match form {
        Form::Json(bytes) => {
            let body: IssueTokenBody<'_> = json(&bytes)?;
            let image = EncodedImage::new(base64("image", &body.image)?);
            (body.purpose, image, body.not_before, body.expiry, papers(body.consent, None))
        }
        Form::Multipart(mut fields) => {
            fields.only(&["image", "purpose", "notBefore", "expiry", "consent"])?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let (from, until) = validity(&fields)?;
            let needed = || {
                let detail = "`expiry` is needed: a token cannot be called back, so it must end";
                Problem::new("FIELD_INVALID", detail)
            };
            let papers = papers_of(&fields)?;
            (purpose, fields.image("image")?, from, until.ok_or_else(needed)?, papers)
        }
    };
    let not_before_s = from;
    Ok((purpose.into(), Command::IssueToken { image, not_before_s, expiry_s, papers }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erase(members: &str) -> Result<Selection, &'static str> {
        let text = format!(r#"{{"purpose":"boarding"{members}}}"#);
        let gallery = "flight".parse().expect("a name");
        match erase_selected(gallery, &Form::Json(text.into_bytes())) {
            Ok((_, Command::EraseSelected { selection, .. })) => Ok(selection),
            Ok(_) => Err("another command"),
            Err(problem) => Err(problem.code()),
        }
    }

    #[test]
    fn who_is_meant_is_said_once_and_never_assumed() {
        assert_eq!(erase(r#","group":7"#), Ok(Selection::Group(7)));
        assert_eq!(erase(r#","classes":[0,2]"#), Ok(Selection::Classes(5)));
        assert_eq!(erase(r#","enrolledBefore":-3"#), Ok(Selection::EnrolledBefore(-3)));
        assert_eq!(erase(r#","expired":true"#), Ok(Selection::Expired));
        assert_eq!(erase(r#","everybody":true"#), Ok(Selection::Everybody));
        for nobody in ["", r#","everybody":false"#, r#","group":7,"classes":[1]"#, r#","group":0"#]
        {
            assert_eq!(erase(nobody), Err("FIELD_INVALID"), "{nobody}");
        }
        assert_eq!(erase(r#","classes":[]"#), Err("CLASSES_EMPTY"));
        assert_eq!(erase(r#","subject":"00""#), Err("JSON_INVALID"));
    }
}
