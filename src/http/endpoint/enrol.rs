//! `POST /v1/galleries/{gallery}/subjects`.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::EnrolledAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, EnrolBody},
        unexpected,
    },
};

/// Add a subject to a gallery by 1 to 4 photographs.
///
/// Also as multipart/form-data: fields image (repeated), purpose, subject, classes (0,3), group,
/// notBefore, expiry.
#[utoipa::path(
    post,
    path = "/v1/galleries/{gallery}/subjects",
    tag = "galleries",
    params(("gallery" = String, Path, description = "The gallery's name.")),
    request_body = EnrolBody<'_>,
    responses(
        (status = 201, description = "Enrolled and searchable.", body = EnrolledAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn enrol(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    incoming: Incoming,
) -> Result<(StatusCode, Json<EnrolledAnswer>), Problem> {
    let asked = request::enrol(request::gallery_id(&gallery)?, incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Enrolled { transaction, subject, faces, generation } => {
            let document = EnrolledAnswer::new(transaction, subject, &faces, generation);
            Ok((StatusCode::CREATED, Json(document)))
        }
        _ => Err(unexpected()),
    }
}
