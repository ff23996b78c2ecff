//! `PUT /v1/galleries/{gallery}/subjects/{subject}/restriction`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::ChangedAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, RestrictBody},
        unexpected,
    },
};

/// Keep a subject without using it (GDPR Art. 18): no search and no comparison finds it. Or lift
/// that again.
#[utoipa::path(
    put,
    path = "/v1/galleries/{gallery}/subjects/{subject}/restriction",
    tag = "galleries",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
    ),
    request_body = RestrictBody,
    responses(
        (status = 200, description = "It holds for the next search.", body = ChangedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn restrict(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Json<ChangedAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let asked = request::restrict(gallery, subject, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Changed { transaction, subject, generation } => {
            Ok(Json(ChangedAnswer::new(transaction, subject, generation)))
        }
        _ => Err(unexpected()),
    }
}
