//! The one usable face of a photograph, for verbs that run networks of their own choice on it.

use super::{Failure, table};
use crate::{
    backend::Network,
    face::{
        Detector, Face, FaceRules, align,
        quality::{judge, measure},
        select,
    },
    ops::{
        item::ItemMut,
        program::{ChannelOrder, Feed, Program, Shape, ToFrame},
        warp::warp,
    },
    types::{CaptureFact, FrameView},
};

/// The configured detector, with the rules for photographs.
pub(super) struct Finder {
    detector: Detector,
    detect: Box<dyn Network>,
    rules: FaceRules,
}

impl Finder {
    /// The detector of `program`, which is ready as `detect`.
    pub(super) fn new(program: &Program, detect: Box<dyn Network>) -> Result<Self, Failure> {
        Ok(Self { detector: Detector::for_program(program)?, detect, rules: FaceRules::still() })
    }

    /// The face, and where it lies once aligned; or why there is none to use.
    pub(super) fn find(&mut self, view: FrameView<'_>) -> Result<(Face, ToFrame), Failure> {
        self.detect.run(&[Feed::Fit { frame: view }])?;
        let mut faces = Vec::new();
        let outputs = |index: usize| self.detect.output(index, 0);
        self.detector.decode(&outputs, view.width_px(), view.height_px(), &mut faces);
        self.detect.wipe();
        let unusable = |fact: CaptureFact| Failure::new(table::capture(fact));
        let face =
            select(&faces, view.width_px(), view.height_px(), &self.rules).map_err(unusable)?;
        let to_frame = align::to_frame(&face.landmarks_px)?;
        let shape = Shape { h: align::ALIGNED_PX, w: align::ALIGNED_PX, c: 3 };
        let mut aligned = vec![0.0; shape.len()];
        warp(view, &to_frame, ChannelOrder::Rgb, &mut ItemMut::new(shape, &mut aligned));
        match judge(&measure(&face, &aligned), &self.rules) {
            CaptureFact::Usable => Ok((face, to_frame)),
            fact => Err(unusable(fact)),
        }
    }
}
