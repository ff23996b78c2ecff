//! What every request passes: authentication, the bound on requests at once, and the net under a
//! handler that panics.
//!
//! The bound is there for work that waits for slots and engines, and who waits for them in vain
//! must not take the door from those who do not ([`Entry`]): what reads, ends a transaction or lets
//! a traveller go is never shut out, frames of lanes have places of their own, and of the rest
//! enrolments leave some to gates, as they do behind the door. On a connection beyond their bound
//! nobody but whoever watches the appliance is answered.
//!
//! Invariant: a frame that finds no room here is in the account of frames, as what it is: shed.
//! What comes without a credential that is known is nobody's frame: it is among the refusals alone,
//! so that no stranger moves the account.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Access, Api,
    body::drain,
    problem::{Counted, Problem},
};
use crate::{
    command::Stranger,
    keys::secret::TokenRefused,
    limits::{GATE_TRANSACTIONS, TRANSACTIONS_MAX},
    meter::{Offered, Shed},
    types::{Caller, Hash256},
};

/// Paths that a prober reads without a credential: they tell whether, never what.
const OPEN_PATHS: [&str; 3] = ["/livez", "/readyz", "/startupz"];

/// What a request is to the bound on requests at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// It needs neither a credential nor a place.
    Open,
    /// Measurements are read: it needs a credential, and no place.
    Watch,
    /// It reads, ends a transaction or tells that a traveller left: it holds nothing that others
    /// wait for, and under load it is what frees it. Connections alone bound it.
    Free,
    /// A frame for a lane.
    Frame,
    /// Somebody stands at a gate.
    Gate,
    /// Enrolment and administration; whatever is not known.
    Rest,
}

impl Entry {
    fn of(method: &Method, path: &str) -> Self {
        if OPEN_PATHS.contains(&path) {
            return Self::Open;
        }
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (method.as_str(), segments.as_slice()) {
            ("GET" | "HEAD", ["metrics"]) => Self::Watch,
            ("GET" | "HEAD", _)
            | ("DELETE", ["v1", "lanes", _, "transactions", _])
            | ("POST", ["v1", "lanes", _, "transactions", _, "left"]) => Self::Free,
            ("POST", ["v1", "lanes", _, "frames"]) => Self::Frame,
            (
                "POST",
                ["v1", "verify"]
                | ["v1", "galleries", _, "identify"]
                | ["v1", "lanes", _, "transactions"]
                | ["v1", "lanes", _, "transactions", _, "override"],
            ) => Self::Gate,
            _ => Self::Rest,
        }
    }
}

/// Places of requests that are worked on at once.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// Those of them that may be taken for what is no gate's.
    rest: Arc<Semaphore>,
    frames: Arc<Semaphore>,
}

/// A request's place, until it is answered.
struct Place {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Places {
    /// `count` places, of which the same share is kept for gates as behind the door, and as many
    /// for frames.
    pub(super) fn new(count: usize) -> Self {
        let kept = (count * GATE_TRANSACTIONS).div_ceil(TRANSACTIONS_MAX);
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            all: places(count),
            rest: places(count.saturating_sub(kept).max(1)),
            frames: places(count),
        }
    }

    /// A place for a request; `None` where there is none.
    fn take(&self, entry: Entry) -> Option<Place> {
        let one = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let permits = match entry {
            Entry::Open | Entry::Watch | Entry::Free => [None, None],
            Entry::Frame => [Some(one(&self.frames)?), None],
            Entry::Gate => [Some(one(&self.all)?), None],
            Entry::Rest => [Some(one(&self.rest)?), Some(one(&self.all)?)],
        };
        Some(Place { _permits: permits })
    }
}

/// Who the door found, left on the request for its handler.
#[derive(Debug, Clone)]
pub(super) struct Known(pub(super) Vec<Caller>);

/// SHA-256 of the certificate that the connection's client presented; its key was proved by the
/// handshake, and who signed it was checked there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented(pub(super) Hash256);

/// Says of a request that its connection is one of those that are kept for whoever watches the
/// appliance; it ends with the answer, so that the next one finds it free.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept;

