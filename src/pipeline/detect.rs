//! The detect stage: frames in, for each either one usable face with its place, or why there is
//! none.
//!
//! Where the network takes the next batch while it computes one, a step has two halves, and the
//! next frames may be handed over between them.
//!
//! Invariant: when nothing is under way the stage holds no pixel: the network's buffers and the
//! crop are wiped. While the next frames are under way, the network holds nothing of those that
//! were looked at but where faces were found in them.

use zeroize::Zeroize;

use crate::{
    backend::{BackendError, Network},
    face::{self, Detector, Face, FaceReport, FaceRules, align, quality},
    limits::{BATCH_FRAMES_MAX, FACES_PER_FRAME_MAX},
    ops::{
        item::ItemMut,
        program::{ChannelOrder, Feed, Shape, ToFrame},
        warp::warp,
    },
    types::{CaptureFact, FrameView},
};

/// The aligned face on which quality is measured.
const CROP: Shape = Shape { h: 112, w: 112, c: 3 };

/// A frame to look at.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) frame: FrameView<'a>,
    /// A live capture; otherwise a photograph that cannot be taken again.
    pub(super) live: bool,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) capture: CaptureFact,
    /// The face and where the embedder's input lies in the frame.
    pub(super) face: Option<(FaceReport, ToFrame)>,
}

/// Finds, judges, aligns.
pub(super) struct Detect {
    network: Box<dyn Network>,
    detector: Detector,
    /// What a live capture must be like; photographs are judged by [`FaceRules::still`].
    live: FaceRules,
    /// Scratch of the decoder, largest face first.
    faces: Vec<Face>,
    crop: Vec<f32>,
}

impl Detect {
    pub(super) fn new(network: Box<dyn Network>, detector: Detector, live: FaceRules) -> Self {
        let faces = Vec::with_capacity(FACES_PER_FRAME_MAX);
        Self { network, detector, live, faces, crop: vec![0.0; CROP.len()] }
    }

    /// Puts another engine's network to work, with fresh scratch.
    pub(super) fn replace(&mut self, network: Box<dyn Network>) {
        self.network = network;
        self.crop.as_mut_slice().zeroize();
        self.faces.clear();
    }

    pub(super) fn batch_max(&self) -> usize {
        self.network.batch_max().min(BATCH_FRAMES_MAX)
    }

    /// Batches that may be under way at once.
    pub(super) fn depth(&self) -> usize {
        self.network.depth()
    }

    /// Looks at 1 to `batch_max` frames; `seen` gets one entry per frame, in their order.
    pub(super) fn step(
        &mut self,
        frames: &[Sight<'_>],
        seen: &mut Vec<Seen>,
    ) -> Result<(), BackendError> {
        self.begin(frames)?;
        self.finish(frames, seen, true)
    }

    /// Hands 1 to `batch_max` frames over; after an error nothing is under way.
    pub(super) fn begin(&mut self, frames: &[Sight<'_>]) -> Result<(), BackendError> {
        let mut feeds = [Feed::Tensor(&[]); BATCH_FRAMES_MAX];
        for (feed, sight) in feeds.iter_mut().zip(frames) {
            *feed = Feed::Fit { frame: sight.frame };
        }
        self.network.begin(&feeds[..frames.len()]).inspect_err(|_| self.wipe())
    }

    /// Waits for the oldest frames that were handed over, which are `frames`, and looks at them;
    /// `is_last` when none are under way beside them. After an error nothing is under way.
    pub(super) fn finish(
        &mut self,
        frames: &[Sight<'_>],
        seen: &mut Vec<Seen>,
        is_last: bool,
    ) -> Result<(), BackendError> {
        let answer = self.network.finish();
        if answer.is_ok() {
            for (item, &sight) in frames.iter().enumerate() {
                seen.push(self.look(item, sight));
            }
        }
        if is_last || answer.is_err() {
            self.wipe();
        } else {
            self.forget();
        }
        answer
    }

    /// Zeroes everything that held a pixel.
    pub(super) fn wipe(&mut self) {
        self.network.wipe();
        self.forget();
    }

    fn forget(&mut self) {
        self.crop.as_mut_slice().zeroize();
        self.faces.clear();
    }

    fn look(&mut self, item: usize, sight: Sight<'_>) -> Seen {
        let Sight { frame, live } = sight;
        let rules = if live { self.live } else { FaceRules::still() };
        let (width_px, height_px) = (frame.width_px(), frame.height_px());
        let network = &self.network;
        let outputs = |index: usize| network.output(index, item);
        self.detector.decode(&outputs, width_px, height_px, &mut self.faces);
        let face = match face::select(&self.faces, width_px, height_px, &rules) {
            Ok(face) => face,
            Err(capture) => return Seen { capture, face: None },
        };
        let Ok(to_frame) = align::to_frame(&face.landmarks_px) else {
            return Seen { capture: CaptureFact::PoorQuality, face: None };
        };
        warp(frame, &to_frame, ChannelOrder::Rgb, &mut ItemMut::new(CROP, &mut self.crop));
        let quality = quality::measure(&face, &self.crop);
        let capture = quality::judge(&quality, &rules);
        Seen { capture, face: Some((FaceReport { face, quality }, to_frame)) }
    }
}
