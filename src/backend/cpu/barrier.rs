//! The barrier between the stages of one run.
//!
//! A stage costs one barrier (about a microsecond while all are awake) instead of a fork and a
//! join. A thread that waits looks for the others for some ten or hundred microseconds, and then
//! sleeps until the last one wakes it: that one has lost its core to somebody, and nothing is
//! gained by looking on. It never yields. A yield gives up what is left of a thread's slice, which
//! is long where threads give way ([`crate::share`]), and a system that holds it to that (Linux
//! 6.17 and newer) lets it run again only when the others have had as much.
//!
//! Invariant: nobody sleeps through the end of a stage, nor through a panic
//! (`tests/shuttle_barrier.rs`, which compiles this file once more).

use std::{
    hint,
    sync::{PoisonError, atomic::Ordering},
    thread,
};

use crate::sync::{AtomicBool, AtomicUsize, Condvar, Mutex};

/// Looks at the stage before a waiting thread sleeps.
const LOOKS: usize = 4_000;

/// Keeps the threads of one run in step, and deals out the tasks of each stage.
#[derive(Debug)]
pub(super) struct Barrier {
    threads: usize,
    /// Before who waits sleeps.
    looks: usize,
    arrived: AtomicUsize,
    stage: AtomicUsize,
    next_task: AtomicUsize,
    broken: AtomicBool,
    /// Threads that sleep, or are about to. Each counts itself in before it looks at the stage for
    /// the last time; whoever changes the stage looks here afterwards. Both are of one total order
    /// (`SeqCst`), so that one of the two sees the other.
    sleepers: AtomicUsize,
    /// Held from counting in to falling asleep.
    bed: Mutex<()>,
    woken: Condvar,
}

impl Barrier {
    /// For `threads` threads.
    pub(super) fn new(threads: usize) -> Self {
        Self::looking(threads, LOOKS)
    }

    /// For `threads` threads, each of which looks so many times before it sleeps.
    pub(super) fn looking(threads: usize, looks: usize) -> Self {
        Self {
            threads,
            looks,
            arrived: AtomicUsize::new(0),
            stage: AtomicUsize::new(0),
            next_task: AtomicUsize::new(threads),
            broken: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    /// Calls `work` with tasks of this stage as long as there are any of its `tasks`. A thread
    /// begins with the task of its own number, so that a band of rows stays in one core's cache
    /// from stage to stage, and then takes what nobody has begun.
    pub(super) fn tasks(&self, thread: usize, tasks: usize, mut work: impl FnMut(usize)) {
        let mut task = thread;
        while task < tasks {
            work(task);
            task = self.next_task.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when every thread has come here; `false` when one of them never will.
    pub(super) fn wait(&self) -> bool {
        let stage = self.stage.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.next_task.store(self.threads, Ordering::Relaxed);
            self.stage.store(stage.wrapping_add(1), Ordering::SeqCst);
            self.wake();
            return !self.broken.load(Ordering::Acquire);
        }
        for _ in 0..self.looks {
            if self.stage.load(Ordering::Acquire) != stage {
                return true;
            }
            if self.broken.load(Ordering::Acquire) {
                return false;
            }
            hint::spin_loop();
        }
        self.sleep(stage)
    }

    /// Sleeps until the stage is another; `false` when it never will be.
    #[cold]
    fn sleep(&self, stage: usize) -> bool {
        let is_over = || self.stage.load(Ordering::SeqCst) != stage;
        let is_awaited = |(): &mut ()| !is_over() && !self.broken.load(Ordering::SeqCst);
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let bed = self.woken.wait_while(bed, is_awaited);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        drop(bed);
        is_over()
    }

    /// Wakes who sleeps, after the stage has changed or will not; costs one load where nobody does.
    fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // Who counted itself in before the change has fallen asleep when this lock is free.
            drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
            self.woken.notify_all();
        }
    }

    /// Frees the threads that wait, now and from now on: the stage will not end.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Threads that sleep, or are about to.
    #[cfg(test)]
    pub(super) fn asleep(&self) -> usize {
        self.sleepers.load(Ordering::SeqCst)
    }

    /// A guard that, dropped by a panic, frees the threads that wait.
    pub(super) fn hold(&self) -> Hold<'_> {
        Hold(self)
    }
}

/// See [`Barrier::hold`].
pub(super) struct Hold<'a>(&'a Barrier);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.give_up();
        }
    }
}
