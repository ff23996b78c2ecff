//! `POST /v1/galleries/{gallery}/identify`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::DecisionAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, IdentifyBody},
        unexpected,
    },
};

/// Search a gallery for a live capture, 1:N and exact, and decide.
///
/// Also as multipart/form-data: fields probe, purpose, best, classes (0,3), group, fmr.
#[utoipa::path(
    post,
    path = "/v1/galleries/{gallery}/identify",
    tag = "decide",
    params(("gallery" = String, Path, description = "The gallery's name.")),
    request_body = IdentifyBody<'_>,
    responses(
        (status = 200, description = "Decided; see `outcome`.", body = DecisionAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn identify(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    incoming: Incoming,
) -> Result<Json<DecisionAnswer>, Problem> {
    let asked = request::identify(request::gallery_id(&gallery)?, incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Decision(decision) => Ok(Json(DecisionAnswer::from(decision.as_ref()))),
        _ => Err(unexpected()),
    }
}
