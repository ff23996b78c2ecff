//! What a search owes beyond its answer: erasing whoever came back, a record of the use, and a hit
//! that waits for two persons. And what persons do about it: vote, read, override.
//!
//! Invariant: nobody hears Admit of a search that owes an erasure before the erasure is durable; a
//! duty that cannot be carried out makes the answer Refer.

use super::{Appliance, administer::Meant, execute::Errand};
use crate::{
    audit::{AuditEntry, AuditSink, AuditUse},
    command::{Answer, HitStanding, Refusal, Stand, Vote, VoteRefused},
    duty::confirmation::{Confirmations, Sighting},
    limits::{HIT_WAIT_S, VISITS_MAX},
    ops::score::score,
    pipeline::{AUDIT_UNAVAILABLE, ENGINE_LATE, Reply},
    types::{
        Action, Candidate, GalleryId, Hash256, Obligation, Outcome, Reason, SubjectId, Template,
        TransactionId, Verdict,
    },
};

/// Persons who confirm a hit where no law finds two disproportionate (AI Act Art. 14(5)).
const PERSONS: usize = 2;

const NOT_ERASED: Reason = Reason {
    code: "NOT_ERASED",
    text: "What was stored of the guest could not be erased; the staff lets the guest in.",
};
const HIT_NOT_KEPT: Reason = Reason {
    code: "HIT_NOT_KEPT",
    text: "The hit cannot be remembered beyond a restart; an officer decides at once.",
};
const TOO_MANY_HITS: Reason = Reason {
    code: "HITS_FULL",
    text: "Too many hits wait for confirmation; an officer decides at once.",
};

impl Appliance {
    /// Carries out what a search owes, before its answer leaves. `input` is the picture that was
    /// searched for, where it was handed over with the request.
    pub(super) fn after_search(
        &self,
        errand: &Errand,
        began_s: i64,
        input: Option<&[u8]>,
        reply: &mut Reply,
    ) {
        let admits = reply.verdict.outcome == Outcome::Admit;
        let input = input.filter(|_| is_kept(errand) && !reply.candidates.is_empty());
        let input = input.map(Hash256::of);
        if let Err(reason) = self.carry_out_owed(errand, (began_s, input), reply, admits) {
            reply.verdict = referred(&reply.verdict, reason);
            reply.candidates = Vec::new();
        }
        // What was owed took time, too.
        self.refer_if_late(errand, reply);
    }

    /// Takes an Admit back whose time is up, and records that; true where it was one. A gate that
    /// opens late may open for somebody else.
    pub(super) fn refer_if_late(&self, errand: &Errand, reply: &mut Reply) -> bool {
        if reply.verdict.outcome != Outcome::Admit || !self.is_late(errand) {
            return false;
        }
        reply.verdict = referred(&reply.verdict, ENGINE_LATE);
        let entry = self.entry(errand, None, vec![ENGINE_LATE.code]);
        self.audit.must_hold(AuditEntry { outcome: Some(Outcome::Refer), ..entry });
        true
    }

    /// The same for a lane's transaction, of whose chosen frame `input` is the hash; why it is
    /// Refer instead.
    pub(super) fn carry_out_owed(
        &self,
        errand: &Errand,
        (began_s, input): (i64, Option<Hash256>),
        reply: &Reply,
        admits: bool,
    ) -> Result<(), Reason> {
        let Some(name) = errand
            .asked
            .gallery
            .as_ref()
            .filter(|_| self.site.is_some() && errand.asked.action == Action::Identify)
        else {
            return Ok(());
        };
        let best = reply.candidates.first().map(|best| best.subject);
        let is_hit = errand.owed.contains(&Obligation::ConfirmByTwo) && best.is_some();
        if errand.owed.contains(&Obligation::LogUse) {
            let input = input.filter(|_| best.is_some());
            self.log_use(errand, began_s, input, reply)?;
        }
        if let (true, Some(subject)) = (is_hit, best) {
            self.open_hit(errand, reply.transaction, subject)?;
        }
        if admits && errand.owed.contains(&Obligation::EraseOnMatch) {
            self.erase_matched(errand, name, &reply.candidates)?;
        }
        Ok(())
    }

