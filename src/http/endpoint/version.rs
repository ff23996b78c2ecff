//! `GET /v1/version`.

use axum::{Json, extract::State};

use crate::http::{
    Api,
    answer::VersionAnswer,
    problem::{Problem, ProblemDocument},
};

/// What runs: version, backend, model, calibration.
#[utoipa::path(
    get,
    path = "/v1/version",
    tag = "watch",
    responses(
        (status = 200, description = "What runs.", body = VersionAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn version(
    State(api): State<Api>,
) -> Result<Json<VersionAnswer>, Problem> {
    Ok(Json(VersionAnswer::from(api.service()?.version())))
}
