//! `POST /v1/lanes/{lane}/frames`.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::FrameTakenAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, PushFrameBody},
        unexpected,
    },
};

/// Hand a frame of a lane over; the newest one counts.
///
/// Answered when the lane has it, not when it has been judged. Without a traveller at the lane it is
/// let go at once (`kept` is false). Also as multipart/form-data: fields image, purpose, attackScore.
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/frames",
    tag = "lanes",
    params(("lane" = String, Path, description = "The lane's name in the configuration.")),
    request_body = PushFrameBody<'_>,
    responses(
        (status = 202, description = "The lane has it.", body = FrameTakenAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn push_frame(
    State(api): State<Api>,
    Path(lane): Path<String>,
    incoming: Incoming,
) -> Result<(StatusCode, Json<FrameTakenAnswer>), Problem> {
    let asked = request::push_frame(request::lane_id(&lane)?, incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::FrameTaken { lane, taken } => {
            Ok((StatusCode::ACCEPTED, Json(FrameTakenAnswer::new(&lane, taken))))
        }
        _ => Err(unexpected()),
    }
}
