//! What reaches a passage from other threads: a frame at the lane, a reply of the pipeline,
//! somebody who ends it.
//!
//! Invariant: nothing that is rung is lost, and what is rung after the passage ended is dropped
//! with the bell. Absent on purpose: a queue. A frame replaces a frame, one reply is awaited at a
//! time, and the first to end a transaction ends it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::machine::{Event, Told};
use crate::pipeline::Reply;

/// Wakes whoever turns the passage; a call before the sleep must not be lost.
pub type WakeUp = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Rung {
    told: Option<Told>,
    reply: Option<Box<Reply>>,
    frame: bool,
}

/// One passage's letter box.
pub struct Bell {
    rung: Mutex<Rung>,
    wake_up: WakeUp,
}

impl Bell {
    /// A bell that wakes by `wake_up`.
    #[must_use]
    pub fn new(wake_up: WakeUp) -> Self {
        Self { rung: Mutex::default(), wake_up }
    }

    /// A frame may wait at the lane.
    pub fn frame(&self) {
        self.rung().frame = true;
        (self.wake_up)();
    }

    /// The frame that was handed in has been judged.
    pub fn judged(&self, reply: Reply) {
        self.rung().reply = Some(Box::new(reply));
        (self.wake_up)();
    }

    /// Somebody ends it; who came first stands.
    pub fn tell(&self, told: Told) {
        self.rung().told.get_or_insert(told);
        (self.wake_up)();
    }

    /// What was rung, most urgent first; `None` when there is nothing.
    #[must_use]
    pub fn take(&self) -> Option<Event> {
        let mut rung = self.rung();
        if let Some(told) = rung.told.take() {
            return Some(Event::Told(told));
        }
        if let Some(reply) = rung.reply.take() {
            return Some(Event::Judged(reply));
        }
        std::mem::take(&mut rung.frame).then_some(Event::Frame)
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[test]
    fn the_urgent_comes_first_and_the_first_to_end_it_stands() {
        let woken = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&woken);
        let bell = Bell::new(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        bell.frame();
        bell.frame();
        bell.tell(Told::Left);
        bell.tell(Told::Cancel);
        assert_eq!(woken.load(Ordering::SeqCst), 4);
        assert!(matches!(bell.take(), Some(Event::Told(Told::Left))));
        assert!(matches!(bell.take(), Some(Event::Frame)));
        assert!(bell.take().is_none());
    }
}
