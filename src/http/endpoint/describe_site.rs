//! `GET /v1/site`.

use axum::{Json, extract::State};

use crate::{
    command::Refusal,
    http::{
        Api,
        answer::SiteAnswer,
        problem::{Problem, ProblemDocument},
    },
};

/// What this appliance is used as: controller, purpose, basis, retention, other ways in.
#[utoipa::path(
    get,
    path = "/v1/site",
    tag = "site",
    responses(
        (status = 200, description = "What it is.", body = SiteAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn describe_site(
    State(api): State<Api>,
) -> Result<Json<SiteAnswer>, Problem> {
    match api.service()?.site() {
        Some(site) => Ok(Json(SiteAnswer::from(&site))),
        None => Err(Problem::from(Refusal::NoSite)),
    }
}
