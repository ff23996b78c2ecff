//! `DELETE /v1/galleries/{gallery}/subjects/{subject}`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};

use super::Errand;
use crate::{
    command::{Answer, Command},
    http::{
        Api,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// Remove a subject; when this is answered, no search holds it any more.
#[utoipa::path(
    delete,
    path = "/v1/galleries/{gallery}/subjects/{subject}",
    tag = "galleries",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 204, description = "Erased."),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn erase(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    errand: Errand,
) -> Result<StatusCode, Problem> {
    let gallery = request::gallery_id(&gallery)?;
    let command = Command::Erase { gallery, subject: request::subject_id(&subject)? };
    match api.execute(errand.callers, errand.deadline_ms, (errand.purpose, command)).await? {
        Answer::Erased { .. } => Ok(StatusCode::NO_CONTENT),
        _ => Err(unexpected()),
    }
}
