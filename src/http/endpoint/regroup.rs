//! `PUT /v1/galleries/{gallery}/subjects/{subject}/group`.

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
        request::{self, RegroupBody},
        unexpected,
    },
};

/// Move a subject to another group, such as a later flight.
#[utoipa::path(
    put,
    path = "/v1/galleries/{gallery}/subjects/{subject}/group",
    tag = "galleries",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
    ),
    request_body = RegroupBody,
    responses(
        (status = 200, description = "It holds for the next search.", body = ChangedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn regroup(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Json<ChangedAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let asked = request::regroup(gallery, subject, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Changed { transaction, subject, generation } => {
            Ok(Json(ChangedAnswer::new(transaction, subject, generation)))
        }
        _ => Err(unexpected()),
    }
}
