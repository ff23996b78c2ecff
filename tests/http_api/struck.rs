//! Whether the tests of duties notice: each duty that the running appliance asks about is struck
//! out of the law, and the test that is named for it in `policies/duties.toml` must fail then.
//!
//! Absent: duties that are carried out whatever is owed (zeroing, auditing, receipts), which
//! nothing here could switch off; those that a guard carries out, whose own tables switch them off;
//! that of the filing, which needs a hundred thousand persons; and entry events, whose test would
//! wait for one that never comes.

use std::{env, fs, path::Path, process::Command};

use portcullis::policy::duties;

use crate::harness::STRUCK;

const CONFIRMED: &str = "ai_14_5_ai_12_3_se_4_fv_11_two_different_trained_persons_confirm_a_hit";

/// Each duty, with the file and the function of its test.
const NOTICED: [(&str, &str, &str); 8] = [
    ("confirm-by-two", "site", CONFIRMED),
    (
        "erase-on-match",
        "site",
        "fv_3_fv_22_a_guest_is_erased_before_the_gate_is_told_and_a_stranger_leaves_nothing",
    ),
    ("expire-with-holder", "profiles", "ed_7_a_holders_record_ends_with_the_passport"),
    ("keep-matched-input", "site", CONFIRMED),
    ("log-use", "site", CONFIRMED),
    ("protect-minor", "site", "cn_6_a_minor_is_kept_for_a_shorter_time_and_flagged"),
    (
        "record-exemption",
        "profiles",
        "cn_4_each_use_of_an_exemption_is_in_the_audit_and_none_outlives_it",
    ),
    (
        "test-for-attacks",
        "law",
        "bsi_pad_and_doc_are_owed_at_a_gate_whatever_the_configuration_leaves_out",
    ),
];

#[test]
fn a_duty_that_is_not_carried_out_fails_the_test_that_is_named_for_it() {
    let duties = duties().expect("the table is well-formed");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/law.md");
    let page = fs::read_to_string(path).expect("the page");
    let told = format!("strikes {} of these {} duties out", NOTICED.len(), duties.len());
    assert!(page.contains(&told), "docs/law.md does not say: {told}");
    let this = env::current_exe().expect("this very program");
    for (duty, module, function) in NOTICED {
        let named = format!("tests/http_api/{module}.rs::{function}");
        let held = duties.get(duty).unwrap_or_else(|| panic!("no duty {duty}"));
        assert!(held.tests.contains(&named), "duties.toml does not name {named} for {duty}");
        let test = format!("{module}::{function}");
        let ran = Command::new(&this)
            .args([test.as_str(), "--exact"])
            .env(STRUCK, duty)
            .output()
            .expect("it starts");
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(told.contains("running 1 test"), "{test} is not there: {told}");
        assert!(!ran.status.success(), "{duty} is not carried out, and {test} does not see it");
    }
}
