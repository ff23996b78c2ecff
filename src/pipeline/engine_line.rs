//! The engine line: batch → detect → attack, embed; one batch at a time.
//!
//! Embedding waits while frames wait to be looked at, so that several transactions meet in one
//! batch, but not longer than a batch may wait. A transaction whose deadline has passed, or whose
//! probe shows no usable face, costs no embedding any more.
//!
//! An engine that is lost is replaced within the batch, and the batch tried once more on the next
//! one; after a panic the networks are made anew (`standby.rs`).
//!
//! Invariant: a frame is in a slot of its job, or boarded here; when its sample is settled it is
//! zeroed. A batch that fails or panics refers the transactions that were in it, nobody else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    attack::AttackStage,
    batch::{Batcher, Item},
    desk::Desk,
    detect::{Detect, Seen, Sight},
    embed::Embed,
    pulse::Pulse,
    slot::Captured,
    standby::{Supply, is_lost},
};
use crate::{
    backend::{BackendError, Engine},
    limits::BATCH_FRAMES_MAX,
    meter::Part,
    ops::program::ToFrame,
    types::{CaptureFact, EngineFact, FrameView},
};

/// What the line strings together, and who takes over when its engine fails.
pub(super) struct Stages {
    pub(super) detect: Detect,
    pub(super) attack: AttackStage,
    pub(super) embed: Embed,
    pub(super) supply: Box<dyn Supply>,
}

impl Stages {
    /// Puts the next engine to work, or the last one anew; false when neither works.
    fn fail_over(&mut self) -> bool {
        let engine = self.supply.next().or_else(|| self.supply.again());
        engine.map(|engine| self.install(engine)).is_some()
    }

    /// Faces that can be scored and embedded together.
    fn embed_max(&self) -> usize {
        self.embed.batch_max().min(self.attack.batch_max())
    }

    /// Makes the networks anew, where that works; where not, they are wiped and go on.
    fn restart(&mut self) {
        if let Some(engine) = self.supply.again() {
            self.install(engine);
        }
    }

    fn install(&mut self, engine: Engine) {
        self.detect.replace(engine.detect);
        self.attack.replace(engine.attack);
        self.embed.replace(engine.embed);
    }
}

/// When the run that worked began: its batch, and the embedding after the attack scores.
struct Began {
    batch_us: u64,
    embed_us: u64,
}

/// Finds and embeds faces. One owner turns it.
pub struct EngineLine {
    desk: Arc<Desk>,
    stages: Stages,
    to_detect: Batcher,
    to_embed: Batcher,
    /// The batch that is being worked on, and the frames of those that boarded it.
    batch: Vec<Item>,
    boarded: Vec<(Item, Captured)>,
    /// Counts batches.
    number: u64,
    seen: Vec<Seen>,
    pulse: Arc<Pulse>,
}

impl EngineLine {
    pub(super) fn new(desk: Arc<Desk>, stages: Stages, slots: usize) -> Self {
        Self {
            to_detect: Batcher::new(slots),
            to_embed: Batcher::new(slots),
            pulse: desk.pulses.another(),
            desk,
            stages,
            // Everything that waits may be over at once.
            batch: Vec::with_capacity(slots.max(BATCH_FRAMES_MAX)),
            boarded: Vec::with_capacity(BATCH_FRAMES_MAX),
            number: 0,
            seen: Vec::with_capacity(BATCH_FRAMES_MAX),
        }
    }

    /// Works on one batch. False when there was nothing to do.
    pub fn turn(&mut self) -> bool {
        self.pulse.begins(self.desk.clock.monotonic_us());
        // Unwind safety: whatever was being worked on is thrown away and wiped by `abandon`.
        let turned = catch_unwind(AssertUnwindSafe(|| self.work()));
        let worked = turned.unwrap_or_else(|_| {
            self.desk.meter.restart(Part::Stage);
            self.abandon();
            // Unwind safety: a supply that panics has installed nothing.
            let _ = catch_unwind(AssertUnwindSafe(|| self.stages.restart()));
            true
        });
        self.pulse.ends();
        worked
    }

    /// Zeroes the networks' buffers; done after every batch, and once more before the end.
    pub fn wipe(&mut self) {
        // Unwind safety: a network that cannot even wipe is not asked again for this batch.
        let _ = catch_unwind(AssertUnwindSafe(|| self.stages.detect.wipe()));
        let _ = catch_unwind(AssertUnwindSafe(|| self.stages.attack.wipe()));
        let _ = catch_unwind(AssertUnwindSafe(|| self.stages.embed.wipe()));
    }

