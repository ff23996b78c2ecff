//! The custodian that is a token: a fresh, sensitive, non-extractable AES-256 object per epoch,
//! made on the token, used on the token, and removed with `C_DestroyObject`. The standing is a data
//! object on the same token, so that a disk that is put back does not put it back.
//!
//! ```text
//! objects of one gallery (CKA_TOKEN and CKA_PRIVATE are true for all)
//!   key       CKA_LABEL "portcullis epoch", CKA_ID = file id ‖ epoch (8 bytes, big-endian)
//!   standing  CKA_APPLICATION "portcullis", CKA_LABEL "portcullis standing <file id>",
//!             CKA_VALUE = one slot of `record`
//! ```
//! A standing is replaced by making the next one and destroying the last: whatever stops that
//! half-way, the whole one with the highest sequence is in force.
//!
//! Wrapping is AES-256-GCM on the token (`CKM_AES_GCM`), because it binds the context; key wrap by
//! RFC 3394 binds nothing. The nonce comes from the caller's entropy: 96 random bits under a key
//! that wraps once per change of an epoch.
//!
//! Invariant: no epoch key is ever outside the token, and a token whose new key is not *local*,
//! *sensitive* and *never extractable* is refused before the key is used.
//!
//! What is absent: C_Finalize. The library is one per process, and other custodians may use it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::{AuthPin, Ulong},
};
use zeroize::Zeroize;

use super::{
    Claim, Custodian, CustodianDescription, CustodyError, Stand, Standing, hex,
    record::Record,
    vault::{Contended, FolderVault, Vault, VaultError},
    wrapped::{self, Context, Kind},
};
use crate::{
    keys::{
        aead::{NONCE_BYTES, TAG_BYTES},
        memory::{KEY_BYTES, Key},
        phrase::Phrase,
    },
    random::Entropy,
};

const APPLICATION: &[u8] = b"portcullis";
const KEY_LABEL: &[u8] = b"portcullis epoch";
const KEY_BITS_OF_TAG: u64 = TAG_BYTES as u64 * 8;

/// Which token.
pub struct TokenAddress {
    /// The PKCS#11 library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub library: PathBuf,
    /// The token's label.
    pub label: String,
    /// A folder for the locks of galleries that are open: a token knows no processes. Whoever uses
    /// the token on this machine names the same one.
    pub locks: PathBuf,
}

/// Keeps epoch keys as objects on a PKCS#11 token.
pub struct Pkcs11Custodian {
    library: Pkcs11,
    label: String,
    locks: FolderVault,
    pin: Phrase,
    entropy: Arc<dyn Entropy>,
    session: Mutex<Option<Session>>,
    /// A PIN that was refused is not tried again: a token locks itself after a few tries.
    pin_refused: AtomicBool,
}

