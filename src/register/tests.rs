//! The register, whole, restored and changed.

use super::*;
use crate::{
    keys::custodian::{FileCustodian, MemoryCustodian},
    random::SystemEntropy,
    register::consent::tests::consent,
};

fn tivoli() -> GalleryId {
    "tivoli".parse().expect("a name")
}

fn somebody(at: u8) -> SubjectId {
    SubjectId::from_bytes([at; 16])
}

fn custodian(folder: &Path) -> Arc<dyn Custodian> {
    let opened = FileCustodian::open(&folder.join("keys"), None, Arc::new(SystemEntropy));
    Arc::new(opened.expect("a folder of keys"))
}

fn register(folder: &Path) -> Result<Register, RegisterError> {
    Register::open(&folder.join("register.redb"), custodian(folder), Arc::new(SystemEntropy))
}

#[test]
fn nl_7_the_proof_of_a_past_consent_stays_after_its_withdrawal() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    let withdrawn =
        held.take_back(&tivoli(), somebody(1), TakenBack::Withdrawn, 5_000).expect("known");
    assert_eq!(withdrawn.expect("there").withdrawn_s, Some(5_000));
    drop(held);
    let held = register(folder.path()).expect("the same register");
    let proof = held.consent(&tivoli(), somebody(1)).expect("opens").expect("there");
    assert_eq!((proof.given_s, proof.withdrawn_s), (1_000, Some(5_000)));
    assert_eq!(held.tombstone(&tivoli(), somebody(1)).expect("reads"), Some(5_000));
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), None);
    assert!(
        held.take_back(&tivoli(), somebody(2), TakenBack::Objected, 6_000)
            .expect("no consent")
            .is_none()
    );
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), Some(6_000));
    held.unbury(&tivoli(), somebody(2)).expect("enrolled anew");
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), None);
}

#[test]
fn an_older_copy_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (folder.path().join("register.redb"), folder.path().join("copy"));
    let held = register(folder.path()).expect("a new register");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    drop(held);
    std::fs::copy(&path, &copy).expect("a backup");
    let held = register(folder.path()).expect("the same register");
    held.take_back(&tivoli(), somebody(1), TakenBack::Withdrawn, 5_000).expect("known");
    drop(held);
    std::fs::copy(&copy, &path).expect("restored");
    assert!(matches!(register(folder.path()), Err(RegisterError::RolledBack { .. })));
}

#[test]
fn what_is_forgotten_opens_for_nobody_and_the_rest_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    for at in 1..=3 {
        held.keep(&tivoli(), somebody(at), &consent(at)).expect("kept");
    }
    held.keep_record("deployment", &vec![1, 2, 3]).expect("kept");
    let gone = somebody(2).to_string();
    assert_eq!(held.forget(|consent| consent.subject == gone).expect("forgotten"), 1);
    assert!(held.consent(&tivoli(), somebody(2)).expect("reads").is_none());
    assert_eq!(held.consents().expect("open").len(), 2);
    drop(held);
    let held = register(folder.path()).expect("under its new key");
    assert!(held.consent(&tivoli(), somebody(3)).expect("opens").is_some());
    assert_eq!(held.record::<Vec<u8>>("deployment").expect("opens"), Some(vec![1, 2, 3]));
}

#[test]
fn nothing_readable_is_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    drop(held);
    let bytes = std::fs::read(folder.path().join("register.redb")).expect("the file");
    let subject = somebody(1);
    for needle in [&b"affirmative"[..], b"tivoli", subject.as_bytes(), b"desk"] {
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{needle:?}");
    }
}

#[test]
fn a_register_of_memory_ends_with_its_process() {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let custodian = Arc::new(MemoryCustodian::new(Arc::clone(&entropy)));
    let held = Register::in_memory(custodian, entropy).expect("memory");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    assert!(held.consent(&tivoli(), somebody(1)).expect("opens").is_some());
}

#[test]
fn ra_2_what_waits_to_be_sent_outlives_the_process_and_a_new_key_in_its_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    let first = held.queue([1; 16], &"first").expect("room");
    held.queue([2; 16], &"second").expect("room");
    let third = held.queue([3; 16], &"third").expect("room");
    held.dequeue(third).expect("it did not happen");
    drop(held);
    let held = register(folder.path()).expect("the same register");
    let texts = |held: &Register, most| -> Vec<String> {
        let queued: Vec<(Ticket, String)> = held.queued(most).expect("opens");
        queued.into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(texts(&held, 9), ["first", "second"]);
    assert_eq!((texts(&held, 1), held.waiting().expect("reads")), (vec!["first".to_owned()], 2));
    // A consent is forgotten: everything is sealed under a new key.
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    assert_eq!(held.forget(|_| true).expect("forgotten"), 1);
    held.dequeue(first).expect("sent");
    held.dequeue(first).expect("again");
    drop(held);
    let held = register(folder.path()).expect("the same register");
    assert_eq!(texts(&held, 9), ["second"]);
    let file = std::fs::read(folder.path().join("register.redb")).expect("the file");
    assert!(!file.windows(6).any(|window| window == b"second"), "sealed");
    // A number that was free again does not take out what has it now.
    let (queued, empty) = (held.queued::<String>(9).expect("opens"), |ticket| held.dequeue(ticket));
    queued.into_iter().for_each(|(ticket, _)| empty(ticket).expect("sent"));
    held.queue([4; 16], &"fourth").expect("room");
    held.dequeue(first).expect("long gone");
    assert_eq!(texts(&held, 9), ["fourth"]);
}
