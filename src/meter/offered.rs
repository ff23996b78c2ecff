//! The account of frames: what came in, and what became of each.
//!
//! A frame that is offered is counted, and what makes the count whole travels with it: an
//! [`Offered`], which is settled once, with a fate or with the reason for which it was given up.
//! One that is dropped unsettled was given up with its request. So
//!
//! ```text
//! offered = answered + late + Σ shed(reason) + in flight
//! ```
//!
//! holds at every moment by construction, and not because somebody remembered to count.
//!
//! Invariant: it cannot be cloned, and settling consumes it.

use std::{fmt, sync::Arc};

use super::{Fate, Meter, Shed};

/// A frame that came in and whose fate is open.
pub struct Offered {
    /// `None` once settled.
    meter: Option<Arc<Meter>>,
}

impl Offered {
    /// Counts a frame that has come in.
    #[must_use]
    pub fn new(meter: &Arc<Meter>) -> Self {
        meter.offered(1);
        Self { meter: Some(Arc::clone(meter)) }
    }

    /// It was worked on.
    pub fn worked_on(mut self, fate: Fate) {
        if let Some(meter) = self.meter.take() {
            meter.frame(fate);
        }
    }

    /// It was given up.
    pub fn shed(mut self, reason: Shed) {
        if let Some(meter) = self.meter.take() {
            meter.shed(reason);
        }
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.shed(Shed::Refused);
        }
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Offered")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_counted_once_however_it_ends() {
        let meter = Arc::new(Meter::new());
        let offer = || Offered::new(&meter);
        offer().worked_on(Fate::Answered);
        offer().worked_on(Fate::Late);
        offer().shed(Shed::Newer);
        drop(offer());
        let held = offer();
        let account = meter.account();
        assert_eq!((account.offered, account.answered, account.late), (5, 1, 1));
        assert_eq!((account.shed(Shed::Newer), account.shed(Shed::Refused)), (1, 1));
        assert_eq!(account.in_flight(), 1);
        drop(held);
        assert_eq!(meter.account().in_flight(), 0);
    }
}
