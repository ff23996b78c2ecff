//! `DELETE /v1/galleries/{gallery}`.

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

/// Erase a gallery and everybody in it.
#[utoipa::path(
    delete,
    path = "/v1/galleries/{gallery}",
    tag = "galleries",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "Erased: the receipt.", body = ErasedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn delete_gallery(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    errand: Errand,
) -> Result<Json<ErasedAnswer>, Problem> {
    let command = Command::DeleteGallery { gallery: request::gallery_id(&gallery)? };
    match api.execute(errand.callers, errand.deadline_ms, (errand.purpose, command)).await? {
        Answer::Erased(erased) => Ok(Json(ErasedAnswer::from(&erased))),
        _ => Err(unexpected()),
    }
}
