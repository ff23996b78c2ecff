//! The audit's file, whole and changed.

use super::*;
use crate::{
    audit::{
        AuditComparison, AuditEnd, AuditErasure, AuditStrangers, AuditUse, Erased, SETTLED,
        verify::{NotWhole, verify},
    },
    keys::SigningKey,
    random::SeededEntropy,
    types::{
        Action, AtLane, Attack, Authenticity, Caller, DocumentFault, GalleryId, Hash256, Outcome,
        Purpose, Role, Score, Selection, SubjectId, TransactionId,
    },
};

fn signer() -> Signer {
    let key = SigningKey::random(&SeededEntropy::new(9)).expect("a page can be locked");
    Signer::new("test/audit", key)
}

fn entry() -> AuditEntry {
    AuditEntry {
        transaction: TransactionId::from_bytes([7; 16]),
        at_s: 1_700_000_000,
        caller: Some(Caller { role: Role::Gate, client: "lane-1".parse().expect("a name") }),
        action: Action::Verify,
        purpose: Some(Purpose::BorderControl),
        gallery: Some("kl-0893".parse().expect("a name")),
        subject: Some(SubjectId::from_bytes([9; 16])),
        selection: Some(Selection::Group(7)),
        outcome: Some(Outcome::Refer),
        reasons: vec!["SCORE_BELOW_THRESHOLD"],
        attack: Attack::NotPerformed,
        comparisons: vec![AuditComparison {
            document: Some(Authenticity::Invalid(DocumentFault::Dg2HashMismatch)),
            score: Some(Score(41)),
            threshold: Score(6860),
            fmr: 1e-4,
        }],
        candidates: Some(0),
        erasure: Some(AuditErasure {
            rows: Some(2),
            generation: 4,
            epoch_destroyed: Some(3),
            custodian: "file".to_owned(),
            at_s: 1_700_000_000,
        }),
        at_lane: Some(AtLane {
            lane: "gate-1".parse().expect("a name"),
            transaction: TransactionId::from_bytes([8; 16]),
        }),
        end: Some(AuditEnd {
            ended: "decided",
            attempt: 1,
            timeout_ms: 8_000,
            frame: Some(TransactionId::from_bytes([7; 16])),
        }),
        used: Some(AuditUse {
            began_s: 1_699_999_999,
            generation: 4,
            threshold: Score(6860),
            fmr: 1e-4,
            best: Some(Score(7000)),
            matched_input: Some(Hash256::from_bytes([3; 32])),
            verified_by: vec!["officer-1".parse().expect("a name")],
        }),
        strangers: Some(AuditStrangers { count: 3, since_s: 1_700_000_000 }),
        person: Some("badge-12".parse().expect("a name")),
        frames: Some(3),
        by_hand_ms: Some(41_000),
    }
}

fn lines(path: &Path) -> Vec<Result<serde_json::Value, String>> {
    let text = fs::read_to_string(path).expect("the audit");
    text.lines().map(|line| serde_json::from_str(line).map_err(|_| line.to_owned())).collect()
}

#[test]
fn an_entry_is_one_line_and_reopening_appends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    for _ in 0..2 {
        let audit = FileAudit::open(&path, signer()).expect("a plain file");
        audit.record(&[entry()]).expect("room");
    }
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    let line = lines[1].as_ref().expect("JSON");
    assert_eq!(line["outcome"], "refer");
    assert_eq!(line["comparisons"][0]["score"], 41);
    assert_eq!(line["attack"], "not_performed");
    assert_eq!(line["comparisons"][0]["document"], "INVALID (DG2_HASH_MISMATCH)");
}

#[test]
fn an_attack_score_is_told_apart_from_none_at_all() {
    let told = |attack| {
        let entry = AuditEntry { attack, ..entry() };
        serde_json::to_value(Line::of(0, &[0; 32], &entry)).expect("JSON")["attack"].to_string()
    };
    assert_eq!(told(Attack::Score(0.25)), "0.25");
    assert_eq!(told(Attack::Score(f32::NAN)), "\"invalid\"");
    assert_eq!(told(Attack::NotPerformed), "\"not_performed\"");
}

