//! The keys of holder templates: an issuing desk signs and seals, a gate verifies and opens.
//!
//! ```text
//! an issuer's key file, 112 bytes              a reader's key file, 112 bytes
//!   0   8  magic "PCULISSU"                      0   8  magic "PCULREAD"
//!   8   4  version, 1, little-endian             8   4  version, 1, little-endian
//!  12   4  zero                                 12   4  zero
//!  16  32  Ed25519 private key (seed)           16  32  Ed25519 public key
//!  48  32  sealing key, AES-256                 48  32  sealing key, AES-256
//!  80  32  SHA-256 of bytes 0 to 80             80  32  SHA-256 of bytes 0 to 80
//! ```
//! Both have mode 0600: the reader's holds the sealing key, without which a token that was lost or
//! photographed is noise. A gate has the reader's alone, and can issue nothing.
//!
//! Invariant: a private key is expanded only while it signs, and the stack that did it is wiped.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    fmt, fs,
    io::{self, Read, Write},
    path::Path,
};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::{
    keys::{
        aead::leaving_no_trace,
        custodian::vault::{VaultError, create_owned, open_owned},
        memory::{KEY_BYTES, Key, LockError, LockedBytes},
    },
    random::Entropy,
};

/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 64;

const ISSUER_MAGIC: &[u8; 8] = b"PCULISSU";
const READER_MAGIC: &[u8; 8] = b"PCULREAD";
const VERSION: u32 = 1;

const VERSION_AT: usize = ISSUER_MAGIC.len();
const ZERO_AT: usize = VERSION_AT + 4;
const SIGNING_AT: usize = ZERO_AT + 4;
const SEALING_AT: usize = SIGNING_AT + KEY_BYTES;
const HASH_AT: usize = SEALING_AT + KEY_BYTES;
/// Bytes of either key file.
const FILE_BYTES: usize = HASH_AT + 32;
const _: () = assert!(FILE_BYTES == 112, "as the picture has it");

/// Why an issuer's or a reader's key file is not usable. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It is not there, cannot be read or written, or others can read it.
    #[error("{path} {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// It is not what it should be.
    #[error("{path} is no {what} key file of version {VERSION}: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// `issuer` or `reader`.
        what: &'static str,
        /// What does not fit.
        why: &'static str,
    },
    /// No locked memory for it.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// Which issuer: the first eight bytes of its public key's SHA-256, safe to print and to log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId([u8; 8]);

impl IssuerId {
    fn of(public: &[u8; KEY_BYTES]) -> Self {
        let hash = Sha256::digest(public);
        Self(*hash.first_chunk().expect("a hash has 32 bytes"))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an issuing desk has: it signs and seals.
///
/// ```compile_fail
/// fn leak(key: &portcullis::keys::holder::IssuerKey) -> String {
///     format!("{key:?}")
/// }
/// ```
pub struct IssuerKey {
    signing: Key,
    sealing: Key,
    public: [u8; KEY_BYTES],
}

/// What a gate has: it opens and verifies, and can issue nothing.
///
/// ```compile_fail
/// fn leak(key: &portcullis::keys::holder::ReaderKey) -> String {
///     format!("{key:?}")
/// }
/// ```
pub struct ReaderKey {
    public: [u8; KEY_BYTES],
    sealing: Key,
}

impl IssuerKey {
    /// A fresh issuer.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn random(entropy: &dyn Entropy) -> Result<Self, LockError> {
        Ok(Self::of(Key::random(entropy)?, Key::random(entropy)?))
    }

    fn of(signing: Key, sealing: Key) -> Self {
        let public = with_pair(&signing, |pair| {
            let public = pair.public_key().as_ref();
            public.try_into().expect("an Ed25519 public key has 32 bytes")
        });
        Self { signing, sealing, public }
    }

    /// Reads an issuer's key file.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn read(path: &Path) -> Result<Self, IssuerError> {
        let (signing, sealing) = read(path, ISSUER_MAGIC, "issuer")?;
        Ok(Self::of(signing, sealing))
    }

    /// Writes a new key file of mode 0600, durably.
    ///
    /// # Errors
    /// [`IssuerError::File`]; a file that exists is never overwritten.
    pub fn write(&self, path: &Path) -> Result<(), IssuerError> {
        write(path, ISSUER_MAGIC, self.signing.expose(), self.sealing.expose())
    }

    /// Which issuer this is.
    #[must_use]
    pub fn id(&self) -> IssuerId {
        IssuerId::of(&self.public)
    }

    /// What a gate needs to read this issuer's tokens.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn reader(&self) -> Result<ReaderKey, LockError> {
        Ok(ReaderKey { public: self.public, sealing: twin(&self.sealing)? })
    }

    /// Who this is and what it can do, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "issuer {}: signs and seals holder templates; keep it where they are issued",
            self.id()
        )
    }

    pub(super) fn sealing(&self) -> &Key {
        &self.sealing
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        with_pair(&self.signing, |pair| {
            let signature = pair.sign(text);
            signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
        })
    }
}