/// Catches panics and counts problems; the outermost layer.
pub(super) async fn net(State(api): State<Api>, request: Request, next: Next) -> Response {
    let carries_body = *request.method() == Method::POST;
    let is_last = carries_body || request.extensions().get::<Kept>().is_some();
    // A task of its own: a panic ends the task, and the connection still gets its answer.
    let mut response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new("FAULT", "a handler failed; the log holds more").into_response(),
    };
    if let Some(&Counted(code)) = response.extensions().get::<Counted>() {
        api.meter.refusal(code);
    }
    if is_last {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Finds out who calls and takes a place among the requests at once.
pub(super) async fn guard(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let entry = Entry::of(request.method(), request.uri().path());
    if entry == Entry::Open {
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
    if request.extensions().get::<Kept>().is_some() && entry != Entry::Watch {
        let why = "as many connections as the appliance takes at once: end those that are not in \
                   use; this one was kept for /metrics, /livez, /readyz and /startupz";
        return no_room(&api, entry, request, why).await;
    }
    let Some(_place) = api.places.take(entry) else {
        let why = "as many requests as the appliance takes at once";
        return no_room(&api, entry, request, why).await;
    };
    next.run(request).await
}

/// Answers that there is no room for a request, and accounts for a frame in it.
async fn no_room(api: &Api, entry: Entry, request: Request, why: &str) -> Response {
    if entry == Entry::Frame {
        Offered::new(&api.meter).shed(Shed::Busy);
    }
    refuse(api, request, Problem::new("BUSY", why)).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_goes_in_as_what_it_is() {
        let document: serde_json::Value =
            serde_json::from_str(&crate::http::route::document()).expect("JSON");
        let mut found: Vec<(Entry, String)> = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for verb in item.as_object().expect("operations").keys() {
                let method: Method = verb.to_uppercase().parse().expect("a method");
                let entry = Entry::of(&method, path);
                // A reading is free, unless it needs no credential either, or is a watcher's.
                if method != Method::GET {
                    found.push((entry, format!("{method} {path}")));
                } else if path == "/metrics" {
                    assert_eq!(entry, Entry::Watch);
                } else if entry != Entry::Free {
                    assert_eq!((entry, OPEN_PATHS.contains(&path.as_str())), (Entry::Open, true));
                }
            }
        }
        found.sort_by(|one, other| one.1.cmp(&other.1));
        let of = |wanted: Entry| -> Vec<&str> {
            let rows = found.iter().filter(|(entry, _)| *entry == wanted);
            rows.map(|(_, row)| row.as_str()).collect()
        };
        let transaction = "/v1/lanes/{lane}/transactions/{transaction}";
        assert_eq!(
            of(Entry::Free),
            [format!("DELETE {transaction}"), format!("POST {transaction}/left")]
        );
        assert_eq!(of(Entry::Frame), ["POST /v1/lanes/{lane}/frames"]);
        assert_eq!(
            of(Entry::Gate),
            [
                "POST /v1/galleries/{gallery}/identify",
                "POST /v1/lanes/{lane}/transactions",
                &format!("POST {transaction}/override"),
                "POST /v1/verify",
            ]
        );
        assert!(of(Entry::Open).is_empty() && of(Entry::Rest).len() > 10, "{found:?}");
    }

    #[test]
    fn a_quarter_of_the_places_is_kept_for_gates_and_frames_have_their_own() {
        for (count, rest) in [(1, 1), (2, 1), (4, 3), (64, 48)] {
            let places = Places::new(count);
            let fill = |entry| -> Vec<Place> {
                std::iter::from_fn(|| places.take(entry)).take(2 * count).collect()
            };
            let enrolments = fill(Entry::Rest);
            assert_eq!(enrolments.len(), rest, "of {count}");
            let gates = fill(Entry::Gate);
            assert_eq!(gates.len(), count - rest, "of {count}");
            assert_eq!(fill(Entry::Frame).len(), count);
            assert_eq!(fill(Entry::Free).len(), 2 * count, "never shut out");
            drop((enrolments, gates));
            assert_eq!(fill(Entry::Gate).len(), count, "gates may have all");
        }
    }
}
