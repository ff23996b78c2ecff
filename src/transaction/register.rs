//! Which transactions there are, and that the same id never decides twice.
//!
//! Whoever opens an id that is open gets the same transaction to wait for; whoever opens one that
//! has ended gets its stored outcome; so does a restart, for which a transaction that never ended
//! is Refer. An id is remembered for the newest [`TRANSACTIONS_REMEMBERED`] transactions.
//!
//! When an outcome cannot be written, the journal may hold it all the same, and a restart would
//! tell it. Refer, told at once, could so be the first of two different decisions for one id. Hence
//! the journal is written anew with Refer, and then Refer is told; where that fails, too, *no*
//! outcome is told: whoever waits or asks hears that it cannot be remembered (which a gate takes
//! for "ask an officer"), until the journal holds Refer, or a restart has read what it holds.
//!
//! Invariant: an id is given out as new once; an outcome is told after the journal holds it, so
//! that all that is ever told of an id is one outcome, whatever fails and whenever it restarts; a
//! lane has one open transaction.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Closing, Display, Ended, Standing,
    bell::Bell,
    journal::{Journal, JournalError, Remembered},
    machine::Told,
};
use crate::{
    limits::{ATTEMPTS_MAX, TRANSACTIONS_REMEMBERED, WATCHERS_MAX},
    types::{LaneId, Outcome, TransactionId},
};

/// Told of each change; false when nobody listens any more.
pub type Watcher = Box<dyn Fn(&Standing) -> bool + Send>;

/// Why a transaction is not opened, or not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The id was used at another lane.
    #[error(
        "transaction {transaction} belongs to lane {lane}; give every transaction an id of its own"
    )]
    OtherLane {
        /// The id.
        transaction: TransactionId,
        /// Where it was opened.
        lane: LaneId,
    },
    /// Somebody stands at the lane.
    #[error(
        "lane {lane} has a transaction open; cancel it, or tell that its traveller left, before the \
         next one"
    )]
    LaneOccupied {
        /// The lane.
        lane: LaneId,
    },
    /// What is named as the earlier attempt offers no further one.
    #[error(
        "transaction {earlier} offers no further attempt: it is not one that ended with retry here"
    )]
    NoRetry {
        /// The earlier attempt.
        earlier: TransactionId,
    },
    /// Nobody opened it, or it was forgotten.
    #[error("there is no transaction {transaction} at this lane")]
    Unknown {
        /// The id.
        transaction: TransactionId,
    },
    /// It cannot be remembered, so it is not opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A transaction that somebody wants to open.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The gate's id.
    pub transaction: TransactionId,
    /// Where.
    pub lane: LaneId,
    /// The earlier attempt of the same traveller.
    pub retry_of: Option<TransactionId>,
    /// A document that the traveller presented failed its check: nobody lets in on a word.
    pub is_document_false: bool,
}

/// A referral that a person may still override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Referral {
    /// When it came to that, on a clock that does not go back.
    pub since_us: Option<u64>,
}

/// What opening gave.
pub enum Opened {
    /// It is open, and the caller turns it.
    New(Arc<Open>),
    /// Somebody else turns it.
    Running(Arc<Open>),
    /// It has ended before.
    Ended(Standing),
}

/// One open transaction, for everybody but the one who turns it.
pub struct Open {
    /// How it is reached.
    pub bell: Bell,
    is_document_false: bool,
    seen: Mutex<Seen>,
    ended: Condvar,
}

struct Seen {
    standing: Standing,
    watchers: Vec<Watcher>,
    /// It was not opened after all.
    withdrawn: bool,
    /// When it came to an end, on a clock that does not go back.
    ends_us: Option<u64>,
}

impl Open {
    fn new(standing: Standing, bell: Bell, is_document_false: bool) -> Self {
        let seen = Seen { standing, watchers: Vec::new(), withdrawn: false, ends_us: None };
        Self { bell, is_document_false, seen: Mutex::new(seen), ended: Condvar::new() }
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.seen().standing.clone()
    }

    /// Tells `watcher` how it stands, now and whenever that changes. False when too many watch.
    pub fn watch(&self, watcher: Watcher) -> bool {
        let mut seen = self.seen();
        if !watcher(&seen.standing) || seen.standing.ended.is_some() {
            return true;
        }
        let has_room = seen.watchers.len() < WATCHERS_MAX;
        if has_room {
            seen.watchers.push(watcher);
        }
        has_room
    }

