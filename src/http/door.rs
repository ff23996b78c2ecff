//! What every request passes: authentication, the bound on requests at once, and the net under a
//! handler that panics.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Access, Api,
    body::drain,
    problem::{Counted, Problem},
};
use crate::{
    command::Stranger,
    keys::secret::TokenRefused,
    types::{Caller, Hash256},
};

/// Paths that a prober reads without a credential: they tell whether, never what.
const OPEN_PATHS: [&str; 3] = ["/livez", "/readyz", "/startupz"];

/// Who the door found, left on the request for its handler.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Vec<Caller>);

/// SHA-256 of the certificate that the connection's client presented; its key was proved by the
/// handshake, and who signed it was checked there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented(pub(super) Hash256);

/// Catches panics and counts problems; the outermost layer.
pub(super) async fn net(State(api): State<Api>, request: Request, next: Next) -> Response {
    let carries_body = *request.method() == Method::POST;
    // A task of its own: a panic ends the task, and the connection still gets its answer.
    let mut response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new("FAULT", "a handler failed; the log holds more").into_response(),
    };
    if let Some(&Counted(code)) = response.extensions().get::<Counted>() {
        api.meter.refusal(code);
    }
    if carries_body {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Finds out who calls and takes a place among the requests at once.
pub(super) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    if OPEN_PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let presented = request.extensions().get::<Presented>().copied();
    let callers = match identify(&api, request.headers(), presented) {
        Ok(callers) => callers,
        Err((stranger, problem)) => {
            api.turned_away(stranger).await;
            return refuse(&api, request, problem).await;
        }
    };
    request.extensions_mut().insert(Known(callers));
    let Ok(_place) = api.transactions.clone().try_acquire_owned() else {
        let problem = Problem::new("BUSY", "as many requests as the appliance takes at once");
        return refuse(&api, request, problem).await;
    };
    next.run(request).await
}

/// Answers `problem` once the rest of the body is out of the way.
pub(super) async fn refuse(api: &Api, request: Request, problem: Problem) -> Response {
    let (parts, body) = request.into_parts();
    drain(&parts.headers, body, api.body_bytes).await;
    problem.into_response()
}

fn identify(
    api: &Api,
    headers: &HeaderMap,
    certificate: Option<Presented>,
) -> Result<Vec<Caller>, (Stranger, Problem)> {
    match api.access.as_ref() {
        Access::Loopback(callers) => Ok(callers.clone()),
        Access::Tokens(tokens) => {
            let presented = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
            let now_s = api.clock.civil_s();
            let caller = match (presented, certificate) {
                (None, Some(Presented(hash))) => tokens.caller_of(&hash, now_s),
                (presented, _) => tokens.caller(presented, now_s),
            };
            caller.map(|caller| vec![caller]).map_err(|refused| {
                let by_certificate = presented.is_none() && certificate.is_some();
                let (stranger, code) = match refused {
                    TokenRefused::Missing => (Stranger::WithoutCredential, "TOKEN_MISSING"),
                    TokenRefused::Unknown if by_certificate => {
                        (Stranger::UnknownCertificate, "TOKEN_UNKNOWN")
                    }
                    TokenRefused::Unknown => (Stranger::UnknownToken, "TOKEN_UNKNOWN"),
                    TokenRefused::Expired => (Stranger::Expired, "TOKEN_EXPIRED"),
                };
                (stranger, Problem::new(code, refused.to_string()))
            })
        }
    }
}

/// No such path.
pub(super) async fn unknown_route(State(api): State<Api>, request: Request) -> Response {
    let path: String = request.uri().path().chars().take(100).collect();
    let problem = Problem::new("ROUTE_UNKNOWN", format!("{path}; /openapi.json lists every route"));
    refuse(&api, request, problem).await
}

/// The path is there, the method is not.
pub(super) async fn unknown_method(State(api): State<Api>, request: Request) -> Response {
    let detail = format!("{} is not served here; the Allow header lists what is", request.method());
    refuse(&api, request, Problem::new("METHOD_NOT_ALLOWED", detail)).await
}
