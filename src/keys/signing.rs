//! The key that the audit's checkpoints are signed with, in a file of its own.
//!
//! ```text
//!   0   8  magic "PCAUDIT\0"
//!   8  32  Ed25519 private key (seed)
//!  40  32  SHA-256 of bytes 0 to 40
//! ```
//! Its mode is 0600. Whoever holds it can sign another history; keep it on another medium than the
//! audit, and the checkpoints that leave the machine (log, regulator) out of reach of both.
//!
//! Invariant: the private key is expanded only while it signs, and the stack that did it is wiped.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::{
    aead::leaving_no_trace,
    custodian::vault::{VaultError, create_owned, open_owned},
    memory::{KEY_BYTES, Key, LockError, LockedBytes},
};
use crate::random::Entropy;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of a public key.
pub const PUBLIC_BYTES: usize = 32;

const MAGIC: &[u8; 8] = b"PCAUDIT\0";
const SEED_AT: usize = MAGIC.len();
const HASH_AT: usize = SEED_AT + KEY_BYTES;
const FILE_BYTES: usize = HASH_AT + 32;

/// Why a signing key is not at hand. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file cannot be read or written, is damaged, or others can read it.
    #[error("the audit's signing key {path} {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// No locked memory for it.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// A key that signs.
pub struct SigningKey {
    seed: Key,
    public: [u8; PUBLIC_BYTES],
}

impl SigningKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn random(entropy: &dyn Entropy) -> Result<Self, LockError> {
        Ok(Self::of(Key::random(entropy)?))
    }

    fn of(seed: Key) -> Self {
        let public = with_pair(&seed, |pair| pair.public_key().as_ref().try_into());
        Self { seed, public: public.expect("an Ed25519 public key has 32 bytes") }
    }

    /// The key in `path`; where there is none, a fresh one is put there.
    ///
    /// # Errors
    /// [`SigningKeyError`]; a file that is there is never written over.
    pub fn at(path: &Path, entropy: &dyn Entropy) -> Result<Self, SigningKeyError> {
        if let Some(held) = read(path)? {
            return Ok(held);
        }
        let fresh = Self::random(entropy)?;
        fresh.write(path)?;
        Ok(fresh)
    }

    fn write(&self, path: &Path) -> Result<(), SigningKeyError> {
        let mut bytes = LockedBytes::zeroed(FILE_BYTES)?;
        bytes[..SEED_AT].copy_from_slice(MAGIC);
        bytes[SEED_AT..HASH_AT].copy_from_slice(self.seed.expose());
        let hash = Sha256::digest(&bytes[..HASH_AT]);
        bytes[HASH_AT..].copy_from_slice(&hash);
        let written = create_owned(path).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
        written.map_err(|error| refuse(path, format!("cannot be written: {error}")))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &[u8; PUBLIC_BYTES] {
        &self.public
    }

    /// The signature of `text`.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signed = with_pair(&self.seed, |pair| pair.sign(text));
        signed.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// Whether `signature` is that of `text` under `public`.
#[must_use]
pub fn verifies(public: &[u8; PUBLIC_BYTES], text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(text, signature).is_ok()
}

fn with_pair<T>(seed: &Key, use_it: impl FnOnce(&Ed25519KeyPair) -> T) -> T {
    leaving_no_trace(|| {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        use_it(&pair.expect("an Ed25519 seed is any 32 bytes"))
    })
}

fn refuse(path: &Path, why: String) -> SigningKeyError {
    SigningKeyError::File { path: path.display().to_string(), why }
}

fn read(path: &Path) -> Result<Option<SigningKey>, SigningKeyError> {
    let opened = open_owned(path, false).map_err(|error| match error {
        VaultError::Io(error) => refuse(path, format!("cannot be read: {error}")),
        error => refuse(path, format!("{error}: it has mode 0600 and its reader's owner")),
    })?;
    let Some(mut file) = opened else { return Ok(None) };
    let mut bytes = LockedBytes::zeroed(FILE_BYTES)?;
    let unread = |error: io::Error| refuse(path, format!("cannot be read: {error}"));
    file.read_exact(&mut bytes).map_err(unread)?;
    let is_longer = file.read(&mut [0]).map_err(unread)? > 0;
    let is_whole = Sha256::digest(&bytes[..HASH_AT])[..] == bytes[HASH_AT..];
    if is_longer || !is_whole || !bytes.starts_with(MAGIC) {
        return Err(refuse(path, "is damaged, or another file".to_owned()));
    }
    let seed = Key::filled(|place| {
        place.copy_from_slice(&bytes[SEED_AT..HASH_AT]);
        Ok::<(), LockError>(())
    })?;
    Ok(Some(SigningKey::of(seed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededEntropy;

    #[test]
    fn a_key_is_made_once_and_signs_what_its_public_half_verifies() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.key");
        let made = SigningKey::at(&path, &SeededEntropy::new(1)).expect("made");
        let read = SigningKey::at(&path, &SeededEntropy::new(2)).expect("read");
        assert_eq!(made.public(), read.public());
        let signature = read.sign(b"text");
        assert!(verifies(made.public(), b"text", &signature));
        assert!(!verifies(made.public(), b"texts", &signature));
        let mut bytes = fs::read(&path).expect("the file");
        bytes[20] ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert!(SigningKey::at(&path, &SeededEntropy::new(1)).is_err());
    }
}