impl Pkcs11Custodian {
    /// Loads the library, finds the token and logs in, so that a wrong address or PIN is told at
    /// once. Makes the folder of the locks if it is not there.
    ///
    /// # Errors
    /// [`CustodyError::TokenUnavailable`], [`CustodyError::PinWrong`],
    /// [`CustodyError::TokenRefused`], and [`CustodyError::Permissions`] or
    /// [`CustodyError::Storage`] for the folder of the locks.
    pub fn open(
        address: &TokenAddress,
        pin: Phrase,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CustodyError> {
        let library = load(&address.library)?;
        let label = address.label.clone();
        let locks = FolderVault::open(&address.locks).map_err(|error| {
            super::storage_at(address.locks.display().to_string(), "opened", error)
        })?;
        let (session, pin_refused) = (Mutex::default(), AtomicBool::default());
        let opened = Self { library, label, locks, pin, entropy, session, pin_refused };
        opened.with_session("log in", |_| Ok(()))?;
        Ok(opened)
    }

    /// The slot of the one token that has the label.
    fn slot(&self) -> Result<(Slot, TokenInfo), CustodyError> {
        let gone = |why: &str| {
            let (token, why) = (self.label.clone(), why.to_owned());
            CustodyError::TokenUnavailable { token, why }
        };
        let slots = self.library.get_slots_with_initialized_token();
        let slots = slots.map_err(|error| self.failed("list its slots", &error))?;
        let mut found = slots.into_iter().filter_map(|slot| {
            let token = self.library.get_token_info(slot).ok()?;
            (token.label() == self.label).then_some((slot, token))
        });
        let first = found.next().ok_or_else(|| {
            gone("no slot holds a token of this label: insert it, or mend the label")
        })?;
        match found.next() {
            None => Ok(first),
            Some(_) => Err(gone("two slots hold tokens of this label: give one another")),
        }
    }

    fn log_in(&self) -> Result<Session, CustodyError> {
        const LOCKED: &str = "it is locked: the security officer must set a new one";
        const WRONG: &str = "mend the file that holds it and start again; it is not tried twice";
        const LAST: &str = "one more wrong try locks it; mend the file that holds it";
        if self.pin_refused.load(Ordering::Relaxed) {
            return Err(self.pin_wrong(WRONG));
        }
        let (slot, token) = self.slot()?;
        if token.user_pin_locked() {
            return Err(self.pin_wrong(LOCKED));
        }
        let session = self.library.open_rw_session(slot);
        let session = session.map_err(|error| self.failed("open a session", &error))?;
        let pin = AuthPin::from(self.pin.expose().to_owned());
        let error = match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok(session),
            Err(error) => error,
        };
        let Error::Pkcs11(code, _) = &error else { return Err(self.failed("log in", &error)) };
        Err(match code {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
                self.pin_refused.store(true, Ordering::Relaxed);
                let token = self.library.get_token_info(slot);
                let is_last = token.is_ok_and(|token| token.user_pin_final_try());
                self.pin_wrong(if is_last { LAST } else { WRONG })
            }
            RvError::PinLocked => self.pin_wrong(LOCKED),
            RvError::PinExpired => self.pin_wrong("it has expired: set a new one"),
            RvError::UserPinNotInitialized => self.pin_wrong("none was set: initialise it"),
            _ => self.failed("log in", &error),
        })
    }

    fn pin_wrong(&self, why: &'static str) -> CustodyError {
        CustodyError::PinWrong { token: self.label.clone(), why }
    }

    fn failed(&self, what: &'static str, error: &Error) -> CustodyError {
        let token = self.label.clone();
        if is_lost(error) {
            let why = format!("{error}; it is asked again with the next request");
            return CustodyError::TokenUnavailable { token, why };
        }
        CustodyError::TokenRefused { token, what, why: error.to_string() }
    }

    /// Lets `ask` use the session; if the session was lost (a token pulled and put back, a device
    /// that was reset), once more with a new one. What is asked must bear to be asked twice.
    fn with_session<T>(
        &self,
        what: &'static str,
        mut ask: impl FnMut(&Session) -> Result<T, Error>,
    ) -> Result<T, CustodyError> {
        let mut held = self.session();
        if let Some(session) = held.as_ref() {
            match ask(session) {
                Err(error) if is_lost(&error) => *held = None,
                answer => return answer.map_err(|error| self.failed(what, &error)),
            }
        }
        let session = held.insert(self.log_in()?);
        let answer = ask(session).map_err(|error| self.failed(what, &error));
        if matches!(answer, Err(CustodyError::TokenUnavailable { .. })) {
            *held = None;
        }
        answer
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The standing objects of a gallery, newest first.
    fn standings(
        &self,
        file: &[u8; 16],
    ) -> Result<Vec<(ObjectHandle, Option<Record>)>, CustodyError> {
        self.with_session("read a standing", |session| {
            let mut held = Vec::new();
            for object in session.find_objects(&standing_address(file))? {
                let value = session.get_attributes(object, &[AttributeType::Value])?;
                let record = value.iter().find_map(|attribute| match attribute {
                    Attribute::Value(bytes) => Record::decode(file, bytes),
                    _ => None,
                });
                held.push((object, record));
            }
            held.sort_by_key(|(_, record)| std::cmp::Reverse(record.map(|record| record.sequence)));
            Ok(held)
        })
    }

    fn record(&self, file: &[u8; 16]) -> Result<Option<Record>, CustodyError> {
        let held = self.standings(file)?;
        match held.first() {
            None => Ok(None),
            Some((_, Some(record))) => Ok(Some(*record)),
            Some((_, None)) => {
                let why = "the data object on the token is not a whole record".to_owned();
                Err(CustodyError::Damaged { custodian: Kind::Pkcs11.name(), file: hex(file), why })
            }
        }
    }

    fn put(&self, file: &[u8; 16], record: Record) -> Result<(), CustodyError> {
        let before = self.standings(file)?;
        let mut object = standing_address(file);
        object.extend([
            Attribute::Private(true),
            Attribute::Modifiable(false),
            Attribute::Value(record.encode(file).to_vec()),
        ]);
        self.with_session("write a standing", |session| session.create_object(&object))?;
        for (older, _) in before {
            self.with_session("replace a standing", |session| destroy(session, older))?;
        }
        Ok(())
    }

    fn key(&self, file: &[u8; 16], epoch: u64) -> Result<Option<ObjectHandle>, CustodyError> {
        self.with_session("find a key", |session| {
            Ok(session.find_objects(&key_address(file, epoch))?.first().copied())
        })
    }

    /// The key of the epoch, or why there is none.
    fn held_key(&self, context: Context<'_>) -> Result<ObjectHandle, CustodyError> {
        if let Some(key) = self.key(context.file, context.epoch)? {
            return Ok(key);
        }
        Err(self
            .record(context.file)?
            .map_or_else(|| super::unknown(Kind::Pkcs11, context.file), |_| context.missing_key()))
    }

    /// A fresh key on the token, looked at before it is used.
    fn make_key(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError> {
        self.destroy_where(file, |held| held == epoch)?;
        let mut template = key_address(file, epoch);
        template.extend([
            Attribute::ValueLen(Ulong::new(KEY_BYTES as u64)),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Modifiable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Sign(false),
            Attribute::Verify(false),
        ]);
        let (key, held) = self.with_session("make a key", |session| {
            let key = session.generate_key(&Mechanism::AesKeyGen, &template)?;
            let wanted = [
                AttributeType::Local,
                AttributeType::AlwaysSensitive,
                AttributeType::NeverExtractable,
            ];
            Ok((key, session.get_attributes(key, &wanted)?))
        })?;
        let wanted = [
            Attribute::Local(true),
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
        ];
        if wanted.iter().all(|wanted| held.contains(wanted)) {
            return Ok(());
        }
        self.with_session("destroy a key", |session| destroy(session, key))?;
        Err(CustodyError::TokenRefused {
            token: self.label.clone(),
            what: "make a key that never leaves it",
            why: format!("it answered {held:?}; use another token"),
        })
    }

    /// Destroys the key of a change that will not come back.
    fn give_up(&self, file: &[u8; 16], epoch: Option<u64>) -> Result<(), CustodyError> {
        epoch.map_or(Ok(()), |epoch| self.destroy_where(file, |held| held == epoch))
    }

    /// Destroys the keys of the epochs that `is_meant` names.
    fn destroy_where(
        &self,
        file: &[u8; 16],
        is_meant: impl Fn(u64) -> bool,
    ) -> Result<(), CustodyError> {
        self.with_session("destroy a key", |session| {
            let keys = session.find_objects(&any_key())?;
            for key in keys {
                let id = session.get_attributes(key, &[AttributeType::Id])?;
                let epoch = id.iter().find_map(|attribute| match attribute {
                    Attribute::Id(id) => epoch_of(file, id),
                    _ => None,
                });
                if epoch.is_some_and(&is_meant) {
                    destroy(session, key)?;
                }
            }
            Ok(())
        })
    }
}

/// The library, initialised once per process.
fn load(path: &Path) -> Result<Pkcs11, CustodyError> {
    let gone = |error: Error, hint: &str| CustodyError::TokenUnavailable {
        token: path.display().to_string(),
        why: format!("{error}; {hint}"),
    };
    let library = Pkcs11::new(path)
        .map_err(|error| gone(error, "install the token's PKCS#11 library, or mend its path"))?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(library),
        Err(error) => Err(gone(error, "see the library's own configuration and log")),
    }
}

