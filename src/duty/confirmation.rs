//! Two persons, separately: a hit of a watchlist is a question until both have answered (AI Act
//! Art. 14(5)).
//!
//! Neither is told what the other said before both have. One who says no ends it: nothing is done
//! to anybody. The same person under two credentials is one person; training that has expired, or a
//! credential that names no person, does not count.
//!
//! A restart ends the wait, and nothing is done to anybody: whoever was seen may be elsewhere by
//! then, the first answer was about a moment that is over, and an officer who still wants to know
//! searches again. So only the names of hits that wait outlive the process
//! ([`Confirmations::waiting`]), for the audit to say of each that it ended.
//!
//! Invariant: pure; a hit that is not confirmed by as many different persons as it needs is never
//! [`Stand::Confirmed`], whatever the order of calls; it ends by itself, and none is forgotten that
//! ended so before somebody was told ([`Confirmations::lapsed`]).

use std::collections::BTreeMap;

use crate::{
    limits::HITS_MAX,
    types::{ClientId, LaneId, SubjectId, TransactionId},
};

/// What one person says of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// It is the person on the list.
    Confirm,
    /// It is not.
    Reject,
}

/// How a hit stands, as far as anybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Somebody has still to answer. How many have is not told, nor what they said.
    Pending,
    /// As many different persons as it needs confirmed it.
    Confirmed,
    /// Somebody rejected it.
    Rejected,
    /// Nobody answered in time: nothing is done.
    Lapsed,
}

/// Who votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// The person: a name of the configuration, such as a badge number.
    pub person: ClientId,
    /// First second at which the training does not count any more; `None` for none at all.
    pub trained_until_s: Option<i64>,
}

/// Why a vote does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    /// No such hit, or it was forgotten.
    #[error("no hit of that transaction waits here")]
    Unknown,
    /// The same person has voted.
    #[error("this person has already answered; another one must")]
    SamePerson,
    /// No training, or it has expired.
    #[error("the training of this person has expired or was never recorded")]
    Untrained,
    /// It is decided.
    #[error("this hit is decided already")]
    Settled,
}

/// As many hits wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{HITS_MAX} hits wait for their confirmations; more are referred to an officer at once")]
pub struct TooManyHits;

/// Who was seen, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The entry of the list.
    pub subject: SubjectId,
    /// The lane; `None` for a search by somebody at a desk.
    pub lane: Option<LaneId>,
}

#[derive(Debug)]
struct Hit {
    /// `None` where a restart ended the wait.
    seen: Option<Sighting>,
    needed: usize,
    ends_s: i64,
    votes: Vec<(ClientId, Vote)>,
    /// It is told that nobody answered in time: it stays so, whatever the clock says.
    lapsed: bool,
}

impl Hit {
    fn subject(&self) -> Option<SubjectId> {
        self.seen.as_ref().map(|seen| seen.subject)
    }

    fn stand(&self, now_s: i64) -> Stand {
        if self.votes.iter().any(|(_, vote)| *vote == Vote::Reject) {
            return Stand::Rejected;
        }
        if self.votes.len() >= self.needed {
            return Stand::Confirmed;
        }
        if self.lapsed || now_s >= self.ends_s { Stand::Lapsed } else { Stand::Pending }
    }

    /// Whether somebody has still to be told how it ends.
    fn is_owed(&self, now_s: i64) -> bool {
        match self.stand(now_s) {
            Stand::Pending => true,
            Stand::Lapsed => !self.lapsed,
            Stand::Confirmed | Stand::Rejected => false,
        }
    }
}

/// Hits that wait for their confirmations.
#[derive(Debug, Default)]
pub struct Confirmations {
    hits: BTreeMap<TransactionId, Hit>,
}

impl Confirmations {
    /// A hit on whoever was `seen` begins to wait until `ends_s`; `needed` different persons
    /// confirm it (one, where a law finds two disproportionate). Offering it again changes nothing.
    ///
    /// # Errors
    /// [`TooManyHits`].
    pub fn open(
        &mut self,
        hit: TransactionId,
        seen: Sighting,
        needed: usize,
        ends_s: i64,
        now_s: i64,
    ) -> Result<(), TooManyHits> {
        self.hits.retain(|_, held| held.ends_s > now_s || held.is_owed(now_s));
        if self.hits.len() >= HITS_MAX && !self.hits.contains_key(&hit) {
            return Err(TooManyHits);
        }
        let (seen, needed) = (Some(seen), needed.max(1));
        let fresh = Hit { seen, needed, ends_s, votes: Vec::new(), lapsed: false };
        self.hits.entry(hit).or_insert(fresh);
        Ok(())
    }

