//! Counts what this process holds on the heap, so that a bound on memory is measured and not
//! believed. Every test of this binary runs under it.

#![allow(unsafe_code, reason = "an allocator; it only counts and passes on")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What no file of a chip and no picture in it may take.
pub(crate) const BYTES_MAX: usize = 64 * 1024 * 1024;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    /// Bytes held by this thread, the most there were, and the largest allocation.
    static HELD: Cell<(isize, isize, isize)> = const { Cell::new((0, 0, 0)) };
}

fn count(change: isize) {
    let _gone = HELD.try_with(|held| {
        let (now, peak, largest) = held.get();
        let now = now + change;
        held.set((now, peak.max(now), largest.max(change)));
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local
// cell without a destructor, and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it moves, both are held.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Carries `act` out, and returns the most that it held at once on this thread.
pub(crate) fn peak_of<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        let (now, ..) = held.get();
        held.set((now, now, 0));
        now
    });
    let result = act();
    let peak = HELD.with(|held| held.get().1 - before);
    (result, usize::try_from(peak).unwrap_or(0))
}

/// Carries `act` out, and fails where one allocation is larger than the bound.
#[track_caller]
pub(crate) fn within<T>(act: impl FnOnce() -> T) -> T {
    let (result, _) = peak_of(act);
    let largest = HELD.with(|held| held.get().2);
    let most = BYTES_MAX.cast_signed();
    assert!(largest <= most, "{largest} bytes in one allocation, more than {most}");
    result
}

#[test]
fn the_count_sees_what_is_taken() {
    let (_, peak) = peak_of(|| vec![1_u8; 3 << 20].len());
    assert!((3 << 20..4 << 20).contains(&peak), "{peak}");
}
