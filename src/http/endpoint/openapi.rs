//! `GET /openapi.json`.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::http::route;

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "watch",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object))
)]
pub(in crate::http) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], route::document()).into_response()
}
