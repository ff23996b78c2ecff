//! Lane transactions: opened once, judged until they are sure, recorded before they are told.
//!
//! References are prepared when a transaction opens: a picture becomes a template, and its slot is
//! free again, before the first frame is looked at. What is enrolled is looked up for every frame.
//!
//! Invariant: audit, then journal, then answer. A transaction whose passage panics, or whose end
//! cannot be written, or is written only when its time is up, is Refer. Whatever fails, its lane is
//! free afterwards.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossbeam_utils::sync::Parker;

use super::{
    Appliance,
    execute::{Errand, GRACE_MS},
    hits::is_kept,
};
use crate::{
    audit::{AuditComparison, AuditEnd, AuditEntry},
    capture::lane::Lane,
    command::{
        Against, Answer, AtLane, Command, LaneCommand, Listener, Part, ReferenceSource, Refusal,
        Scope,
    },
    document::{dg2::Dg2, error::DocumentError, image::ImageError},
    limits::{LET_GO_US, REFERENCES_MAX, WATCHERS_MAX},
    meter::Stage,
    pipeline::{ENGINE_LATE, Known, Matching, Priority, Reference, Task},
    transaction::{
        self, Closing, Ended, Opened, Opening, RegisterError, Standing,
        bell::Bell,
        machine::{Terms, Told},
        passage::{Passage, Surroundings},
        register::Open,
    },
    types::{
        Attack, Authenticity, CaptureFact, GalleryId, Outcome, SubjectId, Threshold, TransactionId,
    },
};

/// What somebody wants to open.
struct Wish {
    against: Against,
    retry_of: Option<TransactionId>,
    listener: Option<Listener>,
}

impl Appliance {
    pub(super) fn at_lane(
        &self,
        errand: &Errand,
        at: &AtLane,
        command: LaneCommand,
    ) -> Result<Answer, Refusal> {
        let lane = self.lanes.set().lane(at.lane.as_str());
        let lane = lane.ok_or_else(|| Refusal::UnknownLane { lane: at.lane.clone() })?;
        let known = || self.register.at(&at.lane, at.transaction);
        let standing = match command {
            LaneCommand::Open { against, retry_of, listener, third_country: _ } => {
                let wish = Wish { against, retry_of, listener };
                self.transact(errand, &lane, at, wish)?
            }
            LaneCommand::Read => self.register.standing(&at.lane, at.transaction)?,
            LaneCommand::Watch(listener) => watch(known()?, listener)?,
            LaneCommand::Cancel => self.tell(errand, known()?, Told::Cancel)?,
            LaneCommand::Left => self.tell(errand, known()?, Told::Left)?,
            LaneCommand::Override => return self.override_referral(errand, at),
        };
        Ok(Answer::Transaction(standing))
    }

    /// A person lets the traveller in whom the machine referred (AI Act Art. 14(4); the Danish
    /// opinion of 2009, "doubt benefits the guest"). No image is needed, and nobody can be kept out
    /// by it. It is done once, and not where a document failed its check.
    fn override_referral(&self, errand: &Errand, at: &AtLane) -> Result<Answer, Refusal> {
        let transaction = at.transaction;
        let Some(referral) = self.register.take_override(&at.lane, transaction)? else {
            return Err(Refusal::NotReferred { transaction });
        };
        let now_us = self.world.clock.monotonic_us();
        let by_hand_us = referral.since_us.map(|since_us| now_us.saturating_sub(since_us));
        let person = self.site.as_ref().and_then(|site| site.voter(&errand.asked.caller));
        let written = self.write(&AuditEntry {
            outcome: Some(Outcome::Admit),
            person: person.map(|voter| voter.person),
            by_hand_ms: by_hand_us.map(|us| us / 1_000),
            ..self.entry(errand, None, vec!["OVERRIDDEN_BY_STAFF"])
        });
        if let Err(refusal) = written {
            self.register.return_override(transaction, referral);
            return Err(refusal);
        }
        if let Some(us) = by_hand_us {
            self.world.meter.by_hand(us);
        }
        Ok(Answer::Overridden { transaction })
    }

