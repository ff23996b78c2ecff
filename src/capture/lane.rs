//! Lanes: one camera and one gate each, from a frame's arrival to whoever looks at it.
//!
//! ```text
//! source's thread, or a gate controller's request            whoever serves the traveller
//!        │ encoded bytes                                              │
//!        ▼                       ┌───────────────┐   Tap::newest      ▼
//!   Lane::arrive ───────────────►│ the newest one│──── decoded ───► Frame (in a slot)
//!                    one older: shed └───────────┘   in a free slot
//! ```
//!
//! While nobody taps a lane its frames are let go as they arrive: they are counted, never decoded
//! and never kept. While somebody does, the newest one is kept *encoded* and decoded when it is
//! asked for, so that no core decodes a frame that a newer one replaces, and no slot holds one that
//! nobody looks at.
//!
//! Invariant: a lane keeps at most one frame, the newest, and only for its one tap; whatever is let
//! go is zeroed and counted with its reason. Absent on purpose: a queue of frames, a second tap (a
//! lane has one traveller), a way to look at a lane without a tap.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Encoded, SourceFault, decode};
use crate::{
    meter::{LaneKind, Meter, Offered, Part, Shed},
    pipeline::slot::{CaptureError, Captured, SlotPool},
    time::Clock,
    types::{Hash256, LaneId},
};

/// A frame of a lane, decoded into a slot. Dropping it zeroes the slot.
#[derive(Debug)]
pub struct Frame {
    /// The picture.
    pub captured: Captured,
    /// Its number on this lane, from 1; numbers that are missing were let go.
    pub sequence: u64,
    /// When it arrived, on the appliance's clock.
    pub captured_us: u64,
    /// What the detector named in the lane's configuration said of this very frame: 0 bona fide,
    /// 1 attack.
    pub external_attack: Option<f32>,
    /// SHA-256 of the picture as it arrived, where the tap takes it.
    pub input: Option<Hash256>,
}

/// What a lane is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneTerms {
    /// Its name.
    pub name: LaneId,
    /// Where its frames come from.
    pub kind: LaneKind,
    /// Time that one of its frames may take where nobody says otherwise, in milliseconds.
    pub deadline_ms: u64,
    /// The presentation attack detector outside this appliance whose result comes with each frame;
    /// `None` where there is none.
    pub external_detector: Option<String>,
}

/// How a lane's source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneState {
    /// It has not been opened yet.
    Starting,
    /// Frames arrive, or may at any time.
    Serving,
    /// It failed and is tried again.
    Failed {
        /// Why.
        fault: SourceFault,
        /// Failures in a row.
        attempts: u32,
        /// When it is opened again, on the appliance's clock.
        retry_us: u64,
    },
    /// The appliance is stopping.
    Stopped,
}

/// A lane, as an operator asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Its source.
    pub state: LaneState,
    /// Frames that arrived.
    pub frames: u64,
    /// Frames that did not come whole, or could not be decoded when they were asked for.
    pub unreadable: u64,
    /// How often its source was started anew.
    pub restarts: u64,
    /// Whether somebody looks at it.
    pub tapped: bool,
}

/// Why there is no tap: somebody looks at this lane already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lane {lane} serves a traveller already; one traveller at a time")]
pub struct Tapped {
    /// The lane.
    pub lane: LaneId,
}

/// Called when a frame has arrived or the lane's state has changed; on the source's thread, so it
/// is quick. It may still be called once after its tap was dropped.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The one frame that is kept, still encoded.
struct Arrived {
    picture: Encoded,
    sequence: u64,
    arrived_us: u64,
    external_attack: Option<f32>,
    offered: Offered,
}

struct Mail {
    tap: Option<Wake>,
    newest: Option<Arrived>,
    state: LaneState,
}

/// One lane.
pub struct Lane {
    terms: LaneTerms,
    mail: Mutex<Mail>,
    frames: AtomicU64,
    unreadable: AtomicU64,
    restarts: AtomicU64,
    slots: Arc<SlotPool>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
}