    /// How many candidates a search finds for one that asked for `best`: where whoever is found is
    /// erased, also those under whom the same person was enrolled once more.
    pub(super) fn best_of(&self, errand: &Errand, best: usize) -> usize {
        match self.site.is_some() && errand.owed.contains(&Obligation::EraseOnMatch) {
            true => best.max(VISITS_MAX),
            false => best,
        }
    }

    /// AI Act Art. 12(3): an entry of its own beside the decision's, whose time is the end of the
    /// use.
    fn log_use(
        &self,
        errand: &Errand,
        began_s: i64,
        matched_input: Option<Hash256>,
        reply: &Reply,
    ) -> Result<(), Reason> {
        let generation = reply.certificate.map_or(0, |certificate| certificate.generation);
        let used = AuditUse {
            began_s,
            generation,
            threshold: self.threshold.score,
            fmr: self.threshold.fmr,
            best: reply.candidates.first().map(|best| best.score),
            matched_input,
            verified_by: Vec::new(),
        };
        let entry = AuditEntry {
            transaction: reply.transaction,
            used: Some(used),
            ..self.entry(errand, None, vec!["USE_LOGGED"])
        };
        self.audit.record(std::slice::from_ref(&entry)).map_err(|_| AUDIT_UNAVAILABLE)
    }

    /// Opens a hit under the name that whoever searched is told: at a lane the gate's own of the
    /// transaction, elsewhere the search's.
    fn open_hit(
        &self,
        errand: &Errand,
        search: TransactionId,
        subject: SubjectId,
    ) -> Result<(), Reason> {
        let Some(site) = &self.site else { return Ok(()) };
        let at = errand.asked.at_lane.as_ref();
        let hit = at.map_or(search, |at| at.transaction);
        let seen = Sighting { subject, lane: at.map(|at| at.lane.clone()) };
        let now_s = self.world.clock.civil_s();
        let needed = PERSONS.max(site.profile.officers.confirmations as usize);
        let mut hits = site.hits();
        let opened = hits.open(hit, seen, needed, now_s + HIT_WAIT_S, now_s);
        opened.map_err(|_| TOO_MANY_HITS)?;
        site.remember(&hits, now_s).map_err(|error| {
            tracing::error!(%error, "a hit that waits");
            hits.withdraw(hit);
            HIT_NOT_KEPT
        })
    }

    /// Has the audit say of each hit to which nobody answered in time, or whose wait a restart
    /// ended, that it was referred. A hit is over when the audit holds that, and not before.
    pub(super) fn tell_of_lapsed_hits(&self) {
        let Some(site) = &self.site else { return };
        let now_s = self.world.clock.civil_s();
        let mut hits = site.hits();
        let lapsed = hits.lapsed(now_s);
        if lapsed.is_empty() {
            return;
        }
        for (hit, subject) in lapsed {
            let reason = if subject.is_some() { "HIT_LAPSED" } else { "HIT_INTERRUPTED" };
            let entry = AuditEntry {
                subject,
                outcome: Some(Outcome::Refer),
                ..self.of_itself(hit, Action::Confirm, reason)
            };
            if self.write(&entry).is_ok() {
                hits.lapse(hit);
            }
        }
        if let Err(error) = site.remember(&hits, now_s) {
            tracing::error!(%error, "hits that are over may be told of again");
        }
    }

    /// The guest is back: template and record go before the gate is told, those of an earlier visit
    /// as well after which the guest came back another way.
    fn erase_matched(
        &self,
        errand: &Errand,
        name: &GalleryId,
        found: &[Candidate],
    ) -> Result<(), Reason> {
        let erase = |subject| {
            let meant = Meant { subject: Some(subject), selection: None, frames: None };
            let done = self.in_audit(errand, meant, || self.erase_one(errand, name, subject))?;
            self.settled(errand, done).map(drop)
        };
        let subjects = self.same_person(name, found);
        let erased = subjects.and_then(|subjects| subjects.into_iter().try_for_each(erase));
        erased.map_err(|refusal| {
            tracing::error!(%refusal, "a guest who came back is not erased");
            NOT_ERASED
        })
    }