/// That somebody, or a group, was erased or entered.
fn says(
    action: Action,
    subject: Option<u8>,
    reason: &'static str,
    erasure: Option<u64>,
) -> AuditEntry {
    AuditEntry {
        action,
        subject: subject.map(|number| SubjectId::from_bytes([number; 16])),
        selection: subject.is_none().then_some(Selection::Group(7)),
        reasons: vec![reason],
        erasure: entry()
            .erasure
            .zip(erasure)
            .map(|(held, generation)| AuditErasure { generation, ..held }),
        ..entry()
    }
}

#[test]
fn gdpr_17_whoever_comes_back_before_the_key_is_destroyed_stays() {
    let subject = SubjectId::from_bytes([1; 16]);
    let settled = |generation| AuditEntry {
        reasons: vec!["ERASED", SETTLED],
        ..says(Action::Erase, Some(1), "ERASED", Some(generation))
    };
    let entered = || says(Action::Enrol, Some(1), "ENROLLED", None);
    let pending = |action| says(action, Some(1), "NOT_ERASED", Some(5));
    let erased = |generation| says(Action::Erase, Some(1), "ERASED", Some(generation));
    let none_found = || says(Action::WithdrawConsent, Some(1), "ERASED", Some(0));
    let kept = || says(Action::Enrol, Some(1), "HOLDER_RECORD_KEPT", None);
    let group = says(Action::EraseMany, None, "NOT_ERASED", Some(5));
    for (order, said, expected) in [
        ("replaced", vec![pending(Action::Replace), settled(5)], (5, true)),
        ("entered anew", vec![pending(Action::Erase), entered(), settled(5)], (5, true)),
        ("one of a group of one", vec![group, entered(), settled(5)], (5, true)),
        ("withdrawn twice", vec![erased(5), none_found(), entered()], (5, true)),
        ("found by nobody", vec![erased(5), entered(), none_found()], (5, false)),
        ("twice", vec![erased(5), entered(), erased(7), settled(5)], (7, false)),
        // Holders' records have no generations.
        ("a record", vec![none_found(), kept(), none_found()], (0, false)),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = FileAudit::open(&folder.path().join("audit.jsonl"), signer()).expect("new");
        audit.record(&said).expect("room");
        let told = audit.erased(0).expect("it reads");
        let gone = told.subjects.values().find_map(|held| held.get(&subject)).expect("known");
        assert_eq!((gone.generation, gone.is_back), expected, "{order}");
    }
}

#[test]
fn gdpr_17_an_order_of_which_nothing_came_is_told_until_something_does() {
    let ordered = |action| says(action, Some(1), "ERASURE_ORDERED", None);
    let after = |what| says(Action::Erase, Some(1), what, None);
    for (order, said, is_open) in [
        ("ordered", vec![ordered(Action::Erase)], true),
        ("withdrawn", vec![ordered(Action::WithdrawConsent)], true),
        ("replaced", vec![ordered(Action::Replace)], false),
        ("erased", vec![ordered(Action::Erase), after("ERASED")], false),
        ("in vain", vec![ordered(Action::Erase), after("NOT_ERASED")], false),
        ("entered anew", vec![ordered(Action::Erase), after("ENROLLED")], false),
        ("again", vec![after("ERASED"), ordered(Action::Erase)], true),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = FileAudit::open(&folder.path().join("audit.jsonl"), signer()).expect("new");
        audit.record(&said).expect("room");
        let told = audit.erased(0).expect("it reads");
        assert_eq!(told.ordered.values().any(|held| !held.is_empty()), is_open, "{order}");
    }
}

