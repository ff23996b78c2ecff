//! Who keeps the key of a gallery's epoch, and can destroy it.
//!
//! A gallery's key tree is sealed under a key that the custodian wraps with the *epoch's* key. The
//! epoch's key never leaves the custodian, and nothing that outlives the epoch opens it: when it is
//! destroyed, every older copy of the gallery file is noise.
//!
//! A change of epoch is, in this order:
//! ```text
//!  custodian.prepare(stand)   durable: this stand may appear; makes the key of the new epoch
//!  custodian.wrap(...)        the new root under the epoch's key
//!  media: tiles, key tree, superblock, sync
//!  custodian.commit(stand)    this stand is the gallery's; older ones are rollbacks
//!  custodian.destroy(epoch)   the epoch before
//! ```
//! A change within an epoch needs no `prepare`: until it is committed it is not accepted.
//! A crash between any two of them leaves a gallery that opens at the committed or at the prepared
//! stand. Refusing any other stand is the gallery's work: it alone reads superblocks.
//!
//! Invariant: a custodian knows 16 bytes of a file's id, epochs and generations; never a template,
//! a subject, a path or a gallery's name.

mod epoch_file;
mod file;
mod guard;
mod memory;
mod pkcs11;
mod record;
#[cfg(test)]
pub(crate) mod refusing;
pub mod vault;
mod wrapped;

pub use file::FileCustodian;
pub use memory::MemoryCustodian;
pub use pkcs11::{Pkcs11Custodian, TokenAddress};

use super::memory::{Key, LockError};
use vault::{Lock, Vault, VaultError};
use wrapped::Kind;

/// Bytes of a wrapped key with every custodian.
pub const WRAPPED_BYTES: usize = 64;

/// Where a gallery stands: which epoch's key seals it, and how many changes it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Counts keys.
    pub epoch: u64,
    /// Counts changes; never goes back, also not over epochs.
    pub generation: u64,
}

/// What a custodian has recorded about one gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The newest stand whose superblock is known to be durable.
    pub committed: Option<Stand>,
    /// A stand that was announced and not committed: its superblock may be there or not.
    pub prepared: Option<Stand>,
}

/// What destroying a key with a custodian means, in words for a lawyer and an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodianDescription {
    /// `memory`, `file` or `pkcs11`.
    pub name: &'static str,
    /// Where the keys are.
    pub place: String,
    /// What no longer opens after an epoch's key was destroyed.
    pub covers: &'static str,
    /// What still does, or might; and what this custodian cannot detect.
    pub does_not_cover: &'static str,
}

