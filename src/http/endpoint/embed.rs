//! `POST /v1/embed`.

use axum::{Json, extract::State};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::EmbeddedAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, EmbedBody},
        unexpected,
    },
};

/// Hand out the template of a photograph. For administrators; switched off by default.
///
/// Also as multipart/form-data: fields image and purpose.
#[utoipa::path(
    post,
    path = "/v1/embed",
    tag = "administer",
    request_body = EmbedBody<'_>,
    responses(
        (status = 200, description = "The template.", body = EmbeddedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn embed(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<Json<EmbeddedAnswer>, Problem> {
    let asked = request::embed(incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Embedded { transaction, template, face } => {
            Ok(Json(EmbeddedAnswer::new(transaction, &template, face.as_ref())))
        }
        _ => Err(unexpected()),
    }
}
