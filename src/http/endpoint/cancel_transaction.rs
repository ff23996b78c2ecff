//! `DELETE /v1/lanes/{lane}/transactions/{transaction}`.

use axum::{
    Json,
    extract::{Path, State},
};

use super::Errand;
use crate::{
    command::{Answer, AtLane, Command, LaneCommand},
    http::{
        Api,
        answer::TransactionAnswer,
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
        unexpected,
    },
};

/// End a transaction that the gate does not need any more; frames, references, lane are freed.
///
/// One that has ended stays as it ended; the answer tells how.
#[utoipa::path(
    delete,
    path = "/v1/lanes/{lane}/transactions/{transaction}",
    tag = "lanes",
    params(
        ("lane" = String, Path, description = "The lane's name."),
        ("transaction" = String, Path, description = "The transaction's id."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "It has ended.", body = TransactionAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn cancel_transaction(
    State(api): State<Api>,
    Path((lane, transaction)): Path<(String, String)>,
    errand: Errand,
) -> Result<Json<TransactionAnswer>, Problem> {
    let (lane, transaction) = (request::lane_id(&lane)?, request::transaction_id(&transaction)?);
    let at = AtLane { lane, transaction };
    let command = Command::Lane { at, command: LaneCommand::Cancel };
    match api.execute(errand.callers, errand.deadline_ms, (errand.purpose, command)).await? {
        Answer::Transaction(standing) => Ok(Json(TransactionAnswer::from(&standing))),
        _ => Err(unexpected()),
    }
}