#[test]
fn gdpr_17_who_is_erased_is_known_by_name_or_by_the_gallerys_generation() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit = FileAudit::open(&folder.path().join("audit.jsonl"), signer()).expect("new");
    let audit = audit.with_segment_bytes(1); // a file for each
    for said in [
        says(Action::Erase, Some(1), "ERASED", Some(4)),
        says(Action::WithdrawConsent, Some(2), "ERASED", Some(5)),
        says(Action::Enrol, Some(2), "ENROLLED", None),
        says(Action::Erase, Some(3), "ERASURE_ORDERED", None),
        says(Action::Erase, None, "ERASED", Some(6)),
        says(Action::EraseMany, None, "ERASED", Some(0)), // which found nobody
        says(Action::Replace, Some(4), "ERASED", Some(7)),
    ] {
        audit.record(&[said]).expect("room");
    }
    let name: GalleryId = "kl-0893".parse().expect("a name");
    let told = audit.erased(0).expect("it reads");
    let subjects = |told: &Erased| -> Vec<(SubjectId, u64, bool)> {
        let subjects = told.subjects.get(&name).into_iter().flatten();
        subjects.map(|(&subject, gone)| (subject, gone.generation, gone.is_back)).collect()
    };
    let somebody = |number: u8| SubjectId::from_bytes([number; 16]);
    let all = [(somebody(1), 4, false), (somebody(2), 5, true), (somebody(4), 7, true)];
    assert_eq!(subjects(&told), all);
    assert_eq!(told.several.get(&name), Some(&6));
    assert!(told.ordered.get(&name).is_some_and(|held| held.iter().eq([&somebody(3)])));
    assert_eq!(audit.stand().entries, 7);
    let since = audit.erased(1).expect("it reads");
    assert_eq!((subjects(&since), since.several.len()), (all[1..].to_vec(), 1));
    assert_eq!(audit.erased(7).expect("it reads"), Erased::default());
    let whole = says(Action::DeleteGallery, None, "ERASED", Some(9));
    let whole = AuditEntry { selection: Some(Selection::Everybody), ..whole };
    audit.record(&[whole]).expect("room");
    assert!(audit.erased(7).expect("it reads").galleries.contains(&name));
    audit.record(&[says(Action::CreateGallery, None, "GALLERY_CREATED", None)]).expect("room");
    assert_eq!(audit.erased(7).expect("it reads"), Erased::default());
}

#[test]
fn no_key_could_hold_a_face_or_a_name() {
    let line = serde_json::to_value(Line::of(0, &[0; 32], &entry())).expect("JSON");
    let keys: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    let known = [
        "action",
        "at_s",
        "attack",
        "by_hand_ms",
        "candidates",
        "client",
        "comparisons",
        "end",
        "erasure",
        "frames",
        "gallery",
        "lane",
        "lane_transaction",
        "n",
        "outcome",
        "person",
        "previous",
        "purpose",
        "reasons",
        "role",
        "selection",
        "strangers",
        "subject",
        "transaction",
        "use",
    ];
    let mut sorted = keys;
    sorted.sort_unstable();
    assert_eq!(sorted, known, "a new key needs a look: the audit holds no biometric data");
    let comparison = line["comparisons"][0].as_object().expect("an object");
    assert_eq!(comparison.len(), 4, "document, score, threshold, fmr");
    let end = line["end"].as_object().expect("an object");
    assert_eq!(end.len(), 4, "ended, attempt, timeout_ms, frame");
    let used = line["use"].as_object().expect("an object");
    assert_eq!(line["strangers"].as_object().map(serde_json::Map::len), Some(2), "count, since");
    assert_eq!(used.len(), 7, "began, generation, threshold, fmr, best, matched input, verified");
}

#[test]
fn a_torn_line_stands_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "{\"transaction\":\"07").expect("a torn file");
    FileAudit::open(&path, signer()).expect("a plain file").record(&[entry()]).expect("room");
    let lines = lines(&path);
    assert_eq!(lines[0], Err("{\"transaction\":\"07~".to_owned()));
    assert_eq!((lines.len(), lines[1].is_ok()), (2, true));
}

#[test]
fn a_folder_or_a_missing_place_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = FileAudit::open(folder.path(), signer()).err().expect("a refusal");
    assert_eq!(refused.place, folder.path().display().to_string());
    assert_eq!(refused.why, "it is a folder; name a plain file");
    let missing = folder.path().join("none/audit.jsonl");
    assert!(FileAudit::open(&missing, signer()).is_err());
}

