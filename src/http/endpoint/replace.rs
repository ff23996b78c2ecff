//! `PUT /v1/galleries/{gallery}/subjects/{subject}`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::ReplacedAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, ReplaceBody},
        unexpected,
    },
};

/// Put 1 to 4 new photographs in the place of a subject's references, which are erased.
///
/// Also as multipart/form-data: fields image (repeated), purpose, classes (0,3), group, notBefore,
/// expiry.
#[utoipa::path(
    put,
    path = "/v1/galleries/{gallery}/subjects/{subject}",
    tag = "galleries",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
    ),
    request_body = ReplaceBody<'_>,
    responses(
        (status = 200, description = "Replaced, with the receipt.", body = ReplacedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn replace(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Json<ReplacedAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let asked = request::replace(gallery, subject, incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Replaced { faces, erased } => Ok(Json(ReplacedAnswer::new(&faces, &erased))),
        _ => Err(unexpected()),
    }
}