    /// A hit that waited when the process ended: its time is over, and nobody was told yet.
    pub fn interrupted(&mut self, hit: TransactionId) {
        let (votes, ends_s) = (Vec::new(), i64::MIN);
        let over = Hit { seen: None, needed: usize::MAX, ends_s, votes, lapsed: false };
        self.hits.entry(hit).or_insert(over);
    }

    /// Takes a hit back that could not be remembered: it was never open.
    pub fn withdraw(&mut self, hit: TransactionId) {
        self.hits.remove(&hit);
    }

    /// The hits of which somebody has still to be told how they end: what a restart must know.
    pub fn waiting(&self, now_s: i64) -> impl Iterator<Item = TransactionId> {
        self.hits.iter().filter(move |(_, held)| held.is_owed(now_s)).map(|(hit, _)| *hit)
    }

    /// The hits to which nobody answered in time, and of which that was not told yet.
    #[must_use]
    pub fn lapsed(&self, now_s: i64) -> Vec<(TransactionId, Option<SubjectId>)> {
        let over = self
            .hits
            .iter()
            .filter(|(_, held)| held.is_owed(now_s) && held.stand(now_s) == Stand::Lapsed);
        over.map(|(hit, held)| (*hit, held.subject())).collect()
    }

    /// It was told that nobody answered in time.
    pub fn lapse(&mut self, hit: TransactionId) {
        if let Some(held) = self.hits.get_mut(&hit) {
            held.lapsed = true;
        }
    }

    /// One person answers.
    ///
    /// # Errors
    /// [`VoteRefused`]; nothing has changed then.
    pub fn vote(
        &mut self,
        hit: TransactionId,
        voter: &Voter,
        vote: Vote,
        now_s: i64,
    ) -> Result<Stand, VoteRefused> {
        let held = self.hits.get_mut(&hit).ok_or(VoteRefused::Unknown)?;
        if held.votes.iter().any(|(person, _)| *person == voter.person) {
            return Err(VoteRefused::SamePerson);
        }
        if voter.trained_until_s.is_none_or(|until_s| now_s >= until_s) {
            return Err(VoteRefused::Untrained);
        }
        if held.stand(now_s) != Stand::Pending {
            return Err(VoteRefused::Settled);
        }
        held.votes.push((voter.person.clone(), vote));
        Ok(held.stand(now_s))
    }

    /// Whether that person has answered already.
    #[must_use]
    pub fn has_voted(&self, hit: TransactionId, person: &ClientId) -> bool {
        let held = self.hits.get(&hit);
        held.is_some_and(|held| held.votes.iter().any(|(voter, _)| voter == person))
    }

    /// The entry of the list that the hit is about; unknown where a restart ended the wait.
    #[must_use]
    pub fn subject(&self, hit: TransactionId) -> Option<SubjectId> {
        self.hits.get(&hit).and_then(Hit::subject)
    }

    /// The lane at which it was; `None` where there was none, or where a restart ended the wait.
    #[must_use]
    pub fn lane(&self, hit: TransactionId) -> Option<LaneId> {
        self.hits.get(&hit)?.seen.as_ref()?.lane.clone()
    }

    /// The hits that wait for somebody's answer.
    pub fn pending(&self, now_s: i64) -> impl Iterator<Item = TransactionId> {
        let pending = self.hits.iter().filter(move |(_, held)| held.stand(now_s) == Stand::Pending);
        pending.map(|(hit, _)| *hit)
    }

    /// How a hit stands.
    #[must_use]
    pub fn stand(&self, hit: TransactionId, now_s: i64) -> Option<Stand> {
        self.hits.get(&hit).map(|held| held.stand(now_s))
    }

    /// Who verified a hit, once it is settled; nobody while it is not.
    #[must_use]
    pub fn verified_by(&self, hit: TransactionId, now_s: i64) -> Vec<ClientId> {
        let Some(held) = self.hits.get(&hit) else { return Vec::new() };
        match held.stand(now_s) {
            Stand::Pending => Vec::new(),
            Stand::Confirmed | Stand::Rejected | Stand::Lapsed => {
                held.votes.iter().map(|(person, _)| person.clone()).collect()
            }
        }
    }

