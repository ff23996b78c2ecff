//! Checkpoints: how many entries there are and the root of the tree over them, signed.
//!
//! The form is C2SP's `tlog-checkpoint` in a `signed-note`, which tools of transparency logs read:
//! ```text
//! gate-7.example/audit
//! 1204
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — gate-7.example/audit Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7…cTOAYQ8=
//! ```
//! Whoever kept one can prove later that nothing before it was changed, taken out or cut off.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::tree::Hash;
use crate::keys::signing::{PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verifies};

/// Ed25519, in the terms of `signed-note`.
const ED25519: u8 = 1;
/// Bytes of a key's id before its signature.
const ID_BYTES: usize = 4;
/// Longest checkpoint that is read, in bytes; ours have 200.
pub const CHECKPOINT_BYTES_MAX: usize = 4096;

/// Why a checkpoint does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It has another form.
    #[error("it is not a checkpoint: {0}")]
    Form(&'static str),
    /// It is of another log.
    #[error("it is the checkpoint of {held}, not of {expected}")]
    Origin {
        /// What it says.
        held: String,
        /// Which log it is held against.
        expected: String,
    },
    /// No signature on it is the key's.
    #[error("no signature on it verifies under {key}")]
    Signature {
        /// The key, as `signed-note` writes it.
        key: String,
    },
}

/// Who signs: the name of the log and its key.
pub struct Signer {
    name: String,
    key: SigningKey,
}

/// What verifies: a name and a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; PUBLIC_BYTES],
}

/// A state of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl Signer {
    /// A signer for the log called `name`, such as `gate-7.example/audit`. Spaces and `+` cannot
    /// stand in a note's name and become `-`.
    #[must_use]
    pub fn new(name: &str, key: SigningKey) -> Self {
        let name = name.replace(|c: char| c.is_whitespace() || c == '+', "-");
        Self { name, key }
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), public: *self.key.public() }
    }

    /// The checkpoint as a signed note.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = text(&self.name, checkpoint);
        let mut signature = self.verifier().id().to_vec();
        signature.extend(self.key.sign(text.as_bytes()));
        format!("{text}\n\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

fn text(name: &str, checkpoint: &Checkpoint) -> String {
    format!("{name}\n{}\n{}\n", checkpoint.size, STANDARD.encode(checkpoint.root))
}

impl VerifierKey {
    /// Reads `<name>+<id>+<key>`.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Form("a verifier key is <name>+<id>+<key>");
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong);
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong.clone())?;
        let Some((&ED25519, public)) = bytes.split_first() else { return Err(wrong) };
        let public = public.try_into().map_err(|_| wrong.clone())?;
        let held = Self { name: name.to_owned(), public };
        if held.id_hex() == id { Ok(held) } else { Err(wrong) }
    }

    /// Name of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; ID_BYTES] {
        let named = Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]);
        let hash: Hash = named.chain_update(self.public).finalize().into();
        *hash.first_chunk().expect("a hash has 32 bytes")
    }

    fn id_hex(&self) -> String {
        self.id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The checkpoint in a signed note, if this key signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        if note.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::Form("it is longer than any of ours"));
        }
        let (text, signatures) = note
            .split_once("\n\n")
            .ok_or(CheckpointError::Form("an empty line parts text and signatures"))?;
        let mut lines = text.lines();
        let origin = lines.next().unwrap_or_default();
        if origin != self.name {
            let (held, expected) = (origin.to_owned(), self.name.clone());
            return Err(CheckpointError::Origin { held, expected });
        }
        let size = lines.next().filter(|size| *size == "0" || !size.starts_with(['0', '+']));
        let size = size.and_then(|size| size.parse().ok());
        let size = size.ok_or(CheckpointError::Form("its second line is a size"))?;
        let root = lines.next().and_then(|root| STANDARD.decode(root).ok());
        let root: Option<Hash> = root.and_then(|root| root.try_into().ok());
        let root = root.ok_or(CheckpointError::Form("its third line is a hash in base64"))?;
        let signed = format!("{text}\n");
        let is_signed = signatures.lines().any(|line| self.signed(line, signed.as_bytes()));
        if !is_signed {
            return Err(CheckpointError::Signature { key: self.to_string() });
        }
        Ok(Checkpoint { size, root })
    }

    fn signed(&self, line: &str, text: &[u8]) -> bool {
        let Some(rest) = line.strip_prefix("\u{2014} ") else { return false };
        let Some((name, encoded)) = rest.split_once(' ') else { return false };
        let Ok(bytes) = STANDARD.decode(encoded) else { return false };
        let Some((id, signature)) = bytes.split_first_chunk() else { return false };
        let is_ours = name == self.name && *id == self.id() && signature.len() == SIGNATURE_BYTES;
        is_ours && verifies(&self.public, text, signature)
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![ED25519];
        key.extend(self.public);
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededEntropy;

    fn signer() -> Signer {
        let key = SigningKey::random(&SeededEntropy::new(7)).expect("a page can be locked");
        Signer::new("gate 7/audit", key)
    }

    #[test]
    fn a_note_opens_under_its_key_and_no_other() {
        let (signer, checkpoint) = (signer(), Checkpoint { size: 12, root: [9; 32] });
        let note = signer.sign(&checkpoint);
        assert!(note.starts_with("gate-7/audit\n12\nCQkJ"), "{note}");
        let verifier = VerifierKey::parse(&signer.verifier().to_string()).expect("its own form");
        assert_eq!(verifier.open(&note), Ok(checkpoint));
        let other = SigningKey::random(&SeededEntropy::new(8)).expect("a page can be locked");
        let other = Signer::new("gate 7/audit", other).verifier();
        assert!(matches!(other.open(&note), Err(CheckpointError::Signature { .. })));
        for changed in [note.replacen("12", "13", 1), note.replacen("CQkJ", "DQkJ", 1)] {
            assert!(matches!(verifier.open(&changed), Err(CheckpointError::Signature { .. })));
        }
        let foreign = note.replacen("gate-7", "gate-8", 1);
        assert!(matches!(verifier.open(&foreign), Err(CheckpointError::Origin { .. })));
        for broken in
            ["", "gate-7/audit\n", "gate-7/audit\n012\nCQ==\n\n", "gate-7/audit\n1\n!\n\n"]
        {
            assert!(verifier.open(broken).is_err(), "{broken}");
        }
    }
}
