//! How a thread shares the processor with all others.
//!
//! Two kinds of threads meet on the same cores. Those that read requests, decode, decide, write the
//! audit and answer are awake for microseconds or a few milliseconds, several times per answer;
//! those that compute are, for as long as there is work. Under the system's defaults an answer that
//! is ready waits for the end of a network's time slice at each of its steps. So each kind tells
//! the system how long its slices should be (`sched_runtime` of `sched_setattr(2)`, Linux 6.12 and
//! newer): whoever asks for shorter slices takes the core at once from whoever asked for longer
//! ones, while it has not had more than its share.
//!
//! Nobody starves, which is why this is not the idle class (`SCHED_IDLE`): there, networks stand
//! still for as long as another program keeps the cores busy, and the system, which counts such a
//! thread as next to nothing, leaves two of them on one core beside an idle one.
//!
//! An operator who owns the machine can do better: a process that is started at real-time priority
//! (`CPUSchedulingPolicy=rr` of systemd, `chrt -r 2`) answers at that priority, and computes
//! beneath it. Slices are granted at the clock's tick and by interrupts between cores; real time is
//! not.
//!
//! Absent: everything but Linux, where all threads share alike. Older kernels ignore the slices;
//! there the lesser share of those that compute is all that lets others in.

/// Puts the calling thread, and all that it starts from now on, among those that answer.
pub fn answer() {
    system::share(system::ANSWERS);
}

/// Does `work` of some milliseconds on a thread that answers, and lets others that answer go first.
pub(crate) fn unhurried<T>(work: impl FnOnce() -> T) -> T {
    let _hurries = system::unhurried();
    work()
}

/// Puts the calling thread, and all that it starts from now on, among any other program's.
pub(crate) fn as_others_do() {
    system::share(system::OTHERS);
}

