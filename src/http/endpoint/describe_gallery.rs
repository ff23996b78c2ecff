//! `GET /v1/galleries/{gallery}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Errand;
use crate::{
    command::{Answer, Command},
    http::{
        Api,
        answer::GalleryAnswer,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// A gallery's size, generation and kind of template.
#[utoipa::path(
    get,
    path = "/v1/galleries/{gallery}",
    tag = "galleries",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "The gallery.", body = GalleryAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn describe_gallery(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    errand: Errand,
) -> Result<Json<GalleryAnswer>, Problem> {
    let command = Command::DescribeGallery { gallery: request::gallery_id(&gallery)? };
    match api.execute(errand.callers, errand.deadline_ms, (errand.purpose, command)).await? {
        Answer::Gallery(held) => Ok(Json(GalleryAnswer::from(&held))),
        _ => Err(unexpected()),
    }
}
