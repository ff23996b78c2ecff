//! The only file of the pipeline that owns threads: one turns the engine line, and one each of the
//! match lines.
//!
//! They sleep on a parker when there is nothing to do, and are woken by whoever hands them work; a
//! wake-up before the sleep is not lost, because a parker remembers it. Stopping answers what is in
//! flight first, and takes a set time whatever hangs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use crossbeam_utils::sync::{Parker, Unparker};

use super::{
    AtWork, Claim, Matching, Order, Parts, Priority, Refused, Reply, desk::Desk,
    engine_line::EngineLine, match_line::MatchLine,
};
use crate::{
    limits::{DRAIN_GRACE_MS, MATCH_LINES, STOP_MS_MAX},
    time::Clock,
};

/// The pipeline, running. Stops when dropped.
pub struct Pipeline {
    desk: Arc<Desk>,
    engine: Unparker,
    matching: Arc<[Unparker]>,
    threads: Mutex<Vec<Line>>,
}

/// Which line a thread turns. Lanes have such threads, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineName {
    /// Frames through the networks.
    Engine,
    /// Searches and decisions.
    Match,
    /// Frames of a lane's source.
    Lane,
}

impl LineName {
    fn text(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Match => "match",
            Self::Lane => "lane",
        }
    }

    /// What may keep it, and what to do.
    fn advice(self) -> &'static str {
        match self {
            Self::Engine | Self::Match => {
                "its engine may hang, or the processor may be too slow or too busy for the work \
                 that was under way; if it comes again, see what `portcullis doctor` says of the \
                 device, give the appliance more of the processor, and raise limits.drain_ms where \
                 it was lowered"
            }
            Self::Lane => {
                "its source (a program, a folder, a camera's driver) may hang in the system, or the \
                 processor may be too busy; if it comes again, see whether the source answers"
            }
        }
    }
}

/// A line that did not end in its time. What keeps it is not known here, only what may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {} line did not end within {patience_ms} ms and is left behind: {}",
    .line.text(),
    .line.advice()
)]
struct LeftBehind {
    line: LineName,
    patience_ms: u64,
}

/// A line's thread, and who tells that it has ended.
pub(crate) struct Line {
    name: LineName,
    thread: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl Line {
    /// Starts it.
    ///
    /// # Panics
    /// When the system cannot start a thread.
    pub(crate) fn spawn(name: LineName, body: impl FnOnce() + Send + 'static) -> Self {
        let (end, ended) = mpsc::channel();
        let body = move || {
            // Dropped when the thread ends, however it ends.
            let _end: mpsc::Sender<()> = end;
            body();
        };
        let named = Builder::new().name(name.text().into());
        let thread = named.spawn(body).expect("the system can start a thread");
        Self { name, thread, ended }
    }

    /// Whether all of them end within `patience_ms` from now, when they were told to. Each is
    /// waited for, or let go of, also after one that was left behind.
    pub(crate) fn all_end_within(
        lines: impl IntoIterator<Item = Self>,
        patience_ms: u64,
        clock: &dyn Clock,
    ) -> bool {
        let told_us = clock.monotonic_us();
        let ended = lines.into_iter().map(|line| line.ends_within(patience_ms, told_us, clock));
        ended.filter(|ended| !ended).count() == 0
    }

    /// Whether it ended within `patience_ms` of `told_us`, when it was told to. One that did not is
    /// left to itself: the process is about to end.
    fn ends_within(self, patience_ms: u64, told_us: u64, clock: &dyn Clock) -> bool {
        let until_us = told_us.saturating_add(patience_ms.saturating_mul(1_000));
        let patience = Duration::from_micros(until_us.saturating_sub(clock.monotonic_us()));
        let has_ended = self.ended.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout);
        if has_ended {
            // Lines catch their own panics; a thread that died all the same has nothing to tell.
            let _ = self.thread.join();
        } else {
            let left = LeftBehind { line: self.name, patience_ms };
            tracing::error!(line = self.name.text(), patience_ms, "{left}");
        }
        has_ended
    }
}

