//! `GET /readyz`.

use axum::extract::State;

use crate::{
    command::Readiness,
    http::{
        Api,
        problem::{Problem, ProblemDocument},
    },
};

/// Whether a request would be answered now; a gallery that is not served, and an engine that
/// was passed over, are named.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "watch",
    responses(
        (status = 200, description = "Ready.", body = String),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn readyz(State(api): State<Api>) -> Result<String, Problem> {
    match api.service()?.readiness() {
        Readiness::Ready => Ok("ready\n".to_owned()),
        Readiness::Degraded(why) => Ok(format!("ready, except:\n{}\n", why.join("\n"))),
        Readiness::NotReady(why) => Err(Problem::new("NOT_READY", why)),
    }
}
