//! The only file of `capture` that owns threads: one for each lane whose source delivers by itself.
//! Lanes whose frames are pushed need none.
//!
//! Stopping is heard at once by a thread that sleeps, and within a moment by one whose source waits
//! for a device; each drops its source, which ends the program behind it. A thread that the system
//! keeps (a folder on a server that is gone, a camera's driver) is left behind: the appliance stops
//! in a set time.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_utils::sync::{Parker, Unparker};

use super::{
    Source, SourceFault,
    command::{Invocation, Running},
    directory::{Directory, Overrun, Rounds},
    keeper::{Keeper, Open, Turn},
    lane::{Lane, LaneSet, LaneState, LaneTerms},
};
use crate::{
    limits::LANE_STOP_MS,
    meter::{LaneKind, Meter},
    pipeline::{Line, LineName, slot::SlotPool},
    time::Clock,
    types::LaneId,
};

/// Where a lane's frames come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePlan {
    /// A gate controller pushes them.
    Http,
    /// A folder of photographs, over and over, as if it were a camera.
    Directory {
        /// The folder.
        folder: PathBuf,
        /// Time between two photographs, in microseconds.
        period_us: u64,
    },
    /// A program writes them.
    Command(Invocation),
}

impl SourcePlan {
    fn kind(&self) -> LaneKind {
        match self {
            Self::Http => LaneKind::Http,
            Self::Directory { .. } => LaneKind::Directory,
            Self::Command(_) => LaneKind::Command,
        }
    }

    /// `None` for frames that are pushed.
    fn open(self) -> Option<Open> {
        match self {
            Self::Http => None,
            Self::Directory { folder, period_us } => Some(Box::new(move |_| {
                let opened =
                    Directory::open(&folder, period_us, Overrun::KeepNewest, Rounds::Endless);
                opened.map(boxed)
            })),
            Self::Command(invocation) => {
                Some(Box::new(move |now_us| Running::start(&invocation, now_us).map(boxed)))
            }
        }
    }
}

fn boxed(source: impl Source + 'static) -> Box<dyn Source> {
    Box::new(source)
}

/// One lane, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanePlan {
    /// Its name.
    pub name: LaneId,
    /// Where its frames come from.
    pub source: SourcePlan,
    /// Time that one of its frames may take, in milliseconds.
    pub deadline_ms: u64,
    /// The detector whose results come with its frames.
    pub external_detector: Option<String>,
}

/// Every lane, running. Stops when dropped.
pub struct Lanes {
    set: LaneSet,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<(Unparker, Line)>>,
    clock: Arc<dyn Clock>,
}

impl Lanes {
    /// Starts the lanes of `plans`, whose names differ; frames go into `slots`.
    ///
    /// # Panics
    /// When the system cannot start a thread; the lanes that run are stopped then.
    #[must_use]
    pub fn start(
        plans: Vec<LanePlan>,
        slots: &Arc<SlotPool>,
        clock: &Arc<dyn Clock>,
        meter: &Arc<Meter>,
    ) -> Self {
        let (mut lanes, mut keepers) = (Vec::new(), Vec::new());
        for LanePlan { name, source, deadline_ms, external_detector } in plans {
            let terms = LaneTerms { name, kind: source.kind(), deadline_ms, external_detector };
            let lane = Lane::new(terms, Arc::clone(slots), Arc::clone(clock), Arc::clone(meter));
            match source.open() {
                None => lane.becomes(LaneState::Serving),
                Some(open) => {
                    keepers.push(Keeper::new(Arc::clone(&lane), open, Arc::clone(clock)));
                }
            }
            lanes.push(lane);
        }
        let (set, stop) = (LaneSet::new(lanes), Arc::new(AtomicBool::new(false)));
        let running = Self { set, stop, threads: Mutex::default(), clock: Arc::clone(clock) };
        keepers.into_iter().for_each(|keeper| running.spawn(keeper));
        running
    }

    fn spawn(&self, keeper: Keeper) {
        let parker = Parker::new();
        let (unparker, stop) = (parker.unparker().clone(), Arc::clone(&self.stop));
        let clock = Arc::clone(&self.clock);
        let sleep = move |for_us| parker.park_timeout(Duration::from_micros(for_us));
        let body = move || keep(keeper, &stop, clock.as_ref(), &sleep);
        let line = Line::spawn(LineName::Lane, body);
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push((unparker, line));
    }

    /// The lanes.
    #[must_use]
    pub fn set(&self) -> &LaneSet {
        &self.set
    }

