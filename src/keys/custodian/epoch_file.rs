//! The bytes of a key file; the picture stands in [`super::file`].
//!
//! Invariant: every bit of the file is under its hash, so that a flipped one is named as damage and
//! never becomes another key.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use sha2::{Digest, Sha256};

use super::{CustodyError, hex};
use crate::{
    keys::{
        aead::{self, NONCE_BYTES, TAG_BYTES},
        memory::{KEY_BYTES, Key},
    },
    random::Entropy,
};

const MAGIC: &[u8; 8] = b"PCULEKEY";
const VERSION: u32 = 1;
const PLAIN: u32 = 0;
const GUARDED: u32 = 1;

const VERSION_AT: usize = MAGIC.len();
const SEAL_AT: usize = VERSION_AT + 4;
const FILE_AT: usize = SEAL_AT + 4;
const EPOCH_AT: usize = FILE_AT + 16;
const NONCE_AT: usize = EPOCH_AT + 8;
const ZERO_AT: usize = NONCE_AT + NONCE_BYTES;
const KEY_AT: usize = ZERO_AT + 4;
const TAG_AT: usize = KEY_AT + KEY_BYTES;
const HASH_AT: usize = TAG_AT + TAG_BYTES;
/// Bytes of a key file.
pub(super) const EPOCH_FILE_BYTES: usize = HASH_AT + 32;
const _: () = assert!(HASH_AT == 104 && EPOCH_FILE_BYTES == 136, "as the picture has it");

/// Writes the file of `epoch`'s key into `bytes`, [`EPOCH_FILE_BYTES`] zeros.
pub(super) fn encode(
    bytes: &mut [u8],
    file: &[u8; 16],
    epoch: u64,
    key: &Key,
    guard: Option<&Key>,
    entropy: &dyn Entropy,
) {
    let seal = if guard.is_some() { GUARDED } else { PLAIN };
    bytes[..VERSION_AT].copy_from_slice(MAGIC);
    bytes[VERSION_AT..SEAL_AT].copy_from_slice(&VERSION.to_le_bytes());
    bytes[SEAL_AT..FILE_AT].copy_from_slice(&seal.to_le_bytes());
    bytes[FILE_AT..EPOCH_AT].copy_from_slice(file);
    bytes[EPOCH_AT..NONCE_AT].copy_from_slice(&epoch.to_le_bytes());
    bytes[KEY_AT..TAG_AT].copy_from_slice(key.expose());
    if let Some(guard) = guard {
        let (bound, rest) = bytes.split_at_mut(NONCE_AT);
        let (nonce, rest) = rest.split_first_chunk_mut::<NONCE_BYTES>().expect("a key file");
        entropy.fill(nonce);
        let (_, rest) = rest.split_at_mut(KEY_AT - ZERO_AT);
        let (key, rest) = rest.split_at_mut(KEY_BYTES);
        let tag = aead::seal(guard.expose(), nonce, bound, key);
        rest[..TAG_BYTES].copy_from_slice(&tag);
    }
    let hash = Sha256::digest(&bytes[..HASH_AT]);
    bytes[HASH_AT..].copy_from_slice(&hash);
}

/// The key in a key file; none if the file is blank.
pub(super) fn decode(
    bytes: &[u8],
    file: &[u8; 16],
    epoch: u64,
    guard: Option<&Key>,
    folder: impl Fn() -> String,
) -> Result<Option<Key>, CustodyError> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let damaged = |why: &str| CustodyError::Damaged {
        custodian: "file",
        file: hex(file),
        why: format!("the key file of epoch {epoch} {why}"),
    };
    if bytes.len() != EPOCH_FILE_BYTES || Sha256::digest(&bytes[..HASH_AT])[..] != bytes[HASH_AT..]
    {
        return Err(damaged("is torn or changed"));
    }
    if !bytes.starts_with(MAGIC) || bytes[VERSION_AT..SEAL_AT] != VERSION.to_le_bytes() {
        return Err(damaged("is of another version"));
    }
    if bytes[FILE_AT..EPOCH_AT] != file[..] || bytes[EPOCH_AT..NONCE_AT] != epoch.to_le_bytes() {
        return Err(damaged("is another epoch's or another gallery's"));
    }
    let seal: [u8; 4] = bytes[SEAL_AT..FILE_AT].try_into().expect("four bytes");
    let mismatch = |why| CustodyError::Passphrase { path: folder(), why };
    let guard = match (u32::from_le_bytes(seal), guard) {
        (PLAIN, None) => None,
        (GUARDED, Some(guard)) => Some(guard),
        (PLAIN, Some(_)) => return Err(mismatch("holds a key that is not under its passphrase")),
        (GUARDED, None) => return Err(mismatch("holds a key under a passphrase")),
        _ => return Err(damaged("is of another version")),
    };
    Key::filled(|place| {
        place.copy_from_slice(&bytes[KEY_AT..TAG_AT]);
        let Some(guard) = guard else { return Ok(()) };
        let fixed = "offsets of a key file lie inside it";
        let nonce = bytes[NONCE_AT..].first_chunk().expect(fixed);
        let tag = bytes[TAG_AT..].first_chunk().expect(fixed);
        aead::open(guard.expose(), nonce, &bytes[..NONCE_AT], place, tag)
            .map_err(|_| damaged("is sealed under another guard"))
    })
    .map(Some)
}
