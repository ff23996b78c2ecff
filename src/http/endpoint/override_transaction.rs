//! `POST /v1/lanes/{lane}/transactions/{transaction}/override`.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    command::{Answer, AtLane, Command, LaneCommand},
    http::{
        Api,
        answer::OverriddenAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeBody},
        unexpected,
    },
};

/// Let a traveller in whom the machine referred, on a person's word. There is no call for the
/// reverse.
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/transactions/{transaction}/override",
    tag = "lanes",
    params(
        ("lane" = String, Path, description = "The lane's name."),
        ("transaction" = String, Path, description = "The transaction's id."),
    ),
    request_body = PurposeBody,
    responses(
        (status = 200, description = "Let in; the audit says by whom.", body = OverriddenAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn override_transaction(
    State(api): State<Api>,
    Path((lane, transaction)): Path<(String, String)>,
    incoming: Incoming,
) -> Result<Json<OverriddenAnswer>, Problem> {
    let (lane, transaction) = (request::lane_id(&lane)?, request::transaction_id(&transaction)?);
    let (at, command) = (AtLane { lane, transaction }, LaneCommand::Override);
    let asked = (request::purpose(&incoming.form)?, Command::Lane { at, command });
    match api.execute(incoming.callers, incoming.deadline_ms, asked).await? {
        Answer::Overridden { transaction } => Ok(Json(OverriddenAnswer::new(transaction))),
        _ => Err(unexpected()),
    }
}