    /// The display shows something else from now on.
    pub fn shows(&self, display: Display) {
        let mut seen = self.seen();
        if seen.standing.ended.is_none() && seen.standing.display != display {
            seen.standing.display = display;
            seen.tell();
        }
    }

    /// How it ended, once it has; `None` when `wait` passes first, or it was not opened after all.
    #[must_use]
    pub fn wait(&self, wait: Duration) -> Option<Standing> {
        let (seen, _) = self
            .ended
            .wait_timeout_while(self.seen(), wait, |seen| {
                seen.standing.ended.is_none() && !seen.withdrawn
            })
            .unwrap_or_else(PoisonError::into_inner);
        seen.standing.ended.is_some().then(|| seen.standing.clone())
    }

    /// Notes when it came to its end, which is about to be remembered and told; the first time
    /// counts.
    pub fn ends_at(&self, now_us: u64) {
        self.seen().ends_us.get_or_insert(now_us);
    }

    fn referral(&self) -> Referral {
        Referral { since_us: self.seen().ends_us }
    }

    fn end(&self, standing: &Standing) {
        let mut seen = self.seen();
        seen.standing = standing.clone();
        seen.tell();
        // Whoever listens hears that nothing follows.
        seen.watchers.clear();
        self.ended.notify_all();
    }

    fn withdraw(&self) {
        let mut seen = self.seen();
        seen.withdrawn = true;
        seen.watchers.clear();
        self.ended.notify_all();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn tell(&mut self) {
        let Self { standing, watchers, .. } = self;
        watchers.retain(|watcher| watcher(standing));
    }
}

/// Every transaction that is remembered.
pub struct Register {
    known: Mutex<Known>,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Known {
    /// Earlier attempts that were followed by another one.
    retried: HashSet<TransactionId>,
    /// Referred by this process, and not overridden yet. A restart forgets them: whoever stood
    /// there has been seen by a person meanwhile.
    overridable: HashMap<TransactionId, Referral>,
    /// Oldest first.
    order: VecDeque<TransactionId>,
    ended: HashMap<TransactionId, Standing>,
    /// Of those that ended: whose outcome the journal may hold otherwise, and why it was not
    /// written. They are told to nobody.
    doubted: HashMap<TransactionId, JournalError>,
    open: HashMap<TransactionId, Arc<Open>>,
}

impl Register {
    /// A register over `journal`, with what it remembered.
    #[must_use]
    pub fn new(journal: Journal, remembered: Remembered) -> Self {
        let mut known = Known::default();
        for standing in remembered.standings {
            known.retried.extend(standing.retry_of);
            known.order.push_back(standing.transaction);
            known.ended.insert(standing.transaction, standing);
        }
        known.forget();
        Self { known: Mutex::new(known), journal: Mutex::new(journal) }
    }

    /// Opens a transaction, or finds it. Whoever gets [`Opened::New`] ends it by [`Self::close`].
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is open then.
    pub fn open(&self, opening: &Opening, bell: Bell) -> Result<Opened, RegisterError> {
        self.settle(opening.transaction);
        let open = {
            let mut known = self.known();
            if let Some(found) = known.find(opening)? {
                return Ok(found);
            }
            let standing = Standing {
                transaction: opening.transaction,
                lane: opening.lane.clone(),
                attempt: known.attempt(opening)?,
                retry_of: opening.retry_of,
                ended: None,
                outcome: None,
                display: Display::LookAtCamera,
            };
            let open = Arc::new(Open::new(standing, bell, opening.is_document_false));
            known.order.push_back(opening.transaction);
            known.open.insert(opening.transaction, Arc::clone(&open));
            open
        };
        // Whoever brings the same id meanwhile waits for this one.
        let remembered = self.remember(|journal| journal.opened(&open.standing()));
        if let Err(error) = remembered {
            let mut known = self.known();
            known.open.remove(&opening.transaction);
            opening.retry_of.map(|earlier| known.retried.remove(&earlier));
            known.order.retain(|id| *id != opening.transaction);
            drop(known);
            open.withdraw();
            return Err(error.into());
        }
        Ok(Opened::New(open))
    }

