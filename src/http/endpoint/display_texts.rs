//! `GET /v1/display-texts`.

use axum::Json;

use crate::{
    command,
    http::{
        answer::DisplayTextsAnswer,
        problem::{Problem, ProblemDocument},
    },
};

/// What passengers' displays can say: every key with its text in every language that ships.
///
/// The keys are stable; a display may bring texts of its own.
#[utoipa::path(
    get,
    path = "/v1/display-texts",
    tag = "lanes",
    responses(
        (status = 200, description = "The table.", body = DisplayTextsAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn display_texts() -> Result<Json<DisplayTextsAnswer>, Problem> {
    Ok(Json(DisplayTextsAnswer::of(command::display_texts())))
}
