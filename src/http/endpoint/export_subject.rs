//! `GET /v1/galleries/{gallery}/subjects/{subject}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Errand;
use crate::{
    command::{Answer, Command},
    http::{
        Api,
        answer::ExportAnswer,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// Tell a person what is held about that person (GDPR Art. 15 and 20).
///
/// Nobody else's data are in the answer, and no template.
#[utoipa::path(
    get,
    path = "/v1/galleries/{gallery}/subjects/{subject}",
    tag = "rights",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "What is held.", body = ExportAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn export_subject(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    errand: Errand,
) -> Result<Json<ExportAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let asked = (errand.purpose, Command::ExportSubject { gallery, subject });
    match api.execute(errand.callers, errand.deadline_ms, asked).await? {
        Answer::Export(held) => Ok(Json(ExportAnswer::from(&*held))),
        _ => Err(unexpected()),
    }
}
