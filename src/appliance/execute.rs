//! Commands, carried out: permitted first, then decoded into slots, then through the pipeline.

use std::{
    slice,
    sync::{atomic::Ordering, mpsc},
    time::Duration,
};

use super::{Appliance, places::Held};
use crate::{
    audit::{AuditEntry, AuditSink},
    capture,
    command::{
        Answer, Command, Compared, Decision, EncodedFile, EncodedImage, Enrolment, Part,
        ReferenceSource, Refusal, Request, Scope, Terms,
    },
    document::{
        authentication::{DocumentFiles, authenticate},
        dg2::Dg2,
        error::DocumentError,
        image::ImageError,
    },
    limits::{CANDIDATES_MAX, DEADLINE_MS_MAX, REFERENCES_MAX},
    meter::{LaneKind, Offered, Shed},
    pipeline::{
        Claim, Matching, Order, Presentation, Priority, Reference, Refused, Reply, Task,
        slot::{CaptureError, Captured},
    },
    types::{
        Asked, Authenticity, Caller, CaptureFact, Circumstances, GalleryId, Obligation,
        Obligations, Permission, Purpose, Reason, Role, SubjectId, Threshold, TransactionId,
    },
};

/// Time beyond the deadline in which the pipeline itself tells that it was late. After it, an
/// engine hangs, and the caller is told so here.
pub(super) const GRACE_MS: u64 = 500;

/// What each decision of an appliance without a profile bears, beside its own reasons.
const EVALUATION: Reason = Reason {
    code: "EVALUATION_ONLY",
    text: "No profile of a site is chosen: this is an evaluation, and opens no gate of a site.",
};

/// Why nothing more is taken.
const STOPPING: &str = "the appliance is stopping";

/// What was set aside for a transaction's frames: slots, and the engines' time.
pub(super) struct Prepared<'a> {
    _slots: Held<'a>,
    /// Microseconds that they were waited for.
    slots_us: u64,
    claim: Claim,
    priority: Priority,
}

/// One request under way.
pub(super) struct Errand {
    pub(super) transaction: TransactionId,
    pub(super) asked: Asked,
    pub(super) owed: Obligations,
    pub(super) deadline_ms: u64,
    pub(super) deadline_us: u64,
    /// Where the register stood before the law was asked: what ends a consent after that ends this.
    pub(super) asked_at: u64,
}

impl Errand {
    /// When its time began to run, on the appliance's clock.
    pub(super) fn began_us(&self) -> u64 {
        self.deadline_us.saturating_sub(self.deadline_ms.saturating_mul(1_000))
    }
}

/// References of a verification, each with its number in the request.
type Numbered = (Vec<usize>, Vec<Reference>);

