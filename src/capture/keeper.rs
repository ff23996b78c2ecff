//! Keeps a lane's source going: opens it, hands its pictures to the lane, and opens it again after
//! a failure. A state machine that is turned: by a thread of its own in `runner.rs`, by a test by
//! hand.
//!
//! Invariant: a turn never panics and never waits longer than its source does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Arrival, Source, SourceFault,
    lane::{Lane, LaneState},
    supervise::Supervision,
};
use crate::time::Clock;

/// How a lane's source is opened, at the time that is handed in.
pub type Open = Box<dyn FnMut(u64) -> Result<Box<dyn Source>, SourceFault> + Send>;

/// When a lane has something to do again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// At this time.
    At(u64),
}

/// One lane with its source.
pub struct Keeper {
    lane: Arc<Lane>,
    open: Open,
    source: Option<Box<dyn Source>>,
    supervision: Supervision,
    /// When a failed source is opened again.
    retry_us: u64,
    /// Whether it has been opened before.
    opened: bool,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// Keeps `lane` supplied by what `open` opens.
    #[must_use]
    pub fn new(lane: Arc<Lane>, open: Open, clock: Arc<dyn Clock>) -> Self {
        let (source, supervision) = (None, Supervision::default());
        Self { lane, open, source, supervision, retry_us: 0, opened: false, clock }
    }

    /// The lane.
    #[must_use]
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Does what is due now.
    pub fn turn(&mut self) -> Turn {
        let now_us = self.clock.monotonic_us();
        // Unwind safety: a source that panicked is dropped and opened anew.
        let turned = catch_unwind(AssertUnwindSafe(|| self.work(now_us)));
        turned.unwrap_or_else(|_| self.fail(now_us, SourceFault::Panicked))
    }

    fn work(&mut self, now_us: u64) -> Turn {
        if self.source.is_none() {
            if now_us < self.retry_us {
                return Turn::At(self.retry_us);
            }
            if std::mem::replace(&mut self.opened, true) {
                self.lane.restarted();
            }
            match (self.open)(now_us) {
                Ok(source) => self.source = Some(source),
                Err(fault) => return self.fail(now_us, fault),
            }
            self.supervision.opened(now_us);
            self.lane.becomes(LaneState::Serving);
        }
        let Some(source) = &mut self.source else { return Turn::Now };
        match source.next(now_us) {
            Ok(Arrival::Picture(picture)) => {
                self.supervision.delivered(now_us);
                self.lane.arrive(picture, None);
                Turn::Now
            }
            Ok(Arrival::NotBefore(at_us)) if at_us > now_us => Turn::At(at_us),
            Ok(Arrival::NotBefore(_)) => Turn::Now,
            Ok(Arrival::End) => self.fail(now_us, SourceFault::Over),
            Err(fault) if self.supervision.fails(&fault) => self.fail(now_us, fault),
            Err(fault) => {
                tracing::debug!(lane = %self.lane.name(), %fault, "a picture is left out");
                self.lane.lost();
                Turn::Now
            }
        }
    }