    /// Time that a lane's transaction has where its request names none.
    pub(super) fn lane_deadline_ms(&self, command: &Command) -> Option<u64> {
        let lane = self.lanes.set().lane(command.at_lane()?.lane.as_str())?;
        Some(lane.terms().deadline_ms)
    }

    fn transact(
        &self,
        errand: &Errand,
        lane: &Arc<Lane>,
        at: &AtLane,
        wish: Wish,
    ) -> Result<Standing, Refusal> {
        let Wish { against, retry_of, listener } = wish;
        match self.register.at(&at.lane, at.transaction) {
            Ok(known) => return self.join(errand, known, listener),
            Err(RegisterError::Unknown { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (against, is_document_false) = self.held_against(errand, against)?;
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        let bell = Bell::new(Box::new(move || unparker.unpark()));
        let (transaction, lane_id) = (at.transaction, at.lane.clone());
        let opening = Opening { transaction, lane: lane_id, retry_of, is_document_false };
        let open = match self.register.open(&opening, bell)? {
            Opened::New(open) => open,
            other => return self.join(errand, other, listener),
        };
        if let Some(Listener(listener)) = listener {
            open.watch(listener);
        }
        // Who stops the appliance says so first and then tells everybody who is open: whoever opens
        // meanwhile has seen the one or hears the other.
        if self.stopping.load(Ordering::SeqCst) {
            open.bell.tell(Told::Stop);
        }
        let began_s = self.world.clock.civil_s();
        // Unwind safety: the passage is dropped with all that it holds, and nothing of it is used.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let closing = self.pass(errand, lane, &open, against, &parker);
            self.with_owed(errand, began_s, closing)
        }));
        let closing =
            ended.unwrap_or_else(|_| Closing::refer(Ended::Interrupted, "TRANSACTION_FAILED"));
        // Unwind safety: what is written stands, and what was not told yet is told as Refer.
        let concluded = catch_unwind(AssertUnwindSafe(|| self.conclude(errand, &open, closing)));
        concluded.unwrap_or_else(|_| self.abandon(errand, &open))
    }

    /// Carries out what the decision owes; Refer where that is not possible.
    fn with_owed(&self, errand: &Errand, began_s: i64, closing: Box<Closing>) -> Box<Closing> {
        let Some(reply) = closing.chosen.as_deref() else { return closing };
        let admits = closing.outcome == Outcome::Admit;
        match self.carry_out_owed(errand, (began_s, closing.input), reply, admits) {
            Ok(()) => closing,
            Err(reason) => Closing::refer(closing.ended, reason.code),
        }
    }

    /// Ends a transaction whose end could not be written for a panic: its lane is for the next
    /// traveller. What it told already stands.
    fn abandon(&self, errand: &Errand, open: &Open) -> Result<Standing, Refusal> {
        let closing = Closing::refer(Ended::Interrupted, "TRANSACTION_FAILED");
        if open.standing().ended.is_none() {
            let entry = || self.audit.must_hold(self.end_entry(errand, open, &closing));
            // Unwind safety: what a sink that panics again has not taken is owed.
            let _ = catch_unwind(AssertUnwindSafe(entry));
        }
        Ok(self.register.abandon(open, &closing).map_err(RegisterError::from)?)
    }

    /// Waits for a transaction that somebody else turns; of one that has ended, its outcome.
    fn join(
        &self,
        errand: &Errand,
        known: Opened,
        listener: Option<Listener>,
    ) -> Result<Standing, Refusal> {
        match known {
            Opened::Ended(standing) => Ok(standing),
            Opened::New(open) | Opened::Running(open) => {
                if let Some(Listener(listener)) = listener {
                    open.watch(listener);
                }
                self.wait(errand, &open)
            }
        }
    }

    /// Of one that was given up without an outcome the register tells why.
    fn wait(&self, errand: &Errand, open: &Open) -> Result<Standing, Refusal> {
        let now_us = self.world.clock.monotonic_us();
        let left = Duration::from_micros(errand.deadline_us.saturating_sub(now_us));
        let grace = Duration::from_millis(GRACE_MS) + Duration::from_micros(LET_GO_US);
        if let Some(ended) = open.wait(left + grace) {
            return Ok(ended);
        }
        let standing = open.standing();
        let known = self.register.standing(&standing.lane, standing.transaction)?;
        match known.ended {
            Some(_) => Ok(known),
            None => Err(Refusal::Late { deadline_ms: errand.deadline_ms }),
        }
    }

