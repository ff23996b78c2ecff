//! `GET /readyz`.

use axum::extract::State;

use crate::{
    command::Readiness,
    http::{
        Api,
        problem::{Problem, ProblemDocument},
    },
};

/// What an appliance without a profile adds.
const EVALUATION: &str = "evaluation: no site.profile is chosen; nothing here is a site in use";

/// Whether a request would be answered now; a gallery that is not served and an engine that was
/// passed over are named, and so is that the appliance is for evaluation alone.
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
    let service = api.service()?;
    let ready = match service.readiness() {
        Readiness::Ready => "ready\n".to_owned(),
        Readiness::Degraded(why) => format!("ready, except:\n{}\n", why.join("\n")),
        Readiness::NotReady(why) => return Err(Problem::new("NOT_READY", why)),
    };
    Ok(match service.site() {
        Some(_) => ready,
        None => format!("{ready}{EVALUATION}\n"),
    })
}
