//! `POST /v1/site/assessment`.

use axum::{Json, extract::State};

use crate::{
    command::{Answer, Command, SiteStep},
    http::{
        Api,
        answer::SiteAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeBody},
        unexpected,
    },
};

/// Record that the site was assessed: profile, purpose, model and class of threshold as they are
/// now.
///
/// Refused while the profile lacks anything; `GET /v1/site` lists what.
#[utoipa::path(
    post,
    path = "/v1/site/assessment",
    tag = "site",
    request_body = PurposeBody,
    responses(
        (status = 200, description = "Assessed.", body = SiteAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn assess_site(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Json<SiteAnswer>, Problem> {
    let asked = (request::purpose(&incoming.form)?, Command::Step(SiteStep::Assess));
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Site(site) => Ok(Json(SiteAnswer::from(&*site))),
        _ => Err(unexpected()),
    }
}