    /// Ends a transaction, and answers when everything that it held is free.
    fn tell(&self, errand: &Errand, known: Opened, told: Told) -> Result<Standing, Refusal> {
        match known {
            Opened::Ended(standing) => Ok(standing),
            Opened::New(open) | Opened::Running(open) => {
                open.bell.tell(told);
                self.wait(errand, &open)
            }
        }
    }

    /// Judges the lane's frames on this thread until the transaction is over. The tap and the
    /// references are let go before this returns.
    fn pass(
        &self,
        errand: &Errand,
        lane: &Arc<Lane>,
        open: &Arc<Open>,
        against: Box<dyn transaction::passage::Against + '_>,
        parker: &Parker,
    ) -> Box<Closing> {
        let ringing = Arc::clone(open);
        let Ok(tap) = lane.tap(Arc::new(move || ringing.bell.frame())) else {
            return Closing::refer(Ended::Interrupted, "LANE_OCCUPIED");
        };
        let tap = if is_kept(errand) { tap.hashing() } else { tap };
        let clock = self.world.clock.as_ref();
        let terms = Terms {
            opened_us: clock.monotonic_us(),
            deadline_us: errand.deadline_us,
            may_retry: open.standing().attempt < self.attempts,
        };
        let around =
            Surroundings { judges: &self.pipeline, clock, entropy: self.world.entropy.as_ref() };
        let granted = (errand.asked.clone(), errand.owed);
        let passage = Passage::new(Arc::clone(open), terms, tap, against, granted, around);
        passage.run(&|until_us| {
            let wait_us = until_us.saturating_sub(clock.monotonic_us());
            parker.park_timeout(Duration::from_micros(wait_us));
        })
    }

    /// Writes how it ended, then tells. Writing takes time: an Admit whose time is up before it can
    /// be told is Refer, since by then somebody else may stand at the gate.
    fn conclude(
        &self,
        errand: &Errand,
        open: &Open,
        mut closing: Box<Closing>,
    ) -> Result<Standing, Refusal> {
        let entry = self.end_entry(errand, open, &closing);
        if self.write(&entry).is_err() {
            closing = Closing::refer(Ended::Interrupted, "AUDIT_UNAVAILABLE");
        }
        let admits = closing.outcome == Outcome::Admit;
        let queued = admits.then(|| self.queue_entry(errand, entry.transaction, None)).flatten();
        open.ends_at(self.world.clock.monotonic_us());
        let closed = self.register.close(open, &closing, &|| !self.is_late(errand));
        let standing = match closed {
            Ok(standing) => standing,
            Err(error) => {
                self.withdraw_entry(queued);
                // Whatever the audit holds of an outcome, the gate was told none.
                let (outcome, reasons) = (None, vec!["JOURNAL_UNAVAILABLE"]);
                self.audit.must_hold(AuditEntry { outcome, reasons, ..entry });
                return Err(RegisterError::from(error).into());
            }
        };
        if standing.outcome != Some(closing.outcome) {
            self.withdraw_entry(queued);
            // What the audit holds was not told.
            let reason = match standing.ended {
                Some(Ended::TimedOut) => ENGINE_LATE.code,
                _ => "JOURNAL_UNAVAILABLE",
            };
            let end = entry.end.clone().map(|end| AuditEnd {
                ended: standing.ended.map_or(end.ended, Ended::name),
                ..end
            });
            let (outcome, reasons) = (standing.outcome, vec![reason]);
            self.audit.must_hold(AuditEntry { outcome, reasons, end, ..entry });
        }
        self.send_entries();
        self.world.meter.outcome(standing.outcome.unwrap_or(Outcome::Refer));
        if let Some(lane) = self.lanes.set().lane(standing.lane.as_str()) {
            let passed_us = self.world.clock.monotonic_us().saturating_sub(errand.began_us());
            self.world.meter.stage(Stage::Passage, lane.kind(), passed_us);
        }
        Ok(standing)
    }