/// Puts the calling thread among those that compute: the `index`th of `threads`. Where there are as
/// many as the process has processors, each has its own, and none waits beside an idle one at the
/// barriers between the stages of a network.
pub(crate) fn compute(index: usize, threads: usize) {
    system::share(system::COMPUTES);
    system::own_processor(index, threads);
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the system is asked through a call that no library of ours wraps")]
mod system {
    use std::io;

    use libc::{SCHED_BATCH, SCHED_FIFO, SCHED_OTHER, SCHED_RR, sched_attr};
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// A kind of thread.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Kind {
        /// Its slice in nanoseconds; 0 for the system's own.
        pub(super) slice_ns: u64,
        /// How much nicer it is than whoever starts it.
        pub(super) nicer: i32,
        /// Whether it keeps a real-time priority.
        pub(super) in_real_time: bool,
    }

    /// The shortest slice that the system gives.
    pub(super) const ANSWERS: Kind = Kind { slice_ns: 100_000, nicer: 0, in_real_time: true };
    /// Longer than the system's own, and a third of the share of a thread that answers. Not the
    /// longest: a thread that yields gives up what is left of its slice, and those of the pool do
    /// before they sleep.
    pub(super) const COMPUTES: Kind = Kind { slice_ns: 10_000_000, nicer: 5, in_real_time: false };
    pub(super) const OTHERS: Kind = Kind { slice_ns: 0, nicer: 0, in_real_time: false };
    /// The nicest.
    const NICE_MAX: i32 = 19;

    /// Bytes of what the system says and is told of a thread.
    const ATTRIBUTES: u32 = size_of::<sched_attr>() as u32;

    /// Makes the calling thread one of `kind`. One of the idle class, or with deadlines of its own,
    /// is left as the operator wants it.
    pub(super) fn share(kind: Kind) {
        let told = attributes().and_then(|now| {
            let sched_nice = now.sched_nice.saturating_add(kind.nicer).min(NICE_MAX);
            let sched_runtime = kind.slice_ns;
            match i32::try_from(now.sched_policy) {
                Ok(SCHED_OTHER | SCHED_BATCH) => {
                    tell(&sched_attr { sched_nice, sched_runtime, ..now })
                }
                Ok(SCHED_FIFO | SCHED_RR) if !kind.in_real_time => {
                    let sched_policy = SCHED_OTHER.cast_unsigned();
                    let lower = sched_attr { sched_policy, sched_priority: 0, ..now };
                    tell(&sched_attr { sched_nice, sched_runtime, ..lower })
                }
                _ => Ok(()),
            }
        });
        if let Err(error) = told {
            tracing::warn!(%error, "a thread shares the processor evenly with all others");
        }
    }

    /// What the calling thread was before it was put behind others of its kind; it is that again
    /// when this is dropped.
    pub(super) struct Unhurried(Option<sched_attr>);

    /// Puts the calling thread behind others of its kind: with slices of the system's length, or
    /// one real-time priority lower, where there is a lower one.
    pub(super) fn unhurried() -> Unhurried {
        let lowered = attributes().and_then(|before| {
            let lower = match i32::try_from(before.sched_policy) {
                Ok(SCHED_OTHER | SCHED_BATCH) => sched_attr { sched_runtime: 0, ..before },
                Ok(SCHED_FIFO | SCHED_RR) if before.sched_priority > 1 => {
                    sched_attr { sched_priority: before.sched_priority - 1, ..before }
                }
                _ => return Ok(None),
            };
            tell(&lower).map(|()| Some(before))
        });
        Unhurried(lowered.unwrap_or_default())
    }

    impl Drop for Unhurried {
        fn drop(&mut self) {
            // Whom the system does not let up again (`LimitRTPRIO` of systemd) stays behind others.
            if let Some(Err(error)) = self.0.as_ref().map(tell) {
                tracing::debug!(%error, "a thread that answers stays behind others");
            }
        }
    }

    /// Binds the calling thread to one of the process's processors, where it has `threads` of them.
    pub(super) fn own_processor(index: usize, threads: usize) {
        let Ok(all) = sched_getaffinity(None) else { return };
        if all.count() as usize != threads {
            return;
        }
        let mut own = CpuSet::new();
        let mine = (0..CpuSet::MAX_CPU).filter(|&processor| all.is_set(processor)).nth(index);
        let Some(processor) = mine else { return };
        own.set(processor);
        if let Err(error) = sched_setaffinity(None, &own) {
            tracing::warn!(%error, processor, "a thread that computes has no processor of its own");
        }
    }

    /// How the calling thread shares the processor.
    pub(super) fn attributes() -> io::Result<sched_attr> {
        let mut now = sched_attr {
            size: ATTRIBUTES,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        // SAFETY: the system writes at most `ATTRIBUTES` bytes, the size of `now`, which holds
        // integers alone and is borrowed for the length of the call; thread 0 is the caller.
        let answered =
            unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, ATTRIBUTES, 0) };
        if answered == 0 { Ok(now) } else { Err(io::Error::last_os_error()) }
    }

    fn tell(attributes: &sched_attr) -> io::Result<()> {
        let attributes = sched_attr { size: ATTRIBUTES, ..*attributes };
        // SAFETY: the system reads `size` bytes, all of `attributes`, which outlives the call;
        // thread 0 is the caller.
        let answered =
            unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
        if answered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) const ANSWERS: () = ();
    pub(super) const COMPUTES: () = ();
    pub(super) const OTHERS: () = ();

    pub(super) fn share((): ()) {}
    pub(super) fn unhurried() {}
    pub(super) fn own_processor(_index: usize, _threads: usize) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use rustix::thread::sched_getaffinity;

    use super::{
        answer, as_others_do, compute,
        system::{ANSWERS, COMPUTES, attributes},
        unhurried,
    };

    /// Nice value, slice and number of processors of a thread of its own after `claim`, and of one
    /// that it starts.
    fn after(claim: fn()) -> [(i32, u64, u32); 2] {
        let held = || {
            let held = attributes().expect("a thread has them");
            let processors = sched_getaffinity(None).expect("a thread has some").count();
            (held.sched_nice, held.sched_runtime, processors)
        };
        thread::scope(|threads| {
            let claimed = threads.spawn(|| {
                claim();
                let child = thread::scope(|own| own.spawn(held).join().expect("no panic"));
                [held(), child]
            });
            claimed.join().expect("no panic")
        })
    }

    /// A kernel that knows no slices says zero, or the slice that all have.
    fn knows_slices() -> bool {
        after(|| {})[0].1 != after(answer)[0].1
    }

    #[test]
    fn whoever_answers_hands_it_down_and_whoever_computes_is_nicer_and_slower() {
        let [before, _] = after(|| {});
        let [answers, child] = after(answer);
        assert_eq!(answers, child, "what a thread starts shares as it does");
        assert_eq!((answers.0, answers.2), (before.0, before.2));
        let [computes, _] = after(|| compute(0, usize::MAX));
        assert_eq!(computes.0, (before.0 + COMPUTES.nicer).min(19));
        assert_eq!(computes.2, before.2, "more threads than processors: none has its own");
        let [others, _] = after(|| {
            answer();
            as_others_do();
        });
        if knows_slices() {
            assert_eq!((answers.1, computes.1), (ANSWERS.slice_ns, COMPUTES.slice_ns));
            assert_ne!(others.1, answers.1, "the system's own");
        }
    }

    #[test]
    fn work_that_takes_its_time_is_not_in_a_hurry_and_the_thread_is_again() {
        let slice = || attributes().expect("a thread has them").sched_runtime;
        let held = thread::scope(|threads| {
            let own = threads.spawn(|| {
                answer();
                let before = slice();
                (before, unhurried(slice), slice())
            });
            own.join().expect("no panic")
        });
        assert_eq!(held.0, held.2);
        assert!(!knows_slices() || held.1 > held.0, "{held:?}");
    }

    #[test]
    fn as_many_threads_as_processors_have_one_each() {
        let all = sched_getaffinity(None).expect("a thread has some").count() as usize;
        let held: Vec<_> = (0..all)
            .map(|index| {
                let own = move || {
                    compute(index, all);
                    sched_getaffinity(None).expect("a thread has one")
                };
                thread::scope(|threads| threads.spawn(own).join().expect("no panic"))
            })
            .collect();
        assert!(held.iter().all(|own| own.count() == 1));
        assert!((1..all).all(|index| held[index] != held[index - 1]), "not the same one twice");
    }
}
