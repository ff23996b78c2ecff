//! Which frames go together, and when they stop waiting for company.
//!
//! A batch closes when it is full, when the engine is idle and something waits, when the slack of
//! the most urgent frame is used up (what remains of its deadline is what remains to be done), or
//! when the oldest frame has waited [`BATCH_WAIT_US_MAX`]. Frames of several transactions share
//! one.
//!
//! Gate transactions go before enrolments: somebody stands at a gate. Within one priority it is
//! first come, first served, and nobody is overtaken. An enrolment that waits too long for that is
//! told so when its deadline passes ([`Batcher::over`]); it is never forgotten.

use std::collections::VecDeque;

use super::Priority;
use crate::limits::BATCH_WAIT_US_MAX;

/// A frame by name: which job, and which of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) ticket: u32,
    pub(super) sample: usize,
    pub(super) priority: Priority,
    /// Since when it waits.
    pub(super) since_us: u64,
    /// When it is worth nothing any more.
    pub(super) deadline_us: u64,
}

/// Frames that wait for one stage.
pub(super) struct Batcher {
    /// One row per priority, the more urgent one first.
    waiting: [VecDeque<Item>; Priority::ALL.len()],
}

impl Batcher {
    /// `places` frames of each priority can wait without allocation.
    pub(super) fn new(places: usize) -> Self {
        Self { waiting: Priority::ALL.map(|_| VecDeque::with_capacity(places)) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    pub(super) fn push(&mut self, item: Item) {
        self.waiting[item.priority as usize].push_back(item);
    }

    /// Moves the next batch of at most `most` frames into `batch`, which is empty, if it is time
    /// for one. `idle` says that the engine has nothing else to do; `rest_us` is about what a frame
    /// takes from here to its answer.
    pub(super) fn step(
        &mut self,
        now_us: u64,
        idle: bool,
        rest_us: u64,
        most: usize,
        batch: &mut Vec<Item>,
    ) {
        let held: usize = self.waiting.iter().map(VecDeque::len).sum();
        let presses = |item: &Item| {
            now_us.saturating_sub(item.since_us) >= BATCH_WAIT_US_MAX
                || item.deadline_us.saturating_sub(now_us) <= rest_us
        };
        if held == 0 || !(idle || held >= most || self.waiting.iter().flatten().any(presses)) {
            return;
        }
        for row in &mut self.waiting {
            let frames = row.len().min(most - batch.len());
            batch.extend(row.drain(..frames));
        }
    }

    /// Moves every frame that is worth nothing any more into `over`: its deadline has passed, or
    /// `is_given_up` says that nobody waits for it.
    pub(super) fn over(
        &mut self,
        now_us: u64,
        is_given_up: impl Fn(&Item) -> bool,
        over: &mut Vec<Item>,
    ) {
        for row in &mut self.waiting {
            row.retain(|item| {
                let is_over = now_us >= item.deadline_us || is_given_up(item);
                if is_over {
                    over.push(*item);
                }
                !is_over
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 3;
    const REST_US: u64 = 500;

    fn item(ticket: u32, priority: Priority) -> Item {
        let since_us = 1_000 + u64::from(ticket);
        Item { ticket, sample: 0, priority, since_us, deadline_us: 1_000_000 }
    }

    fn batcher(waiting: u32) -> Batcher {
        let mut batcher = Batcher::new(8);
        (0..waiting).for_each(|ticket| batcher.push(item(ticket, Priority::Gate)));
        batcher
    }

    fn closed(batcher: &mut Batcher, now_us: u64, idle: bool) -> Vec<u32> {
        let mut batch = Vec::new();
        batcher.step(now_us, idle, REST_US, MOST, &mut batch);
        batch.iter().map(|item| item.ticket).collect()
    }

    #[test]
    fn a_batch_closes_when_full_idle_or_old() {
        assert_eq!(closed(&mut batcher(0), 9_000_000, true), [0_u32; 0]);
        assert_eq!(closed(&mut batcher(2), 1_001, true), [0, 1]);
        assert_eq!(closed(&mut batcher(3), 1_002, false), [0, 1, 2]);
        assert_eq!(closed(&mut batcher(2), 999 + BATCH_WAIT_US_MAX, false), [0_u32; 0]);
        assert_eq!(closed(&mut batcher(2), 1_000 + BATCH_WAIT_US_MAX, false), [0, 1]);
    }

    #[test]
    fn a_batch_closes_when_the_slack_of_its_most_urgent_frame_is_used_up() {
        let urgent = |deadline_us| {
            let mut batcher = batcher(1);
            batcher.push(Item { deadline_us, ..item(7, Priority::Enrolment) });
            batcher
        };
        assert_eq!(closed(&mut urgent(1_101 + REST_US), 1_100, false), [0_u32; 0]);
        assert_eq!(closed(&mut urgent(1_100 + REST_US), 1_100, false), [0, 7]);
    }

    #[test]
    fn gates_go_before_enrolments_and_nobody_is_overtaken_within_a_priority() {
        let mut batcher = Batcher::new(8);
        for (ticket, priority) in [
            (0, Priority::Enrolment),
            (1, Priority::Gate),
            (2, Priority::Enrolment),
            (3, Priority::Gate),
            (4, Priority::Gate),
            (5, Priority::Gate),
        ] {
            batcher.push(item(ticket, priority));
        }
        assert_eq!(closed(&mut batcher, 1_005, false), [1, 3, 4]);
        assert_eq!(closed(&mut batcher, 1_005, false), [5, 0, 2]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn what_does_not_fit_keeps_its_place() {
        let mut batcher = batcher(5);
        assert_eq!(closed(&mut batcher, 1_005, false), [0, 1, 2]);
        assert_eq!(closed(&mut batcher, 1_005, false), [0_u32; 0]);
        assert_eq!(closed(&mut batcher, 1_005, true), [3, 4]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn what_is_over_is_taken_out_wherever_it_waits() {
        let mut batcher = batcher(3);
        batcher.push(Item { deadline_us: 2_000, ..item(8, Priority::Enrolment) });
        let mut over = Vec::new();
        batcher.over(1_999, |_| false, &mut over);
        assert!(over.is_empty());
        batcher.over(2_000, |item| item.ticket == 1, &mut over);
        assert_eq!(over.iter().map(|item| item.ticket).collect::<Vec<_>>(), [1, 8]);
        assert_eq!(closed(&mut batcher, 2_001, true), [0, 2]);
    }
}
