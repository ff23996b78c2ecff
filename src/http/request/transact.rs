//! What a gate sends to open a transaction of its lane.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    BEST_DEFAULT, Command, Form, Problem, Purpose, PurposeName, ReferenceBody, ReferenceSource,
    Scope, class_bits, classes, documents, gallery_id, json, third_country,
};
use crate::{
    command::{Against, AtLane, LaneCommand, Listener},
    types::{LaneId, TransactionId},
};

/// `POST /v1/lanes/{lane}/transactions`: with `references` (1:1) or with `gallery` (1:N).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TransactBody<'a> {
    /// 32 random hexadecimal digits, such as a UUID without its hyphens. Never used twice but to
    /// repeat this very request; never made of anything that names the traveller.
    #[serde(borrow)]
    #[schema(value_type = String, pattern = "^[0-9a-f]{32}$")]
    transaction_id: Cow<'a, str>,
    /// Why.
    purpose: PurposeName,
    /// What the traveller is compared with, 1 to 8.
    #[serde(borrow, default)]
    #[schema(min_items = 1, max_items = 8)]
    references: Option<Vec<ReferenceBody<'a>>>,
    /// The gallery that is searched, in the place of references.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    gallery: Option<Cow<'a, str>>,
    /// With `gallery`: only subjects in at least one of these classes, 0 to 63.
    #[serde(default)]
    classes: Option<Vec<u8>>,
    /// With `gallery`: only subjects of this group, such as a flight.
    #[serde(default)]
    group: Option<u32>,
    /// At a border: the traveller is a third-country national. A second reference beside the chip's
    /// must then be among `references`.
    #[serde(default)]
    third_country_national: bool,
    /// The same traveller's transaction before, which ended with `retry`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{32}$")]
    retry_of: Option<Cow<'a, str>>,
}

/// A transaction's id from a path or a body.
pub(in crate::http) fn transaction_id(text: &str) -> Result<TransactionId, Problem> {
    text.parse().map_err(|error| Problem::new("IDENTIFIER_INVALID", format!("{error}")))
}

/// The purpose and command of a new transaction; `listener` hears that it is open.
pub(in crate::http) fn transact(
    lane: LaneId,
    form: Form,
    listener: Option<Listener>,
) -> Result<(Purpose, Command), Problem> {
    let (purpose, transaction, against, third_country, retry_of) = match form {
        Form::Json(bytes) => from_json(&json(&bytes)?)?,
        Form::Multipart(mut fields) => {
            let known = [
                "transactionId",
                "purpose",
                "reference",
                "dg2",
                "sod",
                "dg1",
                "gallery",
                "classes",
                "group",
                "retryOf",
                "thirdCountryNational",
            ];
            fields.only(&known)?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let transaction = transaction_id(fields.text("transactionId")?.unwrap_or_default())?;
            let retry_of = fields.text("retryOf")?.map(transaction_id).transpose()?;
            let gallery = fields.text("gallery")?.map(gallery_id).transpose()?;
            let classes = classes(&fields)?;
            let group = fields.parsed("group", "a number")?;
            let images = fields.images("reference").into_iter().map(ReferenceSource::Image);
            let mut references: Vec<_> = images.collect();
            references.extend(documents(&mut fields)?);
            let references = (!references.is_empty()).then_some(references);
            let against = against(references, gallery, classes.as_deref(), group)?;
            (purpose, transaction, against, third_country(&fields)?, retry_of)
        }
    };
    let command = LaneCommand::Open { against, third_country, retry_of, listener };
    Ok((purpose.into(), Command::Lane { at: AtLane { lane, transaction }, command }))
}

type Asked = (PurposeName, TransactionId, Against, bool, Option<TransactionId>);

fn from_json(body: &TransactBody<'_>) -> Result<Asked, Problem> {
    let decoded = body.references.as_ref().map(|references| {
        let numbered = references.iter().enumerate();
        numbered.map(|(at, reference)| reference.decode(at)).collect::<Result<Vec<_>, _>>()
    });
    let gallery = body.gallery.as_deref().map(gallery_id).transpose()?;
    let against = against(decoded.transpose()?, gallery, body.classes.as_deref(), body.group)?;
    let retry_of = body.retry_of.as_deref().map(transaction_id).transpose()?;
    let transaction = transaction_id(&body.transaction_id)?;
    Ok((body.purpose, transaction, against, body.third_country_national, retry_of))
}

/// References or a gallery, never both: a traveller who claims to be somebody is verified.
fn against(
    references: Option<Vec<ReferenceSource>>,
    gallery: Option<crate::types::GalleryId>,
    classes: Option<&[u8]>,
    group: Option<u32>,
) -> Result<Against, Problem> {
    let invalid = |detail: &str| Err(Problem::new("REFERENCE_INVALID", detail));
    match (references, gallery) {
        (Some(_), None) if classes.is_some() || group.is_some() => {
            invalid("classes and group limit a search; they belong to a gallery")
        }
        (Some(references), None) => Ok(Against::References(references)),
        (None, Some(gallery)) => {
            let class_bits = class_bits(classes, u64::MAX)?;
            Ok(Against::Gallery { gallery, scope: Scope { class_bits, group, best: BEST_DEFAULT } })
        }
        (None, None) | (Some(_), Some(_)) => {
            invalid("name either references to compare with or a gallery to search")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::lane_id, *};

    fn opened(more: &str) -> Result<Command, Problem> {
        let id = "0f".repeat(16);
        let text = format!(r#"{{"transactionId":"{id}","purpose":"border-control"{more}}}"#);
        let lane = lane_id("gate-1").expect("a name");
        transact(lane, Form::Json(text.into_bytes()), None).map(|(_, command)| command)
    }

    #[test]
    fn references_or_a_gallery_and_never_both() {
        let one = r#","references":[{"image":"AAEC"}]"#;
        let against = |more: &str| match opened(more).expect("a transaction") {
            Command::Lane { command: LaneCommand::Open { against, .. }, .. } => against,
            other => panic!("{other:?}"),
        };
        assert!(matches!(against(one), Against::References(held) if held.len() == 1));
        let Against::Gallery { scope, .. } = against(r#","gallery":"g","classes":[1],"group":7"#)
        else {
            panic!("a search")
        };
        assert_eq!((scope.class_bits, scope.group), (2, Some(7)));
        for more in ["", &format!(r#"{one},"gallery":"g""#), &format!(r#"{one},"group":7"#)] {
            assert_eq!(opened(more).expect_err(more).code(), "REFERENCE_INVALID");
        }
        let again = format!(r#"{one},"retryOf":"{}""#, "00".repeat(16));
        assert!(opened(&again).is_ok());
        let misnamed = format!(r#"{one},"retryOf":"the one before""#);
        for more in [misnamed.as_str(), r#","gallery":"G""#] {
            assert_eq!(opened(more).expect_err(more).code(), "IDENTIFIER_INVALID");
        }
        let threshold = format!(r#"{one},"fmr":0.5"#);
        assert_eq!(opened(&threshold).expect_err("a rate").code(), "JSON_INVALID");
    }
}
