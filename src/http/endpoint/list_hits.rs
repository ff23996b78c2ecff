//! `GET /v1/hits`.

use axum::{Json, extract::State};

use super::Errand;
use crate::{
    command::{Answer, Command},
    http::{
        Api,
        answer::HitsAnswer,
        problem::{Problem, ProblemDocument},
        request::PurposeName,
        unexpected,
    },
};

/// The hits of watchlists that wait for somebody's answer, those of lanes with their lane.
#[utoipa::path(
    get,
    path = "/v1/hits",
    tag = "hits",
    params(("purpose" = PurposeName, Query, description = "Why.")),
    responses(
        (status = 200, description = "What waits.", body = HitsAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn list_hits(
    State(api): State<Api>,
    errand: Errand,
) -> Result<Json<HitsAnswer>, Problem> {
    let asked = (errand.purpose, Command::ListHits);
    match api.execute(errand.callers, errand.deadline_ms, asked).await? {
        Answer::Hits(held) => Ok(Json(HitsAnswer::new(&held))),
        _ => Err(unexpected()),
    }
}