/// Whether a new session may help.
fn is_lost(error: &Error) -> bool {
    use RvError::{
        CryptokiNotInitialized, DeviceError, DeviceRemoved, SessionClosed, SessionHandleInvalid,
        SlotIdInvalid, TokenNotPresent, UserNotLoggedIn,
    };
    matches!(
        error,
        Error::Pkcs11(
            CryptokiNotInitialized
                | DeviceError
                | DeviceRemoved
                | SessionClosed
                | SessionHandleInvalid
                | SlotIdInvalid
                | TokenNotPresent
                | UserNotLoggedIn,
            _
        )
    )
}

/// Whether the token says that a ciphertext does not open. There is a code for that, and SoftHSM
/// answers with the one for "some horrible, unrecoverable error" instead.
fn is_wrong_key(error: &Error) -> bool {
    use RvError::{EncryptedDataInvalid, EncryptedDataLenRange, GeneralError};
    matches!(error, Error::Pkcs11(EncryptedDataInvalid | EncryptedDataLenRange | GeneralError, _))
}

fn destroy(session: &Session, object: ObjectHandle) -> Result<(), Error> {
    match session.destroy_object(object) {
        Err(Error::Pkcs11(RvError::ObjectHandleInvalid, _)) => Ok(()),
        destroyed => destroyed,
    }
}

