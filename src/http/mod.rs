//! The HTTP edge: requests in, [`crate::command::Command`]s out, answers back as JSON.
//!
//! | file | what |
//! |---|---|
//! | `route.rs` | every route, and the OpenAPI document made of the same rows |
//! | `door.rs` | who calls, how many at once and who goes first, what a panic becomes |
//! | `body.rs`, `request.rs`, `answer.rs`, `problem.rs` | the wire forms |
//! | `endpoint/<verb>.rs` | one handler each |
//! | `server.rs` | sockets, TLS, connection limits, stopping |
//!
//! Invariant: knows `command`, `types` and `meter`; neither galleries nor backends. A request whose
//! body may hold a face ends its connection, so that no read buffer outlives the answer.

pub mod answer;
pub mod body;
pub(crate) mod door;
mod endpoint;
pub mod problem;
pub mod request;
pub mod route;
pub mod server;

use std::sync::{Arc, OnceLock};

use crate::{
    command::{Answer, Command, Request, Service, Stranger},
    config,
    keys::secret::Tokens,
    meter::{HandshakeFault, Meter},
    time::Clock,
    types::{Caller, Purpose},
};
use problem::Problem;

/// Who may speak to the API.
#[derive(Debug)]
pub enum Access {
    /// Everybody on loopback, in these roles.
    Loopback(Vec<Caller>),
    /// Whoever holds a token.
    Tokens(Tokens),
}

/// What every handler is given.
#[derive(Clone)]
pub struct Api {
    service: Arc<OnceLock<Arc<dyn Service>>>,
    access: Arc<Access>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    places: door::Places,
    body_bytes: usize,
}

impl Api {
    /// An API whose service is still to come: until [`Api::start`], it is alive and not ready.
    #[must_use]
    pub fn new(
        access: Access,
        limits: &config::Limits,
        meter: Arc<Meter>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            service: Arc::new(OnceLock::new()),
            access: Arc::new(access),
            meter,
            clock,
            places: door::Places::new(limits.transactions),
            body_bytes: limits.body_bytes,
        }
    }

    /// Puts `service` to work. A second one is ignored: the first has callers.
    pub fn start(&self, service: Arc<dyn Service>) {
        if self.service.set(service).is_err() {
            tracing::warn!("a second service was offered to a running API");
        }
    }

    fn service(&self) -> Result<&Arc<dyn Service>, Problem> {
        let starting =
            || Problem::new("NOT_READY", "the appliance is starting: models are loading");
        self.service.get().ok_or_else(starting)
    }

    /// Tells the service, where there is one yet, of somebody who is turned away.
    async fn turned_away(&self, who: Stranger) {
        let Some(service) = self.service.get().map(Arc::clone) else { return };
        if tokio::task::spawn_blocking(move || service.turned_away(who)).await.is_err() {
            tracing::error!(code = who.code(), "somebody was turned away, and it is not recorded");
        }
    }

    /// Counts a handshake that came to nothing. Whoever was refused in it for a certificate is
    /// turned away like one whose certificate is not known.
    async fn handshake_failed(&self, fault: HandshakeFault) {
        self.meter.handshake_failed(fault);
        if fault == HandshakeFault::Certificate {
            self.turned_away(Stranger::RefusedCertificate).await;
        }
    }

    /// Carries out a command on a thread that may block.
    async fn execute(
        &self,
        callers: Vec<Caller>,
        deadline_ms: Option<u64>,
        (purpose, command): (Purpose, Command),
    ) -> Result<Answer, Problem> {
        let service = Arc::clone(self.service()?);
        let request = Request { callers, purpose, deadline_ms, command };
        let answered = tokio::task::spawn_blocking(move || service.execute(request)).await;
        match answered {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_) => Err(Problem::new("FAULT", "a stage failed; the log holds more")),
        }
    }
}

/// The answer of a command that can have only one kind of answer.
fn unexpected() -> Problem {
    Problem::new("FAULT", "the appliance answered another question; the log holds more")
}
