//! `POST /v1/galleries`.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::GalleryAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, CreateGalleryBody},
        unexpected,
    },
};

/// Make an empty gallery.
#[utoipa::path(
    post,
    path = "/v1/galleries",
    tag = "galleries",
    request_body = CreateGalleryBody<'_>,
    responses(
        (status = 201, description = "Made.", body = GalleryAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn create_gallery(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<(StatusCode, Json<GalleryAnswer>), Problem> {
    let asked = request::create_gallery(incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Gallery(held) => Ok((StatusCode::CREATED, Json(GalleryAnswer::from(&held)))),
        _ => Err(unexpected()),
    }
}
