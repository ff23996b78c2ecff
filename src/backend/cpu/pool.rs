//! A bounded set of compute threads, and the barrier between the stages of one run.
//!
//! A run wakes the threads once; each then walks through all stages, taking tasks off a counter,
//! and meets the others at a [`Barrier`] between stages. So a stage costs one barrier (about a
//! microsecond while all are awake) instead of a fork and a join. With one thread everything
//! happens on the caller. Between runs the threads sleep.
//!
//! A thread that waits at the barrier looks for the others for some ten or hundred microseconds, and
//! then sleeps until the last one wakes it: that one has lost its core to somebody, and nothing is
//! gained by looking on. It never yields. A yield gives up what is left of a thread's slice, which
//! is long where threads give way, and a system that holds it to that (Linux 6.17 and newer) lets it
//! run again only when the others have had as much.
//!
//! Threads that give way do so at once ([`share`]): a thread that wakes to read a request, to write
//! the audit or to answer takes their core, instead of waiting for the end of a time slice of some
//! milliseconds, several times per answer. A run loses the time that these take, and no more.

use std::{
    hint,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rayon::ThreadPool;

use super::search::{Bell, Crew};
use crate::{backend::Unavailable, limits::ENGINE_THREADS_MAX, share};

/// Looks at the stage before a waiting thread sleeps.
const SPINS: usize = 4_000;

/// The compute threads of one backend.
#[derive(Debug)]
pub(super) struct Pool {
    threads: Option<ThreadPool>,
    /// Callers of [`Pool::each`] that wait for the threads, or have them.
    callers: AtomicUsize,
}

impl Pool {
    /// `threads` threads, the caller's included where that is the only one; whether they give way
    /// to every other thread, which a caller's never does.
    pub(super) fn new(threads: usize, gives_way: bool) -> Result<Self, Unavailable> {
        let refused = |why: String| Unavailable { what: "cpu", why };
        if threads == 0 || threads > ENGINE_THREADS_MAX {
            return Err(refused(format!(
                "{threads} threads asked for; between 1 and {ENGINE_THREADS_MAX} are possible"
            )));
        }
        if threads == 1 && !gives_way {
            return Ok(Self { threads: None, callers: AtomicUsize::new(0) });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("compute-{index}"))
            .start_handler(move |index| {
                if gives_way {
                    share::compute(index, threads);
                }
            })
            .build()
            .map_err(|error| refused(format!("{threads} threads could not be started: {error}")))?;
        Ok(Self { threads: Some(pool), callers: AtomicUsize::new(0) })
    }

    /// Threads that compute.
    pub(super) fn threads(&self) -> usize {
        self.threads.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Calls `work` once on every thread, with its number, and returns when all are done.
    pub(super) fn each<F: Fn(usize) + Sync>(&self, work: F) {
        match &self.threads {
            None => work(0),
            Some(pool) => {
                self.callers.fetch_add(1, Ordering::Relaxed);
                let _leaving = Leaving(&self.callers);
                pool.broadcast(|context| work(context.index()));
            }
        }
    }
}

/// Counts a caller out, also when its work panicked.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crew for Pool {
    fn threads(&self) -> usize {
        Pool::threads(self)
    }

    fn each(&self, work: &(dyn Fn(usize) + Sync)) {
        Pool::each(self, work);
    }

    fn is_wanted(&self) -> bool {
        self.callers.load(Ordering::Relaxed) > 1
    }

    fn bell(&self) -> Arc<dyn Bell> {
        Arc::new(Chime::default())
    }
}

/// A bell of the system's.
#[derive(Default)]
struct Chime {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell for Chime {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let rung = self.changed.wait_while(rung, |rung| !*rung);
        *rung.unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// Keeps the threads of one run in step, and deals out the tasks of each stage.
#[derive(Debug)]
pub(super) struct Barrier {
    threads: usize,
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
        Self {
            threads,
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
        for _ in 0..SPINS {
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
            self.0.broken.store(true, Ordering::SeqCst);
            self.0.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_of_every_stage_is_done_once_and_in_order() {
        let pool = Pool::new(3, false).expect("three threads");
        let barrier = Barrier::new(pool.threads());
        let done: Vec<AtomicUsize> = (0..50 * 7).map(|_| AtomicUsize::new(0)).collect();
        pool.each(|thread| {
            for stage in 0..50 {
                barrier.tasks(thread, 7, |task| {
                    if stage > 0 {
                        let before = &done[(stage - 1) * 7..stage * 7];
                        assert!(before.iter().all(|one| one.load(Ordering::SeqCst) == 1));
                    }
                    done[stage * 7 + task].fetch_add(1, Ordering::SeqCst);
                });
                assert!(barrier.wait());
            }
        });
        assert!(done.iter().all(|one| one.load(Ordering::SeqCst) == 1));
    }

    #[test]
    fn a_panic_on_one_thread_frees_the_others() {
        let pool = Pool::new(2, false).expect("two threads");
        let barrier = Barrier::new(2);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.each(|thread| {
                let _hold = barrier.hold();
                assert!(thread != 0, "thread 0 fails");
                assert!(!barrier.wait(), "the barrier must not pass");
            });
        }));
        assert!(outcome.is_err());
    }

    /// Looks on until `count` threads sleep at `barrier`.
    fn see_asleep(barrier: &Barrier, count: usize) {
        while barrier.sleepers.load(Ordering::SeqCst) < count {
            thread::yield_now();
        }
    }

    #[test]
    fn whoever_comes_late_wakes_those_that_sleep() {
        let pool = Pool::new(3, false).expect("three threads");
        let barrier = Barrier::new(pool.threads());
        let stages = 60;
        let passed = AtomicUsize::new(0);
        pool.each(|thread| {
            let _hold = barrier.hold();
            for stage in 0..stages {
                // Each is late in its turn; in every fourth stage nobody is.
                if stage % 4 == thread {
                    see_asleep(&barrier, 2);
                }
                assert!(barrier.wait());
                passed.fetch_add(1, Ordering::SeqCst);
            }
        });
        assert_eq!(passed.into_inner(), 3 * stages);
        assert_eq!(barrier.sleepers.into_inner(), 0);
    }

    #[test]
    fn a_panic_wakes_those_that_sleep() {
        let pool = Pool::new(3, false).expect("three threads");
        let barrier = Barrier::new(pool.threads());
        let freed = AtomicUsize::new(0);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.each(|thread| {
                let _hold = barrier.hold();
                if thread == 0 {
                    see_asleep(&barrier, 2);
                    panic!("thread 0 fails");
                }
                assert!(!barrier.wait(), "the barrier must not pass");
                freed.fetch_add(1, Ordering::SeqCst);
            });
        }));
        assert!(outcome.is_err());
        assert_eq!(freed.into_inner(), 2);
    }

    #[test]
    fn zero_threads_and_too_many_are_refused() {
        assert!(Pool::new(0, false).is_err());
        assert!(Pool::new(ENGINE_THREADS_MAX + 1, false).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_that_give_way_are_nicer_than_others() {
        // Field 19 of proc_pid_stat(5); the name before it, in parentheses, may hold blanks.
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread has one");
            let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
            let nice = fields.split_whitespace().nth(16).expect("as many fields").to_owned();
            nice.parse::<i32>().expect("a number")
        };
        let own = nice();
        for threads in [1, 2] {
            let held = Mutex::new(Vec::new());
            let told = |_| held.lock().expect("no panic").push(nice());
            Pool::new(threads, true).expect("threads").each(told);
            let held = held.into_inner().expect("no panic");
            assert_eq!(held.len(), threads);
            assert!(held.iter().all(|&held| held > own || held == 19));
        }
        Pool::new(2, false).expect("threads").each(|_| assert_eq!(nice(), own));
        assert_eq!(nice(), own, "nor the caller");
    }
}