    /// The best candidate, and those of the others who are the same person by their own references,
    /// too: among many guests one of them resembles another well enough to be found, and is
    /// somebody else who wants to come back.
    fn same_person(
        &self,
        name: &GalleryId,
        found: &[Candidate],
    ) -> Result<Vec<SubjectId>, Refusal> {
        let Some((best, others)) = found.split_first() else { return Ok(Vec::new()) };
        let mut same = vec![best.subject];
        if others.is_empty() {
            return Ok(same);
        }
        let gallery = self.galleries.searchable(name)?;
        let references = |subject| {
            let held = gallery.references_of(subject);
            held.map_err(|error| Refusal::of_gallery(name, error))
        };
        let own = references(best.subject)?;
        for other in others {
            let held = references(other.subject)?;
            let resembles = |one: &Template| {
                let score = |its: &Template| score(one.values(), its.values());
                own.iter().any(|its| score(its) >= self.threshold.score)
            };
            if held.iter().any(resembles) {
                same.push(other.subject);
            }
        }
        Ok(same)
    }

    pub(super) fn vote(
        &self,
        errand: &Errand,
        hit: TransactionId,
        vote: Vote,
    ) -> Result<Answer, Refusal> {
        let (site, now_s) = (self.at_site()?, self.world.clock.civil_s());
        let voter = site.voter(&errand.asked.caller).ok_or(VoteRefused::Untrained)?;
        // The lock is held until the audit has the vote: two last votes cannot both settle it.
        let mut hits = site.hits();
        let stand = hits.vote(hit, &voter, vote, now_s)?;
        let code = match vote {
            Vote::Confirm => "HIT_CONFIRMED_BY_ONE",
            Vote::Reject => "HIT_REJECTED",
        };
        let settled = (stand == Stand::Confirmed).then_some("HIT_CONFIRMED");
        let used = AuditUse {
            began_s: now_s,
            generation: 0,
            threshold: self.threshold.score,
            fmr: self.threshold.fmr,
            best: None,
            matched_input: None,
            verified_by: hits.verified_by(hit, now_s),
        };
        let codes = [code].into_iter().chain(settled).collect();
        let entry = AuditEntry {
            transaction: hit,
            person: Some(voter.person.clone()),
            used: Some(used),
            ..self.entry(errand, hits.subject(hit), codes)
        };
        if let Err(refusal) = self.write(&entry) {
            hits.unvote(hit, &voter.person);
            return Err(refusal);
        }
        if stand != Stand::Pending
            && let Err(error) = site.remember(&hits, now_s)
        {
            tracing::error!(%error, "a hit that is settled may be told of as interrupted");
        }
        told(&hits, hit, now_s)
    }

    /// The hits that wait for somebody's answer.
    pub(super) fn list_hits(&self, errand: &Errand) -> Result<Answer, Refusal> {
        let (site, now_s) = (self.at_site()?, self.world.clock.civil_s());
        let waiting: Vec<HitStanding> = {
            let hits = site.hits();
            let waiting = hits.pending(now_s);
            waiting.filter_map(|hit| standing(&hits, hit, now_s)).collect()
        };
        self.record(errand, None, vec!["HITS_LISTED"])?;
        Ok(Answer::Hits(waiting))
    }

    pub(super) fn read_hit(&self, errand: &Errand, hit: TransactionId) -> Result<Answer, Refusal> {
        let (site, now_s) = (self.at_site()?, self.world.clock.civil_s());
        let standing = told(&site.hits(), hit, now_s)?;
        self.record(errand, None, vec!["HIT_READ"])?;
        Ok(standing)
    }
}

/// Whether the input of a match is to be kept (AI Act Art. 12(3)(c)): its hash is, the picture
/// itself stays with whoever sent it.
pub(super) fn is_kept(errand: &Errand) -> bool {
    errand.owed.contains(&Obligation::KeepMatchedInput)
}

fn told(hits: &Confirmations, hit: TransactionId, now_s: i64) -> Result<Answer, Refusal> {
    Ok(Answer::Hit(standing(hits, hit, now_s).ok_or(VoteRefused::Unknown)?))
}

fn standing(hits: &Confirmations, hit: TransactionId, now_s: i64) -> Option<HitStanding> {
    let stand = hits.stand(hit, now_s)?;
    let (subject, lane) = (hits.subject(hit), hits.lane(hit));
    Some(HitStanding { hit, subject, lane, stand, verified_by: hits.verified_by(hit, now_s) })
}

/// The verdict of a duty that failed.
fn referred(verdict: &Verdict, reason: Reason) -> Verdict {
    Verdict {
        outcome: Outcome::Refer,
        reasons: [reason].into_iter().collect(),
        obligations: verdict.obligations,
    }
}