fn any_key() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(KEY_LABEL.to_vec()),
    ]
}

fn key_address(file: &[u8; 16], epoch: u64) -> Vec<Attribute> {
    let mut address = any_key();
    address.push(Attribute::Id([&file[..], &epoch.to_be_bytes()].concat()));
    address
}

/// The epoch in a key's identifier, if it is `file`'s.
fn epoch_of(file: &[u8; 16], id: &[u8]) -> Option<u64> {
    let epoch = id.strip_prefix(file)?;
    Some(u64::from_be_bytes(epoch.try_into().ok()?))
}

fn standing_address(file: &[u8; 16]) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Application(APPLICATION.to_vec()),
        Attribute::Label(format!("portcullis standing {}", hex(file)).into_bytes()),
    ]
}

fn lock_name(file: &[u8; 16]) -> String {
    format!("{}.lock", hex(file))
}

impl Custodian for Pkcs11Custodian {
    fn describe(&self) -> CustodianDescription {
        CustodianDescription {
            name: Kind::Pkcs11.name(),
            place: format!("token {}", self.label),
            covers: "A destroyed key's object is removed from the token, which alone ever held it: \
                     every copy of the gallery file that was sealed before is noise to everybody. \
                     The record of the gallery's stand is on the token too, so that an older copy \
                     of the gallery, or of the whole disk, is refused.",
            does_not_cover: "What the token itself lets an operator do: a token that can be backed \
                             up or cloned keeps its old keys in the backup, and a token made of \
                             software (SoftHSM) is files on a disk, to which all that is said of \
                             the file custodian applies. Whoever has the token and the PIN can use \
                             the keys that live.",
        }
    }

    fn claim(&self, file: &[u8; 16]) -> Result<Claim, CustodyError> {
        let name = lock_name(file);
        let failed = |error| super::storage(&self.locks, &name, "locked", error);
        self.locks.create(&name).map_err(failed)?;
        super::claimed(file, self.locks.lock(&name, Contended::Refuse), failed)
    }

    fn newest(&self, file: &[u8; 16]) -> Result<Standing, CustodyError> {
        Ok(self.record(file)?.map(|record| record.standing).unwrap_or_default())
    }