#[cfg(unix)]
#[test]
fn a_link_is_refused_and_a_new_file_is_the_owners_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    let (path, link) = (folder.path().join("audit.jsonl"), folder.path().join("link"));
    FileAudit::open(&path, signer()).expect("a plain file");
    let mode = fs::metadata(&path).expect("the audit").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    symlink(&path, &link).expect("a link");
    let refused = FileAudit::open(&link, signer()).err().expect("a refusal");
    assert_eq!(refused.why, "it is a symbolic link; name a plain file");
    symlink(folder.path().join("elsewhere"), folder.path().join("dangling")).expect("a link");
    assert!(FileAudit::open(&folder.path().join("dangling"), signer()).is_err());
    assert!(!folder.path().join("elsewhere").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_medium_is_an_error_with_its_place() {
    let refused = FileAudit::open(Path::new("/dev/full"), signer()).err().expect("a refusal");
    assert_eq!(refused.why, "it is a device, pipe or socket; name a plain file");

    let file = OpenOptions::new().append(true).open("/dev/full").expect("the device");
    let state = State::default();
    let writer = Writer { file, bytes: 0, lines: Vec::new(), torn: false, state, signed: Some(0) };
    let audit = FileAudit {
        path: "/dev/full".into(),
        signer: signer(),
        segment_bytes_max: SEGMENT_BYTES_MAX,
        writer: Mutex::new(writer),
    };
    let refused = audit.record(&[entry()]).unwrap_err();
    assert_eq!(refused.place, "/dev/full");
    assert!(refused.to_string().contains("nothing is answered until it can"), "{refused}");
}

fn reopened(path: &Path) -> Result<FileAudit, AuditError> {
    FileAudit::open(path, signer())
}

#[test]
fn entries_follow_each_other_over_files_and_old_ones_go_when_their_time_has_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = reopened(&path).expect("a plain file").with_segment_bytes(2_000);
    for at_s in 0..20 {
        audit.record(&[AuditEntry { at_s, ..entry() }]).expect("room");
    }
    let old = old_files(&path).expect("the folder");
    assert!(old.len() > 2, "{old:?}");
    assert!(old[0].display().to_string().ends_with(".0000000000000000"));
    drop(audit);
    let audit = reopened(&path).expect("it continues");
    assert_eq!(audit.writer().state.tree.size(), 20);
    let report = verify(&path, &audit.verifier(), None).expect("whole");
    assert_eq!((report.entries, report.first, report.unsigned), (20, 0, 0));
    audit.prune(5, 5 + KEPT_S).expect("a folder");
    let left = old_files(&path).expect("the folder");
    assert!(left.len() < old.len() && !left.is_empty());
    let report = verify(&path, &audit.verifier(), None).expect("whole");
    assert!(report.first > 0 && report.entries + report.first == 21, "one says what went");
    audit.record(&[entry()]).expect("it goes on after that");
    drop(audit);
    reopened(&path).expect("and is taken up again");
}

#[test]
fn gdpr_17_an_audit_knows_where_it_stood_and_another_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let begun = |name: &str, days: std::ops::Range<i64>| {
        let audit = reopened(&folder.path().join(name)).expect("a plain file");
        for day in days {
            audit.record(&[AuditEntry { at_s: day * DAY_S, ..entry() }]).expect("room");
        }
        audit
    };
    let goes_on =
        |audit: &FileAudit, stand: &AuditStand| audit.goes_on_from(stand).expect("it reads");
    let audit = begun("audit.jsonl", 0..0);
    assert!(goes_on(&audit, &audit.stand()), "nothing was there, and nothing is missing");
    drop(audit);
    let audit = begun("audit.jsonl", 0..3);
    let stand = audit.stand();
    assert!(stand.entries == 3 && goes_on(&audit, &stand));
    drop(audit);
    let audit = begun("audit.jsonl", 3..5); // a file for each day
    assert!(goes_on(&audit, &stand) && goes_on(&audit, &AuditStand::default()));
    for (why, days) in [("shorter", 1..3), ("as long", 1..4), ("longer", 1..9)] {
        assert!(!goes_on(&begun(why, days), &stand), "{why}");
    }
    audit.prune(3 * DAY_S, 3 * DAY_S + KEPT_S).expect("a folder");
    assert!(goes_on(&audit, &stand), "what came after is all there");
    audit.prune(4 * DAY_S, 4 * DAY_S + KEPT_S).expect("a folder");
    assert!(!goes_on(&audit, &stand), "what came after has had its time");
}

