//! `GET /v1/lanes/{lane}/transactions/{transaction}/events`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::{Path, State},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_core::Stream;
use tokio::sync::mpsc;

use super::Errand;
use crate::{
    command::{AtLane, Command, LaneCommand, Listener},
    http::{
        Api,
        answer::{TransactionAnswer, TransactionState},
        problem::{Problem, ProblemDocument},
        request::{self, PurposeName},
    },
    limits::WATCHER_EVENTS_MAX,
};

/// How often a comment tells a watcher, and whatever stands between, that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Follow a transaction as Server-Sent Events until it ends.
///
/// `event: standing` tells what a display says while it is open, first at once and then whenever it
/// changes; `event: outcome` is the last, after which the stream ends. Both carry the same document
/// as a reading of the transaction does.
#[utoipa::path(
    get,
    path = "/v1/lanes/{lane}/transactions/{transaction}/events",
    tag = "lanes",
    params(
        ("lane" = String, Path, description = "The lane's name."),
        ("transaction" = String, Path, description = "The transaction's id."),
        ("purpose" = PurposeName, Query, description = "Why."),
    ),
    responses(
        (status = 200, description = "The events.", body = TransactionAnswer,
            content_type = "text/event-stream"),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn watch_transaction(
    State(api): State<Api>,
    Path((lane, transaction)): Path<(String, String)>,
    errand: Errand,
) -> Result<Response, Problem> {
    let (lane, transaction) = (request::lane_id(&lane)?, request::transaction_id(&transaction)?);
    let (sender, receiver) = mpsc::channel(WATCHER_EVENTS_MAX);
    let listener = Listener(Box::new(move |standing| {
        // A watcher that does not read is let go: nobody waits for it.
        sender.try_send(TransactionAnswer::from(standing)).is_ok()
    }));
    let at = AtLane { lane, transaction };
    let command = Command::Lane { at, command: LaneCommand::Watch(listener) };
    api.execute(errand.callers, errand.deadline_ms, (errand.purpose, command)).await?;
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(Events(receiver)).keep_alive(alive).into_response())
}

/// What a watcher is told, as a stream that ends with the transaction.
struct Events(mpsc::Receiver<TransactionAnswer>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|told| told.map(|told| Ok(event(&told))))
    }
}

fn event(told: &TransactionAnswer) -> Event {
    let name = match told.state {
        TransactionState::Open => "standing",
        _ => "outcome",
    };
    Event::default().event(name).json_data(told).expect("plain text and numbers are JSON")
}
