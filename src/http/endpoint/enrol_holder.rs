//! `POST /v1/galleries/{gallery}/holders`.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::HolderEnrolledAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, EnrolHolderBody},
        unexpected,
    },
};

/// Make a record that only its holder can open, in a gallery made with `"keys": "holders"`.
///
/// The answer holds the secret, and it is the only copy: give it to the traveller (as a QR code,
/// say) and keep none. Verify with a reference of `gallery`, `subject` and `secret`; no search
/// finds the record. Also as multipart/form-data: fields image, purpose,
/// notBefore, expiry, passportExpiry, consent.
#[utoipa::path(
    post,
    path = "/v1/galleries/{gallery}/holders",
    tag = "holders",
    params(("gallery" = String, Path, description = "The gallery's name.")),
    request_body = EnrolHolderBody<'_>,
    responses(
        (status = 201, description = "Kept, sealed to the secret.", body = HolderEnrolledAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn enrol_holder(
    State(api): State<Api>,
    Path(gallery): Path<String>,
    incoming: Incoming,
) -> Result<(StatusCode, Json<HolderEnrolledAnswer>), Problem> {
    let asked = request::enrol_holder(request::gallery_id(&gallery)?, incoming.form)?;
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::HolderEnrolled { transaction, subject, secret, face } => {
            let document = HolderEnrolledAnswer::new(transaction, subject, &secret, face.as_ref());
            Ok((StatusCode::CREATED, Json(document)))
        }
        _ => Err(unexpected()),
    }
}
