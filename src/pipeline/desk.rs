//! Where orders come in and wait, and how the lines hand them on. No thread of its own.
//!
//! Invariant: an order that was accepted is answered once. Tickets in the two queues are jobs of
//! the table, so neither queue can be full; the table is what is bounded.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crossbeam_queue::ArrayQueue;

use super::{
    Order, Reply,
    job::{Job, JobTable},
};
use crate::{
    limits::TRANSACTIONS_MAX,
    meter::{Meter, Shed},
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
    /// The appliance is going down.
    #[error("the appliance is stopping and takes no more orders")]
    Stopping,
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
    stopping: AtomicBool,
}

impl Desk {
    pub(super) fn new(clock: Arc<dyn Clock>, meter: Arc<Meter>) -> Self {
        Self {
            table: JobTable::new(TRANSACTIONS_MAX),
            ordered: ArrayQueue::new(TRANSACTIONS_MAX),
            embedded: ArrayQueue::new(TRANSACTIONS_MAX),
            clock,
            meter,
            stopping: AtomicBool::new(false),
        }
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
        let frames = order.images();
        self.meter.offered(frames);
        let Some(ticket) = self.table.reserve() else {
            (0..frames).for_each(|_| self.meter.shed(Shed::Busy));
            return Err(Refused::Busy { most: TRANSACTIONS_MAX });
        };
        // The ticket is held before the flag is read, and a line leaves only when it has seen the
        // flag and then no ticket held: so nobody leaves between this check and the push below.
        if self.stopping.load(Ordering::SeqCst) {
            self.table.release(ticket);
            (0..frames).for_each(|_| self.meter.shed(Shed::Stopping));
            return Err(Refused::Stopping);
        }
        self.table.seat(ticket, Job::new(order, self.clock.monotonic_us(), Box::new(reply)));
        self.ordered.push(ticket).expect("the queue has one place per ticket");
        Ok(())
    }

    /// Refuses whatever comes from now on; what is in flight is still answered.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether nothing will come any more and nothing is in flight.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) && self.table.is_empty()
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
