//! `POST /v1/verify`.

use axum::{Json, extract::State};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::DecisionAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, VerifyBody, VerifyForm},
        unexpected,
    },
};

/// Compare a live capture with 1 to 8 references, 1:1, and decide.
#[utoipa::path(
    post,
    path = "/v1/verify",
    tag = "decide",
    request_body(content(
        (VerifyBody<'_> = "application/json"),
        (VerifyForm = "multipart/form-data")
    )),
    responses(
        (status = 200, description = "Decided; see `outcome`.", body = DecisionAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn verify(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Json<DecisionAnswer>, Problem> {
    let asked = request::verify(incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Decision(decision) => Ok(Json(DecisionAnswer::from(decision.as_ref()))),
        _ => Err(unexpected()),
    }
}
