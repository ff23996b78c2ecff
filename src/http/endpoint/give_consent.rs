//! `PUT /v1/galleries/{gallery}/subjects/{subject}/consent`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::ConsentAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, GiveConsentBody},
        unexpected,
    },
};

/// Record a consent, in the place of an earlier one: who, when, which text, how, and that it was
/// free.
#[utoipa::path(
    put,
    path = "/v1/galleries/{gallery}/subjects/{subject}/consent",
    tag = "rights",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
    ),
    request_body = GiveConsentBody,
    responses(
        (status = 200, description = "It is kept, sealed.", body = ConsentAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn give_consent(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Json<ConsentAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let asked = request::give_consent(gallery, subject, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::ConsentKept { transaction, subject } => {
            Ok(Json(ConsentAnswer::new(transaction, subject)))
        }
        _ => Err(unexpected()),
    }
}
