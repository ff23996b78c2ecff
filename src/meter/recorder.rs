//! Latencies: counters in the geometry of an HDR histogram of three digits, one set per stage, lane
//! kind and group of threads, added up by whoever reads.
//!
//! A thread records into the sets of its own group with one relaxed addition; only more threads
//! than groups share one, and then they share additions, not a lock. The counters of a set are made
//! when its group first records it, so that series which never occur cost nothing.
//!
//! The histogram crate's own recorder hands whole histograms over a channel, and only when their
//! thread records again; what an idle thread has counted would be missing from every reading.
//!
//! The geometry (Tene's HdrHistogram): values below 2,048 µs have a counter each; above, every
//! doubling of the value has 1,024 counters, so that a value is known to one part in 1,024. Merged
//! counts become a [`Histogram`], which a test compares with one that recorded the values itself.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use hdrhistogram::Histogram;

use super::{LaneKind, Stage};

/// Longest latency that is told apart, in microseconds (one minute); what took longer counts as
/// that long.
pub const LATENCY_US_MAX: u64 = 60_000_000;

/// Values below it have a counter each.
const EXACT: u64 = 2_048;
/// Counters of each doubling above.
const HALF: usize = 1_024;
/// Counters of one set.
const COUNTERS: usize = index(LATENCY_US_MAX) + 1;
/// Groups of threads.
const GROUPS: usize = 8;
const SERIES: usize = Stage::ALL.len() * LaneKind::ALL.len();

/// The counter of a value.
const fn index(us: u64) -> usize {
    let doublings = (EXACT - 1).leading_zeros() - (us | (EXACT - 1)).leading_zeros();
    // At most 26 bits are left of a value within the maximum.
    (doublings as usize) * HALF + (us >> doublings) as usize
}

/// The largest value that a counter stands for, in microseconds.
pub(super) const fn highest_us(index: usize) -> u64 {
    if index < EXACT as usize {
        return index as u64;
    }
    let doublings = index / HALF - 1;
    let lowest = ((index - doublings * HALF) as u64) << doublings;
    lowest + (1 << doublings) - 1
}

/// Counters of one series and one group of threads.
struct Counters {
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Counters {
    fn new() -> Self {
        Self {
            counts: std::iter::repeat_with(AtomicU64::default).take(COUNTERS).collect(),
            sum_us: AtomicU64::new(0),
        }
    }
}

/// Every latency of the appliance.
pub(super) struct Recorder {
    /// Series by series, one per group.
    sets: Box<[[OnceLock<Counters>; GROUPS]]>,
}

impl Default for Recorder {
    fn default() -> Self {
        let series = || std::array::from_fn(|_| OnceLock::new());
        Self { sets: std::iter::repeat_with(series).take(SERIES).collect() }
    }
}

/// The group of this thread: threads are dealt out in the order in which they first record.
fn group() -> usize {
    static DEALT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<Option<usize>> = const { Cell::new(None) });
    // A thread that is being torn down has lost its own; the first group takes what it still says.
    let mine = MINE.try_with(|mine| {
        mine.get().unwrap_or_else(|| {
            let group = DEALT.fetch_add(1, Ordering::Relaxed) % GROUPS;
            mine.set(Some(group));
            group
        })
    });
    mine.unwrap_or(0)
}

fn series(stage: Stage, lane: LaneKind) -> usize {
    stage as usize * LaneKind::ALL.len() + lane as usize
}

impl Recorder {
    pub(super) fn record(&self, stage: Stage, lane: LaneKind, us: u64) {
        let us = us.min(LATENCY_US_MAX);
        let set = self.sets[series(stage, lane)][group()].get_or_init(Counters::new);
        set.sum_us.fetch_add(us, Ordering::Relaxed);
        set.counts[index(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// What all groups have recorded of a series by now.
    pub(super) fn merged(&self, stage: Stage, lane: LaneKind) -> Counts {
        let mut merged = Counts::default();
        let mut all: Vec<u64> = Vec::new();
        for set in self.sets[series(stage, lane)].iter().filter_map(OnceLock::get) {
            all.resize(COUNTERS, 0);
            for (sum, count) in all.iter_mut().zip(&set.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            merged.sum_us += set.sum_us.load(Ordering::Relaxed);
        }
        merged.held = (0_u32..).zip(all).filter(|(_, count)| *count > 0).collect();
        merged
    }
}

/// Merged counts: what was not zero, in order of the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    held: Vec<(u32, u64)>,
    pub(super) sum_us: u64,
}

impl Counts {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Values with how often they occurred, lowest first; a value is the largest of its counter.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.held.iter().map(|&(index, count)| (highest_us(index as usize), count))
    }

    /// How many values were at most `us`; the counter that `us` lies in counts as a whole.
    pub(super) fn up_to(&self, us: u64) -> u64 {
        let last = index(us.min(LATENCY_US_MAX));
        let below = self.held.iter().take_while(|(index, _)| *index as usize <= last);
        below.map(|(_, count)| count).sum()
    }

    /// What came after `earlier`, which was read before.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut old = earlier.held.iter().peekable();
        let newer = self.held.iter().filter_map(|&(index, count)| {
            while old.next_if(|(before, _)| *before < index).is_some() {}
            let seen = old.next_if(|(before, _)| *before == index).map_or(0, |&(_, seen)| seen);
            (count > seen).then_some((index, count.saturating_sub(seen)))
        });
        Self { held: newer.collect(), sum_us: self.sum_us.saturating_sub(earlier.sum_us) }
    }

    pub(super) fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (us, count) in self.iter() {
            histogram.saturating_record_n(us, count);
        }
    }
}

/// An empty histogram of the same geometry.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_US_MAX, 3).expect("three digits of a minute fit")
}
