//! The register, whole, restored and changed.

use super::*;
use crate::{
    keys::custodian::{FileCustodian, MemoryCustodian},
    random::SystemEntropy,
    register::consent::tests::consent,
    types::{GalleryId, SubjectId},
};

const WITHDRAWN: Ending = Ending::TakenBack(TakenBack::Withdrawn);

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

/// One who consented as the test's consent says.
fn entry(consent: &Consent) -> Entry<'_> {
    Entry { consent: Some(consent), ground: None }
}

#[test]
fn nl_7_the_proof_of_a_past_consent_stays_after_its_withdrawal() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    held.end(&tivoli(), &[somebody(1)], WITHDRAWN, 5_000).expect("ended");
    drop(held);
    let held = register(folder.path()).expect("the same register");
    let proof = held.consent(&tivoli(), somebody(1)).expect("opens").expect("there");
    assert_eq!((proof.given_s, proof.withdrawn_s), (1_000, Some(5_000)));
    assert_eq!(held.tombstone(&tivoli(), somebody(1)).expect("reads"), Some(5_000));
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), None);
    // Whoever never consented is buried as well.
    let objected = Ending::TakenBack(TakenBack::Objected);
    held.end(&tivoli(), &[somebody(2)], objected, 6_000).expect("no consent");
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), Some(6_000));
    let now = held.generation();
    let anew = held.enter(&tivoli(), somebody(2), Entry::default(), now).expect("enrolled anew");
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), None);
    held.put_back(&anew).expect("nothing came of it");
    assert_eq!(held.tombstone(&tivoli(), somebody(2)).expect("reads"), Some(6_000));
}

#[test]
fn gdpr_7_1_a_consent_that_another_follows_stays_as_the_proof_that_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    held.end(&tivoli(), &[somebody(1)], WITHDRAWN, 5_000).expect("ended");
    let again = Consent { given_s: 7_000, ..consent(1) };
    held.keep(&tivoli(), somebody(1), &again).expect("kept");
    held.keep(&tivoli(), somebody(1), &Consent { given_s: 8_000, ..again }).expect("kept");
    let earlier = held.earlier_consents(&tivoli(), somebody(1)).expect("open");
    let ends = |consent: &Consent| (consent.given_s, consent.withdrawn_s, consent.ended_s);
    let ends: Vec<_> = earlier.iter().map(ends).collect();
    assert_eq!(ends, [(1_000, Some(5_000), None), (7_000, None, Some(8_000))]);
    assert_eq!(held.earlier_consents(&tivoli(), somebody(2)).expect("open"), []);
    assert!(!held.consent(&tivoli(), somebody(1)).expect("opens").expect("there").is_over());
    assert_eq!(held.forget(|consent| consent.ended_before(7_500)).expect("forgotten"), 1);
    let earlier = held.earlier_consents(&tivoli(), somebody(1)).expect("open under the new key");
    assert_eq!(earlier.len(), 1);
}

#[test]
fn gdpr_7_3_an_end_that_comes_while_an_enrolment_is_under_way_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    for how in [WITHDRAWN, Ending::Erased] {
        let asked_at = held.generation();
        held.end(&tivoli(), &[somebody(1)], how, 5_000).expect("ended");
        let refused = held.enter(&tivoli(), somebody(1), entry(&consent(1)), asked_at);
        assert!(matches!(refused, Err(RegisterError::EndedMeanwhile)));
        assert!(held.consent(&tivoli(), somebody(1)).expect("opens").is_none());
        assert_eq!(held.tombstone(&tivoli(), somebody(1)).expect("reads"), Some(5_000));
    }
    // Asked afterwards, with a consent of its own, it is a new enrolment.
    let asked_at = held.generation();
    let entered = held.enter(&tivoli(), somebody(1), entry(&consent(1)), asked_at);
    assert!(entered.is_ok());
    // The consent that is kept counts as long as it holds.
    held.end(&tivoli(), &[somebody(1)], Ending::Erased, 6_000).expect("ended");
    let refused = held.enter(&tivoli(), somebody(1), Entry::default(), held.generation());
    assert!(matches!(refused, Err(RegisterError::EndedMeanwhile)));
}

#[test]
fn gdpr_7_1_an_entry_of_which_nothing_came_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    let told = |held: &Register| {
        let (name, who) = (tivoli(), somebody(1));
        let consent = held.consent(&name, who).expect("opens");
        let earlier = held.earlier_consents(&name, who).expect("open");
        let ground = held.ground(&name, who).expect("opens");
        (consent, earlier, ground, held.tombstone(&name, who).expect("reads"))
    };
    let ground = Ground { reason: "decision 12".into(), authority: "the court".into() };
    let later = Consent { given_s: 7_000, ..consent(1) };
    let try_in_vain = |held: &Register| {
        let before = told(held);
        let entry = Entry { consent: Some(&later), ground: Some(&ground) };
        let entered = held.enter(&tivoli(), somebody(1), entry, held.generation());
        let entered = entered.expect("entered");
        assert_ne!(told(held), before);
        held.put_back(&entered).expect("put back");
        assert_eq!(told(held), before);
    };
    try_in_vain(&held);
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    try_in_vain(&held);
    held.end(&tivoli(), &[somebody(1)], WITHDRAWN, 5_000).expect("ended");
    try_in_vain(&held);
}

