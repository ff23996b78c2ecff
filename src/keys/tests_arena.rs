//! The arena of keys, seen from outside: what it holds, and what is left where a key was.

use std::{fs::File, os::unix::fs::FileExt};

use super::{memory::KEY_BYTES, *};
use crate::random::SystemEntropy;

fn of(at: usize) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&(at as u64 + 1).to_le_bytes());
    key
}

#[test]
fn an_arena_keeps_its_keys_apart_grows_and_forgets() {
    let arena = KeyArena::new();
    let slots: Vec<_> = (0..1000).map(|at| arena.admit(&mut of(at)).expect("room")).collect();
    assert!(slots.iter().enumerate().all(|(at, slot)| *slot.expose() == of(at)));
    let locked = arena.locked_bytes();
    assert!((1000 * KEY_BYTES..16 * 4096).contains(&locked), "{locked}");
    // The arena lives on, and with it the memory in which they were.
    let places: Vec<usize> = slots.iter().map(|slot| slot.expose().as_ptr().addr()).collect();
    let memory = File::open("/proc/self/mem").expect("Linux");
    let read = |at: usize| {
        let mut bytes = [0xA5; KEY_BYTES];
        memory.read_exact_at(&mut bytes, at as u64).expect("mapped");
        bytes
    };
    assert_eq!(read(places[500]), of(500), "control: that is where it is");
    drop(slots);
    assert!(places.into_iter().all(|at| read(at) == [0; KEY_BYTES]));
    let again: Vec<_> = (0..1000).map(|at| arena.admit(&mut of(at)).expect("room")).collect();
    assert_eq!(arena.locked_bytes(), locked, "places are used again");
    assert_eq!(*again[999].expose(), of(999));
}

/// Two keys of one region, borrowed at once, wait for ever as soon as a third is let go between the
/// borrows. So every test that changes a gallery would find it, whatever the schedule.
#[test]
#[cfg(debug_assertions)]
fn a_thread_that_borrows_two_keys_at_once_is_told_before_it_can_hang() {
    let arena = KeyArena::new();
    let [a, b] = [(); 2].map(|()| arena.random(&SystemEntropy).expect("a key"));
    let second = |act: &dyn Fn()| {
        let held = a.expose();
        let act = std::panic::AssertUnwindSafe(act);
        let told = std::panic::catch_unwind(act).is_err();
        drop(held);
        told
    };
    assert!(second(&|| drop(b.expose())), "another borrow");
    assert!(second(&|| drop(arena.random(&SystemEntropy))), "a new key");
    assert_ne!(a.expose().to_vec(), [0; KEY_BYTES], "one after the other is the rule");
}
