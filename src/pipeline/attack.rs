//! The attack stage: usable probes in, for each a presentation attack score out.
//!
//! It runs on the very frame that is embedded next, in the same batch, so that a score belongs to
//! what is compared (BSI TR-03121, PAD-4). A network that fails loses the batch like any other; one
//! that says no probability loses its traveller's transaction.
//!
//! Invariant: after a step the stage holds no pixel. Without a detector it does nothing, and what
//! is recorded is that nothing was performed. Absent: what a score means, which is the policy's.

use super::{batch::Item, desk::Desk, job::Goal, slot::Captured};
use crate::{
    backend::{BackendError, Network},
    face::attack::AttackDetector,
    limits::{ATTACK_NETWORKS_MAX, BATCH_FRAMES_MAX},
    ops::program::{Feed, ToFrame},
    types::{Action, Attack, EngineFact, FrameView},
};

/// How presentation attack detection is carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackDetection {
    /// What each of [`crate::backend::Engine::attack`] is shown, in their order.
    pub detector: AttackDetector,
    /// Whether pictures that people are enrolled from are tested too. Where they come from
    /// documents, a detector would object to every scan.
    pub enrolments: bool,
}

/// What an order brings along about presentation attacks, and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Presentation {
    /// Score of an external detector that the lane's configuration names, for this very frame.
    pub external: Option<f32>,
    /// No Admit without a result, whatever the policy says: so it is for transactions of a lane.
    pub required: bool,
}

impl Presentation {
    /// The result before the stage has run.
    pub(super) fn result(self) -> Attack {
        self.external.map_or(Attack::NotPerformed, Attack::Score)
    }
}

/// Scores probes.
pub(super) struct AttackStage {
    networks: Vec<Box<dyn Network>>,
    detection: Option<AttackDetection>,
}

/// A probe to score.
#[derive(Clone, Copy)]
struct Probe<'a> {
    ticket: u32,
    frame: FrameView<'a>,
    /// Where each network's input lies in the frame.
    shown: [ToFrame; ATTACK_NETWORKS_MAX],
}

impl AttackStage {
    /// # Panics
    /// When the networks are not those that the detection was made for.
    pub(super) fn new(networks: Vec<Box<dyn Network>>, detection: Option<AttackDetection>) -> Self {
        let expected = detection.as_ref().map_or(0, |held| held.detector.networks());
        assert_eq!(networks.len(), expected, "an engine carries the networks of its detection");
        Self { networks, detection }
    }

    /// Puts another engine's networks to work; they are of the same detection.
    pub(super) fn replace(&mut self, networks: Vec<Box<dyn Network>>) {
        assert_eq!(
            networks.len(),
            self.networks.len(),
            "an engine carries the networks of its detection"
        );
        self.networks = networks;
    }

    /// Faces that can be scored together.
    pub(super) fn batch_max(&self) -> usize {
        let least = self.networks.iter().map(|network| network.batch_max()).min();
        least.unwrap_or(BATCH_FRAMES_MAX).min(BATCH_FRAMES_MAX)
    }

    /// Scores the probes among 1 to `batch_max` frames on board, and notes the scores in their
    /// jobs.
    pub(super) fn step(
        &mut self,
        desk: &Desk,
        boarded: &[(Item, Captured)],
    ) -> Result<(), BackendError> {
        let Some(detection) = &self.detection else { return Ok(()) };
        let mut probes = [None; BATCH_FRAMES_MAX];
        let mut count = 0;
        for (item, captured) in boarded.iter().filter(|(item, _)| item.sample == 0) {
            if let Some(probe) = detection.probe(desk, item.ticket, captured.view()) {
                probes[count] = Some(probe);
                count += 1;
            }
        }
        if count == 0 {
            return Ok(());
        }
        let began_us = desk.clock.monotonic_us();
        let scored = self.score(&probes[..count]);
        self.wipe();
        let took_us = desk.clock.monotonic_us().saturating_sub(began_us);
        for (probe, score) in probes.iter().flatten().zip(scored?) {
            desk.table.with(probe.ticket, |job| {
                job.spent.attack_us = took_us;
                match score {
                    // From what came with the order: a batch that is tried again scores anew.
                    Some(score) => {
                        job.attack = graver(job.presentation.result(), Attack::Score(score));
                    }
                    None => job.fail(EngineFact::Lost),
                }
            });
        }
        Ok(())
    }