    fn work(&mut self) -> bool {
        let now_us = self.desk.clock.monotonic_us();
        self.admit(now_us);
        let expired = self.expire(now_us);
        let detect_is_idle = self.to_detect.is_empty();
        let (rest_us, most) = (self.desk.pace.rest_us(true, now_us), self.stages.embed_max());
        self.to_embed.step(now_us, detect_is_idle, rest_us, most, &mut self.batch);
        if !self.batch.is_empty() {
            self.embed_batch(now_us);
            return true;
        }
        let (rest_us, most) =
            (self.desk.pace.rest_us(false, now_us), self.stages.detect.batch_max());
        self.to_detect.step(now_us, true, rest_us, most, &mut self.batch);
        if self.batch.is_empty() {
            return expired;
        }
        self.detect_batch(now_us);
        true
    }

    /// Lets go of every frame whose deadline has passed, or for which nobody waits any more,
    /// wherever it is; whether there was one.
    fn expire(&mut self, now_us: u64) -> bool {
        let judged_us = self.desk.judged_us(now_us);
        let table = &self.desk.table;
        let is_given_up = |item: &Item| table.with(item.ticket, |job| job.is_given_up());
        self.to_detect.over(judged_us, is_given_up, &mut self.batch);
        self.to_embed.over(judged_us, is_given_up, &mut self.batch);
        let expired = !self.batch.is_empty();
        for item in self.batch.drain(..) {
            self.desk.table.with(item.ticket, |job| job.is_sound_at(judged_us));
            settle(&self.desk, item);
        }
        expired
    }

    /// Lets every new order's frames wait for the detector.
    fn admit(&mut self, now_us: u64) {
        while let Some(ticket) = self.desk.ordered.pop() {
            let (desk, to_detect) = (&self.desk, &mut self.to_detect);
            desk.table.with(ticket, |job| {
                let since_us = job.submitted_us.min(now_us);
                let (priority, deadline_us) = (job.priority, job.deadline_us);
                for (sample, held) in job.samples.iter().enumerate() {
                    if held.captured.is_some() {
                        to_detect.push(Item { ticket, sample, priority, since_us, deadline_us });
                    }
                }
            });
        }
    }

    /// Takes the frames of those in the batch that are still worth it on board.
    fn board(&mut self, now_us: u64) {
        self.number += 1;
        let judged_us = self.desk.judged_us(now_us);
        for &item in &self.batch {
            let waited_us = now_us.saturating_sub(item.since_us);
            let captured = self.desk.table.with(item.ticket, |job| {
                job.charge(2 * self.number, |spent| spent.batch_us += waited_us);
                job.is_sound_at(judged_us)
                    .then(|| job.samples[item.sample].captured.take())
                    .flatten()
            });
            match captured {
                Some(captured) => self.boarded.push((item, captured)),
                None => settle(&self.desk, item),
            }
        }
        self.batch.clear();
    }

    fn detect_batch(&mut self, now_us: u64) {
        self.board(now_us);
        if self.boarded.is_empty() {
            return;
        }
        let detected = self.detect_boarded().or_else(|error| self.retried(&error));
        let began_us = match detected {
            Ok(began_us) => began_us,
            Err(error) => return self.give_up(&error),
        };
        let done_us = self.desk.clock.monotonic_us();
        self.desk.pace.detected(self.boarded.len(), done_us.saturating_sub(began_us), done_us);
        for ((item, captured), seen) in self.boarded.drain(..).zip(self.seen.drain(..)) {
            let embeds = self.desk.table.with(item.ticket, |job| {
                job.charge(2 * self.number + 1, |spent| spent.detect_us += done_us - now_us);
                let sample = &mut job.samples[item.sample];
                sample.capture = Some(seen.capture);
                sample.face = seen.face.map(|(report, _)| report);
                sample.to_frame = seen.face.map(|(_, to_frame)| to_frame);
                sample.captured = Some(captured);
                // Nothing is compared with a probe that is known to be unusable.
                let probe = job.probe().capture.unwrap_or(CaptureFact::Usable);
                seen.capture == CaptureFact::Usable && probe == CaptureFact::Usable
            });
            if embeds {
                self.to_embed.push(Item { since_us: done_us, ..item });
            } else {
                settle(&self.desk, item);
            }
        }
    }