impl Lane {
    /// A lane whose frames go into `slots`.
    #[must_use]
    pub fn new(
        terms: LaneTerms,
        slots: Arc<SlotPool>,
        clock: Arc<dyn Clock>,
        meter: Arc<Meter>,
    ) -> Arc<Self> {
        let mail = Mail { tap: None, newest: None, state: LaneState::Starting };
        let (frames, unreadable, restarts) = Default::default();
        let mail = Mutex::new(mail);
        Arc::new(Self { terms, mail, frames, unreadable, restarts, slots, clock, meter })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &LaneId {
        &self.terms.name
    }

    /// Where its frames come from.
    #[must_use]
    pub fn kind(&self) -> LaneKind {
        self.terms.kind
    }

    /// What it is like.
    #[must_use]
    pub fn terms(&self) -> &LaneTerms {
        &self.terms
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> LaneStatus {
        let mail = self.mail();
        LaneStatus {
            state: mail.state.clone(),
            frames: self.frames.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            tapped: mail.tap.is_some(),
        }
    }

    /// Opens the tap: from now on the newest frame is kept for whoever holds it, who is told of
    /// each by `wake`. Dropping the tap lets go of what is kept.
    ///
    /// # Errors
    /// [`Tapped`]: a lane has one traveller.
    pub fn tap(self: &Arc<Self>, wake: Wake) -> Result<Tap, Tapped> {
        let mut mail = self.mail();
        if mail.tap.is_some() {
            return Err(Tapped { lane: self.terms.name.clone() });
        }
        mail.tap = Some(wake);
        Ok(Tap { lane: Arc::clone(self), hashes: false })
    }

    /// A frame has arrived; whoever looks at the lane is told.
    pub(super) fn arrive(&self, picture: Encoded, external_attack: Option<f32>) -> Taken {
        self.keep(picture, external_attack, Offered::new(&self.meter))
    }

    /// As [`Self::arrive`], of a frame that is counted already.
    pub(super) fn keep(
        &self,
        picture: Encoded,
        external_attack: Option<f32>,
        offered: Offered,
    ) -> Taken {
        let arrived_us = self.clock.monotonic_us();
        let mut mail = self.mail();
        // Numbered under the lock: the newest frame is the one with the greatest number.
        let sequence = self.frames.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(wake) = mail.tap.clone() else {
            drop(mail);
            offered.shed(Shed::NoTraveller);
            return Taken { sequence, kept: false };
        };
        let arrived = Arrived { picture, sequence, arrived_us, external_attack, offered };
        let older = mail.newest.replace(arrived);
        drop(mail);
        if let Some(older) = older {
            older.offered.shed(Shed::Newer);
        }
        wake();
        Taken { sequence, kept: true }
    }

    /// The source is now as `state` says.
    pub(super) fn becomes(&self, state: LaneState) {
        let mut mail = self.mail();
        mail.state = state;
        let wake = mail.tap.clone();
        drop(mail);
        if let Some(wake) = wake {
            wake();
        }
    }

    /// A picture was due and did not come whole.
    pub(super) fn lost(&self) {
        self.unreadable(Offered::new(&self.meter));
    }

    /// As [`Self::lost`], of a frame that is counted already.
    pub(super) fn unreadable(&self, offered: Offered) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.unreadable.fetch_add(1, Ordering::Relaxed);
        offered.shed(Shed::Unreadable);
    }

    /// Counts a source that was started anew.
    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.meter.restart(Part::Source);
    }

    /// The newest frame, decoded; it is kept no longer.
    fn newest(&self, hashes: bool) -> Option<Frame> {
        let arrived = self.mail().newest.take()?;
        match decode(&arrived.picture, &self.slots, self.clock.as_ref()) {
            Ok(captured) => Some(Frame {
                captured: captured.counted(arrived.offered),
                sequence: arrived.sequence,
                captured_us: arrived.arrived_us,
                external_attack: arrived.external_attack,
                input: hashes.then(|| Hash256::of(arrived.picture.bytes())),
            }),
            Err(CaptureError::Busy { .. }) => {
                let mut mail = self.mail();
                // Kept for the next time, unless a newer one has come, or nobody looks any more.
                if mail.tap.is_some() && mail.newest.is_none() {
                    mail.newest = Some(arrived);
                } else {
                    drop(mail);
                    arrived.offered.shed(Shed::NoSlot);
                }
                None
            }
            Err(CaptureError::Fill(_) | CaptureError::Extent { .. }) => {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                arrived.offered.shed(Shed::Unreadable);
                None
            }
        }
    }

    fn close_tap(&self) {
        let mut mail = self.mail();
        mail.tap = None;
        let kept = mail.newest.take();
        drop(mail);
        if let Some(kept) = kept {
            kept.offered.shed(Shed::Cancelled);
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({})", self.terms.name)
    }
}

/// What became of a frame that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Its number on the lane.
    pub sequence: u64,
    /// Whether it is kept: somebody looks at the lane.
    pub kept: bool,
}

/// The right to look at a lane, for one traveller. Dropping it lets go of the frame that is kept.
#[derive(Debug)]
pub struct Tap {
    lane: Arc<Lane>,
    hashes: bool,
}

impl Tap {
    /// The same tap, which takes the hash of each picture: a law wants the input of a match
    /// recorded.
    #[must_use]
    pub fn hashing(mut self) -> Self {
        self.hashes = true;
        self
    }

    /// The newest frame that arrived since the last call, decoded into a slot on the caller's
    /// thread. `None` when none has arrived, when it could not be decoded (a newer one will wake
    /// the tap), or when no slot is free (it is kept for the next call).
    #[must_use]
    pub fn newest(&self) -> Option<Frame> {
        self.lane.newest(self.hashes)
    }

    /// The lane.
    #[must_use]
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.lane.close_tap();
    }
}

/// Every lane of the appliance, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct LaneSet {
    lanes: Arc<[Arc<Lane>]>,
}

impl LaneSet {
    /// These lanes; their names differ.
    #[must_use]
    pub fn new(lanes: Vec<Arc<Lane>>) -> Self {
        Self { lanes: lanes.into() }
    }

    /// The lane of that name.
    #[must_use]
    pub fn lane(&self, name: &str) -> Option<Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.name().as_str() == name).cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.iter()
    }
}