    /// Zeroes everything that held a pixel.
    pub(super) fn wipe(&mut self) {
        self.networks.iter_mut().for_each(|network| network.wipe());
    }

    /// One score per probe, in their order; `None` where the networks gave none.
    fn score(
        &mut self,
        probes: &[Option<Probe<'_>>],
    ) -> Result<[Option<f32>; BATCH_FRAMES_MAX], BackendError> {
        let mut scores = [None; BATCH_FRAMES_MAX];
        let Some(detection) = &self.detection else { return Ok(scores) };
        for (number, network) in self.networks.iter_mut().enumerate() {
            let mut feeds = [Feed::Tensor(&[]); BATCH_FRAMES_MAX];
            for (feed, probe) in feeds.iter_mut().zip(probes.iter().flatten()) {
                *feed = Feed::Warp { frame: probe.frame, to_frame: probe.shown[number] };
            }
            network.run(&feeds[..probes.len()])?;
        }
        let networks = &self.networks;
        for (item, score) in scores.iter_mut().enumerate().take(probes.len()) {
            *score = detection.detector.score(|network| networks[network].output(0, item));
        }
        Ok(scores)
    }
}

impl AttackDetection {
    /// What the networks are shown of a probe's frame; `None` where it is not to be scored, or
    /// shows no face that could be.
    fn probe<'a>(&self, desk: &Desk, ticket: u32, frame: FrameView<'a>) -> Option<Probe<'a>> {
        let frame_px = [frame.width_px(), frame.height_px()];
        desk.table.with(ticket, |job| {
            let is_live = !matches!(job.goal, Goal::Reference);
            let covered = is_live && self.covers(job.facts.asked.action);
            let face = job.probe().face.filter(|_| covered)?.face;
            let shown = self.detector.to_frame(face.rect_px, frame_px);
            if shown.is_none() {
                job.fail(EngineFact::Lost);
            }
            Some(Probe { ticket, frame, shown: shown? })
        })
    }

    fn covers(&self, action: Action) -> bool {
        match action {
            Action::Identify | Action::Verify => true,
            Action::Enrol | Action::IssueToken | Action::Replace => self.enrolments,
            _ => false,
        }
    }
}

/// Two detectors looked at one frame: the one that is more alarmed is heard, and one that says
/// nonsense is not hidden by the other.
fn graver(one: Attack, other: Attack) -> Attack {
    let invalid = |score: f32| !(0.0..=1.0).contains(&score);
    match (one, other) {
        (Attack::NotPerformed, only) | (only, Attack::NotPerformed) => only,
        (Attack::Score(score), Attack::Score(_)) if invalid(score) => one,
        (Attack::Score(_), Attack::Score(score)) if invalid(score) => other,
        (Attack::Score(one), Attack::Score(other)) => Attack::Score(one.max(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_alarmed_detector_is_heard_and_nonsense_is_not_hidden() {
        let score = Attack::Score;
        let nothing = Attack::NotPerformed;
        assert_eq!(graver(nothing, nothing), nothing);
        assert_eq!(
            (graver(score(0.2), nothing), graver(nothing, score(0.2))),
            (score(0.2), score(0.2))
        );
        assert_eq!(
            (graver(score(0.2), score(0.7)), graver(score(0.7), score(0.2))),
            (score(0.7), score(0.7))
        );
        for wrong in [-0.1, 1.5, f32::INFINITY] {
            assert_eq!(graver(score(wrong), score(0.7)), score(wrong));
            assert_eq!(graver(score(0.7), score(wrong)), score(wrong));
        }
        assert!(
            matches!(graver(score(f32::NAN), score(0.1)), Attack::Score(held) if held.is_nan())
        );
        assert!(
            matches!(graver(score(0.1), score(f32::NAN)), Attack::Score(held) if held.is_nan())
        );
    }
}
