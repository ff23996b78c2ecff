//! How the gallery uses the cipher suite: a key that is used once, subkeys, and the superblock's
//! stamp.
//!
//! Invariant: [`seal`] is only ever given a key that was drawn for this one message, so that its
//! nonce can be zero; no key of the gallery is left on the stack.

use std::hint::black_box;

use ring::{
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac,
};
use zeroize::{Zeroize, Zeroizing};

use crate::keys::aead;

pub(super) use crate::keys::aead::TAG_BYTES;

/// Bytes of stack that are wiped: an unoptimised build uses most of it, an optimised one little.
const STACK_BYTES: usize = 32 * 1024;
const NONCE: [u8; aead::NONCE_BYTES] = [0; aead::NONCE_BYTES];

/// Seals `bytes` in place under a key of one use, and adds the tag.
pub(super) fn seal(key: &[u8; 32], bound: &[u8], bytes: &mut Vec<u8>) {
    let tag = aead::seal(key, &NONCE, bound, bytes);
    bytes.extend(tag);
}

/// Opens `bytes` in place; false, and `bytes` wiped, when they are not what was sealed.
pub(super) fn open(key: &[u8; 32], bound: &[u8], bytes: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
    aead::open(key, &NONCE, bound, bytes, tag).is_ok()
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

/// The subkey of `key` for `purpose`; a fresh `salt` makes it a fresh key.
#[inline(never)]
fn derive(key: &[u8; 32], salt: &[u8; 32], purpose: &[u8], subkey: &mut [u8; 32]) {
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(key);
    let filled = pseudorandom.expand(&[purpose], KeyBytes).and_then(|key| key.fill(subkey));
    filled.expect("HKDF gives up to 255 blocks");
}

/// Writes the key that seals the root written with `salt` into `subkey`: what is returned by value
/// may leave a copy where it was made.
pub(super) fn root_key(epoch_key: &[u8; 32], salt: &[u8; 32], subkey: &mut Zeroizing<[u8; 32]>) {
    derive(epoch_key, salt, b"portcullis gallery root", subkey);
    wipe_stack();
}

#[inline(never)]
fn stamp_key(epoch_key: &[u8; 32], salt: &[u8; 32]) -> hmac::Key {
    let mut subkey = Zeroizing::new([0; 32]);
    derive(epoch_key, salt, b"portcullis gallery superblock", &mut subkey);
    hmac::Key::new(hmac::HMAC_SHA256, &*subkey)
}

/// The superblock's stamp.
pub(super) fn stamp(epoch_key: &[u8; 32], salt: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let stamp = stamp_on_stack(epoch_key, salt, bytes);
    wipe_stack();
    stamp
}

#[inline(never)]
fn stamp_on_stack(epoch_key: &[u8; 32], salt: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let stamp = hmac::sign(&stamp_key(epoch_key, salt), bytes);
    stamp.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Whether `held` is the stamp of `bytes`, compared in constant time.
pub(super) fn is_stamped(
    epoch_key: &[u8; 32],
    salt: &[u8; 32],
    bytes: &[u8],
    held: &[u8; 32],
) -> bool {
    let is_stamped = is_stamped_on_stack(epoch_key, salt, bytes, held);
    wipe_stack();
    is_stamped
}

#[inline(never)]
fn is_stamped_on_stack(
    epoch_key: &[u8; 32],
    salt: &[u8; 32],
    bytes: &[u8],
    held: &[u8; 32],
) -> bool {
    hmac::verify(&stamp_key(epoch_key, salt), bytes, held).is_ok()
}

/// Zeroes the stack that the call before this one used, as [`aead`] does after a cipher: keyed
/// hashes keep their state there.
#[inline(never)]
fn wipe_stack() {
    let mut stack = [0_u8; STACK_BYTES];
    black_box(&mut stack).zeroize();
}
