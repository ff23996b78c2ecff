//! A wrapped key: the same 64 bytes with every custodian, so that a superblock has room for any.
//!
//! ```text
//!   0   1  custodian: 1 memory, 2 file, 3 pkcs11
//!   1   1  version, 1
//!   2   2  zero
//!   4  12  nonce
//!  16  32  the key, AES-256-GCM under the epoch's key
//!  48  16  tag
//! ```
//! Bound to it: `"portcullis wrap 1"`, custodian, file id, epoch (8 bytes, little-endian), and
//! whatever the caller binds. All fields have fixed sizes but the last, so that no two contexts
//! give one text.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{CustodyError, WRAPPED_BYTES, hex};
use crate::{
    keys::{
        aead::{self, NONCE_BYTES, TAG_BYTES},
        memory::{KEY_BYTES, Key},
    },
    random::Entropy,
};

const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"portcullis wrap 1";

const NONCE_AT: usize = 4;
const KEY_AT: usize = NONCE_AT + NONCE_BYTES;
const TAG_AT: usize = KEY_AT + KEY_BYTES;
const _: () = assert!(TAG_AT + TAG_BYTES == WRAPPED_BYTES, "as the picture has it");

/// Which custodian wrapped a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory = 1,
    File = 2,
    Pkcs11 = 3,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Memory, Kind::File, Kind::Pkcs11];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Memory => "memory",
            Kind::File => "file",
            Kind::Pkcs11 => "pkcs11",
        }
    }
}

/// What a wrapped key belongs to.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) kind: Kind,
    pub(super) file: &'a [u8; 16],
    pub(super) epoch: u64,
    pub(super) bound: &'a [u8],
}

impl Context<'_> {
    /// What the cipher binds.
    pub(super) fn text(&self) -> Vec<u8> {
        let kind = [self.kind as u8];
        [DOMAIN, &kind, self.file, &self.epoch.to_le_bytes(), self.bound].concat()
    }

    pub(super) fn wrong_key(&self) -> CustodyError {
        CustodyError::WrongKey { file: hex(self.file), epoch: self.epoch }
    }

    pub(super) fn missing_key(&self) -> CustodyError {
        let custodian = self.kind.name();
        CustodyError::MissingKey { custodian, file: hex(self.file), epoch: self.epoch }
    }
}

/// The parts of a wrapped key.
pub(super) struct Parts<'a> {
    pub(super) nonce: &'a [u8; NONCE_BYTES],
    pub(super) sealed: &'a [u8; KEY_BYTES],
    pub(super) tag: &'a [u8; TAG_BYTES],
}

/// Takes a wrapped key apart; `kind` is who is asked.
pub(super) fn parts(kind: Kind, wrapped: &[u8]) -> Result<Parts<'_>, CustodyError> {
    let shapeless = CustodyError::NotWrapped { bytes: wrapped.len() };
    let Ok(wrapped) = <&[u8; WRAPPED_BYTES]>::try_from(wrapped) else { return Err(shapeless) };
    let held = Kind::ALL.into_iter().find(|kind| *kind as u8 == wrapped[0]);
    let (Some(held), [VERSION, 0, 0]) = (held, &wrapped[1..NONCE_AT]) else {
        return Err(shapeless);
    };
    if held != kind {
        return Err(CustodyError::WrongCustodian { asked: kind.name(), held: held.name() });
    }
    let fixed = "offsets of a wrapped key lie inside it";
    Ok(Parts {
        nonce: wrapped[NONCE_AT..].first_chunk().expect(fixed),
        sealed: wrapped[KEY_AT..].first_chunk().expect(fixed),
        tag: wrapped[TAG_AT..].first_chunk().expect(fixed),
    })
}

/// Puts a wrapped key together.
pub(super) fn whole(kind: Kind, nonce: &[u8; NONCE_BYTES], sealed: &[u8], tag: &[u8]) -> Vec<u8> {
    [&[kind as u8, VERSION, 0, 0], &nonce[..], sealed, tag].concat()
}

/// Wraps `key` under `epoch_key`.
pub(super) fn wrap(
    context: Context<'_>,
    epoch_key: &Key,
    key: &Key,
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    // Plain only until the next line, which seals it where it lies.
    let mut sealed = *key.expose();
    let tag = aead::seal(epoch_key.expose(), &nonce, &context.text(), &mut sealed);
    whole(context.kind, &nonce, &sealed, &tag)
}

/// Opens what [`wrap`] made.
pub(super) fn unwrap(
    context: Context<'_>,
    epoch_key: &Key,
    wrapped: &[u8],
) -> Result<Key, CustodyError> {
    let parts = parts(context.kind, wrapped)?;
    Key::filled(|place| {
        place.copy_from_slice(parts.sealed);
        aead::open(epoch_key.expose(), parts.nonce, &context.text(), place, parts.tag)
            .map_err(|_| context.wrong_key())
    })
}
