//! The engine line: batch → detect → attack, embed; one batch at a time.
//!
//! Embedding waits while frames wait to be looked at, so that several transactions meet in one
//! batch, but not longer than a batch may wait. A transaction whose deadline has passed, or whose
//! probe shows no usable face, costs no embedding any more.
//!
//! While a device computes one batch of frames, the next one that waits goes up to it: it is handed
//! over before the one before is looked at. Where nobody waits, or a device takes one at a time,
//! every batch is looked at in the turn in which it was put together.
//!
//! An engine that fails is replaced within the batch, and the batch tried once more on the next
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
    standby::{Supply, has_failed},
};
use crate::{
    backend::{BackendError, Engine},
    limits::BATCH_FRAMES_MAX,
    meter::{EnginePart, Part},
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
    /// Puts the next engine to work, or the last one anew, because of `error`; false when neither
    /// works.
    fn fail_over(&mut self, desk: &Desk, error: &BackendError) -> bool {
        let Some(engine) = self.supply.next().or_else(|| self.supply.again()) else {
            return false;
        };
        let networks = engine.networks.clone();
        desk.at_work.takes_over(EnginePart::Networks, networks, &error.to_string());
        self.install(engine);
        true
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
    /// Frames that the detector has under way while the next are put together, and their batch;
    /// whether they were given up meanwhile, with all that networks held.
    ahead: Vec<(Item, Captured)>,
    ahead_of: Batch,
    is_given_up: bool,
    /// Counts batches.
    number: u64,
    seen: Vec<Seen>,
    /// When frames were last looked at.
    looked_us: u64,
    pulse: Arc<Pulse>,
}

/// Which batch, and when it was put together.
#[derive(Clone, Copy, Default)]
struct Batch {
    number: u64,
    began_us: u64,
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
            ahead: Vec::with_capacity(BATCH_FRAMES_MAX),
            ahead_of: Batch::default(),
            is_given_up: false,
            number: 0,
            seen: Vec::with_capacity(BATCH_FRAMES_MAX),
            looked_us: 0,
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
        self.is_given_up = true;
        // Unwind safety: a network that cannot even wipe is not asked again for this batch.
        let _ = catch_unwind(AssertUnwindSafe(|| self.stages.detect.wipe()));
        let _ = catch_unwind(AssertUnwindSafe(|| self.stages.attack.wipe()));
        let _ = catch_unwind(AssertUnwindSafe(|| self.stages.embed.wipe()));
    }

    fn work(&mut self) -> bool {
        let now_us = self.desk.clock.monotonic_us();
        self.admit(now_us);
        let expired = self.expire(now_us);
        let detect_is_idle = self.to_detect.is_empty() && self.ahead.is_empty();
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
            return self.land() || expired;
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
        let batch = Batch { number: self.number, began_us: now_us };
        let others_wait = !self.to_detect.is_empty() || !self.ahead.is_empty();
        if self.stages.detect.depth() < 2 || !others_wait || self.is_ahead_given_up() {
            return self.one_by_one(batch);
        }
        let frames = sights(&self.boarded);
        if let Err(error) = self.stages.detect.begin(&frames[..self.boarded.len()]) {
            tracing::warn!(%error, "frames that were under way are looked at once more");
            return self.one_by_one(batch);
        }
        std::mem::swap(&mut self.boarded, &mut self.ahead);
        let before = std::mem::replace(&mut self.ahead_of, batch);
        self.is_given_up = false;
        if !self.boarded.is_empty() {
            self.take_back(before);
        }
    }

    /// Waits for the frames that are under way, and looks at them; false when there are none.
    fn land(&mut self) -> bool {
        if self.ahead.is_empty() {
            return false;
        }
        let is_given_up = self.is_given_up;
        std::mem::swap(&mut self.boarded, &mut self.ahead);
        match is_given_up {
            true => self.look(self.ahead_of),
            false => self.take_back(self.ahead_of),
        }
        true
    }

    fn is_ahead_given_up(&self) -> bool {
        self.is_given_up && !self.ahead.is_empty()
    }

    /// Looks at the oldest frames that are under way, which are on board now.
    fn take_back(&mut self, batch: Batch) {
        self.seen.clear();
        let (frames, is_last) = (sights(&self.boarded), self.ahead.is_empty());
        let frames = &frames[..self.boarded.len()];
        match self.stages.detect.finish(frames, &mut self.seen, is_last) {
            Ok(()) => self.judge(batch, batch.began_us),
            Err(error) => {
                tracing::warn!(%error, "frames that were under way are looked at once more");
                self.one_by_one(batch);
            }
        }
    }

    /// Looks at the frames on board, and then at those that are not under way any more, if any.
    fn one_by_one(&mut self, batch: Batch) {
        self.look(batch);
        std::mem::swap(&mut self.boarded, &mut self.ahead);
        if !self.boarded.is_empty() {
            self.look(self.ahead_of);
        }
    }

    /// Looks at the frames on board, while none are under way.
    fn look(&mut self, batch: Batch) {
        match self.detect_boarded().or_else(|error| self.retried(&error)) {
            Ok(ran_us) => self.judge(batch, ran_us),
            Err(error) => self.give_up(&error),
        }
    }

    /// Hands on what was seen in the frames on board, by a run that began at `ran_us`.
    fn judge(&mut self, Batch { number, began_us }: Batch, ran_us: u64) {
        let done_us = self.desk.clock.monotonic_us();
        // The time before is that of the batch before.
        let took_us = done_us.saturating_sub(ran_us.max(self.looked_us));
        self.looked_us = done_us;
        self.desk.pace.detected(self.boarded.len(), took_us, done_us);
        for ((item, captured), seen) in self.boarded.drain(..).zip(self.seen.drain(..)) {
            let embeds = self.desk.table.with(item.ticket, |job| {
                job.charge(2 * number + 1, |spent| spent.detect_us += done_us - began_us);
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

    /// Looks at the frames on board, as many at a time as the engine takes: one that took over may
    /// take fewer. `seen` then has one entry for each. When it began: what came before (an engine
    /// that was lost, another that was made ready) is no pace.
    fn detect_boarded(&mut self) -> Result<u64, BackendError> {
        let began_us = self.desk.clock.monotonic_us();
        self.seen.clear();
        let detect = &mut self.stages.detect;
        for boarded in self.boarded.chunks(detect.batch_max().max(1)) {
            detect.step(&sights(boarded)[..boarded.len()], &mut self.seen)?;
        }
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

    /// Scores the probes on board and embeds all faces, each template into its job, as many at a
    /// time as the engine takes.
    fn embed_boarded(&mut self) -> Result<Began, BackendError> {
        let most = self.stages.embed_max().max(1);
        let batch_us = self.desk.clock.monotonic_us();
        for boarded in self.boarded.chunks(most) {
            self.stages.attack.step(&self.desk, boarded)?;
        }
        let embed_us = self.desk.clock.monotonic_us();
        for boarded in self.boarded.chunks(most) {
            embed(&self.desk, &mut self.stages.embed, boarded)?;
        }
        Ok(Began { batch_us, embed_us })
    }

    /// The batch once more, on the next engine, if this one failed.
    fn retried(&mut self, error: &BackendError) -> Result<u64, BackendError> {
        self.replace_engine(error)?;
        self.detect_boarded()
    }

    fn retried_embed(&mut self, error: &BackendError) -> Result<Began, BackendError> {
        self.replace_engine(error)?;
        self.embed_boarded()
    }

    fn replace_engine(&mut self, error: &BackendError) -> Result<(), BackendError> {
        if !has_failed(error) || !self.stages.fail_over(&self.desk, error) {
            return Err(error.clone());
        }
        tracing::error!(%error, "an engine failed; the next one takes over");
        self.desk.meter.restart(Part::Engine);
        self.is_given_up = true;
        Ok(())
    }

    /// Refers everybody in the batch that failed.
    fn give_up(&mut self, error: &BackendError) {
        tracing::error!(%error, travellers = self.boarded.len(), "a batch is referred");
        self.seen.clear();
        self.wipe();
        for (item, captured) in self.boarded.drain(..) {
            drop(captured);
            refer(&self.desk, item);
        }
    }

    /// Refers everybody who was being worked on when that went wrong, and forgets what it held.
    fn abandon(&mut self) {
        self.seen.clear();
        self.wipe();
        for (item, captured) in self.boarded.drain(..).chain(self.ahead.drain(..)) {
            drop(captured);
            refer(&self.desk, item);
        }
        for item in self.batch.drain(..) {
            refer(&self.desk, item);
        }
    }
}

/// Its transaction is referred when its last frame is settled.
fn refer(desk: &Desk, item: Item) {
    desk.table.with(item.ticket, |job| job.fail(EngineFact::Lost));
    settle(desk, item);
}

/// The frames on board as the detector is shown them, and the first one once more for each that is
/// missing to a full batch.
fn sights(boarded: &[(Item, Captured)]) -> [Sight<'_>; BATCH_FRAMES_MAX] {
    let sight = |at: usize| {
        let (item, captured) = &boarded[if at < boarded.len() { at } else { 0 }];
        Sight { frame: captured.view(), live: item.sample == 0 }
    };
    std::array::from_fn(sight)
}

/// Embeds the faces on board, each template into its job.
fn embed(desk: &Desk, stage: &mut Embed, boarded: &[(Item, Captured)]) -> Result<(), BackendError> {
    let mut faces: [(FrameView<'_>, ToFrame); BATCH_FRAMES_MAX] =
        [(boarded[0].1.view(), ToFrame([0.0; 6])); BATCH_FRAMES_MAX];
    for (face, (item, captured)) in faces.iter_mut().zip(boarded) {
        let to_frame = desk.table.with(item.ticket, |job| job.samples[item.sample].to_frame);
        *face = (captured.view(), to_frame.expect("only a face that was found is embedded"));
    }
    stage.step(&faces[..boarded.len()], |at, make| {
        let (item, _) = &boarded[at];
        desk.table.with(item.ticket, |job| {
            let sample = &mut job.samples[item.sample];
            if let Some(mut place) = sample.blank.take() {
                sample.template = make(&mut place).is_ok().then_some(place);
            }
        });
    })
}

/// Frees the frame; the job goes on to the match line when it was its last.
fn settle(desk: &Desk, item: Item) {
    if desk.table.with(item.ticket, |job| job.settle(item.sample)) {
        desk.pass_on(item.ticket);
    }
}
