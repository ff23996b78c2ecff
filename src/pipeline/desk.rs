//! Where orders come in and wait, and how the lines hand them on. No thread of its own.
//!
//! An order whose deadline cannot be met is refused here, at once and with the reason
//! ([`Refused`]): the time that it would have cost belongs to those who can be answered. Whoever
//! has to prepare an order first (decode its pictures, wait for slots) claims the engines' time
//! before ([`Desk::claim`]).
//!
//! Invariant: an order that was accepted is answered once. Tickets in the two queues are jobs of
//! the table, so neither queue can be full; the table is what is bounded.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crossbeam_queue::ArrayQueue;

use super::{
    AtWork, Claim, Matching, Order, Priority, Reply,
    job::{Job, JobTable},
    pace::Pace,
    pulse::Pulses,
};
use crate::{
    limits::{GATE_TRANSACTIONS, TRANSACTIONS_MAX},
    meter::{Meter, Shed},
    model::Calibration,
    time::Clock,
};

/// Why an order was not accepted; its frames are zeroed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many transactions as there may be are in flight.
    #[error("{most} transactions are in flight; try again when one has been answered")]
    Busy {
        /// The limit.
        most: usize,
    },
    /// With what lies ahead of it, it would be answered after its deadline.
    #[error(
        "an answer needs about {needed_ms} ms, more than its deadline leaves; try again in \
         {retry_after_s} s"
    )]
    TooLate {
        /// What it would need.
        needed_ms: u64,
        /// When what is too much has been worked off.
        retry_after_s: u64,
    },
    /// The appliance is going down.
    #[error("the appliance is stopping and takes no more orders")]
    Stopping,
}

impl Refused {
    /// The stable code, as the API's.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Busy { .. } => "BUSY",
            Self::TooLate { .. } => "DEADLINE_UNMEETABLE",
            Self::Stopping => "NOT_READY",
        }
    }

    /// Under which reason its frames are counted.
    #[must_use]
    pub fn shed(self) -> Shed {
        match self {
            Self::Busy { .. } => Shed::Busy,
            Self::TooLate { .. } => Shed::TooLate,
            Self::Stopping => Shed::Stopping,
        }
    }
}

/// Orders on their way.
pub struct Desk {
    pub(super) table: JobTable,
    /// To the engine line.
    pub(super) ordered: ArrayQueue<u32>,
    /// To the match line.
    pub(super) embedded: ArrayQueue<u32>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meter: Arc<Meter>,
    pub(super) pace: Arc<Pace>,
    pub(super) at_work: AtWork,
    pub(super) pulses: Pulses,
    calibration: Arc<Calibration>,
    stopping: AtomicBool,
    /// From when on nothing is worked on any more, only answered.
    drained_us: AtomicU64,
}

impl Desk {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
        at_work: AtWork,
        calibration: Arc<Calibration>,
    ) -> Self {
        Self {
            table: JobTable::new(TRANSACTIONS_MAX),
            ordered: ArrayQueue::new(TRANSACTIONS_MAX),
            embedded: ArrayQueue::new(TRANSACTIONS_MAX),
            clock,
            meter,
            pace: Arc::default(),
            at_work,
            pulses: Pulses::default(),
            calibration,
            stopping: AtomicBool::new(false),
            drained_us: AtomicU64::new(u64::MAX),
        }
    }

    /// Sets the engines' time for `frames` frames, and for what follows them, aside, until
    /// `deadline_us`; give the claim to the order that it is for.
    ///
    /// # Errors
    /// [`Refused::TooLate`] or [`Refused::Stopping`].
    pub fn claim(
        &self,
        frames: u64,
        matching: Matching,
        priority: Priority,
        deadline_us: u64,
    ) -> Result<Claim, Refused> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Refused::Stopping);
        }
        self.pace.claim(frames, (priority, matching), self.clock.monotonic_us(), deadline_us)
    }

    /// Takes an order; `reply` is called once, on the match line.
    ///
    /// # Errors
    /// [`Refused`]; `reply` is then never called.
    pub fn submit(
        &self,
        order: Order,
        reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), Refused> {
        self.take(order, Box::new(reply)).map_err(|(order, refused)| {
            order.shed(refused.shed());
            refused
        })
    }

    fn take(
        &self,
        mut order: Order,
        reply: super::job::ReplyTo,
    ) -> Result<(), (Box<Order>, Refused)> {
        let claim = match order.claim.take() {
            Some(claim) => Ok(claim),
            None => {
                let (frames, matching) = (order.images(), order.task.matching());
                self.claim(frames, matching, order.priority, order.deadline_us)
            }
        };
        let claim = match claim {
            Ok(claim) => claim,
            Err(refused) => return Err((Box::new(order), refused)),
        };
        let kept_free = match order.priority {
            Priority::Gate => 0,
            Priority::Enrolment => GATE_TRANSACTIONS,
        };
        let Some(ticket) = self.table.reserve(kept_free) else {
            return Err((Box::new(order), Refused::Busy { most: TRANSACTIONS_MAX }));
        };
        // The ticket is held before the flag is read, and a line leaves only when it has seen the
        // flag and then no ticket held: so nobody leaves between this check and the push below.
        if self.stopping.load(Ordering::SeqCst) {
            self.table.release(ticket);
            return Err((Box::new(order), Refused::Stopping));
        }
        let now_us = self.clock.monotonic_us();
        self.table.seat(ticket, Job::new(order, claim, now_us, &self.calibration, reply));
        self.ordered.push(ticket).expect("the queue has one place per ticket");
        Ok(())
    }

    /// Refuses whatever comes from now on; what is in flight is still answered.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// As [`Desk::stop`]; what is still in flight after `drain_us` microseconds is answered as
    /// late, without being worked on.
    pub fn drain(&self, drain_us: u64) {
        let until_us = self.clock.monotonic_us().saturating_add(drain_us);
        self.drained_us.fetch_min(until_us, Ordering::SeqCst);
        self.stop();
    }

    /// The time that deadlines are held against: `now_us`, and after the drain the end of time.
    pub(super) fn judged_us(&self, now_us: u64) -> u64 {
        if now_us >= self.drained_us.load(Ordering::SeqCst) { u64::MAX } else { now_us }
    }

    /// Who computes.
    #[must_use]
    pub fn at_work(&self) -> &AtWork {
        &self.at_work
    }

    /// Whether nothing will come any more and nothing is in flight.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) && self.table.is_empty()
    }

    /// How long the longest turn under way has taken: far more than any batch when a line hangs.
    #[must_use]
    pub fn longest_turn_us(&self) -> u64 {
        self.pulses.longest_us(self.clock.monotonic_us())
    }

    /// Whether a transaction is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// From the engine line to the match line.
    pub(super) fn pass_on(&self, ticket: u32) {
        let now_us = self.clock.monotonic_us();
        self.table.with(ticket, |job| job.embedded_us = now_us);
        self.embedded.push(ticket).expect("the queue has one place per ticket");
    }
}
