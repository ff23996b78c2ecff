//! Entry events of a residence, sent to the server that its profile names.
//!
//! What happened is put into the register's queue before the door is told, and taken out when the
//! receiver said that it has it (any status 2xx); `receiver.rs` is one attempt. A receiver that is
//! down costs a door nothing but that write: a thread of its own tries again, each time after
//! twice the wait, in the order in which things happened, and an event keeps its name
//! (`Idempotency-Key`) however often it is sent.
//!
//! Invariant: an event tells when, where and what was decided; no name, no score, no picture.
//! Absent on purpose: letting go of what a receiver refuses. It waits, `/readyz` says so, and when
//! the queue is full, the newest events are counted and stand in the audit alone.

mod receiver;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_utils::sync::{Parker, Unparker};
use serde::{Deserialize, Serialize};

use crate::{
    limits::{WEBHOOK_RETRY_US_FIRST, WEBHOOK_RETRY_US_MAX},
    meter::{EventFate, Meter},
    register::{Register, RegisterError, Ticket},
    time::Clock,
    types::{Hash256, TransactionId},
};
pub use receiver::{NotTaken, Receiver, ReceiverError};

/// Somebody came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// The decision's name in the audit; the same however often it is sent.
    pub event: String,
    /// When, in seconds UTC.
    pub at: i64,
    /// Where: the lane, or the gate's credential where there is no lane.
    pub place: String,
    /// What was decided.
    pub decision: String,
    /// SHA-256 of the picture that was compared; only where the profile states on which basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_sha256: Option<String>,
}

impl Event {
    /// That `transaction` let somebody in.
    #[must_use]
    pub fn admission(
        transaction: TransactionId,
        (at_s, place): (i64, &str),
        picture: Option<Hash256>,
    ) -> Self {
        Self {
            event: transaction.to_string(),
            at: at_s,
            place: place.to_owned(),
            decision: "admit".to_owned(),
            image_sha256: picture.map(|hash| hash.to_string()),
        }
    }
}

/// What a sender works with.
pub struct Surroundings {
    /// Where events wait.
    pub register: Arc<Register>,
    /// Who is told.
    pub receiver: Receiver,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it is counted.
    pub meter: Arc<Meter>,
}

struct Shared {
    around: Surroundings,
    stopping: AtomicBool,
    trouble: Mutex<Trouble>,
}

/// What stands in the way, in words for whoever looks after the appliance.
#[derive(Default)]
struct Trouble {
    /// Why nothing is sent; `None` while it is.
    sending: Option<String>,
    /// Why the newest event is not in the queue.
    queueing: Option<String>,
}

