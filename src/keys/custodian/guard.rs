//! The passphrase of a key folder: one file `guard.age`, made by the age crate's scrypt, holds a
//! random guard key; every key file is sealed under the guard key.
//!
//! Why not scrypt for each key file: it takes most of a second by design, and an erase makes a key.
//! The guard key outlives epochs and opens none of them: a destroyed epoch's key is nowhere, sealed
//! or plain.
//!
//! Invariant: the guard key is only in `guard.age`, sealed, and in locked memory.

use age::{
    DecryptError,
    scrypt::{Identity, Recipient},
    secrecy::SecretString,
};
use zeroize::Zeroize;

use super::{
    CustodyError,
    vault::{Contended, Vault},
};
use crate::{
    keys::{
        memory::{KEY_BYTES, Key},
        phrase::Phrase,
    },
    random::Entropy,
};

/// The guard's file.
pub(super) const NAME: &str = "guard.age";
/// What is locked while a guard is made: of two processes at their first start one makes it and the
/// other finds it. It stays, empty.
const LOCK_NAME: &str = "guard.lock";
/// scrypt with 2^17 blocks of 1 KiB: 128 MiB, a good half second on the machines of a gate.
const WORK_LOG2: u8 = 17;
/// The most work that a guard file may ask for: 2 GiB of memory.
const WORK_LOG2_MAX: u8 = 21;
/// Longest guard file; age's header and 32 bytes come to about 200.
const FILE_BYTES_MAX: usize = 1024;

/// What a guard file turned out to be.
enum Found {
    Nothing,
    Torn,
    Guard(Key),
}

/// The guard key of `vault`, made if this is a new folder; none for a folder without passphrase.
pub(super) fn open(
    vault: &dyn Vault,
    passphrase: Option<&Phrase>,
    entropy: &dyn Entropy,
) -> Result<Option<Key>, CustodyError> {
    let refuse = |why| CustodyError::Passphrase { path: vault.place(), why };
    let names = || vault.list().map_err(|error| super::storage(vault, "", "listed", error));
    let Some(passphrase) = passphrase else {
        return if names()?.iter().any(|name| name == NAME) {
            Err(refuse("is under a passphrase: name the file that holds it"))
        } else {
            Ok(None)
        };
    };
    if let Found::Guard(guard) = read(vault, passphrase)? {
        return Ok(Some(guard));
    }
    // Whoever makes a guard writes over what it takes for nothing, or for the rest of a crash: the
    // guard that another process is making just now must not be taken for either.
    let failed = |what| move |error| super::storage(vault, LOCK_NAME, what, error);
    vault.create(LOCK_NAME).map_err(failed("created"))?;
    let _alone = vault.lock(LOCK_NAME, Contended::Wait).map_err(failed("locked"))?;
    let is_new = !names()?.iter().any(|name| name != NAME && name != LOCK_NAME);
    match read(vault, passphrase)? {
        Found::Guard(guard) => Ok(Some(guard)),
        // A crash while the folder was set up; nothing was ever sealed under that guard.
        Found::Nothing | Found::Torn if is_new => make(vault, passphrase, entropy).map(Some),
        Found::Nothing => Err(refuse("holds keys that are not under a passphrase")),
        Found::Torn => {
            Err(refuse("has a damaged guard.age: its keys are lost without a copy of it"))
        }
    }
}

fn read(vault: &dyn Vault, passphrase: &Phrase) -> Result<Found, CustodyError> {
    let mut bytes = [0; FILE_BYTES_MAX];
    let read = vault.read(NAME, 0, &mut bytes);
    let held = read.map_err(|error| super::storage(vault, NAME, "read", error))?;
    let Some(held) = held else { return Ok(Found::Nothing) };
    let mut identity = Identity::new(secret(passphrase));
    identity.set_max_work_factor(WORK_LOG2_MAX);
    match age::decrypt(&identity, &bytes[..held]) {
        Ok(mut plain) => {
            let guard = <&mut [u8; KEY_BYTES]>::try_from(&mut plain[..]).map(Key::from_bytes);
            let found = guard.map_or(Ok(Found::Torn), |guard| guard.map(Found::Guard));
            plain.zeroize();
            Ok(found?)
        }
        Err(
            DecryptError::DecryptionFailed
            | DecryptError::KeyDecryptionFailed
            | DecryptError::NoMatchingKeys,
        ) => Err(CustodyError::PassphraseWrong { path: vault.place() }),
        Err(_) => Ok(Found::Torn),
    }
}

fn make(
    vault: &dyn Vault,
    passphrase: &Phrase,
    entropy: &dyn Entropy,
) -> Result<Key, CustodyError> {
    let guard = Key::random(entropy)?;
    let mut recipient = Recipient::new(secret(passphrase));
    recipient.set_work_factor(WORK_LOG2);
    let sealed = age::encrypt(&recipient, guard.expose()).expect("a writer in memory never fails");
    let failed = |what| move |error| super::storage(vault, NAME, what, error);
    // A torn one may be longer.
    vault.unlink(NAME).map_err(failed("removed"))?;
    vault.create(NAME).map_err(failed("created"))?;
    vault.write(NAME, 0, &sealed).map_err(failed("written"))?;
    vault.sync(NAME).map_err(failed("synced"))?;
    vault.sync_names().map_err(failed("synced"))?;
    Ok(guard)
}

fn secret(passphrase: &Phrase) -> SecretString {
    SecretString::from(passphrase.expose().to_owned())
}
