//! What gate controllers send to a lane.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::ToSchema;

use super::{PurposeName, base64};
use crate::{
    command::{Command, EncodedImage},
    http::{
        body::{Form, json},
        problem::Problem,
    },
    meter::Offered,
    types::{LaneId, Purpose},
};

/// `POST /v1/lanes/{lane}/frames`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushFrameBody<'a> {
    /// A JPEG, JPEG 2000 or PNG file as base64.
    #[serde(borrow)]
    #[schema(value_type = String, content_encoding = "base64")]
    image: Cow<'a, str>,
    /// Why.
    purpose: PurposeName,
    /// What the presentation attack detector that the lane's configuration names said of this very
    /// frame: 0 bona fide, 1 attack.
    #[serde(default, rename = "attackScore")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    attack_score: Option<f32>,
}

/// The form of `POST /v1/lanes/{lane}/frames`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `Fields` reads by name")]
pub struct PushFrameForm {
    /// A JPEG, JPEG 2000 or PNG file.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Why.
    purpose: PurposeName,
    /// The external detector's score.
    #[schema(rename = "attackScore")]
    attack_score: Option<f32>,
}

/// A lane's name from a path.
pub(in crate::http) fn lane_id(text: &str) -> Result<LaneId, Problem> {
    text.parse().map_err(|error| Problem::new("IDENTIFIER_INVALID", format!("{error}")))
}

/// The purpose and command of a frame that is handed over.
pub(in crate::http) fn push_frame(
    lane: LaneId,
    form: Form,
    offered: Offered,
) -> Result<(Purpose, Command), Problem> {
    let (purpose, frame, external_attack) = match form {
        Form::Json(bytes) => {
            let body: PushFrameBody<'_> = json(&bytes)?;
            let image = base64("image", &body.image)?;
            (body.purpose, EncodedImage::new(image), body.attack_score)
        }
        Form::Multipart(mut fields) => {
            fields.only(&["image", "purpose", "attackScore"])?;
            let purpose = PurposeName::parse(fields.text("purpose")?)?;
            let image = fields.image("image")?;
            (purpose, image, fields.parsed("attackScore", "a score from 0 to 1")?)
        }
    };
    Ok((purpose.into(), Command::PushFrame { lane, frame, external_attack, offered }))
}

/// As [`push_frame`], for a picture that was sent as it is.
pub(in crate::http) fn push_picture(
    lane: LaneId,
    picture: Vec<u8>,
    purpose: Option<&str>,
    external_attack: Option<f32>,
    offered: Offered,
) -> Result<(Purpose, Command), Problem> {
    let purpose = PurposeName::parse(purpose)?;
    let frame = EncodedImage::new(picture);
    Ok((purpose.into(), Command::PushFrame { lane, frame, external_attack, offered }))
}
