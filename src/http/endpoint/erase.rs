//! `DELETE /v1/galleries/{gallery}/subjects/{subject}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Errand;
use crate::{
    command::{Answer, Command},
    http::{
        Api,
        answer::ErasedAnswer,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// Remove a subject, or a holder's record; the answer is the receipt.
///
/// Answered when no search holds it any more and the key that could open it is destroyed.
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
        (status = 200, description = "Erased: the receipt.", body = ErasedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn erase(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    errand: Errand,
) -> Result<Json<ErasedAnswer>, Problem> {
    let gallery = request::gallery_id(&gallery)?;
    let command = Command::Erase { gallery, subject: request::subject_id(&subject)? };
    match api.execute(errand.callers, errand.deadline_ms, (errand.purpose, command)).await? {
        Answer::Erased(erased) => Ok(Json(ErasedAnswer::from(&erased))),
        _ => Err(unexpected()),
    }
}
