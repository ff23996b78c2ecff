//! `POST /v1/galleries/{gallery}/erase`.

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
        request::{self, EraseBody},
        unexpected,
    },
};

/// Remove every subject of a group, of classes, or by time, or everybody; the answer is the
/// receipt.
///
/// Answered when no search holds them any more and the key that could open them is destroyed. That
/// nobody was meant is not an error: the receipt says 0 rows.
#[utoipa::path(
    post,
    path = "/v1/galleries/{gallery}/erase",
    tag = "galleries",
    params(("gallery" = String, Path, description = "The gallery's name.")),
    request_body = EraseBody,
    responses(
        (status = 200, description = "Erased: the receipt.", body = ErasedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn erase_selected(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    incoming: Incoming,
) -> Result<Json<ErasedAnswer>, Problem> {
    let asked = request::erase_selected(request::gallery_id(&gallery)?, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Erased(erased) => Ok(Json(ErasedAnswer::from(&erased))),
        _ => Err(unexpected()),
    }
}
