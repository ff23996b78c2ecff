//! `POST /v1/hits/{hit}/votes`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::HitAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, VoteBody},
        unexpected,
    },
};

/// Confirm or reject a hit of a watchlist, as one of the persons who must (AI Act Art. 14(5)).
///
/// Nothing is done to anybody before as many different persons as needed have confirmed it, each
/// without knowing what the others said.
#[utoipa::path(
    post,
    path = "/v1/hits/{hit}/votes",
    tag = "hits",
    params(
        ("hit" = String, Path, description = "The search's, or the lane's, transaction."),
    ),
    request_body = VoteBody,
    responses(
        (status = 200, description = "How it stands now.", body = HitAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn vote_on_hit(
    State(api): State<Api>,
    Path(hit): Path<String>,
    incoming: Incoming,
) -> Result<Json<HitAnswer>, Problem> {
    let asked = request::vote(request::transaction_id(&hit)?, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Hit(standing) => Ok(Json(HitAnswer::from(&standing))),
        _ => Err(unexpected()),
    }
}
