//! `POST /v1/galleries/{gallery}/subjects/{subject}/objection`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::ErasedAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeBody},
        unexpected,
    },
};

/// Record an objection (GDPR Art. 21); what is enrolled is erased, and the answer is the receipt.
#[utoipa::path(
    post,
    path = "/v1/galleries/{gallery}/subjects/{subject}/objection",
    tag = "rights",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
    ),
    request_body = PurposeBody,
    responses(
        (status = 200, description = "Erased: the receipt.", body = ErasedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn object(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Json<ErasedAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let asked = request::object(gallery, subject, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Erased(erased) => Ok(Json(ErasedAnswer::from(&erased))),
        _ => Err(unexpected()),
    }
}
