//! The embed stage: aligned faces in, templates out.
//!
//! Invariant: after a step the stage holds neither a pixel nor an embedding. Templates are written
//! into places that were set aside with the order: nothing is allocated here.

use std::sync::Arc;

use crate::{
    backend::{BackendError, Network},
    limits::BATCH_FRAMES_MAX,
    model::{Calibration, CalibrationError},
    ops::program::{Feed, ToFrame},
    types::{FrameView, Template},
};

/// Turns faces into templates.
pub(super) struct Embed {
    network: Box<dyn Network>,
    calibration: Arc<Calibration>,
}

/// Makes a template in the place that was set aside for it.
pub(super) type Make<'a> = &'a dyn Fn(&mut Template) -> Result<(), CalibrationError>;

impl Embed {
    pub(super) fn new(network: Box<dyn Network>, calibration: Arc<Calibration>) -> Self {
        Self { network, calibration }
    }

    /// Puts another engine's network to work.
    pub(super) fn replace(&mut self, network: Box<dyn Network>) {
        self.network = network;
    }

    pub(super) fn batch_max(&self) -> usize {
        self.network.batch_max().min(BATCH_FRAMES_MAX)
    }

    /// Embeds 1 to `batch_max` faces; `each` gets every face's number and what makes its template,
    /// which fails where the network gave nothing that points anywhere.
    pub(super) fn step(
        &mut self,
        faces: &[(FrameView<'_>, ToFrame)],
        mut each: impl FnMut(usize, Make<'_>),
    ) -> Result<(), BackendError> {
        let mut feeds = [Feed::Tensor(&[]); BATCH_FRAMES_MAX];
        for (feed, &(frame, to_frame)) in feeds.iter_mut().zip(faces) {
            *feed = Feed::Warp { frame, to_frame };
        }
        let answer = self.network.run(&feeds[..faces.len()]);
        if answer.is_ok() {
            for item in 0..faces.len() {
                let embedding = self.network.output(0, item);
                let make = |place: &mut Template| self.calibration.fill(embedding, place);
                each(item, &make);
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