    fn end_entry(&self, errand: &Errand, open: &Open, closing: &Closing) -> AuditEntry {
        let (chosen, standing) = (closing.chosen.as_deref(), open.standing());
        let threshold = &self.threshold;
        let comparisons = chosen.map_or(&[][..], |reply| &reply.comparisons);
        let comparisons = comparisons.iter().map(|comparison| AuditComparison {
            document: comparison.document,
            score: comparison.score,
            threshold: threshold.score,
            fmr: threshold.fmr,
        });
        AuditEntry {
            transaction: standing.transaction,
            outcome: Some(closing.outcome),
            attack: chosen.map_or(Attack::NotPerformed, |reply| reply.attack),
            comparisons: comparisons.collect(),
            candidates: chosen
                .and_then(|reply| reply.certificate.map(|_| reply.candidates.len()))
                .map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
            end: Some(AuditEnd {
                ended: closing.ended.name(),
                attempt: standing.attempt,
                timeout_ms: errand.deadline_ms,
                frame: chosen.map(|reply| reply.transaction),
            }),
            ..self.entry(errand, None, closing.reasons.clone())
        }
    }

    /// What every frame is held against, and whether a document of it failed its check; refused
    /// where it cannot be read or found at all.
    fn held_against(
        &self,
        errand: &Errand,
        against: Against,
    ) -> Result<(Box<dyn transaction::passage::Against + '_>, bool), Refusal> {
        let threshold = self.threshold.clone();
        match against {
            Against::Gallery { gallery, scope } => {
                self.to_search(&gallery)?;
                let scope = Scope { best: self.best_of(errand, scope.best), ..scope };
                let searched: Box<dyn transaction::passage::Against + '_> =
                    Box::new(Searched { appliance: self, gallery, scope, threshold });
                Ok((searched, false))
            }
            Against::References(sources) => {
                if !(1..=REFERENCES_MAX).contains(&sources.len()) {
                    let (held, most) = (sources.len(), REFERENCES_MAX);
                    return Err(Refusal::References { held, most });
                }
                let mut held = Vec::with_capacity(sources.len());
                for (number, source) in sources.into_iter().enumerate() {
                    self.make_ready(errand, Part::Reference(number), source, &mut held)?;
                }
                let is_document_false = held.iter().any(Held::is_false);
                let mut compared = Box::new(Compared { appliance: self, held, threshold });
                compared.references()?; // counted, and everybody who is enrolled is found
                let compared: Box<dyn transaction::passage::Against + '_> = compared;
                Ok((compared, is_document_false))
            }
        }
    }

    fn make_ready(
        &self,
        errand: &Errand,
        part: Part,
        source: ReferenceSource,
        held: &mut Vec<Held>,
    ) -> Result<(), Refusal> {
        let of_template = |template| {
            let (capture, document) = (CaptureFact::Usable, None);
            Held::Known(Arc::new(Known { capture, template: Some(template), document }))
        };
        match source {
            ReferenceSource::Image(image) => {
                let image = image.bytes();
                let refusal = |error| Refusal::Image { part, error };
                held.push(self.embedded(errand, image, None, refusal)?);
            }
            ReferenceSource::Dg2 { file, sod, dg1 } => {
                let authenticity = self.authenticity(&file, sod.as_ref(), dg1.as_ref());
                let document = |error| Refusal::Document { part, error };
                let dg2 = Dg2::read(file.bytes()).map_err(document)?;
                for (portrait, photograph) in dg2.portraits.iter().enumerate() {
                    let refusal = |error| document(DocumentError::Image { portrait, error });
                    let held_as = Some(authenticity);
                    held.push(self.embedded(errand, photograph.image, held_as, refusal)?);
                }
            }
            ReferenceSource::Template(template) => {
                let accepted = self.calibration.kind().accept(template.kind());
                accepted.map_err(|error| Refusal::Template { part, error })?;
                held.push(of_template(template));
            }
            ReferenceSource::Subject { gallery, subject } => {
                held.push(Held::Enrolled { gallery, subject });
            }
            ReferenceSource::Holder { gallery, subject, secret } => {
                held.push(of_template(self.opened(errand, &gallery, subject, &secret)?));
            }
            ReferenceSource::HolderToken(token) => {
                held.push(of_template(self.presented(errand, part, &token)?));
            }
        }
        Ok(())
    }