    fn fail(&mut self, now_us: u64, fault: SourceFault) -> Turn {
        // Unwind safety: a source that cannot even be dropped is not touched again.
        let source = self.source.take();
        let _dropped = catch_unwind(AssertUnwindSafe(|| drop(source)));
        let (attempts, retry_us) = self.supervision.failed(now_us);
        self.retry_us = retry_us;
        let retry_ms = retry_us.saturating_sub(now_us) / 1_000;
        tracing::warn!(lane = %self.lane.name(), %fault, attempts, retry_ms, "the source failed");
        self.lane.becomes(LaneState::Failed { fault, attempts, retry_us });
        Turn::At(retry_us)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.source = None;
        self.lane.becomes(LaneState::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        capture::{Encoded, lane::LaneTerms},
        limits::LANE_RETRY_US_FIRST,
        meter::{LaneKind, Meter, Shed},
        pipeline::slot::SlotPool,
        time::SimulatedClock,
    };

    /// What a scripted source does next; an empty script panics.
    type Script = Arc<Mutex<Vec<Result<Option<u8>, SourceFault>>>>;

    struct Scripted(Script);

    impl Source for Scripted {
        fn next(&mut self, now_us: u64) -> Result<Arrival, SourceFault> {
            let step = self.0.lock().expect("no panic while held").pop();
            match step.expect("as scripted")? {
                Some(value) => Ok(Arrival::Picture(Encoded::rgb(vec![value; 3], 1, 1))),
                None => Ok(Arrival::NotBefore(now_us + 7)),
            }
        }
    }

    struct Stand {
        clock: Arc<SimulatedClock>,
        meter: Arc<Meter>,
        script: Script,
        keeper: Keeper,
    }

    fn stand(script: Vec<Result<Option<u8>, SourceFault>>) -> Stand {
        let clock = Arc::new(SimulatedClock::at(0));
        let meter = Arc::new(Meter::new());
        let terms = LaneTerms {
            name: "gate-1".parse().expect("a name"),
            kind: LaneKind::Command,
            deadline_ms: 1,
            external_detector: None,
        };
        let handed = Arc::clone(&clock) as Arc<dyn Clock>;
        let slots = SlotPool::new(2, 12);
        let lane = Lane::new(terms, slots, Arc::clone(&handed), Arc::clone(&meter));
        let script = Arc::new(Mutex::new(script.into_iter().rev().collect()));
        let held: Script = Arc::clone(&script);
        let open: Open = Box::new(move |_| Ok(Box::new(Scripted(Arc::clone(&held)))));
        Stand { clock, meter, script, keeper: Keeper::new(lane, open, handed) }
    }

    #[test]
    fn the_newest_is_kept_for_the_tap_and_everything_else_is_counted() {
        let mut stand = stand(vec![Ok(Some(1)), Ok(Some(2)), Ok(None), Ok(Some(3)), Ok(Some(4))]);
        let lane = Arc::clone(stand.keeper.lane());
        assert_eq!(stand.keeper.turn(), Turn::Now);
        let tap = lane.tap(Arc::new(|| {})).expect("nobody looks");
        assert!(lane.tap(Arc::new(|| {})).is_err(), "one traveller");
        assert!(tap.newest().is_none(), "what came before the tap is gone");
        assert_eq!(stand.keeper.turn(), Turn::Now);
        assert_eq!(stand.keeper.turn(), Turn::At(7));
        assert_eq!(stand.keeper.turn(), Turn::Now);
        let frame = tap.newest().expect("the newest");
        assert_eq!((frame.sequence, frame.captured.view().pixels()), (3, &[3, 3, 3][..]));
        drop(frame);
        stand.keeper.turn();
        drop(tap);
        assert!(lane.tap(Arc::new(|| {})).is_ok_and(|tap| tap.newest().is_none()));
        let account = stand.meter.account();
        let shed = [Shed::NoTraveller, Shed::Newer, Shed::Refused, Shed::Cancelled];
        assert_eq!(shed.map(|reason| account.shed(reason)), [1, 1, 1, 1]);
        assert_eq!((account.offered, account.in_flight()), (4, 0));
    }

    #[test]
    fn a_source_that_fails_or_panics_is_opened_again_after_its_wait() {
        let mut stand = stand(vec![Ok(Some(1)), Err(SourceFault::Over)]);
        let lane = Arc::clone(stand.keeper.lane());
        assert_eq!(lane.status().state, LaneState::Starting);
        stand.keeper.turn();
        assert_eq!(lane.status().state, LaneState::Serving);
        assert_eq!(stand.keeper.turn(), Turn::At(LANE_RETRY_US_FIRST));
        assert!(matches!(lane.status().state, LaneState::Failed { attempts: 1, .. }));
        assert_eq!(stand.keeper.turn(), Turn::At(LANE_RETRY_US_FIRST), "not before");
        stand.clock.advance_us(LANE_RETRY_US_FIRST);
        // Its script is empty, and it panics.
        assert_eq!(stand.keeper.turn(), Turn::At(3 * LANE_RETRY_US_FIRST));
        let status = lane.status();
        let fault = SourceFault::Panicked;
        let retry_us = 3 * LANE_RETRY_US_FIRST;
        assert_eq!(status.state, LaneState::Failed { fault, attempts: 2, retry_us });
        assert_eq!((status.restarts, status.frames), (1, 1));
        stand.script.lock().expect("no panic while held").push(Ok(Some(9)));
        stand.clock.advance_us(2 * LANE_RETRY_US_FIRST);
        assert_eq!(stand.keeper.turn(), Turn::Now);
        assert_eq!((lane.status().state, lane.status().frames), (LaneState::Serving, 2));
        drop(stand);
        assert_eq!(lane.status().state, LaneState::Stopped);
    }
}
