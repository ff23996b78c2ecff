//! What a person or an operator's file provides: a passphrase, a PIN. In locked memory, and never
//! an argument of the command line, which every user of a machine can read.

use std::{io::Read, path::Path};

use zeroize::Zeroize;

use super::{
    custodian::vault::{VaultError, open_owned},
    memory::{LockError, LockedBytes},
};

/// Longest phrase, in bytes.
const PHRASE_BYTES_MAX: usize = 1024;

/// Why a phrase is not usable. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum PhraseError {
    /// Nothing, or too much.
    #[error("a PIN or passphrase has 1 to {PHRASE_BYTES_MAX} bytes of text, this has {bytes}")]
    Length {
        /// Bytes given, line end not counted.
        bytes: usize,
    },
    /// Not text.
    #[error("a PIN or passphrase is text in UTF-8, and this is not")]
    NotText,
    /// The file is not there, cannot be read, or others can read it too.
    #[error("{path} {why}: keep the secret in a file of mode 0600 that this user owns")]
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

/// A passphrase or a PIN.
///
/// ```compile_fail
/// fn leak(phrase: &portcullis::keys::Phrase) -> String {
///     format!("{phrase:?}")
/// }
/// ```
/// ```compile_fail
/// fn copy(phrase: &portcullis::keys::Phrase) -> portcullis::keys::Phrase {
///     phrase.clone()
/// }
/// ```
pub struct Phrase(LockedBytes);

impl Phrase {
    /// Takes `text` over and wipes it. A line end at its end does not count.
    ///
    /// # Errors
    /// [`PhraseError`].
    pub fn take(mut text: String) -> Result<Self, PhraseError> {
        let taken = Self::of(text.as_bytes());
        text.zeroize();
        taken
    }

    /// Reads a file that only this user can read. A line end at its end does not count.
    ///
    /// # Errors
    /// [`PhraseError`].
    pub fn read(path: &Path) -> Result<Self, PhraseError> {
        let refuse = |why: String| PhraseError::File { path: path.display().to_string(), why };
        let opened = open_owned(path, false).map_err(|error| match error {
            VaultError::Io(error) => refuse(format!("cannot be read: {error}")),
            error => refuse(error.to_string()),
        })?;
        let mut file = opened.ok_or_else(|| refuse("does not exist".to_owned()))?;
        // One byte more than is allowed, and a line end of two.
        let mut bytes = LockedBytes::zeroed(PHRASE_BYTES_MAX + 3)?;
        let mut held = 0;
        while held < bytes.len() {
            let read = file.read(&mut bytes[held..]);
            match read.map_err(|error| refuse(format!("cannot be read: {error}")))? {
                0 => break,
                more => held += more,
            }
        }
        Self::of(&bytes[..held])
    }

    fn of(bytes: &[u8]) -> Result<Self, PhraseError> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !(1..=PHRASE_BYTES_MAX).contains(&line.len()) {
            return Err(PhraseError::Length { bytes: line.len() });
        }
        std::str::from_utf8(line).map_err(|_| PhraseError::NotText)?;
        let mut phrase = LockedBytes::zeroed(line.len())?;
        phrase.copy_from_slice(line);
        Ok(Self(phrase))
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it was taken")
    }
}
