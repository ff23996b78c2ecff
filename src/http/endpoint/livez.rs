//! `GET /livez`.

/// Whether the process answers at all.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "watch",
    responses((status = 200, description = "It does.", body = String))
)]
pub(in crate::http) async fn livez() -> &'static str {
    "live\n"
}