/// Shortest time that entries are kept.
const KEPT_S: i64 = 184 * DAY_S;

#[test]
fn ai_19_files_that_were_taken_out_are_not_taken_for_pruned_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = reopened(&path).expect("a plain file");
    for day in 0..4 {
        audit.record(&[AuditEntry { at_s: day * DAY_S, ..entry() }]).expect("room");
    }
    let old = old_files(&path).expect("the folder");
    assert_eq!(old.len(), 3, "a file for each day");
    audit.seal().expect("signed");
    let look = || verify(&path, &audit.verifier(), None);
    // One has had its time, and goes; the next has not, and is taken out by hand.
    audit.prune(DAY_S, KEPT_S + 1).expect("a folder");
    assert!(!old[0].exists());
    assert_eq!(look().expect("whole").first, 1);
    let taken = fs::read(&old[1]).expect("it is there");
    fs::remove_file(&old[1]).expect("taken out");
    assert!(matches!(look(), Err(NotWhole::TakenOut { first: 2 })));
    fs::write(&old[1], taken).expect("put back");
    look().expect("whole again");
    // What was let go of too soon is told, whoever ordered it.
    audit.prune(2 * DAY_S, 2 * DAY_S).expect("a folder");
    assert!(matches!(look(), Err(NotWhole::TooSoon { .. })));
}

#[test]
fn where_nothing_happens_any_more_the_last_file_goes_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = reopened(&path).expect("a plain file");
    audit.record(&[AuditEntry { at_s: 7, ..entry() }]).expect("room");
    audit.prune(7, 7 + KEPT_S).expect("a folder");
    assert_eq!(verify(&path, &audit.verifier(), None).expect("whole").first, 0, "not older");
    audit.prune(8, 8 + KEPT_S).expect("a folder");
    let report = verify(&path, &audit.verifier(), None).expect("whole");
    assert_eq!((report.first, report.entries), (1, 1), "what is left says what went");
    assert!(!fs::read_to_string(&path).expect("the audit").contains("lane-1"));
}

#[test]
fn what_was_changed_is_not_written_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let audit = reopened(&path).expect("a plain file");
    for at_s in 0..4 {
        audit.record(&[AuditEntry { at_s, ..entry() }]).expect("room");
    }
    drop(audit);
    let whole = fs::read_to_string(&path).expect("the audit");
    let lines: Vec<&str> = whole.lines().collect();
    let join = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let edited = whole.replacen("\"at_s\":2", "\"at_s\":3", 1);
    let told = |text: &str| {
        fs::write(&path, text).expect("written");
        reopened(&path).err().expect("a refusal").why
    };
    assert!(told(&edited).contains("entry 3 does not follow"), "edit");
    assert!(
        told(&join(&[lines[0], lines[2], lines[3]])).contains("entry 2 stands where"),
        "deletion"
    );
    assert!(told(&join(&[lines[1], lines[0], lines[2], lines[3]])).contains("belongs"), "order");
    assert!(told(&join(&lines[..3])).contains("changed or cut off"), "truncation");
    assert!(told("").contains("changed or cut off"), "emptied");
    fs::write(&path, &whole).expect("written");
    reopened(&path).expect("whole again");
    fs::remove_file(checkpoint_path(&path)).expect("it was there");
    assert!(told(&whole).contains("checkpoint is missing"));
}
