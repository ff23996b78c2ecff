//! The embed stage: aligned faces in, templates out.
//!
//! Invariant: after a step the stage holds neither a pixel nor an embedding.

use crate::{
    backend::{BackendError, Network},
    limits::BATCH_FRAMES_MAX,
    model::Calibration,
    ops::program::{Feed, ToFrame},
    types::{FrameView, Template},
};

/// Turns faces into templates.
pub(super) struct Embed {
    network: Box<dyn Network>,
    calibration: std::sync::Arc<Calibration>,
}

impl Embed {
    pub(super) fn new(network: Box<dyn Network>, calibration: std::sync::Arc<Calibration>) -> Self {
        Self { network, calibration }
    }

    pub(super) fn batch_max(&self) -> usize {
        self.network.batch_max().min(BATCH_FRAMES_MAX)
    }

    /// Embeds 1 to `batch_max` faces; `templates` gets one entry per face, in their order: `None`
    /// where the network gave nothing that points anywhere.
    pub(super) fn step(
        &mut self,
        faces: &[(FrameView<'_>, ToFrame)],
        templates: &mut Vec<Option<Template>>,
    ) -> Result<(), BackendError> {
        let mut feeds = [Feed::Tensor(&[]); BATCH_FRAMES_MAX];
        for (feed, &(frame, to_frame)) in feeds.iter_mut().zip(faces) {
            *feed = Feed::Warp { frame, to_frame };
        }
        let answer = self.network.run(&feeds[..faces.len()]);
        if answer.is_ok() {
            for item in 0..faces.len() {
                templates.push(self.calibration.template(self.network.output(0, item)).ok());
            }
        }
        self.wipe();
        answer
    }

    /// Zeroes everything that held a pixel or an embedding.
    pub(super) fn wipe(&mut self) {
        self.network.wipe();
    }
}