    /// Takes a vote back that could not be written down: it was never given.
    pub fn unvote(&mut self, hit: TransactionId, person: &ClientId) {
        if let Some(held) = self.hits.get_mut(&hit) {
            held.votes.retain(|(voter, _)| voter != person);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIT: TransactionId = TransactionId::from_bytes([1; 16]);

    fn voter(at: u8) -> Voter {
        let person = format!("badge-{at}").parse().expect("a name");
        Voter { person, trained_until_s: Some(1_000) }
    }

    fn seen(lane: Option<&str>) -> Sighting {
        let lane = lane.map(|lane| lane.parse().expect("a name"));
        Sighting { subject: SubjectId::from_bytes([2; 16]), lane }
    }

    fn waiting() -> Confirmations {
        let mut held = Confirmations::default();
        held.open(HIT, seen(None), 2, 500, 0).expect("room");
        held
    }

    #[test]
    fn art_14_5_two_different_trained_persons_confirm_and_the_first_vote_is_not_told() {
        let mut held = waiting();
        assert_eq!(held.vote(HIT, &voter(1), Vote::Confirm, 10), Ok(Stand::Pending));
        assert_eq!(held.verified_by(HIT, 10), []);
        assert_eq!(held.vote(HIT, &voter(1), Vote::Confirm, 11), Err(VoteRefused::SamePerson));
        let untrained = Voter { trained_until_s: None, ..voter(2) };
        assert_eq!(held.vote(HIT, &untrained, Vote::Confirm, 12), Err(VoteRefused::Untrained));
        let expired = Voter { trained_until_s: Some(12), ..voter(2) };
        assert_eq!(held.vote(HIT, &expired, Vote::Confirm, 12), Err(VoteRefused::Untrained));
        assert_eq!(held.vote(HIT, &voter(2), Vote::Confirm, 13), Ok(Stand::Confirmed));
        assert_eq!(held.verified_by(HIT, 14).len(), 2);
        assert_eq!(held.vote(HIT, &voter(3), Vote::Reject, 15), Err(VoteRefused::Settled));
    }

    #[test]
    fn art_14_4_a_no_and_silence_end_it() {
        let mut held = waiting();
        assert_eq!(held.vote(HIT, &voter(1), Vote::Reject, 10), Ok(Stand::Rejected));
        let mut held = waiting();
        assert_eq!(held.stand(HIT, 500), Some(Stand::Lapsed));
        assert_eq!(held.vote(HIT, &voter(1), Vote::Confirm, 500), Err(VoteRefused::Settled));
    }

    #[test]
    fn no_hit_that_waited_is_forgotten_before_it_is_told_how_it_ended() {
        let other = TransactionId::from_bytes([3; 16]);
        let mut held = waiting();
        assert_eq!(held.waiting(10).collect::<Vec<_>>(), [HIT]);
        assert_eq!(held.lapsed(10), []);
        let subject = SubjectId::from_bytes([2; 16]);
        held.open(other, seen(Some("gate-1")), 2, 9_000, 600).expect("room");
        assert_eq!(held.pending(600).collect::<Vec<_>>(), [other]);
        assert_eq!((held.lane(HIT), held.lane(other)), (None, "gate-1".parse().ok()));
        assert_eq!(held.lapsed(600), [(HIT, Some(subject))], "opening another forgot none");
        held.lapse(HIT);
        assert_eq!(held.lapsed(600), []);
        assert_eq!(held.stand(HIT, 10), Some(Stand::Lapsed), "the clock was set back");
        assert_eq!(held.waiting(600).collect::<Vec<_>>(), [other]);
        // The next process.
        let mut held = Confirmations::default();
        held.interrupted(other);
        assert_eq!(held.lapsed(i64::MIN), [(other, None)]);
        assert_eq!(held.vote(other, &voter(1), Vote::Confirm, 10), Err(VoteRefused::Settled));
        held.lapse(other);
        assert_eq!((held.waiting(10).count(), held.stand(other, 10)), (0, Some(Stand::Lapsed)));
    }

    proptest! {
        #[test]
        fn no_sequence_confirms_with_fewer_than_two_persons(
            calls in prop::collection::vec((0..3_u8, any::<bool>(), 0..600_i64), 0..20),
        ) {
            let mut held = waiting();
            let (mut yes, mut no) = (std::collections::BTreeSet::new(), 0);
            for (person, confirms, now_s) in calls {
                let vote = if confirms { Vote::Confirm } else { Vote::Reject };
                if held.vote(HIT, &voter(person), vote, now_s).is_ok() {
                    if confirms { yes.insert(person); } else { no += 1; }
                }
                if held.stand(HIT, now_s) == Some(Stand::Confirmed) {
                    prop_assert!(yes.len() >= 2 && no == 0);
                }
            }
        }
    }
}
