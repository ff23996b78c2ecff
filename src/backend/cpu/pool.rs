//! A bounded set of compute threads.
//!
//! A run wakes the threads once; each then walks through all stages, taking tasks off a counter,
//! and meets the others at a [`Barrier`](super::barrier::Barrier) between stages. With one thread
//! everything happens on the caller. Between runs the threads sleep.
//!
//! Threads that give way do so at once ([`share`]): a thread that wakes to read a request, to write
//! the audit or to answer takes their core, instead of waiting for the end of a time slice of some
//! milliseconds, several times per answer. A run loses the time that these take, and no more.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rayon::ThreadPool;

use super::search::{Bell, Crew};
use crate::{backend::Unavailable, limits::ENGINE_THREADS_MAX, share};

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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{super::barrier::Barrier, *};

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
        while barrier.asleep() < count {
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
        assert_eq!(barrier.asleep(), 0);
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
