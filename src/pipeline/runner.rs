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

/// A line's thread, and who tells that it has ended. Lanes have such threads, too.
pub(crate) struct Line {
    name: &'static str,
    thread: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl Line {
    /// Starts it.
    ///
    /// # Panics
    /// When the system cannot start a thread.
    pub(crate) fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Self {
        let (end, ended) = mpsc::channel();
        let body = move || {
            // Dropped when the thread ends, however it ends.
            let _end: mpsc::Sender<()> = end;
            body();
        };
        let named = Builder::new().name(name.into());
        let thread = named.spawn(body).expect("the system can start a thread");
        Self { name, thread, ended }
    }

    /// Whether all of them end within `patience_us` from now. Each is waited for, or let go of,
    /// also after one that hangs.
    pub(crate) fn all_end_within(
        lines: impl IntoIterator<Item = Self>,
        patience_us: u64,
        clock: &dyn Clock,
    ) -> bool {
        let until_us = clock.monotonic_us().saturating_add(patience_us);
        let ended = lines.into_iter().map(|line| line.ends_by(until_us, clock));
        ended.filter(|ended| !ended).count() == 0
    }

    /// Whether it ended before `until_us`. One that did not is left to itself: it hangs in a device
    /// or in the system, and the process is about to end.
    fn ends_by(self, until_us: u64, clock: &dyn Clock) -> bool {
        let patience = Duration::from_micros(until_us.saturating_sub(clock.monotonic_us()));
        let has_ended = self.ended.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout);
        if has_ended {
            // Lines catch their own panics; a thread that died all the same has nothing to tell.
            let _ = self.thread.join();
        } else {
            tracing::error!(line = self.name, "a device hangs; its line is left behind");
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
        let mut threads = vec![Line::spawn("engine", run_engine)];
        for parker in match_parkers {
            let (desk, line) = (Arc::clone(&desk), match_line.another());
            let back = engine.clone();
            let run = move || match_loop(&desk, line, &|| parker.park(), &|| back.unpark());
            threads.push(Line::spawn("match", run));
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
    /// What is not decided within `drain_ms` is answered as late. False when a line hangs in its
    /// engine and was left behind.
    pub fn stop(&self, drain_ms: u64) -> bool {
        self.desk.drain(drain_ms.saturating_mul(1_000));
        self.engine.unpark();
        self.matching.iter().for_each(Unparker::unpark);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let patience_us = drain_ms.saturating_add(DRAIN_GRACE_MS).saturating_mul(1_000);
        Line::all_end_within(threads, patience_us, self.desk.clock.as_ref())
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
