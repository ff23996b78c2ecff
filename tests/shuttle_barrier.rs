//! A concurrency model of the barrier between the stages of a network: the product's own file, with
//! the scheduler's locks and atomic numbers, so that threads are switched at each of them. Those
//! that wait sleep at once, or after a look. A wake-up that got lost would end in a deadlock, which
//! the scheduler reports.
//!
//! What is absent: orders of memory weaker than the scheduler's, which has one order of everything.

#[path = "../src/backend/cpu/barrier.rs"]
#[allow(dead_code, reason = "the model uses a part of what the product uses")]
mod barrier;

/// In the place of `src/sync.rs`.
mod sync {
    pub(crate) use shuttle::sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize},
    };
}

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use barrier::Barrier;
use shuttle::thread;

const THREADS: usize = 3;
const STAGES: usize = 3;
/// Of a stage: one more than there are threads, so that somebody takes two.
const TASKS: usize = THREADS + 1;
const SCHEDULES: usize = 3_000;

/// Runs `work` on every thread, with its number.
fn on_every_thread(work: impl Fn(usize) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let work = Arc::clone(&work);
            thread::spawn(move || work(number))
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn every_stage_ends_for_everybody_and_no_task_is_done_twice() {
    for looks in [0, 1] {
        shuttle::check_random(
            move || {
                let barrier = Barrier::looking(THREADS, looks);
                let done: [AtomicUsize; STAGES] = Default::default();
                on_every_thread(move |number| {
                    for done in &done {
                        barrier.tasks(number, TASKS, |_| {
                            done.fetch_add(1, Ordering::SeqCst);
                        });
                        assert!(barrier.wait());
                        assert_eq!(done.load(Ordering::SeqCst), TASKS);
                    }
                });
            },
            SCHEDULES,
        );
    }
}

#[test]
fn who_gives_up_frees_everybody() {
    for looks in [0, 1] {
        shuttle::check_random(
            move || {
                let barrier = Barrier::looking(THREADS, looks);
                on_every_thread(move |number| {
                    if number == 0 {
                        assert!(barrier.wait());
                        barrier.give_up();
                    } else {
                        // Who leaves the first stage late may hear of it there.
                        let goes_on = barrier.wait() && barrier.wait();
                        assert!(!goes_on, "the second stage never ends");
                    }
                });
            },
            SCHEDULES,
        );
    }
}
