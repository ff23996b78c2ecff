//! The locks of what is handed over between threads, where a model runs it under every schedule,
//! and the atomic numbers that stand beside them.
//!
//! Why not `std::sync` where they are used: the concurrency models compile those files once more,
//! with a scheduler's locks in the place of these (`tests/shuttle_gallery.rs`,
//! `tests/shuttle_barrier.rs`), so that threads are switched at every lock, and not only where the
//! world is reached.
//!
//! Invariant: these are the standard library's, and nothing else is here.

pub(crate) use std::{
    sync::{
        Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread_local,
};