    fn prepare(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        let record = self.record(file)?.unwrap_or_default();
        let before = record.standing;
        let after = before.prepared(file, stand)?;
        let has_key = before.needs(stand.epoch) && self.key(file, stand.epoch)?.is_some();
        if !has_key && before.is_in_force(stand.epoch) {
            let context = Context { kind: Kind::Pkcs11, file, epoch: stand.epoch, bound: &[] };
            return Err(context.missing_key());
        }
        if !has_key {
            self.make_key(file, stand.epoch)?;
        }
        self.put(file, record.followed_by(after))?;
        self.give_up(file, before.given_up(after))
    }

    fn commit(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        let record = self.record(file)?;
        let record = record.ok_or_else(|| super::unknown(Kind::Pkcs11, file))?;
        let after = record.standing.committed(file, stand)?;
        if after == record.standing {
            return Ok(());
        }
        self.put(file, record.followed_by(after))?;
        self.give_up(file, record.standing.given_up(after))
    }

    fn wrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        key: &Key,
        bound: &[u8],
    ) -> Result<Vec<u8>, CustodyError> {
        let context = Context { kind: Kind::Pkcs11, file, epoch, bound };
        let epoch_key = self.held_key(context)?;
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let text = context.text();
        let sealed = self.with_session("wrap a key", |session| {
            // Some tokens write the nonce that they chose; this one must be told apart then.
            let mut nonce = nonce;
            let gcm = GcmParams::new(&mut nonce, &text, Ulong::new(KEY_BITS_OF_TAG))?;
            session.encrypt(&Mechanism::AesGcm(gcm), epoch_key, key.expose())
        })?;
        match sealed.split_at_checked(KEY_BYTES) {
            Some((sealed, tag)) if tag.len() == TAG_BYTES => {
                Ok(wrapped::whole(Kind::Pkcs11, &nonce, sealed, tag))
            }
            _ => Err(CustodyError::TokenRefused {
                token: self.label.clone(),
                what: "wrap a key",
                why: format!("it answered {} bytes instead of 48", sealed.len()),
            }),
        }
    }

    fn unwrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        wrapped: &[u8],
        bound: &[u8],
    ) -> Result<Key, CustodyError> {
        let parts = wrapped::parts(Kind::Pkcs11, wrapped)?;
        let context = Context { kind: Kind::Pkcs11, file, epoch, bound };
        let epoch_key = self.held_key(context)?;
        let text = context.text();
        let sealed = [&parts.sealed[..], &parts.tag[..]].concat();
        let opened = self.with_session("unwrap a key", |session| {
            let mut nonce = *parts.nonce;
            let gcm = GcmParams::new(&mut nonce, &text, Ulong::new(KEY_BITS_OF_TAG))?;
            match session.decrypt(&Mechanism::AesGcm(gcm), epoch_key, &sealed) {
                // The token is asked how it is, lest a broken one be taken for a wrong key.
                Err(error) if is_wrong_key(&error) => session.get_session_info().map(|_| None),
                opened => opened.map(Some),
            }
        })?;
        let mut opened = opened.ok_or_else(|| context.wrong_key())?;
        let key = Key::filled(|place| {
            let bytes = <&[u8; KEY_BYTES]>::try_from(&opened[..]);
            place.copy_from_slice(bytes.map_err(|_| context.wrong_key())?);
            Ok(())
        });
        opened.zeroize();
        key
    }

    fn destroy(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError> {
        let standing = self.newest(file)?;
        self.destroy_where(file, |held| standing.destroys(epoch, held))
    }

    fn forget(&self, file: &[u8; 16]) -> Result<(), CustodyError> {
        self.destroy_where(file, |_| true)?;
        for (object, _) in self.standings(file)? {
            self.with_session("forget a gallery", |session| destroy(session, object))?;
        }
        let name = lock_name(file);
        let failed = |error: VaultError| super::storage(&self.locks, &name, "removed", error);
        self.locks.unlink(&name).map_err(failed)
    }
}
