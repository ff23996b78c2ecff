//! `POST /v1/site/activation`.

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

/// Put the site into use, as it was assessed.
#[utoipa::path(
    post,
    path = "/v1/site/activation",
    tag = "site",
    request_body = PurposeBody,
    responses(
        (status = 200, description = "In use.", body = SiteAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn activate_site(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Json<SiteAnswer>, Problem> {
    let asked = (request::purpose(&incoming.form)?, Command::Step(SiteStep::Activate));
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Site(site) => Ok(Json(SiteAnswer::from(&*site))),
        _ => Err(unexpected()),
    }
}
