//! `GET /startupz`.

use axum::extract::State;

use crate::http::{
    Api,
    problem::{Problem, ProblemDocument},
};

/// Whether models are loaded and the pipeline runs.
#[utoipa::path(
    get,
    path = "/startupz",
    tag = "watch",
    responses(
        (status = 200, description = "Started.", body = String),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn startupz(State(api): State<Api>) -> Result<&'static str, Problem> {
    api.service().map(|_| "started\n")
}