    /// The template of a reference's picture, or why there is none. A photograph without a usable
    /// face is no fault of the request: the policy refers the traveller whose it is.
    fn embedded(
        &self,
        errand: &Errand,
        image: &[u8],
        document: Option<Authenticity>,
        refusal: impl FnOnce(ImageError) -> Refusal,
    ) -> Result<Held, Refusal> {
        let prepared = self.prepare(errand, (Priority::Gate, Matching::Compare), 1)?;
        let captured = self.capture(errand, image, refusal)?;
        let reply = self.decide(errand, prepared, captured, Task::Reference)?;
        let because = |code: &str| reply.verdict.reasons.iter().any(|reason| reason.code == code);
        if because("ENGINE_LATE") {
            return Err(Refusal::Late { deadline_ms: errand.deadline_ms });
        }
        if because("ENGINE_LOST") {
            return Err(Refusal::Fault { what: "an engine was lost and none took over" });
        }
        let (capture, template) = (reply.probe, reply.template);
        Ok(Held::Known(Arc::new(Known { capture, template, document })))
    }
}

fn watch(known: Opened, Listener(listener): Listener) -> Result<Standing, Refusal> {
    match known {
        Opened::Ended(standing) => {
            listener(&standing);
            Ok(standing)
        }
        Opened::New(open) | Opened::Running(open) => {
            if !open.watch(listener) {
                return Err(Refusal::WatchersFull { most: WATCHERS_MAX });
            }
            Ok(open.standing())
        }
    }
}

/// One reference, between two frames.
enum Held {
    /// Its template, or why there is none.
    Known(Arc<Known>),
    /// A subject, looked up for every frame.
    Enrolled { gallery: GalleryId, subject: SubjectId },
}

impl Held {
    /// Whether it is of a document that failed its check.
    fn is_false(&self) -> bool {
        match self {
            Self::Known(known) => known.document.is_some_and(Authenticity::is_invalid),
            Self::Enrolled { .. } => false,
        }
    }
}

/// 1:1.
struct Compared<'a> {
    appliance: &'a Appliance,
    held: Vec<Held>,
    threshold: Threshold,
}

impl Compared<'_> {
    fn references(&mut self) -> Result<Vec<Reference>, Refusal> {
        let mut references = Vec::with_capacity(self.held.len());
        let now_s = self.appliance.world.clock.civil_s();
        for held in &self.held {
            match held {
                Held::Known(prepared) => {
                    references.push(Reference::Known(Arc::clone(prepared)));
                }
                Held::Enrolled { gallery, subject } => {
                    let found = self.appliance.galleries.searchable(gallery)?;
                    let templates = found.templates_of(*subject, now_s);
                    let templates =
                        templates.map_err(|error| Refusal::of_gallery(gallery, error))?;
                    references.extend(templates.into_iter().map(Reference::Template));
                }
            }
        }
        if !(1..=REFERENCES_MAX).contains(&references.len()) {
            let (held, most) = (references.len(), REFERENCES_MAX);
            return Err(Refusal::References { held, most });
        }
        Ok(references)
    }
}

impl transaction::passage::Against for Compared<'_> {
    fn task(&mut self) -> Result<Task, &'static str> {
        let references = self.references().map_err(|refusal| refusal.code())?;
        Ok(Task::Verify { references, threshold: self.threshold.clone() })
    }
}

/// 1:N, in the newest generation for every frame.
struct Searched<'a> {
    appliance: &'a Appliance,
    gallery: GalleryId,
    scope: Scope,
    threshold: Threshold,
}

impl transaction::passage::Against for Searched<'_> {
    fn task(&mut self) -> Result<Task, &'static str> {
        let gallery = self.appliance.to_search(&self.gallery).map_err(|refusal| refusal.code())?;
        let Scope { class_bits, group, best } = self.scope;
        let (tiles, threshold) = (gallery.source(), self.threshold.clone());
        let doubt_from = self.appliance.doubt_from();
        Ok(Task::Identify { tiles, threshold, doubt_from, best, class_bits, group })
    }
}