    /// Ends every source and takes no more frames. False when a thread did not end in its time
    /// and was left behind.
    pub fn stop(&self) -> bool {
        self.stop.store(true, Ordering::SeqCst);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.iter().for_each(|(unparker, _)| unparker.unpark());
        let lines = threads.into_iter().map(|(_, line)| line);
        let are_ended = Line::all_end_within(lines, LANE_STOP_MS, self.clock.as_ref());
        self.set.iter().for_each(|lane| lane.becomes(LaneState::Stopped));
        are_ended
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.set.iter()).finish()
    }
}

/// What a lane's thread does until `stop`: turns the keeper, and sleeps (so many microseconds, or
/// until it is woken) when there is nothing to do.
pub fn keep(mut keeper: Keeper, stop: &AtomicBool, clock: &dyn Clock, sleep: &dyn Fn(u64)) {
    while !stop.load(Ordering::SeqCst) {
        if let Turn::At(at_us) = keeper.turn() {
            let wait_us = at_us.saturating_sub(clock.monotonic_us());
            if wait_us > 0 {
                sleep(wait_us);
            }
        }
    }
}

/// What the operator is told of a source that failed, for `/readyz`: names of lanes, and nothing
/// that the configuration keeps.
#[must_use]
pub fn failures(lanes: &LaneSet) -> Vec<String> {
    let failed = |lane: &Arc<Lane>| match lane.status().state {
        LaneState::Failed { fault, attempts, .. } => Some(told(lane.name(), &fault, attempts)),
        LaneState::Starting | LaneState::Serving | LaneState::Stopped => None,
    };
    lanes.iter().filter_map(failed).collect()
}

fn told(name: &LaneId, fault: &SourceFault, attempts: u32) -> String {
    format!("lane {name} has no frames: {}; tried {attempts} times and again", fault.what())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{capture::Arrival, time::SystemClock};

    fn plan(name: &str, source: SourcePlan) -> LanePlan {
        let name = name.parse().expect("a name");
        LanePlan { name, source, deadline_ms: 1_000, external_detector: None }
    }

    #[test]
    fn lanes_start_tell_what_fails_and_stop() {
        let nowhere = SourcePlan::Directory { folder: "/nowhere".into(), period_us: 1_000 };
        let plans = vec![plan("pushed", SourcePlan::Http), plan("torn", nowhere)];
        let clock = Arc::new(SystemClock::start()) as Arc<dyn Clock>;
        let lanes = Lanes::start(plans, &SlotPool::new(1, 12), &clock, &Arc::new(Meter::new()));
        let torn = lanes.set().lane("torn").expect("configured");
        let (told, heard) = mpsc::channel();
        let told = Mutex::new(told);
        let wake = Arc::new(move || {
            let _ = told.lock().expect("no panic").send(());
        });
        let _tap = torn.tap(wake).expect("nobody looks");
        while failures(lanes.set()).is_empty() {
            // Woken when its state changes; it may have failed before the tap was opened.
            let _ = heard.recv_timeout(Duration::from_millis(20));
        }
        let failures = failures(lanes.set());
        assert!(failures[0].starts_with("lane torn has no frames"), "{failures:?}");
        assert!(lanes.set().lane("other").is_none());
        assert!(lanes.stop());
        assert!(lanes.set().iter().all(|lane| lane.status().state == LaneState::Stopped));
    }

    /// A camera whose driver does not answer, until the sender is gone.
    struct Stuck {
        began: mpsc::Sender<()>,
        held: mpsc::Receiver<()>,
    }

    impl Source for Stuck {
        fn next(&mut self, _now_us: u64) -> Result<Arrival, SourceFault> {
            let _ = self.began.send(());
            let _ = self.held.recv();
            Ok(Arrival::End)
        }
    }

    #[test]
    fn a_source_that_the_system_keeps_is_left_behind() {
        let clock = Arc::new(SystemClock::start()) as Arc<dyn Clock>;
        let plans = vec![plan("stuck", SourcePlan::Http)];
        let lanes = Lanes::start(plans, &SlotPool::new(1, 12), &clock, &Arc::new(Meter::new()));
        let lane = lanes.set().lane("stuck").expect("configured");
        let ((began, begins), (release, held)) = (mpsc::channel(), mpsc::channel());
        let mut stuck = Some(Stuck { began, held });
        let open: Open = Box::new(move |_| Ok(boxed(stuck.take().expect("opened once"))));
        lanes.spawn(Keeper::new(lane, open, clock));
        begins.recv().expect("the keeper asks it");
        assert!(!lanes.stop(), "its thread cannot end");
        drop(release);
    }
}
