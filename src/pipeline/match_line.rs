//! The match line: search → decide → reply, for every transaction that waits.
//!
//! There are several, alike, each turned by an owner of its own. A line takes everybody who waits,
//! up to what one search takes; while it searches, the next line takes those who came meanwhile,
//! and their search joins the scan that runs. What a line decides in one turn it records in one
//! write. Deciding and recording take time, too: what was in time before may not be after, and is
//! answered as late; it admits nobody.
//!
//! Invariant: a transaction that arrives here is answered once, whatever panics on the way; its
//! place in the table is free, and its frames are zero, before its reply is handed over.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Reply,
    decide::Decide,
    desk::Desk,
    job::{Goal, Job},
    pulse::Pulse,
    search::Search,
};
use crate::{
    limits::SEARCH_PROBES_MAX,
    meter::{AttackFinding, Fate, LaneKind, Part, Shed, Stage},
    policy::ATTACK_SUSPECTED,
    types::{Attack, CaptureFact, EngineFact, Outcome},
};

/// Compares, decides, answers. One owner turns it.
pub struct MatchLine {
    desk: Arc<Desk>,
    search: Search,
    decide: Decide,
    tickets: Vec<u32>,
    jobs: Vec<Job>,
    replies: Vec<Reply>,
    pulse: Arc<Pulse>,
}

impl MatchLine {
    pub(super) fn new(desk: Arc<Desk>, search: Search, decide: Decide) -> Self {
        Self {
            pulse: desk.pulses.another(),
            desk,
            search,
            decide,
            tickets: Vec::with_capacity(SEARCH_PROBES_MAX),
            jobs: Vec::with_capacity(SEARCH_PROBES_MAX),
            replies: Vec::with_capacity(SEARCH_PROBES_MAX),
        }
    }

    /// Another line beside this one, for another owner: the same desk, the same engine.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::new(Arc::clone(&self.desk), self.search.clone(), self.decide.another())
    }

    /// Answers the transactions that wait. False when there was none.
    pub fn turn(&mut self) -> bool {
        while self.jobs.len() < SEARCH_PROBES_MAX {
            let Some(ticket) = self.desk.embedded.pop() else {
                break;
            };
            self.tickets.push(ticket);
            self.jobs.push(self.desk.table.take(ticket));
        }
        if self.jobs.is_empty() {
            return false;
        }
        self.pulse.begins(self.desk.clock.monotonic_us());
        self.search();
        let (began_us, done_us) = self.decide();
        let jobs = self.tickets.drain(..).zip(self.jobs.drain(..));
        for ((ticket, mut job), mut reply) in jobs.zip(self.replies.drain(..)) {
            reply.spent.decide_us = done_us - began_us;
            reply.late = job.engine == EngineFact::Late || done_us >= job.deadline_us;
            answer(&self.desk, ticket, &mut job, reply, done_us);
        }
        self.pulse.ends();
        true
    }

    /// One reply per job. From when to when it took.
    fn decide(&mut self) -> (u64, u64) {
        let desk = &self.desk;
        let began_us = desk.clock.monotonic_us();
        let judged_us = desk.judged_us(began_us);
        self.jobs.iter_mut().for_each(|job| {
            job.is_sound_at(judged_us);
        });
        self.decide.step(desk.clock.civil_s(), &mut self.jobs, &mut self.replies);
        loop {
            // Until nobody's time has passed while that of others was written.
            let now = (desk.clock.monotonic_us(), desk.clock.civil_s());
            if !self.decide.withhold(now, &self.jobs, &mut self.replies) {
                return (began_us, now.0);
            }
        }
    }

    fn search(&mut self) {
        let began_us = self.desk.clock.monotonic_us();
        let judged_us = self.desk.judged_us(began_us);
        self.jobs.iter_mut().for_each(|job| {
            job.is_sound_at(judged_us);
        });
        let now_s = self.desk.clock.civil_s();
        // Unwind safety: results of a search that panicked are thrown away below.
        let searched = catch_unwind(AssertUnwindSafe(|| self.search.step(now_s, &mut self.jobs)));
        let done_us = self.desk.clock.monotonic_us();
        if searched.is_err() {
            self.desk.meter.restart(Part::Stage);
        }
        for job in &mut self.jobs {
            job.spent.handover_us = began_us.saturating_sub(job.embedded_us);
            job.spent.search_us = done_us - began_us;
            if searched.is_err() {
                job.scores.clear();
                job.found = None;
                job.fail(EngineFact::Lost);
            }
        }
    }
}

fn answer(desk: &Desk, ticket: u32, job: &mut Job, reply: Reply, done_us: u64) {
    desk.pace.matched(job.matching, done_us.saturating_sub(job.embedded_us), done_us);
    meter(desk, job, &reply, done_us);
    let reply_to = std::mem::replace(&mut job.reply, Box::new(|_| {}));
    desk.table.release(ticket);
    // Unwind safety: what the caller does with its answer cannot hurt the next transaction.
    let _ = catch_unwind(AssertUnwindSafe(|| reply_to(reply)));
}

fn meter(desk: &Desk, job: &mut Job, reply: &Reply, done_us: u64) {
    let spent = &reply.spent;
    let meter = &desk.meter;
    let stage = |stage, us| meter.stage(stage, job.lane, us);
    if job.lane == LaneKind::Request {
        stage(Stage::Slots, spent.slots_us);
    }
    stage(Stage::Capture, spent.capture_us);
    stage(Stage::Batch, spent.batch_us);
    if job.probe().capture.is_some() {
        stage(Stage::Detect, spent.detect_us);
    }
    if spent.attack_us > 0 {
        stage(Stage::Attack, spent.attack_us);
    }
    if spent.embed_us > 0 {
        stage(Stage::Embed, spent.embed_us);
        stage(Stage::Handover, spent.handover_us);
        stage(Stage::Search, spent.search_us);
    }
    stage(Stage::Decide, spent.decide_us);
    if matches!(job.goal, Goal::Reference) {
        return settle(job, reply.late); // nothing was decided about anybody
    }
    stage(Stage::Transaction, done_us - job.submitted_us);
    // What a lane's frame comes to is not what the gate is told; its transaction counts that.
    if job.facts.asked.at_lane.is_none() {
        meter.outcome(reply.verdict.outcome);
    }
    if job.probe().capture == Some(CaptureFact::Usable) {
        meter.attack(attack_finding(reply));
    }
    settle(job, reply.late);
    debug_assert!(
        job.engine == EngineFact::Sound && !reply.late || reply.verdict.outcome != Outcome::Admit,
        "a failing engine never admits, nor does a late answer"
    );
}

/// Counts its frames.
fn settle(job: &mut Job, late: bool) {
    let is_cancelled = job.engine == EngineFact::Late && job.is_given_up();
    for offered in job.samples.iter_mut().filter_map(|sample| sample.offered.take()) {
        match (is_cancelled, late) {
            (true, _) => offered.shed(Shed::Cancelled),
            (false, true) => offered.worked_on(Fate::Late),
            (false, false) => offered.worked_on(Fate::Answered),
        }
    }
}

/// What presentation attack detection came to; never the score.
fn attack_finding(reply: &Reply) -> AttackFinding {
    let suspected = reply.verdict.reasons.iter().any(|reason| reason.code == ATTACK_SUSPECTED);
    match reply.attack {
        Attack::NotPerformed => AttackFinding::NotPerformed,
        Attack::Score(_) if suspected => AttackFinding::Suspected,
        Attack::Score(_) => AttackFinding::Passed,
    }
}