    /// Ends `open` as `closing` says; where that cannot be remembered, with Refer. So ends an Admit
    /// that is no longer `in_time` when it is written, and Refer is written after it. Everybody who
    /// waits is told what is returned.
    ///
    /// # Errors
    /// [`JournalError`]: the journal may hold an outcome, and nobody knows which, so none is told.
    pub fn close(
        &self,
        open: &Open,
        closing: &Closing,
        in_time: &dyn Fn() -> bool,
    ) -> Result<Standing, JournalError> {
        let standing = open.standing();
        let ended = Standing {
            ended: Some(closing.ended),
            outcome: Some(closing.outcome),
            display: closing.display,
            ..standing.clone()
        };
        let mut journal = self.journal();
        let mut written = self.write_end(&mut journal, ended);
        if written.as_ref().is_ok_and(is_admit) && !in_time() {
            written = self.write_end(&mut journal, standing.clone().referred(Ended::TimedOut));
            // The Admit stands in the file, so a Refer that does not stand after it is in doubt.
            written = written.map_err(|(error, _)| (error, true));
        }
        let ended = match written {
            Ok(ended) => {
                self.known().end(&ended);
                Ok(ended)
            }
            Err((error, is_in_doubt)) => {
                tracing::error!(%error, "an outcome could not be remembered, so it is refer");
                let referred = standing.referred(Ended::Interrupted);
                let mut known = self.known();
                known.end(&referred);
                if is_in_doubt {
                    known.doubted.insert(referred.transaction, error);
                }
                drop(known);
                // Best told at once: most of what fails, fails once.
                match self.mend(&mut journal) {
                    Err(error) if is_in_doubt => Err(error),
                    Ok(()) | Err(_) => Ok(referred),
                }
            }
        };
        drop(journal);
        match &ended {
            Ok(ended) => {
                if ended.outcome == Some(Outcome::Refer) && !open.is_document_false {
                    self.known().overridable.insert(ended.transaction, open.referral());
                }
                open.end(ended);
            }
            Err(_) => open.withdraw(),
        }
        ended
    }

    /// As [`Self::close`] for whoever could not: as it ended, where it has.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub fn abandon(&self, open: &Open, closing: &Closing) -> Result<Standing, JournalError> {
        let standing = open.standing();
        if standing.ended.is_some() {
            return Ok(standing);
        }
        self.close(open, closing, &|| true)
    }

    /// How a transaction of a lane stands, or stood.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`]; [`RegisterError::Journal`] where no outcome may be told yet.
    pub fn standing(
        &self,
        lane: &LaneId,
        transaction: TransactionId,
    ) -> Result<Standing, RegisterError> {
        match self.at(lane, transaction)? {
            Opened::Ended(standing) => Ok(standing),
            Opened::New(open) | Opened::Running(open) => Ok(open.standing()),
        }
    }

    /// A transaction of a lane: [`Opened::Running`] or [`Opened::Ended`].
    ///
    /// # Errors
    /// As [`Self::standing`].
    pub fn at(&self, lane: &LaneId, transaction: TransactionId) -> Result<Opened, RegisterError> {
        self.settle(transaction);
        let known = self.known();
        if let Some(error) = known.doubted.get(&transaction) {
            return Err(error.clone().into());
        }
        let found = known
            .open
            .get(&transaction)
            .filter(|open| open.standing().lane == *lane)
            .map(|open| Opened::Running(Arc::clone(open)));
        let ended = || known.ended.get(&transaction).filter(|held| held.lane == *lane);
        found
            .or_else(|| ended().cloned().map(Opened::Ended))
            .ok_or(RegisterError::Unknown { transaction })
    }

    /// Takes the one override that a referred transaction has. False where it has none: it was not
    /// referred, its document failed its check, or somebody took it.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`].
    pub fn take_override(
        &self,
        lane: &LaneId,
        transaction: TransactionId,
    ) -> Result<Option<Referral>, RegisterError> {
        self.standing(lane, transaction)?;
        Ok(self.known().overridable.remove(&transaction))
    }

    /// Gives an override back that came to nothing.
    pub fn return_override(&self, transaction: TransactionId, referral: Referral) {
        self.known().overridable.insert(transaction, referral);
    }

    /// Ends everything that is open.
    pub fn tell_all(&self, told: Told) {
        let open: Vec<Arc<Open>> = self.known().open.values().cloned().collect();
        open.iter().for_each(|open| open.bell.tell(told));
    }

    /// Transactions that are open now.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.known().open.len()
    }

