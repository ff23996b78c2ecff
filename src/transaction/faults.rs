//! A medium that fails as it is told to, under the register: whatever fails, however far the write
//! got, and whenever the appliance restarts, one id is told one outcome.

use std::{
    io,
    sync::{Arc, Mutex},
};

use super::{
    Closing, Display, Ended, Opened, Opening, Register, RegisterError, Standing,
    bell::Bell,
    journal::{Journal, Medium, parse},
    register::Open,
};
use crate::types::{LaneId, Outcome, TransactionId};

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is there, and the medium says so.
    Done,
    /// It fails, and nothing of it is there.
    Nothing,
    /// It fails in the middle; a replacement is there whole or not at all.
    Torn,
    /// All of it is there, and the medium says that it failed: `fdatasync` did.
    Unsaid,
}

const FATES: [Fate; 4] = [Fate::Done, Fate::Nothing, Fate::Torn, Fate::Unsaid];

/// Bytes that a restart reads, and what becomes of the next writes; of those beyond, all are done.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, Vec<Fate>)>>);

impl Disk {
    /// The fates of its next writes, the first one first.
    fn fails(&self, fates: &[Fate]) {
        self.0.lock().expect("no panic").1 = fates.iter().rev().copied().collect();
    }

    fn write(&self, replaces: bool, text: &[u8]) -> io::Result<()> {
        let mut held = self.0.lock().expect("no panic");
        let fate = held.1.pop().unwrap_or(Fate::Done);
        let written = match fate {
            Fate::Done | Fate::Unsaid => text.len(),
            Fate::Torn if !replaces => text.len() / 2,
            Fate::Torn | Fate::Nothing => 0,
        };
        if replaces && written > 0 {
            held.0.clear();
        }
        held.0.extend_from_slice(&text[..written]);
        if fate == Fate::Done { Ok(()) } else { Err(io::Error::other(format!("{fate:?}"))) }
    }

    /// What a restart makes of it.
    fn restarted(&self) -> Register {
        let remembered = parse(&self.0.lock().expect("no panic").0);
        Register::new(Journal::in_memory(), remembered)
    }

    fn register(&self) -> Register {
        Register::new(Journal::on(Box::new(self.clone()), "the disk"), Default::default())
    }
}

impl Medium for Disk {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write(false, lines)
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        self.write(true, text)
    }
}

const ID: TransactionId = TransactionId::from_bytes([1; 16]);

fn lane() -> LaneId {
    "gate-1".parse().expect("a name")
}

fn open(register: &Register, transaction: TransactionId) -> Result<Opened, RegisterError> {
    let opening = Opening { transaction, lane: lane(), retry_of: None, is_document_false: false };
    register.open(&opening, Bell::new(Box::new(|| {})))
}

fn new(register: &Register) -> Option<Arc<Open>> {
    match open(register, ID) {
        Ok(Opened::New(open)) => Some(open),
        Ok(_) => panic!("it was known"),
        Err(_) => None,
    }
}

fn closing(outcome: Outcome) -> Closing {
    let display = Display::of_outcome(outcome, Display::ComeCloser);
    Closing {
        ended: Ended::Decided,
        outcome,
        reasons: vec!["ANY"],
        display,
        chosen: None,
        input: None,
    }
}

/// The outcome that somebody who asks is told.
fn told(register: &Register) -> Option<Outcome> {
    register.standing(&lane(), ID).ok().and_then(|standing| standing.outcome)
}

