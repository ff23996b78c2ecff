//! Frame slots, shared out: a transaction takes all it needs at once, or waits until its deadline.
//!
//! Why not slot by slot: two verifications that hold half of their slots each would wait for one
//! another. Places are given back after the answer, when the frames are long zero, so a place held
//! means that a slot is free for it. Frames of lanes have slots of their own.
//!
//! Gates go before enrolments, and within one priority it is first come, first served: a
//! transaction that needs many places is not starved by those that need few.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::pipeline::Priority;

/// Slots that are not promised to anybody.
pub(super) struct Places {
    counter: Mutex<Counter>,
    changed: Condvar,
}

struct Counter {
    free: usize,
    /// Who waits, by priority; numbers in the order of their coming.
    waiting: [VecDeque<u64>; Priority::ALL.len()],
    next: u64,
}

impl Counter {
    /// Whether it is the turn of `number`, who needs `count` places.
    fn serves(&self, number: u64, count: usize) -> bool {
        let first = self.waiting.iter().find_map(VecDeque::front);
        first == Some(&number) && self.free >= count
    }
}

/// Places of one transaction; dropping it gives them back.
pub(super) struct Held<'a> {
    places: &'a Places,
    count: usize,
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        let counter = Counter { free: count, waiting: Default::default(), next: 0 };
        Self { counter: Mutex::new(counter), changed: Condvar::new() }
    }

    /// `count` places; `None` when they did not become free within `wait`.
    pub(super) fn take(
        &self,
        count: usize,
        priority: Priority,
        wait: Duration,
    ) -> Option<Held<'_>> {
        let mut counter = self.counter();
        let number = counter.next;
        counter.next += 1;
        counter.waiting[priority as usize].push_back(number);
        let (mut counter, _) = self
            .changed
            .wait_timeout_while(counter, wait, |counter| !counter.serves(number, count))
            .unwrap_or_else(PoisonError::into_inner);
        let served = counter.serves(number, count);
        counter.waiting[priority as usize].retain(|&waits| waits != number);
        if served {
            counter.free -= count;
        }
        drop(counter);
        // Whoever is next in line may be served by what is left.
        self.changed.notify_all();
        served.then_some(Held { places: self, count })
    }

    fn counter(&self) -> MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.places.counter().free += self.count;
        self.places.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    fn take(places: &Places, count: usize) -> Option<Held<'_>> {
        places.take(count, Priority::Gate, NOW)
    }

    #[test]
    fn all_or_nothing_and_given_back() {
        let places = Places::new(3);
        let held = take(&places, 2).expect("free");
        assert!(take(&places, 2).is_none(), "one is left");
        drop(held);
        assert!(take(&places, 3).is_some());
        std::thread::scope(|scope| {
            let held = take(&places, 3).expect("free");
            let waiter = scope.spawn(|| places.take(1, Priority::Gate, LONG).is_some());
            drop(held);
            assert!(waiter.join().expect("no panic"));
        });
    }

    #[test]
    fn whoever_came_first_is_served_first_and_gates_before_enrolments() {
        let places = Places::new(2);
        let (served, order) = mpsc::channel();
        std::thread::scope(|scope| {
            let held = take(&places, 2).expect("free");
            for (name, priority, count) in [
                ("enrolment", Priority::Enrolment, 1),
                ("large gate", Priority::Gate, 2),
                ("small gate", Priority::Gate, 2),
            ] {
                let before = places.counter().next;
                let (served, places) = (served.clone(), &places);
                scope.spawn(move || {
                    let held = places.take(count, priority, LONG).expect("it is their turn");
                    served.send(name).expect("heard");
                    drop(held);
                });
                while places.counter().next == before {
                    std::thread::yield_now();
                }
            }
            drop(held);
        });
        let order: Vec<_> = order.try_iter().collect();
        assert_eq!(order, ["large gate", "small gate", "enrolment"]);
    }
}