    /// Writes how a transaction ended. An error comes with whether it leaves a doubt: whether the
    /// journal may hold something else than Refer, which a restart tells where it reads no outcome.
    fn write_end(
        &self,
        journal: &mut Journal,
        ended: Standing,
    ) -> Result<Standing, (JournalError, bool)> {
        self.mend(journal).map_err(|error| (error, false))?;
        match journal.closed(&ended) {
            Ok(()) => Ok(ended),
            Err(error) => Err((error, ended.outcome != Some(Outcome::Refer))),
        }
    }

    /// Writes the journal anew where it is long, or where a write failed.
    fn mend(&self, journal: &mut Journal) -> Result<(), JournalError> {
        if journal.is_sound() && !journal.is_long() {
            return Ok(());
        }
        let standings = self.known().all();
        journal.rewrite(standings.iter())?;
        // It holds Refer for everybody who was in doubt: doubts are only added under its lock.
        self.known().doubted.clear();
        Ok(())
    }

    /// Writes the journal anew where a write failed, so that no outcome stays in doubt for want of
    /// somebody who asks. Called now and then.
    pub fn catch_up(&self) {
        if let Err(error) = self.mend(&mut self.journal()) {
            tracing::error!(%error, "no transaction can be opened");
        }
    }

    /// Tries to make sure of an outcome that is in doubt; `known` tells afterwards whether it is.
    fn settle(&self, transaction: TransactionId) {
        let is_in_doubt = self.known().doubted.contains_key(&transaction);
        if !is_in_doubt {
            return;
        }
        if let Err(error) = self.mend(&mut self.journal()) {
            tracing::error!(%error, "an outcome is still in doubt, and is not told");
        }
    }

    fn remember(
        &self,
        write: impl FnOnce(&mut Journal) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut journal = self.journal();
        self.mend(&mut journal)?;
        write(&mut journal)
    }

    /// Locked before what is known, never after.
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_admit(standing: &Standing) -> bool {
    standing.outcome == Some(Outcome::Admit)
}

impl Known {
    fn end(&mut self, ended: &Standing) {
        self.open.remove(&ended.transaction);
        self.ended.insert(ended.transaction, ended.clone());
        self.forget();
    }

    /// The transaction of this id, where there is one; refused where it, or the lane, is another's.
    fn find(&self, opening: &Opening) -> Result<Option<Opened>, RegisterError> {
        let transaction = opening.transaction;
        let here = |lane: &LaneId| match *lane == opening.lane {
            true => Ok(()),
            false => Err(RegisterError::OtherLane { transaction, lane: lane.clone() }),
        };
        if let Some(open) = self.open.get(&transaction) {
            here(&open.standing().lane)?;
            return Ok(Some(Opened::Running(Arc::clone(open))));
        }
        if let Some(ended) = self.ended.get(&transaction) {
            here(&ended.lane)?;
            if let Some(error) = self.doubted.get(&transaction) {
                return Err(error.clone().into());
            }
            return Ok(Some(Opened::Ended(ended.clone())));
        }
        if self.open.values().any(|open| open.standing().lane == opening.lane) {
            return Err(RegisterError::LaneOccupied { lane: opening.lane.clone() });
        }
        Ok(None)
    }

    /// Which attempt an opening is. An earlier one counts once: a second retry of the same
    /// transaction would be a further attempt under another name.
    fn attempt(&mut self, opening: &Opening) -> Result<u8, RegisterError> {
        let Some(earlier) = opening.retry_of else { return Ok(1) };
        let refused = RegisterError::NoRetry { earlier };
        let offered = self.ended.get(&earlier).filter(|standing| {
            standing.lane == opening.lane && standing.outcome == Some(Outcome::Retry)
        });
        let attempt = offered.map(|standing| standing.attempt.saturating_add(1));
        let attempt = attempt.filter(|attempt| *attempt <= ATTEMPTS_MAX).ok_or(refused.clone())?;
        if self.retried.insert(earlier) { Ok(attempt) } else { Err(refused) }
    }

    fn forget(&mut self) {
        while self.order.len() > TRANSACTIONS_REMEMBERED {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.open.contains_key(&oldest) {
                self.order.push_back(oldest);
                continue;
            }
            self.ended.remove(&oldest);
            self.doubted.remove(&oldest);
            self.retried.remove(&oldest);
            self.overridable.remove(&oldest);
        }
    }