#[test]
fn gdpr_17_the_ground_of_an_entry_goes_with_it_and_then_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("register.redb");
    let held = register(folder.path()).expect("a new register");
    let ground = Ground { reason: "decision 12".into(), authority: "the court".into() };
    let entry = Entry { consent: None, ground: Some(&ground) };
    let entered = held.enter(&tivoli(), somebody(1), entry, held.generation());
    assert!(entered.is_ok());
    assert_eq!(held.ground(&tivoli(), somebody(1)).expect("opens"), Some(ground));
    let epoch = |held: &Register| held.held().stand.epoch;
    assert_eq!((held.forget(|_| false).expect("nothing is owed"), epoch(&held)), (0, 1));
    held.end(&tivoli(), &[somebody(1)], Ending::Erased, 5_000).expect("ended");
    assert_eq!(held.ground(&tivoli(), somebody(1)).expect("reads"), None);
    drop(held);
    let held = register(folder.path()).expect("the same register");
    assert_eq!((held.forget(|_| false).expect("no consent"), epoch(&held)), (0, 2));
    assert_eq!((held.forget(|_| false).expect("once"), epoch(&held)), (0, 2));
    drop(held);
    let bytes = std::fs::read(path).expect("the file");
    assert!(!bytes.windows(11).any(|window| window == b"decision 12"));
}

#[test]
fn fv_10_at_closing_every_consent_of_the_day_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = register(folder.path()).expect("a new register");
    held.end_day(4_000, true).expect("an empty day");
    held.keep(&tivoli(), somebody(1), &consent(1)).expect("kept");
    held.keep(&tivoli(), somebody(2), &consent(2)).expect("kept");
    held.end(&tivoli(), &[somebody(2)], WITHDRAWN, 5_000).expect("ended");
    held.end_day(6_000, false).expect("ended");
    assert_eq!(held.tombstones().expect("reads"), 1);
    held.end_day(7_000, true).expect("ended");
    let ends = |at| {
        let held = held.consent(&tivoli(), somebody(at)).expect("opens").expect("there");
        (held.withdrawn_s, held.ended_s)
    };
    assert_eq!((ends(1), ends(2)), ((None, Some(6_000)), (Some(5_000), None)));
    assert_eq!(held.tombstones().expect("reads"), 0);
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
    held.end(&tivoli(), &[somebody(1)], WITHDRAWN, 5_000).expect("ended");
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
fn more_than_is_sealed_at_once_is_sealed_anew_and_counted() {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let custodian = Arc::new(MemoryCustodian::new(Arc::clone(&entropy)));
    let held = Register::in_memory(custodian, entropy).expect("memory");
    let somebody = |number: u16| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        SubjectId::from_bytes(bytes)
    };
    let many = u16::try_from(RESEALED_AT_ONCE).expect("some thousands") + 3;
    let sealed: Vec<(Vec<u8>, Vec<u8>)> = {
        let current = held.held();
        let of = |number: u16| {
            let key = [&number.to_be_bytes()[..], &[7; 30][..]].concat();
            let given = Consent { given_s: i64::from(number), ..consent(1) };
            let given = Consent { subject: somebody(number).to_string(), ..given };
            let value = held.sealed(&current, Place { table: CONSENTS.name, key: &key }, &given);
            (key, value)
        };
        (0..many).map(of).collect()
    };
    let kept = held.change(|writing, _| {
        sealed.iter().try_for_each(|(key, value)| held.put(writing, CONSENTS.table, key, value))
    });
    kept.expect("kept in one change");
    held.keep(&tivoli(), SubjectId::from_bytes([9; 16]), &consent(9)).expect("one more");
    assert_eq!(held.consents_held().expect("reads"), u64::from(many) + 1);
    let odd = held.forget(|consent| consent.given_s % 2 == 1 && consent.given_s < 5_000);
    assert_eq!(odd.expect("forgotten"), u64::from(many) / 2);
    let left = held.consents().expect("all of them open under the new key");
    assert_eq!(left.len() as u64, held.consents_held().expect("reads"));
    assert!(left.iter().all(|consent| consent.given_s % 2 == 0));
    held.keep(&tivoli(), SubjectId::from_bytes([9; 16]), &consent(9)).expect("again");
    assert_eq!(held.consents_held().expect("reads"), left.len() as u64 + 1, "the earlier one, too");
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