/// Every outcome that anybody is told of one id while `fates` befall the writes: by its closing,
/// when it is asked for, when it is opened again, and after a restart at each of these moments.
fn outcomes(fates: &[Fate], outcome: Outcome, in_time: bool) -> Vec<Outcome> {
    let disk = Disk::default();
    let register = disk.register();
    disk.fails(fates);
    let Some(running) = new(&register) else { return Vec::new() };
    let mut heard = Vec::new();
    let closed = register.close(&running, &closing(outcome), &|| in_time);
    assert_eq!(running.wait(std::time::Duration::ZERO), closed.as_ref().ok().cloned());
    heard.extend(closed.ok().and_then(|standing| standing.outcome));
    // A restart comes once: it is tried at each moment, against what was told until then.
    let check = |heard: &[Outcome]| {
        let after = told(&disk.restarted()).expect("what was open is known");
        assert!(
            heard.iter().all(|before| *before == after),
            "{fates:?}, {outcome:?} in time {in_time}: {heard:?}, and after a restart {after:?}"
        );
    };
    check(&heard);
    heard.extend(told(&register));
    check(&heard);
    if let Ok(Opened::Ended(Standing { outcome, .. })) = open(&register, ID) {
        heard.extend(outcome);
    }
    check(&heard);
    // The next traveller; the lane is free whatever became of this one.
    let next = open(&register, TransactionId::from_bytes([2; 16]));
    assert!(matches!(next, Ok(Opened::New(_)) | Err(RegisterError::Journal(_))));
    heard.extend(told(&register));
    check(&heard);
    heard
}

#[test]
fn one_id_is_told_one_outcome_whatever_fails() {
    const WRITES: u32 = 6;
    for number in 0..FATES.len().pow(WRITES) {
        let fate = |at: u32| FATES[number / FATES.len().pow(at) % FATES.len()];
        let fates: Vec<Fate> = (0..WRITES).map(fate).collect();
        for outcome in [Outcome::Admit, Outcome::Retry, Outcome::Refer] {
            for in_time in [true, false] {
                let heard = outcomes(&fates, outcome, in_time);
                assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{fates:?}: {heard:?}");
                let late = outcome == Outcome::Admit && !in_time;
                assert!(!late || !heard.contains(&Outcome::Admit), "{fates:?}: late");
            }
        }
    }
}

#[test]
fn a_write_that_fails_once_costs_the_traveller_an_officer_and_nobody_an_answer() {
    for fate in [Fate::Nothing, Fate::Torn, Fate::Unsaid] {
        let disk = Disk::default();
        let register = disk.register();
        let running = new(&register).expect("opened");
        disk.fails(&[fate]);
        let closed = register.close(&running, &closing(Outcome::Admit), &|| true);
        let standing = closed.expect("written anew at once");
        let expected = (Some(Ended::Interrupted), Some(Outcome::Refer));
        assert_eq!((standing.ended, standing.outcome), expected, "{fate:?}");
        assert_eq!(told(&disk.restarted()), Some(Outcome::Refer), "{fate:?}");
    }
}

#[test]
fn an_outcome_in_doubt_is_told_to_nobody_until_the_journal_holds_refer() {
    let disk = Disk::default();
    let register = disk.register();
    let running = new(&register).expect("opened");
    // The Admit is in the file, nobody knows, and nothing more can be written.
    disk.fails(&[Fate::Unsaid, Fate::Nothing, Fate::Nothing, Fate::Nothing, Fate::Nothing]);
    // By its end, by two who ask, and by the next traveller.
    assert!(register.close(&running, &closing(Outcome::Admit), &|| true).is_err());
    assert_eq!(running.wait(std::time::Duration::ZERO), None);
    assert!(matches!(register.standing(&lane(), ID), Err(RegisterError::Journal(_))));
    assert!(matches!(open(&register, ID), Err(RegisterError::Journal(_))));
    let another = open(&register, TransactionId::from_bytes([2; 16]));
    assert!(matches!(another, Err(RegisterError::Journal(_))), "nothing is opened either");
    assert_eq!(register.open_count(), 0, "the lane is free");
    // It can be written again, and whoever asks makes sure of it; so does the appliance by itself.
    register.catch_up();
    assert_eq!(told(&disk.restarted()), Some(Outcome::Refer));
    assert_eq!(told(&register), Some(Outcome::Refer));
    assert_eq!(told(&disk.restarted()), Some(Outcome::Refer));
}