    /// Everything that is known, oldest first.
    fn all(&self) -> Vec<Standing> {
        let standing = |id| {
            let open = || self.open.get(id).map(|open| open.standing());
            self.ended.get(id).cloned().or_else(open)
        };
        self.order.iter().filter_map(standing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register() -> Register {
        Register::new(Journal::in_memory(), Remembered::default())
    }

    fn opening(number: u8, lane: &str, retry_of: Option<u8>) -> Opening {
        Opening {
            transaction: TransactionId::from_bytes([number; 16]),
            lane: lane.parse().expect("a name"),
            retry_of: retry_of.map(|number| TransactionId::from_bytes([number; 16])),
            is_document_false: false,
        }
    }

    fn bell() -> Bell {
        Bell::new(Box::new(|| {}))
    }

    #[track_caller]
    fn new(register: &Register, opening: &Opening) -> Arc<Open> {
        match register.open(opening, bell()) {
            Ok(Opened::New(open)) => open,
            Ok(_) => panic!("{opening:?} was known"),
            Err(error) => panic!("{error}"),
        }
    }

    fn closing(outcome: Outcome) -> Closing {
        let display = Display::of_outcome(outcome, Display::ComeCloser);
        let reasons = vec!["ANY"];
        Closing { ended: Ended::Decided, outcome, reasons, display, chosen: None, input: None }
    }

    fn close(register: &Register, open: &Open, outcome: Outcome) -> Standing {
        register.close(open, &closing(outcome), &|| true).expect("remembered")
    }

    #[test]
    fn an_id_is_new_once_and_a_lane_has_one_transaction() {
        let register = register();
        let open = new(&register, &opening(1, "gate-1", None));
        assert!(matches!(
            register.open(&opening(1, "gate-1", None), bell()),
            Ok(Opened::Running(_))
        ));
        for (wish, refused) in [
            (opening(1, "gate-2", None), "belongs to lane gate-1"),
            (opening(2, "gate-1", None), "has a transaction open"),
        ] {
            let error = register.open(&wish, bell()).err().expect("refused").to_string();
            assert!(error.contains(refused), "{error}");
        }
        new(&register, &opening(3, "gate-2", None));
        let ended = close(&register, &open, Outcome::Admit);
        assert_eq!(ended.outcome, Some(Outcome::Admit));
        match register.open(&opening(1, "gate-1", None), bell()) {
            Ok(Opened::Ended(standing)) => assert_eq!(standing, ended),
            _ => panic!("the stored outcome"),
        }
        assert!(register.open(&opening(1, "gate-2", None), bell()).is_err());
        new(&register, &opening(2, "gate-1", None));
        assert_eq!(register.open_count(), 2);
    }

    #[test]
    fn a_retry_is_offered_once_and_counted() {
        let register = register();
        let mut earlier = None;
        for number in 1..=ATTEMPTS_MAX {
            let open = new(&register, &opening(number, "gate-1", earlier));
            assert_eq!(open.standing().attempt, number);
            close(&register, &open, Outcome::Retry);
            earlier = Some(number);
        }
        let no_retry = |number: u8, earlier: u8| {
            let wish = opening(number, "gate-1", Some(earlier));
            matches!(register.open(&wish, bell()), Err(RegisterError::NoRetry { .. }))
        };
        assert!(no_retry(100, ATTEMPTS_MAX), "as many attempts as there may be");
        assert!(no_retry(101, 1), "followed already");
        assert!(no_retry(102, 99), "never opened");
        let open = new(&register, &opening(50, "gate-1", None));
        close(&register, &open, Outcome::Refer);
        assert!(no_retry(103, 50), "referred");
    }

    #[test]
    fn whom_the_gate_referred_is_let_in_once_and_never_after_a_false_document() {
        let register = register();
        let lane: LaneId = "gate-1".parse().expect("a name");
        let id = |number: u8| TransactionId::from_bytes([number; 16]);
        let take = |number: u8| register.take_override(&lane, id(number)).expect("it is known");
        let takes = |number: u8| take(number).is_some();
        let open = new(&register, &opening(1, "gate-1", None));
        assert!(!takes(1), "it is open");
        open.ends_at(7);
        open.ends_at(8);
        close(&register, &open, Outcome::Refer);
        let referral = take(1).expect("it is referred");
        assert_eq!((referral.since_us, takes(1)), (Some(7), false));
        register.return_override(id(1), referral);
        assert_eq!(take(1), Some(referral), "the audit did not hold it");
        for (number, outcome) in [(2, Outcome::Admit), (3, Outcome::Retry)] {
            let open = new(&register, &opening(number, "gate-1", None));
            close(&register, &open, outcome);
            assert!(!takes(number), "{outcome:?}");
        }
        let wish = Opening { is_document_false: true, ..opening(4, "gate-1", None) };
        close(&register, &new(&register, &wish), Outcome::Refer);
        assert!(!takes(4));
        assert!(register.take_override(&lane, id(9)).is_err());
    }

    #[test]
    fn a_restart_does_not_offer_a_retry_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions.jsonl");
        let (journal, remembered) = Journal::open(&path, 10).expect("a new file");
        let register = Register::new(journal, remembered);
        let open = new(&register, &opening(1, "gate-1", None));
        close(&register, &open, Outcome::Retry);
        let open = new(&register, &opening(2, "gate-1", Some(1)));
        close(&register, &open, Outcome::Refer);
        drop(register);
        // Written anew by each start: what follows what must outlive that, too.
        for number in [3, 4] {
            let (journal, remembered) = Journal::open(&path, 10).expect("the same file");
            let register = Register::new(journal, remembered);
            let wish = opening(number, "gate-1", Some(1));
            let refused = register.open(&wish, bell());
            assert!(matches!(refused, Err(RegisterError::NoRetry { .. })), "start {number}");
        }
    }

    #[test]
    fn an_admit_that_was_written_too_late_is_refer_and_stays_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("transactions.jsonl");
        let (journal, remembered) = Journal::open(&path, 10).expect("a new file");
        let register = Register::new(journal, remembered);
        let open = new(&register, &opening(1, "gate-1", None));
        let told = register.close(&open, &closing(Outcome::Admit), &|| false).expect("remembered");
        assert_eq!((told.ended, told.outcome), (Some(Ended::TimedOut), Some(Outcome::Refer)));
        let open = new(&register, &opening(2, "gate-1", None));
        let retried =
            register.close(&open, &closing(Outcome::Retry), &|| false).expect("so is this");
        assert_eq!(retried.outcome, Some(Outcome::Retry), "nothing opens late by it");
        drop(register);
        let (_, remembered) = Journal::open(&path, 10).expect("the same file");
        assert_eq!(remembered.standings[0], told, "a restart tells what was told");
    }