impl Appliance {
    pub(super) fn carry_out(&self, request: Request) -> Result<Answer, Refusal> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Refusal::NotReady { why: STOPPING });
        }
        self.close_in_time();
        let errand = self.permit(&request)?;
        match request.command {
            Command::CreateGallery { gallery, kept_by } => {
                self.create_gallery(&errand, &gallery, kept_by)
            }
            Command::DeleteGallery { gallery } => self.delete_gallery(&errand, &gallery),
            Command::DescribeGallery { gallery } => self.describe_gallery(&errand, &gallery),
            Command::Embed { image } => self.embed(&errand, &image),
            Command::Enrol { gallery, subject, images, terms, papers } => {
                self.enrol(&errand, &gallery, subject, &images, (self.dated(terms), papers))
            }
            Command::EnrolHolder { gallery, image, terms, papers } => {
                self.enrol_holder(&errand, &gallery, &image, (self.dated(terms), papers))
            }
            Command::Erase { gallery, subject } => self.erase(&errand, &gallery, subject),
            Command::EraseEntered { entered } => self.erase_entered(&errand, &entered),
            Command::EraseSelected { gallery, selection } => {
                self.erase_selected(&errand, &gallery, selection)
            }
            Command::ExportSubject { gallery, subject } => {
                self.export_subject(&errand, &gallery, subject)
            }
            Command::GiveConsent { gallery, subject, given } => {
                self.give_consent(&errand, &gallery, subject, given)
            }
            Command::Identify { gallery, probe, scope, fmr } => {
                let threshold = self.threshold_for(fmr)?;
                self.identify(&errand, &gallery, &probe, scope, threshold)
            }
            Command::IssueToken { image, not_before_s, expiry_s, papers } => {
                self.issue_token(&errand, &image, (not_before_s, expiry_s), papers)
            }
            Command::Lane { at, command } => self.at_lane(&errand, &at, command),
            Command::ListHits => self.list_hits(&errand),
            Command::ListAffected { entered } => self.list_affected(&errand, &entered),
            Command::PushFrame { lane, frame, external_attack, offered } => {
                self.push_frame(&lane, frame, external_attack, offered)
            }
            Command::ReadHit { hit } => self.read_hit(&errand, hit),
            Command::Regroup { gallery, subject, group } => {
                self.regroup(&errand, &gallery, subject, group)
            }
            Command::Replace { gallery, subject, images, terms, papers } => {
                self.replace(&errand, &gallery, subject, &images, (self.dated(terms), papers))
            }
            Command::Restrict { gallery, subject, restricted } => {
                self.restrict(&errand, &gallery, subject, restricted)
            }
            Command::Step(step) => self.step(&errand, step),
            Command::TakeBack { gallery, subject, how } => {
                self.take_back(&errand, &gallery, subject, how)
            }
            Command::Verify { probe, references, fmr, third_country: _ } => {
                let threshold = self.threshold_for(fmr)?;
                self.verify(&errand, &probe, references, threshold)
            }
            Command::Vote { hit, vote } => self.vote(&errand, hit, vote),
        }
    }

    /// Whether it is too late to admit anybody.
    pub(super) fn is_late(&self, errand: &Errand) -> bool {
        self.world.clock.monotonic_us() >= errand.deadline_us
    }

    fn dated(&self, terms: Terms) -> Enrolment {
        terms.at(self.world.clock.civil_s())
    }

    /// Who acts, under which name in the audit, until when; or why not. A refused permission is
    /// recorded.
    fn permit(&self, request: &Request) -> Result<Errand, Refusal> {
        let of_lane = || self.lane_deadline_ms(&request.command);
        let deadline_ms = request.deadline_ms.or_else(of_lane).unwrap_or(self.deadline_ms);
        if !(1..=DEADLINE_MS_MAX).contains(&deadline_ms) {
            return Err(Refusal::Deadline { held_ms: deadline_ms, most_ms: DEADLINE_MS_MAX });
        }
        let now_us = self.world.clock.monotonic_us();
        let asked_at = self.register_stands_at(&request.command);
        let errand = |asked, owed| Errand {
            transaction: self.world.new_transaction(),
            asked,
            owed,
            deadline_ms,
            deadline_us: now_us.saturating_add(deadline_ms * 1_000),
            asked_at,
        };
        let names_rate = matches!(
            request.command,
            Command::Identify { fmr: Some(_), .. } | Command::Verify { fmr: Some(_), .. }
        );
        let heard = |caller: &&Caller| !names_rate || caller.role == Role::Administrator;
        let (standing, circumstances) = (self.standing_now(), self.circumstances(request));
        let elsewhere = self.is_for(request).err();
        let mut refused = None;
        for caller in request.callers.iter().filter(heard) {
            let asked = request.asked(caller);
            if let Some(reason) = elsewhere {
                refused = Some((asked, vec![reason], Obligations::NONE));
                break;
            }
            let caller = self.caller_fact(&request.command, caller);
            match standing.authorise(&asked, &Circumstances { caller, ..circumstances }) {
                Permission::Granted(owed) => {
                    let withheld = matches!(request.command, Command::Embed { .. });
                    if withheld && !self.embed_enabled {
                        return Err(Refusal::EmbedDisabled);
                    }
                    let granted = errand(asked, owed);
                    if owed.contains(&Obligation::RecordExemption) {
                        self.record(&granted, None, vec!["EXEMPTION_USED"])?;
                    }
                    return Ok(granted);
                }
                Permission::Refused { reasons, owed } => refused = Some((asked, reasons, owed)),
            }
        }
        let Some((asked, reasons, owed)) = refused else { return Err(Refusal::FmrReserved) };
        let codes = reasons.iter().map(|reason| reason.code).collect();
        self.record(&errand(asked, owed), None, codes)?;
        Err(Self::forbidden(&standing, request.command.gallery(), &reasons))
    }

    fn threshold_for(&self, fmr: Option<f64>) -> Result<Threshold, Refusal> {
        let Some(fmr) = fmr else { return Ok(self.threshold.clone()) };
        let found = self.calibration.threshold(fmr);
        found.map_err(|error| Refusal::Fmr { fmr, why: error.to_string() })
    }

    /// Writes an entry of the appliance's own: an act, or a permission that was refused.
    pub(super) fn record(
        &self,
        errand: &Errand,
        subject: Option<SubjectId>,
        reasons: Vec<&'static str>,
    ) -> Result<(), Refusal> {
        self.write(&self.entry(errand, subject, reasons))
    }

    pub(super) fn write(&self, entry: &AuditEntry) -> Result<(), Refusal> {
        self.audit.record(slice::from_ref(entry)).map_err(|_| Refusal::Audit)
    }

    pub(super) fn entry(
        &self,
        errand: &Errand,
        subject: Option<SubjectId>,
        reasons: Vec<&'static str>,
    ) -> AuditEntry {
        let (asked, now_s) = (&errand.asked, self.world.clock.civil_s());
        AuditEntry {
            caller: Some(asked.caller.clone()),
            purpose: Some(asked.purpose),
            gallery: asked.gallery.clone(),
            subject: subject.or(asked.subject),
            at_lane: asked.at_lane.clone(),
            ..AuditEntry::of(errand.transaction, now_s, asked.action, reasons)
        }
    }

    fn verify(
        &self,
        errand: &Errand,
        probe: &EncodedImage,
        sources: Vec<ReferenceSource>,
        threshold: Threshold,
    ) -> Result<Answer, Refusal> {
        if !(1..=REFERENCES_MAX).contains(&sources.len()) {
            return Err(Refusal::References { held: sources.len(), most: REFERENCES_MAX });
        }
        let images = pictures(&sources)?;
        let prepared = self.prepare(errand, (Priority::Gate, Matching::Compare), 1 + images)?;
        let captured = self.picture(errand, probe, Part::Probe)?;
        let (numbers, references) = self.references(errand, sources)?;
        let task = Task::Verify { references, threshold: threshold.clone() };
        let mut reply = self.decide(errand, prepared, captured, task)?;
        self.after_comparison(errand, probe.bytes(), &mut reply);
        let compared = numbers.into_iter().zip(&reply.comparisons);
        let comparisons = compared
            .map(|(reference, comparison)| Compared {
                reference,
                capture: comparison.reference,
                document: comparison.document,
                face: comparison.face,
                score: comparison.score,
                matched: comparison.matched,
            })
            .collect();
        Ok(self.decision(errand, reply, threshold, comparisons))
    }

    fn references(
        &self,
        errand: &Errand,
        sources: Vec<ReferenceSource>,
    ) -> Result<Numbered, Refusal> {
        let (mut numbers, mut references) = (Vec::new(), Vec::new());
        for (number, source) in sources.into_iter().enumerate() {
            let part = Part::Reference(number);
            match source {
                ReferenceSource::Image(image) => {
                    references.push(Reference::Image(self.picture(errand, &image, part)?));
                }
                ReferenceSource::Dg2 { file, sod, dg1 } => {
                    let authenticity = self.authenticity(&file, sod.as_ref(), dg1.as_ref());
                    for captured in self.portraits(errand, &file, part)? {
                        references.push(Reference::Portrait(captured, authenticity));
                    }
                }
                ReferenceSource::Template(template) => {
                    let accepted = self.calibration.kind().accept(template.kind());
                    accepted.map_err(|error| Refusal::Template { part, error })?;
                    references.push(Reference::Template(template));
                }
                ReferenceSource::Subject { gallery, subject } => {
                    let held = self.galleries.searchable(&gallery)?;
                    let found = held.templates_of(subject, self.world.clock.civil_s());
                    let templates = found.map_err(|error| Refusal::of_gallery(&gallery, error))?;
                    references.extend(templates.into_iter().map(Reference::Template));
                }
                ReferenceSource::Holder { gallery, subject, secret } => {
                    let opened = self.opened(errand, &gallery, subject, &secret)?;
                    references.push(Reference::Template(opened));
                }
                ReferenceSource::HolderToken(token) => {
                    references.push(Reference::Template(self.presented(errand, part, &token)?));
                }
            }
            numbers.resize(references.len(), number);
        }
        if references.len() > REFERENCES_MAX {
            return Err(Refusal::References { held: references.len(), most: REFERENCES_MAX });
        }
        Ok((numbers, references))
    }

    fn identify(
        &self,
        errand: &Errand,
        gallery: &GalleryId,
        probe: &EncodedImage,
        scope: Scope,
        threshold: Threshold,
    ) -> Result<Answer, Refusal> {
        if !(1..=CANDIDATES_MAX).contains(&scope.best) {
            return Err(Refusal::Candidates { held: scope.best, most: CANDIDATES_MAX });
        }
        let gallery = self.to_search(gallery)?;
        let prepared = self.prepare(errand, (Priority::Gate, Matching::Search), 1)?;
        let captured = self.picture(errand, probe, Part::Probe)?;
        let task = Task::Identify {
            tiles: gallery.source(),
            threshold: threshold.clone(),
            doubt_from: self.doubt_from(),
            best: self.best_of(errand, scope.best),
            class_bits: scope.class_bits,
            group: scope.group,
        };
        let began_s = self.world.clock.civil_s();
        let mut reply = self.decide(errand, prepared, captured, task)?;
        self.after_search(errand, began_s, Some(probe.bytes()), &mut reply);
        reply.candidates.truncate(scope.best);
        Ok(self.decision(errand, reply, threshold, Vec::new()))
    }

    /// Staff see that somebody was found, and no list of whom (the Danish opinion of 2009, "the
    /// staff cannot look at the images"): a hit of a watchlist is theirs to read by its own name,
    /// and whom it found is told to nobody else before two persons confirmed it, a gate included
    /// (AI Act Art. 14(5)). Nor are they told how near somebody who is enrolled was.
    fn decision(
        &self,
        errand: &Errand,
        reply: Reply,
        threshold: Threshold,
        comparisons: Vec<Compared>,
    ) -> Answer {
        let is_staff = matches!(errand.asked.caller.role, Role::Officer | Role::Operator);
        let of_enrolled = is_staff && errand.asked.gallery.is_some();
        let is_untold = is_staff || errand.asked.purpose == Purpose::Watchlist;
        let mut verdict = reply.verdict;
        if self.site.is_none() {
            verdict.reasons.push(EVALUATION);
        }
        Answer::Decision(Box::new(Decision {
            transaction: reply.transaction,
            verdict,
            probe: reply.probe,
            face: reply.face,
            attack: reply.attack,
            threshold,
            scale: self.calibration.scale(),
            comparisons: if of_enrolled { Vec::new() } else { comparisons },
            candidates: if is_untold { Vec::new() } else { reply.candidates },
            certificate: reply.certificate,
            spent: reply.spent,
        }))
    }

    fn embed(&self, errand: &Errand, image: &EncodedImage) -> Result<Answer, Refusal> {
        let (template, face) = self.template(errand, image, Part::Image(0))?;
        Ok(Answer::Embedded { transaction: errand.transaction, template, face })
    }

    pub(super) fn template(
        &self,
        errand: &Errand,
        image: &EncodedImage,
        part: Part,
    ) -> Result<(crate::types::Template, Option<crate::command::FaceReport>), Refusal> {
        let prepared = self.prepare(errand, (Priority::Enrolment, Matching::Compare), 1)?;
        let captured = self.picture(errand, image, part)?;
        let reply = self.decide(errand, prepared, captured, Task::Template)?;
        if let Some(template) = reply.template {
            return Ok((template, reply.face));
        }
        let because = |code: &str| reply.verdict.reasons.iter().any(|reason| reason.code == code);
        if because("AUDIT_UNAVAILABLE") {
            return Err(Refusal::Audit);
        }
        if because("ENGINE_LATE") {
            return Err(Refusal::Late { deadline_ms: errand.deadline_ms });
        }
        match reply.probe {
            CaptureFact::Usable => Err(Refusal::Fault { what: "the engine gave no template" }),
            capture => Err(Refusal::Capture { part, capture }),
        }
    }

    /// Sets aside what a transaction's frames need: the engines' time, where its deadline can be
    /// met at all, and slots, for which it waits until others are answered, but not beyond its
    /// deadline.
    pub(super) fn prepare(
        &self,
        errand: &Errand,
        (priority, matching): (Priority, Matching),
        frames: usize,
    ) -> Result<Prepared<'_>, Refusal> {
        let shed = |reason| {
            (0..frames).for_each(|_| Offered::new(&self.world.meter).shed(reason));
        };
        let claim = self.pipeline.claim(frames as u64, matching, priority, errand.deadline_us);
        let claim = claim.map_err(|refused| {
            shed(refused.shed());
            self.refusal(errand, refused)
        })?;
        let now_us = self.world.clock.monotonic_us();
        let left = Duration::from_micros(errand.deadline_us.saturating_sub(now_us));
        let slots = self.places.take(frames, priority, left).ok_or_else(|| {
            shed(Shed::NoSlot);
            Refusal::Late { deadline_ms: errand.deadline_ms }
        })?;
        let slots_us = self.world.clock.monotonic_us().saturating_sub(now_us);
        Ok(Prepared { _slots: slots, slots_us, claim, priority })
    }

    /// What the caller is told of an order that the pipeline does not take.
    fn refusal(&self, errand: &Errand, refused: Refused) -> Refusal {
        match refused {
            Refused::Busy { .. } => Refusal::Busy,
            Refused::Stopping => Refusal::NotReady { why: STOPPING },
            Refused::TooLate { needed_ms, retry_after_s } => {
                let deadline_ms = errand.deadline_ms;
                Refusal::TooLate { needed_ms, deadline_ms, retry_after_s }
            }
        }
    }

    /// Every photograph of a data group 2, in its order.
    fn portraits(
        &self,
        errand: &Errand,
        file: &EncodedFile,
        part: Part,
    ) -> Result<Vec<Captured>, Refusal> {
        let document = |error| Refusal::Document { part, error };
        let dg2 = Dg2::read(file.bytes()).map_err(document)?;
        let captured = dg2.portraits.iter().enumerate().map(|(portrait, held)| {
            let refusal = |error| document(DocumentError::Image { portrait, error });
            self.capture(errand, held.image, refusal)
        });
        captured.collect()
    }

    /// What passive authentication says about a document.
    pub(super) fn authenticity(
        &self,
        dg2: &EncodedFile,
        sod: Option<&EncodedFile>,
        dg1: Option<&EncodedFile>,
    ) -> Authenticity {
        let files = DocumentFiles {
            sod: sod.map(EncodedFile::bytes),
            dg1: dg1.map(EncodedFile::bytes),
            dg2: dg2.bytes(),
        };
        authenticate(files, &self.trust, self.world.clock.civil_s()).verdict
    }

    fn picture(
        &self,
        errand: &Errand,
        image: &EncodedImage,
        part: Part,
    ) -> Result<Captured, Refusal> {
        self.capture(errand, image.bytes(), |error| Refusal::Image { part, error })
    }

    /// Decodes one picture into a slot, unless the answer would come too late already: pictures
    /// that are made to be slow cost their sender's deadline and one picture more, whatever their
    /// number.
    pub(super) fn capture(
        &self,
        errand: &Errand,
        image: &[u8],
        refusal: impl FnOnce(ImageError) -> Refusal,
    ) -> Result<Captured, Refusal> {
        let offered = Offered::new(&self.world.meter);
        if self.world.clock.monotonic_us() > errand.deadline_us {
            offered.shed(Shed::TooLate);
            return Err(Refusal::Late { deadline_ms: errand.deadline_ms });
        }
        match capture::take(image, &self.slots, self.world.clock.as_ref()) {
            Ok(captured) => Ok(captured.counted(offered)),
            Err(CaptureError::Busy { .. }) => {
                offered.shed(Shed::NoSlot);
                Err(Refusal::Busy)
            }
            Err(CaptureError::Fill(error)) => {
                offered.shed(Shed::Unreadable);
                Err(refusal(error))
            }
            Err(CaptureError::Extent { .. }) => {
                Err(Refusal::Fault { what: "a decoder reported another size than it wrote" })
            }
        }
    }

    pub(super) fn decide(
        &self,
        errand: &Errand,
        prepared: Prepared<'_>,
        probe: Captured,
        task: Task,
    ) -> Result<Reply, Refusal> {
        let Prepared { _slots, slots_us, claim, priority } = prepared;
        let order = Order {
            transaction: errand.transaction,
            asked: errand.asked.clone(),
            owed: errand.owed,
            probe,
            task,
            priority,
            lane: LaneKind::Request,
            deadline_us: errand.deadline_us,
            presentation: Presentation::default(),
            slots_us,
            claim: Some(claim),
            given_up: None, // whoever asked waits until the deadline
        };
        let (answer, answered) = mpsc::sync_channel(1);
        // A caller that has gone does not hear its answer; the audit has it.
        let submitted = self.pipeline.submit(order, move |reply| drop(answer.send(reply)));
        submitted.map_err(|refused| self.refusal(errand, refused))?;
        let wait = Duration::from_millis(errand.deadline_ms.saturating_add(GRACE_MS));
        answered.recv_timeout(wait).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Refusal::Late { deadline_ms: errand.deadline_ms },
            mpsc::RecvTimeoutError::Disconnected => Refusal::Fault { what: "the pipeline ended" },
        })
    }
}

/// Slots that the pictures of `sources` take. A data group is read here to be counted, and again to
/// be decoded: reading borrows, allocates next to nothing and takes microseconds.
fn pictures(sources: &[ReferenceSource]) -> Result<usize, Refusal> {
    let mut count = 0;
    for (number, source) in sources.iter().enumerate() {
        count += match source {
            ReferenceSource::Image(_) => 1,
            ReferenceSource::Dg2 { file, .. } => {
                let part = Part::Reference(number);
                let dg2 = Dg2::read(file.bytes());
                dg2.map_err(|error| Refusal::Document { part, error })?.portraits.len()
            }
            ReferenceSource::Subject { .. }
            | ReferenceSource::Holder { .. }
            | ReferenceSource::HolderToken(_)
            | ReferenceSource::Template(_) => 0,
        };
    }
    if count > REFERENCES_MAX {
        return Err(Refusal::References { held: count, most: REFERENCES_MAX });
    }
    Ok(count)
}