impl ReaderKey {
    /// Reads a reader's key file.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn read(path: &Path) -> Result<Self, IssuerError> {
        let (public, sealing) = read(path, READER_MAGIC, "reader")?;
        Ok(Self { public: *public.expose(), sealing })
    }

    /// Writes a new key file of mode 0600, durably.
    ///
    /// # Errors
    /// [`IssuerError::File`]; a file that exists is never overwritten.
    pub fn write(&self, path: &Path) -> Result<(), IssuerError> {
        write(path, READER_MAGIC, &self.public, self.sealing.expose())
    }

    /// Whose tokens it reads.
    #[must_use]
    pub fn id(&self) -> IssuerId {
        IssuerId::of(&self.public)
    }

    /// Who this is and what it can do, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("reader of issuer {}: opens and verifies holder templates, issues none", self.id())
    }

    pub(super) fn sealing(&self) -> &Key {
        &self.sealing
    }

    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text, signature).is_ok()
    }
}

/// A second owner of the same key, for the other role.
fn twin(key: &Key) -> Result<Key, LockError> {
    Key::filled(|place| {
        place.copy_from_slice(key.expose());
        Ok(())
    })
}

fn with_pair<T>(signing: &Key, use_it: impl FnOnce(&Ed25519KeyPair) -> T) -> T {
    leaving_no_trace(|| {
        let pair = Ed25519KeyPair::from_seed_unchecked(signing.expose());
        use_it(&pair.expect("an Ed25519 seed is any 32 bytes"))
    })
}

fn write(
    path: &Path,
    magic: &[u8; 8],
    signing: &[u8; KEY_BYTES],
    sealing: &[u8; KEY_BYTES],
) -> Result<(), IssuerError> {
    let mut bytes = LockedBytes::zeroed(FILE_BYTES)?;
    bytes[..VERSION_AT].copy_from_slice(magic);
    bytes[VERSION_AT..ZERO_AT].copy_from_slice(&VERSION.to_le_bytes());
    bytes[SIGNING_AT..SEALING_AT].copy_from_slice(signing);
    bytes[SEALING_AT..HASH_AT].copy_from_slice(sealing);
    let hash = Sha256::digest(&bytes[..HASH_AT]);
    bytes[HASH_AT..].copy_from_slice(&hash);
    let written = create_owned(path).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    written.map_err(|error: io::Error| {
        let why = format!("cannot be written: {error}; a key file is never written over");
        IssuerError::File { path: path.display().to_string(), why }
    })
}

fn read(path: &Path, magic: &[u8; 8], what: &'static str) -> Result<(Key, Key), IssuerError> {
    let shown = || path.display().to_string();
    let refuse = |why: String| IssuerError::File { path: shown(), why };
    let opened = open_owned(path, false).map_err(|error| match error {
        VaultError::Io(error) => refuse(format!("cannot be read: {error}")),
        error => refuse(format!(
            "{error}: a key file has mode 0600 and belongs to the user who reads it"
        )),
    })?;
    let mut file = opened.ok_or_else(|| refuse("does not exist".to_owned()))?;
    let mut bytes = LockedBytes::zeroed(FILE_BYTES)?;
    let unread = |error: io::Error| refuse(format!("cannot be read: {error}"));
    file.read_exact(&mut bytes).map_err(unread)?;
    let rest = file.read(&mut [0]).map_err(unread)?;
    decode(&bytes, magic)
        .and_then(|keys| if rest == 0 { Ok(keys) } else { Err("it is too long") })
        .map_err(|why| IssuerError::Damaged { path: shown(), what, why })
        .and_then(|(signing, sealing)| Ok((key(signing)?, key(sealing)?)))
}

/// The two keys of a key file.
fn decode<'a>(bytes: &'a [u8], magic: &[u8; 8]) -> Result<(&'a [u8], &'a [u8]), &'static str> {
    if !bytes.starts_with(magic) {
        return Err("its first eight bytes are another file's");
    }
    if Sha256::digest(&bytes[..HASH_AT])[..] != bytes[HASH_AT..] {
        return Err("it is damaged");
    }
    if bytes[VERSION_AT..ZERO_AT] != VERSION.to_le_bytes() || bytes[ZERO_AT..SIGNING_AT] != [0; 4] {
        return Err("it is of another version");
    }
    Ok((&bytes[SIGNING_AT..SEALING_AT], &bytes[SEALING_AT..HASH_AT]))
}

fn key(bytes: &[u8]) -> Result<Key, LockError> {
    Key::filled(|place| {
        place.copy_from_slice(bytes);
        Ok(())
    })
}
