//! The engine line: batch → detect → attack, embed; one batch at a time.
//!
//! Embedding waits while frames wait to be looked at, so that several transactions meet in one
//! batch, but not longer than a batch may wait. A transaction whose deadline has passed, or whose
//! probe shows no usable face, costs no embedding any more.
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
    slot::Captured,
};
use crate::{
    limits::BATCH_FRAMES_MAX,
    meter::Part,
    ops::program::ToFrame,
    types::{CaptureFact, EngineFact, FrameView, Template},
};

/// Finds and embeds faces. One owner turns it.
pub struct EngineLine {
    desk: Arc<Desk>,
    detect: Detect,
    attack: AttackStage,
    embed: Embed,
    to_detect: Batcher,
    to_embed: Batcher,
    /// The batch that is being worked on, and the frames of those that boarded it.
    batch: Vec<Item>,
    boarded: Vec<(Item, Captured)>,
    /// Counts batches.
    number: u64,
    seen: Vec<Seen>,
    templates: Vec<Option<Template>>,
}

impl EngineLine {
    pub(super) fn new(
        desk: Arc<Desk>,
        detect: Detect,
        attack: AttackStage,
        embed: Embed,
        slots: usize,
    ) -> Self {
        let scored_max = attack.batch_max();
        Self {
            to_detect: Batcher::new(detect.batch_max(), slots),
            to_embed: Batcher::new(embed.batch_max().min(scored_max), slots),
            desk,
            detect,
            attack,
            embed,
            batch: Vec::with_capacity(BATCH_FRAMES_MAX),
            boarded: Vec::with_capacity(BATCH_FRAMES_MAX),
            number: 0,
            seen: Vec::with_capacity(BATCH_FRAMES_MAX),
            templates: Vec::with_capacity(BATCH_FRAMES_MAX),
        }
    }

    /// Works on one batch. False when there was nothing to do.
    pub fn turn(&mut self) -> bool {
        // Unwind safety: whatever was being worked on is thrown away and wiped by `abandon`.
        let turned = catch_unwind(AssertUnwindSafe(|| self.work()));
        turned.unwrap_or_else(|_| {
            self.desk.meter.restart(Part::Stage);
            self.abandon();
            true
        })
    }

    /// Zeroes the networks' buffers; done after every batch, and once more before the end.
    pub fn wipe(&mut self) {
        // Unwind safety: a network that cannot even wipe is not asked again for this batch.
        let _ = catch_unwind(AssertUnwindSafe(|| self.detect.wipe()));
        let _ = catch_unwind(AssertUnwindSafe(|| self.attack.wipe()));
        let _ = catch_unwind(AssertUnwindSafe(|| self.embed.wipe()));
    }

    fn work(&mut self) -> bool {
        let now_us = self.desk.clock.monotonic_us();
        self.admit(now_us);
        let detect_is_idle = self.to_detect.is_empty();
        self.to_embed.step(now_us, detect_is_idle, &mut self.batch);
        if !self.batch.is_empty() {
            self.embed_batch(now_us);
            return true;
        }
        self.to_detect.step(now_us, true, &mut self.batch);
        if self.batch.is_empty() {
            return false;
        }
        self.detect_batch(now_us);
        true
    }

    /// Lets every new order's frames wait for the detector.
    fn admit(&mut self, now_us: u64) {
        while let Some(ticket) = self.desk.ordered.pop() {
            let (since_us, samples) =
                self.desk.table.with(ticket, |job| (job.submitted_us, job.samples.len()));
            for sample in 0..samples {
                if self.desk.table.with(ticket, |job| job.samples[sample].captured.is_some()) {
                    let since_us = since_us.min(now_us);
                    self.to_detect.push(Item { ticket, sample, since_us });
                }
            }
        }
    }

    /// Takes the frames of those in the batch that are still worth it on board.
    fn board(&mut self, now_us: u64) {
        self.number += 1;
        for &item in &self.batch {
            let waited_us = now_us.saturating_sub(item.since_us);
            let captured = self.desk.table.with(item.ticket, |job| {
                job.charge(2 * self.number, |spent| spent.batch_us += waited_us);
                job.is_sound_at(now_us).then(|| job.samples[item.sample].captured.take()).flatten()
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
        let Some(first) = self.boarded.first() else {
            return;
        };
        let sight = |item: &Item, frame| Sight { frame, live: item.sample == 0 };
        let mut frames = [sight(&first.0, first.1.view()); BATCH_FRAMES_MAX];
        for (frame, (item, captured)) in frames.iter_mut().zip(&self.boarded) {
            *frame = sight(item, captured.view());
        }
        self.seen.clear();
        if self.detect.step(&frames[..self.boarded.len()], &mut self.seen).is_err() {
            return self.abandon();
        }
        let done_us = self.desk.clock.monotonic_us();
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

    fn embed_batch(&mut self, now_us: u64) {
        self.board(now_us);
        if self.attack.step(&self.desk, &self.boarded).is_err() {
            return self.abandon();
        }
        let began_us = self.desk.clock.monotonic_us();
        let Some(first) = self.boarded.first() else {
            return;
        };
        let mut faces: [(FrameView<'_>, ToFrame); BATCH_FRAMES_MAX] =
            [(first.1.view(), ToFrame([0.0; 6])); BATCH_FRAMES_MAX];
        for (face, (item, captured)) in faces.iter_mut().zip(&self.boarded) {
            let to_frame =
                self.desk.table.with(item.ticket, |job| job.samples[item.sample].to_frame);
            *face = (captured.view(), to_frame.expect("only a face that was found is embedded"));
        }
        self.templates.clear();
        if self.embed.step(&faces[..self.boarded.len()], &mut self.templates).is_err() {
            return self.abandon();
        }
        let done_us = self.desk.clock.monotonic_us();
        for ((item, captured), template) in self.boarded.drain(..).zip(self.templates.drain(..)) {
            drop(captured); // zeroed before anybody hears of the template
            self.desk.table.with(item.ticket, |job| {
                job.charge(2 * self.number + 1, |spent| spent.embed_us += done_us - began_us);
                if template.is_none() {
                    job.fail(EngineFact::Lost);
                }
                job.samples[item.sample].template = template;
            });
            settle(&self.desk, item);
        }
    }

    /// Refers everybody in the batch that went wrong and forgets what it held.
    fn abandon(&mut self) {
        let boarded = self.boarded.drain(..).map(|(item, captured)| {
            drop(captured);
            item
        });
        let affected: Vec<Item> = boarded.chain(self.batch.drain(..)).collect();
        self.seen.clear();
        self.templates.clear();
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
