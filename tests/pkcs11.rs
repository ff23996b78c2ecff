//! The custodian on a token, against SoftHSM: the contract of all custodians, and what a token
//! adds: keys that cannot be read, PINs, a session that is lost, a token that is not there.
//!
//! One test, because a PKCS#11 library is initialised once per process and finds its configuration
//! in the environment: the test starts itself again with `SOFTHSM2_CONF` set.

#![allow(clippy::disallowed_methods, reason = "starts itself again in another environment")]

mod common;
#[path = "custodians/contract.rs"]
mod contract;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use contract::{FILE, change, stand};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use portcullis::{
    keys::{
        Custodian, CustodyError, Key, Phrase,
        custodian::{MemoryCustodian, Pkcs11Custodian, TokenAddress},
    },
    random::SystemEntropy,
};

const LABEL: &str = "portcullis-test";
const PIN: &str = "648219";
const OFFICER_PIN: &str = "53021977";
/// Where Debian, Fedora and Homebrew put it.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const TEST: &str = "a_token_keeps_every_promise";
const INNER: &str = "PORTCULLIS_TEST_SOFTHSM";

fn library() -> Option<PathBuf> {
    LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file())
}

#[test]
fn a_token_keeps_every_promise() {
    let Some(library) = library() else {
        common::skip(TEST, "softhsm", "libsofthsm2.so is not installed (Debian: softhsm2)");
        return;
    };
    if env::var_os(INNER).is_some() {
        on_the_token(&library);
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).expect("made");
    let configuration = folder.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
    fs::write(&configuration, text).expect("written");
    let again = Command::new(env::current_exe().expect("this test"))
        .args([TEST, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(INNER, "1")
        .output()
        .expect("started");
    let told = String::from_utf8_lossy(&again.stdout) + String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{told}");
    assert!(told.contains("1 passed"), "it ran: {told}");
}

fn pin(text: &str) -> Phrase {
    Phrase::take(text.to_owned()).expect("a PIN")
}

fn open(library: &Path, label: &str, digits: &str) -> Result<Pkcs11Custodian, CustodyError> {
    let locks = env::temp_dir().join(format!("portcullis-pkcs11-{}", std::process::id()));
    let (library, label) = (library.to_owned(), label.to_owned());
    let address = TokenAddress { library, label, locks };
    Pkcs11Custodian::open(&address, pin(digits), Arc::new(SystemEntropy))
}

fn refusal<T>(answer: Result<T, CustodyError>) -> CustodyError {
    answer.err().expect("refused")
}

/// A fresh token with a user PIN.
fn initialise(context: &Pkcs11) {
    let slot = context.get_all_slots().expect("slots")[0];
    let officer = AuthPin::from(OFFICER_PIN.to_owned());
    context.init_token(slot, &officer, LABEL).expect("a token");
    // The slot has another number from now on.
    let slot = slot_of(context);
    let session = context.open_rw_session(slot).expect("a session");
    session.login(UserType::So, Some(&officer)).expect("the officer");
    session.init_pin(&AuthPin::from(PIN.to_owned())).expect("a PIN");
}

fn slot_of(context: &Pkcs11) -> cryptoki::slot::Slot {
    let slots = context.get_slots_with_initialized_token().expect("slots");
    let named = |slot: &cryptoki::slot::Slot| {
        context.get_token_info(*slot).is_ok_and(|token| token.label() == LABEL)
    };
    slots.into_iter().find(named).expect("the token")
}

fn on_the_token(library: &Path) {
    let context = Pkcs11::new(library).expect("loaded");
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("initialised");
    let missing = refusal(open(library, LABEL, PIN));
    assert!(matches!(missing, CustodyError::TokenUnavailable { .. }), "{missing}");
    initialise(&context);
    let nowhere = refusal(open(Path::new("/nowhere/libtoken.so"), LABEL, PIN));
    assert!(matches!(nowhere, CustodyError::TokenUnavailable { .. }), "{nowhere}");
    let wrong = refusal(open(library, LABEL, "000000"));
    assert!(matches!(wrong, CustodyError::PinWrong { .. }), "{wrong}");

    let custodian = open(library, LABEL, PIN).expect("logged in");
    contract::every_promise(&custodian);
    assert!(custodian.describe().place.contains(LABEL));

    change(&custodian, &FILE, stand(1, 1));
    let key = Key::random(&SystemEntropy).expect("a key");
    let wrapped = custodian.wrap(&FILE, 1, &key, b"x").expect("wrapped");
    let memory = MemoryCustodian::new(Arc::new(SystemEntropy));
    let foreign = refusal(memory.unwrap(&FILE, 1, &wrapped, b"x"));
    assert!(matches!(foreign, CustodyError::WrongCustodian { held: "pkcs11", .. }));

    let session = context.open_rw_session(slot_of(&context)).expect("a session");
    no_key_can_be_read(&session);
    a_destroyed_object_is_gone(&custodian, &session);

    // Another process's session ends ours: the login is the application's.
    session.logout().expect("logged out");
    assert!(custodian.newest(&FILE).is_ok(), "logs in again");
    let second = open(library, LABEL, PIN).expect("a second custodian in one process");
    assert_eq!(second.newest(&FILE).ok(), custodian.newest(&FILE).ok());
    an_altered_standing_is_named(&custodian, &session);
}

fn keys(session: &Session) -> Vec<cryptoki::object::ObjectHandle> {
    session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).expect("keys")
}

fn no_key_can_be_read(session: &Session) {
    let held = keys(session);
    assert_eq!(held.len(), 1, "one per live epoch");
    let wanted = [
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::AlwaysSensitive,
        AttributeType::Local,
        AttributeType::Modifiable,
    ];
    let told = session.get_attributes(held[0], &wanted).expect("attributes");
    for attribute in [
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Local(true),
        Attribute::Modifiable(false),
    ] {
        assert!(told.contains(&attribute), "{attribute:?} in {told:?}");
    }
    let value = session.get_attributes(held[0], &[AttributeType::Value]);
    assert!(value.is_err() || value.is_ok_and(|told| told.is_empty()), "its value is not told");
}

fn a_destroyed_object_is_gone(custodian: &Pkcs11Custodian, session: &Session) {
    for step in 2..5 {
        change(custodian, &FILE, stand(step, step));
        assert_eq!(keys(session).len(), 1, "one per live epoch");
    }
    let data = session.find_objects(&[Attribute::Class(ObjectClass::DATA)]).expect("objects");
    assert_eq!(data.len(), 1, "one standing");
}

fn an_altered_standing_is_named(custodian: &Pkcs11Custodian, session: &Session) {
    let data = session.find_objects(&[Attribute::Class(ObjectClass::DATA)]).expect("objects");
    let told = session
        .get_attributes(
            data[0],
            &[AttributeType::Application, AttributeType::Label, AttributeType::Value],
        )
        .expect("attributes");
    session.destroy_object(data[0]).expect("destroyed");
    let mut altered =
        vec![Attribute::Class(ObjectClass::DATA), Attribute::Token(true), Attribute::Private(true)];
    altered.extend(told.into_iter().map(|attribute| match attribute {
        Attribute::Value(mut bytes) => {
            bytes[40] ^= 1;
            Attribute::Value(bytes)
        }
        other => other,
    }));
    session.create_object(&altered).expect("made");
    let refused = refusal(custodian.newest(&FILE));
    assert!(matches!(refused, CustodyError::Damaged { custodian: "pkcs11", .. }), "{refused}");
    custodian.forget(&FILE).expect("forgotten all the same");
    assert!(keys(session).is_empty());
}
