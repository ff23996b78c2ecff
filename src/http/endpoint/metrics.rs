//! `GET /metrics`.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::http::Api;

/// Prometheus text: outcomes, refusals, latencies, gallery sizes; no identifier and no score.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "watch",
    responses((status = 200, description = "The exposition.", body = String))
)]
pub(in crate::http) async fn metrics(State(api): State<Api>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    // While the models are loading there is nothing to measure yet.
    if let Some(service) = api.service.get() {
        service.measure();
    }
    (kind, api.meter.expose(api.clock.monotonic_us())).into_response()
}
