//! `POST /v1/galleries/{gallery}/affected`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::AffectedAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, AffectedBody},
        unexpected,
    },
};

/// List whom somebody entered, by reference, so that they can be told (GDPR Art. 34).
///
/// The audit knows them; how long it does is `audit.retention_days`.
#[utoipa::path(
    post,
    path = "/v1/galleries/{gallery}/affected",
    tag = "rights",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
    ),
    request_body = AffectedBody,
    responses(
        (status = 200, description = "Who.", body = AffectedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn list_affected(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    incoming: Incoming,
) -> Result<Json<AffectedAnswer>, Problem> {
    let asked = request::list_affected(request::gallery_id(&gallery)?, &incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Affected { transaction, subjects } => {
            Ok(Json(AffectedAnswer::new(transaction, &subjects)))
        }
        _ => Err(unexpected()),
    }
}