    #[test]
    fn the_oldest_outcome_is_forgotten_and_an_open_transaction_never() {
        let register = register();
        let kept = new(&register, &opening(255, "gate-2", None));
        let id = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_le_bytes());
            TransactionId::from_bytes(id)
        };
        let lane: LaneId = "gate-1".parse().expect("a name");
        for number in 1..=TRANSACTIONS_REMEMBERED + 1 {
            let wish = Opening {
                transaction: id(number),
                lane: lane.clone(),
                retry_of: None,
                is_document_false: false,
            };
            let open = new(&register, &wish);
            close(&register, &open, Outcome::Refer);
        }
        assert!(register.standing(&lane, id(1)).is_err(), "forgotten");
        assert!(register.standing(&lane, id(TRANSACTIONS_REMEMBERED + 1)).is_ok());
        let open =
            register.standing(&"gate-2".parse().expect("a name"), kept.standing().transaction);
        assert_eq!(open.expect("still open").ended, None);
    }

    #[test]
    fn a_watcher_hears_each_change_once_and_the_end() {
        use std::sync::mpsc;
        let register = register();
        let open = new(&register, &opening(1, "gate-1", None));
        let (told, heard) = mpsc::channel();
        assert!(open.watch(Box::new(move |standing| told.send(standing.display).is_ok())));
        open.shows(Display::ComeCloser);
        open.shows(Display::ComeCloser);
        close(&register, &open, Outcome::Refer);
        let displays: Vec<Display> = heard.iter().collect();
        assert_eq!(displays, [Display::LookAtCamera, Display::ComeCloser, Display::AskOfficer]);
        let open = new(&register, &opening(2, "gate-1", None));
        let silent = || -> Watcher { Box::new(|_| true) };
        assert!((0..WATCHERS_MAX).all(|_| open.watch(silent())));
        assert!(!open.watch(silent()), "as many as may");
    }
}