    /// Looks at the frames on board; `seen` then has one entry for each. When it began: what came
    /// before (an engine that was lost, another that was made ready) is no pace.
    fn detect_boarded(&mut self) -> Result<u64, BackendError> {
        let began_us = self.desk.clock.monotonic_us();
        let sight = |item: &Item, frame| Sight { frame, live: item.sample == 0 };
        let (item, captured) = &self.boarded[0];
        let mut frames = [sight(item, captured.view()); BATCH_FRAMES_MAX];
        for (frame, (item, captured)) in frames.iter_mut().zip(&self.boarded) {
            *frame = sight(item, captured.view());
        }
        self.seen.clear();
        self.stages.detect.step(&frames[..self.boarded.len()], &mut self.seen)?;
        Ok(began_us)
    }

    fn embed_batch(&mut self, now_us: u64) {
        self.board(now_us);
        if self.boarded.is_empty() {
            return;
        }
        let embedded = self.embed_boarded().or_else(|error| self.retried_embed(&error));
        let Began { batch_us, embed_us } = match embedded {
            Ok(began) => began,
            Err(error) => return self.give_up(&error),
        };
        let done_us = self.desk.clock.monotonic_us();
        self.desk.pace.embedded(self.boarded.len(), done_us.saturating_sub(batch_us), done_us);
        for (item, captured) in self.boarded.drain(..) {
            drop(captured); // zeroed before anybody hears of the template
            self.desk.table.with(item.ticket, |job| {
                job.charge(2 * self.number + 1, |spent| spent.embed_us += done_us - embed_us);
                if job.samples[item.sample].template.is_none() {
                    job.fail(EngineFact::Lost);
                }
            });
            settle(&self.desk, item);
        }
    }

    /// Scores the probes on board and embeds all faces, each template into its job.
    fn embed_boarded(&mut self) -> Result<Began, BackendError> {
        let batch_us = self.desk.clock.monotonic_us();
        self.stages.attack.step(&self.desk, &self.boarded)?;
        let embed_us = self.desk.clock.monotonic_us();
        let mut faces: [(FrameView<'_>, ToFrame); BATCH_FRAMES_MAX] =
            [(self.boarded[0].1.view(), ToFrame([0.0; 6])); BATCH_FRAMES_MAX];
        for (face, (item, captured)) in faces.iter_mut().zip(&self.boarded) {
            let to_frame =
                self.desk.table.with(item.ticket, |job| job.samples[item.sample].to_frame);
            *face = (captured.view(), to_frame.expect("only a face that was found is embedded"));
        }
        let (desk, boarded) = (&self.desk, &self.boarded);
        self.stages.embed.step(&faces[..boarded.len()], |at, make| {
            let (item, _) = &boarded[at];
            desk.table.with(item.ticket, |job| {
                let sample = &mut job.samples[item.sample];
                if let Some(mut place) = sample.blank.take() {
                    sample.template = make(&mut place).is_ok().then_some(place);
                }
            });
        })?;
        Ok(Began { batch_us, embed_us })
    }

    /// The batch once more, on the next engine, if this one is lost.
    fn retried(&mut self, error: &BackendError) -> Result<u64, BackendError> {
        self.replace_engine(error)?;
        self.detect_boarded()
    }

    fn retried_embed(&mut self, error: &BackendError) -> Result<Began, BackendError> {
        self.replace_engine(error)?;
        self.embed_boarded()
    }

    fn replace_engine(&mut self, error: &BackendError) -> Result<(), BackendError> {
        if !is_lost(error) || !self.stages.fail_over() {
            return Err(error.clone());
        }
        tracing::error!(%error, "an engine was lost; the next one takes over");
        self.desk.meter.restart(Part::Engine);
        // The next engine has its own largest batch.
        let most = self.stages.detect.batch_max().min(self.stages.embed_max());
        if self.boarded.len() > most {
            return Err(error.clone());
        }
        Ok(())
    }

    fn give_up(&mut self, error: &BackendError) {
        tracing::error!(%error, travellers = self.boarded.len(), "a batch is referred");
        self.abandon();
    }

    /// Refers everybody in the batch that went wrong and forgets what it held.
    fn abandon(&mut self) {
        let boarded = self.boarded.drain(..).map(|(item, captured)| {
            drop(captured);
            item
        });
        let affected: Vec<Item> = boarded.chain(self.batch.drain(..)).collect();
        self.seen.clear();
        self.wipe();
        for item in affected {
            self.desk.table.with(item.ticket, |job| job.fail(EngineFact::Lost));
            settle(&self.desk, item);
        }
    }
}

/// Frees the frame; the job goes on to the match line when it was its last.
fn settle(desk: &Desk, item: Item) {
    if desk.table.with(item.ticket, |job| job.settle(item.sample)) {
        desk.pass_on(item.ticket);
    }
}
