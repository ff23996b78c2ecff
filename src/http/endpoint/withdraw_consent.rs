//! `DELETE /v1/galleries/{gallery}/subjects/{subject}/consent`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Errand;
use crate::{
    command::{Answer, Command, TakenBack},
    http::{
        Api,
        answer::ErasedAnswer,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// Withdraw a consent (GDPR Art. 7(3)); what is enrolled under it is erased, and the answer is the
/// receipt.
///
/// The proof that the consent was given once stays; it takes no more than the subject's id.
#[utoipa::path(
    delete,
    path = "/v1/galleries/{gallery}/subjects/{subject}/consent",
    tag = "rights",
    params(
        ("gallery" = String, Path, description = "The gallery's name."),
        ("subject" = String, Path, description = "The subject's id, 32 hexadecimal digits."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "Withdrawn: the receipt.", body = ErasedAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn withdraw_consent(
    State(api): State<Api>,
    Path((gallery, subject)): Path<(String, String)>,
    errand: Errand,
) -> Result<Json<ErasedAnswer>, Problem> {
    let (gallery, subject) = (request::gallery_id(&gallery)?, request::subject_id(&subject)?);
    let how = TakenBack::Withdrawn;
    let asked = (errand.purpose, Command::TakeBack { gallery, subject, how });
    match api.execute(errand.callers, errand.deadline_ms, asked).await? {
        Answer::Erased(erased) => Ok(Json(ErasedAnswer::from(&erased))),
        _ => Err(unexpected()),
    }
}
