//! Frame slots, shared out: a transaction takes all it needs at once, or waits until its deadline.
//!
//! Why not slot by slot: two verifications that hold half of their slots each would wait for one
//! another. Places are given back after the answer, when the frames are long zero, so a place held
//! means that a slot is free for it.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Slots that are not promised to anybody.
pub(super) struct Places {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// Places of one transaction; dropping it gives them back.
pub(super) struct Held<'a> {
    places: &'a Places,
    count: usize,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), given_back: Condvar::new() }
    }

    /// `count` places; `None` when they did not become free within `wait`.
    pub(super) fn take(&self, count: usize, wait: Duration) -> Option<Held<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = self
            .given_back
            .wait_timeout_while(free, wait, |free| *free < count)
            .unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(count)?;
        Some(Held { places: self, count })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.places.free.lock().unwrap_or_else(PoisonError::into_inner) += self.count;
        self.places.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing_and_given_back() {
        let places = Places::new(3);
        let held = places.take(2, Duration::ZERO).expect("free");
        assert!(places.take(2, Duration::from_millis(1)).is_none(), "one is left");
        drop(held);
        assert!(places.take(3, Duration::ZERO).is_some());
        std::thread::scope(|scope| {
            let held = places.take(3, Duration::ZERO).expect("free");
            let waiter = scope.spawn(|| places.take(1, Duration::from_secs(5)).is_some());
            drop(held);
            assert!(waiter.join().expect("no panic"));
        });
    }
}
