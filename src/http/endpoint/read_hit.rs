//! `GET /v1/hits/{hit}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Errand;
use crate::{
    command::{Answer, Command},
    http::{
        Api,
        answer::HitAnswer,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// How a hit of a watchlist stands.
#[utoipa::path(
    get,
    path = "/v1/hits/{hit}",
    tag = "hits",
    params(
        ("hit" = String, Path, description = "The search's, or the lane's, transaction."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "How it stands.", body = HitAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn read_hit(
    State(api): State<Api>,
    Path(hit): Path<String>,
    errand: Errand,
) -> Result<Json<HitAnswer>, Problem> {
    let asked = (errand.purpose, Command::ReadHit { hit: request::transaction_id(&hit)? });
    match api.execute(errand.callers, errand.deadline_ms, asked).await? {
        Answer::Hit(standing) => Ok(Json(HitAnswer::from(&standing))),
        _ => Err(unexpected()),
    }
}