/// Sends what is queued, until it is dropped. What is not sent by then waits for the next start.
pub struct Sender {
    shared: Arc<Shared>,
    unparker: Unparker,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Begins with what an earlier run left.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(around: Surroundings) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            around,
            stopping: AtomicBool::new(false),
            trouble: Mutex::default(),
        });
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        let sends = Arc::clone(&shared);
        let named = thread::Builder::new().name("webhook".to_owned());
        let thread = named.spawn(move || sends.run(&parker))?;
        Ok(Self { shared, unparker, thread: Some(thread) })
    }

    /// Puts an event into the queue; on return it survives a crash. A queue that does not take it
    /// holds up no door: that is counted and told, and the audit has the entry.
    pub fn queue(&self, transaction: TransactionId, event: &Event) -> Option<Ticket> {
        let around = &self.shared.around;
        let queued = around.register.queue(*transaction.as_bytes(), event);
        let mut trouble = self.shared.trouble();
        trouble.queueing = queued.as_ref().err().map(ToString::to_string);
        match queued {
            Ok(ticket) => {
                around.meter.entry_event(EventFate::Queued);
                Some(ticket)
            }
            Err(error) => {
                tracing::error!(%transaction, %error, "an entry event is in the audit alone");
                around.meter.entry_event(EventFate::Unqueued);
                None
            }
        }
    }

    /// Takes an event back whose door was not opened after all.
    pub fn withdraw(&self, ticket: Ticket) {
        if let Err(error) = self.shared.around.register.dequeue(ticket) {
            tracing::error!(%error, "an entry event of a door that stayed shut is not taken back");
        }
    }

    /// Says that there is something to send.
    pub fn wake(&self) {
        self.unparker.unpark();
    }

    /// How many events wait.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn waiting(&self) -> Result<u64, RegisterError> {
        self.shared.around.register.waiting()
    }

    /// What stands in the way, if anything does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let waiting = self.waiting().unwrap_or_default();
        let trouble = self.shared.trouble();
        let told = trouble.queueing.as_ref().map(|why| format!("entry events: {why}"));
        told.or_else(|| {
            let why = trouble.sending.as_ref()?;
            Some(format!("entry events: {waiting} wait for events.webhook: {why}"))
        })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.unparker.unpark();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends entry events had panicked");
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl Shared {
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn run(&self, parker: &Parker) {
        let mut failures = 0;
        while !self.is_stopping() {
            match self.send_oldest() {
                Ok(false) => parker.park(),
                Ok(true) => {
                    failures = 0;
                    self.trouble().sending = None;
                }
                Err(why) => {
                    tracing::warn!(%why, "an entry event was not taken");
                    self.around.meter.entry_event_failed();
                    self.trouble().sending = Some(why.to_string());
                    self.rest(parker, wait_us(failures));
                    failures += 1;
                }
            }
        }
    }

    /// Sends what has waited longest; whether anything waited. An event leaves the queue after its
    /// receiver has it: a crash between the two sends it once more, under the same name.
    fn send_oldest(&self) -> Result<bool, NotTaken> {
        let Surroundings { register, receiver, clock, meter } = &self.around;
        let queued: Vec<(Ticket, Event)> = register.queued(1)?;
        let Some((ticket, event)) = queued.first() else { return Ok(false) };
        receiver.post(event, clock.as_ref())?;
        register.dequeue(*ticket)?;
        meter.entry_event(EventFate::Delivered);
        Ok(true)
    }

    /// Waits, however often somebody comes in meanwhile.
    fn rest(&self, parker: &Parker, wait_us: u64) {
        let clock = self.around.clock.as_ref();
        let until_us = clock.monotonic_us().saturating_add(wait_us);
        loop {
            let left_us = until_us.saturating_sub(clock.monotonic_us());
            if left_us == 0 || self.is_stopping() {
                return;
            }
            parker.park_timeout(Duration::from_micros(left_us));
        }
    }
}

/// Time to the next attempt after `failures` in a row and one more.
fn wait_us(failures: u32) -> u64 {
    let doubled = 1_u64.checked_shl(failures.min(32)).unwrap_or(u64::MAX);
    WEBHOOK_RETRY_US_FIRST.saturating_mul(doubled).min(WEBHOOK_RETRY_US_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_waits_twice_as_long_as_the_one_before_it_and_no_longer_than_the_longest() {
        assert_eq!([wait_us(0), wait_us(1), wait_us(4)], [250_000, 500_000, 4_000_000]);
        assert_eq!([wait_us(11), wait_us(u32::MAX)], [WEBHOOK_RETRY_US_MAX; 2]);
    }

    #[test]
    fn ra_2_conflict_2_an_event_has_time_place_and_decision_and_no_picture() {
        let transaction = TransactionId::from_bytes([7; 16]);
        let event = Event::admission(transaction, (1_800_000_000, "gate-1"), None);
        let text = serde_json::to_value(&event).expect("JSON");
        let expected = serde_json::json!({
            "event": "07".repeat(16), "at": 1_800_000_000, "place": "gate-1", "decision": "admit",
        });
        assert_eq!(text, expected);
        let hash = Hash256::from_bytes([3; 32]);
        let event = Event::admission(transaction, (0, "gate-1"), Some(hash));
        assert_eq!(serde_json::to_value(&event).expect("JSON")["imageSha256"], "03".repeat(32));
    }
}
