//! `POST /v1/lanes/{lane}/transactions`.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc;

use crate::{
    command::{Answer, Listener},
    http::{
        Api,
        answer::TransactionAnswer,
        body::Incoming,
        problem::{Problem, ProblemDocument},
        request::{self, TransactBody},
        unexpected,
    },
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// RFC 7240: answer before it is done.
const RESPOND_ASYNC: &str = "respond-async";

/// Judge the traveller at a lane against references or a gallery, from the lane's own frames.
///
/// Answered when it is decided, cancelled, or its time (`Portcullis-Deadline-Ms`, else the lane's)
/// is up. With `Prefer: respond-async` it is answered as soon as it is open; then follow it by its
/// events, or read it. The same id again is the same transaction, or its stored outcome.
///
/// Also as multipart/form-data: fields transactionId, purpose, reference and dg2 with sod and dg1
/// (repeated), or gallery with classes (0,3) and group; retryOf.
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/transactions",
    tag = "lanes",
    params(
        ("lane" = String, Path, description = "The lane's name."),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: do not wait."),
    ),
    request_body = TransactBody<'_>,
    responses(
        (status = 200, description = "It has ended; see `outcome`.", body = TransactionAnswer),
        (status = 202, description = "It is open.", body = TransactionAnswer,
            headers(("Location" = String, description = "Where to read it."))),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn open_transaction(
    State(api): State<Api>,
    Path(lane): Path<String>,
    headers: HeaderMap,
    incoming: Incoming,
) -> Result<Response, Problem> {
    let lane = request::lane_id(&lane)?;
    let Incoming { callers, deadline_ms, form } = incoming;
    if !prefers_async(&headers) {
        let asked = request::transact(lane, form, None)?;
        return ended(api.execute(callers, deadline_ms, asked).await);
    }
    let (opened, mut open) = mpsc::channel(1);
    let listener = Listener(Box::new(move |standing| {
        // Once is enough: whoever wants more watches.
        let _heard = opened.try_send(TransactionAnswer::from(standing));
        false
    }));
    let asked = request::transact(lane, form, Some(listener))?;
    // A task of its own: it goes on when this request has been answered, or its caller has gone.
    let work = tokio::spawn(async move { api.execute(callers, deadline_ms, asked).await });
    tokio::select! {
        Some(answer) = open.recv() => Ok(accepted(&answer)),
        done = work => match done {
            Ok(answer) => ended(answer),
            Err(_) => Err(Problem::new("FAULT", "a stage failed; the log holds more")),
        },
    }
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut wishes = values.flat_map(|value| value.split(',')).map(str::trim);
    wishes.any(|wish| wish.eq_ignore_ascii_case(RESPOND_ASYNC))
}

fn ended(answer: Result<Answer, Problem>) -> Result<Response, Problem> {
    match answer? {
        Answer::Transaction(standing) => {
            Ok(Json(TransactionAnswer::from(&standing)).into_response())
        }
        _ => Err(unexpected()),
    }
}

fn accepted(answer: &TransactionAnswer) -> Response {
    let place = format!("/v1/lanes/{}/transactions/{}", answer.lane, answer.transaction_id);
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    let headers = response.headers_mut();
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
    // Lanes and ids are plain ASCII by their types.
    if let Ok(place) = HeaderValue::from_str(&place) {
        headers.insert(header::LOCATION, place);
    }
    response
}
