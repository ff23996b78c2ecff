//! Which frames go together, and when they stop waiting for company.
//!
//! A batch closes when it is full, when the engine is idle and something waits, or when the oldest
//! frame has waited [`BATCH_WAIT_US_MAX`]. Frames of several transactions share one. First come,
//! first served: nobody is overtaken.

use std::collections::VecDeque;

use crate::limits::BATCH_WAIT_US_MAX;

/// A frame by name: which job, and which of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) ticket: u32,
    pub(super) sample: usize,
    /// Since when it waits.
    pub(super) since_us: u64,
}

/// Frames that wait for one stage.
pub(super) struct Batcher {
    waiting: VecDeque<Item>,
    most: usize,
}

impl Batcher {
    /// Batches of at most `most` frames; `places` can wait without allocation.
    pub(super) fn new(most: usize, places: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(places), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.waiting.push_back(item);
    }

    /// Moves the next batch into `batch`, which is empty, if it is time for one. `idle` says that
    /// the engine has nothing else to do.
    pub(super) fn step(&mut self, now_us: u64, idle: bool, batch: &mut Vec<Item>) {
        let Some(oldest) = self.waiting.front() else {
            return;
        };
        let waited_us = now_us.saturating_sub(oldest.since_us);
        if idle || self.waiting.len() >= self.most || waited_us >= BATCH_WAIT_US_MAX {
            let frames = self.waiting.len().min(self.most);
            batch.extend(self.waiting.drain(..frames));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batcher(waiting: u32) -> Batcher {
        let mut batcher = Batcher::new(3, 8);
        for ticket in 0..waiting {
            batcher.push(Item { ticket, sample: 0, since_us: 1_000 + u64::from(ticket) });
        }
        batcher
    }

    fn closed(batcher: &mut Batcher, now_us: u64, idle: bool) -> Vec<u32> {
        let mut batch = Vec::new();
        batcher.step(now_us, idle, &mut batch);
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
    fn what_does_not_fit_keeps_its_place() {
        let mut batcher = batcher(5);
        assert_eq!(closed(&mut batcher, 1_005, false), [0, 1, 2]);
        assert_eq!(closed(&mut batcher, 1_005, false), [0_u32; 0]);
        assert_eq!(closed(&mut batcher, 1_005, true), [3, 4]);
        assert!(batcher.is_empty());
    }
}
