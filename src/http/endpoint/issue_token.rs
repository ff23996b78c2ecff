//! `POST /v1/holder-tokens`.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::TokenIssuedAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, IssueTokenBody},
        unexpected,
    },
};

/// Make a token of a photograph, for the traveller in it to carry; nothing of the face is kept
/// here.
///
/// At a site with a profile the consent is, under the token's `subject`: `DELETE
/// /v1/galleries/holder-tokens/subjects/{subject}/consent` takes it back, and the token counts no
/// more. Verify with a reference of `holderToken`. Also as multipart/form-data: fields image,
/// purpose, notBefore, expiry.
#[utoipa::path(
    post,
    path = "/v1/holder-tokens",
    tag = "holders",
    request_body = IssueTokenBody<'_>,
    responses(
        (status = 201, description = "The token.", body = TokenIssuedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn issue_token(
    State(api): State<Api>,
    incoming: Incoming,
) -> Result<(StatusCode, Json<TokenIssuedAnswer>), Problem> {
    let asked = request::issue_token(incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::TokenIssued { transaction, subject, token, face } => {
            let names = (transaction, subject);
            let document = TokenIssuedAnswer::new(names, &token, face.as_ref());
            Ok((StatusCode::CREATED, Json(document)))
        }
        _ => Err(unexpected()),
    }
}
