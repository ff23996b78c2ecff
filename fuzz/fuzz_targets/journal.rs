//! Any bytes as a journal of lane transactions: every line that reads is a transaction that ended
//! or is referred, and none is told twice.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use portcullis::{
    transaction::{Ended, journal},
    types::Outcome,
};

fuzz_target!(|bytes: &[u8]| {
    let remembered = journal::parse(bytes);
    let ids: HashSet<_> = remembered.standings.iter().map(|held| held.transaction).collect();
    assert_eq!(ids.len(), remembered.standings.len());
    for held in &remembered.standings {
        let outcome = held.outcome.expect("what is remembered is over");
        assert!(outcome != Outcome::Admit || held.ended == Some(Ended::Decided));
    }
});