/// Why a custodian did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// This custodian has never heard of the gallery.
    #[error(
        "the {custodian} custodian knows no gallery {file}: it was created with another custodian, \
         another key folder or another token, or it was deleted here; name what it was created \
         with in the configuration"
    )]
    UnknownGallery {
        /// Who was asked.
        custodian: &'static str,
        /// The gallery's file id.
        file: String,
    },
    /// The epoch's key is not there: destroyed, or never made.
    #[error(
        "the key of epoch {epoch} of gallery {file} does not exist with the {custodian} custodian: \
         where it was destroyed, what it sealed is gone for ever; where the key folder was moved or \
         restored in part, put all of it back"
    )]
    MissingKey {
        /// Who was asked.
        custodian: &'static str,
        /// The gallery's file id.
        file: String,
        /// The epoch.
        epoch: u64,
    },
    /// The epoch's key is there and does not open what was presented.
    #[error(
        "the key of epoch {epoch} of gallery {file} does not open this superblock: either is \
         damaged, or they belong to two galleries; restore the gallery and its keys as they were \
         at one moment"
    )]
    WrongKey {
        /// The gallery's file id.
        file: String,
        /// The epoch.
        epoch: u64,
    },
    /// The gallery is open already, from its file or from a copy of it.
    #[error(
        "gallery {file} is open in {} already, from this file or from a copy of it; a copy is the \
         same gallery and has the same keys, so that a change of the one would destroy the other: \
         stop that process, or use the file that it has open",
        vault::Holder(*pid)
    )]
    InUse {
        /// The gallery's file id.
        file: String,
        /// Who has it open, where the system tells.
        pid: Option<u32>,
    },
    /// The key was wrapped by another kind of custodian.
    #[error(
        "this gallery's key was wrapped by the {held} custodian and the {asked} custodian was \
         asked: name {held} in the configuration"
    )]
    WrongCustodian {
        /// Who was asked.
        asked: &'static str,
        /// Who wrapped it.
        held: &'static str,
    },
    /// What should be a wrapped key has another shape.
    #[error(
        "{bytes} bytes where the gallery's wrapped key should be are not one of a version that is \
         known here: the gallery is damaged, or a newer program wrote it; restore the gallery, or \
         use the program that wrote it"
    )]
    NotWrapped {
        /// Bytes presented.
        bytes: usize,
    },
    /// The stand is older than what is committed, or was never prepared.
    #[error(
        "gallery {file} cannot stand at epoch {}, generation {}: {why}; open the gallery again",
        stand.epoch, stand.generation
    )]
    OutOfOrder {
        /// The gallery's file id.
        file: String,
        /// The stand that was asked for.
        stand: Stand,
        /// What is in the way.
        why: &'static str,
    },
    /// The custodian's own record of a gallery cannot be read.
    #[error(
        "the record of gallery {file} with the {custodian} custodian is damaged ({why}): the \
         gallery cannot be told from an older copy of itself and is not opened; restore the \
         custodian's newest state"
    )]
    Damaged {
        /// Who was asked.
        custodian: &'static str,
        /// The gallery's file id.
        file: String,
        /// What does not fit.
        why: String,
    },
    /// A key file or its folder can be read by others, or belongs to somebody else.
    #[error(
        "{path} {why}: keys are kept with mode {want:04o} by user {user}; mend it, and ask who \
         read it"
    )]
    Permissions {
        /// The file or folder.
        path: String,
        /// What is wrong.
        why: String,
        /// The mode that is demanded.
        want: u32,
        /// The user that this process runs as.
        user: u32,
    },
    /// The passphrase does not open the key folder.
    #[error("the passphrase does not open the key folder {path}: mend the file that holds it")]
    PassphraseWrong {
        /// The folder.
        path: String,
    },
    /// The key folder is under a passphrase and none was given, or the other way about.
    #[error("the key folder {path} {why}")]
    Passphrase {
        /// The folder.
        path: String,
        /// What does not fit.
        why: &'static str,
    },
    /// The token or its library is not there, or has gone.
    #[error("the token {token} is not available: {why}")]
    TokenUnavailable {
        /// The token's label, or the library's path.
        token: String,
        /// What the library said, and what to do.
        why: String,
    },
    /// The token refused the PIN.
    #[error("the token {token} refused the PIN: {why}")]
    PinWrong {
        /// The token's label.
        token: String,
        /// How it stands with further tries.
        why: &'static str,
    },
    /// The token is there and refused an operation.
    #[error("the token {token} refused to {what}: {why}")]
    TokenRefused {
        /// The token's label.
        token: String,
        /// What it was asked for.
        what: &'static str,
        /// What it answered.
        why: String,
    },
    /// The disk did not do what it was asked to.
    #[error("{path} cannot be {what}: {why}; check its owner, its mode and the room on its disk")]
    Storage {
        /// The file.
        path: String,
        /// `read`, `written`, `synced`, …
        what: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
    /// No locked memory for a key.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// The right to change a gallery, held by one opening of it at a time.
#[must_use = "the gallery is anybody's again when this is dropped"]
pub struct Claim {
    _lock: Option<Lock>,
}

impl Claim {
    fn of(lock: Option<Lock>) -> Self {
        Self { _lock: lock }
    }
}

/// Keeps one key per gallery and epoch, and destroys it for ever.
pub trait Custodian: Send + Sync {
    /// Who this is, and what destruction by it covers.
    fn describe(&self) -> CustodianDescription;

    /// Takes `file` for one opening, for as long as the answer lives. A lock on the gallery's own
    /// file would not do: a copy of it is another file, and the same gallery with the same keys.
    /// What is not known here can be claimed, too; there is then nothing to lose.
    ///
    /// # Errors
    /// [`CustodyError::InUse`], and what the keeping place answers.
    fn claim(&self, file: &[u8; 16]) -> Result<Claim, CustodyError>;

    /// What is recorded about `file`; both fields are empty for a gallery that is not known here.
    ///
    /// # Errors
    /// [`CustodyError`]; a record that is there and cannot be read is an error, not an empty one.
    fn newest(&self, file: &[u8; 16]) -> Result<Standing, CustodyError>;

    /// Durably announces `stand`, before its superblock is written, and makes the epoch's key if it
    /// is new.
    ///
    /// # Errors
    /// [`CustodyError::OutOfOrder`] for an epoch or a generation before the committed one, and what
    /// the keeping place answers. The gallery must then write nothing.
    fn prepare(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError>;

    /// Records that `stand` is durable in the gallery file. Saying so twice is no error.
    ///
    /// # Errors
    /// [`CustodyError::OutOfOrder`] for a stand that was neither prepared nor follows the committed
    /// one within its epoch. Where the keeping place fails, a prepared stand remains prepared,
    /// which opens as well.
    fn commit(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError>;

    /// Wraps `key` under the epoch's key; `bound` must be presented again to unwrap. The result has
    /// [`WRAPPED_BYTES`] bytes with every custodian.
    ///
    /// # Errors
    /// [`CustodyError::MissingKey`] and what the keeping place answers.
    fn wrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        key: &Key,
        bound: &[u8],
    ) -> Result<Vec<u8>, CustodyError>;

    /// Opens what [`Custodian::wrap`] made.
    ///
    /// # Errors
    /// [`CustodyError::WrongCustodian`], [`CustodyError::UnknownGallery`],
    /// [`CustodyError::MissingKey`] and [`CustodyError::WrongKey`], in this order, and what the
    /// keeping place answers.
    fn unwrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        wrapped: &[u8],
        bound: &[u8],
    ) -> Result<Key, CustodyError>;

    /// Destroys the epoch's key for ever, and every older one that a crash may have left, but for
    /// the committed epoch's; when this returns they are gone. No error if they are not there. A
    /// gallery that was opened after a crash calls this for the epoch before its own, and for one
    /// that was announced and came to nothing.
    ///
    /// # Errors
    /// What the keeping place answers; the key must then be taken to exist, and destroying it again
    /// is right.
    fn destroy(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError>;

    /// Forgets a gallery altogether: its record and every key of it.
    ///
    /// # Errors
    /// As [`Custodian::destroy`].
    fn forget(&self, file: &[u8; 16]) -> Result<(), CustodyError>;
}

/// A file id as its owner reads it.
fn hex(file: &[u8; 16]) -> String {
    file.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unknown(kind: Kind, file: &[u8; 16]) -> CustodyError {
    CustodyError::UnknownGallery { custodian: kind.name(), file: hex(file) }
}

/// What a claim to `file` met.
fn claimed(
    file: &[u8; 16],
    lock: Result<Option<Lock>, VaultError>,
    failed: impl FnOnce(VaultError) -> CustodyError,
) -> Result<Claim, CustodyError> {
    match lock {
        Ok(lock) => Ok(Claim::of(lock)),
        Err(VaultError::InUse { pid }) => Err(CustodyError::InUse { file: hex(file), pid }),
        Err(error) => Err(failed(error)),
    }
}

fn storage(vault: &dyn Vault, name: &str, what: &'static str, error: VaultError) -> CustodyError {
    let path = vault.place();
    let path = if name.is_empty() { path } else { format!("{path}/{name}") };
    storage_at(path, what, error)
}

fn storage_at(path: String, what: &'static str, error: VaultError) -> CustodyError {
    match error {
        VaultError::Io(why) => CustodyError::Storage { path, what, why },
        error @ VaultError::InUse { .. } => {
            CustodyError::Storage { path, what, why: std::io::Error::other(error) }
        }
        VaultError::Exposed { why, want } => {
            CustodyError::Permissions { path, why, want, user: vault::user() }
        }
    }
}