impl Pipeline {
    /// Starts the threads.
    ///
    /// # Panics
    /// When the system cannot start a thread; nothing has been accepted then.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let (desk, engine_line, match_line) = parts.assemble();
        let engine_parker = Parker::new();
        let engine = engine_parker.unparker().clone();
        let match_parkers: Vec<Parker> = (0..MATCH_LINES).map(|_| Parker::new()).collect();
        let matching: Arc<[Unparker]> =
            match_parkers.iter().map(|parker| parker.unparker().clone()).collect();
        let (one, next) = (Arc::clone(&desk), Arc::clone(&matching));
        // All of them: one that searches looks again anyway, and who is free is quick to look.
        let wake_match = move || next.iter().for_each(Unparker::unpark);
        let run_engine =
            move || engine_loop(&one, engine_line, &|| engine_parker.park(), &wake_match);
        let mut threads = vec![Line::spawn(LineName::Engine, run_engine)];
        for parker in match_parkers {
            let (desk, line) = (Arc::clone(&desk), match_line.another());
            let back = engine.clone();
            let run = move || match_loop(&desk, line, &|| parker.park(), &|| back.unpark());
            threads.push(Line::spawn(LineName::Match, run));
        }
        Self { desk, engine, matching, threads: Mutex::new(threads) }
    }

    /// Takes an order; `reply` is called once, on a match thread; it should be quick, and must not
    /// stop the pipeline, which waits for that thread.
    ///
    /// # Errors
    /// [`Refused`]; `reply` is then never called, and the order's frames are zero.
    pub fn submit(
        &self,
        order: Order,
        reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), Refused> {
        let taken = self.desk.submit(order, reply);
        // Also after a refusal: a thread that waits for the last ticket must look again.
        self.engine.unpark();
        taken
    }

    /// Sets the engines' time for `frames` frames, and for what follows, aside before they are
    /// decoded.
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
        self.desk.claim(frames, matching, priority, deadline_us)
    }

    /// How long the longest turn under way has taken; see [`Desk::longest_turn_us`].
    #[must_use]
    pub fn longest_turn_us(&self) -> u64 {
        self.desk.longest_turn_us()
    }

    /// Who computes.
    #[must_use]
    pub fn at_work(&self) -> &AtWork {
        self.desk.at_work()
    }

    /// Takes no more orders, answers those in flight, zeroes the networks and ends the threads.
    /// What is not decided within `drain_ms` is answered as late. False when a line did not
    /// end in its time and was left behind.
    pub fn stop(&self, drain_ms: u64) -> bool {
        self.desk.drain(drain_ms.saturating_mul(1_000));
        self.engine.unpark();
        self.matching.iter().for_each(Unparker::unpark);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let patience_ms = drain_ms.saturating_add(DRAIN_GRACE_MS);
        Line::all_end_within(threads, patience_ms, self.desk.clock.as_ref())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop(STOP_MS_MAX);
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipeline")
    }
}

/// What one thread does with the engine line until nothing will come any more: `sleep` until
/// somebody wakes it, `wake_match` whenever the match lines may have work. A wake-up that comes
/// before the sleep must not be lost.
pub fn engine_loop(desk: &Desk, mut line: EngineLine, sleep: &dyn Fn(), wake_match: &dyn Fn()) {
    while !desk.is_done() {
        if line.turn() {
            wake_match();
        } else {
            sleep();
        }
    }
    line.wipe();
    wake_match();
}

/// What each other thread does with its match line; `wake_engine` when a transaction has ended,
/// which may have been the last.
pub fn match_loop(desk: &Desk, mut line: MatchLine, sleep: &dyn Fn(), wake_engine: &dyn Fn()) {
    while !desk.is_done() {
        if line.turn() {
            wake_engine();
        } else {
            sleep();
        }
    }
    wake_engine();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SimulatedClock;

    #[test]
    fn a_line_is_waited_for_as_long_as_it_has_and_then_left() {
        let clock = SimulatedClock::at(0);
        let (release, held) = mpsc::channel::<()>();
        let stuck = Line::spawn(LineName::Engine, move || {
            let _released = held.recv();
        });
        assert!(!stuck.ends_within(0, 0, &clock));
        drop(release);
        let quick = Line::spawn(LineName::Match, || {});
        assert!(quick.ends_within(60_000, 0, &clock));
    }

    #[test]
    fn what_is_told_of_a_line_that_is_left_is_what_is_known_and_what_to_do() {
        let told = |line| LeftBehind { line, patience_ms: 12_000 }.to_string();
        for line in [LineName::Engine, LineName::Match, LineName::Lane] {
            let text = told(line);
            let name = line.text();
            let known = format!("the {name} line did not end within 12000 ms and is left behind");
            assert!(text.starts_with(&known), "{text}");
            // A thread that starves looks the same as a device that hangs: neither is claimed.
            assert!(text.contains("processor may be"), "{text}");
            assert!(!text.contains("hangs"), "{text}");
        }
        assert!(told(LineName::Engine).contains("limits.drain_ms"));
        assert!(!told(LineName::Lane).contains("limits.drain_ms"), "it does not reach so far");
    }
}
