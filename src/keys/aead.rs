//! AES-256-GCM with the key left nowhere: ring's cipher over locked keys, and the stack that it
//! used wiped afterwards.
//!
//! Why this file: ring expands a key on the stack (the first round keys *are* the key) and does not
//! wipe it. A sweep of the process's memory would find a key there long after its slot was zeroed.
//!
//! Invariant: every use of a key by the gallery, the custodians and the holder's records goes
//! through here; after each call the stack below it holds no round key.

use std::hint::black_box;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use zeroize::Zeroize;

use super::memory::KEY_BYTES;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of stack that are wiped after each use of a key; the cipher uses a few hundred when
/// optimised, a few thousand when not.
const STACK_BYTES: usize = 8 * 1024;

/// As much for a signature, which takes more.
const DEEP_STACK_BYTES: usize = 32 * 1024;

/// A ciphertext, its nonce, its bound bytes or its key is not what it was when it was sealed; which
/// of them cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open under this key")]
pub struct NotOpened;

/// Seals `bytes` in place and returns the tag. A nonce must never meet the same key twice.
#[must_use]
pub fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    bound: &[u8],
    bytes: &mut [u8],
) -> [u8; TAG_BYTES] {
    let tag = seal_on_stack(key, nonce, bound, bytes);
    wipe_stack();
    tag
}

/// Opens `bytes` in place.
///
/// # Errors
/// [`NotOpened`]; `bytes` are then wiped.
pub fn open(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    bound: &[u8],
    bytes: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), NotOpened> {
    #[cfg(test)]
    tests::OPENED.set(tests::OPENED.get() + 1);
    let opened = open_on_stack(key, nonce, bound, bytes, tag);
    wipe_stack();
    if opened.is_err() {
        bytes.zeroize();
    }
    opened
}

fn cipher(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
}

#[inline(never)]
fn seal_on_stack(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    bound: &[u8],
    bytes: &mut [u8],
) -> [u8; TAG_BYTES] {
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let tag = cipher(key).seal_in_place_separate_tag(nonce, Aad::from(bound), bytes);
    let tag = tag.expect("nothing of ours is as long as GCM's limit of 64 GiB");
    tag.as_ref().try_into().expect("a tag has 16 bytes")
}

#[inline(never)]
fn open_on_stack(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    bound: &[u8],
    bytes: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), NotOpened> {
    let nonce = Nonce::assume_unique_for_key(*nonce);
    cipher(key)
        .open_in_place_separate_tag(nonce, Aad::from(bound), Tag::from(*tag), bytes, 0..)
        .map(|_| ())
        .map_err(|_| NotOpened)
}

/// Zeroes the stack where the call before this one stood: both are called from one frame and are
/// never inlined, so that they begin at the same place.
#[inline(never)]
fn wipe_stack() {
    let mut stack = [0_u8; STACK_BYTES];
    black_box(&mut stack).zeroize();
}

/// Runs `work`, which uses a secret through other people's code, and wipes the stack that it used,
/// as far as that is [`DEEP_STACK_BYTES`].
pub(super) fn leaving_no_trace<T>(work: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn at_work<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    #[inline(never)]
    fn wipe_deep_stack() {
        let mut stack = [0_u8; DEEP_STACK_BYTES];
        black_box(&mut stack).zeroize();
    }
    let done = at_work(work);
    wipe_deep_stack();
    done
}

#[cfg(test)]
pub(super) use tests::opened_by_this_thread;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs::File, os::unix::fs::FileExt};

    use super::*;
    use crate::{
        keys::Key,
        random::{Entropy, SystemEntropy},
    };

    thread_local! {
        pub(super) static OPENED: Cell<u64> = const { Cell::new(0) };
    }

    /// How often this thread has opened anything: the work that two answers are compared by.
    pub(in crate::keys) fn opened_by_this_thread() -> u64 {
        OPENED.get()
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let key = Key::random(&SystemEntropy).expect("a key");
        let (nonce, bound) = ([7; NONCE_BYTES], b"a gallery's file");
        let mut bytes = *b"a template";
        let tag = seal(key.expose(), &nonce, bound, &mut bytes);
        let sealed = bytes;
        open(key.expose(), &nonce, bound, &mut bytes, &tag).expect("opened");
        assert_eq!(&bytes, b"a template");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed;
            altered[bit / 8] ^= 1 << (bit % 8);
            let opened = open(key.expose(), &nonce, bound, &mut altered, &tag);
            assert_eq!((opened, altered), (Err(NotOpened), [0; 10]), "wiped");
        }
        let mut other = sealed;
        assert!(open(key.expose(), &nonce, b"another", &mut other, &tag).is_err());
    }

    /// How often the first 16 bytes of `masked` stand on this thread's stack below `here`.
    fn on_the_stack(masked: &[u8; 16], here: usize) -> usize {
        let memory = File::open("/proc/self/mem").expect("Linux");
        let mut window = vec![0; 64 * 1024];
        let from = here - window.len();
        memory.read_exact_at(&mut window, from as u64).expect("the stack was used this deep");
        let is_key =
            |window: &[u8]| window.iter().zip(masked).all(|(byte, masked)| byte ^ 0x5A == *masked);
        window.windows(16).filter(|window| is_key(window)).count()
    }

    /// Uses 64 KiB of stack, so that it can be read.
    #[inline(never)]
    fn deep() {
        black_box([1_u8; 96 * 1024]);
    }

    #[test]
    fn no_key_is_left_on_the_stack() {
        let key = Key::random(&SystemEntropy).expect("a key");
        let mut masked = [0; 16];
        for (masked, byte) in masked.iter_mut().zip(key.expose()) {
            *masked = byte ^ 0x5A;
        }
        let (mut bytes, nonce) = (vec![0; 100], [1; NONCE_BYTES]);
        SystemEntropy.fill(&mut bytes);
        deep();
        let mark = 0_u8;
        let here = std::ptr::from_ref(&mark).addr();
        let tag = black_box(seal_on_stack(key.expose(), &nonce, b"", &mut bytes));
        let control = on_the_stack(&masked, here);
        assert!(control > 0, "the sweep sees what the cipher alone leaves");
        wipe_stack();
        open(key.expose(), &nonce, b"", &mut bytes, &tag).expect("opened");
        assert_eq!(on_the_stack(&masked, here), 0);
    }
}
